// A card for each chosen run: state, progress and the numbers of the moment.

import { el, setText } from './dom.js';
import { bytes, count, duration, percent, short, value } from './format.js';
import { remaining } from './runlist.js';

const FACTS = [
  ['loss', (r) => (r.loss === undefined ? '–' : value(r.loss))],
  ['validation loss', (r, d) => (d?.evals.length ? value(d.evals.at(-1).loss) : '–')],
  ['solved', (r, d) => percent(d?.evals.at(-1)?.exact_match), (r, d) => d?.evals.some((e) => e.exact_match != null)],
  ['tokens/s', (r) => short(r.tokens_per_sec)],
  ['tokens seen', (r) => short(r.tokens)],
  ['time left', (r) => (r.state === 'running' ? duration(r.eta) : '–')],
  ['parameters', (r) => (r.parameters ? short(r.parameters) : '–')],
  ['memory', (r) => bytes(r.memory)],
];

export class Cards {
  constructor(root) {
    this.root = root;
    this.cards = new Map();
  }

  /** @param {{run: object, data: object, color: string}[]} chosen */
  show(chosen) {
    for (const [name, card] of this.cards) {
      if (chosen.some((c) => c.run.name === name)) continue;
      card.element.remove();
      this.cards.delete(name);
    }
    this.root.classList.toggle('many', chosen.length > 2);
    for (const { run, data, color } of chosen) {
      const card = this.cards.get(run.name) ?? this.add(run.name);
      card.element.style.setProperty('--own', color);
      setText(card.state, run.state);
      card.state.dataset.state = run.state;
      setText(card.why, run.why);
      card.bar.value = run.steps ? Math.min(1, run.step / run.steps) : 0;
      const share = run.steps ? ` of ${count(run.steps)} (${percent(Math.min(1, run.step / run.steps), 0)})` : '';
      setText(card.step, `step ${count(run.step)}${share}`);
      setText(card.left, remaining(run));
      for (const [name, text, when] of FACTS) {
        const fact = card.facts.get(name);
        fact.box.hidden = when ? !when(run, data) : false;
        setText(fact.value, text(run, data));
      }
      this.root.append(card.element); // in the order given
    }
  }

  add(name) {
    const card = {
      state: el('span', { class: 'state' }), why: el('span', { class: 'dim why' }),
      bar: el('progress', { max: 1, value: 0, 'aria-label': `Progress of ${name}` }),
      step: el('span'), left: el('span', { class: 'dim' }), facts: new Map(),
    };
    const list = el('dl', { class: 'numbers' });
    for (const [fact] of FACTS) {
      const v = el('dd');
      const box = el('div', {}, el('dt', {}, fact), v);
      card.facts.set(fact, { box, value: v });
      list.append(box);
    }
    card.element = el('article', { class: 'panel card' },
      el('header', {}, el('h3', {}, name), card.state, card.why),
      card.bar, el('p', { class: 'progress' }, card.step, card.left), list);
    this.cards.set(name, card);
    return card;
  }
}
