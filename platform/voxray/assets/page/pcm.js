/** Samples as the wire wants them. */

/**
 * Samples in -1 to 1 as pcm_s16le; what is outside is clipped.
 * @param {Float32Array} samples
 * @returns {Uint8Array}
 */
export function toPcm(samples) {
  const view = new DataView(new ArrayBuffer(2 * samples.length));
  samples.forEach((x, i) => view.setInt16(2 * i, toInt16(x), true));
  return new Uint8Array(view.buffer);
}

/** As Chromium reads 16-bit files, so that what it decodes is sent as it stood there. */
function toInt16(x) {
  return Math.round(Math.max(-1, Math.min(1, x)) * (x < 0 ? 32768 : 32767));
}

/**
 * Loudness for the eye: 0 for -60 dB of full scale and below, 1 for full scale.
 * @param {Float32Array} samples
 * @returns {number}
 */
export function level(samples) {
  const power = samples.reduce((sum, x) => sum + x * x, 0) / (samples.length || 1);
  return Math.max(0, Math.min(1, 1 + Math.log10(power + 1e-12) / 6));
}
