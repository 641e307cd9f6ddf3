// Training: start, follow, pause, resume, and what is kept.

import { $, el, setText } from './dom.js';
import { bytes, count, duration, percent, short, write } from './format.js';
import { chosen, droppable, nameOfFiles } from './drop.js';
import { Kept } from './kept.js';
import { NewRun } from './newrun.js';
import { RunCharts } from './runcharts.js';
import { Saving } from './saving.js';
import { Weights } from './weights.js';

const SAMPLES = 60; // that stay on the page

export class Train {
  constructor(app) {
    this.app = app;
    this.runs = [];
    this.shownRun = '';
    this.active = null;   // {id, run} of the training under way
    this.last = {};       // newest value of each metric of the run in view
    this.metrics = [];
    this.form = new NewRun((fields) => this.train(fields));
    this.charts = new RunCharts(app.say);
    this.weights = new Weights();
    this.saving = new Saving(app);
    this.list = new Kept({
      show: (r) => this.open(r.name),
      resume: (r) => this.train({ resume: r.name }),
      play: (r) => { app.show('play'); app.play(r.name); },
      talk: (r) => { app.show('talk'); app.talk(r.name); },
      save: (r) => this.saving.open(r.name),
      remove: (r) => this.remove(r),
    });
    this.keys = { ' ': () => (this.active ? this.pause() : $('resume').hidden ? null : $('resume').click()) };
    $('pause').addEventListener('click', () => this.pause());
    $('resume').addEventListener('click', () => this.train({ resume: this.shownRun }));
    $('save').addEventListener('click', () => this.saving.open(this.shownRun));
    this.uploads();
    this.narrow = matchMedia('(max-width: 1000px)');
    this.narrow.addEventListener('change', () => this.place());
  }

  ready(schema, { adapter, storage }) {
    this.metrics = schema.metrics;
    this.able = !!adapter;
    this.active = null;
    this.charts.schema(schema.charts);
    this.form.ready(schema, this.able);
    this.showStorage(storage);
    this.app.engine.addEventListener('storage', (e) => this.showStorage(e.detail));
    $('start').title = this.able ? '' : 'Training needs a GPU';
  }

  /** On a phone a run stands above the form of the next one; the reading order is the same. */
  place() {
    const first = this.narrow.matches && !$('run-box').hidden ? $('run-view') : $('train-side');
    const second = first === $('run-view') ? $('train-side') : $('run-view');
    if (first.nextElementSibling !== second) second.before(first);
  }

  failed(why) {
    // What was being trained is not any more.
    this.runs = this.runs.map((r) => (r.state === 'running' ? { ...r, state: 'crashed' } : r));
    this.ended();
    this.list.show(this.runs, '', this.shownRun);
    this.form.able = false;
    this.form.update();
    if (!$('run-box').hidden) this.error(why.text);
  }

  shown() { this.charts.changed(); }

  showStorage(s) {
    setText($('storage'), s.kind === 'memory' ? 'until a reload' : s.quota ? `${bytes(s.usage) === '–' ? '0 B' : bytes(s.usage)} of ${bytes(s.quota)}` : '');
    $('kept-memory').hidden = s.kind !== 'memory';
    $('storage').title = s.kind === 'memory' ? 'This browser keeps nothing for this page: download what you want to keep' : 'Space that the browser gives to this page';
  }

  kept(runs) {
    this.runs = runs;
    this.form.kept(runs);
    if (!this.active && (!this.shownRun || !runs.some((r) => r.name === this.shownRun))) {
      const newest = runs.filter((r) => r.kind === 'run').sort((a, b) => b.changed - a.changed)[0];
      if (newest) this.open(newest.name);
      else this.nothing();
    }
    this.list.show(runs, this.active?.run, this.shownRun);
    if (!this.active) this.showState();
  }

  nothing() {
    this.shownRun = '';
    $('no-run').hidden = false;
    $('run-box').hidden = true;
    this.place();
  }

