// A card for each chosen run: state, progress and the numbers of the moment.

import { el, setText } from './dom.js';
import { count, duration, percent, short, write } from './format.js';
import { remaining } from './runlist.js';

/** The numbers of a card: [label, text, more in words]. */
function facts(run, data, metrics) {
  const scores = (data?.evals.at(-1)?.scores ?? []).filter((s) => !s.part);
  return [
    ...metrics.filter((m) => m.card).map((m) => [m.unit ? `${m.title}, ${m.unit}` : m.title, run.values[m.key] === undefined ? '–' : write(m.format, run.values[m.key])]),
    ...scores.map((s) => [s.name, write(s.format, s.value), s.text]),
    ['time left', run.state === 'running' ? duration(run.eta) : '–'],
    ['parameters', run.parameters ? short(run.parameters) : '–'],
  ];
}

export class Cards {
  constructor(root) {
    this.root = root;
    this.cards = new Map();
  }

  /** @param {{run: object, data: object, color: string}[]} chosen @param {object[]} metrics of the server's table */
  show(chosen, metrics) {
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
      const now = facts(run, data, metrics);
      const labels = now.map(([label]) => label).join('\n');
      if (card.labels !== labels) {
        card.labels = labels;
        card.facts = now.map(([label]) => ({ label, value: el('dd') }));
        card.list.replaceChildren(...card.facts.map((f) => el('div', {}, el('dt', { title: f.label }, f.label), f.value)));
      }
      now.forEach(([, text, more], i) => {
        setText(card.facts[i].value, text);
        card.facts[i].value.title = more ?? '';
      });
      this.root.append(card.element); // in the order given
    }
  }

  add(name) {
    const card = {
      state: el('span', { class: 'state' }), why: el('span', { class: 'dim why' }),
      bar: el('progress', { max: 1, value: 0, 'aria-label': `Progress of ${name}` }),
      step: el('span'), left: el('span', { class: 'dim' }), list: el('dl', { class: 'numbers' }), labels: null,
    };
    card.element = el('article', { class: 'panel card' },
      el('header', {}, el('h3', {}, name), card.state, card.why),
      card.bar, el('p', { class: 'progress' }, card.step, card.left), card.list);
    this.cards.set(name, card);
    return card;
  }
}
