// What makes routing rules quicker to edit; all of it works without.
//   <table data-rules>          its rows, each with data-position, can be dragged: the form of the
//                               row is then sent with the position where it was dropped
//   <… data-operators="JSON">   which comparisons fit which field of a data-test
//   <… data-test>               one condition; name and value show where they count
{
  const table = document.querySelector("[data-rules]");
  let dragged = null;
  for (const row of table?.tBodies[0].rows ?? []) {
    row.draggable = true;
    row.addEventListener("dragstart", (event) => {
      dragged = row;
      event.dataTransfer.effectAllowed = "move";
      row.classList.add("is-dragged");
    });
    row.addEventListener("dragend", () => {
      dragged = null;
      row.classList.remove("is-dragged");
    });
    row.addEventListener("dragover", (event) => {
      if (dragged && dragged !== row) event.preventDefault(); // says that it may be dropped here
    });
    row.addEventListener("drop", (event) => {
      event.preventDefault();
      if (!dragged || dragged === row) return;
      const form = dragged.querySelector("form");
      const button = form.querySelector("button:not(:disabled)");
      button.value = row.dataset.position;
      form.requestSubmit(button);
    });
  }

  const builder = document.querySelector("[data-operators]");
  const operators = builder ? JSON.parse(builder.dataset.operators) : {};
  for (const test of document.querySelectorAll("[data-test]")) {
    const field = test.querySelector(".test-field select");
    const operator = test.querySelector(".test-operator select");
    const all = [...operator.options];
    const renew = () => {
      const chosen = operator.value;
      operator.replaceChildren(...all.filter((each) => operators[field.value].includes(each.value)));
      operator.value = chosen;
      if (operator.selectedIndex < 0) operator.selectedIndex = 0;
      test.querySelector(".test-name").hidden = field.value !== "header";
      test.querySelector(".test-value").hidden = operator.value === "exists";
    };
    field.addEventListener("change", renew);
    operator.addEventListener("change", renew);
    // An error about the comparison keeps the one that is wrong until another field is chosen.
    if (operators[field.value].includes(operator.value)) renew();
  }
}
