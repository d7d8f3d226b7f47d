/** A client of the REST API: the types of its document, and what programs need around `fetch`. */

import type { components, paths } from "./schema.js";

export type { components, paths } from "./schema.js";
export { inZone } from "./time.js";

const API = "/api/v1";
/** Of Armo without its database, or of a proxy that does not reach Armo. */
const BUSY = [502, 503, 504];

type Schemas = components["schemas"];
export type Story = Schemas["StoryOutput"];
export type StoryRow = Schemas["StoryRow"];
export type Notice = Schemas["NoticeOutput"];
export type NoticeRow = Schemas["NoticeRow"];
export type Job = Schemas["JobOutput"];
export type Problem = Schemas["Problem"];
/** What programs compare. An `unexpected_answer` comes from something else than Armo. */
export type ErrorCode = Problem["code"] | "unexpected_answer";

type Method = "get" | "post" | "patch" | "delete";

/** The routes of a document that have this method, without `/api/v1`. */
export type Route<Paths, M extends Method> = {
  [Path in keyof Paths]: Paths[Path] extends Record<M, { responses: object }>
    ? Path extends `${typeof API}${infer Rest}`
      ? Rest
      : never
    : never;
}[keyof Paths];

type Operation<Paths, M extends Method, R> = R extends string
  ? `${typeof API}${R}` extends infer Path extends keyof Paths
    ? Paths[Path] extends Record<M, infer Found>
      ? Found
      : never
    : never
  : never;

type Json<Part> = Part extends { content: { "application/json": infer Content } } ? Content : never;
type Done<Responses> = Responses[Extract<keyof Responses, 200 | 201>];

/** What an operation answers; nothing where it answers 204. */
export type Data<Op> = Op extends { responses: infer Responses }
  ? [Done<Responses>] extends [never]
    ? undefined
    : Json<Done<Responses>>
  : never;

type Row<Op> = Data<Op> extends { results: (infer Found)[] } ? Found : never;
type Listing<Paths> = {
  [R in Route<Paths, "get">]: Row<Operation<Paths, "get", R>> extends never ? never : R;
}[Route<Paths, "get">];

type Parameter<Op, Place extends string> = Op extends { parameters: infer All }
  ? Place extends keyof All
    ? NonNullable<All[Place]>
    : never
  : never;
type Has<Op, Header extends string> = [Parameter<Op, "header">] extends [never]
  ? false
  : Header extends keyof Parameter<Op, "header">
    ? true
    : false;
type If<Condition, Then> = Condition extends true ? Then : unknown;
type Body<Op> = Op extends { requestBody: infer Sent }
  ? { body: Json<Sent> }
  : Op extends { requestBody?: infer Sent }
    ? [NonNullable<Sent>] extends [never]
      ? unknown
      : { body?: Json<NonNullable<Sent>> }
    : unknown;

/** What every request may have. */
export interface Common {
  /** Ends the request, its retries, and the waiting between them. */
  signal?: AbortSignal;
  /** Headers beside those that the client sets. */
  headers?: Record<string, string>;
}

/** What a request of this operation takes: what it needs must be given. */
export type Options<Op> = Common &
  ([Parameter<Op, "path">] extends [never] ? unknown : { path: Parameter<Op, "path"> }) &
  ([Parameter<Op, "query">] extends [never] ? unknown : { query?: Parameter<Op, "query"> }) &
  Body<Op> &
  /** The `etag` that you know: somebody else's change is an error then, and not lost. */
  If<Has<Op, "If-Match">, { ifMatch?: string }> &
  /** A name of this request, if it is to be done once even when the program starts anew. */
  If<Has<Op, "Idempotency-Key">, { idempotencyKey?: string }>;

type Given<Op> = object extends Options<Op> ? [options?: Options<Op>] : [options: Options<Op>];

export interface Answer<T> {
  data: T;
  status: number;
  /** The version of what was answered: send it back as `ifMatch`. Empty where there is none. */
  etag: string;
  /** Whether this had been done before: the answer is that of the first time. */
  isReplayed: boolean;
  headers: Headers;
}

/** A request was refused, or something failed. Compare `code`. */
export class ArmoError extends Error {
  override readonly name = "ArmoError";

  constructor(
    readonly code: ErrorCode,
    readonly status: number,
    /** What Armo says; missing if the answer came from something else. */
    readonly problem: Problem | undefined,
    /** Seconds until it may be tried again, if that was said. */
    readonly retryAfter: number | undefined,
    message: string,
  ) {
    super(message);
  }
}

export interface Settings {
  /** A key for programs, or a token of somebody who has logged in. */
  token?: string;
  /** Of errors and reasons: `en` or `ko`. */
  language?: string;
  /** How often a request that may be repeated is sent again. Default: 2. */
  retries?: number;
  /** Seconds that the server may ask to wait; beyond them, that is an error. Default: 60. */
  longestWait?: number;
  fetch?: typeof fetch;
}

