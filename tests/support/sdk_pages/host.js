// Shows what a test hands it, and keeps what the renderer reports of messages that are on the screen.
import { render } from "/renderer.js";

const views = new Map();

window.reports = [];
window.follows = true;
window.hide = (id) => {
  views.get(id).remove();
  views.delete(id);
};
window.show = (message) => {
  const { id } = message;
  const report = (outcome) => {
    const isShown = views.get(id) === view;
    if (isShown) window.reports.push(`${outcome} ${id}`);
    return isShown;
  };
  const end = (outcome) => {
    if (report(outcome)) window.hide(id);
  };
  const view = render(message, {
    shown: () => report("shown"),
    clicked: () => {
      end("clicked");
      return window.follows;
    },
    dismissed: () => end("dismissed"),
  });
  views.set(id, view);
};
document.documentElement.dataset.ready = "";
