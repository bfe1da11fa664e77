/** The files of a folder, chosen or dropped, with their paths in it. */

const ARCHIVE = /\.(tar\.gz|tgz|tar|zip)$/i;

/**
 * @typedef {object} Picked what a training is to be made of
 * @property {string} name of the folder, or of the archive
 * @property {{path: string, file: File}[]} entries
 * @property {File | null} archive sent as it is
 */

/**
 * What was chosen in an input.
 * @param {FileList} files
 * @returns {Picked | null} null where there are none
 */
export function picked(files) {
  return collected(Array.from(files, (file) => ({ path: file.webkitRelativePath || file.name, file })));
}

/**
 * What was dropped. Call it in the event: its items are gone afterwards.
 * @param {DataTransfer} transfer
 * @returns {Promise<Picked | null>}
 */
export async function dropped(transfer) {
  const entries = Array.from(transfer.items, (item) => item.webkitGetAsEntry()).filter(Boolean);
  return collected((await Promise.all(entries.map(filesBelow))).flat());
}

function collected(all) {
  const entries = all.filter(({ path }) => !path.split("/").some((part) => part.startsWith(".")));
  if (!entries.length) return null;
  const [{ path, file }] = entries;
  if (entries.length === 1 && ARCHIVE.test(path)) return { name: file.name, entries, archive: file };
  const [top, ...below] = path.split("/");
  return { name: below.length ? top : `${entries.length} files`, entries, archive: null };
}

async function filesBelow(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ path: entry.fullPath.slice(1), file }];
  }
  return (await Promise.all((await children(entry)).map(filesBelow))).flat();
}

/** A reader gives up to a hundred entries at a time, and none at the end. */
async function children(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    found.push(...some);
  }
}
