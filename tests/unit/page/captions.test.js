import assert from "node:assert/strict";
import { test } from "node:test";

import { pieces, shortClock } from "../../../platform/voxray/assets/page/captions.js";
import { level, toPcm } from "../../../platform/voxray/assets/page/pcm.js";
import { address, subprotocols } from "../../../platform/voxray/assets/page/wire.js";

const word = (text) => ({ text, start_s: 0, end_s: 1 });

test("a text is cut where its words are, and keeps every character", () => {
  const words = ["to", "to", "is,", "nowhere"].map(word);
  const cut = pieces(" to  be, to is, or", words);
  assert.equal(cut.map((p) => p.text).join(""), " to  be, to is, or");
  assert.deepEqual(
    cut.filter((p) => p.word).map((p) => p.word),
    words.slice(0, 3),
  );
});

test("words without spaces between them are found", () => {
  assert.deepEqual(
    pieces("打开灯", ["打开", "灯"].map(word)).map((p) => p.text),
    ["打开", "灯"],
  );
});

test("times for the eye have hours only where there are any", () => {
  assert.deepEqual([0, 7.9, 61, 3723].map(shortClock), ["0:00", "0:07", "1:01", "1:02:03"]);
});

test("samples are clipped, not wrapped", () => {
  const view = new DataView(toPcm(Float32Array.from([0, 1, -1, 2, -2, 0.5])).buffer);
  assert.deepEqual(
    [0, 2, 4, 6, 8, 10].map((at) => view.getInt16(at, true)),
    [0, 32767, -32768, 32767, -32768, 16384],
  );
});

test("silence has no level and full scale has all of it", () => {
  assert.equal(level(new Float32Array(10)), 0);
  assert.equal(level(new Float32Array(10).fill(1)), 1);
});

test("a key goes into a subprotocol, in base64url", () => {
  assert.deepEqual(subprotocols(null), ["voxray.v1"]);
  assert.deepEqual(subprotocols("ÿ?>ö"), ["voxray.v1", "voxray.key.w78_PsO2"]);
});

test("the stream is beside the page, as safe as the page", () => {
  assert.equal(address("http://localhost:8000/"), "ws://localhost:8000/v1/stream");
  assert.equal(address("https://example.org/voxray/"), "wss://example.org/voxray/v1/stream");
});
