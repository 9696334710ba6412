/** What an author wrote, as the edge gives it. Fields that this SDK does not know are carried along. */

export const TYPES = ["banner", "modal", "slideout", "tooltip"] as const;
export const POSITIONS = ["top", "bottom", "center"] as const;

export type MessageType = (typeof TYPES)[number];
export type Position = (typeof POSITIONS)[number];
export type Theme = "light" | "dark" | "auto";

export interface Content {
  title: string | null;
  body: string;
  ctaText: string | null;
  ctaUrl: string | null;
  imageUrl: string | null;
  dismissible: boolean;
}

/** `backgroundColor`, `textColor`: `#rgb` or `#rrggbb`. `anchor`: of a tooltip, a CSS selector or a `testID`. */
export interface Appearance {
  position: Position;
  theme: Theme;
  backgroundColor: string | null;
  textColor: string | null;
  anchor: string | null;
}

/** A text test: of a URL or the name of a screen. */
export interface Pattern {
  op: string;
  value: string;
}

/** One property of an event against a constant; see docs/rules.md. */
export interface Condition {
  property: string;
  op: string;
  value?: unknown;
}

/** All parts that are there must hold. `audienceId` is decided on the server. */
export interface Trigger {
  eventType?: string | null;
  where?: Condition[] | null;
  url?: Pattern | null;
  screen?: Pattern | null;
  audienceId?: string | null;
  delaySeconds?: number | null;
}

/** At most `maxImpressions` within `perSeconds` (null: ever), `minIntervalSeconds` apart, none after a stop. */
export interface FrequencyCap {
  maxImpressions: number | null;
  perSeconds: number | null;
  minIntervalSeconds: number | null;
  stopAfter: string[];
}

export interface Cta {
  text: string;
  /** null: it only closes the message. */
  url: string | null;
}

/** A message as the edge sends it, and what apps mostly want of it: `title`, `body` and `cta`. */
export interface Message {
  id: string;
  version: number;
  type: MessageType;
  slot: string;
  priority: number;
  content: Content;
  appearance: Appearance;
  trigger: Trigger | null;
  frequencyCap: FrequencyCap | null;
  startsAt: string | null;
  endsAt: string | null;
  title: string | null;
  body: string;
  cta: Cta | null;
}
