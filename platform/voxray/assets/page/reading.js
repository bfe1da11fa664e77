/**
 * The times of words: under the pointer, and for the keyboard with the arrow keys (up and down between lines, left
 * and right between words). The lines of all recordings are one stop of the Tab key.
 */

import { shortClock } from "./captions.js";

/** A word's times for people: 0:03.2 – 0:03.6. @param {number} start @param {number} end @returns {string} */
export function span(start, end) {
  return `${tenths(start)} – ${tenths(end)}`;
}

function tenths(seconds) {
  const whole = Math.round(seconds * 10);
  return `${shortClock(Math.floor(whole / 10))}.${whole % 10}`;
}

export class Reading {
  #root;
  #tip;
  #word = null; // whose times are shown

  /**
   * @param {HTMLElement} root holds lines (`.line`) of words (`.word`, with data-start and data-end in seconds)
   * @param {HTMLElement} tip where the times are shown
   */
  constructor(root, tip) {
    this.#root = root;
    this.#tip = tip;
    root.addEventListener("pointerover", (event) => this.#show(event.target.closest(".word")));
    root.addEventListener("pointerleave", () => this.#show(null));
    root.addEventListener("focusin", (event) => this.#focused(event.target));
    root.addEventListener("focusout", () => this.#show(null));
    root.addEventListener("keydown", (event) => this.#key(event));
    addEventListener("scroll", () => this.#show(this.#word), { passive: true });
  }

  #show(word) {
    const shown = word?.isConnected ? word : null;
    if (!shown && !this.#word) return;
    this.#word = shown;
    this.#tip.hidden = !shown;
    if (!shown) return;
    this.#tip.textContent = span(Number(shown.dataset.start), Number(shown.dataset.end));
    this.#place(shown.getBoundingClientRect());
  }

  /** Above the word, and inside of the window. */
  #place(box) {
    const { offsetWidth: width, offsetHeight: height } = this.#tip;
    const left = Math.min(box.left + (box.width - width) / 2, document.documentElement.clientWidth - width - 8);
    this.#tip.style.left = `${Math.max(8, left)}px`;
    this.#tip.style.top = `${Math.max(8, box.top - height - 6)}px`;
  }

  #focused(target) {
    const line = target.closest(".line");
    if (!line) return;
    for (const other of this.#root.querySelectorAll(".line[tabindex='0']")) other.tabIndex = -1;
    line.tabIndex = 0;
    this.#show(target.closest(".word"));
  }

  #key(event) {
    const line = event.target.closest(".line");
    if (!line) return;
    const lines = [...this.#root.querySelectorAll(".line")];
    const words = [...line.querySelectorAll(".word")];
    const [l, w] = [lines.indexOf(line), words.indexOf(event.target)];
    const ways = {
      ArrowUp: () => lines[l - 1]?.focus(),
      ArrowDown: () => lines[l + 1]?.focus(),
      ArrowLeft: () => (words[w - 1] ?? line).focus(),
      ArrowRight: () => words[w + 1]?.focus(),
      Home: () => lines[0].focus(),
      End: () => lines.at(-1).focus(),
      Escape: () => this.#show(null),
    };
    if (!ways[event.key]) return;
    event.preventDefault();
    ways[event.key]();
  }
}
