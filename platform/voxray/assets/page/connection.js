/** The socket of a conversation: opens it, opens it again, sends what may be sent. */

import { Conversation } from "./conversation.js";
import { Tape } from "./tape.js";
import { address, Close, subprotocols } from "./wire.js";

const TURN_MS = 250;

/**
 * @typedef {object} Listener
 * @property {(message: object) => void} news speech, partials and finals, each final once
 * @property {() => void} changed the conversation's phase or its numbers
 */

export class Connection {
  #tape = new Tape();
  #listener;
  #key;
  #socket = null;
  #timer;

  /**
   * @param {{sampleRate: number, language: string | null}} format
   * @param {() => string | null} key asked for at each connect
   * @param {Listener} listener
   */
  constructor(format, key, listener) {
    this.#key = key;
    this.#listener = listener;
    /** @type {Conversation} */
    this.conversation = new Conversation(format, this.#tape, seconds());
    this.#timer = setInterval(() => this.#turn(), TURN_MS);
    this.#open();
  }

  /** More audio. @param {Uint8Array} bytes */
  append(bytes) {
    this.#tape.append(bytes);
    this.#send();
  }

  /** All audio is there: its last words come, and then the connection ends. */
  finish() {
    this.conversation.finish();
    this.#send();
    this.#listener.changed();
  }

  /** Ends at once, and does not wait for words. */
  abandon() {
    this.conversation.abandon();
    this.#settle();
  }

  /** Connects now: a key was given. */
  retry() {
    this.conversation.connect(seconds());
    this.#open();
    this.#listener.changed();
  }

  #open() {
    const socket = new WebSocket(address(document.baseURI), subprotocols(this.#key()));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#of(socket) && socket.send(this.conversation.opened());
    socket.onmessage = (event) => this.#of(socket) && this.#hear(JSON.parse(event.data));
    socket.onclose = (event) => this.#of(socket) && this.#lost(event.code, event.reason);
    this.#socket = socket;
  }

  /** Whether `socket` is still the one that counts: those that were given up may yet speak. */
  #of(socket) {
    return this.#socket === socket;
  }

  #hear(message) {
    const news = this.conversation.hear(message, seconds());
    if (news) this.#listener.news(news);
    this.#send();
    this.#listener.changed();
  }

  #send() {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    for (const frame of this.conversation.outgoing()) this.#socket.send(frame);
  }

  #lost(code, reason) {
    this.#socket = null;
    this.conversation.lost(code, reason, seconds());
    this.#settle();
  }

  #turn() {
    const due = this.conversation.due(seconds());
    if (due === "connect") this.retry();
    if (due === "drop") {
      this.#socket?.close();
      this.#lost(Close.LOST, "");
    }
    this.#listener.changed();
  }

  #settle() {
    if (this.conversation.over) {
      clearInterval(this.#timer);
      this.#socket?.close();
      this.#socket = null;
    }
    this.#listener.changed();
  }
}

/** Seconds on the page's own clock, which nobody sets back. @returns {number} */
export function seconds() {
  return performance.now() / 1000;
}
