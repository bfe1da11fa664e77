import assert from "node:assert/strict";
import { test } from "node:test";

import { MicrophoneRun } from "../../../platform/voxray/assets/page/runs.js";

/** A run, and what its connection is told; the last frame comes when `flush` is called. */
function run() {
  const told = [];
  const connection = {
    append: (pcm) => told.push(pcm),
    finish: () => told.push("finish"),
    abandon: () => told.push("abandon"),
  };
  let flush;
  const flushed = new Promise((resolve) => (flush = resolve));
  const microphone = {
    closed: 0,
    async close() {
      this.closed += 1;
      if (this.closed > 1) return; // as a context that is closing: no further frame is waited for
      await flushed;
      connection.append("last frame");
    },
    async use(device) {
      told.push(device);
    },
  };
  return { it: new MicrophoneRun(microphone, connection, null), microphone, told, flush };
}

test("however often it is stopped, the last frame comes before the end", async () => {
  const { it, microphone, told, flush } = run();
  const stops = [it.stop(), it.stop()];
  await new Promise(setImmediate);
  assert.deepEqual(told, []);
  flush();
  await Promise.all(stops);
  await it.stop();
  assert.equal(microphone.closed, 1);
  assert.deepEqual(told.slice(0, 2), ["last frame", "finish"]);
  assert.ok(told.slice(1).every((what) => what === "finish"));
});

test("what is given up while it stops ends at once, and its microphone is closed once", async () => {
  const { it, microphone, told, flush } = run();
  const stop = it.stop();
  it.abandon();
  assert.deepEqual(told, ["abandon"]);
  flush();
  await stop;
  assert.equal(microphone.closed, 1);
});

test("no other device is opened once it stops", async () => {
  const { it, told, flush } = run();
  await it.use("one");
  const stop = it.stop();
  await it.use("two");
  flush();
  await stop;
  assert.deepEqual(told, ["one", "last frame", "finish"]);
});
