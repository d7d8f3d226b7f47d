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

  // A hidden page sends no requests; it sends one at once when it is shown again.
  const whenSeen = () =>
    new Promise((resolve) => {
      if (!document.hidden) return resolve();
      document.addEventListener("visibilitychange", resolve, { once: true });
    });

  const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

  const TROUBLE_SECONDS = 10;

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
      answer = await fetch(url, { headers, redirect: "manual", ...options });
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

  // Only if it differs: a screen reader would read it again and again.
  function replace(part, html) {
    if (part.innerHTML.trim() !== html.trim()) part.innerHTML = html;
  }

  function showBanner(html) {
    const place = document.querySelector("[data-armo-banner]");
    if (place) replace(place, html);
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
        const { items, again, banner } = await (await ask(url)).json();
        showBanner(banner);
        for (const [pk, item] of Object.entries(items)) {
          const row = rows.get(pk);
          const badge = row.querySelector(".field-status_badge .armo-badge");
          if (badge && badge.outerHTML !== item.badge) badge.outerHTML = item.badge;
          const due = row.querySelector(".field-goes_live .armo-due");
          const cell = row.querySelector(".field-goes_live");
          if (due) due.outerHTML = item.due;
          else if (cell && item.due) cell.insertAdjacentHTML("beforeend", item.due);
          const since = row.querySelector(".field-published_at");
          if (since) replace(since, item.published);
        }
        wait = again;
      } catch {
        wait = TROUBLE_SECONDS;
      }
    }
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

  function replacePanel(panel, fresh) {
    const labels = (from) => [...from.querySelectorAll("details[open] > summary")].map((summary) => summary.textContent);
    const open = labels(panel);
    for (const summary of fresh.querySelectorAll("details > summary")) {
      if (open.includes(summary.textContent)) summary.parentElement.open = true;
    }
    panel.replaceWith(fresh);
  }

  async function watchPanel(place) {
    for (let wait = 0.5; ; ) {
      await pause(wait);
      await whenSeen();
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
          replacePanel(panel, fresh);
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
    document.querySelectorAll("[data-armo-list]").forEach(watchList);
    document.querySelectorAll("[data-armo-panel]").forEach(watchPanel);
    document.querySelectorAll("[data-armo-preview]").forEach(showText);
  });
})();
