// The calendar: moves entries by mouse, key and dialog, and undoes moves.
// The server answers with the entry as it is then; an entry moves on the page only after that.
"use strict";

{
  const calendar = document.getElementById("calendar");
  const { url, room, failed, signedOut } = JSON.parse(
    document.getElementById("calendar-script").textContent,
  );
  const { zone, view } = calendar.dataset;
  const status = document.getElementById("calendar-status");
  const undoButton = document.getElementById("calendar-undo");
  const dialog = document.getElementById("calendar-dialog");
  const dialogError = document.getElementById("calendar-dialog-error");
  const dialogTime = document.getElementById("calendar-to");
  const dialogWhich = document.getElementById("calendar-which");
  const MINUTE = 60_000;
  const DAY = 24 * 60 * MINUTE;

  // Moves that can be undone, the last at the end.
  const moves = [];
  calendar.classList.add("is-live");

  // Entries

  const entryOf = (node) => node.closest?.("[data-job]");
  const movableOf = (node) => node.closest?.("[data-job][draggable=true]");
  const entry = (job) => calendar.querySelector(`[data-job="${job}"]`);
  const dayOf = (node) => node.closest?.("[data-day]");

  /** Show the entry as the server has it now: in its place in its day, or not at all. */
  function place({ job, day, run_at: runAt, html }) {
    const old = entry(job);
    const hadFocus = old?.contains(document.activeElement);
    const left = old && dayOf(old);
    old?.remove();
    const list = calendar.querySelector(`[data-day="${day}"] > ul`);
    if (list && html) {
      const holder = document.createElement("template");
      holder.innerHTML = html.trim();
      const next = [...list.children].find((other) => other.dataset.runAt > runAt);
      list.insertBefore(holder.content, next ?? null);
    }
    if (hadFocus) focus(job);
    if (view === "month") fill([left, list?.parentElement], job);
  }

  /** Show as many entries in days of a month as fit, and how many more there are. */
  async function fill(days, job) {
    const crowded = days.filter(
      (day) => day?.querySelector(".calendar-more") || day?.querySelectorAll("[data-job]").length > room,
    );
    if (!crowded.length) return;
    try {
      const text = await (await fetch(location.href, { redirect: "error" })).text();
      const fresh = new DOMParser().parseFromString(text, "text/html");
      for (const day of crowded) {
        const now = fresh.querySelector(`[data-day="${day.dataset.day}"]`);
        if (!now) continue;
        const hadFocus = day.contains(document.activeElement);
        day.replaceChildren(...now.childNodes);
        if (hadFocus) focus(job);
      }
    } catch {
      // It stays as it is: less than there is, as its last line says.
    }
  }

  /** Put the focus on an entry; when it is not on this page, where one goes on from. */
  function focus(job) {
    const link = entry(job)?.querySelector("a");
    link?.focus();
    if (link && document.activeElement === link) return;
    (undoButton.hidden ? calendar.querySelector(".calendar-links a") : undoButton).focus();
  }

  /** Say what became of a move; the button takes back what was said last, and nothing else. */
  function showStatus(text, isError, mayUndo) {
    status.textContent = text;
    status.parentElement.classList.toggle("is-error", isError);
    undoButton.hidden = !mayUndo;
  }

  // Moving

  // One at a time, in the order of the requests: each starts from the result of the one before.
  let last = Promise.resolve();

  function inTurn(action) {
    last = last.then(action, action);
    return last;
  }

  // What the server has said in answer to a move is newer than a page that was asked for before.
  let answeredAt = 0;

  /** Return the server's answer, with `text` and `isMoved`. */
  async function ask(job, to, expected, which = "") {
    const body = new URLSearchParams({ job, to, expected, csrfmiddlewaretoken: window.refreshToken(calendar) });
    body.set("to_zone", zone);
    if (which) body.set("to_which", which);
    try {
      const response = await fetch(url, {
        method: "POST",
        body,
        headers: { Accept: "application/json" },
      });
      answeredAt = performance.now();
      if (!response.headers.get("Content-Type")?.startsWith("application/json")) {
        return { isMoved: false, text: signedOut };
      }
      return { isMoved: response.ok, ...(await response.json()) };
    } catch {
      return { isMoved: false, text: failed };
    }
  }

  /** Move an entry; `target` returns the new time from the entry's data. */
  function move(job, target, which) {
    return inTurn(async () => {
      const known = entry(job)?.dataset;
      const to = known && target(known);
      if (!to) return null;
      const answer = await ask(job, to, known.runAt, which);
      if (answer.isMoved) {
        moves.push({ job, to: answer.was, expected: answer.entry.run_at });
      }
      showStatus(answer.text, !answer.isMoved, answer.isMoved);
      if (answer.entry) place(answer.entry);
      // The clocks show that time twice: which is meant?
      if (answer.which) openDialog(job, to, answer);
      return answer;
    });
  }

  function undo() {
    return inTurn(async () => {
      const move = moves.pop();
      if (!move) return;
      const answer = await ask(move.job, move.to, move.expected);
      const mayTryAgain = !answer.isMoved && !answer.entry;
      if (mayTryAgain) moves.push(move);
      const hadFocus = [undoButton, document.body].includes(document.activeElement);
      showStatus(answer.text, !answer.isMoved, mayTryAgain);
      if (answer.entry) place(answer.entry);
      if (hadFocus) focus(move.job);
    });
  }

  // Adds to the whole seconds; the fraction is kept.
  const shift = (time, by) =>
    new Date(Date.parse(`${time.slice(0, 19)}Z`) + by).toISOString().slice(0, 19) + time.slice(19);
  // Days keep the local time of day; hours and minutes are exact.
  const byDays = (days) => (known) => shift(known.local, days * DAY);
  const byMinutes = (minutes) => (known) => shift(known.runAt, minutes * MINUTE);
  const toDay = (day) => (known) =>
    known.local.startsWith(day) ? null : day + known.local.slice(10);

  // Drag

  let dragged = null;
  // The entry that was pressed is dragged, also if the page has been scrolled since.
  let pressed = null;

  calendar.addEventListener("pointerdown", (event) => {
    pressed = movableOf(event.target);
  });

  function mark(day) {
    for (const each of calendar.querySelectorAll(".is-target")) each.classList.remove("is-target");
    day?.classList.add("is-target");
  }

  calendar.addEventListener("dragstart", (event) => {
    const item = pressed ?? movableOf(event.target);
    if (!item) return;
    dragged = item.dataset.job;
    item.classList.add("is-dragged");
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", item.querySelector(".calendar-title").textContent);
  });

  calendar.addEventListener("dragover", (event) => {
    const day = dragged && dayOf(event.target);
    mark(day);
    if (!day) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "move";
  });

  calendar.addEventListener("drop", (event) => {
    const day = dragged && dayOf(event.target);
    if (!day) return;
    event.preventDefault();
    move(dragged, toDay(day.dataset.day));
  });

  calendar.addEventListener("dragend", () => {
    if (dragged) entry(dragged)?.classList.remove("is-dragged");
    dragged = pressed = null;
    mark(null);
    showFresh();
  });

  for (const name of ["pointerup", "pointercancel"]) {
    document.addEventListener(name, () => {
      // A drag cancels the pointer, and has only begun.
      if (dragged) return;
      pressed = null;
      showFresh();
    });
  }

  // Keys

  const KEYS = {
    ArrowLeft: (isLarge, count = 1) => byDays(-count),
    ArrowRight: (isLarge, count = 1) => byDays(count),
    ArrowUp: (isLarge, count = 1) => byMinutes(count * (isLarge ? -60 : -15)),
    ArrowDown: (isLarge, count = 1) => byMinutes(count * (isLarge ? 60 : 15)),
  };

  // The Z key, also with the Korean layout.
  const Z = ["z", "ㅋ"];

  // A key that is held down makes one move, when it is released.
  const HELD = 250;
  let held = null;

  function hold(job, key, isLarge) {
    if (held?.job !== job || held.key !== key) held = { job, key, count: 0 };
    held.count += 1;
    clearTimeout(held.timer);
    const { count } = held;
    held.timer = setTimeout(() => {
      held = null;
      move(job, KEYS[key](isLarge, count)).then(showFresh);
    }, HELD);
  }

  document.addEventListener("keydown", (event) => {
    if (dialog.open || event.target.closest?.("input, select, textarea")) return;
    // Without a modifier the key acts only on an entry.
    if (event.key === "?" && entryOf(event.target)) {
      const help = calendar.querySelector(".calendar-help");
      if (help) help.open = !help.open;
    } else if ((event.ctrlKey || event.metaKey) && !event.shiftKey && Z.includes(event.key)) {
      if (!moves.length) return;
      event.preventDefault();
      undo();
    } else if (event.altKey && !event.ctrlKey && !event.metaKey && KEYS[event.key]) {
      const item = movableOf(event.target);
      if (!item) return;
      event.preventDefault(); // or the browser would go a page back
      if (event.repeat) hold(item.dataset.job, event.key, event.shiftKey);
      else move(item.dataset.job, KEYS[event.key](event.shiftKey));
    }
  });

  // Dialog

  let asked = null; // the job to move
  let shown = ""; // the time at first

  /** Ask for a new time, or which of two moments a time is. */
  function openDialog(job, time, { text = "", which = "" } = {}) {
    const name = entry(job)?.querySelector(".calendar-title").textContent;
    asked = job;
    document.getElementById("calendar-dialog-name").textContent = name ? `“${name}”` : "";
    dialogError.textContent = text;
    dialogWhich.innerHTML = which;
    dialogTime.value = time.slice(0, time.slice(17, 19) === "00" ? 16 : 19);
    if (!dialog.open) dialog.showModal();
    dialogWhich.querySelector("input")?.focus();
  }

  calendar.addEventListener("click", (event) => {
    const button = event.target.closest(".calendar-move");
    if (!button) return;
    const { job, local } = entryOf(button).dataset;
    openDialog(job, local);
    shown = dialogTime.value;
  });

  // Which of two is meant was asked for another time.
  dialogTime.addEventListener("input", () => dialogWhich.replaceChildren());

  dialog.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    dialogError.textContent = "";
    const wanted = dialogTime.value;
    const which = dialogWhich.querySelector("input:checked")?.value ?? "";
    // A time that was not changed keeps its fraction of a second.
    const target = () => (wanted === shown && !which ? null : wanted);
    const answer = await move(asked, target, which);
    if (answer && !answer.isMoved) {
      dialogError.textContent = answer.text;
    } else {
      dialog.close();
    }
  });

  document.getElementById("calendar-cancel").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    shown = "";
    focus(asked);
    showFresh();
  });

  undoButton.addEventListener("click", undo);

  // What others have moved, and what has gone live

  let fresh = null; // the newest page of the server that is not shown yet

  calendar.addEventListener("armo:fresh", ({ detail }) => {
    fresh = detail;
    showFresh();
  });

  /** Show the days as the server has them; not while somebody drags, presses, or types a time. */
  function showFresh() {
    return inTurn(() => {
      if (!fresh || dragged || pressed || held || dialog.open) return;
      const page = fresh.askedAt > answeredAt ? fresh.fresh : null;
      fresh = null;
      if (!page) return;
      for (const day of calendar.querySelectorAll("[data-day]")) {
        const now = page.querySelector(`[data-day="${day.dataset.day}"]`);
        if (now) showDay(day, now);
      }
    });
  }

  function showDay(day, now) {
    const selection = getSelection();
    const isSelected = !selection.isCollapsed && selection.containsNode(day, true);
    if (isSelected || day.innerHTML === now.innerHTML) return;
    const active = day.contains(document.activeElement) ? document.activeElement : null;
    const job = active && entryOf(active)?.dataset.job;
    const isButton = active?.matches("button");
    day.replaceChildren(...now.childNodes);
    day.className = now.className;
    if (!active) return;
    const here = job ? entry(job) : day.querySelector("h3");
    here?.querySelector(isButton ? "button" : "a")?.focus({ preventScroll: true });
  }

  // Filters

  const filters = calendar.querySelector(".calendar-filters");
  filters.addEventListener("submit", () => {
    // Leave empty choices out of the URL.
    for (const select of filters.querySelectorAll("select")) select.disabled = !select.value;
  });
  addEventListener("pageshow", () => {
    for (const select of filters.querySelectorAll("select")) select.disabled = false;
  });
}
