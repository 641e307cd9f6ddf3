// How an answer is drawn: the fields, and what is wrong with them.

import { $, el } from './dom.js';

// Ranges are those that the program takes; it checks them again.
const FIELDS = [
  ['temperature', 'temperature', '0 picks the likeliest token', (v) => v >= 0],
  ['top_k', 'top k', 'keep the k likeliest; 0 keeps all', (v) => v >= 0 && Number.isInteger(v)],
  ['top_p', 'top p', 'keep the fewest that make up this share; 1 keeps all', (v) => v > 0 && v <= 1],
  ['min_p', 'min p', 'keep those at least so likely, compared with the likeliest; 0 keeps all', (v) => v >= 0 && v <= 1],
  ['repetition_penalty', 'repetition penalty', '1 is none', (v) => v > 0],
  ['seed', 'seed', 'empty: a different one each time', (v) => v >= 0 && Number.isSafeInteger(v)],
];

export class SamplingForm {
  constructor() {
    this.start = {};
    this.inputs = new Map();
    const field = (key, title, about, attributes = {}) => {
      const input = el('input', { type: 'text', inputmode: 'decimal', autocomplete: 'off', spellcheck: 'false', 'aria-describedby': `about-${key}`, ...attributes });
      this.inputs.set(key, input);
      input.addEventListener('input', () => input.setAttribute('aria-invalid', String(!!this.wrong(key))));
      return el('label', { class: 'stack' }, title, input, el('span', { class: 'dim tiny', id: `about-${key}` }, about));
    };
    $('sampling').append(
      ...FIELDS.map(([key, title, about]) => field(key, title, about)),
      field('tokens', 'most tokens', 'empty: as many as fit', { inputmode: 'numeric' }),
      field('stop', 'stop at', 'a text that ends the answer; empty: none', { inputmode: 'text' }));
    $('sampling-reset').addEventListener('click', () => this.reset(this.start));
  }

  /** Fills the fields with the values of a model. */
  reset(sampling) {
    this.start = sampling ?? {};
    for (const [key, input] of this.inputs) {
      input.value = key === 'seed' ? this.start.seed || '' : this.start[key] ?? '';
      input.setAttribute('aria-invalid', 'false');
    }
  }

  wrong(key) {
    const text = this.inputs.get(key).value.trim();
    const row = FIELDS.find(([k]) => k === key);
    if (key === 'tokens') return text && !/^[1-9]\d*$/.test(text) ? 'most tokens: want a whole number, 1 or more' : '';
    if (!row || !text) return '';
    const v = Number(text.replace(',', '.'));
    return Number.isFinite(v) && row[3](v) ? '' : `${row[1]} ${text} is out of range: ${row[2]}`;
  }

  /** The first thing that is wrong, or ''. */
  error() {
    for (const key of this.inputs.keys()) {
      const w = this.wrong(key);
      if (w) return w;
    }
    return '';
  }

  /** The fields of a talk request. */
  values() {
    const sampling = { ...this.start };
    for (const [key] of FIELDS) {
      const text = this.inputs.get(key).value.trim().replace(',', '.');
      if (text) sampling[key] = Number(text);
    }
    if (!this.inputs.get('seed').value.trim()) sampling.seed = Math.floor(Math.random() * 2 ** 48);
    const stop = this.inputs.get('stop').value;
    return { sampling, tokens: Number(this.inputs.get('tokens').value.trim() || 0), stop: stop ? [stop] : [] };
  }
}
