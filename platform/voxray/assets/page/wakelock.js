/** Keeps the screen on while it is held: phones that lock their screen suspend the audio of a page. */

export class WakeLock {
  #wanted = false;
  #asking = false;
  #sentinel = null;

  /** Asks for the lock; browsers take it back when the page is hidden, so ask again when it is shown. */
  async hold() {
    this.#wanted = true;
    const held = this.#sentinel && !this.#sentinel.released;
    if (held || this.#asking || document.visibilityState !== "visible") return;
    this.#asking = true;
    try {
      this.#sentinel = (await navigator.wakeLock?.request("screen")) ?? null;
    } catch {
      this.#sentinel = null; // refused, as with a low battery: the page works without
    }
    this.#asking = false;
    if (!this.#wanted) this.release();
  }

  /** Lets the screen go dark again. */
  release() {
    this.#wanted = false;
    this.#sentinel?.release();
    this.#sentinel = null;
  }
}
