// From what is known of a run to curves of a chart. No metric is named here: a
// kind of chart says which it shows.
//
// A kind is {title, format, curves: [{key, title, spread}], score?, smooth?} for
// metrics, or {title, format, of} for a score of the evaluations. A look is
// {name, color, dash} of a run.

import { count } from './format.js';
import { smooth } from './smooth.js';
import { color } from './theme.js';

export const COLORS = 8; // --s0 to --s7

/** The curves of a kind for one run; `whole` leaves the parts of a score out. */
export function curvesOf(kind, look, data, view, axis, whole) {
  if (kind.of !== undefined) return [...(whole ? [] : partsOf(kind.of, look, data, axis)), score(kind.of, '', look, data, axis)];
  return [...kind.curves.map((line, i) => metric(kind, line, i, look, data, view, axis)), kind.score ? score(kind.score, '', look, data, axis, true) : null];
}

/** The scores of evaluations as kinds, those of all runs, in their order. */
export function scoreKinds(runs) {
  const scores = new Map();
  for (const data of runs) for (const e of data?.evals ?? []) for (const s of e.scores) if (!scores.has(s.name)) scores.set(s.name, s.format);
  return [...scores].map(([name, format]) => ({ key: `score ${name}`, title: name, format, of: name, from_zero: format === 'percent' }));
}

/** A metric as a curve; its band is of `line.spread`, where that is logged too. */
function metric(kind, line, i, { name, color, dash }, data, view, axis) {
  const block = data?.block(view, axis);
  const k = block?.keys[line.key] ?? block?.keys[line.spread];
  if (!k) return null;
  const s = block.keys[line.spread] ?? k;
  const x = block[axis];
  const bad = k.bad ? x.filter((_, i) => k.bad[i] > 0) : [];
  const notes = kind.smooth && i === 0
    ? data.anomalies.map((a) => ({ x: data.place(a.step, axis), text: `${a.kind.replaceAll('_', ' ')} at step ${count(a.step)}` })) : [];
  return { label: name, more: kind.curves.length > 1 ? line.title : '', color, dash, x, y: k.mean, low: s.low, high: s.high, bad, notes };
}

/** A score of the evaluations as a curve; `aside` if it goes along with a metric of the same run. */
function score(of, part, { name, color, dash }, data, axis, aside = false) {
  const list = (data?.evals ?? []).map((e) => [e.step, e.scores.find((s) => s.name === of && (s.part ?? '') === part)]).filter(([, s]) => s);
  if (!list.length) return null;
  return { label: name, more: aside ? of : part, color, dash: aside ? [5, 4] : dash, x: list.map(([step]) => data.place(step, axis)), y: list.map(([, s]) => s.value), marks: true, aside };
}

/** The parts of a score of one run, each in a colour of its own. */
function partsOf(of, look, data, axis) {
  const parts = new Set();
  for (const e of data?.evals ?? []) for (const s of e.scores) if (s.name === of && s.part) parts.add(s.part);
  return [...parts].map((part, i) => ({ ...score(of, part, { ...look, color: color(`--s${(i + 1) % COLORS}`), dash: [2, 3] }, data, axis), aside: true }));
}

/** Smooths the curves of a kind that is smoothed; `reach` is on the x axis. */
export function smoothed(kind, curves, reach) {
  if (!kind.smooth || !reach) return;
  for (const c of curves) {
    if (c.marks) continue;
    c.raw = c.y;
    c.y = smooth(c.x, c.raw, reach);
  }
}

/** How far a percentage of smoothing reaches on an axis of a length. */
export const reachOf = (length, percent) => length * 0.15 * (percent / 100) ** 2;

/** The first chart is large; the others fill rows of three, or of two where one or two would be left over. */
export function layoutSizes(n) {
  const halves = { 0: 0, 1: n > 2 ? 4 : 1, 2: 2 }[(n - 1) % 3];
  return Array.from({ length: n }, (_, i) => (i === 0 || n === 2 ? 'large' : i <= halves ? 'half' : 'third'));
}

/** A view inside the whole: null for everything, undefined for one too narrow to show. */
export function viewWithin(view, whole) {
  if (!view) return null;
  const least = (whole[1] - whole[0]) * 1e-6 || 1;
  const [a, b] = [Math.max(view[0], whole[0]), Math.min(view[1], whole[1])];
  if (b - a < least) return undefined;
  return a <= whole[0] && b >= whole[1] ? null : [a, b];
}
