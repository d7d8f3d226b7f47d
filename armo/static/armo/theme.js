/* Makes the admin's theme accessible to keyboards and screen readers. */

(() => {
  "use strict";

  // Otherwise it adds a style sheet to the page, which the Content-Security-Policy forbids.
  htmx.config.includeIndicatorStyles = false;
  htmx.config.allowEval = false;

  // Autocomplete boxes have no accessible names, and a button in a list, where only list items may
  // be. They are rendered again at each choice.

  function mendBoxes() {
    for (const select of document.querySelectorAll("select.select2-hidden-accessible[id]")) {
      const label = document.querySelector(`label[for="${select.id}"]`);
      const box = select.nextElementSibling;
      if (!label || !box) continue;
      const name = label.textContent.trim();
      for (const part of box.querySelectorAll("[role='combobox'], input, textarea")) {
        if (part.getAttribute("aria-label") !== name) part.setAttribute("aria-label", name);
      }
      for (const part of box.querySelectorAll("ul > span:not([role='listitem'])")) {
        part.setAttribute("role", "listitem");
      }
    }
  }

  // Controls that the theme has made for the mouse alone: its menu, filters, and light and dark.

  function openToKeyboards() {
    for (const part of document.querySelectorAll("[x-on\\:click]")) {
      if (part.matches("button, input, select, textarea, a[href]")) continue;
      if (!part.textContent.trim()) continue;
      part.tabIndex = 0;
      part.setAttribute("role", "button");
      part.addEventListener("keydown", (event) => {
        if (event.target !== part || !["Enter", " "].includes(event.key)) return;
        event.preventDefault();
        part.click();
      });
    }
  }

  // The theme marks no element as main; pages before the login have `#page` only.
  function nameMainPart() {
    const main = document.getElementById("main") || document.getElementById("page");
    if (!main) return;
    main.setAttribute("role", "main");
    main.tabIndex = -1;
  }

  // Elements that other scripts add: two scroll areas of one name, icons with a name but no role.
  function mendOthers() {
    for (const part of document.querySelectorAll("nav .simplebar-content-wrapper[role]")) {
      part.removeAttribute("role");
      part.removeAttribute("aria-label");
    }
    for (const icon of document.querySelectorAll("span.help-tooltip[aria-label]:not([role])")) {
      icon.setAttribute("role", "img");
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    nameMainPart();
    openToKeyboards();
    const main = document.getElementById("content-main");
    if (main) new MutationObserver(mendBoxes).observe(main, { childList: true, subtree: true });
    mendBoxes();
  });
  // After the other scripts' handlers of the same event.
  window.addEventListener("load", () => setTimeout(mendOthers));
})();