  /** Shows a run that is kept. */
  async open(name) {
    if (this.shownRun === name && !$('run-box').hidden) return;
    this.view(name);
    this.list.show(this.runs, this.active?.run, name);
    try {
      const h = await this.app.engine.ask('run', { run: name });
      if (this.shownRun !== name) return;
      this.history(h);
    } catch (e) {
      this.error(`${name} cannot be shown: ${e.message}`);
    }
  }

  /** Makes room for a run. */
  view(name) {
    this.shownRun = name;
    this.last = {};
    this.scores = null;
    this.progress = null;
    this.steps = 0;
    $('no-run').hidden = true;
    $('run-box').hidden = false;
    this.place();
    setText($('run-name'), name);
    this.charts.open(name);
    this.weights.clear();
    $('samples').replaceChildren(el('p', { class: 'empty' }, 'They come as it learns.'));
    $('problems').replaceChildren();
    $('problems-box').hidden = true;
    setText($('config'), '');
    setText($('run-note'), '');
    this.error('');
    this.showState();
  }

  history(h) {
    this.charts.open(h.run.name, h);
    for (const [key, column] of Object.entries(h.series ?? {})) {
      const v = column.findLast((x) => x != null);
      if (v !== undefined) this.last[key] = v;
    }
    this.scores = h.evals?.at(-1) ?? null;
    setText($('config'), h.config);
    if (h.samples?.length) this.samples(h.samples);
    for (const a of h.problems ?? []) this.anomaly(a);
    this.showState();
  }

  // ---- the training under way

  async train(fields) {
    if (this.active) {
      this.error('A training is under way: pause it before.');
      return;
    }
    this.form.refuse('');
    const resumed = fields.resume ?? '';
    if (resumed) await this.open(resumed);
    else this.view('new run');
    if (this.narrow.matches) $('run-view').scrollIntoView({ block: 'start' });
    setText($('run-note'), 'Preparing…');
    const job = this.app.engine.ask('train', fields, {
      note: (m) => setText($('run-note'), m.text),
      preparing: (m) => setText($('run-note'), preparing(m)),
      begin: (m) => this.begin(m),
      progress: (m) => this.showProgress(m),
      metrics: (m) => this.line(m.metrics),
      eval: (m) => this.evaluated(m.eval),
      samples: (m) => this.samples(m.samples),
      anomaly: (m) => { this.charts.anomaly(m.anomaly); this.anomaly(m.anomaly); },
      checkpoint: (m) => { setText($('run-note'), `Saved at step ${count(m.step)}: a reload continues from there.`); this.app.kept(); },
      weights: (m) => { if (this.watching()) this.weights.take(m); },
    });
    const active = this.active = { id: job.id, run: resumed };
    this.form.setBusy(true);
    $('train-busy').hidden = false;
    this.lock(true);
    navigator.storage?.persist?.().catch(() => { /* then the browser may clear it when space is short */ });
    this.showState();
    try {
      const end = await job;
      this.ended();
      this.app.say(`${end.run} ${end.state} at step ${count(end.step)}`);
      setText($('run-note'), end.state === 'finished' ? 'Finished. Download it, play against it or talk to it.' : `Paused at step ${count(end.step)}, and saved.`);
    } catch (e) {
      this.ended();
      setText($('run-note'), '');
      this.error(e.message);
      if (!active.run) this.form.refuse(e.message);
      if (this.shownRun === 'new run') this.nothing();
    }
    this.app.kept();
  }

  ended() {
    this.active = null;
    this.pausing = false;
    this.progress = null;
    this.form.setBusy(false);
    $('train-busy').hidden = true;
    this.lock(false);
    this.showState();
  }

  /** Whether the run in view is the one under way. */
  watching() { return !!this.active && this.active.run === this.shownRun; }

