/** The microphone: frames of pcm_s16le, mono, at the sample rate of the audio context. */

const WANTED = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true };
const MONO = { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" };
const FLUSH_MS = 500; // a context that the system has suspended does not answer
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

export class Microphone {
  #context;
  #frames;
  #stream;
  #source;
  #onEnded;

  /** Use `Microphone.open`. */
  constructor(context, frames, onEnded) {
    this.#context = context;
    this.#frames = frames;
    this.#onEnded = onEnded;
  }

  /**
   * Asks for permission and begins to listen. Rejects with an Error whose message is for people.
   * @param {string} device an id of `devices`, or "" for the system's choice
   * @param {(pcm: Uint8Array, level: number) => void} onFrame about ten times a second
   * @param {() => void} onEnded the device went away
   * @returns {Promise<Microphone>}
   */
  static async open(device, onFrame, onEnded) {
    const context = new AudioContext();
    try {
      await context.audioWorklet.addModule(WORKLET);
      const frames = new AudioWorkletNode(context, "frames", MONO);
      frames.port.onmessage = ({ data }) => onFrame(data.pcm, data.level);
      const microphone = new Microphone(context, frames, onEnded);
      await microphone.use(device);
      await context.resume();
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
    stream.getAudioTracks()[0].onended = () => this.#onEnded();
  }

  /** Ends listening; resolves when the last frame was given. */
  async close() {
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
      track.onended = null;
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
