/** Keeps the newest line in sight, until the reader scrolls up; a button leads back. */

const NEAR_PX = 48; // of the end: still reading along

export class Following {
  #scroller = document.scrollingElement;
  #button;
  #on = true;
  #top = 0;

  /** @param {HTMLButtonElement} button shown while the reader is elsewhere */
  constructor(button) {
    this.#button = button;
    button.addEventListener("click", () => this.jump());
    addEventListener("scroll", () => this.#scrolled(), { passive: true });
  }

  /** The text grew: goes with it, where the reader does. */
  grown() {
    if (this.#on) this.#toEnd();
    this.#button.hidden = this.#on;
  }

  /** To the end, and goes on from there. */
  jump() {
    this.#on = true;
    this.grown();
  }

  /** Only a way up is the reader's own: the end moves away by itself as the text grows. */
  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    if (scrollHeight - scrollTop - clientHeight < NEAR_PX) this.#on = true;
    else if (scrollTop < this.#top) this.#on = false;
    this.#top = scrollTop;
    this.#button.hidden = this.#on;
  }

  #toEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#top = this.#scroller.scrollTop;
  }
}