  begin(m) {
    const again = this.active.run === m.run;
    this.active.run = m.run;
    if (this.shownRun === 'new run') {
      this.shownRun = m.run;
      setText($('run-name'), m.run);
      this.charts.open(m.run);
    }
    setText($('config'), m.config);
    setText($('run-note'), `${short(m.parameters)} parameters, ${count(m.tokens_per_step)} tokens a step.`);
    if (!again) this.app.say(`${m.run} trains`);
    this.showProgress({ step: m.step, steps: m.steps, tokens_per_sec: 0, seconds: 0 });
    this.app.kept();
  }

  showProgress(m) {
    if (this.active) this.progress = m;
    if (this.watching()) this.showState();
  }

  line(m) {
    if (!this.watching()) return;
    Object.assign(this.last, m);
    if (this.charts.metrics(m)) this.thin();
    this.showState();
  }

  /** Many lines are drawn from what the worker thins. */
  async thin() {
    if (this.thinning) return;
    this.thinning = true;
    try {
      const h = await this.app.engine.ask('run', { run: this.shownRun });
      if (this.shownRun === h.run.name) this.charts.open(h.run.name, h);
    } catch { /* then the curves go on as they are */ } finally {
      this.thinning = false;
    }
  }

  evaluated(e) {
    if (!this.watching()) return;
    this.scores = e;
    this.charts.evaluated(e);
    const s = e.scores[0];
    if (s) this.app.say(`${s.name} ${s.text || write(s.format, s.value)} at step ${count(e.step)}`);
    this.showState();
  }

  /** Newest first; of a step that is sampled again, the newer samples. */
  samples(list) {
    if (!list.length || this.active && !this.watching()) return;
    const step = list[0].step;
    let ol = $('samples').querySelector('ol');
    if (!ol) {
      ol = el('ol', { class: 'samples', tabindex: 0, 'aria-label': 'Samples, the newest first' });
      $('samples').replaceChildren(ol);
    }
    for (const old of [...ol.children]) if (Number(old.dataset.step) >= step) old.remove();
    const item = el('li', { 'data-step': step }, el('h4', {}, `step ${count(step)}`), el('ul', {}, ...list.map((s) => el('li', {},
      el('q', {}, el('span', { class: 'dim' }, s.prompt), s.text), s.mode && s.mode !== 'greedy' ? el('span', { class: 'mode' }, s.mode) : null))));
    ol.prepend(item);
    while (ol.children.length > SAMPLES) ol.lastChild.remove();
  }

  anomaly(a) {
    if (this.active && !this.watching()) return;
    $('problems-box').hidden = false;
    $('problems').prepend(el('li', {}, el('strong', {}, a.kind.replaceAll('_', ' ')), ` at step ${count(a.step)}`, el('p', { class: 'dim' }, a.message)));
  }

  pause() {
    if (!this.active || this.pausing) return;
    this.pausing = true;
    this.showState();
    setText($('run-note'), 'Saving…');
    this.app.engine.stop(this.active.id);
  }

  /** A screen that goes dark stops the training on a phone. */
  async lock(on) {
    try {
      if (on) this.wake = await navigator.wakeLock?.request('screen');
      else await this.wake?.release();
    } catch { /* the battery is low, or the page is hidden */ }
  }

  error(text) {
    setText($('run-error'), text);
    $('run-error').hidden = !text;
  }