export interface Following {
  /** Seconds between two questions; fewer, when the server expects a change before. Default: 15. */
  every?: number;
  /** Called with what stands in the way for now: no connection, too many requests. It goes on. */
  onTrouble?: (error: unknown) => void;
}

interface Anything extends Common {
  path?: Record<string, unknown>;
  query?: Record<string, unknown>;
  body?: unknown;
  ifMatch?: string;
  ifNoneMatch?: string;
  idempotencyKey?: string;
  isFresh?: boolean;
}

/** Return after so many seconds; throw the signal's reason when it is aborted. */
function pause(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, seconds * 1000);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}

/** Return a name that no other request has. Pages without TLS have no `randomUUID`. */
function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (it) => it.toString(16).padStart(2, "0")).join("");
}

/** Return `Retry-After` in seconds; it may also be a date. */
function retryAfter(response: Response): number | undefined {
  const value = response.headers.get("Retry-After");
  if (!value) return undefined;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? undefined : Math.max(0, seconds);
}

async function errorOf(response: Response, request: string): Promise<ArmoError> {
  const isProblem = response.headers.get("Content-Type")?.startsWith("application/problem+json");
  const problem = isProblem ? ((await response.json()) as Problem) : undefined;
  const code = problem?.code ?? "unexpected_answer";
  // A browser shows neither where a redirect leads to nor its status.
  const isRedirect = response.type === "opaqueredirect" || Math.floor(response.status / 100) === 3;
  const stranger = isRedirect
    ? "a redirect; use the site's own address, with https"
    : "this is no answer of Armo's";
  const detail = problem?.detail ?? stranger;
  const message = `${request}: ${response.status} ${code}: ${detail}`;
  return new ArmoError(code, response.status, problem, retryAfter(response), message);
}

/**
 * A site's API. `Paths` are the routes of its document, if it has types of content of its own.
 *
 * Every method throws `ArmoError` when the request is refused, `TypeError` when there is no
 * connection, and the signal's reason when it is aborted.
 */
export class Armo<Paths = paths> {
  /** May be changed at any time, as after a login. */
  token: string | undefined;
  readonly #base: string;
  readonly #settings: Settings;

  /** @param site its address, without `/api/v1`; of a page on the site itself, nothing. */
  constructor(site = "", settings: Settings = {}) {
    this.#base = site.replace(/\/*(\/api\/v1)?\/*$/, "") + API;
    this.#settings = settings;
    this.token = settings.token;
  }

  get<R extends Route<Paths, "get">>(
    route: R,
    ...[options]: Given<Operation<Paths, "get", R>>
  ): Promise<Answer<Data<Operation<Paths, "get", R>>>> {
    return this.#ask("get", route, options);
  }

