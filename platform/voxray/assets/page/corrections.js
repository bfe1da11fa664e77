/** The page of corrections: clips of what was spoken with a key, to hear and to correct, the least confident first. */

import { Api } from "./api.js";
import { CorrectionCard } from "./correction_card.js";
import { ask } from "./dialogs.js";
import { attempt, notify } from "./notice.js";

const PATH = "v1/corrections";
const UNDO_MS = 8_000;
const REFRESH_MS = 5_000; // while there is nothing to correct
const $ = (id) => document.getElementById(id);

class CorrectionsPage {
  #api = new Api($("key-dialog"));
  #cards = new Map(); // by id
  #held = null; // what was done last, and is not sent yet: it can be undone

  constructor() {
    $("enabled").addEventListener("change", () => attempt(() => this.#enable($("enabled").checked)));
    $("clear").addEventListener("click", () => attempt(() => this.#clear()));
    $("undo").addEventListener("click", () => this.#undo());
    addEventListener("pagehide", () => this.#send().catch(() => {}));
    attempt(() => this.#refresh());
    setInterval(() => document.hidden || this.#cards.size || this.#held || this.#refresh().catch(() => {}), REFRESH_MS);
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
    const about = "Audio and texts are removed from the server, the corrected ones too, and nothing more is recorded.";
    if (!(await ask($("clear-dialog"), about))) return;
    this.#forget();
    this.#show(await this.#api.json(PATH, { method: "DELETE" }));
  }

  // What there is

  #show(listing) {
    const { enabled, data, days, corpus } = listing;
    const held = data.some(({ id }) => id === this.#held?.card.id);
    const pending = listing.pending - held;
    const corrected = listing.corrected + (held && this.#held.saved);
    $("enabled").checked = enabled;
    const kept = `Audio and text are on the server for ${days} ${days === 1 ? "day" : "days"}, and deleted then.`;
    $("retention").textContent = `${kept} The service gives them to this key alone.`;
    $("counts").textContent = `${pending} to correct, ${corrected} corrected`;
    $("clear").hidden = !pending && !corrected;
    $("full").hidden = listing.stored_bytes < 0.95 * listing.max_stored_bytes;
    $("full").textContent = "The room of this key is full: the most confident recordings are deleted for new ones.";
    $("corpus").hidden = !corrected;
    $("corpus").querySelector("code").textContent = corpus;
    $("none-about").textContent = enabled
      ? "What is spoken with this key from now on appears here, in sessions that begin now."
      : "Turn on the switch, and what is spoken with this key appears here.";
    this.#showClips(data.filter(({ id }) => id !== this.#held?.card.id));
  }

  #showClips(clips) {
    const ids = new Set(clips.map(({ id }) => id));
    for (const [id, card] of this.#cards) if (!ids.has(id)) this.#drop(card);
    for (const [place, clip] of clips.entries()) {
      const card = this.#cards.get(clip.id) ?? this.#add(clip);
      const there = $("cards").children[place];
      if (there !== card.element) $("cards").insertBefore(card.element, there ?? null);
    }
    this.#showEmpty();
  }

  #showEmpty() {
    $("list").hidden = !this.#cards.size;
    $("none").hidden = this.#cards.size > 0;
  }

  #add(clip) {
    const card = new CorrectionCard($("clip"), clip, {
      load: async () => (await this.#api.request(`${PATH}/${clip.id}/audio`)).blob(),
      save: (text) => this.#hold(card, true, { method: "POST", body: JSON.stringify({ text }) }),
      remove: () => this.#hold(card, false, { method: "DELETE" }),
      failed: (error) => notify(error.message),
    });
    this.#cards.set(clip.id, card);
    return card;
  }

  #drop(card) {
    card.close();
    card.element.remove();
    this.#cards.delete(card.id);
  }

  // What is done with it

  /** Takes the card away and goes on to the next; the service is told when it can be undone no more. */
  #hold(card, saved, options) {
    const sent = this.#send(); // what was done before
    const next = card.element.nextElementSibling;
    const other = next ?? card.element.previousElementSibling;
    this.#cards.delete(card.id);
    card.close();
    card.element.remove();
    const timer = setTimeout(() => attempt(() => this.#settle()), UNDO_MS);
    this.#held = { card, next, saved, options, timer };
    $("undo-about").textContent = `${saved ? "Saved" : "Deleted"}: ${card.text}`;
    $("undo-bar").hidden = false;
    this.#showEmpty();
    this.#cards.get(other?.dataset.id)?.begin();
    attempt(() => this.#settle(sent));
  }

  async #settle(sent = this.#send()) {
    await sent;
    await this.#refresh();
  }

  /** Tells the service what was done last. The request goes on when the page is left. */
  async #send() {
    const held = this.#forget();
    if (!held) return;
    try {
      await this.#api.request(`${PATH}/${held.card.id}`, { ...held.options, keepalive: true });
    } catch (error) {
      if (error.status !== 404) this.#putBack(held);
      throw error;
    }
  }

  #undo() {
    const held = this.#forget();
    if (!held) return;
    this.#putBack(held);
    held.card.begin();
    attempt(() => this.#refresh());
  }

  #putBack({ card, next }) {
    this.#cards.set(card.id, card);
    $("cards").insertBefore(card.element, next?.isConnected ? next : null);
    this.#showEmpty();
  }

  #forget() {
    const held = this.#held;
    clearTimeout(held?.timer);
    this.#held = null;
    $("undo-bar").hidden = true;
    return held;
  }
}

new CorrectionsPage();
