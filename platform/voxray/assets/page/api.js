/** Requests to the service, with the key that it asks for. */

import { ask } from "./dialogs.js";
import { eventsOf } from "./events.js";

const KEY = "voxray.key"; // in sessionStorage, as on the live page: gone with the tab
const LONGEST_WAIT_MS = 10_000;
const FINAL = new Set(["succeeded", "failed", "cancelled"]);

/** A request was refused, or there was no answer. The message is for people. */
export class RequestError extends Error {
  /** @param {string} message @param {number} status 0 where there was no answer */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export class Api {
  #dialog;
  #asking = null;

  /** @param {HTMLDialogElement} dialog asks for the key */
  constructor(dialog) {
    this.#dialog = dialog;
  }

  /**
   * The response to a request, once a key is accepted. Rejects with a RequestError.
   * @param {string} path
   * @param {RequestInit} [options]
   * @returns {Promise<Response>}
   */
  async request(path, options = {}) {
    for (;;) {
      const key = sessionStorage.getItem(KEY);
      const response = await fetch(path, { ...options, headers: authorization(key) }).catch((error) => {
        if (options.signal?.aborted) throw error;
        throw new RequestError("The service cannot be reached.", 0);
      });
      if (response.ok) return response;
      const failed = refusal(response.status, await response.text());
      if (response.status !== 401) throw failed;
      await this.#newKey(key, failed);
    }
  }

  /** As `request`, its JSON. @param {string} path @param {RequestInit} [options] */
  async json(path, options) {
    return (await this.request(path, options)).json();
  }

  /**
   * Posts a form, whose upload takes a while.
   * @param {string} path
   * @param {FormData} form
   * @param {(fraction: number) => void} onSent
   * @param {AbortSignal} signal
   * @returns {Promise<any>} the JSON of the response
   */
  async upload(path, form, onSent, signal) {
    for (;;) {
      const key = sessionStorage.getItem(KEY);
      const { status, text } = await sent(path, form, authorization(key), onSent, signal);
      if (status >= 200 && status < 300) return JSON.parse(text);
      if (status !== 401) throw refusal(status, text);
      await this.#newKey(key, refusal(status, text));
    }
  }

  /**
   * Yields a training each time that it changes, until it has ended or `signal` aborts. Lost connections are
   * made again. Rejects where the training is no more.
   * @param {string} path of the training
   * @param {AbortSignal} signal
   */
  async *watch(path, signal) {
    for (let waitMs = 1000; !signal.aborted; waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)) {
      try {
        const { body } = await this.request(`${path}/events`, { signal });
        for await (const training of eventsOf(body)) {
          waitMs = 1000;
          yield training;
          if (FINAL.has(training.status)) return;
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error.status === 404) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }

  /** Asks for a key, once for all requests that were refused; another one may have come meanwhile. */
  async #newKey(refused, failed) {
    if (sessionStorage.getItem(KEY) !== refused) return;
    this.#asking ??= ask(this.#dialog, failed.message).finally(() => (this.#asking = null));
    const answer = await this.#asking;
    if (!answer) throw failed;
    sessionStorage.setItem(KEY, answer.get("key"));
  }
}

/** Whether a training with this status never changes again. @param {string} status */
export function hasEnded(status) {
  return FINAL.has(status);
}

function authorization(key) {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

function refusal(status, text) {
  let message = `The service answered with status ${status}.`;
  try {
    message = JSON.parse(text).error.message;
  } catch {
    // a proxy's page
  }
  return new RequestError(message.charAt(0).toUpperCase() + message.slice(1), status);
}

/** By XMLHttpRequest: fetch does not say how much was sent. */
function sent(path, form, headers, onSent, signal) {
  const request = new XMLHttpRequest();
  return new Promise((resolve, reject) => {
    request.open("POST", path);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => onSent(loaded / total);
    request.onload = () => resolve({ status: request.status, text: request.responseText });
    request.onerror = () => reject(new RequestError("The service cannot be reached.", 0));
    request.onabort = () => reject(signal.reason);
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}
