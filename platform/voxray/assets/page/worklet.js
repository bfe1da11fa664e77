/** Runs on the audio thread: joins its quanta of 128 samples to frames of about 100 ms. */

import { level, toPcm } from "./pcm.js";

const FRAMES_PER_SECOND = 10;

class Frames extends AudioWorkletProcessor {
  #frame = new Float32Array(Math.round(sampleRate / FRAMES_PER_SECOND));
  #filled = 0;

  constructor() {
    super();
    this.port.onmessage = () => this.#flush(true);
  }

  process([[mono]]) {
    for (let at = 0; mono && at < mono.length; ) {
      const taken = Math.min(mono.length - at, this.#frame.length - this.#filled);
      this.#frame.set(mono.subarray(at, at + taken), this.#filled);
      this.#filled += taken;
      at += taken;
      if (this.#filled === this.#frame.length) this.#flush(false);
    }
    return true;
  }

  /** Posts what there is; `last` answers whoever asked for the rest. */
  #flush(last) {
    const samples = this.#frame.subarray(0, this.#filled);
    const pcm = toPcm(samples);
    this.port.postMessage({ pcm, level: level(samples), last }, [pcm.buffer]);
    this.#filled = 0;
  }
}

registerProcessor("frames", Frames);
