/** What the types allow and refuse. That this compiles is the test; nothing here runs. */

import {
  Armo,
  ArmoError,
  type Job,
  type Problem,
  type Story,
  type StoryRow,
} from "../src/index.js";

type Same<One, Other> =
  (<T>() => T extends One ? 1 : 2) extends <T>() => T extends Other ? 1 : 2 ? true : false;
const is = <Holds extends true>() => undefined as unknown as Holds;

/** A document with a type of the site's own. */
interface Recipes {
  "/api/v1/recipes/": {
    get: {
      parameters: { query?: { cuisine?: string }; header?: never; path?: never };
      responses: {
        200: {
          content: { "application/json": { next: string | null; results: { dish: string }[] } };
        };
      };
    };
    post?: never;
  };
}

export async function neverRun(armo: Armo): Promise<void> {
  const read = await armo.get("/stories/{id}/", { path: { id: 42 } });
  is<Same<typeof read.data, Story>>();
  is<Same<typeof read.etag, string>>();

  const job = await armo.post("/stories/{id}/schedule/", {
    path: { id: 42 },
    body: { publish_at: "2099-03-01T09:00:00+09:00", zone: "Asia/Seoul" },
    ifMatch: read.etag,
    idempotencyKey: "frost-42",
  });
  is<Same<typeof job.data, Job>>();

  const changed = await armo.getIfChanged("/stories/{id}/", read.etag, { path: { id: 42 } });
  is<Same<typeof changed, typeof read | null>>();
  // @ts-expect-error: null, if it is the same
  changed.data;

  const gone = await armo.delete("/stories/{id}/", { path: { id: 42 }, ifMatch: read.etag });
  is<Same<typeof gone.data, undefined>>();

  for await (const row of armo.all("/stories/", { query: { tag: "garden" } })) {
    is<Same<typeof row, StoryRow>>();
    // @ts-expect-error: lists leave out the text
    row.body;
  }
  for await (const page of armo.pages("/jobs/"))
    is<Same<(typeof page.data.results)[number], Job>>();

  await armo.get("/stories/");
  await armo.post("/stories/{id}/publish/", { path: { id: 42 } });
  await armo.post("/auth/logout/");

  // @ts-expect-error: no such route
  await armo.get("/storys/");
  // @ts-expect-error: which one
  await armo.get("/stories/{id}/");
  // @ts-expect-error: which one
  await armo.delete("/stories/{id}/", {});
  // @ts-expect-error: needs a body
  await armo.post("/stories/{id}/schedule/", { path: { id: 42 } });
  // @ts-expect-error: a job has no such method
  await armo.delete("/jobs/{id}/", { path: { id: 7 } });
  // @ts-expect-error: one story is no list
  armo.all("/stories/{id}/", { path: { id: 42 } });
  // @ts-expect-error: misspelt, and everything would come back
  await armo.get("/stories/", { query: { tags: "garden" } });
  // @ts-expect-error: no such order
  await armo.get("/stories/", { query: { ordering: "title" } });
  // @ts-expect-error: a list is not written
  await armo.get("/stories/", { ifMatch: read.etag });
  // @ts-expect-error: a new story has no version yet
  await armo.post("/stories/", { body: { title: "Frost" }, ifMatch: read.etag });
  // @ts-expect-error: PATCH ignores a key
  await armo.patch("/stories/{id}/", { path: { id: 42 }, body: {}, idempotencyKey: "frost" });
  // @ts-expect-error: what is read-only cannot be sent
  await armo.patch("/stories/{id}/", { path: { id: 42 }, body: { version: 3 } });
  // @ts-expect-error: a time is a string with an offset
  await armo.patch("/stories/{id}/", { path: { id: 42 }, body: { publish_at: new Date() } });

  const error = new ArmoError("throttled", 429, undefined, 7, "later");
  if (error.code === "version_conflict") is<Same<typeof error.problem, Problem | undefined>>();
  // @ts-expect-error: no such code
  if (error.code === "conflict") throw error;

  const own = new Armo<Recipes>("https://food.example.org");
  for await (const { dish } of own.all("/recipes/", { query: { cuisine: "ko" } })) dish.trim();
  // @ts-expect-error: this site has none
  await own.get("/stories/");
}
