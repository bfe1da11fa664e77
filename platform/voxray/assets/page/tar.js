/** Files as a tar, in pieces: POSIX headers, and an extended one where a path is long or not ASCII. */

const BLOCK = 512;
const NAME_BYTES = 100;
const [FILE, EXTENDED] = ["0", "x"];
const encoder = new TextEncoder();

/**
 * Yields a tar of `entries`. Rejects where a file cannot be read any more.
 * @param {Iterable<{path: string, file: Blob}>} entries
 * @param {(read: number) => void} [onRead] called with the bytes of files that were read so far
 * @returns {AsyncGenerator<Uint8Array>}
 */
export async function* tar(entries, onRead = () => {}) {
  let read = 0;
  for (const { path, file } of entries) {
    yield* headers(path, file.size);
    for await (const chunk of chunks(file)) {
      onRead((read += chunk.length));
      yield chunk;
    }
    yield padding(file.size);
  }
  yield new Uint8Array(2 * BLOCK);
}

/**
 * The tar of `entries`, compressed.
 * @param {Iterable<{path: string, file: Blob}>} entries
 * @param {(read: number) => void} onRead as `tar` calls it
 * @param {AbortSignal} signal ends it; the promise is rejected then
 * @returns {Promise<Blob>}
 */
export async function targz(entries, onRead, signal) {
  const pieces = tar(entries, onRead);
  const source = new ReadableStream({
    async pull(controller) {
      signal.throwIfAborted();
      const { done, value } = await pieces.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  });
  return new Response(source.pipeThrough(new CompressionStream("gzip"))).blob();
}

function* headers(path, size) {
  const name = encoder.encode(path);
  if (name.length > NAME_BYTES || name.length !== path.length) {
    const record = extended("path", path);
    yield header(encoder.encode("extended"), record.length, EXTENDED);
    yield record;
    yield padding(record.length);
  }
  yield header(name.subarray(0, NAME_BYTES), size, FILE);
}

function header(name, size, type) {
  const block = new Uint8Array(BLOCK);
  const write = (at, text) => block.set(encoder.encode(text), at);
  const number = (at, length, value) => write(at, `${value.toString(8).padStart(length - 1, "0")}\0`);
  block.set(name);
  number(100, 8, 0o644);
  number(108, 8, 0); // user and group
  number(116, 8, 0);
  number(124, 12, size);
  number(136, 12, 0); // the time of change
  write(148, " ".repeat(8)); // the checksum counts as spaces
  write(156, type);
  write(257, "ustar\x0000");
  const sum = block.reduce((total, byte) => total + byte, 0);
  write(148, `${sum.toString(8).padStart(6, "0")}\0 `);
  return block;
}

/** A record of an extended header begins with its own length in bytes. */
function extended(key, value) {
  const rest = encoder.encode(` ${key}=${value}\n`).length;
  let length = rest + 1;
  while (length !== rest + String(length).length) length = rest + String(length).length;
  return encoder.encode(`${length} ${key}=${value}\n`);
}

function padding(size) {
  return new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK);
}

async function* chunks(file) {
  const reader = file.stream().getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}
