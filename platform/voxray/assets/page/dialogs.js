/** Questions in a dialog of the page; Escape and Cancel answer none. */

/**
 * Shows `dialog` and waits for its form.
 * @param {HTMLDialogElement} dialog
 * @param {string} sentence what it is about
 * @returns {Promise<FormData | null>} null where it was cancelled
 */
export function ask(dialog, sentence) {
  dialog.querySelector(".about").textContent = sentence;
  const form = dialog.querySelector("form");
  form.reset();
  dialog.returnValue = "";
  dialog.querySelector(".cancel").onclick = () => dialog.close("");
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue ? new FormData(form) : null);
  });
}
