// The page: what is chosen, what is in view, and what is updated when it changes.

import { $, setText } from './dom.js';
import { count, position, write } from './format.js';
import { COLORS, curvesOf, layoutSizes, reachOf, scoreKinds, smoothed, viewWithin } from './curves.js';
import { Chart } from './chart.js';
import { from } from './scale.js';
import { RunData } from './store.js';
import { Live, fetchSeries } from './live.js';
import { RunList } from './runlist.js';
import { Cards } from './cards.js';
import { Ternary } from './ternary.js';
import { showAnomalies, showConfig, showDevice, showSamples, showSwarm } from './details.js';
import { color, toggleTheme } from './theme.js';

const MOST = 32;          // runs that the server lets one page follow
const POINTS = 2000;      // rows of a window
const ENOUGH = 600;       // rows of the whole run in view with which none is asked for
const AXES = ['step', 'tokens', 'time'];

const state = {
  runs: [],              // summaries, the last changed first
  dir: '',
  chosen: [],            // names
  picked: false,         // somebody chose; until then the newest run is shown
  axis: 'step', smooth: 20, log: false, clip: false,
  view: null,            // [from, to] on the axis; null for everything
};
const data = new Map();  // name -> RunData of a chosen run
const slots = new Map(); // name -> number of its colour

// ---- charts

// The server says what metrics there are and how they are charted: no metric is
// named in this page. A kind is a chart: of metrics, or of a score of evaluations.
let schema = { metrics: [], charts: [] };
const kinds = new Map(); // key -> kind, in the order of the page

/** Makes the charts: the first of the metrics, those of the scores, the other metrics. */
function layout() {
  const [first, ...rest] = schema.charts.map((c) => ({ ...c, key: `metric ${c.title}` }));
  if (!first) return;
  const wanted = [first, ...scoreKinds(state.chosen.map((name) => data.get(name))), ...rest];
  const same = wanted.length === kinds.size && [...kinds.keys()].every((k, i) => k === wanted[i].key);
  if (same) return;
  const old = new Map(kinds);
  kinds.clear();
  const sizes = layoutSizes(wanted.length);
  wanted.forEach((kind, i) => {
    const k = old.get(kind.key) ?? Object.assign(kind, { chart: new Chart(kind, owner) });
    kinds.set(k.key, k);
    k.chart.resize(sizes[i]);
    $('charts').append(k.chart.element);
    old.delete(k.key);
  });
  for (const k of old.values()) k.chart.element.remove();
}

const owner = {
  zoom: setView,
  reset: () => setView(null),
  hover(x, active) { for (const k of kinds.values()) k.chart.setCursor(x, k.chart === active); },
  say,
};

function bounds() {
  let all = null;
  for (const name of state.chosen) {
    const b = data.get(name)?.bounds(state.axis);
    if (b) all = all ? [Math.min(all[0], b[0]), Math.max(all[1], b[1])] : b;
  }
  if (!all) return [0, 1];
  return all[0] === all[1] ? [all[0] - 1, all[1] + 1] : all;
}

function drawCharts() {
  const whole = bounds(), view = state.view ?? whole;
  const reach = reachOf(whole[1] - whole[0], state.smooth);
  const chosen = state.chosen.map((name) => ({ name, color: colorOf(name), dash: dashOf(name) }));
  layout();
  for (const kind of kinds.values()) {
    const curves = chosen.flatMap((look) => curvesOf(kind, look, data.get(look.name), state.view, state.axis, chosen.length > 1)).filter(Boolean);
    smoothed(kind, curves, reach);
    kind.chart.show(curves, view, whole, { axis: state.axis, log: state.log && kind.format !== 'percent', clip: state.clip });
  }
  $('reset').disabled = !state.view;
  showRange();
}

/** Says what is in view, or that there is more to come of it. */
function showRange() {
  const reading = state.chosen.map((name) => data.get(name)?.reading).filter((percent) => percent >= 0);
  const [a, b] = state.view ?? bounds();
  if (reading.length) setText($('range'), `preview; reading the log: ${Math.min(...reading)} %`);
  else setText($('range'), state.chosen.length ? `${position(state.axis, a, true)} to ${position(state.axis, b, true)}` : '');
}

// ---- the view

function setView(view) {
  view = viewWithin(view, bounds());
  if (view === undefined) return;
  state.view = view;
  changed({ charts: true });
  if (!view) for (const d of data.values()) d.window = null;
  clearTimeout(setView.timer);
  setView.timer = setTimeout(() => {
    fetchWindows();
    ternary.load();
  }, 150);
}

let windows = null; // aborts the requests of the former view

/** Asks for a finer block of what is in view, for the runs where there is one. */
async function fetchWindows() {
  windows?.abort();
  windows = new AbortController();
  if (!state.view) return;
  const { signal } = windows;
  await Promise.all(state.chosen.map(async (name) => {
    const d = data.get(name);
    if (!d?.whole || d.whole.width <= 1) return;
    const [a, b] = d.toSteps(state.view, state.axis);
    if (from(d.whole.step, b) - from(d.whole.step, a) > ENOUGH) return;
    const margin = Math.ceil((b - a) * 0.1);
    try {
      const block = await fetchSeries(name, Math.max(0, a - margin), b + margin, POINTS, signal);
      d.window = { ...block, from: Math.max(0, a - margin), to: b + margin };
      changed({ charts: true });
    } catch (e) {
      if (e.name !== 'AbortError') console.info(`no finer curve of ${name}: ${e.message}`);
    }
  }));
}

