/** The level of the microphone: the last seconds as bars, or one bar for those who want no motion. */

const BARS = 48;
const QUIET = 0.04; // of the height, so that silence is a line of dots

export class Meter {
  #element;
  #context;
  #levels = new Array(BARS).fill(0);
  #still = matchMedia("(prefers-reduced-motion: reduce)");

  /** @param {HTMLElement} element with role=meter, and a canvas in it */
  constructor(element) {
    this.#element = element;
    this.#context = element.querySelector("canvas").getContext("2d");
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
    new ResizeObserver(() => this.#draw()).observe(element);
  }

  /** @param {number} level from 0 to 1 */
  show(level) {
    this.#levels.push(level);
    this.#levels.shift();
    this.#element.setAttribute("aria-valuenow", String(Math.round(100 * level)));
    this.#draw();
  }

  /** Back to silence. */
  clear() {
    this.#levels.fill(0);
    this.show(0);
  }

  #draw() {
    const canvas = this.#context.canvas;
    const scale = devicePixelRatio;
    canvas.width = Math.round(canvas.clientWidth * scale);
    canvas.height = Math.round(canvas.clientHeight * scale);
    this.#context.fillStyle = getComputedStyle(canvas).color;
    if (this.#still.matches) this.#fill(0, this.#levels.at(-1) * canvas.width, canvas.height / 4);
    else this.#levels.forEach((level, i) => this.#bar(level, i));
  }

  #bar(level, i) {
    const { width, height } = this.#context.canvas;
    const step = width / BARS;
    this.#fill(i * step, step / 2, height * Math.max(QUIET, level ** 1.5));
  }

  #fill(left, width, height) {
    const middle = this.#context.canvas.height / 2;
    this.#context.beginPath();
    this.#context.roundRect(left, middle - height / 2, width, height, Math.min(width, height) / 2);
    this.#context.fill();
  }
}
