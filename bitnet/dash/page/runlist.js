// The list of runs: what each is doing, and which are chosen.

import { $, el, nameOf, setText } from './dom.js';
import { duration, short } from './format.js';

export class RunList {
  /** @param {{only(name: string): void, toggle(name: string): void, color(name: string): string,
   *   headline(run: object): {text: string, title: string} | null}} owner */
  constructor(owner) {
    this.owner = owner;
    this.rows = new Map();
    $('filter').addEventListener('input', () => this.filter());
    // On a phone the list would push the curves out of sight.
    $('runs-box').open = matchMedia('(min-width: 761px)').matches;
  }

  /** @param {object[]} runs in the order to be shown */
  show(runs, chosen, dir) {
    for (const [name, row] of this.rows) {
      if (runs.some((r) => r.name === name)) continue;
      row.item.remove();
      this.rows.delete(name);
    }
    let before = null;
    for (const run of runs) {
      const row = this.rows.get(run.name) ?? this.add(run.name);
      this.update(row, run, chosen.includes(run.name));
      const next = before ? before.nextSibling : $('runs').firstChild;
      if (next !== row.item) $('runs').insertBefore(row.item, next);
      before = row.item;
    }
    setText($('runs-count'), runs.length ? `${runs.length}, ${chosen.length} chosen` : '');
    setText($('runs-dir'), dir);
    $('no-runs').hidden = runs.length > 0;
    $('main').classList.toggle('nothing', !runs.length);
    $('filter').hidden = runs.length < 2;
    this.filter();
  }

  add(name) {
    const row = {
      box: el('input', { type: 'checkbox', 'aria-label': `Compare ${name}`, onchange: () => this.owner.toggle(name) }),
      name: el('button', { type: 'button', class: 'name', title: `${name}: show only this run`, onclick: () => this.owner.only(name) }, nameOf(name)),
      state: el('span', { class: 'state' }),
      bar: el('progress', { max: 1, value: 0, 'aria-label': `Progress of ${name}` }),
      step: el('span'),
      headline: el('span', { class: 'headline' }),
      left: el('span'),
    };
    row.item = el('li', {}, row.box, row.name, row.bar, el('p', { class: 'facts' }, row.step, row.headline, row.left, row.state));
    this.rows.set(name, row);
    return row;
  }

  update(row, run, chosen) {
    row.box.checked = chosen;
    row.item.classList.toggle('chosen', chosen);
    row.item.style.setProperty('--own', chosen ? this.owner.color(run.name) : 'transparent');
    setText(row.state, run.state);
    row.state.dataset.state = run.state;
    row.state.title = run.why;
    row.bar.value = run.steps ? Math.min(1, run.step / run.steps) : 0;
    setText(row.step, `step ${short(run.step)}${run.steps ? `/${short(run.steps)}` : ''}`);
    const headline = this.owner.headline(run);
    setText(row.headline, headline ? `${headline.title} ${headline.text}` : '');
    setText(row.left, remaining(run));
  }

  filter() {
    const words = $('filter').value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const [name, row] of this.rows) row.item.hidden = !words.every((w) => name.toLowerCase().includes(w));
  }
}

/** The time left of a run that is being trained. */
export const remaining = (run) => (run.state === 'running' && run.eta != null ? `${duration(run.eta)} left` : '');
