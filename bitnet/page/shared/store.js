// What the page knows of a chosen run, kept up to date by the server's events.
//
// A block is a stretch of the metrics, a column for each number:
//   {width, first, steps, slot: [], step: [], tokens: [], time: [],
//    keys: {loss: {mean: [], low: []|null, high: []|null, bad: []|null}, ...}}
// Each row covers `width` steps; `slot` numbers the rows, so that a row that
// grew replaces its former state.

import { from } from './scale.js';

export class RunData {
  constructor(name) {
    this.name = name;
    this.whole = null;   // block over the whole run
    this.window = null;  // finer block of what is zoomed into
    this.evals = [];
    this.samples = [];
    this.anomalies = [];
    this.config = {};
    this.reading = -1;   // percent of a long log that the server has read, -1 if it has all
  }

  /** Takes in the newest rows; false if they do not fit and all has to be sent again. */
  patch(block) {
    const w = this.whole;
    if (!w || w.width !== block.width) return false;
    if (block.slot.length) splice(w, block);
    return true;
  }

  /** Takes in new lines of the other logs. */
  append({ evals = [], samples = [], anomalies = [], reset = false }) {
    if (reset) this.evals = this.samples = this.anomalies = [];
    this.evals = this.evals.concat(evals);
    this.samples = this.samples.concat(samples);
    this.anomalies = this.anomalies.concat(anomalies);
  }

  /** The block to draw a view from. */
  block(view, axis) {
    const w = this.window;
    if (!w || !view || !w.step.length) return this.whole;
    const [a, b] = this.toSteps(view, axis);
    return w.from <= a && w.to >= b ? w : this.whole;
  }

  /** A range of the axis as steps. */
  toSteps(view, axis) {
    const w = this.whole;
    if (axis === 'step' || !w?.step.length) return view.map(Math.round);
    const i = Math.max(0, from(w[axis], view[0]) - 1);
    const j = Math.min(w.step.length - 1, from(w[axis], view[1]));
    return [w.step[i], w.step[j]];
  }

  /** The place of a step on an axis, between the rows around it. */
  place(step, axis) {
    if (axis === 'step') return step;
    const w = this.whole;
    const n = w?.step.length ?? 0;
    if (!n) return null;
    const j = from(w.step, step);
    if (j >= n) return w[axis][n - 1];
    if (w.step[j] === step) return w[axis][j];
    const [s0, x0] = j ? [w.step[j - 1], w[axis][j - 1]] : [0, 0];
    return x0 + (w[axis][j] - x0) * (step - s0) / (w.step[j] - s0);
  }

  /** The first and last place on an axis, or null. */
  bounds(axis) {
    const xs = this.whole?.[axis];
    return xs?.length ? [0, xs[xs.length - 1]] : null;
  }
}

/** Replaces the rows of `w` from the first slot of `b` on. */
function splice(w, b) {
  const keep = from(w.slot, b.slot[0]);
  const join = (a, c) => { a.length = keep; a.push(...c); };
  const n = b.slot.length;
  for (const [name, add] of Object.entries(b.keys)) {
    w.keys[name] ??= { mean: new Array(keep).fill(null), low: null, high: null, bad: null };
    const k = w.keys[name];
    if (add.low && !k.low) [k.low, k.high] = [k.mean.slice(), k.mean.slice()];
    if (k.low) {
      join(k.low, add.low ?? add.mean);
      join(k.high, add.high ?? add.mean);
    }
    if (add.bad && !k.bad) k.bad = new Array(keep).fill(0);
    if (k.bad) join(k.bad, add.bad ?? new Array(n).fill(0));
    join(k.mean, add.mean);
  }
  for (const [name, k] of Object.entries(w.keys)) {
    if (b.keys[name]) continue;
    const nothing = new Array(n).fill(null);
    join(k.mean, nothing);
    if (k.low) { join(k.low, nothing); join(k.high, nothing); }
    if (k.bad) join(k.bad, new Array(n).fill(0));
  }
  for (const c of ['slot', 'step', 'tokens', 'time']) join(w[c], b[c]);
}
