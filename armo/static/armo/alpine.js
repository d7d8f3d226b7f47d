/* Has the theme's pages work with the build of Alpine that evaluates no code (docs/security.md).

   Its expressions see only what `x-data` names: so the functions of the theme, and the little of the
   window that it uses, become data of the page. */

(() => {
  "use strict";

  const OF_THE_WINDOW = {
    localStorage: { getItem: (name) => window.localStorage.getItem(name) },
    window: {
      location: { pathname: window.location.pathname, search: window.location.search },
    },
    activeTab: "",
    getCurrentTab: () => window.getCurrentTab(),
    keepSidebar(isOpen) {
      window.localStorage.setItem("sidebarDesktopOpen", isOpen ? "1" : "0");
      return isOpen;
    },
  };

  // Expressions of the theme that it cannot read, with a function or two statements in them, or
  // whose text would become a `style` attribute.
  const REPLACED = [
    ["body", "x-init", "activeTab = getCurrentTab() || activeTab"],
    ["[x-on\\:click^='sidebarDesktopOpen = ']", "x-on:click",
      "sidebarDesktopOpen = keepSidebar(!sidebarDesktopOpen)"],
    ["[x-on\\:keydown\\.enter\\.prevent^='if ']", "x-on:keydown.enter.prevent",
      "$event.metaKey || $event.ctrlKey || selectItem(false, false)"],
    ["#changelist-actions", "x-bind:style", "{ width: changeListWidth + 'px' }"],
  ];

  document.addEventListener("alpine:init", () => {
    Alpine.data("theme", (...values) => ({ ...window.theme(...values), ...OF_THE_WINDOW }));
    for (const name of ["searchForm", "searchDropdown", "searchCommand"]) {
      Alpine.data(name, window[name]);
    }
    for (const [selector, name, expression] of REPLACED) {
      for (const part of document.querySelectorAll(selector)) part.setAttribute(name, expression);
    }
  });
})();
