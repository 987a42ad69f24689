// Search as you type: fetches the page that the form would open and takes one region out of it.
//   <form method="get" data-live="#rows">   also follows selects and checkboxes of the form
{
  const WAIT = 250; // ms after the last key
  let isLeaving = false; // some browsers let a search fail as soon as somebody follows a link

  const addressOf = (form) => {
    const url = new URL(form.action, location.href);
    url.search = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
    return url;
  };

  const start = (form) => {
    const selector = form.dataset.live;
    const status = form.querySelector("[data-live-status]");
    let timer = 0;
    let running = null;

    const load = async () => {
      running?.abort();
      running = new AbortController();
      isLeaving = false;
      const url = addressOf(form);
      try {
        const answer = await fetch(url, { signal: running.signal });
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const found = page.querySelector(selector);
        if (!answer.ok || !found) {
          location.assign(url); // signed out, or an error: let the browser show it
          return;
        }
        document.querySelector(selector).replaceWith(document.adoptNode(found));
        history.replaceState(null, "", url);
        if (status) status.textContent = found.querySelector("[data-result]")?.textContent.trim() ?? "";
        document.dispatchEvent(new CustomEvent("rows-changed"));
      } catch (error) {
        if (error.name !== "AbortError" && !isLeaving) location.assign(url);
      }
    };

    form.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(load, WAIT);
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      clearTimeout(timer);
      load();
    });
  };

  window.addEventListener("beforeunload", () => {
    isLeaving = true;
  });
  for (const form of document.querySelectorAll("form[data-live]")) start(form);
}
