/** What the client does with answers that a real site gives seldom. */

import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import { Armo, ArmoError } from "../src/index.js";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;
type Headers = Record<string, string>;

let server: Server;
let site = "";
let asked: IncomingMessage[] = [];
let bodies: string[] = [];
let handlers: Handler[] = [];

before(async () => {
  server = createServer(async (request, response) => {
    asked.push(request);
    let body = "";
    for await (const part of request) body += part;
    bodies.push(body);
    (handlers.length > 1 ? handlers.shift() : handlers[0])?.(request, response);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  site = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => {
  server.closeAllConnections();
  server.close();
});

/** Answer the next requests so, the last one for ever. */
function answer(...next: Handler[]): void {
  asked = [];
  bodies = [];
  handlers = next;
}

const json =
  (data: unknown, headers: Headers = {}, status = 200): Handler =>
  (_, response) =>
    response
      .writeHead(status, { "Content-Type": "application/json", ...headers })
      .end(JSON.stringify(data));
const problem = (status: number, code: string, headers: Headers = {}): Handler =>
  json(
    { status, code, detail: "Because." },
    { "Content-Type": "application/problem+json", ...headers },
    status,
  );
const broken: Handler = (request) => request.socket.destroy();
const never: Handler = () => undefined;
const LATER = { "Retry-After": "0" };
const PAGE = { next: null, previous: null, results: [] };

async function failure(promise: Promise<unknown>): Promise<ArmoError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ArmoError, String(error));
  return error;
}

describe("an address", () => {
  for (const end of ["", "/", "//", "/api/v1", "/api/v1/"]) {
    it(`may end in "${end}"`, async () => {
      answer(json(PAGE));
      await new Armo(site + end).get("/stories/", { query: { search: "봄 소식", page_size: 5 } });
      assert.equal(
        asked[0]?.url,
        "/api/v1/stories/?search=%EB%B4%84+%EC%86%8C%EC%8B%9D&page_size=5",
      );
    });
  }

  it("may have a path of its own", async () => {
    answer(json(PAGE));
    await new Armo(`${site}/news/`).get("/stories/");
    assert.equal(asked[0]?.url, "/news/api/v1/stories/");
  });

  it("that redirects is an error, and the token goes no further", async () => {
    answer((_, response) => response.writeHead(301, { Location: `${site}/elsewhere/` }).end());
    const error = await failure(
      new Armo(site, { token: "secret" }).post("/stories/", { body: {} }),
    );
    assert.equal(error.code, "unexpected_answer");
    assert.match(error.message, /redirect/);
    assert.equal(asked.length, 1);
  });

  it("of something else is an error, though it answers 200", async () => {
    answer((_, response) =>
      response.writeHead(200, { "Content-Type": "text/html" }).end("<p>Hello"),
    );
    assert.equal((await failure(new Armo(site).get("/stories/"))).code, "unexpected_answer");
  });
});

describe("a request", () => {
  it("carries token, language and version", async () => {
    answer(json({}, { ETag: 'W/"b2"' }));
    const armo = new Armo(site, { token: "armo_5e43", language: "ko" });
    const { etag } = await armo.patch("/stories/{id}/", {
      path: { id: 42 },
      body: { title: "봄" },
      ifMatch: '"a1"',
    });
    const [{ headers, url, method } = assert.fail()] = asked;
    assert.deepEqual([method, url, bodies[0]], ["PATCH", "/api/v1/stories/42/", '{"title":"봄"}']);
    assert.equal(headers.authorization, "Bearer armo_5e43");
    assert.equal(headers["accept-language"], "ko");
    assert.equal(headers["if-match"], '"a1"');
    assert.equal(etag, 'W/"b2"');
  });

  it("with an empty version is not sent: it would overwrite what others wrote", async () => {
    answer(json({}));
    const sent = new Armo(site).delete("/stories/{id}/", { path: { id: 42 }, ifMatch: "" });
    await assert.rejects(sent, RangeError);
    assert.equal(asked.length, 0);
  });

  it("for a name that is none is not sent: `.` would be the list above", async () => {
    answer(json({}));
    for (const key of ["", ".", ".."]) {
      const sent = new Armo(site).delete("/auth/tokens/{key}/", { path: { key } });
      await assert.rejects(sent, RangeError);
    }
    assert.equal(asked.length, 0);
  });

  it("leaves out of the query what is undefined", async () => {
    answer(json(PAGE));
    const query = { tag: undefined, language: "ko" } as unknown as { language: string };
    await new Armo(site).get("/stories/", { query });
    assert.equal(asked[0]?.url, "/api/v1/stories/?language=ko");
  });

  it("keeps what is in a path from leaving it", async () => {
    answer(json([]));
    await new Armo(site).delete("/auth/tokens/{key}/", { path: { key: "../keys/3" } });
    assert.equal(asked[0]?.url, "/api/v1/auth/tokens/..%2Fkeys%2F3/");
  });

  it("ends with its signal, also while it waits", async () => {
    for (const reply of [never, problem(429, "throttled", { "Retry-After": "30" })]) {
      const abort = new AbortController();
      answer((request, response) => {
        reply(request, response);
        setTimeout(() => abort.abort(), 50);
      });
      const waiting = new Armo(site).get("/stories/", { signal: abort.signal });
      await assert.rejects(waiting, { name: "AbortError" });
      assert.equal(asked.length, 1);
    }
    const ended = new Armo(site).get("/stories/", { signal: AbortSignal.abort() });
    await assert.rejects(ended, { name: "AbortError" });
    assert.equal(asked.length, 1);
  });
});

describe("a request that failed", () => {
  it("is sent again after Retry-After, whatever it is", async () => {
    answer(problem(429, "throttled", LATER), json({ id: 42 }));
    const { data } = await new Armo(site).patch("/stories/{id}/", { path: { id: 42 }, body: {} });
    assert.equal(data.id, 42);
  });

  it("waits as long as it was asked to", async () => {
    answer(problem(429, "throttled", { "Retry-After": "1" }), json(PAGE));
    const start = performance.now();
    await new Armo(site).get("/stories/");
    assert.ok(performance.now() - start > 900);
  });

  it("may name a date", async () => {
    answer(
      problem(503, "unavailable", { "Retry-After": new Date(Date.now() + 90_000).toUTCString() }),
    );
    const { retryAfter = 0 } = await failure(new Armo(site).get("/stories/"));
    assert.ok(retryAfter > 60 && retryAfter <= 90, String(retryAfter));
  });

  it("is an error at once when the wait is too long", async () => {
    answer(problem(429, "throttled", { "Retry-After": "900" }));
    const error = await failure(new Armo(site).logIn("editor", "wrong"));
    assert.deepEqual([error.code, error.status, error.retryAfter], ["throttled", 429, 900]);
    assert.equal(asked.length, 1);
  });

  it("is an error in the end", async () => {
    answer(problem(503, "unavailable", LATER));
    assert.equal((await failure(new Armo(site).get("/stories/"))).code, "unavailable");
    assert.equal(asked.length, 3);
    answer(problem(503, "unavailable", LATER));
    await failure(new Armo(site, { retries: 0 }).get("/stories/"));
    assert.equal(asked.length, 1);
  });

  it("is sent again with the same key and body, if it is a POST", async () => {
    answer(
      broken,
      problem(503, "unavailable", LATER),
      json({ id: 42 }, { "Idempotency-Replayed": "true" }, 201),
    );
    const { status, isReplayed } = await new Armo(site).post("/stories/", {
      body: { title: "Frost" },
    });
    assert.deepEqual([status, isReplayed], [201, true]);
    const keys = new Set(asked.map((it) => it.headers["idempotency-key"]));
    assert.deepEqual([keys.size, bodies], [1, Array(3).fill('{"title":"Frost"}')]);
    assert.match(String([...keys][0]), /^[!-~]{1,255}$/);
  });

  it("has another key each time it is asked for, or one's own", async () => {
    answer(json({ id: 42 }, {}, 201));
    const armo = new Armo(site);
    for (const options of [{}, {}, { idempotencyKey: "mine" }])
      await armo.post("/stories/", { body: {}, ...options });
    const keys = asked.map((it) => it.headers["idempotency-key"]);
    assert.equal(new Set(keys).size, 3);
    assert.equal(keys[2], "mine");
  });

  it("is not sent again when it may have been done, if it is a PATCH or DELETE", async () => {
    const at = { path: { id: 42 } };
    answer(broken);
    await assert.rejects(new Armo(site).patch("/stories/{id}/", { ...at, body: {} }), TypeError);
    assert.equal(asked.length, 1);
    answer(problem(503, "unavailable", LATER));
    await failure(new Armo(site).delete("/stories/{id}/", at));
    assert.equal(asked.length, 1);
  });

  it("is not sent again when it was refused", async () => {
    answer(problem(412, "version_conflict"));
    const sent = new Armo(site).post("/jobs/{id}/cancel/", { path: { id: 7 }, ifMatch: '"a1"' });
    const error = await failure(sent);
    assert.deepEqual(
      [error.code, error.problem?.detail, asked.length],
      ["version_conflict", "Because.", 1],
    );
  });

  it("through a proxy says so", async () => {
    answer((_, response) =>
      response.writeHead(502, { "Content-Type": "text/html" }).end("<h1>Bad Gateway"),
    );
    const error = await failure(new Armo(site, { retries: 0 }).get("/stories/"));
    assert.deepEqual(
      [error.code, error.status, error.problem],
      ["unexpected_answer", 502, undefined],
    );
  });
});

describe("the pages of a list", () => {
  const page = (id: number, next: string | null) =>
    json({ next, previous: null, results: [{ id }] });
  const NEXT = "https://news.example.org/api/v1/stories/?cursor=a%2Bb%3D&page_size=1";

  it("are read from the first host, whatever the next address begins with", async () => {
    answer(page(1, NEXT), page(2, null));
    const found: number[] = [];
    for await (const { id } of new Armo(site, { token: "t" }).all("/stories/", {
      query: { page_size: 1 },
    }))
      found.push(id);
    assert.deepEqual(found, [1, 2]);
    assert.equal(asked[1]?.url, "/api/v1/stories/?cursor=a%2Bb%3D&page_size=1");
    assert.equal(asked[1]?.headers.authorization, "Bearer t");
  });

  it("are read only as far as they are wanted", async () => {
    answer(page(1, NEXT));
    for await (const { id } of new Armo(site).all("/stories/")) if (id === 1) break;
    assert.equal(asked.length, 1);
  });

  it("go on after a wait in the middle", async () => {
    answer(page(1, NEXT), problem(429, "throttled", LATER), page(2, null));
    const found: number[] = [];
    for await (const { id } of new Armo(site).all("/stories/")) found.push(id);
    assert.deepEqual(found, [1, 2]);
  });

  it("end with the signal", async () => {
    answer(page(1, NEXT));
    const abort = new AbortController();
    const reading = async () => {
      for await (const _ of new Armo(site).all("/stories/", { signal: abort.signal }))
        abort.abort();
    };
    await assert.rejects(reading(), { name: "AbortError" });
    assert.equal(asked.length, 1);
  });
});

describe("what has been read", () => {
  it("is null when it is still the same", async () => {
    answer((_, response) => response.writeHead(304, { ETag: '"a1"' }).end());
    const at = { path: { id: 42 } };
    assert.equal(await new Armo(site).getIfChanged("/stories/{id}/", '"a1"', at), null);
    assert.equal(asked[0]?.headers["if-none-match"], '"a1"');
  });

  it("is followed from version to version, through troubles", async () => {
    const soon = { "Cache-Control": "public, max-age=0" };
    answer(
      json({ id: 1 }, { ETag: '"a1"', ...soon }),
      (_, response) => response.writeHead(304, { ETag: '"a1"', ...soon }).end(),
      problem(503, "unavailable", LATER),
      json({ id: 2 }, { ETag: '"a2"', ...soon }),
    );
    const troubles: unknown[] = [];
    const found: number[] = [];
    const armo = new Armo(site, { retries: 0 });
    const onTrouble = (error: unknown) => troubles.push(error);
    for await (const { data } of armo.follow("/stories/{id}/", {
      path: { id: 1 },
      every: 1,
      onTrouble,
    })) {
      if (found.push(data.id) === 2) break;
    }
    assert.deepEqual(found, [1, 2]);
    assert.equal(troubles.length, 1);
    assert.deepEqual(
      asked.map((it) => it.headers["if-none-match"]),
      [undefined, '"a1"', '"a1"', '"a1"'],
    );
  });

  it("is no longer followed when it is gone, or the signal is aborted", async () => {
    const abort = new AbortController();
    const following = async () => {
      const options = { path: { id: 1 }, signal: abort.signal };
      for await (const _ of new Armo(site).follow("/stories/{id}/", options)) abort.abort();
    };
    answer(problem(404, "not_found"));
    assert.equal((await failure(following())).code, "not_found");
    answer(json({ id: 1 }));
    await assert.rejects(following(), { name: "AbortError" });
    assert.equal(asked.length, 1);
  });
});
