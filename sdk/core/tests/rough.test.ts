/** What apps, storages, clocks and edges may do to the SDK. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Sendora } from "../src/api.ts";
import { App, message } from "./app.ts";

const ONCE = { trigger: { eventType: "e" }, frequencyCap: { maxImpressions: 1 } };

const INTERRUPTIONS: Record<string, [(sendora: Sendora) => void, shown: string[]]> = {
  track: [({ track }) => track("message.shown"), ["a", "b"]],
  screen: [({ screen }) => screen("Checkout"), ["a", "b"]],
  show: [({ messages }) => messages.show("b"), ["a", "b"]],
  pause: [({ messages }) => messages.pause(), ["a"]],
  stop: [({ messages }) => messages.stop(), []],
  destroy: [({ destroy }) => destroy(), []],
  revoke: [({ consent }) => consent.revoke(), []],
};

for (const [name, [interrupt, shown]] of Object.entries(INTERRUPTIONS)) {
  test(`an app that calls ${name} as it is told of a message has each once on the screen, or none`, async () => {
    const app = new App();
    app.sendora.messages.onDisplay(() => void interrupt(app.sendora));
    app.give([message("a"), message("b")]);
    app.sendora.messages.start();
    await app.device.pass(100);
    assert.deepEqual(app.shown.sort(), shown);
    assert.equal(new Set(app.bodies).size, app.bodies.length);
    app.sendora.messages.stop();
    assert.deepEqual(app.shown, []);
  });
}

test("an app that has another user as it is told of a message shows that user's", async () => {
  const app = new App();
  const drawn: unknown[] = [];
  app.sendora.identify("ada");
  app.sendora.messages.onDisplay(({ id }) => {
    drawn.push(id);
    app.give([message("for-bob")]);
    app.sendora.identify("bob");
    return undefined;
  });
  const asked = app.sendora.messages.fetchActive();
  await app.start([message("a"), message("b")]);
  await app.device.pass(5_000);
  assert.equal((await asked).length, 2);
  assert.deepEqual([drawn, app.shown], [["a", "for-bob"], ["for-bob"]]);
});

test("what an app reports while everything is forgotten is forgotten too", async () => {
  for (const forget of [({ consent }: Sendora) => consent.revoke(), ({ reset }: Sendora) => reset()]) {
    const app = new App();
    app.sendora.messages.onDisplay(
      ({ id }) =>
        () =>
          void app.sendora.messages.dismiss(id),
    );
    await app.start([message("a", { frequencyCap: { stopAfter: ["dismiss"] } })]);
    forget(app.sendora);
    assert.equal(app.device.stored.get("seen"), undefined);
    assert.ok(app.device.stored.has("person") || app.device.stored.size === 0);
  }
});

test("a message that the app closes as it is told of it leaves its slot to the next, which keeps it", async () => {
  const app = new App();
  app.sendora.messages.onDisplay(({ id }) => {
    if (id === "a") void app.sendora.messages.dismiss(id);
  });
  await app.start([message("a", { slot: "s" }), message("b", { slot: "s" }), message("c", { slot: "s" })]);
  assert.deepEqual(app.shown, ["b"]);
  assert.equal(app.sendora.messages.explain("c").reason, "outranked");
});

test("a message that cannot be drawn leaves its slot to the next", async () => {
  const app = new App();
  app.fails = "a";
  await app.start([message("a", { slot: "s" }), message("b", { slot: "s" })]);
  assert.deepEqual(app.shown, ["b"]);
});

test("a cap holds when messages start again before the edge was asked again", async () => {
  const app = await new App().start([message("a", { frequencyCap: { maxImpressions: 1 } })]);
  await app.device.pass(100);
  app.sendora.messages.stop();
  await app.device.pass(120_000);
  app.sendora.messages.start();
  assert.deepEqual(app.bodies, ["a"]);
});

test("a cap holds when an answer comes after the acknowledgement of what it does not count", async () => {
  const app = await new App().start([message("a", ONCE)]);
  app.device.edge.weather = "offline";
  app.sendora.track("e");
  await app.device.pass(10);
  app.screen.get("a")!.dismissed();
  await app.device.pass(600_000);
  app.device.edge.weather = "fine";
  app.device.edge.fetchMs = 300;
  app.instance.tell.awake();
  await app.device.pass(500);
  app.sendora.track("e");
  assert.deepEqual(app.bodies, ["a"]);
});

test("an answer from which messages may be missing opens nothing again, and delays go on", async () => {
  const all = [message("a", { frequencyCap: { maxImpressions: 9 } }), message("b", { trigger: { delaySeconds: 60 } })];
  const app = await new App().start(all);
  await app.device.pass(10);
  app.screen.get("a")!.dismissed();
  await app.device.pass(30_000);
  for (const [messages, degraded] of [[[], true] as const, [all, false] as const]) {
    app.give(messages as typeof all, { degraded });
    void app.sendora.inApp.fetch();
    await app.device.pass(100);
  }
  assert.equal(app.sendora.messages.explain("a").reason, "closed");
  await app.device.pass(30_000);
  assert.deepEqual(app.shown, ["b"]);
});

test("what is acknowledged while a fetch is on its way is asked for after it", async () => {
  const app = await new App().start([]);
  app.device.edge.fetchMs = 8_000;
  await app.device.pass(10_000);
  void app.sendora.inApp.fetch();
  await app.device.pass(1_000);
  app.sendora.track("upgraded");
  app.give([message("a")]);
  await app.device.pass(20_000);
  assert.deepEqual(app.shown, ["a"]);
});

test("an edge that says in no known way how long its answer holds is not asked all the time", async () => {
  for (const validUntil of [null, undefined, "soon", 7]) {
    const app = new App();
    app.give([], { validUntil });
    app.sendora.messages.start();
    await app.device.pass(60_000);
    assert.ok(app.device.edge.fetches.length < 10, String(validUntil));
  }
});

test("an answer that is none is told as an error of the SDK, and messages that are no list change nothing", async () => {
  const app = await new App().start([message("a")]);
  app.device.edge.messages = () => null as unknown as object;
  const none = assert.rejects(app.sendora.inApp.fetch(), { name: "SendoraError", code: "unreadable" });
  await app.device.pass(100);
  await none;
  for (const messages of [7, "x", {}]) {
    app.give(messages as never);
    void app.sendora.inApp.fetch();
    await app.device.pass(100);
    assert.deepEqual(app.shown, ["a"]);
  }
});

test("a device that thinks it is next week counts events when the edge has told it the time", async () => {
  const app = new App();
  const { edge } = app.device;
  edge.aheadMs = -7 * 86_400_000;
  const isAhead = (timestamp: string) => Date.parse(timestamp) > app.device.nowMs + edge.aheadMs + 86_400_000;
  edge.rejects = ({ timestamp }) => (isAhead(timestamp) ? "timestamp_in_future" : null);
  app.sendora.track("purchase");
  await app.device.pass(10_000);
  assert.deepEqual([edge.types(), app.sendora.delivery()], [["purchase"], { waiting: 0, dropped: {} }]);
});

test("a wrong clock that nobody can correct drops the event rather than to send it for ever", async () => {
  const app = new App();
  app.device.edge.rejects = () => "timestamp_in_future";
  app.sendora.track("purchase");
  await app.device.pass(10_000);
  assert.deepEqual(app.sendora.delivery(), { waiting: 0, dropped: { timestamp_in_future: 1 } });
});

test("what is damaged in storage is left out, and harms nothing else", async () => {
  const damages = {
    person: ["{}", "[]", "0", '"x"', "{", "null"],
    seen: ["[]", "0", '{"a":null}', '{"a":{}}', '{"a":{"atMs":9e15,"impressions":9}}'],
    "event:0": ['{"atMs":"soon"}', '{"atMs":1e99}', '{"atMs":-1}', "7", "{", "null"],
  };
  for (const [key, texts] of Object.entries(damages)) {
    for (const text of texts) {
      const app = new App({ consent: false });
      app.device.stored.set(key, text);
      app.sendora.consent.grant();
      await app.start([message("a", { frequencyCap: { maxImpressions: 2, perSeconds: 60 } })]);
      app.screen.get("a")!.dismissed();
      await app.device.pass(5_000);
      const { edge } = app.device;
      const events = [...edge.ledger.values()].filter(({ properties }) => properties);
      assert.deepEqual(
        events.map(({ eventType }) => eventType),
        ["in_app.impression", "in_app.dismissed"],
        `${key} ${text}`,
      );
      assert.ok(events.every(({ anonymousId }) => anonymousId));
      assert.equal(app.sendora.delivery().waiting, 0);
    }
  }
});

test("messages may have the ids of what all objects have", async () => {
  for (const id of ["__proto__", "constructor", "toString"]) {
    const app = await new App().start([message(id, { frequencyCap: { stopAfter: ["dismiss"] } })]);
    await app.device.pass(10);
    app.screen.get(id)!.dismissed();
    assert.equal(app.sendora.messages.explain(id).reason, "stopped_by_dismissal");
    await app.device.pass(5_000);
    assert.deepEqual(app.device.edge.types(), ["in_app.impression", "in_app.dismissed"]);
  }
});

test("of the messages that were seen the last two hundred are remembered", async () => {
  const app = await new App().start([]);
  const seen = () => Object.keys(JSON.parse(app.device.stored.get("seen")!));
  for (let number = 0; number < 250; number++) await app.sendora.messages.recordImpression(`m${number}`);
  assert.deepEqual([seen().length, seen()[0]], [200, "m50"]);
  for (const id of ["m50", "new"]) await app.sendora.messages.recordImpression(id);
  assert.deepEqual([seen().length, seen()[0], seen().slice(-2)], [200, "m52", ["m50", "new"]]);
});

test("properties of any kind are judged", async () => {
  const waits = (op: string) =>
    message(op, { trigger: { eventType: "e", where: [{ property: "x", op, value: "1.0" }] } });
  const app = await new App().start(["before", "glob", "version_gt", "gt", "contains"].map(waits));
  for (const x of [{ toString: 1 }, [{ toString: 1 }], [[]], null, true, 1e308]) app.sendora.track("e", { x });
  assert.deepEqual(app.shown, []);
});

test("what JavaScript may hand over throws nothing into the app", async () => {
  const app = await new App().start([]);
  // biome-ignore lint/suspicious/noExplicitAny: an app without types hands over anything
  const sendora = app.sendora as any;
  sendora.identify("ada", null, null);
  sendora.track("e", null);
  sendora.track(undefined, 5);
  sendora.screen();
  sendora.messages.onDisplay(5);
  await app.device.pass(5_000);
  app.give([message("a")]);
  void app.sendora.inApp.fetch();
  await app.device.pass(100);
  assert.deepEqual(app.shown, ["a"]);
});
