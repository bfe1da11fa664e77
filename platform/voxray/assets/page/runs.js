/** What is transcribed at the moment: the microphone, or a file. Both are a connection with a source of audio. */

import { Connection } from "./connection.js";
import { decode, SAMPLE_RATE } from "./files.js";
import { Microphone } from "./microphone.js";

/**
 * @typedef {object} Terms
 * @property {string | null} language
 * @property {string | null} model null: the default of the key, or of the service
 * @property {() => string | null} key
 * @property {() => void} changed the state changed, or its numbers
 *
 * @typedef {object} Desk where a microphone's run shows
 * @property {(level: number) => void} level
 * @property {() => void} gone the device went away
 * @property {(reason: string | null) => void} interrupted no sound comes, and why; null: it comes again
 * @property {() => import("./transcript.js").Recording} recording a new one
 */

export class MicrophoneRun {
  file = false;
  #microphone;
  #connection;
  #closed = null; // once asked for: the last frame was given

  /** Use `MicrophoneRun.open`. */
  constructor(microphone, connection, recording) {
    this.#microphone = microphone;
    this.#connection = connection;
    this.recording = recording;
  }

  /**
   * Asks for the microphone, and connects once it is there.
   * @param {string} device
   * @param {Terms} terms
   * @param {Desk} desk
   * @returns {Promise<MicrophoneRun>}
   */
  static async open(device, terms, desk) {
    let connection = null;
    const onFrame = (pcm, level) => {
      connection?.append(pcm);
      desk.level(level);
    };
    const listener = { onFrame, onEnded: desk.gone, onInterrupted: desk.interrupted };
    const microphone = await Microphone.open(device, listener);
    const recording = desk.recording();
    connection = connected(microphone.sampleRate, terms, recording);
    return new MicrophoneRun(microphone, connection, recording);
  }

  get conversation() {
    return this.#connection.conversation;
  }

  /** Another microphone from now on. @param {string} device */
  async use(device) {
    if (!this.#closed) await this.#microphone.use(device);
  }

  /** No more audio; the last words come yet. Asked twice, it is one stop: nothing may follow it. */
  async stop() {
    await this.#close();
    this.#connection.finish();
  }

  /** Ends at once. */
  abandon() {
    this.#close();
    this.#connection.abandon();
  }

  #close() {
    return (this.#closed ??= this.#microphone.close());
  }

  /** Connects now: a key was given. */
  retry() {
    this.#connection.retry();
  }
}

export class FileRun {
  file = true;
  #connection;

  /** Use `FileRun.open`. */
  constructor(connection, recording) {
    this.#connection = connection;
    this.recording = recording;
  }

  /**
   * Decodes the file, and sends all of it as fast as there is credit.
   * @param {File} file
   * @param {Terms} terms
   * @param {import("./transcript.js").Recording} recording
   * @returns {Promise<FileRun>}
   */
  static async open(file, terms, recording) {
    const pieces = await decode(file);
    const connection = connected(SAMPLE_RATE, terms, recording);
    pieces.forEach((pcm) => connection.append(pcm));
    connection.finish();
    return new FileRun(connection, recording);
  }

  get conversation() {
    return this.#connection.conversation;
  }

  /** Ends at once. */
  abandon() {
    this.#connection.abandon();
  }

  /** Connects now: a key was given. */
  retry() {
    this.#connection.retry();
  }
}

function connected(sampleRate, { language, model, key, changed }, recording) {
  const listener = { news: (message) => recording.hear(message), changed };
  return new Connection({ sampleRate, language, model }, key, listener);
}
