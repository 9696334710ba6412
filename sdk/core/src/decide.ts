/** Whether a message may show now, and if not, why: in the order and with the codes of the edge (docs/explain.md). */

import { type CapReason, type Seen, withheld } from "./caps.ts";
import type { Prepared } from "./prepare.ts";
import type { Properties } from "./where.ts";

/** Where somebody is; null: on the web there may be no screen, on a phone no URL. */
export interface Place {
  url: string | null;
  screen: string | null;
}

/** Something that just happened on this device. */
export interface Occasion {
  type: string;
  properties: Properties;
}

export type Verdict = "ended" | "not_started" | "url_mismatch" | "screen_mismatch" | "event_mismatch" | CapReason;

/** `event` "any": the one that the message waits for is taken as given. */
export function verdict(
  prepared: Prepared,
  place: Place,
  event: Occasion | "any" | null,
  seen: Seen,
  nowMs: number,
): Verdict | null {
  return (
    window(prepared, nowMs) ??
    misplaced(prepared, place) ??
    (event === "any" || fits(prepared, event) ? null : "event_mismatch") ??
    withheld(prepared.cap, seen, nowMs)
  );
}

export function misplaced({ url, screen }: Prepared, place: Place): "url_mismatch" | "screen_mismatch" | null {
  if (url && !(place.url !== null && url(place.url))) return "url_mismatch";
  return screen && !(place.screen !== null && screen(place.screen)) ? "screen_mismatch" : null;
}

/** A message without an event fits whatever happened. */
export function fits({ eventType, where }: Prepared, event: Occasion | null): boolean {
  return eventType === null || (event !== null && event.type === eventType && where(event.properties));
}

function window({ startsMs, endsMs }: Prepared, nowMs: number): "ended" | "not_started" | null {
  if (endsMs !== null && nowMs >= endsMs) return "ended";
  return startsMs !== null && nowMs < startsMs ? "not_started" : null;
}

/** Of messages in their order of rank, the first of each slot that is not taken. */
export function winners(ranked: readonly Prepared[], taken: Iterable<string> = []): Prepared[] {
  const slots = new Set(taken);
  return ranked.filter(({ message: { slot } }) => !slots.has(slot) && slots.add(slot));
}
