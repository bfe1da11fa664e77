/** A clip to correct: its audio, how confident the model was, and its text. */

/**
 * @typedef {object} Actions
 * @property {() => Promise<Blob>} load the audio
 * @property {(text: string) => void} save
 * @property {() => void} remove
 * @property {(error: Error) => void} failed
 */

export class CorrectionCard {
  #clip;
  #actions;
  #audio;
  #text;

  /** @param {HTMLTemplateElement} template @param {any} clip @param {Actions} actions */
  constructor(template, clip, actions) {
    this.#clip = clip;
    this.#actions = actions;
    this.element = template.content.firstElementChild.cloneNode(true);
    this.element.dataset.id = clip.id;
    this.#audio = this.#find("audio");
    this.#text = this.#find(".text");
    this.#text.value = clip.text;
    this.#find(".clip-about").textContent = about(clip);
    this.#showConfidence(clip.confidence);
    this.#listen();
  }

  get id() {
    return this.#clip.id;
  }

  /** What was typed. */
  get text() {
    return this.#text.value.trim();
  }

  /** Plays the clip, with the text ready for typing. */
  begin() {
    this.#text.focus();
    this.#text.setSelectionRange(this.#text.value.length, this.#text.value.length);
    this.element.scrollIntoView({ block: "nearest" });
    this.#play();
  }

  /** Frees the audio; it is loaded again where it is played again. */
  close() {
    this.#audio.pause();
    if (this.#audio.src) URL.revokeObjectURL(this.#audio.src);
    this.#audio.removeAttribute("src");
  }

  #listen() {
    this.#find(".play").addEventListener("click", () => (this.#audio.paused ? this.#play() : this.#audio.pause()));
    this.#find(".delete").addEventListener("click", () => this.#actions.remove());
    for (const event of ["play", "pause", "ended"]) {
      this.#audio.addEventListener(event, () => {
        this.#find(".play").textContent = this.#audio.paused ? "Play" : "Stop";
      });
    }
    this.#text.addEventListener("keydown", (event) => this.#key(event));
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#actions.save(this.text);
    });
  }

  #key(event) {
    if (event.key === "Escape") this.#text.value = this.#clip.text;
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    if (event.shiftKey) this.#play();
    else this.#submit();
  }

  #submit() {
    if (!this.text) this.#text.value = ""; // for the browser to say that it is required
    this.element.requestSubmit();
  }

  async #play() {
    try {
      if (!this.#audio.src) this.#audio.src = URL.createObjectURL(await this.#actions.load());
      this.#audio.currentTime = 0;
      await this.#audio.play();
    } catch (error) {
      if (error.name !== "AbortError") this.#actions.failed(error); // the card was left meanwhile
    }
  }

  #showConfidence(confidence) {
    const element = this.#find(".confidence");
    element.querySelector("meter").value = confidence ?? 0;
    element.querySelector("span").textContent =
      confidence === null ? "confidence not known" : `${Math.round(100 * confidence)} % confident`;
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }
}

function about({ duration_s: duration, created_at: created, language }) {
  const when = new Date(created * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  return [`${duration.toFixed(1)} s`, ...(language ? [language] : []), when].join(" · ");
}
