/**
 * One recording and its text across connections: what to send, when to connect again, what is news.
 *
 * No socket, no page and no clock: whoever owns the socket reports what happens, with the time in seconds, and
 * sends what `outgoing` gives.
 *
 *     connecting --ready--> live --done--> finished
 *          ^                  |
 *          +---- waiting <----+ lost        locked: a key is wanted     failed: `reason` says why
 */

import { BYTES_PER_SAMPLE, Close, NO_SEGMENT, STOP, start } from "./wire.js";

export const RETRY_FOR_S = 60; // the service keeps a session without a connection for as long
const FIRST_DELAY_S = 0.5;
const LONGEST_DELAY_S = 8;
const SILENT_S = 15; // an `ack` comes once a second: a socket that says nothing for so long is dead
const OPENING_S = 75; // until `ready`: the service may have to start an actor, and gives that a minute
const UNTOLD_CREDIT_S = 2; // what is sent before the first `ack` tells the credit
const FRAME_BYTES = 1 << 16;

const REFUSALS = new Set([Close.NOT_AUDIO, Close.BAD_MESSAGE, Close.TOO_BIG, Close.RESUMED_ELSEWHERE]);
const IDLE = "idle"; // how the reason begins with which the service ends a session that sends nothing

/** @typedef {"connecting" | "live" | "waiting" | "locked" | "finished" | "failed"} Phase */

export class Conversation {
  /** @type {Phase} */
  phase = "connecting";
  reason = ""; // of `failed` and `locked`, for people
  retryAt = 0; // when to connect again, while `waiting`
  processedS = 0;

  #format;
  #random;
  #tape;
  #session = null; // {session, token} of the last `ready`; {} for a new one that goes on after its end
  #haveSegment = NO_SEGMENT;
  #sent = 0; // the next byte to send
  #limit = 0; // the byte up to which there is credit
  #lagS = 0;
  #ended = false; // there will be no more audio
  #stopSent = false;
  #dismissed = false; // `done` came unasked
  #resting = false; // no audio came for so long that the service ended the session
  #lostAt = null; // when the stream was lost that did not get further since
  #attempts = 0;
  #greeted = false; // the socket is open, and `ready` is awaited
  #readyAt = 0;
  #mostS = 0; // the most that any session has processed
  #found = { byte: 0, seconds: 0 }; // what was kept and processed when this connection began
  #heardAt;
  #said = null; // the sentence of the last `error`

  /**
   * @param {import("./wire.js").Format} format
   * @param {import("./tape.js").Tape} tape the audio, which the caller appends to
   * @param {number} now seconds
   * @param {() => number} random in [0, 1), spreads the retries of many clients
   */
  constructor(format, tape, now, random = Math.random) {
    this.#format = format;
    this.#tape = tape;
    this.#random = random;
    this.#heardAt = now;
  }

  /** Whether nothing more will come. */
  get over() {
    return this.phase === "finished" || this.phase === "failed";
  }

  /** Whether no session is wanted until there is audio again. */
  get rests() {
    return this.#resting && !this.#ended && this.#tape.end === this.#sent;
  }

  /** Whether all audio is there, and only its last words are awaited. */
  get ended() {
    return this.#ended;
  }

  /** Seconds of audio whose text has not come: at the service, and here. */
  get lagS() {
    return this.#lagS + (this.#tape.end - this.#sent) / this.#bytesPerSecond;
  }

  /** Seconds of audio in all. */
  get lengthS() {
    return this.#tape.end / this.#bytesPerSecond;
  }

  /** No more audio will come. */
  finish() {
    this.#ended = true;
  }

  /** Connects (again) at once: a key was given, or somebody does not want to wait. @param {number} now */
  connect(now) {
    this.phase = "connecting";
    this.#heardAt = now;
    this.#greeted = false;
    this.#resting = false;
    this.#stopSent = false;
  }

