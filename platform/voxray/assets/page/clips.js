/** The worst clips of a training, to hear and to read. */

/**
 * Shows `clips` in `list`, and returns the URLs of their audio, which are to be revoked once it is gone.
 * @param {HTMLElement} list
 * @param {HTMLTemplateElement} template
 * @param {any[]} clips
 * @returns {string[]}
 */
export function showClips(list, template, clips) {
  const urls = [];
  list.replaceChildren(
    ...clips.map((clip) => {
      const item = template.content.firstElementChild.cloneNode(true);
      item.querySelector(".clip-id").textContent = clip.id;
      item.querySelector(".clip-about").textContent = [clip.duration, clip.speaker].filter(Boolean).join(" · ");
      item.querySelector(".reference").textContent = clip.reference;
      item.querySelector(".hypotheses").replaceChildren(...clip.hypotheses.flatMap(hypothesis));
      const audio = item.querySelector("audio");
      audio.hidden = !clip.audio;
      if (clip.audio) urls.push((audio.src = URL.createObjectURL(decoded(clip.audio))));
      return item;
    }),
  );
  return urls;
}

function hypothesis({ name, wer, edits }) {
  const [term, text] = [document.createElement("dt"), document.createElement("dd")];
  term.textContent = `${name}, ${wer} %`;
  text.append(...edits.flatMap((edit) => [...words(edit), " "]));
  return [term, text];
}

function words({ kind, reference, hypothesis: heard }) {
  if (kind === "equal") return [heard];
  const sides = [...(reference ? [["del", reference]] : []), ...(heard ? [["ins", heard]] : [])];
  return sides.flatMap(([name, text]) => {
    const element = document.createElement(name);
    element.textContent = text;
    return [element, " "];
  });
}

/** The bytes of a data: URI; the page's policy lets no such URI play. */
function decoded(uri) {
  const [head, code] = uri.split(",");
  const bytes = Uint8Array.from(atob(code), (character) => character.charCodeAt(0));
  return new Blob([bytes], { type: head.slice("data:".length).split(";")[0] });
}
