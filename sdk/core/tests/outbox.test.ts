import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { edgeAt } from "../src/edge.ts";
import { createOutbox, type Outbox } from "../src/outbox.ts";
import { Device, type Instance, type Weather } from "./device.ts";

/** `reply`: what its edge answers whatever it is sent. */
function outboxOf(instance: Instance, reply?: { status: number; body: string }): Outbox {
  const platform = instance.platform();
  if (reply) platform.post = async () => ({ ...reply, header: () => null });
  const outbox = createOutbox(platform, edgeAt("https://edge.example.com", "pk_test", platform), () => {});
  outbox.open();
  return outbox;
}

function start() {
  const device = new Device();
  const instance = device.open();
  return { device, instance, outbox: outboxOf(instance) };
}

const event = (number: number) => ({ eventType: "clicked", properties: { number }, anonymousId: "a" });

test("events that come together are sent together, in their order", async () => {
  const { device, outbox } = start();
  for (const number of [1, 2, 3]) outbox.add(event(number));
  await device.pass(2_000);
  assert.deepEqual(
    device.edge.batches.map((batch) => batch.map(({ properties }) => properties.number)),
    [[1, 2, 3]],
  );
  assert.deepEqual(outbox.delivery(), { waiting: 0, dropped: {} });
});

test("an event is stored before it is sent, and removed only when it is acknowledged", async () => {
  const { device, outbox } = start();
  device.edge.weather = "answer_lost";
  outbox.add(event(1));
  assert.equal(outbox.delivery().waiting, 1);
  await device.pass(1_500);
  assert.equal(device.edge.ledger.size, 1);
  assert.equal(outbox.delivery().waiting, 1);
  device.edge.weather = "fine";
  await device.pass(10_000);
  assert.equal(outbox.delivery().waiting, 0);
  assert.equal(device.edge.ledger.size, 1);
});

test("failures are tried again ever later, and never in step with other devices", async () => {
  const { device, outbox } = start();
  device.edge.weather = "busy";
  outbox.add(event(1));
  await device.pass(30_000);
  const soon = device.edge.requests.length;
  assert.ok(soon >= 3 && soon <= 8, String(soon));
  await device.pass(3_600_000);
  assert.ok(device.edge.requests.length < 40, String(device.edge.requests.length));
});

test("a batch that is too large is halved until it fits", async () => {
  const { device, outbox } = start();
  device.edge.mostEvents = 3;
  for (let number = 0; number < 20; number++) outbox.add(event(number));
  await device.pass(5_000);
  assert.equal(device.edge.ledger.size, 20);
});

test("what the edge refuses is dropped and counted by its code", async () => {
  const { device, instance, outbox } = start();
  device.edge.rejects = ({ properties }) => (properties.number === 2 ? "invalid_event" : null);
  for (const number of [1, 2, 3]) outbox.add(event(number));
  await device.pass(2_000);
  assert.equal(device.edge.ledger.size, 2);
  assert.deepEqual(outbox.delivery(), { waiting: 0, dropped: { invalid_event: 1 } });
  device.edge.status = 400;
  outbox.add(event(4));
  await device.pass(2_000);
  assert.deepEqual(outbox.delivery(), { waiting: 0, dropped: { invalid_event: 1, refused: 1 } });
  assert.equal(instance.warnings.length, 2);
});

test("only an answer that says what became of the events acknowledges them", async () => {
  const { device, instance } = start();
  const success = (data: unknown) => ({ status: 200, body: JSON.stringify({ success: true, data }) });
  for (const data of [null, undefined]) {
    const outbox = outboxOf(instance, success(data));
    outbox.add(event(1));
    await device.pass(10_000);
    assert.equal(outbox.delivery().waiting, 1);
    outbox.clear();
  }
  const outbox = outboxOf(instance, success({ rejected: null }));
  outbox.add(event(1));
  await device.pass(10_000);
  assert.deepEqual(outbox.delivery(), { waiting: 0, dropped: {} });
});

test("a key that was revoked keeps events for the next key of the org", async () => {
  const { device, instance, outbox } = start();
  device.edge.status = 401;
  outbox.add(event(1));
  await device.pass(60_000);
  assert.deepEqual(outbox.delivery(), { waiting: 1, dropped: {} });
  instance.kill();
  device.edge.status = null;
  outboxOf(device.open());
  await device.pass(1_000);
  assert.equal(device.edge.ledger.size, 1);
});

