/**
 * A transcript in the formats in which people read it: the rules of voxray/transcript.py, to the character.
 *
 * @typedef {{text: string, start_s: number, end_s: number, probability?: number | null}} Word
 * @typedef {{start_s: number, end_s: number, text: string, words?: Word[]}} Segment
 */

// What Python's str.split() takes for a space; \s knows U+FEFF besides, and not the separators from U+001C.
const SPACES = /[\t-\r\u001c- \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/u;
const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };

/** One line per segment. @param {Segment[]} segments @returns {string} */
export function toText(segments) {
  return spoken(segments).map(oneLine).join("\n");
}

/** SubRip: numbered cues, times as HH:MM:SS,mmm. @param {Segment[]} segments @returns {string} */
export function toSrt(segments) {
  return spoken(segments)
    .map((s, i) => `${i + 1}\n${times(s, ",")}\n${oneLine(s)}\n`)
    .join("\n");
}

/** WebVTT: a header, then cues; `&`, `<` and `>` are escaped. @param {Segment[]} segments @returns {string} */
export function toVtt(segments) {
  const cues = spoken(segments).map((s) => `${times(s, ".")}\n${escaped(oneLine(s))}\n`);
  return ["WEBVTT\n", ...cues].join("\n");
}

/**
 * HH:MM:SS and milliseconds after `point`, as subtitle formats write times.
 * @param {number} seconds
 * @param {string} point
 * @returns {string}
 */
export function clock(seconds, point) {
  const total = halfToEven(seconds * 1000);
  const minutes = Math.floor(total / 60_000);
  const ms = total % 60_000;
  const fields = [Math.floor(minutes / 60), minutes % 60, Math.floor(ms / 1000)];
  return fields.map((n) => padded(n, 2)).join(":") + point + padded(ms % 1000, 3);
}

/**
 * Minutes and seconds for the eye, with hours where there are any: 0:07, 12:40, 1:02:03.
 * @param {number} seconds
 * @returns {string}
 */
export function shortClock(seconds) {
  const whole = Math.floor(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const rest = padded(whole % 60, 2);
  return hours ? `${hours}:${padded(minutes, 2)}:${rest}` : `${minutes}:${rest}`;
}

/**
 * `text` cut where its words are: each piece with its word, or null for what stands between words.
 * Words that are not found in `text`, in order, are left out.
 * @param {string} text
 * @param {Word[]} [words]
 * @returns {{text: string, word: Word | null}[]}
 */
export function pieces(text, words = []) {
  const found = [];
  let at = 0;
  for (const word of words) {
    const start = word.text ? text.indexOf(word.text, at) : -1;
    if (start < 0) continue;
    if (start > at) found.push({ text: text.slice(at, start), word: null });
    found.push({ text: word.text, word });
    at = start + word.text.length;
  }
  if (at < text.length) found.push({ text: text.slice(at), word: null });
  return found;
}

function spoken(segments) {
  return segments.filter((s) => oneLine(s));
}

function oneLine(segment) {
  return segment.text.split(SPACES).filter(Boolean).join(" ");
}

function times(segment, point) {
  return `${clock(segment.start_s, point)} --> ${clock(segment.end_s, point)}`;
}

function escaped(text) {
  return text.replace(/[&<>]/g, (c) => ESCAPES[c]);
}

function padded(number, width) {
  return String(number).padStart(width, "0");
}

/** As Python rounds; Math.round takes every half up. */
function halfToEven(x) {
  const floor = Math.floor(x);
  const half = x - floor === 0.5;
  return half ? floor + (floor % 2) : Math.round(x);
}
