// Files that the visitor drops or chooses, folders with all that is in them.

const MOST = 1000; // files that the worker takes at once

/** @returns {Promise<{path: string, file: File}[]>} the files of a drop, by their paths */
export async function dropped(transfer) {
  const entries = [...transfer.items].filter((i) => i.kind === 'file').map((i) => i.webkitGetAsEntry?.() ?? null);
  if (!entries.length || entries.some((e) => !e)) return [...transfer.files].map((file) => ({ path: file.name, file }));
  const out = [];
  for (const e of entries) await walk(e, out);
  return out;
}

async function walk(entry, out) {
  if (out.length >= MOST) throw new Error(`More than ${MOST} files are more than can be dropped at once: drop one model.`);
  const path = entry.fullPath.replace(/^\//, '');
  if (entry.isFile) {
    out.push({ path, file: await new Promise((yes, no) => entry.file(yes, no)) });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((yes, no) => reader.readEntries(yes, no)); // 100 at a time
    if (!some.length) return;
    for (const e of some) await walk(e, out);
  }
}

/** The files of an input, by their paths. */
export const chosen = (input) => [...input.files].map((file) => ({ path: file.webkitRelativePath || file.name, file }));

/** Lets files be dropped on an element. */
export function droppable(element, take) {
  let depth = 0; // dragenter and dragleave come for each child
  const over = (on) => element.classList.toggle('over', on);
  const files = (e) => e.dataTransfer?.types.includes('Files');
  element.addEventListener('dragenter', (e) => { if (files(e)) { depth++; over(true); } });
  element.addEventListener('dragleave', () => { if (--depth <= 0) { depth = 0; over(false); } });
  element.addEventListener('dragover', (e) => { if (files(e)) { e.preventDefault(); e.dataTransfer.dropEffect = 'copy'; } });
  element.addEventListener('drop', async (e) => {
    if (!files(e)) return;
    e.preventDefault();
    e.stopPropagation();
    depth = 0;
    over(false);
    take(dropped(e.dataTransfer));
  });
}

/** The name of what was dropped: of its folder, or of its only file without the ending. */
export function nameOfFiles(files) {
  const first = files[0]?.path ?? '';
  if (first.includes('/')) return first.split('/')[0];
  return files.length === 1 ? first.replace(/\.(zip|gguf|txt|md|json|jsonl|csv|safetensors)$/i, '') : 'model';
}
