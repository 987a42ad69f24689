// What was written stays in this browser until it is sent or somebody signs out.
//   <textarea data-draft="NAME">     NAME is the account's and the page's own
//   <form data-forget-drafts>        the sign-out
{
  const PREFIX = "draft:";
  const SENT = "sent-drafts";

  const forgetAll = () => {
    for (const key of Object.keys(localStorage)) {
      if (key.startsWith(PREFIX)) localStorage.removeItem(key);
    }
  };

  // A form that was sent has arrived, unless it came back or its answer was an error.
  const fields = [...document.querySelectorAll("[data-draft]")];
  const names = (list) => new Set(list.map((field) => field.dataset.draft));
  const returned = document.querySelector(".error-summary") ? names(fields) : new Set();
  const isFault = document.querySelector("main[data-fault]") !== null;
  for (const name of JSON.parse(sessionStorage.getItem(SENT) ?? "[]")) {
    if (!isFault && !returned.has(name)) localStorage.removeItem(PREFIX + name);
  }
  sessionStorage.removeItem(SENT);

  for (const field of fields) {
    const key = PREFIX + field.dataset.draft;
    if (!field.value) field.value = localStorage.getItem(key) ?? "";
    field.addEventListener("input", () => {
      if (field.value) localStorage.setItem(key, field.value);
      else localStorage.removeItem(key);
    });
    field.form?.addEventListener("submit", () => {
      const sent = new Set(JSON.parse(sessionStorage.getItem(SENT) ?? "[]"));
      sessionStorage.setItem(SENT, JSON.stringify([...sent.add(field.dataset.draft)]));
    });
  }

  for (const form of document.querySelectorAll("form[data-forget-drafts]")) {
    form.addEventListener("submit", forgetAll);
  }
}
