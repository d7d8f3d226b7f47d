import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { inZone } from "../src/index.js";

describe("inZone", () => {
  for (const [local, zone, expected] of [
    ["2026-03-01T09:00", "Asia/Seoul", "2026-03-01T09:00:00+09:00"],
    ["2026-03-01T09:00:30", "Asia/Seoul", "2026-03-01T09:00:30+09:00"],
    ["2026-03-01T00:00", "UTC", "2026-03-01T00:00:00+00:00"],
    ["2026-01-15T12:00", "America/New_York", "2026-01-15T12:00:00-05:00"],
    ["2026-07-15T12:00", "America/New_York", "2026-07-15T12:00:00-04:00"],
    ["2026-07-15T12:00", "America/St_Johns", "2026-07-15T12:00:00-02:30"],
    ["2026-07-15T12:00", "Asia/Kathmandu", "2026-07-15T12:00:00+05:45"],
    // Days on which the clocks change, before and after.
    ["2026-03-29T01:59:59", "Europe/Berlin", "2026-03-29T01:59:59+01:00"],
    ["2026-03-29T03:00", "Europe/Berlin", "2026-03-29T03:00:00+02:00"],
    ["2026-10-25T01:59", "Europe/Berlin", "2026-10-25T01:59:00+02:00"],
    ["2026-10-25T03:00", "Europe/Berlin", "2026-10-25T03:00:00+01:00"],
    ["2028-02-29T12:00", "Pacific/Chatham", "2028-02-29T12:00:00+13:45"],
  ] as const) {
    it(`knows the offset of ${local} in ${zone}`, () => {
      assert.equal(inZone(local, zone), expected);
      assert.ok(Number.isFinite(Date.parse(expected)));
    });
  }

  it("refuses a time that the clocks leave out", () => {
    assert.throws(() => inZone("2026-03-29T02:30", "Europe/Berlin"), /clocks go forward/);
    assert.throws(() => inZone("2026-03-29T02:30", "Europe/Berlin", "later"), RangeError);
  });

  it("asks which, of a time that comes twice", () => {
    const twice = (which?: "earlier" | "later") =>
      inZone("2026-10-25T02:30", "Europe/Berlin", which);
    assert.throws(() => twice(), /comes twice/);
    assert.equal(twice("earlier"), "2026-10-25T02:30:00+02:00");
    assert.equal(twice("later"), "2026-10-25T02:30:00+01:00");
    assert.equal(
      inZone("2026-04-05T01:45", "Australia/Lord_Howe", "later"),
      "2026-04-05T01:45:00+10:30",
    );
  });

  for (const wrong of [
    "",
    "tomorrow",
    "2026-02-30T09:00",
    "2026-03-01",
    "2026-03-01T24:00",
    "2026-03-01T09:00Z",
  ]) {
    it(`refuses "${wrong}"`, () => assert.throws(() => inZone(wrong, "Asia/Seoul"), RangeError));
  }

  it("refuses a zone that does not exist", () => {
    assert.throws(() => inZone("2026-03-01T09:00", "Asia/Soul"), RangeError);
  });
});
