// What makes the pages of admins quicker; all of them work without it.
//   <form data-matrix>            a changed cell is saved at once; data-matrix-save is not needed then
//   <div data-cell>               one cell, replaced by how it is stored now
//   <p data-matrix-status>        says what was saved
//   <input data-suggest="URL">    fills the datalist of the input as somebody types
//   <div data-preview>            in a form: what follows from what is typed, renewed as somebody
//                                 types, so that data-preview-button is not needed; there may be
//                                 several
//   <button data-copy="SELECTOR"> copies the value of a field
{
  // Cells of permissions. The form may be replaced by the search, so the page listens.
  const status = document.querySelector("[data-matrix-status]");

  const parse = async (answer) =>
    new DOMParser().parseFromString(await answer.text(), "text/html");

  const save = async (form, select) => {
    const cell = select.closest("[data-cell]");
    const body = new URLSearchParams([
      ["csrf_token", form.elements.csrf_token.value],
      [select.name, select.value],
    ]);
    select.disabled = true;
    let page;
    try {
      const answer = await fetch(form.action, {
        method: "POST",
        body,
        headers: { "X-Schalter-Cell": "1" },
      });
      page = await parse(answer);
    } catch {
      select.disabled = false;
      form.requestSubmit(); // the browser can say better what is wrong with the connection
      return;
    }
    const saved = page.querySelector("[data-cell]:only-of-type");
    const sentence = page.querySelector("[data-saved]");
    if (saved && sentence) {
      const fresh = document.adoptNode(saved);
      const hasMovedOn = document.activeElement?.matches("input, select, a, button") ?? false;
      cell.replaceWith(fresh);
      if (!hasMovedOn) fresh.querySelector("select").focus();
      status.textContent = sentence.textContent.trim();
      return;
    }
    // Somebody else was faster, a question comes first, or one is signed out: show that page.
    select.disabled = false;
    form.requestSubmit();
  };

  document.addEventListener("change", (event) => {
    const form = event.target.form;
    if (form && "matrix" in form.dataset && event.target.matches(".cell-choice")) {
      save(form, event.target);
    }
  });

  const hideSave = () => {
    for (const row of document.querySelectorAll("[data-matrix-save]")) row.hidden = true;
  };
  document.addEventListener("rows-changed", hideSave);
  hideSave();

  // The look of a choice that is not saved yet.
  document.addEventListener("change", (event) => {
    if (event.target.matches(".cell-choice")) event.target.dataset.chosen = event.target.value;
  });

  // Suggestions of Kunden#
  const WAIT = 200; // ms after the last key
  for (const input of document.querySelectorAll("[data-suggest]")) {
    let timer = 0;
    const suggest = async () => {
      const url = new URL(input.dataset.suggest, location.href);
      url.searchParams.set("q", input.value);
      try {
        const answer = await fetch(url);
        const list = (await parse(answer)).querySelector("datalist");
        if (answer.ok && list) input.list.replaceChildren(...document.adoptNode(list).children);
      } catch {
        // Suggestions only help; typing goes on without them.
      }
    };
    input.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(suggest, WAIT);
    });
  }

  // Previews: the form is sent as the button for them would, and the answer's preview shown.
  const PREVIEW_WAIT = 400; // ms after the last key
  const previewed = document.querySelector("[data-preview]")?.closest("form");
  if (previewed) {
    previewed.querySelector("[data-preview-button]").hidden = true;
    let timer = 0;
    let running = null;
    const renew = async () => {
      running?.abort();
      running = new AbortController();
      const body = new URLSearchParams(new FormData(previewed));
      body.set("preview", "1");
      try {
        const answer = await fetch(location.pathname, { method: "POST", body, signal: running.signal });
        const fresh = (await parse(answer)).querySelectorAll("[data-preview]");
        const shown = previewed.querySelectorAll("[data-preview]");
        if (fresh.length !== shown.length) return;
        shown.forEach((each, i) => each.replaceChildren(...document.adoptNode(fresh[i]).childNodes));
      } catch {
        // The next key tries again.
      }
    };
    previewed.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(renew, PREVIEW_WAIT);
    });
  }

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      const field = document.querySelector(button.dataset.copy); // a preview may have renewed it
      field.select();
      await navigator.clipboard.writeText(field.value);
      button.querySelector("span").textContent = button.dataset.copied;
    });
  }
}
