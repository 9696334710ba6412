// Keeps a tooltip beside its anchor: below or above it, inside the viewport, hidden while the anchor is.

const GAP_PX = 12;
const MARGIN_PX = 8;
const ARROW_INSET_PX = 20;

// Returns a function that stops following. Changes inside `overlay`, where messages live, are not the anchor's.
export function followAnchor(panel, { anchor, position }, overlay) {
  let frame = 0;
  const update = () => {
    frame = 0;
    place(panel, findAnchor(anchor), position);
  };
  const schedule = () => {
    frame ||= requestAnimationFrame(update);
  };
  const stopped = new AbortController();
  addEventListener("scroll", schedule, { capture: true, passive: true, signal: stopped.signal });
  addEventListener("resize", schedule, { signal: stopped.signal });
  const resizes = new ResizeObserver(schedule);
  for (const node of [document.body, panel]) resizes.observe(node);
  const mutations = new MutationObserver((records) => {
    if (records.some(({ target }) => !overlay.contains(target))) schedule();
  });
  mutations.observe(document.documentElement, { attributes: true, childList: true, subtree: true });
  panel.hidden = true;
  schedule();

  return () => {
    stopped.abort();
    resizes.disconnect();
    mutations.disconnect();
    cancelAnimationFrame(frame);
  };
}

function findAnchor(selector) {
  try {
    return document.querySelector(selector);
  } catch {
    return null;
  }
}

function place(panel, anchor, position) {
  const rect = anchor?.getBoundingClientRect();
  panel.hidden = !rect || !isInView(rect);
  if (panel.hidden) return;

  const { offsetWidth: width, offsetHeight: height } = panel;
  const side = chooseSide(rect, height + GAP_PX + MARGIN_PX, position);
  const middle = rect.left + rect.width / 2;
  const left = clamp(middle - width / 2, MARGIN_PX, document.documentElement.clientWidth - width - MARGIN_PX);
  panel.dataset.side = side;
  panel.style.left = `${left}px`;
  panel.style.top = `${side === "above" ? rect.top - GAP_PX - height : rect.bottom + GAP_PX}px`;
  panel.style.setProperty("--arrow", `${clamp(middle - left, ARROW_INSET_PX, width - ARROW_INSET_PX)}px`);
}

const isInView = ({ width, height, top, bottom }) => width > 0 && height > 0 && bottom > 0 && top < innerHeight;
const clamp = (value, low, high) => Math.max(low, Math.min(value, high));

function chooseSide(rect, needed, position) {
  const room = { above: rect.top, below: innerHeight - rect.bottom };
  const [preferred, other] = position === "top" ? ["above", "below"] : ["below", "above"];
  if (room[preferred] >= needed) return preferred;
  return room[other] >= needed || room[other] > room[preferred] ? other : preferred;
}
