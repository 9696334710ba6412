/** Whether a message may show now, and if not, why: in the order and with the codes of the edge (docs/explain.md). */

import { type CapReason, type Seen, withheld } from "./caps.ts";
import { holds } from "./conditions.ts";
import type { Message, Pattern } from "./message.ts";

export type Properties = Readonly<Record<string, unknown>>;

/** Where somebody is; null: on the web there may be no screen, on a phone no URL. */
export interface Whereabouts {
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
  message: Message,
  whereabouts: Whereabouts,
  event: Occasion | "any" | null,
  seen: Seen,
  nowMs: number,
) {
  if (hasEnded(message, nowMs)) return "ended";
  if (nowMs < Date.parse(message.startsAt ?? "")) return "not_started";
  const elsewhere = misplaced(message, whereabouts);
  if (elsewhere) return elsewhere;
  if (event !== "any" && !fits(message, event)) return "event_mismatch";
  return withheld(message.frequencyCap, seen, nowMs);
}

export function hasEnded({ endsAt }: Message, nowMs: number): boolean {
  return nowMs >= Date.parse(endsAt ?? "");
}

export function misplaced({ trigger }: Message, { url, screen }: Whereabouts) {
  if (!matches(trigger?.url, url)) return "url_mismatch";
  return matches(trigger?.screen, screen) ? null : "screen_mismatch";
}

const matches = (pattern: Pattern | null | undefined, text: string | null) =>
  !pattern || holds(pattern.op, text, pattern.value);

/** A message without an event fits whatever happened. */
export function fits({ trigger }: Message, event: Occasion | null): boolean {
  if (!trigger?.eventType) return true;
  return (
    trigger.eventType === event?.type &&
    (trigger.where ?? []).every(({ property, op, value }) =>
      holds(op, Object.hasOwn(event.properties, property) ? event.properties[property] : null, value),
    )
  );
}

/** Of messages in their order of rank, the first of each slot that is not taken. */
export function winners(ranked: readonly Message[], takenSlots: Iterable<string> = []): Message[] {
  const slots = new Set(takenSlots);
  return ranked.filter(({ slot }) => !slots.has(slot) && slots.add(slot));
}
