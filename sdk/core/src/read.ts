/** A message off the wire, or why it cannot be decided about: the edge may be newer than this SDK. */

import { NOT_SEEN, withheld } from "./caps.ts";
import { isKnown } from "./conditions.ts";
import { type Condition, type Message, TYPES } from "./message.ts";

/** `id`: empty where there is none. */
export interface Skipped {
  id: string;
  reason: "unknown_type" | "unknown_operator" | "unreadable";
}

export function readMessage(raw: Message): Message | Skipped {
  const id = typeof raw?.id === "string" ? raw.id : "";
  try {
    const { type, content, appearance, trigger, frequencyCap, startsAt, endsAt } = raw;
    if (id && !TYPES.includes(type)) return { id, reason: "unknown_type" };
    const { url, screen, where } = trigger ?? {};
    if (![url, screen].every((part) => !part || isKnown(part.op, part.value)) || !(where ?? []).every(isCondition)) {
      return { id, reason: "unknown_operator" };
    }
    const { title, body, ctaText, ctaUrl } = content;
    const cta = ctaText || ctaUrl ? { text: ctaText || "Learn more", url: ctaUrl || null } : null;
    const message = { ...raw, appearance: appearance ?? {}, title: title ?? null, body, cta };
    // What cannot be decided about fails here, and not in front of somebody.
    withheld(frequencyCap, NOT_SEEN, 0);
    for (const moment of [startsAt, endsAt]) Date.parse(moment ?? "");
    if (id && typeof body === "string") return message;
  } catch {}
  return { id, reason: "unreadable" };
}

/** One of another kind, of which there may once be some, has no property. */
const isCondition = ({ property, op, value }: Condition) => typeof property === "string" && isKnown(op, value);
