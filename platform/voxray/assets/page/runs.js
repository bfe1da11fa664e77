/** What is transcribed at the moment: the microphone, or a file. Both are a connection with a source of audio. */

import { Connection } from "./connection.js";
import { decode, SAMPLE_RATE } from "./files.js";
import { Microphone } from "./microphone.js";

/**
 * @typedef {object} Terms
 * @property {string | null} language
 * @property {() => string | null} key
 * @property {() => void} changed the state changed, or its numbers
 */

export class MicrophoneRun {
  file = false;
  #microphone;
  #connection;

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
   * @param {{level: (level: number) => void, gone: () => void, recording: () => import("./transcript.js").Recording}} page
   * @returns {Promise<MicrophoneRun>}
   */
  static async open(device, terms, page) {
    let connection = null;
    const onFrame = (pcm, level) => {
      connection?.append(pcm);
      page.level(level);
    };
    const microphone = await Microphone.open(device, onFrame, page.gone);
    const recording = page.recording();
    connection = connected(microphone.sampleRate, terms, recording);
    return new MicrophoneRun(microphone, connection, recording);
  }

  get conversation() {
    return this.#connection.conversation;
  }

  /** Another microphone from now on. @param {string} device */
  use(device) {
    return this.#microphone.use(device);
  }

  /** No more audio; the last words come yet. */
  async stop() {
    const microphone = this.#microphone;
    this.#microphone = null;
    await microphone?.close();
    this.#connection.finish();
  }

  /** Ends at once. */
  abandon() {
    this.#microphone?.close();
    this.#microphone = null;
    this.#connection.abandon();
  }

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

  retry() {
    this.#connection.retry();
  }
}

function connected(sampleRate, { language, key, changed }, recording) {
  const listener = { news: (message) => recording.hear(message), changed };
  return new Connection({ sampleRate, language }, key, listener);
}
