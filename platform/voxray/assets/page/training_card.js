/** A training on the page: updated in place, so that the focus stays where it is. */

import { hasEnded } from "./api.js";

const KINDS = { finetune: "Fine-tuning", adapt: "Adapting", distil: "Distilling" };

/**
 * @typedef {object} Actions each is called with the training
 * @property {(training: any) => void} listen
 * @property {(training: any) => void} report
 * @property {(training: any) => void} deploy
 * @property {(training: any, format: string) => void} download
 * @property {(training: any) => void} cancel
 * @property {(training: any) => void} remove
 */

export class TrainingCard {
  #actions;
  #training;

  /** @param {HTMLTemplateElement} template @param {Actions} actions */
  constructor(template, actions) {
    this.#actions = actions;
    this.element = template.content.firstElementChild.cloneNode(true);
    for (const [name, action] of [
      ["listen", "listen"],
      ["report", "report"],
      ["deploy", "deploy"],
      ["cancel-training", "cancel"],
      ["delete", "remove"],
    ]) {
      this.#find(name).addEventListener("click", () => actions[action](this.#training));
    }
  }

  /** Shows what is known of the training now. @param {any} training */
  update(training) {
    this.#training = training;
    const ended = hasEnded(training.status);
    this.element.dataset.status = training.status;
    this.element.dataset.id = training.id;
    this.element.querySelector("h3").textContent = `${KINDS[training.kind]} ${modelName(training.model)}`;
    this.element.querySelector("progress").value = training.percent;
    this.#text("status-label", capitalised(training.status));
    this.#text("phase", ended ? duration(training) : phase(training));
    this.#text("left", ended ? "" : timeLeft(training.left_s));
    this.#text("error", training.error ?? "");
    this.#find("error").hidden = !training.error;
    this.#text("identity", identity(training));
    this.#wers(training);
    this.#buttons(training, ended);
  }

  #wers({ wer_before: before, wer, status }) {
    const change = wer - before;
    this.element.querySelector(".wers").hidden = before === null;
    if (before === null) return;
    this.#text("before", `${before.toFixed(1)} %`);
    this.#text("now", `${wer.toFixed(1)} %`);
    this.#text("now-label", status === "succeeded" ? "WER after" : "WER so far");
    this.#text("change", `${change < 0 ? "−" : "±"}${Math.abs(change).toFixed(1)}`);
    this.#find("change").classList.toggle("better", change < 0);
  }

  #buttons(training, ended) {
    const done = training.status === "succeeded";
    this.#find("listen").hidden = this.#find("report").hidden = !done;
    this.#find("deploy").hidden = !training.formats.includes("ct2"); // the one that is served
    this.#find("cancel-training").hidden = ended;
    this.#find("board").hidden = !training.tensorboard_url || !training.started_at;
    if (training.tensorboard_url) this.#find("board").href = training.tensorboard_url;
    this.#find("downloads").hidden = !training.formats.length;
    const names = training.formats.join();
    if (this.#find("formats").dataset.names === names) return;
    this.#find("formats").dataset.names = names;
    this.#find("formats").replaceChildren(...training.formats.map((format) => this.#download(format)));
  }

  #download(format) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "link";
    button.textContent = format;
    button.ariaLabel = `Download the model as ${format}`;
    button.addEventListener("click", () => this.#actions.download(this.#training, format));
    return button;
  }

  #find(name) {
    return this.element.querySelector(`.${name}`);
  }

  #text(name, text) {
    const element = this.#find(name);
    if (element.textContent !== text) element.textContent = text; // or a screen reader reads it again
  }
}

/** Seconds for people. @param {number} seconds @returns {string} */
export function spoken(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** The last part of a model's path, or its name. @param {string} model @returns {string} */
export function modelName(model) {
  return model.split("/").filter(Boolean).at(-1) ?? model;
}

function phase({ status, progress, percent }) {
  if (status === "queued") return capitalised(progress.replace(/^queued: /, ""));
  return percent ? `${capitalised(progress)} · ${Math.floor(percent)} %` : capitalised(progress);
}

function timeLeft(seconds) {
  return seconds === null ? "" : `about ${spoken(seconds)} left`;
}

function duration({ started_at: started, ended_at: ended }) {
  return started && ended ? `Took ${spoken(ended - started)}` : "";
}

function identity({ id, created_at: created, keys, corpus }) {
  const when = new Date(created * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const given = Object.entries(keys).map(([key, value]) => `${key}=${value}`);
  return [when, ...(corpus ? [corpus] : []), ...given, id].join(" · ");
}

function capitalised(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
