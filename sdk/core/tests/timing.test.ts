import assert from "node:assert/strict";
import { test } from "node:test";
import { isFinal, SendoraError } from "../src/errors.ts";
import { retryMs } from "../src/timing.ts";

test("each failure in a row doubles the wait, up to ten minutes, and no two devices wait alike", () => {
  for (let failures = 0; failures < 40; failures++) {
    const leastMs = Math.min(2_000 * 2 ** failures, 300_000);
    const waits = Array.from({ length: 100 }, () => retryMs(failures));
    assert.ok(waits.every((ms) => ms >= leastMs && ms <= 2 * leastMs));
    assert.ok(Math.max(...waits) - Math.min(...waits) > leastMs / 2);
  }
});

test("only what the edge will never take is final", () => {
  const finals = [0, 200, 400, 403, 404, 408, 413, 422, 429, 500, 503].filter((status) =>
    isFinal(new SendoraError("x", "x", status)),
  );
  assert.deepEqual(finals, [400, 403, 404, 413, 422]);
});
