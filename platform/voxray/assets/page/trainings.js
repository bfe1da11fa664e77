/** The page of trainings: a form that makes one, and those that there are. */

import { Api, hasEnded } from "./api.js";
import { showClips } from "./clips.js";
import { ask } from "./dialogs.js";
import { dropped, picked } from "./dropped.js";
import { attempt, notify } from "./notice.js";
import { targz } from "./tar.js";
import { modelName, TrainingCard } from "./training_card.js";

const URL_ = "v1/trainings";
const STREAMS = 4; // a browser makes six connections to a server
const REFRESH_MS = 10_000;
const KINDS = {
  finetune: { length: ["max_steps", "Steps"], model: "Model", about: "Learns your words and voices from clips with texts." },
  adapt: {
    length: ["epochs", "Epochs"],
    model: "Model",
    about: "Makes the model transcribe short windows as well as long ones; clips need no texts.",
  },
  distil: {
    length: ["max_steps", "Steps"],
    model: "Teacher",
    about: "Makes a smaller and faster model that transcribes as its teacher does; clips need no texts.",
  },
};
const $ = (id) => document.getElementById(id);

class TrainingsPage {
  #api = new Api($("key-dialog"));
  #cards = new Map(); // by id
  #watched = new Map(); // their controllers, by id
  #picked = null;
  #sending = null; // its controller

