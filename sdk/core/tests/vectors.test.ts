/** The cases that the server's engine is tested on, run on a device's code: the same decisions for the same reasons. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { NOT_SEEN, type Seen } from "../src/caps.ts";
import { holds as conditionHolds } from "../src/conditions.ts";
import { type Occasion, type Properties, verdict, type Whereabouts, winners } from "../src/decide.ts";
import type { Message, Pattern } from "../src/message.ts";
import { readMessage } from "../src/read.ts";

type Answers = Record<string, string | null>;
type Shared = Partial<Message> & { id: string };

interface DecisionCase {
  name: string;
  now?: string;
  messages: Shared[];
  place?: Partial<Whereabouts>;
  event?: { type: string; properties?: Properties } | null;
  seen?: Record<string, Partial<Omit<Seen, "recentMs">> & { recent?: string[] }>;
  expect: Answers;
}

interface DecisionFile {
  defaults: { now: string; message: Partial<Message> };
  cases: DecisionCase[];
}

type Leaf = { trait: string; op: string; value?: unknown } | { event: string } | { audience: string };
type Rule = { all: Rule[] } | { any: Rule[] } | { not: Rule } | Leaf;

type Traits = Properties & { traits?: Properties };

interface Group {
  name: string;
  rule: Rule;
  holds: Traits[];
  fails: Traits[];
}

interface PatternCase {
  pattern: Pattern;
  matches: string[];
  fails: string[];
}

const VECTORS = new URL("../../../tests/vectors/", import.meta.url);
const OPS = `eq neq in nin exists not_exists gt gte lt lte contains not_contains starts_with ends_with glob before after
  version_eq version_gt version_gte version_lt version_lte`.split(/\s+/);
const DECISIONS = readFolder<DecisionFile>("decisions/");
const RULES = readFolder<{ groups: Group[] }>("rules/")
  .map(({ name, groups }) => ({ name, groups: groups.filter(({ rule }) => isOfProperties(rule)) }))
  .filter(({ groups }) => groups.length);
const PATTERNS = read<{ cases: PatternCase[] }>("rules-patterns.json").cases;

function read<T>(path: string): T {
  return JSON.parse(readFileSync(new URL(path, VECTORS), "utf8"));
}

function readFolder<T>(folder: string): (T & { name: string })[] {
  return readdirSync(new URL(folder, VECTORS)).map((name) => ({ name, ...read<T>(folder + name) }));
}

for (const { name, defaults, cases } of DECISIONS) {
  test(`a device decides as the engine does: ${name}`, () => {
    for (const each of cases) assert.deepEqual(answers(each, defaults), each.expect, each.name);
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
  return message;
}

function seenOf({ seen = {} }: DecisionCase, { id }: Message): Seen {
  const { recent = [], ...counts } = seen[id] ?? {};
  return { ...NOT_SEEN, ...counts, recentMs: recent.map((iso) => Date.parse(iso)) };
}

for (const { name, groups } of RULES) {
  test(`conditions on properties hold as those on traits do: ${name}`, () => {
    for (const { name: group, rule, holds, fails } of groups) {
      for (const [expected, people] of [[true, holds] as const, [false, fails] as const]) {
        for (const person of people) {
          assert.equal(ruleHolds(rule, traitsOf(person)), expected, `${group}: ${JSON.stringify(person)}`);
        }
      }
    }
  });
}

/** Neither of events nor of audiences; `within_last` is left out, since an event's properties do not move with the clock. */
function isOfProperties(rule: Rule): boolean {
  return leaves(rule).every((leaf) => "trait" in leaf && !leaf.op.endsWith("within_last"));
}

function leaves(rule: Rule): Leaf[] {
  if ("all" in rule) return rule.all.flatMap(leaves);
  if ("any" in rule) return rule.any.flatMap(leaves);
  if ("not" in rule) return leaves(rule.not);
  return [rule];
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
  return conditionHolds(rule.op, Object.hasOwn(traits, rule.trait) ? traits[rule.trait] : null, rule.value);
}

test("a pattern matches exactly the texts that the vectors name", () => {
  for (const { pattern, matches, fails } of PATTERNS) {
    const fitting = [...matches, ...fails].filter((text) => conditionHolds(pattern.op, text, pattern.value));
    assert.deepEqual(fitting, matches, pattern.value);
  }
});

test("the cases are many and cover every operator", () => {
  const messages = DECISIONS.flatMap(({ cases }) => cases.flatMap((each) => each.messages));
  const groups = RULES.flatMap((file) => file.groups);
  const people = groups.flatMap(({ holds, fails }) => [...holds, ...fails]);
  const texts = PATTERNS.flatMap(({ matches, fails }) => [...matches, ...fails]);
  assert.ok(messages.length + people.length + texts.length >= 1_000);
  const conditions = [
    ...messages.flatMap(({ trigger }) => trigger?.where ?? []),
    ...groups.flatMap(({ rule }) => leaves(rule)),
  ];
  const ops = new Set(conditions.map((each) => "op" in each && each.op));
  assert.deepEqual([...ops].sort(), OPS.sort());
});
