/** The line of a page that says what went wrong, or what it is about. */

const notice = document.getElementById("notice");

/** @param {string | null} sentence null hides the line */
export function notify(sentence) {
  notice.textContent = sentence ?? "";
  notice.hidden = !sentence;
  if (sentence) notice.scrollIntoView({ block: "nearest" });
}

/** Does `action`; where that fails, the page says why. */
export async function attempt(action) {
  notify(null);
  try {
    await action();
  } catch (error) {
    notify(error.message);
  }
}
