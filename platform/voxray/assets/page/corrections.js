/** The page of corrections: what was said with a key, to hear and to correct, the least certain first. */

import { Api } from "./api.js";
import { ask } from "./dialogs.js";

const PATH = "v1/corrections";
const $ = (id) => document.getElementById(id);

class CorrectionsPage {
  #api = new Api($("key-dialog"));
  #urls = new Map(); // of the audio that was loaded, by id

  constructor() {
    $("enabled").addEventListener("change", () => this.#attempt(() => this.#enable($("enabled").checked)));
    $("clear").addEventListener("click", () => this.#attempt(() => this.#clear()));
    this.#attempt(() => this.#refresh());
  }

  async #refresh() {
    this.#show(await this.#api.json(PATH));
  }

  async #enable(enabled) {
    try {
      this.#show(await this.#api.json(PATH, { method: "POST", body: JSON.stringify({ enabled }) }));
    } catch (error) {
      $("enabled").checked = !enabled;
      throw error;
    }
  }

  async #clear() {
    const about = "Audio and texts are removed from the server, those that were accepted too.";
    if (await ask($("clear-dialog"), about)) this.#show(await this.#api.json(PATH, { method: "DELETE" }));
  }

  #show({ enabled, data, waiting, accepted, days, corpus }) {
    $("enabled").checked = enabled;
    $("kept-for").textContent = `Both are deleted after ${days} ${days === 1 ? "day" : "days"}.`;
    $("counts").textContent = `${waiting} to correct, ${accepted} accepted${accepted ? `, in ${corpus}` : ""}.`;
    $("clear").hidden = !waiting && !accepted;
    $("none").hidden = data.length > 0;
    const shown = new Set(data.map(({ id }) => id));
    for (const card of [...$("corrections").children]) if (!shown.has(card.dataset.id)) this.#drop(card);
    const known = new Set(Array.from($("corrections").children, (card) => card.dataset.id));
    $("corrections").append(...data.filter(({ id }) => !known.has(id)).map((kept) => this.#card(kept)));
  }

  #card(kept) {
    const card = $("correction").content.firstElementChild.cloneNode(true);
    card.dataset.id = kept.id;
    card.querySelector(".clip-about").textContent = about(kept);
    card.querySelector(".text").value = kept.text;
    card.querySelector(".play").addEventListener("click", () => this.#attempt(() => this.#play(card)));
    card.querySelector(".discard").addEventListener("click", () => this.#attempt(() => this.#settle(card, { method: "DELETE" })));
    card.addEventListener("submit", (event) => {
      event.preventDefault();
      const body = JSON.stringify({ text: card.querySelector(".text").value });
      this.#attempt(() => this.#settle(card, { method: "POST", body }));
    });
    card.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) card.requestSubmit();
    });
    return card;
  }

  async #play(card) {
    const { id } = card.dataset;
    const audio = card.querySelector("audio");
    if (!this.#urls.has(id)) {
      const blob = await (await this.#api.request(`${PATH}/${id}/audio`)).blob();
      this.#urls.set(id, (audio.src = URL.createObjectURL(blob)));
    }
    audio.currentTime = 0;
    await audio.play();
  }

  /** Accepts or discards, and goes on to the next. */
  async #settle(card, options) {
    await this.#api.request(`${PATH}/${card.dataset.id}`, options);
    const next = card.nextElementSibling ?? card.previousElementSibling;
    this.#drop(card);
    next?.querySelector(".text").focus();
    await this.#refresh();
  }

  #drop(card) {
    URL.revokeObjectURL(this.#urls.get(card.dataset.id));
    this.#urls.delete(card.dataset.id);
    card.remove();
  }

  async #attempt(action) {
    $("notice").hidden = true;
    try {
      await action();
    } catch (error) {
      $("notice").textContent = error.message;
      $("notice").hidden = false;
    }
  }
}

function about({ certainty, duration_s: duration, created_at: created, language }) {
  const when = new Date(created * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const known = certainty === null ? [] : [`${Math.round(100 * certainty)} % certain`];
  return [...known, `${duration.toFixed(1)} s`, ...(language ? [language] : []), when].join(" · ");
}

new CorrectionsPage();
