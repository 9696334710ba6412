/** Where single-page apps go, which they do without a load. */

/** Calls `moved` whenever the URL has become another, until `signal` ends it. */
export function onMove(moved: () => void, signal: AbortSignal): void {
  let url = location.href;
  function look() {
    if (location.href === url || signal.aborted) return;
    url = location.href;
    moved();
  }
  // TypeScript's own types of the Navigation API are newer than the browsers that we serve.
  const { navigation } = window as { navigation?: EventTarget };
  if (navigation) navigation.addEventListener("currententrychange", look, { signal });
  else patchHistory(look, signal);
}

/** For browsers without the Navigation API. A patch stays: others may have patched after it. */
function patchHistory(look: () => void, signal: AbortSignal): void {
  for (const name of ["pushState", "replaceState"] as const) {
    const original = history[name];
    history[name] = function (this: History, ...values) {
      original.apply(this, values);
      look();
    };
  }
  addEventListener("popstate", look, { signal });
  addEventListener("hashchange", look, { signal });
}
