/** The cases that the server's engine is tested on, run on a device's code: the same decisions for the same reasons. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { NOT_SEEN, type Seen } from "../src/caps.ts";
import { holds as conditionHolds } from "../src/conditions.ts";
import { type Occasion, type Place, type Properties, verdict, winners } from "../src/decide.ts";
import type { Message, Pattern } from "../src/message.ts";
import { readMessage } from "../src/read.ts";

type Answers = Record<string, string | null>;
type Shared = Partial<Message> & { id: string };

interface DecisionCase {
  name: string;
  now?: string;
  messages: Shared[];
  place?: Partial<Place>;
  event?: { type: string; properties?: Properties } | null;
  seen?: Record<string, Partial<Omit<Seen, "recentMs">> & { recent?: string[] }>;
  expect: Answers;
}

interface DecisionFile {
  defaults: { now: string; message: Partial<Message> };
  cases: DecisionCase[];
}

type Rule =
  | { all: Rule[] }
  | { any: Rule[] }
  | { not: Rule }
  | { trait: string; op: string; value?: unknown }
  | { event: string }
  | { audience: string };

type Traits = Properties & { traits?: Properties };

interface Group {
  name: string;
  rule: Rule;
  holds: Traits[];
  fails: Traits[];
}

const VECTORS = new URL("../../../tests/vectors/", import.meta.url);
const OPS = `eq neq in nin exists not_exists gt gte lt lte contains not_contains starts_with ends_with glob before after
  version_eq version_gt version_gte version_lt version_lte`.split(/\s+/);
const ran = { decisions: 0, rules: 0, patterns: 0, ops: new Set<string>() };

function read<T>(path: string): T {
  return JSON.parse(readFileSync(new URL(path, VECTORS), "utf8"));
}

for (const name of readdirSync(new URL("decisions/", VECTORS))) {
  const { defaults, cases } = read<DecisionFile>(`decisions/${name}`);
  test(`a device decides as the engine does: ${name}`, () => {
    for (const each of cases) {
      assert.deepEqual(answers(each, defaults), each.expect, each.name);
      ran.decisions += each.messages.length;
    }
  });
}

function answers(each: DecisionCase, { now, message }: DecisionFile["defaults"]): Answers {
  // A message that names no slot is alone in its own.
  const all = each.messages.map((own) => usable({ slot: own.id, ...message, ...own }));
  const place = { url: null, screen: null, ...each.place };
  const event: Occasion | null = each.event ? { properties: {}, ...each.event } : null;
  const nowMs = Date.parse(each.now ?? now);
  const reasons = new Map(all.map((one) => [one, verdict(one, place, event, seenOf(each, one), nowMs)]));
  const won = new Set(winners(all.filter((one) => reasons.get(one) === null)));
  return Object.fromEntries(all.map((one) => [one.id, reasons.get(one) ?? (won.has(one) ? null : "outranked")]));
}

function usable(raw: Shared): Message {
  const message = readMessage(raw as Message);
  assert.ok("body" in message, `${raw.id} cannot be decided about`);
  for (const { op } of raw.trigger?.where ?? []) ran.ops.add(op);
  return message;
}

function seenOf({ seen = {} }: DecisionCase, { id }: Message): Seen {
  const { recent = [], ...counts } = seen[id] ?? {};
  return { ...NOT_SEEN, ...counts, recentMs: recent.map((iso) => Date.parse(iso)) };
}

for (const name of readdirSync(new URL("rules/", VECTORS))) {
  const groups = read<{ groups: Group[] }>(`rules/${name}`).groups.filter(({ rule }) => isOfProperties(rule));
  if (!groups.length) continue;
  test(`conditions on properties hold as those on traits do: ${name}`, () => {
    for (const { name: group, rule, holds, fails } of groups) {
      for (const [expected, people] of [[true, holds] as const, [false, fails] as const]) {
        for (const person of people) {
          assert.equal(ruleHolds(rule, traitsOf(person)), expected, `${group}: ${JSON.stringify(person)}`);
          ran.rules++;
        }
      }
    }
  });
}

/** Neither of events nor of audiences; `within_last` is left out, since an event's properties do not move with the clock. */
function isOfProperties(rule: Rule): boolean {
  if ("all" in rule) return rule.all.every(isOfProperties);
  if ("any" in rule) return rule.any.every(isOfProperties);
  if ("not" in rule) return isOfProperties(rule.not);
  return "trait" in rule && !rule.op.endsWith("within_last");
}

/** Some people of the vectors have events beside their traits. */
function traitsOf(person: Traits): Properties {
  return Array.isArray(person.events) ? (person.traits ?? {}) : person;
}

/** A trigger has a flat list of conditions: what combines them in a rule stands here. */
function ruleHolds(rule: Rule, traits: Properties): boolean {
  if ("all" in rule) return rule.all.every((part) => ruleHolds(part, traits));
  if ("any" in rule) return rule.any.some((part) => ruleHolds(part, traits));
  if ("not" in rule) return !ruleHolds(rule.not, traits);
  assert.ok("trait" in rule);
  ran.ops.add(rule.op);
  return conditionHolds(rule.op, Object.hasOwn(traits, rule.trait) ? traits[rule.trait] : null, rule.value);
}

test("a pattern matches exactly the texts that the vectors name", () => {
  const { cases } = read<{ cases: { pattern: Pattern; matches: string[]; fails: string[] }[] }>("rules-patterns.json");
  for (const { pattern, matches, fails } of cases) {
    const fitting = [...matches, ...fails].filter((text) => conditionHolds(pattern.op, text, pattern.value));
    assert.deepEqual(fitting, matches, pattern.value);
    ran.patterns += matches.length + fails.length;
  }
});

test("the cases that ran are many and cover every operator", () => {
  assert.ok(ran.decisions + ran.rules + ran.patterns >= 1_000, JSON.stringify(ran));
  assert.deepEqual([...ran.ops].sort(), OPS.sort());
});
