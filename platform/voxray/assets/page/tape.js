/** The audio that may have to be sent again, addressed by its byte in the session. */
export class Tape {
  #chunks = []; // {start, bytes}, without gaps
  #start = 0;
  #end = 0;

  /** The first byte that is kept. */
  get start() {
    return this.#start;
  }

  /** Where the next byte will be. */
  get end() {
    return this.#end;
  }

  /** @param {Uint8Array} bytes */
  append(bytes) {
    if (!bytes.length) return;
    this.#chunks.push({ start: this.#end, bytes });
    this.#end += bytes.length;
  }

  /** Forgets what is before byte `at`. @param {number} at */
  dropBefore(at) {
    this.#start = Math.min(Math.max(this.#start, at), this.#end);
    const kept = this.#chunks.findIndex((c) => c.start + c.bytes.length > this.#start);
    this.#chunks.splice(0, kept < 0 ? this.#chunks.length : kept);
  }

  /**
   * At most `limit` bytes from byte `at`, which must be kept; as many as lie in one chunk.
   * @param {number} at
   * @param {number} limit
   * @returns {Uint8Array}
   */
  read(at, limit) {
    const chunk = this.#chunks[this.#chunkOf(at)];
    if (!chunk || at < this.#start) return new Uint8Array();
    const offset = at - chunk.start;
    return chunk.bytes.subarray(offset, offset + limit);
  }

  /** The chunk that holds byte `at`, by bisection: an hour of a file has thousands. */
  #chunkOf(at) {
    let [low, high] = [0, this.#chunks.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const { start, bytes } = this.#chunks[middle];
      if (start + bytes.length <= at) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
