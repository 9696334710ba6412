// Draws one message in a shadow root of its own and says when it was seen, clicked or dismissed.

import { colourProperties, safeImageUrl, safeUrl } from "./appearance.js";
import { element } from "./dom.js";
import { followAnchor } from "./tooltip.js";

const TYPES = new Set(["banner", "modal", "slideout", "tooltip"]);
const AREAS = ["banner-top", "banner-center", "banner-bottom", "slideout-top", "slideout-center", "slideout-bottom"];

const sheet = new CSSStyleSheet();
sheet.replaceSync(await (await fetch(new URL("message.css", import.meta.url))).text());

const overlay = createOverlay();

export const canRender = ({ type }) => TYPES.has(type);

// handlers: {visible(), clicked(), dismissed()}; clicked and dismissed are called at most once in all.
// Returns {remove()}, which takes the message away without calling any of them.
export function render(message, handlers) {
  const { type, appearance } = message;
  const host = element("div", {
    className: "inapp-message",
    dataset: { testid: "inapp-message", messageId: message.id, type, position: appearance.position },
  });
  const finish = once((outcome) => handlers[outcome]());
  const panel = createPanel(message, finish);
  const root = host.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = [sheet];
  root.append(panel);
  (overlay.querySelector(`[data-area="${type}-${appearance.position}"]`) ?? overlay).append(host);

  const cleanUps = [returnFocus(host), onceVisible(panel, handlers.visible)];
  if (type === "tooltip") cleanUps.push(followAnchor(panel, appearance, overlay));
  if (type === "modal") cleanUps.push(openModal(panel, finish));
  else if (canDismiss(message)) onEscape(panel, () => finish("dismissed"));

  return {
    remove: once(() => {
      finish.cancel();
      for (const cleanUp of cleanUps) cleanUp();
      host.remove();
    }),
  };
}

// A modal without a way out would lock the page, whatever its author said.
const canDismiss = ({ type, content }) => content.dismissible !== false || (type === "modal" && !hasCta(content));
const hasCta = ({ ctaText, ctaUrl }) => Boolean(ctaText || ctaUrl);

function createPanel(message, finish) {
  const { type, content, appearance } = message;
  const colours = colourProperties(appearance);
  const panel = element(
    type === "modal" ? "dialog" : "section",
    {
      className: `panel ${type}`,
      dataset: { testid: "inapp-panel", theme: appearance.theme, position: appearance.position },
      attributes: { "aria-labelledby": content.title ? "title" : "body" },
    },
    createImage(content.imageUrl),
    createText(content),
    createCta(content, () => finish("clicked")),
    canDismiss(message) ? createDismiss(() => finish("dismissed")) : null,
  );
  if (colours) panel.dataset.coloured = "";
  for (const [name, value] of Object.entries(colours ?? {})) panel.style.setProperty(name, value);
  if (type === "modal") panel.closedBy = canDismiss(message) ? "closerequest" : "none";
  return panel;
}

// The frame keeps its size, and shows a plain ground, while the image loads and when it fails.
function createImage(imageUrl) {
  const src = safeImageUrl(imageUrl);
  if (!src) return null;
  const dataset = { testid: "inapp-image" };
  const image = element("img", { alt: "", decoding: "async", referrerPolicy: "no-referrer", dataset });
  const frame = element("div", { className: "frame" }, image);
  image.addEventListener("error", () => frame.classList.add("failed"));
  image.src = src;
  return frame;
}

function createText({ title, body }) {
  return element(
    "div",
    { className: "text" },
    title ? element("h2", { id: "title", dir: "auto", textContent: title, dataset: { testid: "inapp-title" } }) : null,
    element("p", { id: "body", dir: "auto", textContent: body, dataset: { testid: "inapp-body" } }),
  );
}

function createCta(content, clicked) {
  if (!hasCta(content)) return null;
  const textContent = content.ctaText || "Learn more";
  const href = safeUrl(content.ctaUrl);
  const cta = href
    ? element("a", { href, textContent, ...(isHere(href) ? {} : { target: "_blank", rel: "noopener noreferrer" }) })
    : element("button", { type: "button", textContent });
  cta.className = "cta";
  cta.dataset.testid = "inapp-cta";
  cta.addEventListener("click", clicked);
  return element("div", { className: "actions" }, cta);
}

const isHere = (href) => new URL(href).origin === location.origin;

function createDismiss(dismissed) {
  const attributes = { "aria-label": "Dismiss" };
  const dataset = { testid: "inapp-dismiss" };
  const button = element("button", { className: "dismiss", type: "button", attributes, dataset });
  button.addEventListener("click", dismissed);
  return button;
}

// The browser moves, holds and gives back the focus.
// It starts on the dialog itself, so that Enter presses nothing by accident.
function openModal(dialog, finish) {
  dialog.addEventListener("cancel", (event) => {
    if (dialog.closedBy === "none") event.preventDefault();
  });
  dialog.addEventListener("close", () => finish("dismissed"));
  dialog.tabIndex = -1;
  dialog.showModal();
  dialog.focus({ preventScroll: true });
  return () => dialog.close();
}

function onEscape(panel, dismissed) {
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape") dismissed();
  });
}

// Who tabbed into a message and closes it goes on where they came from.
function returnFocus(host) {
  let cameFrom = null;
  host.addEventListener("focusin", ({ relatedTarget }) => {
    if (relatedTarget && !host.contains(relatedTarget)) cameFrom = relatedTarget;
  });
  return () => {
    if (document.activeElement === host && cameFrom?.isConnected) cameFrom.focus();
  };
}

function onceVisible(panel, visible) {
  const observer = new IntersectionObserver((entries) => {
    if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
    observer.disconnect();
    visible();
  });
  observer.observe(panel);
  return () => observer.disconnect();
}

function once(action) {
  let isDone = false;
  const run = (...values) => {
    if (isDone) return;
    isDone = true;
    action(...values);
  };
  run.cancel = () => {
    isDone = true;
  };
  return run;
}

// One layer over the page. Its areas announce what appears in them; bars make the page leave room for them.
function createOverlay() {
  const areas = AREAS.map((area) => element("div", { dataset: { area }, attributes: { "aria-live": "polite" } }));
  const layer = element("div", { className: "inapp-overlay" }, ...areas);
  const resizes = new ResizeObserver(() => {
    for (const side of ["top", "bottom"]) {
      const { offsetHeight } = layer.querySelector(`[data-area="banner-${side}"]`);
      document.documentElement.style.setProperty(`--inapp-${side}`, `${offsetHeight}px`);
    }
  });
  for (const area of areas) resizes.observe(area);
  document.body.append(layer);
  return layer;
}
