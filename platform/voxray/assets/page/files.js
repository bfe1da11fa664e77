/** Audio files: the browser decodes them, whatever it can play. */

import { toPcm } from "./pcm.js";

export const SAMPLE_RATE = 16_000; // of decoded files; what the models hear

/**
 * The file as mono pcm_s16le at `SAMPLE_RATE`, a second in each piece. Rejects with an Error whose message is for
 * people.
 * @param {File} file
 * @returns {Promise<Uint8Array[]>}
 */
export async function decode(file) {
  const context = new OfflineAudioContext({ numberOfChannels: 1, length: 1, sampleRate: SAMPLE_RATE });
  let audio;
  try {
    audio = await context.decodeAudioData(await file.arrayBuffer());
  } catch (error) {
    throw new Error("not audio that this browser can read", { cause: error });
  }
  return Array.from(seconds(audio), toPcm);
}

function* seconds(audio) {
  const channels = Array.from({ length: audio.numberOfChannels }, (_, i) => audio.getChannelData(i));
  for (let at = 0; at < audio.length; at += SAMPLE_RATE) {
    yield mixed(channels.map((c) => c.subarray(at, at + SAMPLE_RATE)));
  }
}

/** The mean of channels. */
function mixed(channels) {
  if (channels.length === 1) return channels[0];
  return channels[0].map((_, i) => channels.reduce((sum, c) => sum + c[i], 0) / channels.length);
}
