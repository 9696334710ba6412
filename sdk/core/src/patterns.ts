/** Tests of texts, as in the rule language (docs/rules.md): case-sensitive, by code point, in linear time. */

import type { Pattern } from "./message.ts";

export type TextTest = (text: string) => boolean;

/** An operator, or an operand of it, that only a newer SDK knows. */
export class UnknownOperatorError extends Error {}

/** Raises UnknownOperatorError. */
export function textTest({ op, value }: Pattern): TextTest {
  if (typeof value !== "string") throw new UnknownOperatorError(op);
  switch (op) {
    case "eq":
      return (text) => text === value;
    case "contains":
      return (text) => text.includes(value);
    case "starts_with":
      return (text) => text.startsWith(value);
    case "ends_with":
      return (text) => text.endsWith(value);
    case "glob":
      return glob(value);
    default:
      throw new UnknownOperatorError(op);
  }
}

function glob(pattern: string): TextTest {
  const [first = "", ...middle] = literals(pattern);
  const last = middle.pop();
  if (last === undefined) return (text) => text === first;
  return (text) => {
    const end = text.length - last.length;
    if (end < first.length || !text.startsWith(first) || !text.endsWith(last)) return false;
    let start = first.length;
    // Taking each literal as early as possible leaves the most room for the rest, so there is nothing to go back to.
    for (const literal of middle) {
      const at = text.indexOf(literal, start);
      if (at < 0 || at + literal.length > end) return false;
      start = at + literal.length;
    }
    return true;
  };
}

/** The literal runs around the `*`s: one more than there are `*`s. `\*` is a star and `\\` a backslash. */
function literals(pattern: string): string[] {
  const runs: string[] = [];
  let run = "";
  for (const [piece] of pattern.matchAll(/\\[*\\]|[^]/g)) {
    if (piece === "\\") throw new UnknownOperatorError("glob");
    if (piece === "*") {
      runs.push(run);
      run = "";
    } else run += piece.at(-1);
  }
  return [...runs, run];
}
