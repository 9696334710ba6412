/** Draws messages, each in a shadow root of its own, and says when they are seen, clicked or dismissed. */

import type { Handlers, Message, Render, View } from "@sendora/core";
import { positionOf } from "./appearance.ts";
import { element, styledRoot } from "./element.ts";
import { createLayer, type Layer } from "./layer.ts";
import { openModal } from "./modal.ts";
import panelCss from "./panel.css";
import { createPanel, isDismissible } from "./panel.ts";
import { whenInSight } from "./sight.ts";
import { followAnchor } from "./tooltip.ts";
import typesCss from "./types.css";

/** One for the page, also where there are several instances of the SDK. */
let layer: Layer | undefined;

export const render: Render = (message, handlers) => {
  layer ??= createLayer();
  return show(message, handlers, layer);
};

function show(message: Message, handlers: Handlers, layer: Layer): View {
  const { type, appearance } = message;
  const position = positionOf(appearance);
  const panel = createPanel(message, handlers);
  const host = element("div", {
    slot: type === "tooltip" ? "" : `${type}-${position}`,
    "data-testid": "inapp-message",
    "data-message-id": message.id,
    "data-type": type,
    "data-position": position,
  });
  styledRoot(host, panelCss + typesCss).append(panel);

  const cleanUps = [whenInSight(panel, onSeen)];
  if (type === "modal") {
    // Some single-page apps replace the body.
    document.documentElement.append(host);
    cleanUps.push(openModal(panel as HTMLDialogElement, isDismissible(message), handlers.dismissed));
  } else {
    cleanUps.push(layer.add(host));
    if (isDismissible(message)) onEscape(panel, handlers.dismissed);
  }
  if (type === "tooltip") cleanUps.push(followAnchor(panel, appearance.anchor, position, layer.covers));

  function onSeen(): void {
    makeScrollable(panel.querySelector<HTMLElement>(".text")!);
    // The browser reads out a modal by itself.
    if (type !== "modal") layer.announce([message.title, message.body].filter(Boolean).join(". "));
    handlers.seen();
  }

  return {
    remove() {
      for (const cleanUp of cleanUps.splice(0)) cleanUp();
      host.remove();
    },
  };
}

// By keyboard too: not every browser lets the focus into what scrolls.
function makeScrollable(text: HTMLElement): void {
  if (text.scrollHeight > text.clientHeight) text.tabIndex = 0;
}

// Not for the page as well, and not for its dialog that the message may stand in.
function onEscape(panel: HTMLElement, dismissed: () => void): void {
  panel.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    dismissed();
  });
}
