/** Local times of a time zone, as Armo takes them: with the offset that the zone has then. */

const LOCAL = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d))?$/;
const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

/** Return how far the zone's clocks are ahead of UTC at this moment, in milliseconds. */
function offsetAt(format: Intl.DateTimeFormat, at: number): number {
  const part = Object.fromEntries(
    format.formatToParts(at).map((it) => [it.type, Number(it.value)]),
  );
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part;
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(at / 1000) * 1000;
}

/**
 * Return a local time with its offset: `2026-03-01T09:00:00+09:00`, ready for `publish_at`.
 *
 * Send the zone along, as `zone`: operators then learn when its rules change.
 *
 * @param local as a form has it: `2026-03-01T09:00`, with or without seconds.
 * @param zone as `Asia/Seoul`.
 * @param which when clocks go back and the time comes twice: without it, that is an error.
 * @throws RangeError if there is no such time, as when clocks go forward, or no such zone; or
 *   if it comes twice and nobody says which is meant.
 */
export function inZone(local: string, zone: string, which?: "earlier" | "later"): string {
  const [, ...parts] = LOCAL.exec(local) ?? [];
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.map((it) =>
    Number(it ?? 0),
  );
  const wall = Date.UTC(year, month - 1, day, hour, minute, second);
  const written = `${local}${local.length === 16 ? ":00" : ""}`;
  // Also a day that the month does not have, which Date would count on into the next.
  if (!parts.length || !new Date(wall).toISOString().startsWith(written)) {
    throw new RangeError(`${local} is no local time: write 2026-03-01T09:00.`);
  }
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: zone,
    hourCycle: "h23",
    ...{ year: "numeric", month: "numeric", day: "numeric" },
    ...{ hour: "numeric", minute: "numeric", second: "numeric" },
  });
  const around = new Set([offsetAt(format, wall - DAY), offsetAt(format, wall + DAY)]);
  const offsets = [...around]
    .filter((it) => offsetAt(format, wall - it) === it)
    .sort((one, other) => other - one);
  const offset = offsets[which === "later" ? offsets.length - 1 : 0];
  if (offset === undefined) {
    throw new RangeError(`There is no ${local} in ${zone}: the clocks go forward then.`);
  }
  if (offsets.length > 1 && !which) {
    throw new RangeError(`${local} comes twice in ${zone}: say "earlier" or "later".`);
  }
  const minutes = Math.abs(offset) / MINUTE;
  const two = (number: number) => String(number).padStart(2, "0");
  const sign = offset < 0 ? "-" : "+";
  return `${written}${sign}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}
