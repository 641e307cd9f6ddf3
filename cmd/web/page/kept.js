// What is kept in this browser: runs, models and texts, and what can be done with each.

import { $, el, nameOf, setText } from './dom.js';
import { bytes, count, short, value } from './format.js';

const LONG = 24; // characters of a name that may not fit

const KINDS = { run: '', model: 'model', text: 'text' };

/** What a row says of itself in words. */
function facts(r) {
  const out = [];
  if (r.kind === 'run') {
    out.push(r.steps ? `step ${short(r.step)}/${short(r.steps)}` : `step ${short(r.step)}`);
    if (r.loss != null) out.push(`loss ${value(r.loss)}`);
  }
  if (r.kind === 'model' && r.parameters) out.push(`${short(r.parameters)} parameters`);
  out.push(bytes(r.bytes));
  return out;
}

export class Kept {
  /** @param {{show(r): void, resume(r): void, play(r): void, talk(r): void, save(r): void, remove(r): void}} owner */
  constructor(owner) {
    this.owner = owner;
    this.rows = new Map();
  }

  /** Lists what is kept, the last changed first; `active` is being trained, `shown` is in view. */
  show(runs, active, shown) {
    $('kept-none').hidden = runs.length > 0;
    for (const [name, row] of this.rows) {
      if (runs.some((r) => r.name === name)) continue;
      row.remove();
      this.rows.delete(name);
    }
    for (const r of [...runs].sort((a, b) => b.changed - a.changed)) {
      const key = JSON.stringify([r, active === r.name, shown === r.name]);
      let row = this.rows.get(r.name);
      if (row?.dataset.key !== key) {
        const made = this.row(r, active === r.name, shown === r.name);
        made.dataset.key = key;
        const focus = row?.contains(document.activeElement) ? document.activeElement.textContent : null;
        row?.replaceWith(made);
        row = made;
        this.rows.set(r.name, row);
        if (focus) [...row.querySelectorAll('button')].find((b) => b.textContent === focus)?.focus();
      }
      $('kept').append(row);
    }
  }

  row(r, active, shown) {
    const act = (text, title, f, off = false) => el('button', { type: 'button', class: 'quiet', title, disabled: off, onclick: () => f(r) }, text);
    const shownName = r.name.length > LONG ? nameOf(r.name) : r.name;
    const name = r.kind === 'run'
      ? el('button', { type: 'button', class: 'name', title: `Show ${r.name}`, 'aria-pressed': String(shown), onclick: () => this.owner.show(r) }, shownName)
      : el('span', { class: 'name' }, shownName);
    const state = r.kind === 'run' ? active ? 'running' : r.state : KINDS[r.kind];
    const chip = el('span', { class: 'state', title: r.why || null }, state);
    chip.dataset.state = state;
    return el('li', { class: shown ? 'chosen' : null },
      el('p', { class: 'head' }, name, chip),
      el('p', { class: 'facts' }, facts(r).join(' · ')),
      el('p', { class: 'acts' },
        r.resumes && !active ? act('Resume', `Resume ${r.name} at step ${count(r.checkpoint)}`, (x) => this.owner.resume(x)) : null,
        r.plays ? act('Play', `Play against ${r.name}`, (x) => this.owner.play(x)) : null,
        r.talks ? act('Talk', `Talk to ${r.name}`, (x) => this.owner.talk(x)) : null,
        r.kind !== 'text' ? act('Download', `Download ${r.name}`, (x) => this.owner.save(x)) : null,
        this.remover(r, active)));
  }

  /** Removing needs a second press: there is no way back. */
  remover(r, active) {
    const b = el('button', { type: 'button', class: 'quiet', disabled: active, title: active ? 'Pause it before' : `Remove ${r.name}` }, 'Remove');
    let timer = 0;
    const calm = () => {
      clearTimeout(timer);
      timer = 0;
      b.classList.remove('danger');
      setText(b, 'Remove');
    };
    b.addEventListener('click', () => {
      if (timer) {
        calm();
        this.owner.remove(r);
        return;
      }
      b.classList.add('danger');
      setText(b, 'Remove for good?');
      timer = setTimeout(calm, 4000);
    });
    b.addEventListener('blur', calm);
    return b;
  }
}
