/** The elements of one message. */

import type { Cta, Handlers, Message } from "@sendora/core";
import { coloursOf, imageUrl, linkUrl, positionOf } from "./appearance.ts";
import { element } from "./element.ts";

/** A modal without a way out would lock the page, whatever its author said. */
export const isDismissible = ({ type, content, cta }: Message) => content.dismissible || (type === "modal" && !cta);

export function createPanel(message: Message, handlers: Handlers): HTMLElement {
  const { type, title, body, content, appearance, cta } = message;
  const colours = coloursOf(appearance);
  const panel = element(
    type === "modal" ? "dialog" : "section",
    {
      class: `panel ${type}`,
      part: "panel",
      "aria-labelledby": title ? "title" : "body",
      "aria-describedby": title ? "body" : "",
      "data-testid": "inapp-panel",
      "data-theme": appearance.theme,
      "data-position": positionOf(appearance),
    },
    createImage(content.imageUrl),
    element("div", { class: "text" }, title ? createText("h2", "title", title) : null, createText("p", "body", body)),
    cta && element("div", { class: "actions" }, createCta(cta, handlers)),
    isDismissible(message) ? createDismiss(handlers) : null,
  );
  if (colours) {
    panel.style.setProperty("--surface", colours.surface);
    for (const name of ["--text", "--quiet"]) panel.style.setProperty(name, colours.text);
  }
  return panel;
}

const named = (name: string) => ({ class: name, part: name, "data-testid": `inapp-${name}` });

const createText = (tag: "h2" | "p", name: string, text: string) =>
  element(tag, { id: name, dir: "auto", ...named(name) }, text);

// The frame keeps its size, and shows a plain ground, while the image loads and when it fails.
function createImage(address: string | null): HTMLElement | null {
  const src = imageUrl(address);
  if (!src) return null;
  const image = element("img", { alt: "", referrerpolicy: "no-referrer", src, ...named("image") });
  image.addEventListener("error", () => {
    image.hidden = true;
  });
  return element("div", { class: "frame" }, image);
}

function createCta({ text, url }: Cta, handlers: Handlers): HTMLElement {
  const link = linkUrl(url);
  const cta = link
    ? element("a", { href: link.href, ...elsewhere(link), ...named("cta") }, text)
    : element("button", { type: "button", ...named("cta") }, text);
  cta.addEventListener("click", (event) => {
    if (!handlers.clicked()) event.preventDefault();
  });
  return cta;
}

const elsewhere = (link: URL) => (link.origin === location.origin ? {} : { target: "_blank", rel: "noreferrer" });

function createDismiss(handlers: Handlers): HTMLElement {
  const button = element("button", { type: "button", "aria-label": "Dismiss", ...named("dismiss") });
  button.addEventListener("click", handlers.dismissed);
  return button;
}