  /** The card: what the run in view is doing, in numbers. */
  showState() {
    if ($('run-box').hidden) return;
    const r = this.runs.find((x) => x.name === this.shownRun);
    const on = this.active && (this.watching() || this.shownRun === 'new run');
    const p = on ? this.progress : null;
    const state = on ? (this.active.run && p ? 'running' : 'preparing') : r?.state ?? '';
    setText($('run-state'), this.pausing && on ? 'pausing' : state);
    $('run-state').dataset.state = state;
    setText($('run-why'), on ? '' : r?.why ?? '');
    const step = p?.step ?? r?.step ?? 0, steps = p?.steps ?? r?.steps ?? 0;
    $('run-bar').value = steps ? Math.min(1, step / steps) : 0;
    setText($('run-step'), steps ? `step ${count(step)} of ${count(steps)} (${percent(Math.min(1, step / steps), 0)})` : '');
    setText($('run-left'), [p?.tokens_per_sec ? `${short(p.tokens_per_sec)} tokens/s` : '', p?.seconds ? `${duration(p.seconds)} left` : ''].filter(Boolean).join(' · '));
    $('pause').hidden = !on;
    $('pause').disabled = this.pausing || !p;
    $('resume').hidden = !!this.active || !this.able || !r?.resumes;
    setText($('resume'), r && r.checkpoint >= 0 ? `Resume at step ${count(r.checkpoint)}` : 'Resume');
    $('save').hidden = !r || r.checkpoint < 0;
    this.showNumbers(r);
  }

  showNumbers(r) {
    const facts = this.metrics.filter((m) => m.card).map((m) => [m.unit ? `${m.title}, ${m.unit}` : m.title, this.last[m.key] === undefined ? '–' : write(m.format, this.last[m.key])]);
    for (const s of (this.scores?.scores ?? []).filter((s) => !s.part)) facts.push([s.name, write(s.format, s.value)]);
    const n = r?.parameters;
    facts.push(['parameters', n ? short(n) : '–']);
    const labels = facts.map(([l]) => l).join('\n');
    if (this.labels !== labels) {
      this.labels = labels;
      this.cells = facts.map(() => el('dd'));
      $('run-numbers').replaceChildren(...facts.map(([label], i) => el('div', {}, el('dt', { title: label }, label), this.cells[i])));
    }
    facts.forEach(([, text], i) => setText(this.cells[i], text));
  }

  // ---- files

  uploads() {
    const pick = (button, input, take) => {
      $(button).addEventListener('click', () => $(input).click());
      $(input).addEventListener('change', () => {
        take(chosen($(input)));
        $(input).value = '';
      });
    };
    pick('text-pick', 'text-file', (files) => this.upload(files));
    pick('upload-pick', 'upload-file', (files) => this.upload(files));
    pick('upload-folder', 'upload-dir', (files) => this.upload(files));
    droppable($('train'), (files) => this.upload(files));
  }

  /** Keeps files; a text is chosen for the next training. */
  async upload(list, note = $('upload-note')) {
    note.hidden = false;
    note.classList.remove('bad');
    try {
      const files = await list;
      if (!files.length) throw new Error('Nothing was dropped.');
      const name = nameOfFiles(files);
      setText(note, `Reading ${name}…`);
      const r = await this.app.engine.ask('upload', { name, files }, { progress: (m) => setText(note, `Reading ${name}: ${percent(m.of ? m.bytes / m.of : 0, 0)}`) });
      setText(note, r.kind === 'text' ? `${r.name} can be trained on now.` : `${r.name} is kept.`);
      await this.app.kept();
      if (r.kind === 'text') this.form.useText(r.name);
      return r;
    } catch (e) {
      note.classList.add('bad');
      setText(note, e.message);
      return null;
    }
  }

  async remove(r) {
    try {
      await this.app.engine.ask('remove', { run: r.name });
      this.app.say(`${r.name} is removed`);
      if (this.shownRun === r.name) this.shownRun = '';
    } catch (e) {
      $('upload-note').hidden = false;
      $('upload-note').classList.add('bad');
      setText($('upload-note'), e.message);
    }
    this.app.kept();
  }
}

/** How far the data is, in words. */
function preparing(m) {
  if (m.sample && m.sampled < m.sample) return `Training the tokenizer: ${percent(m.sampled / m.sample, 0)} of ${bytes(m.sample)} read.`;
  return m.tokens ? `Encoding the text: ${short(m.tokens)} tokens.` : 'Preparing…';
}
