// Small help for forms: focus on what is wrong, no second submit, show a password.
//   data-focus          gets the focus when the page has loaded
//   data-reveal         around a password field and a hidden button data-reveal-button
{
  document.querySelector("[data-focus]")?.focus();

  for (const wrapper of document.querySelectorAll("[data-reveal]")) {
    const input = wrapper.querySelector("input");
    const button = wrapper.querySelector("[data-reveal-button]");
    button.hidden = false;
    button.addEventListener("click", () => {
      const shown = input.type === "text";
      input.type = shown ? "password" : "text";
      button.setAttribute("aria-pressed", String(!shown));
    });
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || event.defaultPrevented) return;
    if ("sent" in form.dataset) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "";
    form.setAttribute("aria-busy", "true");
  });

  // A page that the browser takes out of its store comes back with its forms ready.
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) {
      delete form.dataset.sent;
      form.removeAttribute("aria-busy");
    }
  });
}
