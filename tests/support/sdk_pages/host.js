// Shows what a test hands it, read as the core reads it, and keeps what the renderer reports of what is on the screen.
import { readMessage } from "../../../sdk/core/src/read.ts";
import { render } from "../../../sdk/web/src/render/render.ts";

const views = new Map();

window.reports = [];
window.follows = true;
window.hide = (id) => {
  views.get(id).remove();
  views.delete(id);
};
window.show = (raw) => {
  const message = readMessage(raw);
  const { id, reason } = message;
  if (reason) throw new Error(reason);
  const report = (outcome) => {
    const isShown = views.get(id) === view;
    if (isShown) window.reports.push(`${outcome} ${id}`);
    return isShown;
  };
  const end = (outcome) => {
    if (report(outcome)) window.hide(id);
  };
  const view = render(message, {
    seen: () => report("shown"),
    clicked: () => {
      end("clicked");
      return window.follows;
    },
    dismissed: () => end("dismissed"),
  });
  views.set(id, view);
};
document.documentElement.dataset.ready = "";
