// The host page: who looks at it, where they are, what they do, and the round trip to the edge.

import { EdgeClient, newId } from "./client.js";
import { Display } from "./display.js";
import { element } from "./dom.js";
import { logSending, showAnswer, showError, showTraits } from "./panel.js";
import { canRender, render } from "./renderer.js";

const POLL_MS = 5_000;
const SHORTEST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 3_600_000;
const ANONYMOUS = "";
const SCREENS = { "/": "Overview", "/reports": "Reports", "/pricing": "Pricing", "/checkout": "Checkout" };
const byId = (id) => document.getElementById(id);

const config = await (await fetch("/config.json")).json();
const edge = new EdgeClient(config.edgeUrl, config.publicKey);
const display = new Display({ placeNow, render, record, changed: showState });

let subject = null; // {userId} or {anonymousId}
let answer = null; // the edge's last answer for this subject
let asked = 0; // counts fetches, so that a late answer to an older question is dropped
let validUntilTimer = 0;

function placeNow() {
  return { url: location.href, screen: SCREENS[location.pathname] };
}

function showState() {
  if (answer) showAnswer(answer, (message) => display.stateOf(message));
}

async function refresh() {
  const question = ++asked;
  try {
    const data = await edge.fetchMessages(subject, answer?.etag);
    if (question === asked) take(data);
  } catch (error) {
    if (question === asked) showError(`${error.message} (${error.code})`);
  }
}

function take(data) {
  answer = data.unchanged ? { ...answer, ...data, askedAt: new Date() } : { ...data, askedAt: new Date() };
  showError("");
  display.setMessages(answer.messages.filter(canRender));
  clearTimeout(validUntilTimer);
  if (!answer.validUntil) return;
  const waitMs = Date.parse(answer.validUntil) - Date.now();
  validUntilTimer = setTimeout(refresh, Math.min(Math.max(waitMs, SHORTEST_WAIT_MS), LONGEST_WAIT_MS));
}

async function deliver(sending, settle) {
  try {
    await sending;
    settle("accepted", "accepted");
    await refresh();
  } catch (error) {
    settle("failed", error.code ?? "failed");
  }
}

function record(action, { id, content }) {
  deliver(edge.record(action, id, subject), logSending(action, content.title || content.body, id));
}

function track(eventType, properties) {
  const settle = logSending("events", `${eventType} ${JSON.stringify(properties)}`);
  display.fire({ eventType, properties });
  deliver(edge.sendEvent(subject, { eventType, properties }), settle);
}

function become(userId) {
  const user = config.users.find((candidate) => candidate.userId === userId);
  subject = user ? { userId: user.userId } : { anonymousId: anonymousId() };
  localStorage.setItem("customer", user?.userId ?? ANONYMOUS);
  byId("customer-select").value = user?.userId ?? ANONYMOUS;
  byId("greeting-name").textContent = user?.label ?? "visitor";
  byId("new-visitor").hidden = Boolean(user);
  for (const plan of document.querySelectorAll("[data-plan]")) {
    plan.classList.toggle("current", plan.dataset.plan === user?.traits?.plan);
  }
  showTraits(user?.traits ?? { anonymousId: subject.anonymousId });
  answer = null;
  display.reset();
  return refresh();
}

function anonymousId() {
  const known = localStorage.getItem("anonymousId") ?? newId();
  localStorage.setItem("anonymousId", known);
  return known;
}

function showPlace() {
  for (const section of document.querySelectorAll("[data-routes]")) {
    section.hidden = !section.dataset.routes.split(" ").includes(location.pathname);
  }
  for (const link of document.querySelectorAll("nav a")) {
    if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${SCREENS[location.pathname]} · Acme Reports`;
  display.fire(null);
}

// Links to this page's own paths, also those inside messages, change the place without a reload.
function followLink(event) {
  const link = event.composedPath().find((node) => node instanceof HTMLAnchorElement && node.href);
  const isPlain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
  if (!link || !isPlain || link.origin !== location.origin || link.hash || !(link.pathname in SCREENS)) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  scrollTo(0, 0);
  showPlace();
}

function pressed(event) {
  const button = event.target.closest("[data-event]");
  if (button) track(button.dataset.event, JSON.parse(button.dataset.properties));
}

function submitEvent(event) {
  event.preventDefault();
  const properties = byId("event-properties");
  try {
    const value = JSON.parse(properties.value || "{}");
    properties.setCustomValidity("");
    track(byId("event-type").value, value);
  } catch (error) {
    properties.setCustomValidity(error.message);
    properties.reportValidity();
  }
}

function showConfig() {
  const options = config.users.map(({ userId, label }) => element("option", { value: userId, textContent: label }));
  byId("customer-select").append(...options, element("option", { value: ANONYMOUS, textContent: "Anonymous visitor" }));
  const stats = `${config.adminUrl}/api/v1/orgs/${config.orgId}/in-app-messages/stats`;
  byId("stats-curl").textContent = `curl ${stats} \\\n  -H "X-API-Key: $SECRET_KEY"`;
  byId("admin-docs").href = `${config.adminUrl}/docs`;
}

function listen() {
  document.addEventListener("click", followLink);
  document.addEventListener("click", pressed);
  addEventListener("popstate", showPlace);
  byId("export-button").addEventListener("click", () => {
    track("report.exported", { pages: byId("export-pages").valueAsNumber || 1, format: "pdf" });
  });
  byId("event-form").addEventListener("submit", submitEvent);
  byId("event-properties").addEventListener("input", ({ target }) => target.setCustomValidity(""));
  byId("customer-select").addEventListener("change", ({ target }) => become(target.value));
  byId("new-visitor").addEventListener("click", () => {
    localStorage.removeItem("anonymousId");
    become(ANONYMOUS);
  });
  byId("theme-select").addEventListener("change", ({ target }) => {
    document.documentElement.style.colorScheme = target.value;
  });
  byId("refresh-button").addEventListener("click", refresh);
  byId("replay-button").addEventListener("click", () => display.replayClosed());
  byId("copy-stats").addEventListener("click", () => navigator.clipboard?.writeText(byId("stats-curl").textContent));
  setInterval(() => {
    if (byId("poll-toggle").checked && !document.hidden) refresh();
  }, POLL_MS);
}

showConfig();
listen();
showPlace();
await become(localStorage.getItem("customer") ?? config.users[0]?.userId);
document.documentElement.dataset.ready = "true";