  constructor() {
    $("pick-folder").addEventListener("click", () => $("folder").click());
    $("pick-archive").addEventListener("click", () => $("archive").click());
    for (const id of ["folder", "archive"]) {
      $(id).addEventListener("change", () => {
        this.#pick(picked($(id).files));
        $(id).value = "";
      });
    }
    $("kind").addEventListener("change", () => this.#kind());
    $("corpus").addEventListener("change", () => $("corpus").value && this.#pick(null));
    $("new").addEventListener("submit", (event) => {
      event.preventDefault();
      attempt(() => this.#submit());
    });
    $("stop-sending").addEventListener("click", () => this.#sending?.abort());
    for (const name of ["report", "clips", "deploy"]) $(`close-${name}`).addEventListener("click", () => $(`${name}-dialog`).close());
    addEventListener("beforeunload", (event) => this.#sending && event.preventDefault());
    this.#acceptDrops();
    this.#kind();
    attempt(() => this.#refresh());
    setInterval(() => document.hidden || this.#refresh().catch(() => {}), REFRESH_MS);
  }

  // A new one

  #pick(found) {
    this.#picked = found;
    $("well").classList.toggle("full", Boolean(found));
    if (found) $("corpus").value = "";
    const bytes = found?.entries.reduce((sum, { file }) => sum + file.size, 0);
    $("picked").textContent = found
      ? `${found.name}: ${found.archive ? "an archive" : count(found.entries.length, "file")}, ${size(bytes)}`
      : "Drop a folder or an archive here: audio with a .txt beside each file, or a table.";
  }

  #kind() {
    const { length, model, about } = KINDS[$("kind").value];
    $("length-label").textContent = length[1];
    $("model-label").textContent = model;
    $("kind-about").textContent = about;
  }

  async #submit() {
    if (this.#sending) return;
    if (!this.#picked && !$("corpus").value) throw new Error("Choose a folder or an archive first.");
    const form = this.#form();
    this.#sending = new AbortController();
    this.#showSending("");
    try {
      if (this.#picked) form.append("data", await this.#packed(), "data.tar.gz");
      const onSent = (fraction) => this.#showSending(`Sending, ${Math.floor(100 * fraction)} %`, fraction);
      const training = await this.#api.upload(URL_, form, onSent, this.#sending.signal);
      this.#pick(null);
      this.#show(training, true);
    } catch (error) {
      if (!this.#sending.signal.aborted) throw error;
    } finally {
      this.#sending = null;
      this.#showSending("");
    }
  }

  #form() {
    const form = new FormData();
    const [length] = KINDS[$("kind").value].length;
    const lines = $("keys").value.split("\n").map((line) => line.trim());
    for (const line of lines.filter(Boolean)) {
      const [key, ...value] = line.split("=");
      if (!value.length) throw new Error(`Expected key=value on each line, got ${line}.`);
      form.append(key.trim(), value.join("=").trim());
    }
    form.append("kind", $("kind").value);
    if ($("model").value) form.append("model", $("model").value);
    if ($("length").value.trim()) form.append(length, $("length").value.trim());
    if (!this.#picked) form.append("corpus", $("corpus").value);
    return form;
  }

  async #packed() {
    const { archive, entries } = this.#picked;
    if (archive) return archive;
    const all = entries.reduce((sum, { file }) => sum + file.size, 0) || 1;
    const onRead = (read) => this.#showSending(`Packing, ${Math.floor((100 * read) / all)} %`, read / all);
    return targz(entries, onRead, this.#sending.signal);
  }

  #showSending(label, fraction = 0) {
    const sending = Boolean(this.#sending);
    $("start").ariaDisabled = String(sending);
    $("sending").hidden = $("stop-sending").hidden = !sending;
    $("sending").value = 100 * fraction;
    if (fraction === 1) $("sending-label").textContent = "The service checks it";
    else $("sending-label").textContent = label;
  }

  #acceptDrops() {
    const dropping = (event, on) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      document.body.classList.toggle("dropping", on);
    };
    addEventListener("dragover", (event) => dropping(event, true));
    addEventListener("dragleave", (event) => event.relatedTarget === null && dropping(event, false));
    addEventListener("drop", (event) => {
      dropping(event, false);
      const found = dropped(event.dataTransfer);
      attempt(async () => this.#pick(await found));
    });
  }

  // Those that there are

  async #refresh() {
    const { data, models, corpora } = await this.#api.json(URL_);
    if (!$("model").options.length) this.#offer(models, corpora);
    const ids = new Set(data.map(({ id }) => id));
    for (const id of this.#cards.keys()) if (!ids.has(id)) this.#drop(id);
    for (const [place, training] of data.entries()) {
      const card = this.#show(training);
      const there = $("trainings").children[place];
      if (there !== card) $("trainings").insertBefore(card, there ?? null);
    }
    $("none").hidden = data.length > 0;
  }

  #offer(models, corpora) {
    $("model").replaceChildren(...models.map((model) => new Option(modelName(model), model)));
    $("corpus").replaceChildren(new Option("none", ""), ...corpora.map((corpus) => new Option(corpus)));
    $("corpus-field").hidden = !corpora.length;
  }

  /** @returns {HTMLElement} the training's card */
  #show(training, first = false) {
    let card = this.#cards.get(training.id);
    if (!card) {
      card = new TrainingCard($("training"), this.#actions());
      this.#cards.set(training.id, card);
      $("trainings")[first ? "prepend" : "append"](card.element);
      $("none").hidden = true;
    }
    card.update(training);
    if (!hasEnded(training.status)) this.#watch(training.id);
    return card.element;
  }

  async #watch(id) {
    if (this.#watched.has(id) || this.#watched.size >= STREAMS) return;
    const controller = new AbortController();
    this.#watched.set(id, controller);
    try {
      for await (const training of this.#api.watch(`${URL_}/${id}`, controller.signal)) {
        this.#cards.get(id)?.update(training);
      }
    } catch (error) {
      if (error.status === 404) this.#drop(id); // it was deleted elsewhere
    }
    this.#watched.delete(id);
  }

  #drop(id) {
    this.#watched.get(id)?.abort();
    this.#cards.get(id)?.element.remove();
    this.#cards.delete(id);
    $("none").hidden = this.#cards.size > 0;
  }

  #actions() {
    const attempted = (action) => (...given) => attempt(() => action(...given));
    return {
      listen: attempted((training) => this.#listen(training)),
      report: attempted((training) => this.#report(training)),
      deploy: (training) => this.#deploy(training),
      download: attempted((training, format) => this.#download(training, format)),
      cancel: attempted(async ({ id }) => this.#show(await this.#api.json(`${URL_}/${id}/cancel`, { method: "POST" }))),
      remove: attempted((training) => this.#remove(training)),
    };
  }

  async #listen({ id }) {
    const { data } = await this.#api.json(`${URL_}/${id}/clips`);
    const urls = showClips($("clips"), $("clip"), data);
    $("clips-title").textContent = data.length ? "Worst clips" : "No clip was wrong";
    $("clips-dialog").onclose = () => {
      $("clips").replaceChildren();
      urls.forEach((url) => URL.revokeObjectURL(url));
    };
    $("clips-dialog").showModal();
  }

  #deploy({ id }) {
    $("deploy-start").textContent = `{"type": "start", "model": "${id}"}`;
    $("deploy-key").textContent = `KEY ${id}`;
    $("deploy-try").href = `./?model=${encodeURIComponent(id)}`;
    $("deploy-dialog").showModal();
  }

  async #report({ id }) {
    const html = await (await this.#api.request(`${URL_}/${id}/report`)).text();
    const frame = $("report");
    frame.onload = () => {
      frame.onload = null;
      frame.contentWindow.postMessage(html, "*"); // the frame is sandboxed: it has no origin
    };
    frame.src = "assets/viewer.html";
    $("report-dialog").onclose = () => frame.removeAttribute("src");
    $("report-dialog").showModal();
  }

  async #download({ id }, format) {
    notify("The model is being packed.");
    const blob = await (await this.#api.request(`${URL_}/${id}/model?format=${format}`)).blob();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${id}-${format}.tar.gz`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), REFRESH_MS);
    notify(null);
  }

  async #remove(training) {
    const about = "Its data and its model are removed from the server, and cannot be brought back.";
    if (!(await ask($("delete-dialog"), about))) return;
    await this.#api.request(`${URL_}/${training.id}`, { method: "DELETE" });
    this.#drop(training.id);
  }
}

function count(number, noun) {
  return `${number.toLocaleString()} ${noun}${number === 1 ? "" : "s"}`;
}

function size(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

new TrainingsPage();
