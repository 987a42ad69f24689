// Writing in a ticket: which of the two forms is open, and templates put in without losing files.
//   .writing-tab                       a click on it, or its key, also goes to where one writes
//   <button data-insert="#TEXT">       sends its form and takes the text of that field out of the answer
{
  const panelOf = (choice) => document.querySelector(`.writing-panel-${choice.id.replace("write-", "")}`);
  const textOf = (choice) => panelOf(choice)?.querySelector("textarea");
  const choices = [...document.querySelectorAll(".writing-choice")];

  for (const choice of choices) {
    // By pointer or key; who walks through the choices with arrows stays on them.
    choice.labels[0].addEventListener("click", (event) => {
      event.preventDefault();
      choice.checked = true;
      (textOf(choice) ?? choice).focus();
    });
  }

  // A note that was begun is not hidden behind an empty reply.
  const open = choices.find((choice) => choice.checked);
  const begun = choices.find((choice) => textOf(choice)?.value);
  const isReturned = document.querySelector(".writing .error-summary") !== null;
  if (open && begun && !isReturned && !textOf(open)?.value) begun.checked = true;

  const insert = async (button) => {
    const form = button.form;
    const text = form.querySelector(button.dataset.insert);
    const body = new FormData(form, button);
    for (const file of form.querySelectorAll("input[type=file]")) body.delete(file.name);
    button.disabled = true;
    try {
      const answer = await fetch(form.action, { method: "POST", body });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const filled = page.querySelector(button.dataset.insert);
      if (!answer.ok || !filled) throw new Error("no form in the answer");
      text.value = filled.value;
      text.dispatchEvent(new Event("input", { bubbles: true }));
      text.focus();
    } catch {
      button.removeAttribute("data-insert");
      button.disabled = false;
      form.requestSubmit(button); // the browser can say better what is wrong
      return;
    }
    button.disabled = false;
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-insert]");
    if (!button) return;
    event.preventDefault();
    insert(button);
  });
}
