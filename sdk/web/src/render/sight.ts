/** Calls `seen` once, when the element first stands in the viewport of a page that somebody looks at. */
export function whenInSight(element: HTMLElement, seen: () => void): () => void {
  const observer = new IntersectionObserver((entries) => {
    if (document.hidden || !entries.some(({ isIntersecting }) => isIntersecting)) return;
    stop();
    seen();
  });
  // Who begins to observe is told how things stand.
  const look = () => {
    observer.disconnect();
    observer.observe(element);
  };
  const stop = () => {
    observer.disconnect();
    document.removeEventListener("visibilitychange", look);
  };
  document.addEventListener("visibilitychange", look);
  look();
  return stop;
}
