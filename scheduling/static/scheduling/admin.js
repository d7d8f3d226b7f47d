/* Refreshes pages, shows what a time means, and previews a text as readers will see it. */

(() => {
  "use strict";

  const later = (work, milliseconds) => {
    let timer;
    return (...args) => {
      clearTimeout(timer);
      timer = setTimeout(() => work(...args), milliseconds);
    };
  };

  // "news": something may have changed; "back": somebody looks at the page again.
  const happened = new EventTarget();
  let backAt = 0;

  function comeBack() {
    // A window may get the focus from a frame of its own, again and again.
    if (document.hidden || performance.now() - backAt < 1000) return;
    backAt = performance.now();
    happened.dispatchEvent(new Event("back"));
  }
  document.addEventListener("visibilitychange", comeBack);
  for (const name of ["focus", "online", "pageshow"]) window.addEventListener(name, comeBack);

  // Resolves after a time, or at an event; while the page is hidden, which sends no requests, not at all.
  function rest(seconds, ...names) {
    return new Promise((resolve) => {
      const end = () => {
        if (document.hidden) return;
        clearTimeout(timer);
        for (const name of names) happened.removeEventListener(name, end);
        resolve();
      };
      const timer = setTimeout(end, 1000 * seconds);
      for (const name of names) happened.addEventListener(name, end);
    });
  }

  // When to ask again after a failure, and when a request is taken for one.
  const TROUBLE_SECONDS = 5;
  const LONGEST_SECONDS = 9;

  // Show the bar that says why the page cannot be refreshed; without a name, none.
  function showTrouble(name) {
    for (const bar of document.querySelectorAll("[data-armo-trouble]")) {
      bar.hidden = bar.dataset.armoTrouble !== name;
    }
  }

  async function ask(url, options) {
    const headers = { "X-Requested-With": "fetch" };
    let answer;
    try {
      const signal = AbortSignal.timeout(1000 * LONGEST_SECONDS);
      answer = await fetch(url, { headers, redirect: "manual", signal, ...options });
    } catch (error) {
      showTrouble("no-answer");
      throw error;
    }
    // Someone who is signed out is redirected to the login page.
    showTrouble(answer.type === "opaqueredirect" ? "signed-out" : answer.status >= 500 ? "no-answer" : "");
    if (!answer.ok) throw new Error(String(answer.status));
    return answer;
  }

  // Signing in changes the CSRF token: forms of older pages would be refused.
  window.refreshToken = (form) => {
    const token = /(?:^|; )csrftoken=([^;]+)/.exec(document.cookie);
    const field = form.querySelector("input[name='csrfmiddlewaretoken']");
    if (token && field) field.value = token[1];
    return field?.value;
  };

  document.addEventListener("submit", (event) => {
    if (event.target.method === "post") window.refreshToken(event.target);
  }, true);

  // The list: refreshes badges and times.

  function rowsOf(list) {
    const rows = new Map();
    for (const box of list.querySelectorAll("input.action-select")) {
      const row = box.closest("tr");
      if (row && box.value) rows.set(box.value, row);
    }
    if (!rows.size) {
      // Without actions there are no checkboxes: the link of each row has its primary key.
      for (const link of list.querySelectorAll("th a[href*='/change/']")) {
        const found = /\/(\d+)\/change\//.exec(link.getAttribute("href"));
        if (found) rows.set(found[1], link.closest("tr"));
      }
    }
    return rows;
  }

  // As the browser writes it: a server may write an apostrophe in another way.
  function written(html) {
    const holder = document.createElement("template");
    holder.innerHTML = html;
    return holder.innerHTML.trim();
  }

  const isSelected = (part) => {
    const selection = getSelection();
    return !selection.isCollapsed && selection.containsNode(part, true);
  };

  // Only if it differs: a screen reader would read it again and again. Returns whether it did.
  function replace(part, html) {
    if (part.innerHTML.trim() === written(html) || isSelected(part)) return false;
    part.innerHTML = html;
    return true;
  }

  // The one request that every page sends: whether there is news, and what the banner says.

  async function watchNews(place) {
    for (let wait = 0.1, known = place.dataset.armoNews; ; ) {
      await rest(wait, "back");
      try {
        const { banner, news, again } = await (await ask(place.dataset.armoLive)).json();
        const isNew = replace(place, banner) || news !== known;
        known = news;
        wait = again;
        if (isNew) happened.dispatchEvent(new Event("news"));
      } catch {
        wait = TROUBLE_SECONDS;
      }
    }
  }

  async function watchList(head) {
    const list = document.getElementById("changelist");
    const rows = list && rowsOf(list);
    if (!rows || !rows.size) return;
    const url = `${head.dataset.armoList}?ids=${[...rows.keys()].join(",")}`;
    for (let wait = 0.5; ; ) {
      await rest(wait, "back", "news");
      try {
        const { rows: fresh, again } = await (await ask(url)).json();
        for (const [pk, cells] of Object.entries(fresh)) {
          for (const [name, html] of Object.entries(cells)) {
            const cell = rows.get(pk).querySelector(`td.field-${name}`);
            if (cell) replace(cell, html);
          }
        }
        wait = again;
      } catch {
        wait = TROUBLE_SECONDS;
      }
    }
  }

  // Pages that are made anew as a whole: their parts are taken from there.

  const PAGE_SECONDS = 60;

  async function watchPage(page) {
    for (let wait = PAGE_SECONDS; ; ) {
      await rest(wait, "back", "news");
      const askedAt = performance.now();
      try {
        const text = await (await ask(location.href)).text();
        const fresh = new DOMParser().parseFromString(text, "text/html");
        for (const part of page.querySelectorAll("[data-armo-part]")) {
          const now = fresh.querySelector(`[data-armo-part="${part.dataset.armoPart}"]`);
          if (now) refreshPart(part, now);
        }
        page.dispatchEvent(new CustomEvent("armo:fresh", { detail: { fresh, askedAt } }));
        wait = PAGE_SECONDS;
      } catch {
        wait = TROUBLE_SECONDS;
      }
    }
  }

  // The focus stays on its link, and what is open stays open; what is typed in is left alone.
  function refreshPart(part, fresh) {
    const { version } = part.dataset; // of forms, whose tokens differ each time
    if (version && version === fresh.dataset.version) return;
    const active = part.contains(document.activeElement) ? document.activeElement : null;
    if (active?.matches("input, select, textarea, button") || [...part.querySelectorAll("input, textarea")].some(isTyped)) return;
    const name = (element) => element.getAttribute("href") ?? element.textContent;
    keepOpen(part, fresh);
    if (!replace(part, fresh.innerHTML)) return;
    if (version) part.dataset.version = fresh.dataset.version;
    if (!active) return;
    const same = [...part.querySelectorAll("a, summary")].find((other) => name(other) === name(active));
    same?.focus({ preventScroll: true });
  }

  // The panel of an item.

  const isTyped = (field) => {
    if (field.type === "hidden") return false;
    if (field.type === "radio") return field.checked !== field.defaultChecked;
    // A browser normalises a value, such as a full minute without its seconds.
    const untouched = field.cloneNode();
    untouched.value = field.defaultValue;
    return field.value !== untouched.value;
  };

  const isBeingUsed = (panel) =>
    (panel.contains(document.activeElement) &&
      document.activeElement.matches("input, select, textarea, button, summary")) ||
    [...panel.querySelectorAll("input, textarea")].some(isTyped);

  // The state of the item and the publisher; the forms stay as they are.
  function refreshParts(panel, fresh) {
    for (const part of panel.querySelectorAll("[data-armo-part]")) {
      const now = fresh.querySelector(`[data-armo-part="${part.dataset.armoPart}"]`);
      if (now) replace(part, now.innerHTML);
    }
  }

  function keepOpen(old, fresh) {
    const open = [...old.querySelectorAll("details[open] > summary")].map((summary) => summary.textContent);
    for (const summary of fresh.querySelectorAll("details > summary")) {
      if (open.includes(summary.textContent)) summary.parentElement.open = true;
    }
  }

  async function watchPanel(place) {
    for (let wait = 0.5; ; ) {
      await rest(wait, "back", "news");
      try {
        const text = await (await ask(place.dataset.armoPanel)).text();
        const panel = place.querySelector(".armo-panel");
        const fresh = new DOMParser().parseFromString(text, "text/html").querySelector(".armo-panel");
        wait = Number(fresh.dataset.again);
        const isSame = fresh.dataset.version === panel.dataset.version;
        if (isSame || isBeingUsed(panel)) {
          refreshParts(panel, fresh);
          panel.querySelector("[data-armo-note]").hidden = isSame;
        } else {
          keepOpen(panel, fresh);
          panel.replaceWith(fresh);
        }
      } catch {
        wait = TROUBLE_SECONDS;
      }
    }
  }

  // The meaning of a local time.

  const explainTime = later(async (input) => {
    const place = input.parentElement.querySelector("[data-armo-when]");
    const panel = input.closest("[data-when]") || document.querySelector("[data-when]");
    if (!place || !panel) return;
    if (!input.value) {
      place.innerHTML = "";
      return;
    }
    const chosen = place.querySelector("input:checked");
    const zone = input.parentElement.querySelector(`input[name="${input.name}_zone"]`);
    const query = new URLSearchParams({ name: input.name, at: input.value, item: panel.dataset.item || "" });
    if (chosen) query.set("at_which", chosen.value);
    if (zone) query.set("at_zone", zone.value);
    try {
      const text = await (await ask(`${panel.dataset.when}?${query}`)).text();
      const wasIn = place.contains(document.activeElement);
      place.innerHTML = text;
      if (wasIn) place.querySelector("input:checked")?.focus();
    } catch {
      place.innerHTML = "";
    }
  }, 250);

  document.addEventListener("input", (event) => {
    if (event.target.matches("input[type='datetime-local']")) return explainTime(event.target);
    // The choice between the two meanings of a time that comes twice.
    const place = event.target.closest("[data-armo-when]");
    const input = place?.parentElement.querySelector("input[type='datetime-local']");
    if (input) explainTime(input);
  });

  // The preview of the text. The frame runs no scripts.

  function showText(details) {
    const frame = details.querySelector("iframe");
    const form = details.closest("form");
    // Below the field that it shows, not below the whole form.
    const body = form.querySelector("#id_body")?.closest(".form-row");
    if (body) body.after(details);
    let asked = 0;
    const show = later(async () => {
      if (!details.open) return;
      window.refreshToken(form);
      const mine = ++asked;
      const options = { method: "POST", body: new FormData(form) };
      const answer = await ask(details.dataset.armoPreview, options).catch(() => null);
      // Answers may arrive in another order.
      if (answer && mine === asked) frame.srcdoc = await answer.text();
    }, 300);
    form.addEventListener("input", show);
    details.addEventListener("toggle", show);
    show();
  }

  // A form with errors or conflicts is not saved yet.
  function warnOfUnsaved() {
    const form = document.querySelector("form[id$='_form']");
    if (!form || !form.querySelector(".errorlist, .armo-conflict, .errornote")) return;
    const warn = (event) => event.preventDefault();
    window.addEventListener("beforeunload", warn);
    form.addEventListener("submit", () => window.removeEventListener("beforeunload", warn));
  }

  document.addEventListener("DOMContentLoaded", () => {
    warnOfUnsaved();
    document.querySelectorAll("[data-armo-live]").forEach(watchNews);
    document.querySelectorAll("[data-armo-fresh]").forEach(watchPage);
    document.querySelectorAll("[data-armo-list]").forEach(watchList);
    document.querySelectorAll("[data-armo-panel]").forEach(watchPanel);
    document.querySelectorAll("[data-armo-preview]").forEach(showText);
  });
})();
