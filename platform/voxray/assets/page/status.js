/** What a conversation's state is called. */

const TOLD_LAG_S = 3;

/**
 * The state in a word, and what changes by the second.
 * @param {import("./conversation.js").Conversation | null} conversation
 * @param {{now: number, file: boolean, opening: boolean}} context `file`: not live, but as fast as it goes
 * @returns {{state: string, label: string, detail: string}}
 */
export function describe(conversation, { now, file, opening }) {
  if (opening) return { state: "connecting", label: "Opening", detail: "" };
  switch (conversation?.phase) {
    case "connecting":
      return { state: "connecting", label: "Connecting", detail: "" };
    case "waiting":
      if (conversation.rests) return { state: "waiting", label: "Paused", detail: "" };
      return { state: "waiting", label: "Reconnecting", detail: `in ${wait(conversation, now)} s` };
    case "locked":
      return { state: "waiting", label: "Key needed", detail: "" };
    case "failed":
      return { state: "stopped", label: "Stopped", detail: "" };
    case "live":
      return live(conversation, file);
    default:
      return { state: "idle", label: "Ready", detail: "" };
  }
}

function live(conversation, file) {
  if (file) return { state: "live", label: "Transcribing", detail: `${percent(conversation)} %` };
  if (conversation.ended) return { state: "live", label: "Finishing", detail: "" };
  const lag = Math.round(conversation.lagS);
  return { state: "live", label: "Live", detail: lag >= TOLD_LAG_S ? `lagging by ${lag} s` : "" };
}

function wait({ retryAt }, now) {
  return Math.max(1, Math.ceil(retryAt - now));
}

function percent({ processedS, lengthS }) {
  return lengthS ? Math.min(100, Math.floor((100 * processedS) / lengthS)) : 0;
}
