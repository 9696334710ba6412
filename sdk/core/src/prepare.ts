/** A message off the wire → one that can be decided about, or why it cannot: the edge may be newer than this SDK. */

import type { Cta, FrequencyCap, Message } from "./message.ts";
import { type TextTest, textTest, UnknownOperatorError } from "./patterns.ts";
import { type Where, whereTest } from "./where.ts";

const TYPES = ["banner", "modal", "slideout", "tooltip"];

/** `url`, `screen`, `where`: null asks nothing. Of a message without an event `eventType` is null. */
export interface Prepared {
  message: Message;
  startsMs: number | null;
  endsMs: number | null;
  url: TextTest | null;
  screen: TextTest | null;
  eventType: string | null;
  where: Where;
  delayMs: number;
  cap: FrequencyCap | null;
}

export interface Skipped {
  id: string;
  reason: "unknown_type" | "unknown_operator" | "unreadable";
}

export function prepare(raw: unknown): Prepared | Skipped {
  const id = String((raw as Message | null)?.id);
  try {
    return prepared(raw as Message) ?? { id, reason: "unknown_type" };
  } catch (error) {
    return { id, reason: error instanceof UnknownOperatorError ? "unknown_operator" : "unreadable" };
  }
}

/** null: this SDK does not know the message's type. */
function prepared(raw: Message): Prepared | null {
  if (!TYPES.includes(raw.type)) return null;
  const trigger = raw.trigger ?? {};
  return {
    message: withShortcuts(raw),
    startsMs: moment(raw.startsAt),
    endsMs: moment(raw.endsAt),
    url: trigger.url ? textTest(trigger.url) : null,
    screen: trigger.screen ? textTest(trigger.screen) : null,
    eventType: trigger.eventType ?? null,
    where: whereTest(trigger.where ?? []),
    delayMs: (trigger.delaySeconds ?? 0) * 1000,
    cap: raw.frequencyCap ?? null,
  };
}

/** Raises TypeError for what is not a message. */
function withShortcuts(raw: Message): Message {
  const { title, body } = raw.content;
  if (typeof raw.id !== "string" || typeof raw.slot !== "string" || typeof body !== "string") throw new TypeError();
  return { ...raw, appearance: raw.appearance ?? {}, title: title ?? null, body, cta: cta(raw) };
}

function cta({ content: { ctaText, ctaUrl } }: Message): Cta | null {
  return ctaText || ctaUrl ? { text: ctaText || "Learn more", url: ctaUrl || null } : null;
}

function moment(iso: string | null | undefined): number | null {
  if (iso == null) return null;
  const ms = Date.parse(iso);
  if (Number.isNaN(ms)) throw new TypeError();
  return ms;
}
