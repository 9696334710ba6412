/** Conditions on an event's properties: the rule language (docs/rules.md), as far as devices decide by it. */

import { momentMs, versionParts } from "./literals.ts";
import type { Condition } from "./message.ts";
import { textTest, UnknownOperatorError } from "./patterns.ts";

export type Properties = Readonly<Record<string, unknown>>;
export type Where = (properties: Properties) => boolean;
type ValueTest = (value: unknown) => boolean;

/** Negative op → the op whose exact opposite it is, so that a missing property satisfies it. */
const NEGATIONS: Record<string, string> = {
  neq: "eq",
  nin: "in",
  not_contains: "contains",
  not_exists: "exists",
};

const ORDERS: Record<string, (order: number) => boolean> = {
  gt: (order) => order > 0,
  gte: (order) => order >= 0,
  lt: (order) => order < 0,
  lte: (order) => order <= 0,
  before: (order) => order < 0,
  after: (order) => order > 0,
  version_eq: (order) => order === 0,
  version_gt: (order) => order > 0,
  version_gte: (order) => order >= 0,
  version_lt: (order) => order < 0,
  version_lte: (order) => order <= 0,
};

/** Raises UnknownOperatorError. */
export function whereTest(conditions: readonly Condition[]): Where {
  const tests = conditions.map(conditionTest);
  return (properties) => tests.every((test) => test(properties));
}

function conditionTest({ property, op, value }: Condition): Where {
  if (typeof property !== "string") throw new UnknownOperatorError(op);
  const positive = NEGATIONS[op];
  const test = valueTest(positive ?? op, value);
  const read = (properties: Properties) => (Object.hasOwn(properties, property) ? properties[property] : undefined);
  return positive ? (properties) => !test(read(properties)) : (properties) => test(read(properties));
}

/** Types are strict: a value of another type never matches. */
function valueTest(op: string, operand: unknown): ValueTest {
  if (op === "exists") return (value) => value != null;
  if (op === "eq" && isScalar(operand)) return (value) => value === operand;
  if (op === "in" && Array.isArray(operand) && operand.every(isScalar)) return (value) => operand.includes(value);
  if (op === "contains" && isScalar(operand)) return contains(operand);
  if (ORDERS[op]) return ordered(op, operand);
  const test = textTest({ op, value: operand as string });
  return (value) => typeof value === "string" && test(value);
}

function isScalar(value: unknown): boolean {
  return ["string", "number", "boolean"].includes(typeof value);
}

function contains(operand: unknown): ValueTest {
  return (value) =>
    Array.isArray(value)
      ? value.includes(operand)
      : typeof value === "string" && typeof operand === "string" && value.includes(operand);
}

function ordered(op: string, operand: unknown): ValueTest {
  const order = ORDERS[op]!;
  const compare = comparison(op, operand);
  return (value) => {
    const found = compare(value);
    return found !== null && order(found);
  };
}

/** Of a value with the operand: negative, 0 or positive; null where the two cannot be compared. */
function comparison(op: string, operand: unknown): (value: unknown) => number | null {
  if (op.startsWith("version_")) return parsed(versionParts, operand, compareParts);
  if (op === "before" || op === "after") return parsed(momentMs, operand, (one, other) => one - other);
  if (typeof operand === "string") return (value) => (typeof value === "string" ? compareText(value, operand) : null);
  if (typeof operand !== "number") throw new UnknownOperatorError(op);
  return (value) => (Number.isFinite(value) ? compareNumbers(value as number, operand) : null);
}

function parsed<T>(parse: (text: string) => T | null, operand: unknown, compare: (one: T, other: T) => number) {
  const other = typeof operand === "string" ? parse(operand) : null;
  if (other === null) throw new UnknownOperatorError(String(operand));
  return (value: unknown) => {
    const one = typeof value === "string" ? parse(value) : null;
    return one === null ? null : compare(one, other);
  };
}

const compareNumbers = (one: number, other: number) => (one < other ? -1 : Number(one > other));

function compareParts(one: readonly number[], other: readonly number[]): number {
  const at = one.findIndex((part, index) => part !== other[index]);
  return at < 0 ? 0 : one[at]! - other[at]!;
}

/** By code point, where JavaScript itself compares UTF-16 units. */
function compareText(one: string, other: string): number {
  const ones = [...one];
  const others = [...other];
  const at = ones.findIndex((character, index) => character !== others[index]);
  if (at < 0) return ones.length - others.length;
  return at < others.length ? ones[at]!.codePointAt(0)! - others[at]!.codePointAt(0)! : 1;
}
