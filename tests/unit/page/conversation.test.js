import assert from "node:assert/strict";
import { test } from "node:test";

import { Conversation, RETRY_FOR_S } from "../../../platform/voxray/assets/page/conversation.js";
import { Tape } from "../../../platform/voxray/assets/page/tape.js";
import { Close, start } from "../../../platform/voxray/assets/page/wire.js";

const RATE = 10; // samples a second: 20 bytes
const READY = { type: "ready", session: "0.a", resume_token: "t", resumed: false, received_bytes: 0, model: "m" };

function conversation({ random = () => 1 } = {}) {
  const tape = new Tape();
  return { tape, it: new Conversation({ sampleRate: RATE, language: null }, tape, 0, random) };
}

function live(bytes = 0) {
  const made = conversation();
  made.tape.append(counted(bytes));
  made.it.opened();
  made.it.hear(READY, 0);
  return made;
}

/** Bytes that tell where they stand. */
function counted(length, from = 0) {
  return Uint8Array.from({ length }, (_, i) => (from + i) % 251);
}

function ack(received, credit, keep = 0, more = {}) {
  const told = { received_bytes: received, credit_bytes: credit, keep_from_byte: keep };
  return { type: "ack", processed_s: 0, lag_s: 0, ...told, ...more };
}

function final(segment, end_s = 0) {
  return { type: "final", segment, start_s: 0, end_s, text: `text ${segment}`, language: "en" };
}

function bytesOf(frames) {
  return frames.filter((f) => typeof f !== "string").reduce((sum, f) => sum + f.length, 0);
}

test("nothing is sent before ready", () => {
  const { it, tape } = conversation();
  tape.append(counted(100));
  assert.deepEqual(it.outgoing(), []);
});

test("the first message asks for words and gives the sample rate", () => {
  const first = JSON.parse(conversation().it.opened());
  assert.equal(first.sample_rate, RATE);
  assert.equal(first.words, true);
  assert.equal(first.session, undefined);
});

test("the first message names the model that is asked for", () => {
  const format = { sampleRate: RATE, language: null };
  assert.equal(JSON.parse(start({ ...format, model: "train-1" }, null)).model, "train-1");
  assert.equal(JSON.parse(start(format, null)).model, null);
});

test("no more is sent than there is credit", () => {
  const { it } = live(1000);
  assert.equal(bytesOf(it.outgoing()), 40); // two seconds, until the credit is known
  it.hear(ack(40, 60), 0);
  assert.equal(bytesOf(it.outgoing()), 60);
  it.hear(ack(100, 0), 0);
  assert.deepEqual(it.outgoing(), []);
});

test("stop follows the last byte, once", () => {
  const { it } = live(60);
  it.finish();
  assert.equal(bytesOf(it.outgoing()), 40);
  it.hear(ack(40, 100), 0);
  const frames = it.outgoing();
  assert.equal(bytesOf(frames), 20);
  assert.equal(frames.at(-1), '{"type":"stop"}');
  assert.deepEqual(it.outgoing(), []);
});

test("a resume says what is here, and goes on where the service says", () => {
  const { it } = live(100);
  it.hear(ack(0, 100), 0);
  it.outgoing();
  it.hear(ack(80, 100, 30), 0);
  it.hear(final(0, 1), 0);
  it.lost(Close.LOST, "", 1);
  assert.equal(it.phase, "waiting");
  it.connect(2);
  const first = JSON.parse(it.opened());
  assert.deepEqual(
    [first.session, first.resume_token, first.have_segment, first.from_byte],
    ["0.a", "t", 0, 30],
  );
  it.hear({ ...READY, resumed: true, received_bytes: 80 }, 2);
  assert.deepEqual(it.outgoing(), [counted(20, 80)]);
});

test("a stop that was lost is sent again", () => {
  const { it } = live(20);
  it.finish();
  assert.equal(it.outgoing().length, 2);
  it.lost(Close.RESTART, "", 0);
  it.connect(1);
  it.hear({ ...READY, resumed: true, received_bytes: 20 }, 1);
  assert.deepEqual(it.outgoing(), ['{"type":"stop"}']);
});

test("a segment that came before is no news", () => {
  const { it } = live();
  assert.ok(it.hear(final(0), 0));
  assert.equal(it.hear(final(0), 0), null);
  assert.equal(it.hear({ type: "partial", segment: 0, stable: "a", unstable: "" }, 0), null);
  assert.ok(it.hear({ type: "partial", segment: 1, stable: "a", unstable: "" }, 0));
});