  /** Return the answer if it is another than the one with this `etag`, else null. */
  async getIfChanged<R extends Route<Paths, "get">>(
    route: R,
    etag: string,
    ...[options]: Given<Operation<Paths, "get", R>>
  ): Promise<Answer<Data<Operation<Paths, "get", R>>> | null> {
    const answer = await this.#ask<Data<Operation<Paths, "get", R>>>("get", route, {
      ...(options as Anything | undefined),
      ifNoneMatch: etag,
    });
    return answer.status === 304 ? null : answer;
  }

  post<R extends Route<Paths, "post">>(
    route: R,
    ...[options]: Given<Operation<Paths, "post", R>>
  ): Promise<Answer<Data<Operation<Paths, "post", R>>>> {
    return this.#ask("post", route, options);
  }

  patch<R extends Route<Paths, "patch">>(
    route: R,
    ...[options]: Given<Operation<Paths, "patch", R>>
  ): Promise<Answer<Data<Operation<Paths, "patch", R>>>> {
    return this.#ask("patch", route, options);
  }

  delete<R extends Route<Paths, "delete">>(
    route: R,
    ...[options]: Given<Operation<Paths, "delete", R>>
  ): Promise<Answer<Data<Operation<Paths, "delete", R>>>> {
    return this.#ask("delete", route, options);
  }

  /** Log in, and send the token from now on. For programs that run alone, a key is better. */
  async logIn(username: string, password: string, options: Common = {}): Promise<void> {
    const sent = { ...options, body: { username, password } };
    this.token = (await this.#ask<Schemas["TokenOutput"]>("post", "/auth/login/", sent)).data.token;
  }

  /** Go through the pages of a list. */
  async *pages<R extends Listing<Paths>>(
    route: R,
    ...[options]: Given<Operation<Paths, "get", R>>
  ): AsyncGenerator<Answer<Data<Operation<Paths, "get", R>>>, void, undefined> {
    type Page = Data<Operation<Paths, "get", R>>;
    let asked = (options ?? {}) as Anything;
    for (;;) {
      const page = await this.#ask<Page & { next: string | null }>("get", route, asked);
      yield page;
      const { next } = page.data;
      if (!next) return;
      // Of the next address only what it asks: a token goes to no other host than the first.
      const query = Object.fromEntries(new URL(next, "http://localhost").searchParams);
      asked = { ...asked, query };
    }
  }

  /** Go through the rows of a list, over all its pages. */
  async *all<R extends Listing<Paths>>(
    route: R,
    ...given: Given<Operation<Paths, "get", R>>
  ): AsyncGenerator<Row<Operation<Paths, "get", R>>, void, undefined> {
    for await (const { data } of this.pages(route, ...given)) {
      yield* (data as unknown as { results: Row<Operation<Paths, "get", R>>[] }).results;
    }
  }

  /** Yield the answer, and then each other answer: until the signal is aborted, which throws. */
  async *follow<R extends Route<Paths, "get">>(
    route: R,
    options: Options<Operation<Paths, "get", R>> & Following,
  ): AsyncGenerator<Answer<Data<Operation<Paths, "get", R>>>, never, undefined> {
    const { every = 15, onTrouble, ...asked } = options as Anything & Following;
    let etag = "";
    for (;;) {
      let wait = every;
      try {
        const sent = etag ? { ...asked, ifNoneMatch: etag } : { ...asked, isFresh: true };
        const answer = await this.#ask<Data<Operation<Paths, "get", R>>>("get", route, sent);
        // Answers may be kept until the next change that is scheduled.
        const age = /(?:^|[ ,])max-age=(\d+)/.exec(answer.headers.get("Cache-Control") ?? "")?.[1];
        if (age) wait = Math.min(wait, Number(age));
        if (answer.status !== 304) {
          etag = answer.etag;
          yield answer;
        }
      } catch (error) {
        asked.signal?.throwIfAborted();
        const isRefused = error instanceof ArmoError && error.status !== 429 && error.status < 500;
        if (isRefused || !(error instanceof ArmoError || error instanceof TypeError)) throw error;
        onTrouble?.(error);
        if (error instanceof ArmoError) wait = Math.max(wait, error.retryAfter ?? 0);
      }
      await pause(Math.max(1, wait), asked.signal);
    }
  }

  async #ask<T>(method: Method, route: unknown, given?: object): Promise<Answer<T>> {
    const options = (given ?? {}) as Anything;
    const { retries = 2, longestWait = 60, language } = this.#settings;
    const { signal, ifMatch, ifNoneMatch, body } = options;
    const path = String(route).replace(/\{(\w+)\}/g, (_, name: string) => {
      const value = String(options.path?.[name] ?? "");
      // `fetch` takes dots for steps in the path: one token, called `.`, would be all of them.
      if (["", ".", ".."].includes(value)) throw new RangeError(`${route} needs ${name}.`);
      return encodeURIComponent(value);
    });
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(options.query ?? {})) {
      for (const each of [value].flat()) if (each != null) query.append(name, String(each));
    }
    const url = this.#base + path + (query.size ? `?${query}` : "");
    const headers = new Headers({ Accept: "application/json", ...options.headers });
    if (this.token) headers.set("Authorization", `Bearer ${this.token}`);
    if (language) headers.set("Accept-Language", language);
    if (body !== undefined) headers.set("Content-Type", "application/json");
    if (ifNoneMatch !== undefined) headers.set("If-None-Match", ifNoneMatch);
    if (ifMatch !== undefined) {
      // Without a version the write would go through whatever others have changed.
      if (!ifMatch) throw new RangeError("ifMatch is empty: what was read came without an etag.");
      headers.set("If-Match", ifMatch);
    }
    if (method === "post") headers.set("Idempotency-Key", options.idempotencyKey ?? newKey());
    const init: RequestInit = { method: method.toUpperCase(), headers, redirect: "manual" };
    const request = `${init.method} ${url}`;
    if (body !== undefined) init.body = JSON.stringify(body);
    if (signal) init.signal = signal;
    // A browser may have kept an answer, and would not ask for a minute.
    if (options.isFresh) init.cache = "no-cache";
    // A POST has a key; sent again, it is not done again.
    const isRepeatable = method === "get" || method === "post";

    for (let tried = 0; ; tried++) {
      let wait = 0.5 * 2 ** tried;
      try {
        const response = await (this.#settings.fetch ?? fetch)(url, init);
        if (response.ok || response.status === 304) return await read<T>(response, request);
        const error = await errorOf(response, request);
        wait = error.retryAfter ?? wait;
        const isBusy = error.status === 429 || (isRepeatable && BUSY.includes(error.status));
        if (!isBusy || tried >= retries || wait > longestWait) throw error;
      } catch (error) {
        signal?.throwIfAborted();
        const isNoConnection = error instanceof TypeError;
        if (!isNoConnection || !isRepeatable || tried >= retries) throw error;
      }
      await pause(wait, signal);
    }
  }
}

async function read<T>(response: Response, request: string): Promise<Answer<T>> {
  const { headers, status } = response;
  const hasNoBody = status === 204 || status === 304;
  if (!hasNoBody && !headers.get("Content-Type")?.startsWith("application/json")) {
    throw await errorOf(response, request);
  }
  return {
    data: (hasNoBody ? undefined : await response.json()) as T,
    status,
    etag: headers.get("ETag") ?? "",
    isReplayed: headers.get("Idempotency-Replayed") === "true",
    headers,
  };
}
