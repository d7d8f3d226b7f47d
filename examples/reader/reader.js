// Lists what is live, shows a story, and follows both as they change: a page, and the client.

import { Armo, ArmoError } from "./armo.min.js";

const TEXTS = {
  en: {
    heading: "What is live",
    older: "Older stories",
    none: "Nothing is live yet.",
    language: "한국어",
    gone: "This story is no longer live.",
    back: "All stories",
    trouble: "There is no connection just now. What you see may be out of date.",
    failed: (detail) => `This did not work: ${detail}`,
    news: (title) => `Just published: ${title}`,
  },
  ko: {
    heading: "발행된 글",
    older: "이전 글 더 보기",
    none: "아직 발행된 글이 없습니다.",
    language: "English",
    gone: "이 글은 더 이상 발행되어 있지 않습니다.",
    back: "전체 글",
    trouble: "지금은 연결되지 않습니다. 보이는 내용이 최신이 아닐 수 있습니다.",
    failed: (detail) => `요청을 처리하지 못했습니다. ${detail}`,
    news: (title) => `방금 발행되었습니다: ${title}`,
  },
};
const PAGE_SIZE = 20;
const EVERY_SECONDS = 5;

const site = document.documentElement.dataset.site;
/** The page's own parts, found before a story is shown: that may have the same ids. */
const parts = Object.fromEntries(Array.from(document.querySelectorAll("[id]"), (it) => [it.id, it]));
const at = (id) => parts[id];

let language = navigator.language.startsWith("ko") ? "ko" : "en";
let texts = TEXTS[language];
let armo = new Armo(site, { language });
/** Ends what is followed, when something else is. */
let reading = new AbortController();
/** The rows of the first page, and those that come after them. */
let first = [];
let older = [];
let next = null;

function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

function timeOf({ published_at }) {
  const format = new Intl.DateTimeFormat(language, { dateStyle: "long", timeStyle: "short" });
  return make("time", { dateTime: published_at }, format.format(new Date(published_at)));
}

/** Return the query of the page at this address. */
const queryOf = (address) => Object.fromEntries(new URL(address, site).searchParams);

function showRows() {
  const rows = [...first, ...older].map((row) => {
    const link = make("a", { href: `#${row.id}`, lang: row.language }, row.title);
    return make("li", {}, link, timeOf(row));
  });
  const focused = document.activeElement?.getAttribute("href");
  at("rows").replaceChildren(...rows);
  if (focused) at("rows").querySelector(`a[href="${focused}"]`)?.focus();
  at("none").hidden = rows.length > 0;
  at("older").hidden = !next;
}

/** Take a new first page; what was on it and is older than its last row comes after it. */
function takeFirst({ results, next: address }) {
  const last = results.at(-1);
  const known = new Set(results.map((it) => it.id));
  const pushedOut = address ? first.filter((it) => it.published_at < last.published_at) : [];
  const news = results.filter((it) => !first.some((other) => other.id === it.id));
  if (first.length && news.length) at("news").textContent = texts.news(news[0].title);
  older = [...pushedOut, ...older].filter((it) => !known.has(it.id));
  if (!older.length) next = address;
  first = results;
}

function showStory(story) {
  const article = at("story");
  article.lang = story.language;
  const body = make("div");
  // Armo has cleaned it, and the policy of this page lets no script in it run.
  body.innerHTML = story.body_html;
  for (const name of ["href", "src"]) {
    for (const element of body.querySelectorAll(`[${name}]`)) {
      const address = [element.getAttribute(name), story.url ?? site];
      if (URL.canParse(...address)) element[name] = new URL(...address).href;
      else element.removeAttribute(name);
    }
  }
  article.replaceChildren(make("h2", {}, story.title), timeOf(story), body, backLink());
}

const backLink = () => make("p", { lang: language }, make("a", { href: "#" }, texts.back));

/** Call `show` with the answer, and each time that it changes, until something else is read. */
async function follow(route, options, show) {
  const { signal } = reading;
  const onTrouble = () => (at("trouble").textContent = texts.trouble);
  try {
    const answers = armo.follow(route, { ...options, every: EVERY_SECONDS, signal, onTrouble });
    for await (const { data } of answers) {
      at("trouble").textContent = "";
      show(data);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** Show what the address names: a story, or the list. */
async function open() {
  reading.abort();
  reading = new AbortController();
  at("news").textContent = "";
  const id = Number(location.hash.slice(1));
  at("story").hidden = !id;
  at("list").hidden = Boolean(id);
  try {
    if (!id) {
      await follow("/stories/", { query: { page_size: PAGE_SIZE } }, (page) => {
        takeFirst(page);
        showRows();
      });
    } else {
      at("story").replaceChildren();
      at("story").focus();
      await follow("/stories/{id}/", { path: { id } }, showStory);
    }
  } catch (error) {
    const isGone = error instanceof ArmoError && error.code === "not_found";
    const detail = error instanceof ArmoError ? (error.problem?.detail ?? error.message) : error;
    if (id && isGone)
      at("story").replaceChildren(make("p", { lang: language }, texts.gone), backLink());
    else at("trouble").textContent = texts.failed(detail);
  }
}

async function showOlder() {
  const address = next;
  at("older").disabled = true;
  try {
    const { data } = await armo.get("/stories/", { query: queryOf(address) });
    const known = new Set([...first, ...older].map((it) => it.id));
    older.push(...data.results.filter((it) => !known.has(it.id)));
    next = data.next;
    showRows();
  } catch {
    at("trouble").textContent = texts.trouble;
  } finally {
    at("older").disabled = false;
  }
}

function speak(chosen) {
  language = chosen;
  texts = TEXTS[language];
  armo = new Armo(site, { language });
  document.documentElement.lang = language;
  document.title = texts.heading;
  for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = texts[element.dataset.text];
  }
  at("language").textContent = texts.language;
  at("language").lang = language === "ko" ? "en" : "ko";
  first = older = [];
  open();
}

at("language").addEventListener("click", () => speak(language === "ko" ? "en" : "ko"));
at("older").addEventListener("click", showOlder);
addEventListener("hashchange", open);
speak(language);
