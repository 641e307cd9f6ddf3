// What this GPU can do, measured as bitnet bench does, with a report to copy.

import { $, copy, el, setOptions, setText } from './dom.js';
import { value } from './format.js';
import { saveAs } from './saving.js';

const TITLES = { peak: 'Peak', kernels: 'Kernels of a step', step: 'A training step', generate: 'Generation' };
const FIRST = 12; // figures of a part that are shown at once

export class Measure {
  constructor(app) {
    this.app = app;
    this.job = null;
    this.keys = { Escape: () => this.stop() };
    $('measure-form').addEventListener('submit', (e) => {
      e.preventDefault();
      this.start();
    });
    $('measure-stop').addEventListener('click', () => this.stop());
    $('whats').addEventListener('change', () => this.update());
    $('report-copy').addEventListener('click', () => this.copy());
    $('report-save').addEventListener('click', () => saveAs('bitnet-bench.txt', new Blob([$('report').textContent], { type: 'text/plain' })));
  }

  ready(schema, { adapter }) {
    this.able = !!adapter;
    this.job = null;
    setOptions($('measure-experiment'), schema.experiments.filter((x) => !x.needs_text).map((x) => [x.name, x.name]));
    this.update();
  }

  failed() {
    this.able = false;
    this.job = null;
    this.update();
  }

  get what() { return [...$('whats').querySelectorAll('input:checked')].map((i) => i.value); }

  update() {
    $('measure-start').disabled = !this.able || !!this.job || !this.what.length;
    $('measure-start').hidden = !!this.job;
    $('measure-stop').hidden = !this.job;
    for (const e of $('measure-form').querySelectorAll('input, select')) e.disabled = !!this.job;
    $('results').setAttribute('aria-busy', String(!!this.job));
  }

  async start() {
    if ($('measure-start').disabled) return;
    $('results').replaceChildren();
    $('report-box').hidden = true;
    $('measure-about').hidden = true;
    this.error('');
    setText($('measure-note'), 'Measuring…');
    const job = this.job = this.app.engine.ask('measure', { what: this.what, experiment: $('measure-experiment').value, seconds: Number($('measure-seconds').value) }, {
      note: (m) => setText($('measure-note'), m.text),
      measured: (m) => this.part(m.what, m.result),
    });
    this.update();
    try {
      const end = await job;
      setText($('report'), end.report);
      $('report-box').hidden = !end.report;
      setText($('measure-note'), end.stopped ? 'Stopped: the report has what was measured until then.' : 'Measured. The report is below.');
    } catch (e) {
      setText($('measure-note'), '');
      this.error(e.message);
    } finally {
      if (this.job === job) this.job = null;
      this.update();
    }
  }

  stop() {
    if (!this.job) return;
    setText($('measure-note'), 'Stopping…');
    this.app.engine.stop(this.job.id);
  }

  /** One part's figures, as a table, with a bar where several share a unit; 0 is none. */
  part(what, result) {
    const figures = result?.figures ?? [];
    const most = new Map();
    for (const f of figures) most.set(f.unit, Math.max(most.get(f.unit) ?? 0, f.value));
    const shared = (unit) => figures.filter((f) => f.unit === unit).length > 1;
    const id = `result-${what}`;
    const rows = figures.map((f) => {
      const bar = el('span', { class: 'bar' });
      bar.style.width = `${(100 * f.value / (most.get(f.unit) || 1)).toFixed(1)}%`;
      return el('tr', {}, el('th', { scope: 'row' }, f.name), el('td', { class: 'num' }, f.value ? value(f.value) : '–'), el('td', { class: 'dim' }, f.unit), el('td', { class: 'track-cell', 'aria-hidden': 'true' }, shared(f.unit) ? el('span', { class: 'track' }, bar) : null));
    });
    const list = (some) => el('table', {}, el('caption', { class: 'hide' }, TITLES[what] ?? what), el('tbody', {}, ...some));
    $('results').append(el('section', { class: 'panel', 'aria-labelledby': id },
      el('h3', { id }, TITLES[what] ?? what),
      figures.length ? list(rows.slice(0, FIRST)) : el('p', { class: 'empty' }, 'No figures.'),
      rows.length > FIRST ? el('details', { class: 'fold' }, el('summary', {}, `${rows.length - FIRST} more`), list(rows.slice(FIRST))) : null,
      result?.left_out ? el('p', { class: 'dim small' }, `There was no time for more: ${result.left_out}.`) : null));
    this.app.say(`${TITLES[what] ?? what} is measured`);
  }

  async copy() {
    if (await copy($('report').textContent)) {
      this.said('Copied');
      return;
    }
    // Where the clipboard is refused, the report is marked for a copy by hand.
    getSelection().selectAllChildren($('report'));
    this.said('Press Ctrl+C');
  }

  said(text) {
    setText($('report-copy'), text);
    this.app.say(text);
    setTimeout(() => setText($('report-copy'), 'Copy'), 2500);
  }

  error(text) {
    setText($('measure-error'), text);
    $('measure-error').hidden = !text;
  }
}
