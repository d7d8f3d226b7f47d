/** A day's work on a real site, whose address and login stand in the environment. */

import assert from "node:assert/strict";
import { env } from "node:process";
import { before, describe, it } from "node:test";
import { Armo, ArmoError, inZone } from "../src/index.js";

const { ARMO_SITE = "", ARMO_USER = "", ARMO_PASSWORD = "" } = env;
const TEXT = { title: "봄이 오는 소리", body: "눈이 **녹는다**.", tags: ["봄", "날씨"] };
const FAR_OFF = "2099-03-01T09:00";

const refused = async (promise: Promise<unknown>): Promise<ArmoError> => {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ArmoError, String(error));
  return error;
};

describe("on a real site", { skip: !ARMO_SITE && "ARMO_SITE names none." }, () => {
  const armo = new Armo(ARMO_SITE);
  const reader = new Armo(ARMO_SITE, { language: "ko" });

  before(() => armo.logIn(ARMO_USER, ARMO_PASSWORD));

  it("a story is written, scheduled, and followed as it goes live", async () => {
    const { data: story, status } = await armo.post("/stories/", { body: TEXT });
    const path = { id: story.id };
    assert.equal(status, 201);
    const hidden = await refused(reader.get("/stories/{id}/", { path }));
    assert.equal(hidden.code, "not_found");
    assert.match(hidden.problem?.title ?? "", /[가-힣]/);

    const signal = AbortSignal.timeout(60_000);
    const pages = reader.follow("/stories/", { every: 1, signal });
    const isListed = async () => {
      const { value } = await pages.next();
      return value?.data.results.some((it) => it.id === story.id);
    };
    assert.equal(await isListed(), false);
    const publish_at = new Date(Date.now() + 2000).toISOString();
    const body = { publish_at };
    const { data: job } = await armo.post("/stories/{id}/schedule/", { path, body });
    assert.equal(job.state, "waiting");
    assert.equal(await isListed(), true);

    const live = await reader.get("/stories/{id}/", { path });
    assert.equal(live.data.body_html, "<p>눈이 <strong>녹는다</strong>.</p>\n");
    assert.ok(Date.parse(live.data.published_at ?? "") >= Date.parse(publish_at));
    assert.equal(await reader.getIfChanged("/stories/{id}/", live.etag, { path }), null);
  });

  it("nobody's change is lost", async () => {
    const { data, etag } = await armo.post("/stories/", { body: TEXT });
    const path = { id: data.id };
    const { etag: newer } = await armo.patch("/stories/{id}/", {
      path,
      body: { title: "여름" },
      ifMatch: etag,
    });

    const error = await refused(
      armo.patch("/stories/{id}/", { path, body: { title: "가을" }, ifMatch: etag }),
    );

    assert.deepEqual(
      [error.status, error.code, error.problem?.current_etag],
      [412, "version_conflict", newer],
    );
    assert.equal((await armo.get("/stories/{id}/", { path })).data.title, "여름");
  });

  it("a request that is sent twice is done once", async () => {
    const send = () =>
      armo.post("/stories/", { body: TEXT, idempotencyKey: `spring-${ARMO_USER}` });

    const [first, second] = [await send(), await send()];

    assert.equal(first.data.id, second.data.id);
    assert.deepEqual([first.isReplayed, second.isReplayed], [false, true]);
  });

  it("a local time is taken with its zone, and refused without an offset", async () => {
    const zone = "America/New_York";
    const { data } = await armo.post("/stories/", { body: TEXT });
    const path = { id: data.id };

    const error = await refused(
      armo.post("/stories/{id}/schedule/", { path, body: { publish_at: FAR_OFF } }),
    );
    const body = { publish_at: inZone(FAR_OFF, zone), zone };
    const { data: job } = await armo.post("/stories/{id}/schedule/", { path, body });

    assert.deepEqual(
      error.problem?.errors?.map((it) => it.field),
      ["publish_at"],
    );
    assert.equal(job.local_time, "2099-03-01T09:00:00-05:00[America/New_York]");
  });

  it("a list is read to its end, each row once", async () => {
    const made = [];
    for (const title of ["하나", "둘", "셋"]) {
      made.push((await armo.post("/notices/", { body: { title } })).data.id);
    }

    const found = [];
    for await (const { id } of armo.all("/notices/", { query: { page_size: 1, ordering: "id" } }))
      found.push(id);

    assert.deepEqual(found, made);
  });

  it("a key opens what its scopes allow", async () => {
    const { data } = await armo.post("/auth/keys/", { body: { name: "reads", scopes: ["read"] } });
    const program = new Armo(ARMO_SITE, { token: data.secret });

    await program.get("/jobs/");
    const error = await refused(program.post("/stories/", { body: TEXT }));

    assert.deepEqual([error.code, error.problem?.scope], ["scope_missing", "write"]);
  });

  it("what is deleted is gone, and a token given back opens nothing", async () => {
    const { data } = await armo.post("/stories/", { body: TEXT });
    const path = { id: data.id };

    assert.equal((await armo.delete("/stories/{id}/", { path })).status, 204);
    assert.equal((await refused(armo.get("/stories/{id}/", { path }))).code, "not_found");
    await armo.post("/auth/logout/");
    assert.equal((await refused(armo.get("/jobs/"))).code, "not_authenticated");
  });
});
