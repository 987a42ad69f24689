// Keys for people who like them, listed on "?", and to be switched off there (WCAG 2.1.4).
//   data-shortcut="n" on a link or button is clicked, on a field focused
//   data-keys-help is the dialog with the list, data-keys-on in it the switch
//   j and k move over rows (data-row), Enter and o open, x ticks the box of the row;
//   Ctrl+Enter sends the form one writes in
{
  const OFF = "keys-off";
  const help = document.querySelector("[data-keys-help]");

  const isOff = () => localStorage.getItem(OFF) !== null;
  const isTicked = (element) => /^(checkbox|radio)$/.test(element.type ?? "");
  const isWriting = (element) =>
    element.isContentEditable ||
    (/^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName) && !isTicked(element));

  const move = (step) => {
    const rows = [...document.querySelectorAll("[data-row]")];
    if (!rows.length) return;
    const chosen = rows.findIndex((row) => row.classList.contains("is-chosen"));
    const at = chosen < 0 ? rows.findIndex((row) => row.hasAttribute("data-row-here")) : chosen;
    const next = rows[Math.min(Math.max(at + step, 0), rows.length - 1)];
    for (const row of rows) row.classList.toggle("is-chosen", row === next);
    next.querySelector("a")?.focus();
    next.scrollIntoView({ block: "nearest" });
  };

  const inChosenRow = (selector) => document.querySelector(`[data-row].is-chosen ${selector}`);

  const press = (key) => {
    const target = [...document.querySelectorAll("[data-shortcut]")].find(
      (element) => element.dataset.shortcut === key && !element.hidden,
    );
    if (!target) return false;
    if (isWriting(target) || isTicked(target)) target.focus();
    else target.click();
    return true;
  };

  document.addEventListener("keydown", (event) => {
    const element = event.target;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && element.form) {
      event.preventDefault();
      element.form.requestSubmit();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || isWriting(element)) return;
    if (event.key === "?" && help) {
      event.preventDefault();
      help.showModal();
    } else if (isOff()) {
      return;
    } else if (event.key === "j" || event.key === "k") {
      move(event.key === "j" ? 1 : -1);
    } else if (event.key === "o") {
      inChosenRow("a")?.click();
    } else if (event.key === "x") {
      inChosenRow("input[type=checkbox]")?.click();
    } else if (press(event.key)) {
      event.preventDefault();
    }
  });

  const box = help?.querySelector("[data-keys-on]");
  if (box) {
    box.checked = !isOff();
    box.addEventListener("change", () => {
      if (box.checked) localStorage.removeItem(OFF);
      else localStorage.setItem(OFF, "1");
    });
  }
}
