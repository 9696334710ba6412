/** Where single-page apps go, which they do without a load. */

const MOVED = "currententrychange";

/** Calls `moved` whenever the URL has become another, until `signal` ends it. */
export function onMove(moved: () => void, signal: AbortSignal): void {
  // TypeScript's own types of the Navigation API are newer than the browsers that we serve.
  const { navigation = patchedHistory() } = window as { navigation?: EventTarget };
  let url = location.href;
  function look() {
    if (location.href === url) return;
    url = location.href;
    moved();
  }
  navigation.addEventListener(MOVED, look, { signal });
}

/** For browsers without the Navigation API. A patch stays: others may have patched after it. */
function patchedHistory(): EventTarget {
  const target = new EventTarget();
  const tell = () => target.dispatchEvent(new Event(MOVED));
  for (const name of ["pushState", "replaceState"] as const) {
    const original = history[name];
    history[name] = function (this: History, ...values) {
      original.apply(this, values);
      tell();
    };
  }
  addEventListener("popstate", tell);
  addEventListener("hashchange", tell);
  return target;
}
