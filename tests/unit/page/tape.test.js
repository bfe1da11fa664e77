import assert from "node:assert/strict";
import { test } from "node:test";

import { Tape } from "../../../platform/voxray/assets/page/tape.js";

function tape(...chunks) {
  const made = new Tape();
  for (const chunk of chunks) made.append(Uint8Array.from(chunk));
  return made;
}

test("bytes are read where they stand, as far as their chunk goes", () => {
  const made = tape([1, 2, 3], [], [4, 5]);
  assert.deepEqual([...made.read(1, 9)], [2, 3]);
  assert.deepEqual([...made.read(3, 1)], [4]);
  assert.deepEqual([...made.read(5, 1)], []);
  assert.equal(made.end, 5);
});

test("what is dropped is not read again, and positions stay", () => {
  const made = tape([1, 2, 3], [4, 5]);
  made.dropBefore(4);
  made.dropBefore(2);
  assert.equal(made.start, 4);
  assert.deepEqual([...made.read(3, 9)], []);
  assert.deepEqual([...made.read(4, 9)], [5]);
});

test("no more is dropped than there is", () => {
  const made = tape([1, 2]);
  made.dropBefore(100);
  assert.equal(made.start, 2);
  made.append(Uint8Array.from([3]));
  assert.deepEqual([...made.read(2, 9)], [3]);
});
