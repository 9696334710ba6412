// The demo console: who the visitor is, what the edge gave, why it shows or does not, and what was sent.

import { byId, element } from "./dom.js";

const LOG_LENGTH = 40;
const IN_SIGHT = "in sight";
const timeOf = (date) => date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });

// user: one of the config's, or undefined for a visitor.
export function showVisitor(user) {
  const known = { userId: user?.userId ?? "none", ...user?.traits };
  const texts = Object.entries(known).map(([name, value]) => `${name}: ${value}`);
  byId("customer-traits").replaceChildren(...texts.map((textContent) => element("li", { textContent })));
  byId("new-visitor").hidden = Boolean(user);
}

export function showAnswer({ revision, validUntil, degraded }) {
  byId("edge-revision").textContent = revision;
  byId("edge-valid-until").textContent = formatUntil(new Date(validUntil));
  byId("edge-degraded").textContent = degraded ? "yes, some messages withheld" : "no";
  byId("edge-asked-at").textContent = timeOf(new Date());
}

export function showError(text) {
  const error = byId("edge-error");
  error.hidden = !text;
  if (error.textContent !== text) error.textContent = text;
}

function formatUntil(date) {
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? timeOf(date) : date.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

// explanations: as the SDK gives them; messages: by id. Rows stay where they are: the focus may be in one.
export function showMessages(explanations, messages, show) {
  const list = byId("message-list");
  const keys = explanations.map(({ id }) => `${id}@${messages.get(id)?.version}`);
  for (const row of [...list.children]) if (!keys.includes(row.dataset.key)) row.remove();
  explanations.forEach(({ id, reason }, index) => {
    const key = keys[index];
    const known = [...list.children].find(({ dataset }) => dataset.key === key);
    const row = known ?? messageRow(key, id, messages.get(id), show);
    if (row !== list.children[index]) list.insertBefore(row, list.children[index] ?? null);
    setState(row, reason ?? IN_SIGHT);
  });
}

// message: undefined for what this SDK cannot read.
function messageRow(key, id, message, show) {
  const title = message ? message.title || message.body : id;
  const facts = message
    ? [`priority ${message.priority} in ${message.slot}`, describeTrigger(message.trigger)]
    : ["unknown to this SDK"];
  const button = element("button", { type: "button", textContent: "Show", ariaLabel: `Show ${title}` });
  button.addEventListener("click", () => show(id));
  return element(
    "li",
    { dataset: { testid: "message-row", key } },
    element("strong", { dir: "auto", textContent: title }),
    element("span", { className: "state" }),
    ...facts.map((textContent) => element("p", { className: "facts", textContent })),
    button,
  );
}

function setState(row, state) {
  if (row.dataset.state === state) return;
  row.dataset.state = state;
  row.querySelector(".state").textContent = state;
}

// One line for people: "report.exported where pages gte 3, url glob */pricing*, after 5 s".
function describeTrigger(trigger) {
  const { eventType, where, url, screen, audienceId, delaySeconds } = trigger ?? {};
  const conditions = (where ?? []).map(describeCondition).join(" and ");
  const parts = [
    eventType && (conditions ? `${eventType} where ${conditions}` : eventType),
    url && `url ${url.op} ${url.value}`,
    screen && `screen ${screen.op} ${screen.value}`,
    audienceId && "in an audience",
    delaySeconds && `after ${delaySeconds} s`,
  ];
  return parts.filter(Boolean).join(", ") || "at once";
}

const describeCondition = ({ property, op, value }) => `${property} ${op} ${JSON.stringify(value) ?? ""}`.trim();

// call: what was called, or what the SDK called; status: "waiting" for what becomes an event.
export function log(call, text, status = "") {
  const row = element(
    "li",
    { dataset: { testid: "activity-entry", call, status } },
    element("time", { textContent: timeOf(new Date()) }),
    element("span", { className: "what" }, element("b", { textContent: call }), ` ${text}`),
    element("span", { className: "outcome", textContent: status }),
  );
  const activity = byId("activity-log");
  activity.prepend(row);
  while (activity.children.length > LOG_LENGTH) activity.lastElementChild.remove();
}

// The SDK tells how many events wait, not which: once none does, all are settled.
export function showDelivery({ waiting, dropped }) {
  const losses = Object.entries(dropped).map(([code, count]) => `${count} dropped (${code})`);
  const text = [waiting ? `${waiting} waiting` : "all sent", ...losses].join(", ");
  if (byId("delivery").textContent !== text) byId("delivery").textContent = text;
  if (waiting) return;
  for (const row of byId("activity-log").querySelectorAll("[data-status=waiting]")) {
    row.dataset.status = losses.length ? "settled" : "sent";
    row.querySelector(".outcome").textContent = row.dataset.status;
  }
}
