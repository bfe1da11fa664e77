/** The page: its controls, and what they start. */

import { seconds } from "./connection.js";
import { ask } from "./dialogs.js";
import { Following } from "./following.js";
import { Meter } from "./meter.js";
import { devices, unavailable } from "./microphone.js";
import { Reading } from "./reading.js";
import { FileRun, MicrophoneRun } from "./runs.js";
import { describe } from "./status.js";
import { Transcript } from "./transcript.js";

const KEY = "voxray.key"; // in sessionStorage: gone with the tab
const MOST_LAG_S = 600; // of a microphone; it is kept in memory
const $ = (id) => document.getElementById(id);

class Page {
  #run = null; // what is transcribed
  #failed = null; // the conversation that ended badly, until the next begins
  #opening = false; // permission is asked for, or a file is decoded
  #queue = []; // {file, recording}
  #asking = false;
  #meter = new Meter($("meter"));
  #following = new Following($("jump"));
  #transcript = new Transcript($("transcript"), $("recording"), () => this.#grown());

  constructor() {
    new Reading($("transcript"), $("tip"));
    $("main").addEventListener("click", () => this.#main());
    $("pick").addEventListener("click", () => $("files").click());
    $("files").addEventListener("change", () => this.#picked());
    $("clear").addEventListener("click", () => this.#clear());
    $("device").addEventListener("change", () => this.#device());
    navigator.mediaDevices?.addEventListener("devicechange", () => this.#listDevices());
    addEventListener("beforeunload", (event) => this.#run && event.preventDefault());
    this.#acceptDrops();
    this.#offerModel(new URLSearchParams(location.search).get("model"));
    this.#notice(unavailable());
    this.#grown();
    this.#show();
  }

  // What is transcribed

  async #main() {
    if ($("main").ariaDisabled === "true") return;
    if (!this.#run) await this.#startMicrophone();
    else if (this.#run?.file || this.#run?.conversation.ended) this.#giveUp();
    else await this.#stopMicrophone();
  }

  async #startMicrophone() {
    const desk = {
      level: (level) => this.#meter.show(level),
      gone: () => this.#stopMicrophone("The microphone was disconnected."),
      interrupted: (reason) => {
        this.#notice(reason);
        if (reason) this.#meter.clear();
      },
      recording: () => this.#transcript.add(`Microphone ${timeOfDay()}`),
    };
    this.#notice(null);
    const opening = MicrophoneRun.open($("device").value, this.#terms(), desk);
    await this.#open(opening, (sentence) => this.#notice(sentence));
    await this.#listDevices();
  }

  async #stopMicrophone(notice = null) {
    this.#notice(notice);
    await this.#run?.stop();
    this.#meter.clear();
  }

  #giveUp() {
    for (const { recording } of this.#queue.splice(0)) recording.note("not transcribed");
    this.#run?.abandon();
  }

  async #nextFile() {
    if (this.#run || this.#opening || !this.#queue.length) return;
    const { file, recording } = this.#queue.shift();
    recording.note("reading");
    await this.#open(FileRun.open(file, this.#terms(), recording), (sentence) => recording.note(sentence));
    this.#nextFile();
  }

  /** Takes the run that `opening` gives; where there is none, `complain` gets the reason. */
  async #open(opening, complain) {
    this.#opening = true;
    this.#failed = null;
    this.#show();
    try {
      this.#run = await opening;
    } catch (error) {
      complain(error.message);
    }
    this.#opening = false;
    this.#changed();
  }

  #terms() {
    return {
      language: $("language").value.trim().toLowerCase() || null,
      model: $("model").value.trim() || null,
      key: () => sessionStorage.getItem(KEY),
      changed: () => this.#changed(),
    };
  }

  /** The run's state changed, or its numbers. */
  #changed() {
    const run = this.#run;
    if (run) {
      run.recording.length(run.conversation.lengthS);
      run.recording.note("");
      if (run.conversation.phase === "locked") this.#askKey(run);
      if (run.conversation.over) this.#ended(run);
      else if (!run.file && !run.conversation.ended && run.conversation.lagS > MOST_LAG_S)
        this.#stopMicrophone("The service is ten minutes behind, so recording stopped; what was said still comes.");
    }
    this.#show();
  }

  #ended(run) {
    this.#run = null;
    if (run.conversation.phase === "failed") {
      this.#failed = run.conversation;
      this.#notice(run.conversation.reason);
    }
    run.abandon();
    run.recording.close();
    this.#meter.clear();
    this.#nextFile();
  }

  async #askKey(run) {
    if (this.#asking) return;
    this.#asking = true;
    const answer = await ask($("key-dialog"), run.conversation.reason);
    this.#asking = false;
    if (!answer) return this.#giveUp();
    sessionStorage.setItem(KEY, answer.get("key"));
    run.retry();
  }

  // Files and devices

  #picked() {
    this.#add($("files").files);
    $("files").value = "";
  }

  #add(files) {
    for (const file of files) {
      const recording = this.#transcript.add(file.name);
      recording.note("waiting");
      this.#queue.push({ file, recording });
    }
    this.#nextFile();
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
      this.#add(event.dataTransfer.files);
    });
  }

  async #device() {
    try {
      if (this.#run && !this.#run.file && !this.#run.conversation.ended) await this.#run.use($("device").value);
    } catch (error) {
      this.#notice(error.message);
    }
  }

  /** Shows which model is used where the page's address names one, as that of a training does. */
  #offerModel(model) {
    $("model").value = model ?? "";
    $("model-field").hidden = !model;
  }

  async #listDevices() {
    const found = await devices();
    const chosen = $("device").value;
    $("device").replaceChildren(...found.map(({ id, name }) => new Option(name, id, false, id === chosen)));
    $("device-field").hidden = !found.length;
  }

  // What is shown

  async #clear() {
    const { lines } = this.#transcript;
    const about = `${lines} ${lines === 1 ? "line goes" : "lines go"}, and cannot be brought back.`;
    if (lines && !(await ask($("clear-dialog"), about))) return;
    const running = this.#queue.map(({ recording }) => recording);
    this.#transcript.clear(this.#run ? [this.#run.recording, ...running] : running);
  }

  #grown() {
    $("empty").hidden = !this.#transcript.empty;
    $("clear").hidden = this.#transcript.empty;
    this.#following.grown();
  }

  #notice(sentence) {
    $("notice").textContent = sentence ?? "";
    $("notice").hidden = !sentence;
  }

  #show() {
    const conversation = this.#run?.conversation ?? null;
    const file = this.#run?.file ?? false;
    const context = { now: seconds(), file, opening: this.#opening };
    const { state, label, detail } = describe(conversation ?? this.#failed, context);
    $("state").dataset.state = state;
    if ($("state-label").textContent !== label) $("state-label").textContent = label;
    $("state-detail").textContent = detail;
    this.#showMain(conversation, file);
  }

  #showMain(conversation, file) {
    const finishing = Boolean(conversation?.ended && !file);
    const patient = finishing && conversation.phase === "live"; // the last words come within seconds
    const idle = !conversation;
    $("main").textContent = idle ? "Start" : patient ? "Finishing" : finishing ? "Give up" : "Stop";
    $("main").classList.toggle("running", !idle);
    // Not `disabled`, which would take the focus from whoever pressed it.
    $("main").ariaDisabled = String(this.#opening || patient || (idle && unavailable() !== null));
  }
}

function timeOfDay() {
  return new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
}

new Page();
