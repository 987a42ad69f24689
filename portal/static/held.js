// Held mail: one box that ticks all of the page.
//   <label hidden data-choose-all><input type="checkbox"></label> in a form; boxes named "mail"
{
  const boxesOf = (form) => [...form.querySelectorAll('input[name="mail"]')];

  const show = () => {
    for (const label of document.querySelectorAll("[data-choose-all]")) {
      const boxes = boxesOf(label.closest("form"));
      const ticked = boxes.filter((box) => box.checked).length;
      const all = label.querySelector("input");
      label.hidden = !boxes.length;
      all.checked = ticked > 0 && ticked === boxes.length;
      all.indeterminate = ticked > 0 && ticked < boxes.length;
    }
  };

  document.addEventListener("change", (event) => {
    const label = event.target.closest("[data-choose-all]");
    if (label) {
      for (const box of boxesOf(label.closest("form"))) box.checked = event.target.checked;
    }
    show();
  });
  document.addEventListener("rows-changed", show);
  addEventListener("pageshow", show);
}