test("of more events than fit the oldest are dropped, and counted", () => {
  const { outbox } = start();
  for (let number = 0; number < 1_003; number++) outbox.add(event(number));
  assert.deepEqual(outbox.delivery(), { waiting: 1_000, dropped: { outbox_full: 3 } });
});

test("two traits of one person never travel in one request, where nobody could say which came later", async () => {
  const { device, outbox } = start();
  for (const plan of ["free", "pro"]) {
    outbox.add({ eventType: "user.identified", properties: { plan }, anonymousId: "a" });
  }
  await device.pass(3_000);
  assert.equal(device.edge.batches.length, 2);
});

test("two instances side by side do not send an event twice", async () => {
  const { device, outbox } = start();
  const other = outboxOf(device.open());
  for (let number = 0; number < 10; number++) (number % 2 ? outbox : other).add(event(number));
  await Promise.all([outbox.flush(), other.flush(), device.pass(5_000)]);
  assert.equal(device.edge.batches.flat().length, 10);
});

test("what an app that was killed had stored is sent by the next one", async () => {
  const { device, instance, outbox } = start();
  outbox.add(event(1));
  instance.kill();
  await device.pass(5_000);
  assert.equal(device.edge.ledger.size, 0);
  outboxOf(device.open());
  await device.pass(5_000);
  assert.equal(device.edge.ledger.size, 1);
});

test("moments are told by the server's clock, whatever the device's says", async () => {
  const { device, outbox } = start();
  device.edge.aheadMs = -3 * 86_400_000;
  outbox.add(event(1));
  await device.pass(3_000);
  outbox.add(event(2));
  await device.pass(3_000);
  const [, second] = [...device.edge.ledger.values()];
  const offMs = Date.parse(second!.timestamp) - (device.nowMs + device.edge.aheadMs);
  assert.ok(Math.abs(offMs) < 6_000, String(offMs));
});

interface Step {
  what: "add" | "pass" | "weather" | "reload" | "crash" | "flush" | "leave";
  instance: 0 | 1;
  weather: Weather;
  ms: number;
}

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record<Step>({
    what: fc.constantFrom("add", "add", "add", "pass", "pass", "weather", "reload", "crash", "flush", "leave"),
    instance: fc.constantFrom(0, 1),
    weather: fc.constantFrom("fine", "offline", "answer_lost", "busy"),
    ms: fc.constantFrom(0, 10, 25, 45, 1_000, 5_000, 400_000),
  }),
  { minLength: 1, maxLength: 30 },
);

/** Two instances on one device; returns how many events were added. */
async function live(device: Device, schedule: Step[]): Promise<number> {
  const running = [device.open(), device.open()];
  const outboxes = running.map((instance) => outboxOf(instance));
  let added = 0;
  const doing: Record<Step["what"], (step: Step) => unknown> = {
    add: ({ instance }) => outboxes[instance]!.add(event(added++)),
    pass: ({ ms }) => device.pass(ms),
    weather: ({ weather }) => {
      device.edge.weather = weather;
    },
    flush: ({ instance }) => void outboxes[instance]!.flush(),
    leave: ({ instance }) => outboxes[instance]!.leave(),
    crash: ({ instance }) => {
      running[instance]!.kill();
      running[instance] = device.open();
      outboxes[instance] = outboxOf(running[instance]!);
    },
    reload: (step) => {
      outboxes[step.instance]!.leave();
      doing.crash(step);
    },
  };
  for (const step of schedule) await doing[step.what](step);
  return added;
}

test("whatever happens to the network and the app, no event is lost and none counts twice", async () => {
  const property = fc.asyncProperty(steps, fc.integer({ min: 1, max: 8 }), async (schedule, mostEvents) => {
    const device = new Device();
    device.edge.mostEvents = mostEvents;
    const added = await live(device, schedule);
    device.edge.weather = "fine";
    await device.pass(700_000);
    const numbers = [...device.edge.ledger.values()].map(({ properties }) => properties.number as number);
    assert.deepEqual(
      numbers.sort((one, other) => one - other),
      [...Array(added).keys()],
    );
    assert.equal([...device.stored.keys()].length, 0);
  });
  await fc.assert(property, { numRuns: 10_000 });
});