  /** The socket is open: the message that goes first. @returns {string} */
  opened() {
    this.#greeted = true;
    const have = { haveSegment: this.#haveSegment, fromByte: this.#tape.start };
    const resume = this.#session && { ...this.#session, ...have };
    return start(this.#format, resume);
  }

  /**
   * What may be sent now, in order, each once.
   * @returns {(string | Uint8Array)[]}
   */
  outgoing() {
    if (this.phase !== "live") return [];
    const frames = [];
    while (this.#sent < Math.min(this.#limit, this.#tape.end)) {
      const bytes = this.#tape.read(this.#sent, Math.min(FRAME_BYTES, this.#limit - this.#sent));
      frames.push(bytes);
      this.#sent += bytes.length;
    }
    if (this.#ended && !this.#stopSent && this.#sent === this.#tape.end) {
      frames.push(STOP);
      this.#stopSent = true;
    }
    return frames;
  }

  /**
   * A message of the server. Returns it where it is news for a reader (speech, a partial, a final that did not
   * come before), else null.
   * @param {object} message
   * @param {number} now
   */
  hear(message, now) {
    this.#heardAt = now;
    switch (message.type) {
      case "ready":
        return this.#ready(message, now);
      case "ack":
        return this.#ack(message, now);
      case "reconnect":
        if (this.#session) this.#session.token = message.resume_token;
        return null;
      case "error":
        this.#said = message.message;
        return null;
      case "done":
        if (this.#stopSent) this.phase = "finished";
        else this.#dismissed = true;
        return null;
      case "final":
        return this.#final(message);
      case "partial":
      case "speech_start":
        return message.segment > this.#haveSegment ? message : null;
      default: // a newer server may say more
        return null;
    }
  }

  /**
   * The socket closed, or did not open.
   * @param {number} code
   * @param {string} reason
   * @param {number} now
   */
  lost(code, reason, now) {
    const sentence = this.#said || reason;
    this.#said = null;
    if (this.over) return;
    if (this.#dismissed && !this.#ended && reason.startsWith(IDLE)) {
      this.#rest(now);
    } else if (this.#dismissed) {
      this.#fail(sentence || "The service ended the session.");
    } else if (code === Close.NOT_ALLOWED) {
      this.phase = "locked";
      this.reason = sentence || "This service asks for a key.";
    } else if (REFUSALS.has(code) || (code === Close.FULL && !this.#session)) {
      this.#fail(sentence || `The service closed the connection (${code}).`);
    } else {
      this.#wait(now, sentence);
    }
  }

  /** No more is wanted; what came stays. */
  abandon() {
    this.#ended = true;
    if (!this.over) this.phase = "finished";
  }

  /**
   * What the owner of the socket is to do by now, if anything.
   * @param {number} now
   * @returns {"connect" | "drop" | null}
   */
  due(now) {
    if (this.phase === "waiting") return now >= this.retryAt && !this.rests ? "connect" : null;
    const open = this.phase === "connecting" || this.phase === "live";
    const patience = this.phase === "connecting" && this.#greeted ? OPENING_S : SILENT_S;
    return open && now - this.#heardAt > patience ? "drop" : null;
  }

  get #bytesPerSecond() {
    return this.#format.sampleRate * BYTES_PER_SAMPLE;
  }

  #ready(message, now) {
    this.#session = { session: message.session, token: message.resume_token };
    this.#sent = Math.min(Math.max(message.received_bytes, this.#tape.start), this.#tape.end);
    this.#limit = this.#sent + UNTOLD_CREDIT_S * this.#bytesPerSecond;
    this.#readyAt = now;
    this.#found = { byte: this.#tape.start, seconds: this.#mostS };
    this.phase = "live";
    return null;
  }

  #ack(message, now) {
    const { byte, seconds } = this.#found;
    const further = message.keep_from_byte > byte || message.processed_s > seconds;
    if (further || now - this.#readyAt > RETRY_FOR_S) this.#recovered();
    this.#mostS = Math.max(this.#mostS, message.processed_s);
    this.#limit = message.received_bytes + message.credit_bytes;
    this.#lagS = message.lag_s;
    this.processedS = message.processed_s;
    this.#tape.dropBefore(message.keep_from_byte);
    return null;
  }

  #final(message) {
    if (message.segment <= this.#haveSegment) return null;
    this.#haveSegment = message.segment;
    this.#dropSpoken(message);
    this.#recovered();
    return message;
  }

  /** A session that replaces this one must not hear again what this final says. */
  #dropSpoken(final) {
    const spoken = Math.floor(final.end_s * this.#format.sampleRate + 1e-6) * BYTES_PER_SAMPLE;
    this.#tape.dropBefore(Math.min(spoken, this.#sent));
  }

  /** The stream is further than when it was lost. Only that counts: a session may fail on the same audio again. */
  #recovered() {
    this.#lostAt = null;
    this.#attempts = 0;
  }

  /** A microphone that the system interrupts gives no audio: a new session goes on with what comes next. */
  #rest(now) {
    this.#dismissed = false;
    this.#session = {};
    this.#resting = true;
    this.retryAt = now;
    this.phase = "waiting";
  }

  #fail(reason) {
    this.phase = "failed";
    this.reason = reason;
  }

  #wait(now, sentence) {
    this.#lostAt ??= now;
    const delay = Math.min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** this.#attempts);
    this.#attempts += 1;
    this.retryAt = now + delay * (0.5 + 0.5 * this.#random());
    this.phase = "waiting";
    if (this.retryAt > this.#lostAt + RETRY_FOR_S)
      this.#fail(sentence || `The service did not answer for ${RETRY_FOR_S} seconds.`);
  }
}
