// The page's places: going from one to another changes the address without a load.

import { byId } from "./dom.js";

const SCREENS = { "/": "Overview", "/reports": "Reports", "/pricing": "Pricing", "/checkout": "Checkout" };

// Calls arrived(screen) at each place, the present one included. Gives follow(href): false when that leads elsewhere.
export function startPlaces(arrived) {
  const show = () => {
    showPlace(location.pathname);
    arrived(SCREENS[location.pathname]);
  };
  const go = () => {
    show();
    // What had the focus may be hidden now.
    byId("product").focus({ preventScroll: true });
  };
  const follow = (href) => {
    const { origin, pathname, hash } = new URL(href);
    if (origin !== location.origin || hash || !(pathname in SCREENS)) return false;
    history.pushState(null, "", href);
    scrollTo(0, 0);
    go();
    return true;
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    const isPlain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
    if (link && isPlain && follow(link.href)) event.preventDefault();
  });
  addEventListener("popstate", go);
  show();
  return follow;
}

function showPlace(path) {
  for (const section of document.querySelectorAll("[data-routes]")) {
    section.hidden = !section.dataset.routes.split(" ").includes(path);
  }
  for (const link of document.querySelectorAll("nav a")) {
    if (link.pathname === path) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${SCREENS[path]} · Acme Reports`;
}
