// What a program does all day, with the functions that @hey-api/openapi-ts makes.
import { client } from "./made/client.gen.js";
import {
  createStory,
  deleteStory,
  getStory,
  listJobs,
  logIn,
  moveJob,
  rerunJob,
  scheduleStory,
  unscheduleStory,
} from "./made/index.js";

declare const process: { argv: string[] };

function given<T>(value: T | undefined, problem?: { code: string; detail: string }): T {
  if (value === undefined) throw new Error(`${problem?.code}: ${problem?.detail}`);
  return value;
}

const [site = "", username = "", password = ""] = process.argv.slice(2);
client.setConfig({ baseUrl: site });

const login = await logIn({ body: { username, password } });
const { token } = given(login.data, login.error);
client.setConfig({ auth: () => token });

const created = await createStory({
  body: { title: "봄이 오는 소리", body: "눈이 **녹는다**.", tags: ["봄", "날씨"] },
});
const { id } = given(created.data, created.error);
const path = { id };

const scheduled = await scheduleStory({
  path,
  body: { publish_at: "2099-03-01T09:00:00+09:00" },
});
const job = given(scheduled.data, scheduled.error);
const etag = given(scheduled.response?.headers.get("ETag") ?? undefined);

const move = (run_at: string) =>
  moveJob({ path: { id: job.id }, headers: { "If-Match": etag }, body: { run_at } });
const moved = await move(new Date(Date.now() + 1000).toISOString());
given(moved.data, moved.error);
const late = await move("2099-04-01T09:00:00+09:00");
if (late.error?.code !== "version_conflict") throw new Error(late.error?.code);

let story = await getStory({ path });
for (
  const end = Date.now() + 15_000;
  story.data?.status !== "published";
  story = await getStory({ path })
) {
  if (Date.now() > end) throw new Error(`still ${story.data?.status}`);
  await new Promise((resolve) => setTimeout(resolve, 100));
}

const failed = await listJobs({ query: { state: "failed" } });
const broken = given(given(failed.data, failed.error).results[0]);
const again = await rerunJob({ path: { id: broken.id }, body: {} });
const rerun = given(again.data, again.error);

const refused = await unscheduleStory({ path, body: {} });
if (refused.error?.code !== "invalid_transition") throw new Error(refused.error?.code);

const deleted = await deleteStory({ path });
const gone = await getStory({ path });

console.log(
  JSON.stringify({
    html: story.data.body_html,
    rerun: rerun.state === "waiting" ? 1 : 0,
    deleted: deleted.response?.status,
    then: gone.error?.code,
  }),
);
