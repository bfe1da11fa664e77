/** Reads segments as JSON from the standard input, and writes them in every format: for test_modules.py. */

import { readFileSync } from "node:fs";

import { toSrt, toText, toVtt } from "../../../platform/voxray/assets/page/captions.js";

const segments = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify({ text: toText(segments), srt: toSrt(segments), vtt: toVtt(segments) }));