let refresh = null;

/** The run grew: the end of a window that reaches it is out of date. */
function grown(name) {
  ternary.grown(name);
  const d = data.get(name);
  if (refresh || !state.view || !d?.window || state.view[1] < (d.whole[state.axis].at(-1) ?? 0) * 0.999) return;
  refresh = setTimeout(() => {
    refresh = null;
    fetchWindows();
  }, 2000);
}

// ---- runs and colours

function slotOf(name) {
  if (!slots.has(name)) {
    const used = new Set(slots.values());
    let i = 0;
    while (used.has(i)) i++;
    slots.set(name, i);
  }
  return slots.get(name);
}
const colorOf = (name) => color(`--s${slotOf(name) % COLORS}`);
const dashOf = (name) => [[], [8, 3], [2, 3]][Math.floor(slotOf(name) / COLORS) % 3];

function choose(names, picked) {
  names = names.slice(-MOST);
  state.picked = picked;
  if (String(names) === String(state.chosen)) return;
  state.chosen = names;
  for (const name of [...slots.keys()]) if (!names.includes(name)) slots.delete(name);
  for (const name of [...data.keys()]) if (!names.includes(name)) data.delete(name);
  for (const name of names) if (!data.has(name)) data.set(name, new RunData(name));
  live.open(names);
  ternary.choose(names);
  changed({ list: true, charts: true, details: true });
}

const list = new RunList({
  only: (name) => { setView(null); choose([name], true); store(); },
  toggle: (name) => {
    choose(state.chosen.includes(name) ? state.chosen.filter((n) => n !== name) : [...state.chosen, name], true);
    store();
  },
  color: colorOf,
  headline: (run) => {
    const m = schema.metrics.find((m) => m.card);
    return m && run.values[m.key] !== undefined ? { text: write(m.format, run.values[m.key]), title: m.title } : null;
  },
});
const cards = new Cards($('cards'));
const ternary = new Ternary({
  view: (name) => (state.view && data.get(name)?.whole ? data.get(name).toSteps(state.view, state.axis) : null),
  reading: (name) => data.get(name)?.reading >= 0,
});

// ---- drawing, once a frame at most

const dirty = {};
function changed(what) {
  if (!Object.keys(dirty).length) requestAnimationFrame(render);
  Object.assign(dirty, what);
}

function render() {
  const what = { ...dirty };
  for (const k of Object.keys(dirty)) delete dirty[k];
  if (what.list) list.show(state.runs, state.chosen, state.dir);
  const chosen = state.chosen.map((name) => ({ run: state.runs.find((r) => r.name === name), data: data.get(name), color: colorOf(name) })).filter((c) => c.run && c.data);
  if (what.list || what.details) {
    cards.show(chosen, schema.metrics);
    showDevice(chosen, schema.metrics);
    showSwarm(chosen);
  }
  if (what.details) {
    showConfig(chosen, $('only-differences').checked);
    showAnomalies(chosen);
    showSamples(chosen);
  }
  if (what.charts) drawCharts();
}

// ---- the server's events

let known = new Map(); // name -> state, to tell of changes

const live = new Live({
  state(s) {
    $('live').dataset.state = s;
    setText($('live-text'), s === 'live' ? 'live' : 'connection lost, trying again');
    if (s === 'lost') say('Connection lost, trying again');
  },
  schema(s) {
    schema = s;
    changed({ list: true, charts: true, details: true });
  },
  runs({ dir, all, changed: some, gone = [] }) {
    state.dir = dir;
    const by = new Map(all ? [] : state.runs.map((r) => [r.name, r]));
    for (const r of some) by.set(r.name, r);
    for (const name of gone) by.delete(name);
    state.runs = [...by.values()].sort((a, b) => (b.state === 'running') - (a.state === 'running') || b.changed - a.changed || (a.name < b.name ? -1 : 1));
    for (const r of state.runs) {
      if (known.has(r.name) && known.get(r.name) !== r.state) say(`${r.name} is ${r.state}`);
      else if (known.size && !known.has(r.name)) say(`New run ${r.name}`);
    }
    known = new Map(state.runs.map((r) => [r.name, r.state]));
    const there = state.chosen.filter((n) => by.has(n));
    if (!state.picked && state.runs.length) choose([state.runs[0].name], false);
    else if (there.length !== state.chosen.length) choose(there.length || !state.runs.length ? there : [state.runs[0].name], there.length > 0);
    changed({ list: true });
  },
  series(block) {
    const d = data.get(block.run);
    if (!d) return;
    d.whole = block;
    d.window = null;
    d.reading = -1;
    if (state.view) fetchWindows();
    ternary.renewed(block.run, block.step.at(-1) ?? 0);
    changed({ charts: true, details: true });
  },
  reading({ run, percent }) {
    const d = data.get(run);
    if (!d) return;
    d.reading = percent;
    showRange();
  },
  patch(block) {
    const d = data.get(block.run);
    if (!d?.patch(block)) return;
    changed({ charts: true });
    grown(block.run);
  },
  logs(more) {
    const d = data.get(more.run);
    if (!d) return;
    d.append(more);
    if (!more.reset) {
      for (const a of more.anomalies ?? []) say(`${more.run}: ${a.kind.replaceAll('_', ' ')} at step ${count(a.step)}`);
      const e = more.evals?.at(-1), s = e?.scores[0];
      if (s) say(`${more.run}: ${s.name} ${write(s.format, s.value)} at step ${count(e.step)}`);
    }
    changed({ charts: true, details: true });
  },
  config({ run, config }) {
    const d = data.get(run);
    if (!d) return;
    d.config = config;
    changed({ details: true });
  },
});

