// The charts of the run in view: the first metric on top, the others and the
// scores of the evaluations in a fold below.

import { $ } from './dom.js';
import { Chart } from './chart.js';
import { curvesOf, reachOf, scoreKinds, smoothed, viewWithin } from './curves.js';
import { RunData } from './store.js';
import { color } from './theme.js';

const SMOOTH = 20;  // percent, as bitnet dash begins with
const MOST = 3000;  // rows, from which on the worker thins them
const COLUMNS = ['slot', 'step', 'tokens', 'time'];

/** A block of the store from columns of metrics: a row a step. */
function block(steps, series, low = {}, high = {}) {
  const keys = {};
  for (const [key, mean] of Object.entries(series)) keys[key] = { mean, low: low?.[key] ?? null, high: high?.[key] ?? null, bad: null };
  return { width: 1, ...Object.fromEntries(COLUMNS.map((c) => [c, steps.slice()])), keys };
}

export class RunCharts {
  constructor(say) {
    this.owner = {
      zoom: (view) => this.zoom(view), reset: () => this.zoom(null), say,
      hover: (x, active) => { for (const k of this.kinds.values()) k.chart.setCursor(x, k.chart === active); },
    };
    this.kinds = new Map();
    this.charts = [];
    this.view = null;
    this.data = new RunData('');
    $('more-box').addEventListener('toggle', () => this.changed());
    addEventListener('theme', () => this.changed());
  }

  schema(charts) { this.charts = charts.map((c) => ({ ...c, key: `metric ${c.title}` })); }

  /** Shows a run from what is kept of it, or an empty one. */
  open(name, history = null) {
    if (name !== this.data.name) this.view = null;
    this.data = new RunData(name);
    this.data.whole = block(history?.steps ?? [], history?.series ?? {}, history?.low, history?.high);
    this.data.append({ evals: history?.evals ?? [], anomalies: history?.problems ?? [] });
    this.changed();
  }

  /** Takes in a line of metrics; true where it is time to have them thinned. */
  metrics(line) {
    const series = {};
    for (const [key, v] of Object.entries(line)) if (key !== 'step' && (typeof v === 'number' || v === null)) series[key] = [v];
    const row = block([line.step], series);
    for (const k of Object.values(row.keys)) if (k.mean[0] === null) k.bad = [1]; // not a finite number
    this.data.patch(row);
    this.changed();
    return this.data.whole.step.length > MOST;
  }

  evaluated(e) {
    this.data.evals = this.data.evals.filter((old) => old.step < e.step);
    this.data.append({ evals: [e] });
    this.changed();
  }

  anomaly(a) {
    this.data.append({ anomalies: [a] });
    this.changed();
  }

  zoom(view) {
    view = viewWithin(view, this.bounds());
    if (view === undefined) return;
    this.view = view;
    this.changed();
  }

  bounds() {
    const b = this.data.bounds('step');
    return b && b[0] !== b[1] ? b : [0, 1];
  }

  changed() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.draw();
    });
  }

  layout() {
    const [first, ...rest] = this.charts;
    if (!first) return;
    const wanted = [first, ...scoreKinds([this.data]), ...rest];
    if (wanted.length === this.kinds.size && [...this.kinds.keys()].every((k, i) => k === wanted[i].key)) return;
    const old = new Map(this.kinds);
    this.kinds.clear();
    wanted.forEach((kind, i) => {
      const k = old.get(kind.key) ?? Object.assign(kind, { chart: new Chart(kind, this.owner) });
      this.kinds.set(k.key, k);
      k.chart.resize(i ? 'half' : 'large');
      $(i ? 'more-charts' : 'charts').append(k.chart.element);
      old.delete(k.key);
    });
    for (const k of old.values()) k.chart.element.remove();
  }

  draw() {
    if ($('run-box').hidden || $('train').hidden) return;
    const whole = this.bounds();
    this.layout();
    const look = { name: this.data.name, color: color('--s0'), dash: [] };
    const open = $('more-box').open;
    [...this.kinds.values()].forEach((kind, i) => {
      if (i && !open) return;
      const curves = curvesOf(kind, look, this.data, this.view, 'step', false).filter(Boolean);
      smoothed(kind, curves, reachOf(whole[1] - whole[0], SMOOTH));
      kind.chart.show(curves, this.view ?? whole, whole, { axis: 'step', log: false, clip: false });
    });
  }
}
