/** Reads paths and texts as JSON from the standard input, and writes them as a tar: for test_modules.py. */

import { readFileSync } from "node:fs";

import { tar } from "../../../platform/voxray/assets/page/tar.js";

const entries = Object.entries(JSON.parse(readFileSync(0, "utf8")));
for await (const piece of tar(entries.map(([path, text]) => ({ path, file: new Blob([text]) })))) {
  process.stdout.write(Buffer.from(piece).toString("base64") + "\n");
}
