// Files to be sent: what was chosen, with sizes, removable one by one, and a place to drop them.
//   <input type="file" multiple data-upload data-max-files="10" data-max-bytes="20000000"
//          data-text-remove="Remove" data-text-too-many="…" data-text-too-big="…">
{
  const UNITS = ["B", "kB", "MB", "GB"];

  const sizeOf = (bytes) => {
    let value = bytes;
    let unit = 0;
    while (value >= 1000 && unit < UNITS.length - 1) {
      value /= 1000;
      unit += 1;
    }
    const digits = unit === 0 || value >= 100 ? 0 : 1;
    const shown = value.toLocaleString(document.documentElement.lang, { maximumFractionDigits: digits });
    return `${shown}\u00a0${UNITS[unit]}`;
  };

  const start = (input) => {
    const { maxFiles, maxBytes, textRemove, textTooMany, textTooBig } = input.dataset;
    const list = document.createElement("ul");
    list.className = "upload-list";
    list.setAttribute("aria-live", "polite");
    input.after(list);
    let chosen = [];

    const store = (files) => {
      chosen = files;
      const transfer = new DataTransfer();
      for (const file of files) transfer.items.add(file);
      input.files = transfer.files;
      show();
    };

    const problem = () => {
      if (chosen.length > Number(maxFiles)) return textTooMany;
      const total = chosen.reduce((sum, file) => sum + file.size, 0);
      return total > Number(maxBytes) ? textTooBig : "";
    };

    const show = () => {
      input.setCustomValidity(problem());
      list.replaceChildren(...chosen.map(line));
      if (problem()) input.reportValidity();
    };

    const line = (file) => {
      const item = document.createElement("li");
      const name = document.createElement("span");
      name.className = "upload-name";
      name.textContent = file.name;
      const size = document.createElement("span");
      size.className = "upload-size";
      size.textContent = sizeOf(file.size);
      const button = document.createElement("button");
      button.type = "button";
      button.className = "btn btn-sm btn-quiet";
      button.textContent = textRemove;
      button.setAttribute("aria-label", `${textRemove}: ${file.name}`);
      button.addEventListener("click", () => {
        store(chosen.filter((other) => other !== file));
        input.focus();
      });
      item.append(name, size, button);
      return item;
    };

    // Choosing again adds: a browser by itself would forget the files from before.
    input.addEventListener("change", () => {
      const isKnown = (file) =>
        chosen.some((other) => other.name === file.name && other.size === file.size);
      store([...chosen, ...[...input.files].filter((file) => !isKnown(file))]);
    });

    const zone = input.closest(".drop");
    if (!zone) return;
    const over = (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      zone.classList.add("is-over");
    };
    zone.addEventListener("dragenter", over);
    zone.addEventListener("dragover", over);
    zone.addEventListener("dragleave", () => zone.classList.remove("is-over"));
    zone.addEventListener("drop", (event) => {
      if (!event.dataTransfer?.files.length) return;
      event.preventDefault();
      zone.classList.remove("is-over");
      store([...chosen, ...event.dataTransfer.files]);
    });
  };

  for (const input of document.querySelectorAll("input[data-upload]")) start(input);
}
