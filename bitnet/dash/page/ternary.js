// How the weights divide into -1, 0 and +1: for each kind of projection a
// strip, a line a layer and a column a moment; and the three shares of one
// projection, or of all, over time.

import { $, el, setOptions, setText, table } from './dom.js';
import { percent, position } from './format.js';
import { fetchTernary } from './live.js';
import { nearest } from './scale.js';
import { MARGIN, fit, draw } from './plot.js';
import { color } from './theme.js';

const COLUMNS = 240;
const ALL = '';

/** model.layers.3.self_attn.q_proj.weight -> {kind: 'q_proj', layer: 3} */
function parse(name) {
  const m = /(?:^|\.)layers\.(\d+)\.(?:\w+\.)*?(\w+?)(?:\.weight)?$/.exec(name);
  return m ? { kind: m[2], layer: Number(m[1]) } : { kind: name, layer: 0 };
}

// Dark blue over teal to yellow: even to the eye, and clear without red and green.
const STOPS = [[68, 30, 110], [59, 82, 139], [33, 144, 141], [93, 201, 99], [253, 231, 37]];
function shade(t) {
  const p = Math.min(Math.max(t, 0), 1) * (STOPS.length - 1), i = Math.min(Math.floor(p), STOPS.length - 2);
  return STOPS[i].map((c, k) => c + (STOPS[i + 1][k] - c) * (p - i));
}

export class Ternary {
  constructor(owner) {
    this.owner = owner; // {view(name): [from, to] in steps, or null for the whole run; reading(name): whether more of its log is to come}
    this.strips = new Map();
    this.data = null;
    for (const id of ['ternary-run', 'ternary-share', 'ternary-weight']) $(id).addEventListener('change', () => (id === 'ternary-run' ? this.load() : this.render()));
    $('ternary-table').addEventListener('toggle', () => this.fillTable());
    const gradient = $('scale').getContext('2d');
    for (let x = 0; x < 120; x++) {
      gradient.fillStyle = `rgb(${shade(x / 119).join()})`;
      gradient.fillRect(x, 0, 1, 10);
    }
    const stack = $('stack');
    stack.addEventListener('pointermove', (e) => this.hoverStack(e));
    stack.addEventListener('pointerleave', () => { stack.querySelector('.tip').hidden = true; });
    new ResizeObserver(() => this.render()).observe($('ternary'));
  }

  /** The runs that may be looked at; keeps the one in sight if it is still among them. */
  choose(names) {
    const before = $('ternary-run').value;
    setOptions($('ternary-run'), names.map((n) => [n, n]));
    if ($('ternary-run').value !== before || !this.data) this.load();
  }

  get run() { return $('ternary-run').value; }

  /** A run's log was read again from the beginning; a resumed run may have cut it. */
  renewed(name, last) {
    if (name === this.run && this.data?.step.at(-1) > last) this.load();
    else this.grown(name);
  }

