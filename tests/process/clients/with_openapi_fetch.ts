// What a program does all day, with the types that openapi-typescript makes.
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

declare const process: { argv: string[] };

function given<T>(value: T | undefined, problem?: { code: string; detail: string }): T {
  if (value === undefined) throw new Error(`${problem?.code}: ${problem?.detail}`);
  return value;
}

const [site = "", username = "", password = ""] = process.argv.slice(2);
const api = createClient<paths>({ baseUrl: site });

const login = await api.POST("/api/v1/auth/login/", { body: { username, password } });
const { token } = given(login.data, login.error);
api.use({
  onRequest: ({ request }) => request.headers.set("Authorization", `Bearer ${token}`),
});

const created = await api.POST("/api/v1/stories/", {
  body: { title: "봄이 오는 소리", body: "눈이 **녹는다**.", tags: ["봄", "날씨"] },
});
const { id } = given(created.data, created.error);
const path = { id };

const scheduled = await api.POST("/api/v1/stories/{id}/schedule/", {
  params: { path },
  body: { publish_at: "2099-03-01T09:00:00+09:00" },
});
const job = given(scheduled.data, scheduled.error);
const etag = given(scheduled.response.headers.get("ETag") ?? undefined);

const move = (run_at: string) =>
  api.POST("/api/v1/jobs/{id}/move/", {
    params: { path: { id: job.id }, header: { "If-Match": etag } },
    body: { run_at },
  });
const moved = await move(new Date(Date.now() + 1000).toISOString());
given(moved.data, moved.error);
const late = await move("2099-04-01T09:00:00+09:00");
if (late.error?.code !== "version_conflict") throw new Error(late.error?.code);

const read = () => api.GET("/api/v1/stories/{id}/", { params: { path } });
let story = await read();
for (const end = Date.now() + 15_000; story.data?.status !== "published"; story = await read()) {
  if (Date.now() > end) throw new Error(`still ${story.data?.status}`);
  await new Promise((resolve) => setTimeout(resolve, 100));
}

const failed = await api.GET("/api/v1/jobs/", { params: { query: { state: "failed" } } });
const broken = given(given(failed.data, failed.error).results[0]);
const again = await api.POST("/api/v1/jobs/rerun/", { body: { ids: [broken.id] } });
const { summary } = given(again.data, again.error);

const past = await api.POST("/api/v1/stories/{id}/schedule/", {
  params: { path },
  body: { publish_at: "2020-02-29T12:00:00Z", reason: "늦었다", unpublish_at: null },
});
if (past.error?.code !== "not_in_future") throw new Error(past.error?.code);

const deleted = await api.DELETE("/api/v1/stories/{id}/", { params: { path } });
const gone = await read();

console.log(
  JSON.stringify({
    html: story.data.body_html,
    rerun: summary.rerun,
    deleted: deleted.response.status,
    then: gone.error?.code,
  }),
);
