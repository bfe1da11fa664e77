/** The microphone: frames of pcm_s16le, mono, at the sample rate of the audio context. */

import { WakeLock } from "./wakelock.js";

const WANTED = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true };
const MONO = { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" };
const FLUSH_MS = 500; // a context that the system has suspended does not answer
const MUTED = "The microphone is muted, by a switch or by the system; nothing is transcribed until it is on again.";
const INTERRUPTED = "The system has interrupted the microphone; touch this page to go on.";
const WORKLET = new URL("./worklet.js", import.meta.url);

/** Why there is no microphone here, in a sentence; null where there may be one. @returns {string | null} */
export function unavailable() {
  if (!isSecureContext)
    return "Browsers give the microphone only to pages on localhost or https; audio files work here.";
  return navigator.mediaDevices?.getUserMedia ? null : "This browser gives no microphone; audio files work here.";
}

/**
 * The microphones by name; without permission to use one, browsers keep the names to themselves.
 * @returns {Promise<{id: string, name: string}[]>}
 */
export async function devices() {
  const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  const named = all.filter((d) => d.kind === "audioinput" && d.deviceId && d.label);
  return named.map((d) => ({ id: d.deviceId, name: d.label }));
}

/**
 * @typedef {object} MicrophoneListener
 * @property {(pcm: Uint8Array, level: number) => void} onFrame about ten times a second
 * @property {() => void} onEnded the device went away
 * @property {(reason: string | null) => void} onInterrupted why no sound comes, for people; null: it comes again
 */

export class Microphone {
  #context;
  #frames;
  #stream;
  #source;
  #listener;
  #interruption = null; // what the listener was told last
  #watching = false;
  #wakeLock = new WakeLock();
  #closing = new AbortController();

  /** Use `Microphone.open`. */
  constructor(context, frames, listener) {
    this.#context = context;
    this.#frames = frames;
    this.#listener = listener;
  }

  /**
   * Asks for permission and begins to listen. Rejects with an Error whose message is for people.
   * @param {string} device an id of `devices`, or "" for the system's choice
   * @param {MicrophoneListener} listener
   * @returns {Promise<Microphone>}
   */
  static async open(device, listener) {
    const context = new AudioContext();
    try {
      await context.audioWorklet.addModule(WORKLET);
      const frames = new AudioWorkletNode(context, "frames", MONO);
      frames.port.onmessage = ({ data }) => listener.onFrame(data.pcm, data.level);
      const microphone = new Microphone(context, frames, listener);
      await microphone.use(device);
      await context.resume();
      microphone.#watch();
      return microphone;
    } catch (error) {
      await context.close();
      throw error;
    }
  }

  /** Samples per second. */
  get sampleRate() {
    return this.#context.sampleRate;
  }

  /** Listens to another device from now on, without a break. @param {string} device */
  async use(device) {
    const stream = await opened(device);
    this.#release();
    this.#stream = stream;
    this.#source = this.#context.createMediaStreamSource(stream);
    this.#source.connect(this.#frames);
    const [track] = stream.getAudioTracks();
    track.onended = () => this.#listener.onEnded();
    track.onmute = () => this.#check();
    track.onunmute = () => this.#unmuted();
    this.#check();
  }

  /** Tells the listener of interruptions, and ends them where the page may, until `close`. */
  #watch() {
    const { signal } = this.#closing;
    this.#watching = true; // before, the context is suspended because it is new
    this.#context.addEventListener("statechange", () => this.#check(), { signal });
    for (const event of ["visibilitychange", "pointerdown"])
      document.addEventListener(event, () => this.#resume(), { signal });
    this.#wakeLock.hold();
    this.#check();
  }

  /** Some systems mute the microphone during a call, and leave the context interrupted after it. */
  #unmuted() {
    this.#resume();
    this.#check();
  }

  #resume() {
    if (document.visibilityState !== "visible") return;
    this.#wakeLock.hold();
    // Refused while a call lasts, or before a touch: the listener was told, and a touch tries again.
    if (this.#context.state !== "running") this.#context.resume().catch(() => {});
  }

  #check() {
    if (!this.#watching) return;
    const [track] = this.#stream.getAudioTracks();
    const running = this.#context.state === "running";
    const reason = track.muted ? MUTED : running ? null : INTERRUPTED;
    if (reason === this.#interruption) return;
    this.#interruption = reason;
    this.#listener.onInterrupted(reason);
  }

  /** Ends listening; resolves when the last frame was given. */
  async close() {
    this.#closing.abort();
    this.#wakeLock.release();
    this.#release();
    await Promise.race([this.#flushed(), new Promise((resolve) => setTimeout(resolve, FLUSH_MS))]);
    await this.#context.close();
  }

  #flushed() {
    const give = this.#frames.port.onmessage;
    return new Promise((resolve) => {
      this.#frames.port.onmessage = (event) => {
        give(event);
        if (event.data.last) resolve();
      };
      this.#frames.port.postMessage("flush");
    });
  }

  #release() {
    this.#source?.disconnect();
    for (const track of this.#stream?.getTracks() ?? []) {
      track.onended = track.onmute = track.onunmute = null;
      track.stop();
    }
  }
}

async function opened(device) {
  const audio = device ? { ...WANTED, deviceId: { exact: device } } : WANTED;
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    throw new Error(SENTENCES[error.name] ?? `The microphone cannot be opened (${error.message}).`, { cause: error });
  }
}

const SENTENCES = {
  NotAllowedError: "The browser was not allowed to use the microphone; allow it beside the address, and start again.",
  NotFoundError: "There is no microphone; connect one, and start again.",
  NotReadableError: "Another program holds the microphone; end that one, and start again.",
  OverconstrainedError: "That microphone is gone; choose another one.",
};
