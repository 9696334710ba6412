/** The little grammars inside conditions, as in `wire/literals.py`. Text that does not fit yields null. */

const MOMENT =
  /^(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01]))(?:T((?:[01]\d|2[0-3]):[0-5]\d)(?::([0-5]\d)(?:\.(\d{1,9}))?)?(Z|[+-](?:0\d|1[0-4]):[0-5]\d))?$/;
const VERSION = /^v?\d{1,9}(\.\d{1,9}){0,3}$/;

/** ms since the epoch of `2026-01-02T03:04:05.678Z`; a date alone is its midnight in UTC. Finer digits are cut. */
export function momentMs(text: string): number | null {
  const [, date, minutes = "00:00", seconds = "00", fraction = "", zone = "Z"] = MOMENT.exec(text) ?? [];
  if (!date || date.startsWith("0000")) return null;
  const midnight = new Date(`${date}T00:00:00Z`);
  // Some engines roll 30 February over into March.
  if (Number.isNaN(+midnight) || midnight.toISOString().slice(0, 10) !== date) return null;
  return Date.parse(`${date}T${minutes}:${seconds}.${fraction.padEnd(3, "0").slice(0, 3)}${zone}`);
}

/** `1.2`, `v1.2.3`, `1.2.3.4` as four numbers, the missing ones 0. */
export function versionParts(text: string): number[] | null {
  if (!VERSION.test(text)) return null;
  const parts = text.replace("v", "").split(".").map(Number);
  return [...parts, 0, 0, 0].slice(0, 4);
}
