// Shows what a test hands it, and keeps what the renderer reports.
import { createRenderer } from "/renderer.js";

const render = createRenderer();
const views = new Map();

window.reports = [];
window.follows = true;
window.hide = (id) => views.get(id).remove();
window.show = (message) => {
  const report = (outcome) => window.reports.push(`${outcome} ${message.id}`);
  const end = (outcome) => {
    report(outcome);
    views.get(message.id).remove();
  };
  const handlers = {
    shown: () => report("shown"),
    clicked: () => {
      end("clicked");
      return window.follows;
    },
    dismissed: () => end("dismissed"),
  };
  views.set(message.id, render(message, handlers));
};
document.documentElement.dataset.ready = "";
