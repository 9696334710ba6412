/** Keeps a tooltip beside its anchor: below or above it, inside the viewport, hidden while the anchor is. */

import type { Position } from "@sendora/core";

const GAP_PX = 12;
const MARGIN_PX = 8;
const ARROW_INSET_PX = 20;
/** After these things an anchor may stand elsewhere. */
const MOVES = ["scroll", "resize", "transitionend", "animationend"];

/** `isReachable`: whether something else shuts the anchor off. Gives a function that stops following. */
export function followAnchor(
  panel: HTMLElement,
  selector: string | null,
  position: Position,
  isReachable: (anchor: Element) => boolean,
): () => void {
  let anchor: Element | undefined;
  let isInSight = false;
  let frame = 0;
  const schedule = () => {
    frame ||= requestAnimationFrame(update);
  };
  const update = () => {
    frame = 0;
    const found = findAnchor(selector);
    if (found !== anchor) watch(found);
    panel.hidden = !(anchor && isInSight && isReachable(anchor));
    if (anchor && !panel.hidden) place(panel, anchor.getBoundingClientRect(), position);
  };
  // Only an observer knows whether a scrolling part of the page hides it.
  const sight = new IntersectionObserver((entries) => {
    isInSight = entries.at(-1)!.isIntersecting;
    schedule();
  });
  const sizes = new ResizeObserver(schedule);
  const changes = new MutationObserver(schedule);
  const watch = (found: Element | undefined) => {
    sight.disconnect();
    sizes.disconnect();
    anchor = found;
    isInSight = false;
    for (const node of [document.body, panel, anchor]) if (node) sizes.observe(node);
    if (anchor) sight.observe(anchor);
  };

  panel.hidden = true;
  for (const move of MOVES) addEventListener(move, schedule, true);
  changes.observe(document, { attributes: true, childList: true, subtree: true });
  watch(undefined);
  return () => {
    for (const move of MOVES) removeEventListener(move, schedule, true);
    changes.disconnect();
    sight.disconnect();
    sizes.disconnect();
    cancelAnimationFrame(frame);
  };
}

// Pages for small and large screens often hold the same button twice, and show one.
function findAnchor(selector: string | null): Element | undefined {
  try {
    const candidates = [...document.querySelectorAll(selector ?? "")];
    return candidates.find((node) => node.checkVisibility({ opacityProperty: true, visibilityProperty: true }));
  } catch {
    return undefined;
  }
}

function place(panel: HTMLElement, anchor: DOMRect, position: Position): void {
  const { offsetWidth: width, offsetHeight: height } = panel;
  const isAbove = goesAbove(anchor, height + GAP_PX + MARGIN_PX, position);
  const middle = anchor.left + anchor.width / 2;
  const left = clamp(middle - width / 2, MARGIN_PX, document.documentElement.clientWidth - width - MARGIN_PX);
  const top = isAbove ? anchor.top - GAP_PX - height : anchor.bottom + GAP_PX;
  panel.dataset.side = isAbove ? "above" : "below";
  panel.style.left = `${left}px`;
  panel.style.top = `${clamp(top, MARGIN_PX, innerHeight - height - MARGIN_PX)}px`;
  panel.style.setProperty("--arrow", `${clamp(middle - left, ARROW_INSET_PX, width - ARROW_INSET_PX)}px`);
}

const clamp = (value: number, low: number, high: number) => Math.max(low, Math.min(value, high));

// The wished side where there is room for it, else the roomier one.
function goesAbove(anchor: DOMRect, needed: number, position: Position): boolean {
  const above = anchor.top;
  const below = innerHeight - anchor.bottom;
  if (position === "top") return above >= needed || above > below;
  return below < needed && above > below;
}
