/** The wire of `/v1/stream` (voxray/wire.py), as far as a browser speaks it. */

export const BYTES_PER_SAMPLE = 2; // pcm_s16le, mono
export const NO_SEGMENT = -1; // `have_segment` of a client that has no final yet

/** Codes that a socket closes with. LOST is the browser's own: there was no closing handshake. */
export const Close = Object.freeze({
  NORMAL: 1000,
  NOT_AUDIO: 1003,
  LOST: 1006,
  BAD_MESSAGE: 1008,
  TOO_BIG: 1009,
  RESTART: 1012,
  FULL: 1013,
  NOT_ALLOWED: 4401,
  RESUMED_ELSEWHERE: 4409,
});

const SUBPROTOCOL = "voxray.v1";
const KEY_SUBPROTOCOL = "voxray.key.";
const PATH = "v1/stream";

/**
 * Where the stream is, beside the page at `href`: ws for http, wss for https.
 * @param {string} href
 * @returns {string}
 */
export function address(href) {
  const url = new URL(PATH, href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/**
 * What the socket offers; the key travels here, because a URL ends up in logs.
 * @param {string | null} key
 * @returns {string[]}
 */
export function subprotocols(key) {
  return key ? [SUBPROTOCOL, KEY_SUBPROTOCOL + base64url(key)] : [SUBPROTOCOL];
}

/**
 * @typedef {object} Format
 * @property {number} sampleRate
 * @property {string | null} language
 * @property {string | null} [model]
 */

/**
 * The first message. `resume` where there was a session before.
 * @param {Format} format
 * @param {{session: string, token: string, haveSegment: number, fromByte: number} | null} resume
 * @returns {string}
 */
export function start({ sampleRate, language, model = null }, resume) {
  const audio = { sample_rate: sampleRate, encoding: "pcm_s16le", channels: 1 };
  const first = { type: "start", ...audio, language, model, words: true };
  if (!resume) return JSON.stringify(first);
  const { session, token, haveSegment, fromByte } = resume;
  return JSON.stringify({
    ...first,
    session,
    resume_token: token,
    have_segment: haveSegment,
    from_byte: fromByte,
  });
}

/** Asks for the finals of all audio, then `done`. */
export const STOP = JSON.stringify({ type: "stop" });

function base64url(text) {
  const bytes = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}
