// Downloads: a model as a folder, as GGUF, or a checkpoint.

import { $, setText } from './dom.js';
import { bytes } from './format.js';

export class Saving {
  constructor(app) {
    this.app = app;
    for (const b of $('saving').querySelectorAll('.forms button')) b.addEventListener('click', () => this.save(b.value));
  }

  open(run) {
    this.run = run;
    setText($('h-saving'), `Download ${run}`);
    setText($('saving-note'), '');
    $('saving-note').classList.remove('bad');
    $('saving').showModal();
  }

  async save(form) {
    const buttons = [...$('saving').querySelectorAll('.forms button')];
    const note = $('saving-note');
    note.classList.remove('bad');
    setText(note, 'Packing…');
    for (const b of buttons) b.disabled = true;
    try {
      const { name, file } = await this.app.engine.ask('download', { run: this.run, form });
      saveAs(name, file);
      setText(note, `${name}, ${bytes(file.size)}: see your downloads.`);
    } catch (e) {
      note.classList.add('bad');
      setText(note, e.message);
    } finally {
      for (const b of buttons) b.disabled = false;
    }
  }
}

/** Hands a file to the browser's downloads. */
export function saveAs(name, blob) {
  const url = URL.createObjectURL(blob);
  const a = document.createElement('a');
  a.href = url;
  a.download = name;
  document.body.append(a);
  a.click();
  a.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