  /** Something was added to a run's log. */
  grown(name) {
    if (name !== this.run || this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      this.more();
    }, 1000);
  }

  /** Asks for the columns behind the newest. */
  async more() {
    const d = this.data;
    if (!d || d.run !== this.run) return this.load();
    if (d.busy) return;
    const view = this.owner.view(d.run);
    const last = d.step.at(-1) ?? 0;
    if (view && view[1] < last) return;
    if (!d.step.length || d.step.length > 2 * COLUMNS) return this.load();
    d.busy = true;
    try {
      const add = await fetchTernary(d.run, last + 1, Number.MAX_SAFE_INTEGER, COLUMNS);
      if (this.data !== d) return;
      if (add.step.length && String(add.names) !== String(d.names)) return void this.load();
      d.step.push(...add.step);
      d.shares.forEach((s, i) => s.forEach((column, k) => column.push(...(add.shares[i]?.[k] ?? []))));
      if (add.step.length) this.render();
    } catch { /* the stream says when the server is gone */ } finally {
      d.busy = false;
    }
  }

  /** Reads all that is in view. */
  async load() {
    const run = this.run;
    this.abort?.abort();
    if (!run) {
      this.data = null;
      return this.render();
    }
    this.abort = new AbortController();
    const [from, to] = this.owner.view(run) ?? [0, Number.MAX_SAFE_INTEGER];
    try {
      const d = await fetchTernary(run, from, to, COLUMNS, this.abort.signal);
      if (this.run !== run) return;
      this.data = { ...d, run };
      this.group();
      this.render();
    } catch { /* aborted, or the server is gone */ }
  }

  /** Sorts the projections by kind and layer, and makes their strips. */
  group() {
    const kinds = new Map();
    this.data.names.forEach((name, i) => {
      const { kind, layer } = parse(name);
      if (!kinds.has(kind)) kinds.set(kind, []);
      kinds.get(kind).push({ layer, i });
    });
    const order = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];
    const rank = (k) => (order.includes(k) ? order.indexOf(k) : order.length);
    this.kinds = [...kinds].sort((a, b) => rank(a[0]) - rank(b[0]) || (a[0] < b[0] ? -1 : 1));
    for (const [, rows] of this.kinds) rows.sort((a, b) => a.layer - b.layer);
    setOptions($('ternary-weight'), [[ALL, 'all weights'], ...this.data.names.map((n) => [n, n.replace(/^model\.layers\./, 'layer ').replace(/\.weight$/, '')])]);
    const names = this.kinds.map(([k]) => k).join('\n');
    if (names === this.shown) return;
    this.shown = names;
    this.strips.clear();
    for (const [kind] of this.kinds) {
      const canvas = el('canvas', { role: 'img' });
      const tip = el('div', { class: 'tip', hidden: true, 'aria-hidden': 'true' });
      const value = el('span', { class: 'now' });
      const box = el('div', { class: 'strip' }, canvas, tip);
      box.addEventListener('pointermove', (e) => this.hover(e, kind));
      box.addEventListener('pointerleave', () => { tip.hidden = true; });
      box.addEventListener('click', (e) => {
        const at = this.under(e, kind);
        if (!at) return;
        $('ternary-weight').value = this.data.names[at.row.i];
        this.render();
      });
      this.strips.set(kind, { canvas, tip, value, box });
    }
    $('strips').replaceChildren(...this.kinds.map(([kind]) => {
      const s = this.strips.get(kind);
      return el('figure', {}, el('figcaption', {}, kind, s.value), s.box);
    }));
  }

  render() {
    const d = this.data;
    const none = !d || !d.names.length || !d.step.length;
    $('no-ternary').hidden = !none || !d || this.owner.reading(d.run);
    $('ternary').hidden = none;
    $('scale-box').hidden = none;
    if (none) return;
    const k = Number($('ternary-share').value);
    let lo = 1, hi = 0;
    for (const s of d.shares) for (const v of s[k]) if (v != null) { lo = Math.min(lo, v); hi = Math.max(hi, v); }
    if (lo > hi) [lo, hi] = [0, 1];
    if (hi - lo < 0.02) [lo, hi] = [Math.max(0, (lo + hi) / 2 - 0.01), Math.min(1, (lo + hi) / 2 + 0.01)];
    setText($('scale-low'), percent(lo));
    setText($('scale-high'), percent(hi));
    for (const [kind, rows] of this.kinds) this.strip(kind, rows, k, lo, hi);
    this.stack();
    if ($('ternary-table').open && !this.filled) this.fillTable();
  }

  strip(kind, rows, k, lo, hi) {
    const { canvas, value, box } = this.strips.get(kind);
    const d = this.data, n = d.step.length, width = box.clientWidth;
    const each = Math.max(3, Math.min(18, Math.round(96 / rows.length))), height = each * rows.length;
    box.style.height = `${height}px`;
    const ctx = fit(canvas, width, height);
    // One pixel a value, enlarged: the browser does that faster than rectangles.
    const image = new ImageData(n, rows.length);
    let sum = 0, counted = 0;
    rows.forEach(({ i }, r) => {
      const column = d.shares[i][k];
      for (let x = 0; x < n; x++) {
        if (column[x] == null) continue;
        image.data.set([...shade((column[x] - lo) / (hi - lo)), 255], 4 * (r * n + x));
      }
      const last = column[n - 1];
      if (last != null) { sum += last; counted++; }
    });
    const small = new OffscreenCanvas(n, rows.length);
    small.getContext('2d').putImageData(image, 0, 0);
    ctx.imageSmoothingEnabled = false;
    ctx.drawImage(small, 0, 0, width, height);
    ctx.fillStyle = color('--panel');
    if (each > 5) for (let r = 1; r < rows.length; r++) ctx.fillRect(0, r * each - 0.5, width, 1);
    const mean = counted ? percent(sum / counted) : '–';
    setText(value, mean);
    canvas.setAttribute('aria-label', `${kind}: share of ${$('ternary-share').selectedOptions[0].label} in ${rows.length} layers, ${mean} on average at step ${d.step[n - 1]}`);
  }

  under(e, kind) {
    const box = this.strips.get(kind).box.getBoundingClientRect();
    const rows = this.kinds.find(([k]) => k === kind)[1];
    const n = this.data.step.length;
    const column = Math.floor((e.clientX - box.left) / box.width * n), r = Math.floor((e.clientY - box.top) / box.height * rows.length);
    return rows[r] && column >= 0 && column < n ? { row: rows[r], column, x: e.clientX - box.left, width: box.width } : null;
  }

  hover(e, kind) {
    const at = this.under(e, kind);
    const { tip } = this.strips.get(kind);
    tip.hidden = !at;
    if (!at) return;
    this.fillTip(tip, `${kind}, layer ${at.row.layer}`, at.column, this.data.shares[at.row.i], at.x, at.width);
  }

  fillTip(tip, title, column, shares, x, width) {
    tip.replaceChildren(el('p', {}, title), el('p', { class: 'dim' }, position('step', this.data.step[column], true)),
      el('p', {}, `−1 ${percent(shares[0][column])}   0 ${percent(shares[1][column])}   +1 ${percent(shares[2][column])}`));
    tip.hidden = false;
    tip.style.left = `${Math.max(0, Math.min(x + 12, width - tip.offsetWidth))}px`;
  }

  /** The three shares of the chosen weight, or the mean of all: [minus, zero, plus], a value a column. */
  chosenShares() {
    const d = this.data, name = $('ternary-weight').value;
    const i = d.names.indexOf(name);
    if (i >= 0) return d.shares[i];
    return [0, 1, 2].map((k) => d.step.map((_, x) => {
      let sum = 0, n = 0;
      for (const s of d.shares) if (s[k][x] != null) { sum += s[k][x]; n++; }
      return n ? sum / n : null;
    }));
  }

  stack() {
    const d = this.data, box = $('stack'), canvas = box.querySelector('canvas');
    const width = box.clientWidth, height = box.clientHeight;
    if (!width) return;
    const ctx = fit(canvas, width, height);
    const shares = this.chosenShares();
    const colors = { grid: color('--grid'), dim: color('--dim'), bad: color('--bad') };
    const view = d.step.length > 1 ? [d.step[0], d.step.at(-1)] : [d.step[0] - 1, d.step[0] + 1];
    const { x, y } = draw(ctx, width, height, [], view, [0, 1], { axis: 'step', tick: (v) => percent(v, 0) }, colors);
    this.stackScale = x;
    let floor = d.step.map(() => 0);
    ['--minus', '--zero', '--plus'].forEach((name, k) => {
      const top = floor.map((f, i) => f + (shares[k][i] ?? 0));
      ctx.fillStyle = color(name);
      ctx.beginPath();
      d.step.forEach((s, i) => ctx.lineTo(x(s), y(top[i])));
      for (let i = d.step.length - 1; i >= 0; i--) ctx.lineTo(x(d.step[i]), y(floor[i]));
      ctx.fill();
      floor = top;
    });
    const at = d.step.length - 1;
    const title = $('ternary-weight').selectedOptions[0]?.label ?? 'all weights';
    canvas.setAttribute('aria-label', `${title} at step ${d.step[at]}: −1 ${percent(shares[0][at])}, 0 ${percent(shares[1][at])}, +1 ${percent(shares[2][at])}`);
    this.stackShares = shares;
  }

  hoverStack(e) {
    if (!this.data || !this.stackScale) return;
    const box = $('stack').getBoundingClientRect();
    const p = e.clientX - box.left;
    if (p < MARGIN.left - 4 || p > box.width - MARGIN.right + 4) return;
    const i = nearest(this.data.step, this.stackScale.invert(p));
    if (i < 0) return;
    this.fillTip($('stack').querySelector('.tip'), $('ternary-weight').selectedOptions[0].label, i, this.stackShares, p, box.width);
  }

  fillTable() {
    this.filled = $('ternary-table').open;
    const d = this.data;
    if (!this.filled || !d?.step.length) return;
    const at = d.step.length - 1;
    const rows = d.names.map((n, i) => [n, ...[0, 1, 2].map((k) => percent(d.shares[i][k][at]))]);
    $('ternary-table').querySelector('.scroll').replaceChildren(table(`Shares at step ${d.step[at]}`, ['weight', '−1', '0', '+1'], rows, (i) => i > 0));
  }
}
