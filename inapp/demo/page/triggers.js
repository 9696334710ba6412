// When a message may appear: pure functions of its trigger, the place ({url, screen})
// and an event ({eventType, properties}).

const textTests = {
  eq: (text, value) => text === value,
  contains: (text, value) => text.includes(value),
  starts_with: (text, value) => text.startsWith(value),
  ends_with: (text, value) => text.endsWith(value),
  glob: (text, value) => matchesGlob(text, value),
};

const isComparable = (a, b) => typeof a === typeof b && (typeof a === "number" || typeof a === "string");

const propertyTests = {
  eq: (actual, value) => actual === value,
  neq: (actual, value) => actual !== value,
  gt: (actual, value) => isComparable(actual, value) && actual > value,
  gte: (actual, value) => isComparable(actual, value) && actual >= value,
  lt: (actual, value) => isComparable(actual, value) && actual < value,
  lte: (actual, value) => isComparable(actual, value) && actual <= value,
  in: (actual, value) => value.includes(actual),
  contains: (actual, value) =>
    Array.isArray(actual) ? actual.includes(value) : typeof actual === "string" && actual.includes(value),
  exists: (actual) => actual !== undefined,
};

export const needsEvent = (trigger) => Boolean(trigger?.eventType);

// Parts are AND-ed and an absent part always holds. trigger.audienceId is the edge's to decide.
export function placeMatches(trigger, { url, screen }) {
  return textMatches(trigger?.url, url) && textMatches(trigger?.screen, screen);
}

export function eventMatches(trigger, event) {
  if (!needsEvent(trigger)) return true;
  return (
    event?.eventType === trigger.eventType &&
    (trigger.where ?? []).every(({ property, op, value }) => propertyMatches(op, event.properties?.[property], value))
  );
}

// An operator that this page does not know never matches.
const propertyMatches = (op, actual, value) => propertyTests[op]?.(actual, value) ?? false;
const textMatches = (condition, text) => !condition || (textTests[condition.op]?.(text, condition.value) ?? false);

// `*` is any run of characters; `\*` and `\\` stand for themselves. Leftmost matches suffice, so this stays linear.
export function matchesGlob(text, glob) {
  const [first, ...rest] = literalsOf(glob);
  const last = rest.pop();
  if (last === undefined) return text === first;
  if (!text.startsWith(first)) return false;
  let from = first.length;
  for (const literal of rest) {
    const at = text.indexOf(literal, from);
    if (at < 0) return false;
    from = at + literal.length;
  }
  return text.length - last.length >= from && text.endsWith(last);
}

function literalsOf(glob) {
  const literals = [""];
  for (const [token] of glob.matchAll(/\\[\\*]|[^]/gu)) {
    if (token === "*") literals.push("");
    else literals[literals.length - 1] += token.length > 1 && token[0] === "\\" ? token[1] : token;
  }
  return literals;
}

// One line for people: "report.exported where pages gte 3, url glob */pricing*, after 5 s".
export function describeTrigger(trigger) {
  const parts = [];
  if (needsEvent(trigger)) {
    const where = (trigger.where ?? []).map(describeCondition).join(" and ");
    parts.push(where ? `${trigger.eventType} where ${where}` : trigger.eventType);
  }
  if (trigger?.url) parts.push(`url ${trigger.url.op} ${trigger.url.value}`);
  if (trigger?.screen) parts.push(`screen ${trigger.screen.op} ${trigger.screen.value}`);
  if (trigger?.audienceId) parts.push("in an audience");
  if (trigger?.delaySeconds) parts.push(`after ${trigger.delaySeconds} s`);
  return parts.join(", ") || "at once";
}

const describeCondition = ({ property, op, value }) => `${property} ${op} ${JSON.stringify(value) ?? ""}`.trim();
