/* Keeps pages up to date, says what a time means, and shows a text as readers will see it. */

(() => {
  "use strict";

  const later = (work, milliseconds) => {
    let timer;
    return (...args) => {
      clearTimeout(timer);
      timer = setTimeout(() => work(...args), milliseconds);
    };
  };

  // A page that nobody looks at asks for nothing; it asks at once when it is looked at again.
  const whenSeen = () =>
    new Promise((resolve) => {
      if (!document.hidden) return resolve();
      document.addEventListener("visibilitychange", resolve, { once: true });
    });

  const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

  const TROUBLE_SECONDS = 10;

  async function ask(url) {
    const answer = await fetch(url, { headers: { "X-Requested-With": "fetch" }, redirect: "error" });
    if (!answer.ok) throw new Error(String(answer.status));
    return answer;
  }

  // The list: badges and times follow what happens.

  function rowsOf(list) {
    const rows = new Map();
    for (const box of list.querySelectorAll("input.action-select")) {
      const row = box.closest("tr");
      if (row && box.value) rows.set(box.value, row);
    }
    if (!rows.size) {
      // Without actions there are no boxes: the link of each row ends in its number.
      for (const link of list.querySelectorAll("th a[href*='/change/']")) {
        const found = /\/(\d+)\/change\//.exec(link.getAttribute("href"));
        if (found) rows.set(found[1], link.closest("tr"));
      }
    }
    return rows;
  }

  async function watchList(head) {
    const list = document.getElementById("changelist");
    const rows = list && rowsOf(list);
    if (!rows || !rows.size) return;
    const url = `${head.dataset.armoList}?ids=${[...rows.keys()].join(",")}`;
    for (let wait = 0.5; ; ) {
      await pause(wait);
      await whenSeen();
      try {
        const { items, again } = await (await ask(url)).json();
        for (const [pk, item] of Object.entries(items)) {
          const row = rows.get(pk);
          const badge = row.querySelector(".field-status_badge .armo-badge");
          if (badge && badge.outerHTML !== item.badge) badge.outerHTML = item.badge;
          const due = row.querySelector(".field-goes_live .armo-due");
          const cell = row.querySelector(".field-goes_live");
          if (due) due.outerHTML = item.due;
          else if (cell && item.due) cell.insertAdjacentHTML("beforeend", item.due);
        }
        wait = again;
      } catch {
        wait = TROUBLE_SECONDS;
      }
    }
  }

  // The panel of an item.

  const isBeingUsed = (panel) =>
    panel.contains(document.activeElement) &&
    document.activeElement.matches("input, select, textarea, button");

  async function watchPanel(place) {
    const liveUrl = place.dataset.armoPanel.replace(/\d+\/panel\/$/, "live/");
    const pk = /(\d+)\/panel\/$/.exec(place.dataset.armoPanel)[1];
    const panelNow = () => place.querySelector(".armo-panel");
    for (let wait = 0.5; ; ) {
      await pause(wait);
      await whenSeen();
      try {
        const { items, again } = await (await ask(`${liveUrl}?ids=${pk}`)).json();
        wait = again;
        const item = items[pk];
        const panel = panelNow();
        if (!item) continue;
        if (String(item.version) === panel.dataset.version) {
          panel.querySelector("[data-armo-due]").innerHTML = item.due;
          continue;
        }
        if (isBeingUsed(panel)) {
          panel.querySelector("[data-armo-badge]").innerHTML = item.badge;
          panel.querySelector("[data-armo-due]").innerHTML = item.due;
          panel.querySelector("[data-armo-note]").hidden = false;
          continue;
        }
        place.innerHTML = await (await ask(place.dataset.armoPanel)).text();
      } catch {
        wait = TROUBLE_SECONDS;
      }
    }
  }

  // What a local time means.

  const explainTime = later(async (input) => {
    const place = input.parentElement.querySelector("[data-armo-when]");
    const panel = input.closest("[data-when]") || document.querySelector("[data-when]");
    if (!place || !panel) return;
    if (!input.value) {
      place.innerHTML = "";
      return;
    }
    const chosen = place.querySelector("input:checked");
    const query = new URLSearchParams({ name: input.name, at: input.value });
    if (chosen) query.set("at_which", chosen.value);
    try {
      const text = await (await ask(`${panel.dataset.when}?${query}`)).text();
      if (place.contains(document.activeElement)) return;
      place.innerHTML = text;
    } catch {
      place.innerHTML = "";
    }
  }, 250);

  document.addEventListener("input", (event) => {
    if (event.target.matches("input[type='datetime-local']")) explainTime(event.target);
  });

  // The text as readers will see it. The frame runs no scripts.

  function showText(details) {
    const frame = details.querySelector("iframe");
    const form = details.closest("form");
    // Beneath what it shows, rather than beneath the whole form.
    const body = form.querySelector("#id_body")?.closest(".form-row");
    if (body) body.after(details);
    const show = later(async () => {
      if (!details.open) return;
      const answer = await fetch(details.dataset.armoPreview, {
        method: "POST",
        body: new FormData(form),
        redirect: "error",
      }).catch(() => null);
      if (answer && answer.ok) frame.srcdoc = await answer.text();
    }, 300);
    form.addEventListener("input", show);
    details.addEventListener("toggle", show);
    show();
  }

  // The boxes that look words up have no names of their own, and a button in a list, where only
  // entries may be. They are drawn anew with each choice.

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

  // What the theme has for a mouse alone: its menu, its filters, its light and dark.

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

  // The theme says of nothing that it is the page's main part; who has not signed in sees that only.
  function nameMainPart() {
    const main = document.getElementById("main") || document.getElementById("page");
    if (!main) return;
    main.setAttribute("role", "main");
    main.tabIndex = -1;
  }

  // What other scripts have put in: two parts that scroll of one name, pictures with a name but no role.
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
    document.querySelectorAll("[data-armo-list]").forEach(watchList);
    document.querySelectorAll("[data-armo-panel]").forEach(watchPanel);
    document.querySelectorAll("[data-armo-preview]").forEach(showText);
    const main = document.getElementById("content-main");
    if (main) new MutationObserver(mendBoxes).observe(main, { childList: true, subtree: true });
    mendBoxes();
  });
  // After all others that wait for the same.
  window.addEventListener("load", () => setTimeout(mendOthers));
})();
