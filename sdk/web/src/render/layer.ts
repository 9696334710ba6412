/** The one layer above the page in which all messages but modals live. */

import { element, styledRoot } from "./element.ts";
import css from "./layer.css";

// A screen reader only minds a region that it has known for a while, and nobody should find the words twice.
const ANNOUNCE_AFTER_MS = 150;
const ANNOUNCED_MS = 5_000;
const BARS = ["banner-top", "banner-bottom"];
const AREAS = [...BARS, "banner-center", "slideout-top", "slideout-center", "slideout-bottom"];

export interface Layer {
  /** Gives a function that takes the message's host out again. */
  add(host: HTMLElement): () => void;
  announce(text: string): void;
  /** Whether the layer is above this element without being shut off from it by a dialog of the page. */
  covers(anchor: Element): boolean;
}

export function createLayer(): Layer {
  const region = element("div", { class: "announcements", "aria-live": "polite" });
  const areas = AREAS.map((name) => element("slot", { name }));
  const layer = element("div", { popover: "manual", "data-testid": "inapp-layer" });
  styledRoot(layer, css).append(...areas, element("slot", {}), region);
  stayOnTop(layer);
  tellSizes(areas);
  const giveBackFocus = rememberFocus(layer);

  return {
    add(host) {
      layer.append(host);
      return () => giveBackFocus(host);
    },
    announce(text) {
      const line = element("p", {}, text);
      setTimeout(() => region.append(line), ANNOUNCE_AFTER_MS);
      setTimeout(() => line.remove(), ANNOUNCED_MS);
    },
    covers: (anchor) => layer.parentNode!.contains(anchor),
  };
}

// What is outside the page's topmost modal dialog is inert, so the layer lives in that dialog while it is open.
function stayOnTop(layer: HTMLElement): void {
  /** In the order in which they were opened. */
  const dialogs = new Set<Element>();
  const settle = () => {
    for (const dialog of dialogs) if (!dialog.matches(":modal")) dialogs.delete(dialog);
    for (const dialog of document.querySelectorAll("dialog:modal")) dialogs.add(dialog);
    const parent = [...dialogs].at(-1) ?? document.body;
    if (layer.parentNode === parent) return;
    parent.append(layer);
    layer.showPopover();
  };
  const observer = new MutationObserver((records) => {
    if (!layer.isConnected || records.some(({ type }) => type === "attributes")) settle();
  });
  observer.observe(document, { attributeFilter: ["open"], childList: true, subtree: true });
  settle();
}

// Bars cover the page's edges. `--sendora-top` and `--sendora-bottom` let it leave room for them.
function tellSizes(areas: HTMLSlotElement[]): void {
  const { style } = document.documentElement;
  const observer = new ResizeObserver(() => {
    for (const { name, offsetHeight } of bars) {
      const property = name.replace("banner", "--sendora");
      if (offsetHeight) style.setProperty(property, `${offsetHeight}px`);
      else style.removeProperty(property);
    }
  });
  const bars = areas.slice(0, BARS.length);
  for (const bar of bars) observer.observe(bar);
}

// Who came into a message by keyboard and closes it goes on where they came from.
function rememberFocus(layer: HTMLElement): (host: HTMLElement) => void {
  let cameFrom: EventTarget | null = null;
  layer.addEventListener("focusin", ({ relatedTarget }) => {
    if (!layer.contains(relatedTarget as Node | null)) cameFrom = relatedTarget;
  });
  return (host) => {
    if (document.activeElement === host) (cameFrom as HTMLElement | null)?.focus({ preventScroll: true });
  };
}
