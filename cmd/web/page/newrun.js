// The form of a new training: what, on which text, with which settings, from which weights.

import { $, el, setOptions, setText } from './dom.js';
import { short } from './format.js';

export class NewRun {
  /** @param {(fields: object) => void} start is called with the fields of a train request */
  constructor(start) {
    this.start = start;
    this.experiments = [];
    this.able = false;
    this.busy = false;
    this.refused = ''; // what the program said of the form as it is
    this.values = new Map(); // experiment -> key -> what was typed
    $('new-run').addEventListener('submit', (e) => {
      e.preventDefault();
      this.submit();
    });
    $('text').addEventListener('change', () => this.update());
  }

  ready(schema, able) {
    this.experiments = schema.experiments;
    this.able = able;
    const before = this.chosen?.name;
    $('experiments').replaceChildren(el('legend', { class: 'hide' }, 'What to train'), ...this.experiments.map((x, i) => {
      const about = `about-${i}`;
      const input = el('input', { type: 'radio', name: 'experiment', value: x.name, 'aria-describedby': about, onchange: () => this.choose() });
      input.checked = before ? x.name === before : i === 0;
      return el('label', { class: 'choice' }, input, el('span', {}, el('span', { class: 'head' }, el('b', {}, x.name), x.parameters ? el('span', { class: 'dim' }, `${short(x.parameters)} parameters`) : null), el('span', { class: 'dim', id: about }, x.about)));
    }));
    this.choose();
  }

  get chosen() {
    const name = $('experiments').querySelector('input:checked')?.value;
    return this.experiments.find((x) => x.name === name);
  }

  /** Shows the settings of the chosen experiment, with what was typed before. */
  choose() {
    const x = this.chosen;
    if (!x) return;
    this.refused = '';
    const typed = this.values.get(x.name) ?? new Map();
    this.values.set(x.name, typed);
    $('settings').replaceChildren(...x.settings.map((s) => {
      const input = el('input', { type: 'text', inputmode: s.kind === 'whole' ? 'numeric' : s.kind === 'number' ? 'decimal' : null, autocomplete: 'off', spellcheck: 'false', placeholder: s.default, 'data-key': s.key, 'data-kind': s.kind });
      input.value = typed.get(s.key) ?? '';
      input.addEventListener('input', () => {
        typed.set(s.key, input.value);
        this.refused = '';
        this.update();
      });
      return el('label', { class: 'stack', title: s.key }, s.title, input);
    }));
    $('text-box').hidden = !x.needs_text;
    this.update();
  }

  /** The texts and the weights that can be chosen. */
  kept(runs) {
    const texts = runs.filter((r) => r.kind === 'text');
    setOptions($('text'), texts.length ? texts.map((r) => [r.name, r.name]) : [['', 'none yet']]);
    const starts = runs.filter((r) => r.starts);
    setOptions($('init'), [['', 'random weights'], ...starts.map((r) => [r.name, r.name])]);
    $('init-box').hidden = !starts.length;
    this.update();
  }

  /** Chooses a text that was just added, and the experiment that reads it. */
  useText(name) {
    const x = this.experiments.find((e) => e.needs_text);
    const radio = x && [...$('experiments').querySelectorAll('input')].find((i) => i.value === x.name);
    if (radio) {
      radio.checked = true;
      this.choose();
    }
    $('text').value = name;
    this.update();
  }

  setBusy(busy) {
    this.busy = busy;
    this.update();
  }

  /** What is wrong with a field, or ''. */
  check(input) {
    const text = input.value.trim();
    if (!text || input.dataset.kind === 'text') return '';
    const title = input.closest('label').firstChild.textContent;
    if (input.dataset.kind === 'whole' && !/^\d+$/.test(text)) return `${title}: want a whole number, for example ${input.placeholder}`;
    if (input.dataset.kind === 'number' && !Number.isFinite(Number(text))) return `${title}: want a number, for example ${input.placeholder}`;
    return '';
  }

  update() {
    const x = this.chosen;
    let wrong = '';
    for (const input of $('settings').querySelectorAll('input')) {
      const w = this.check(input);
      input.setAttribute('aria-invalid', String(!!w));
      wrong ||= w;
    }
    this.error(wrong || this.refused);
    const needs = x?.needs_text && !$('text').value;
    $('start').disabled = !this.able || this.busy || !x || !!wrong || needs;
    setText($('start'), this.busy ? 'Training…' : needs ? 'Add a text first' : 'Start training');
  }

  /** Shows why the program did not start; it stays until the form is changed. */
  refuse(text) {
    this.refused = text;
    this.update();
  }

  error(text) {
    setText($('new-error'), text);
    $('new-error').hidden = !text;
  }

  submit() {
    if ($('start').disabled) return;
    const x = this.chosen, settings = {};
    for (const input of $('settings').querySelectorAll('input')) if (input.value.trim()) settings[input.dataset.key] = input.value.trim();
    this.start({ experiment: x.name, settings, init: $('init').value, text: x.needs_text ? $('text').value : '' });
  }
}
