/* Has the theme's pages work with the build of Alpine that evaluates no code (docs/security.md).

   Its expressions see only what `x-data` names: so the functions of the theme, and the little of the
   window that it uses, become data of the page. */

(() => {
  "use strict";

  const OF_THE_WINDOW = {
    localStorage: {
      getItem: (name) => window.localStorage.getItem(name),
      setItem: (name, value) => window.localStorage.setItem(name, value),
    },
    window: {
      location: { pathname: window.location.pathname, search: window.location.search },
    },
    getCurrentTab: () => window.getCurrentTab(),
  };

  document.addEventListener("alpine:init", () => {
    Alpine.data("theme", (...values) => ({ ...window.theme(...values), ...OF_THE_WINDOW }));
    for (const name of ["searchForm", "searchDropdown", "searchCommand"]) {
      Alpine.data(name, window[name]);
    }
    // A text would become a `style` attribute, which the Content-Security-Policy forbids.
    const actions = document.getElementById("changelist-actions");
    actions?.setAttribute("x-bind:style", "{ width: changeListWidth + 'px' }");
    // It knows no functions in expressions; the button of the menu stores the value as well.
    const { body } = document;
    body.setAttribute("x-init", body.getAttribute("x-init").replace(/\$watch\(.*\);/, ""));
  });
})();
