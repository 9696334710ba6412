/** Where single-page apps go, which they do without a load. */

/** The Navigation API, as far as it is used here: TypeScript's own types of it are newer than the browsers we serve. */
interface NavigationLike extends EventTarget {}

const METHODS = ["pushState", "replaceState"] as const;

/** Calls `moved` whenever the URL has become another. Returns what stops it. */
export function onMove(moved: () => void): () => void {
  let url = location.href;
  const look = () => {
    if (location.href === url) return;
    url = location.href;
    moved();
  };
  const { navigation } = window as { navigation?: NavigationLike };
  if (navigation) {
    navigation.addEventListener("currententrychange", look);
    return () => navigation.removeEventListener("currententrychange", look);
  }
  return patchHistory(look);
}

/** For browsers without the Navigation API. Others may have patched after us, so a patch is put out, never taken off. */
function patchHistory(look: () => void): () => void {
  let isOn = true;
  const maybe = () => isOn && look();
  for (const name of METHODS) {
    const original = history[name];
    history[name] = function (this: History, ...values) {
      original.apply(this, values);
      maybe();
    };
  }
  addEventListener("popstate", maybe);
  addEventListener("hashchange", maybe);
  return () => {
    isOn = false;
    removeEventListener("popstate", maybe);
    removeEventListener("hashchange", maybe);
  };
}