function say(text) { $('say').textContent = text; }

// ---- controls, and the address that keeps their state

function setAxis(axis) {
  if (axis === state.axis) return;
  // The same stretch of the first chosen run stays in view.
  const d = data.get(state.chosen[0]);
  if (state.view && d?.whole) state.view = d.toSteps(state.view, state.axis).map((s) => d.place(s, axis));
  state.axis = axis;
  sync();
}

function sync() {
  $('axis').value = state.axis;
  $('smooth').value = state.smooth;
  $('smooth').setAttribute('aria-valuetext', `${state.smooth} %`);
  setText($('smooth-value'), `${state.smooth} %`);
  $('log').checked = state.log;
  $('clip').checked = state.clip;
  store();
  changed({ charts: true });
}

function store() {
  const q = new URLSearchParams();
  if (state.picked) for (const n of state.chosen) q.append('run', n);
  if (state.axis !== 'step') q.set('x', state.axis);
  if (state.smooth !== 20) q.set('smooth', state.smooth);
  if (state.log) q.set('log', '1');
  if (state.clip) q.set('clip', '1');
  const hash = q.toString();
  history.replaceState(null, '', hash ? `#${hash}` : location.pathname);
}

function restore() {
  const q = new URLSearchParams(location.hash.slice(1));
  if (AXES.includes(q.get('x'))) state.axis = q.get('x');
  const s = Number(q.get('smooth') ?? 20);
  if (s >= 0 && s <= 100) state.smooth = s;
  state.log = q.has('log');
  state.clip = q.has('clip');
  sync();
  const names = [...new Set(q.getAll('run'))];
  if (names.length) choose(names, true);
  else live.open([]);
}

const smoothBy = (by) => { state.smooth = Math.max(0, Math.min(100, state.smooth + by)); sync(); };
$('axis').addEventListener('change', (e) => setAxis(e.target.value));
$('smooth').addEventListener('input', (e) => { state.smooth = Number(e.target.value); sync(); });
$('log').addEventListener('change', (e) => { state.log = e.target.checked; sync(); });
$('clip').addEventListener('change', (e) => { state.clip = e.target.checked; sync(); });
$('reset').addEventListener('click', () => setView(null));
$('prompt').addEventListener('change', () => changed({ details: true }));
$('only-differences').addEventListener('change', () => changed({ details: true }));
$('theme').addEventListener('click', toggleTheme);
$('skip').addEventListener('click', (e) => { e.preventDefault(); $('main').focus(); }); // the address has another use
$('keys').addEventListener('click', () => $('help').showModal());
addEventListener('theme', () => {
  changed({ list: true, charts: true, details: true });
  ternary.render();
});

// Keys without Ctrl or Alt are pressed by accident, by voice control most of all:
// they can be switched off, and then work in a chart alone (WCAG 2.1.4).
const anywhere = $('keys-anywhere');
try { anywhere.checked = localStorage.getItem('keys') !== 'charts'; } catch { /* private windows may forbid it */ }
anywhere.addEventListener('change', () => {
  try { localStorage.setItem('keys', anywhere.checked ? 'anywhere' : 'charts'); } catch { /* then until the page is left */ }
});

addEventListener('keydown', (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || $('help').open) return;
  if (e.key.length === 1 && !anywhere.checked && !e.target.closest('.chart .plot')) return;
  if (e.target.matches('input[type=search], select, textarea')) {
    if (e.key === 'Escape') e.target.blur();
    return;
  }
  const act = {
    '/': () => { $('runs-box').open = true; $('filter').focus(); },
    'x': () => setAxis(AXES[(AXES.indexOf(state.axis) + 1) % AXES.length]),
    'l': () => { state.log = !state.log; sync(); },
    '[': () => smoothBy(-10),
    ']': () => smoothBy(10),
    '0': () => setView(null),
    'Escape': () => setView(null),
    'd': toggleTheme,
    '?': () => $('help').showModal(),
  }[e.key];
  if (!act) return;
  e.preventDefault();
  act();
});

// An address typed or pasted into this tab; the page itself changes it silently.
addEventListener('hashchange', () => location.reload());

restore();
