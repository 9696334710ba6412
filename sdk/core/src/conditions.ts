/** The rule language (docs/rules.md), as far as devices decide by it: a value against a constant. */

type Key = number | string;
type Order = (one: Key, other: Key) => boolean;
type Test = (value: unknown, operand: unknown) => boolean;

const ORDERS = {
  gt: (one, other) => one > other,
  gte: (one, other) => one >= other,
  lt: (one, other) => one < other,
  lte: (one, other) => one <= other,
  eq: (one, other) => one === other,
} satisfies Record<string, Order>;

const exists: Test = (value) => value != null;
const equals: Test = (value, operand) => value === operand;
const isIn: Test = (value, operand) => Array.isArray(operand) && operand.includes(value);
const includes = inText((text, part) => text.includes(part));
const contains: Test = (value, operand) => (Array.isArray(value) ? value.includes(operand) : includes(value, operand));

/** Types are strict: a value of another type never matches. A missing value satisfies what is negative. */
const TESTS: Record<string, Test> = {
  ...inOrder("", plainKey),
  ...inOrder("version_", versionKey),
  before: ordered(momentKey, ORDERS.lt),
  after: ordered(momentKey, ORDERS.gt),
  exists,
  not_exists: not(exists),
  eq: equals,
  neq: not(equals),
  in: isIn,
  nin: not(isIn),
  contains,
  not_contains: not(contains),
  starts_with: inText((text, part) => text.startsWith(part)),
  ends_with: inText((text, part) => text.endsWith(part)),
  glob: inText(matchesGlob),
};

/** False: only a newer SDK knows the operator, or such an operand. */
export function isKnown(op: string, operand: unknown): boolean {
  const isPlain = typeof operand !== "object" || Array.isArray(operand);
  return isPlain && Object.hasOwn(TESTS, op);
}

export function holds(op: string, value: unknown, operand: unknown): boolean {
  return TESTS[op]!(value, operand);
}

function not(test: Test): Test {
  return (value, operand) => !test(value, operand);
}

function inText(test: (text: string, operand: string) => boolean): Test {
  return (value, operand) => typeof value === "string" && typeof operand === "string" && test(value, operand);
}

function inOrder(prefix: string, key: (value: unknown) => Key): Record<string, Test> {
  return Object.fromEntries(Object.entries(ORDERS).map(([name, order]) => [prefix + name, ordered(key, order)]));
}

/** The key of what cannot be compared is NaN, which is in no order with anything. */
function ordered(key: (value: unknown) => Key, order: Order): Test {
  return (value, operand) => {
    const [one, other] = [key(value), key(operand)];
    return typeof one === typeof other && order(one, other);
  };
}

/** Texts are in the order of their code points, where JavaScript compares UTF-16 units: those of pairs move behind. */
function plainKey(value: unknown): Key {
  if (typeof value === "number") return value;
  if (typeof value !== "string") return NaN;
  return value.replace(/[\ud800-\uffff]/g, (unit) =>
    String.fromCharCode(unit.charCodeAt(0) + (unit < "\ue000" ? 0x2000 : -0x800)),
  );
}

/** ms since the epoch of `2026-01-02T03:04:05.678Z`; a date alone is its midnight in UTC. Finer digits are cut. */
function momentKey(value: unknown): Key {
  const [, date, day, time = "T00:00", seconds = ":00", fraction = ".", zone = "Z"] =
    (typeof value === "string" && MOMENT.exec(value)) || [];
  // Engines differ in what they make of 30 February.
  if (!date || new Date(date).getUTCDate() !== Number(day)) return NaN;
  return Date.parse(date + time + seconds + fraction.padEnd(4, "0").slice(0, 4) + zone);
}

const MOMENT =
  /^((?!0000)\d{4}-\d\d-(\d\d))(?:(T(?:[01]\d|2[0-3]):\d\d)(?:(:\d\d)(\.\d{1,9})?)?(Z|[+-](?:0\d|1[0-4]):[0-5]\d))?$/;

/** `1.2`, `v1.2.3`, `1.2.3.4`: four numbers of nine digits, the missing ones 0. */
function versionKey(value: unknown): Key {
  if (typeof value !== "string" || !/^v?\d{1,9}(\.\d{1,9}){0,3}$/.test(value)) return NaN;
  const parts = value.replace("v", "").split(".");
  return [0, 1, 2, 3].map((at) => (parts[at] ?? "").padStart(9, "0")).join("");
}

/**
 * `*` is any run of characters; `\*` and `\\` stand for themselves. Texts of rules have no NUL. Taking each run as early
 * as possible leaves the most room for the rest, so there is nothing to go back to.
 */
function matchesGlob(text: string, glob: string): boolean {
  const [first = "", ...runs] = glob.replace(/\\([*\\])|\*/g, (_, escaped) => escaped ?? "\0").split("\0");
  const last = runs.pop();
  if (last === undefined) return text === first;
  const end = text.length - last.length;
  let start = first.length;
  if (end < start || !text.startsWith(first) || !text.endsWith(last)) return false;
  return runs.every((run) => {
    const at = text.indexOf(run, start);
    start = at + run.length;
    return at >= 0 && start <= end;
  });
}