test("reconnect changes the token", () => {
  const { it } = live();
  it.hear({ type: "reconnect", resume_token: "new" }, 0);
  it.lost(Close.RESTART, "", 0);
  assert.equal(JSON.parse(it.opened()).resume_token, "new");
});

test("retries are spread, grow, and end after a minute", () => {
  const { it } = live();
  const delays = [];
  let now = 0;
  for (; it.phase !== "failed"; now = it.retryAt) {
    it.lost(Close.LOST, "", now);
    delays.push(it.retryAt - now);
    assert.equal(it.due(now), null);
  }
  assert.deepEqual(delays.slice(0, 6), [0.5, 1, 2, 4, 8, 8]);
  assert.ok(now > RETRY_FOR_S);
  assert.match(it.reason, /did not answer for 60 seconds/);
});

for (const [what, message, anew] of [
  ["that says no more than ready", ack(40, 0), false],
  ["that processed what had been", ack(40, 0, 20, { processed_s: 2 }), false],
  ["that begins a segment", { type: "speech_start", segment: 0, at_s: 1 }, false],
  ["that needs less again", ack(40, 0, 22, { processed_s: 1 }), true],
  ["that processed more", ack(40, 0, 20, { processed_s: 2.1 }), true],
  ["that gives a final", final(0), true],
])
  test(`a connection ${what} ${anew ? "begins" : "does not begin"} to count anew`, () => {
    const { it } = live(100);
    it.outgoing();
    it.hear(ack(40, 0, 20, { processed_s: 2 }), 0);
    it.lost(Close.LOST, "", 0);
    it.connect(50);
    it.hear({ ...READY, received_bytes: 40 }, 50);
    it.hear(message, 51);
    it.lost(Close.LOST, "", 55);
    assert.equal(it.phase, "waiting");
    assert.equal(it.retryAt, anew ? 55.5 : 56);
  });

test("a session that fails on the same audio each time is given up", () => {
  const { it } = live(100);
  it.outgoing();
  it.hear(ack(40, 0, 20, { processed_s: 2 }), 0);
  let now = 0;
  it.lost(Close.RESTART, "the session failed", now);
  while (it.phase === "waiting" && now < 2 * RETRY_FOR_S) {
    now = it.retryAt;
    it.connect(now);
    it.hear({ ...READY, received_bytes: 20 }, now);
    it.hear(ack(40, 0, 20, { processed_s: 2 }), now);
    it.lost(Close.RESTART, "the session failed", now);
  }
  assert.deepEqual([it.phase, it.reason], ["failed", "the session failed"]);
});

test("a connection that holds begins to count anew", () => {
  const { it } = live();
  it.lost(Close.LOST, "", 0);
  it.connect(1);
  it.hear({ ...READY, resumed: true }, 1);
  it.hear(ack(0, 0), 2 + RETRY_FOR_S);
  it.lost(Close.LOST, "", 100);
  assert.equal(it.retryAt, 100.5);
});

test("what a final says is not sent to the session after it", () => {
  const { it } = live(100);
  it.outgoing();
  it.hear(final(0, 1.5), 0);
  it.lost(Close.LOST, "", 0);
  it.connect(1);
  const first = JSON.parse(it.opened());
  assert.deepEqual([first.have_segment, first.from_byte], [0, 30]);
  it.hear({ ...READY, received_bytes: 30 }, 1);
  assert.deepEqual(it.outgoing()[0], counted(40, 30));
});

for (const code of [1003, 1008, 1009, 4409])
  test(`close ${code} ends it, with the service's sentence`, () => {
    const { it } = live();
    it.hear({ type: "error", code: "x", message: "expected audio, got a picture." }, 0);
    it.lost(code, "", 0);
    assert.equal(it.phase, "failed");
    assert.equal(it.reason, "expected audio, got a picture.");
  });

test("a key is asked for, and the recording goes on", () => {
  const { it, tape } = conversation();
  tape.append(counted(20));
  it.opened();
  it.lost(Close.NOT_ALLOWED, "", 0);
  assert.equal(it.phase, "locked");
  assert.equal(it.due(1000), null);
  it.connect(1000);
  it.hear(READY, 1000);
  assert.equal(bytesOf(it.outgoing()), 20);
});

test("a full service ends what has not begun, and is tried again by what has", () => {
  const { it } = conversation();
  it.lost(Close.FULL, "full", 0);
  assert.equal(it.phase, "failed");
  const begun = live().it;
  begun.lost(Close.FULL, "full", 0);
  assert.equal(begun.phase, "waiting");
});

