import assert from "node:assert/strict";
import { test } from "node:test";

import { eventsOf } from "../../../platform/voxray/assets/page/events.js";

test("events are whole however their bytes are cut, and comments are none", async () => {
  const text = 'event: running\ndata: {"text": "ü"}\n\n: nothing has changed\n\ndata: {"text": "b"}\n\ndata: {"te';
  const bytes = new TextEncoder().encode(text);
  for (const size of [1, 3, 1000]) {
    const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
      bytes.slice(i * size, (i + 1) * size),
    );
    const found = [];
    for await (const { text } of eventsOf(new Blob(chunks).stream())) found.push(text);
    assert.deepEqual(found, ["ü", "b"]);
  }
});
