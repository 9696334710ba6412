/** What an author chose, made safe: places, themes, colours and addresses. Pure. */

import { type Appearance, POSITIONS, type Position } from "@sendora/core";

const COLOUR = /^#([\da-f]{3}){1,2}$/i;
const LINK = /^https:|^mailto:|^tel:|^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:|\/|$)/;

/** A newer server may know more positions than this SDK. */
export const positionOf = ({ position }: Appearance): Position => (POSITIONS.includes(position) ? position : "center");

export interface Colours {
  surface: string;
  text: string;
}

/** Given colours are shown as they are; of one alone, the other is chosen to be readable. Null: those of the theme. */
export function coloursOf({ backgroundColor, textColor }: Appearance): Colours | null {
  const surface = colourOrNull(backgroundColor);
  const text = colourOrNull(textColor);
  if (surface) return { surface, text: text ?? readableOn(surface) };
  return text ? { surface: readableOn(text), text } : null;
}

const colourOrNull = (text: string | null) => (text && COLOUR.test(text) ? text : null);

// At this relative luminance black and white contrast alike, 4.58 : 1, which is just enough for WCAG AA.
const readableOn = (colour: string) => (luminance(colour) > 0.179 ? "#000000" : "#ffffff");

// As WCAG 2 defines it, but for the straight part near 0, which is too dark to matter here.
function luminance(colour: string): number {
  const digits = colour.length < 7 ? colour.replace(/\w/g, "$&$&") : colour;
  const channel = (at: number) => ((Number.parseInt(digits.slice(at, at + 2), 16) / 255 + 0.055) / 1.055) ** 2.4;
  return 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
}

/** Where a call to action may lead; null when it may not lead there. */
export function linkUrl(text: string | null | undefined): URL | null {
  const url = parsed(text);
  return url && !url.username && !url.password && LINK.test(url.href) ? url : null;
}

export function imageUrl(text: string | null): string | null {
  const url = parsed(text);
  return url?.protocol === "https:" ? url.href : null;
}

function parsed(text: string | null | undefined): URL | null {
  try {
    return new URL(text ?? "");
  } catch {
    return null;
  }
}