test("done that was not asked for says why", () => {
  const { it } = live();
  it.hear({ type: "done", audio_s: 1, segments: 0 }, 0);
  assert.equal(it.over, false);
  it.lost(Close.FULL, "too far behind", 0);
  assert.deepEqual([it.phase, it.reason], ["failed", "too far behind"]);
});

test("an idle end is no failure: a new session goes on with the next audio, or ends when asked", () => {
  for (const stopped of [false, true]) {
    const { it, tape } = live(20);
    it.outgoing();
    it.hear(ack(20, 1000, 20), 1);
    it.hear(final(0, 1), 1);
    it.hear({ type: "done", audio_s: 1, segments: 1 }, 301);
    it.lost(Close.NORMAL, "idle: nothing came for 300 s", 301);
    assert.deepEqual([it.phase, it.due(1_000)], ["waiting", null]);
    if (stopped) it.finish();
    else tape.append(counted(20, 20));
    assert.equal(it.due(1_000), "connect");
    it.connect(1_000);
    const { session, have_segment, from_byte } = JSON.parse(it.opened());
    assert.deepEqual([session, have_segment, from_byte], [undefined, 0, 20]);
    it.hear({ ...READY, session: "1.b", received_bytes: 20 }, 1_000);
    const [first] = it.outgoing();
    if (stopped) assert.match(first, /stop/);
    else assert.deepEqual([...first], [...counted(20, 20)]);
  }
});

test("a socket that says nothing is given up", () => {
  const { it } = live();
  assert.equal(it.due(15), null);
  assert.equal(it.due(15.1), "drop");
});

test("a socket that does not open is given up, and one that opened has the time an actor takes to start", () => {
  const { it } = conversation();
  assert.equal(it.due(15.1), "drop");
  it.opened();
  assert.equal(it.due(70), null);
  assert.equal(it.due(75.1), "drop");
  it.lost(Close.LOST, "", 75.1);
  it.connect(76);
  assert.equal(it.due(92), "drop");
});

test("lag counts what is at the service and what is still here", () => {
  const { it } = live(100);
  it.hear(ack(0, 40, 0, { lag_s: 1.5 }), 0);
  it.outgoing();
  assert.equal(it.lagS, 1.5 + 60 / 20);
});

/** A small generator of numbers in [0, 1) (mulberry32). */
function dice(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** A service that gets each byte of each life once, in order, and may forget all it knows. */
class Service {
  heard = []; // bytes by position, whatever session they came to
  received = 0;
  kept = 0;
  alive = true;

  start(text) {
    const { session, from_byte = 0 } = JSON.parse(text);
    const resumed = this.alive && session !== undefined;
    if (!resumed) this.received = from_byte;
    this.alive = true;
    return { ...READY, resumed, received_bytes: this.received };
  }

  take(frame) {
    for (const byte of frame) this.heard[this.received++] = byte;
  }

  ack(roll) {
    this.kept += Math.floor(roll() * (this.received - this.kept + 1));
    return ack(this.received, Math.floor(roll() * 50), this.kept);
  }
}

test("whatever is lost and forgotten, the service hears every byte", () => {
  for (let seed = 1; seed <= 300; seed += 1) {
    const roll = dice(seed);
    const service = new Service();
    const { it, tape } = conversation({ random: roll });
    let [now, stopped, connected] = [0, false, false];
    const connect = () => {
      it.connect(now);
      it.hear(service.start(it.opened()), now);
      connected = true;
    };
    connect();
    for (let step = 0; !stopped && step < 3000; step += 1) {
      now += 0.1;
      const x = roll();
      if (x < 0.4 && step < 200) tape.append(counted(Math.floor(roll() * 30), tape.end));
      else if (x < 0.7 && connected) it.hear(service.ack(roll), now);
      else if (x < 0.75 && connected) {
        for (const frame of it.outgoing().slice(0, Math.floor(roll() * 3))) // the rest was on its way
          if (typeof frame !== "string") service.take(frame);
        connected = false;
        service.alive = roll() < 0.7;
        it.lost(Close.LOST, "", now);
      } else if (it.due(now) === "connect") connect();
      if (step === 200) it.finish();
      if (!connected) continue;
      for (const frame of it.outgoing()) {
        if (typeof frame === "string") stopped = true;
        else service.take(frame);
      }
    }
    assert.ok(stopped, `seed ${seed} does not come to its end`);
    assert.deepEqual(Uint8Array.from(service.heard), counted(tape.end), `seed ${seed}`);
  }
});
