/** The text on the page: recordings one below the other, each with its lines and with what is being said. */

import { pieces, shortClock, toSrt, toText, toVtt } from "./captions.js";

const FORMATS = {
  txt: { render: toText, type: "text/plain" },
  srt: { render: toSrt, type: "application/x-subrip" },
  vtt: { render: toVtt, type: "text/vtt" },
};
const COPIED_MS = 1500;

export class Transcript {
  #root;
  #template;
  #recordings = [];
  #changed;

  /**
   * @param {HTMLElement} root
   * @param {HTMLTemplateElement} template of one recording
   * @param {() => void} changed the text grew or went
   */
  constructor(root, template, changed) {
    this.#root = root;
    this.#template = template;
    this.#changed = changed;
  }

  /** Whether there is nothing on the page. */
  get empty() {
    return !this.#recordings.length;
  }

  /** How many lines there are. */
  get lines() {
    return this.#recordings.reduce((sum, r) => sum + r.segments.length, 0);
  }

  /** A new recording at the end. @param {string} title @returns {Recording} */
  add(title) {
    const element = this.#template.content.cloneNode(true).firstElementChild;
    this.#root.append(element);
    const recording = new Recording(element, title, this.#changed);
    this.#recordings.push(recording);
    this.#changed();
    return recording;
  }

  /** Removes all text; the recordings in `running` stay, without theirs. @param {Recording[]} running */
  clear(running) {
    const gone = this.#recordings.filter((r) => !running.includes(r));
    for (const recording of gone) recording.element.remove();
    for (const recording of running) recording.clear();
    this.#recordings = running;
    this.#changed();
  }
}

export class Recording {
  /** @type {import("./captions.js").Segment[]} */
  segments = [];
  element;
  #title;
  #changed;

  /** Use `Transcript.add`. */
  constructor(element, title, changed) {
    this.element = element;
    this.#title = title;
    this.#changed = changed;
    const heading = this.#part("h2");
    heading.textContent = title;
    heading.id = `recording-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
    element.setAttribute("aria-labelledby", heading.id);
    this.#part(".copy").addEventListener("click", (event) => this.#copy(event.currentTarget));
    for (const button of element.querySelectorAll("[data-format]"))
      button.addEventListener("click", () => this.#download(button.dataset.format));
  }

  /** Speech, a partial or a final. @param {object} message of the wire */
  hear(message) {
    if (message.type === "final") this.#final(message);
    else this.#partial(message);
    this.#changed();
  }

  /** A short remark beside the title; "" for none. @param {string} note */
  note(note) {
    setText(this.#part(".note"), note);
  }

  /** How long the recording is. @param {number} seconds */
  length(seconds) {
    setText(this.#part(".length"), seconds ? shortClock(seconds) : "");
  }

  /** No more comes: what was not final is gone. */
  close() {
    this.#part(".partial").hidden = true;
    this.#changed();
  }

  /** Removes the text. */
  clear() {
    this.segments = [];
    this.#part(".lines").replaceChildren();
    this.#part(".actions").hidden = true;
  }

  #final(segment) {
    this.#part(".partial").hidden = true;
    if (!segment.text.trim()) return;
    this.segments.push(segment);
    this.#part(".lines").append(line(segment, this.#part(".line")));
    this.#part(".actions").hidden = false;
  }

  #partial({ start_s, at_s, stable = "", unstable = "" }) {
    this.#part(".partial").hidden = false;
    this.#part(".partial time").replaceWith(time(start_s ?? at_s));
    setText(this.#part(".stable"), stable);
    setText(this.#part(".unstable"), unstable || (stable ? "" : "…"));
  }

  async #copy(button) {
    const label = button.textContent;
    try {
      await navigator.clipboard.writeText(toText(this.segments));
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => (button.textContent = label), COPIED_MS);
  }

  #download(extension) {
    const { render, type } = FORMATS[extension];
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([render(this.segments)], { type: `${type};charset=utf-8` }));
    link.download = `${this.#title.replace(/\.[^.]{1,5}$/, "").replace(/[\\/:*?"<>|]+/g, "-")}.${extension}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href));
  }

  #part(selector) {
    return this.element.querySelector(selector);
  }
}

/** A line of a final; `before` is any line that there is: only one of them is a stop of the Tab key. */
function line(segment, before) {
  const item = document.createElement("li");
  item.className = "line";
  item.tabIndex = before ? -1 : 0;
  const text = document.createElement("p");
  if (segment.language) text.lang = segment.language;
  text.append(...pieces(segment.text, segment.words).map(piece));
  item.append(time(segment.start_s), text);
  return item;
}

function piece({ text, word }) {
  if (!word) return text;
  const span = document.createElement("span");
  span.className = "word";
  span.tabIndex = -1;
  span.textContent = text;
  span.dataset.start = word.start_s;
  span.dataset.end = word.end_s;
  return span;
}

function time(seconds) {
  const element = document.createElement("time");
  element.dateTime = `PT${seconds}S`;
  element.textContent = shortClock(seconds);
  return element;
}

/** Only what differs: a reader may be selecting. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
