import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { verdict } from "../src/decide.ts";
import type { Message } from "../src/message.ts";
import { readMessage } from "../src/read.ts";

const PLAIN = {
  id: "a",
  version: 1,
  type: "banner",
  slot: "banner:top",
  priority: 50,
  content: { title: null, body: "Hello", ctaText: null, ctaUrl: null, imageUrl: null, dismissible: true },
  appearance: { position: "top", theme: "auto", backgroundColor: null, textColor: null, anchor: null },
  trigger: null,
  frequencyCap: null,
  startsAt: null,
  endsAt: null,
};

function usable(fields: object): Message {
  const message = readMessage({ ...PLAIN, ...fields } as Message);
  assert.ok("body" in message, JSON.stringify(message));
  return message;
}

/** null: it can be used. */
function skipped(raw: unknown): string | null {
  const message = readMessage(raw as Message);
  return "reason" in message ? message.reason : null;
}

const triggered = (trigger: unknown) => skipped({ ...PLAIN, trigger });
const where = (...conditions: unknown[]) => triggered({ eventType: "e", where: conditions });

test("a message says what apps mostly want of it", () => {
  const { title, body, cta } = usable({
    content: { title: "Hi", body: "Hello", ctaText: "Go", ctaUrl: "https://a.example" },
  });
  assert.deepEqual([title, body, cta], ["Hi", "Hello", { text: "Go", url: "https://a.example" }]);
  const { cta: bare } = usable({ content: { body: "Hello", ctaUrl: "https://a.example" } });
  assert.deepEqual(bare, { text: "Learn more", url: "https://a.example" });
  const { cta: closing } = usable({ content: { body: "Hello", ctaText: "OK" } });
  assert.deepEqual(closing, { text: "OK", url: null });
  const plain = usable({ content: { body: "Hello" }, appearance: undefined });
  assert.deepEqual([plain.title, plain.cta, plain.appearance], [null, null, {}]);
});

test("fields that nobody knows are ignored, and carried along", () => {
  const message = usable({
    sparkle: true,
    trigger: { eventType: "e", mood: 1, where: [{ property: "x", op: "eq", value: 1, weight: 2 }] },
    frequencyCap: { maxImpressions: 1, perMoon: 1, stopAfter: ["sleep"] },
  });
  assert.equal((message as unknown as Record<string, unknown>).sparkle, true);
});

test("a message of a type that came later is unknown, whatever it consists of", () => {
  assert.deepEqual(readMessage({ id: "b", type: "carousel" } as unknown as Message), {
    id: "b",
    reason: "unknown_type",
  });
  for (const type of ["Banner", "toString"]) assert.equal(skipped({ ...PLAIN, type }), "unknown_type");
});

test("an operator that came later is unknown, wherever it stands", () => {
  for (const op of ["regex", "Eq", "", "within_last", "not_within_last", "toString", "constructor", "__proto__"]) {
    assert.equal(triggered({ url: { op, value: "a" } }), "unknown_operator", `url ${op}`);
    assert.equal(triggered({ screen: { op, value: "a" } }), "unknown_operator", `screen ${op}`);
    assert.equal(where({ property: "x", op, value: "a" }), "unknown_operator", `where ${op}`);
  }
});

test("conditions of another kind are unknown, not left out", () => {
  const others = [{}, { any: [] }, { not: { property: "x", op: "exists" } }, { path: "x", op: "neq", value: 1 }];
  for (const condition of others) assert.equal(where(condition), "unknown_operator", JSON.stringify(condition));
  assert.equal(where({ property: "x", op: "neq", value: { ref: "y" } }), "unknown_operator");
});

test("what is no message is unreadable", () => {
  const { content } = PLAIN;
  const broken = [
    { content: null },
    { content: { ...content, body: 1 } },
    { id: 7 },
    { frequencyCap: { stopAfter: 1 } },
    { startsAt: { toString: 1 } },
    { endsAt: { toString: 1 } },
  ];
  for (const raw of [
    undefined,
    null,
    0,
    "",
    "banner",
    true,
    [],
    {},
    ...broken.map((part) => ({ ...PLAIN, ...part })),
  ]) {
    assert.equal(skipped(raw), "unreadable", JSON.stringify(raw));
  }
});

const json = fc.jsonValue({ maxDepth: 3 });
const OPERATORS = "eq neq in nin exists contains gt lte starts_with glob before version_lt regex".split(" ");
const comparison = fc.record({
  property: fc.oneof(fc.constant("x"), json),
  op: fc.constantFrom(...OPERATORS),
  value: json,
});
const trigger = fc.record(
  {
    eventType: fc.oneof(fc.constant("e"), json),
    where: fc.oneof(fc.array(comparison), json),
    url: fc.oneof(comparison, json),
    screen: fc.oneof(comparison, json),
    delaySeconds: json,
  },
  { requiredKeys: [] },
);
const stops = fc.oneof(fc.array(fc.constantFrom("click", "dismiss")), json);
const cap = fc.record(
  { maxImpressions: json, perSeconds: json, minIntervalSeconds: json, stopAfter: stops },
  { requiredKeys: [] },
);
/** A message in which some parts are anything. */
const almost = fc
  .record(
    {
      ...Object.fromEntries(Object.keys(PLAIN).map((name) => [name, json])),
      trigger: fc.oneof(trigger, json),
      frequencyCap: fc.oneof(cap, json),
    },
    { requiredKeys: [] },
  )
  .chain((parts) => fc.subarray(Object.entries(parts)).map((some) => ({ ...PLAIN, ...Object.fromEntries(some) })));

test("whatever JSON an edge sends, it is skipped for a reason or can be decided about", () => {
  const someProperties = fc.dictionary(fc.constantFrom("x", "y"), json);
  const property = fc.property(fc.oneof(json, almost), someProperties, (raw, properties) => {
    const message = readMessage(raw as unknown as Message);
    if ("reason" in message) return;
    const seen = { impressions: 2, clicks: 1, dismissals: 1, recentMs: [5, 0] };
    for (const event of [null, "any" as const, { type: "e", properties }]) {
      verdict(message, { url: "u", screen: "s" }, event, seen, 10);
    }
  });
  fc.assert(property, { numRuns: 2_000 });
});
