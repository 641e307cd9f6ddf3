// One chart: heading, curves, readout, gestures, keys, and a table with the
// same values for those who do not see the curves.

import { el, nameOf, setText, table } from './dom.js';
import { position, write, writeTicks } from './format.js';
import { nearest, from } from './scale.js';
import { MARGIN, fit, extent, draw, cursor, selection } from './plot.js';
import { color } from './theme.js';

let serial = 0;
const TABLE_ROWS = 15;

export class Chart {
  /**
   * @param {{title: string, unit?: string, from_zero?: boolean, format: string}} kind
   * @param {{zoom(view: [number, number]): void, reset(): void, hover(x: number|null, chart: Chart|null): void,
   *   say(text: string): void}} owner what happens in one chart happens in all of them
   */
  constructor(kind, owner) {
    this.kind = kind;
    this.owner = owner;
    this.curves = [];
    this.view = this.bounds = [0, 1];
    this.options = { axis: 'step' };
    const id = `chart-${++serial}`;
    this.base = el('canvas', { 'aria-hidden': 'true' });
    this.over = el('canvas', { 'aria-hidden': 'true' });
    this.tip = el('div', { class: 'tip', 'aria-hidden': 'true', hidden: true });
    this.none = el('p', { class: 'none' }, 'nothing yet');
    this.plot = el('div', {
      class: 'plot', tabindex: 0, role: 'application', 'aria-roledescription': 'chart',
      'aria-label': kind.title, 'aria-describedby': 'chart-help',
    }, this.base, this.over, this.none, this.tip);
    this.now = el('span', { class: 'now' });
    this.button = el('button', { type: 'button', class: 'quiet', 'aria-expanded': 'false', onclick: () => this.toggleTable() }, 'table');
    this.list = el('div', { class: 'scroll', hidden: true });
    this.legend = el('ul', { class: 'curves', hidden: true });
    this.element = el('section', { class: 'panel chart', 'aria-labelledby': id },
      el('header', {}, el('h3', { id }, kind.title), kind.unit ? el('span', { class: 'unit' }, kind.unit) : null, this.now, this.button),
      this.legend, this.plot, this.list);
    this.gestures();
    new ResizeObserver(() => this.draw()).observe(this.plot);
  }

  /** Takes the room of a size: large, half or third. */
  resize(size) { this.element.className = `panel chart ${size}`; }

  /** Shows curves; `bounds` is everything there is on the x axis, `view` what of it is shown. */
  show(curves, view, bounds, options) {
    const moved = view[0] !== this.view[0] || view[1] !== this.view[1] || options.axis !== this.options.axis;
    Object.assign(this, { curves, view, bounds, options: { ...options, zero: this.kind.from_zero, tick: writeTicks(this.kind.format) } });
    this.draw();
    this.showLegend();
    this.describe();
    if (moved && !this.list.hidden) this.fillTable();
  }

  /** Names the curves where there are several: of several runs the runs, and once what is drawn with each. */
  showLegend() {
    const runs = new Set(this.curves.map((c) => c.label)).size;
    const own = runs > 1 ? this.curves.filter((c) => !c.aside) : this.curves;
    const shared = runs > 1 ? new Map(this.curves.filter((c) => c.aside).map((c) => [c.more, { color: this.colors?.dim, dash: c.dash }])) : new Map();
    const items = [...own.map((c) => [c, runs > 1 ? c.label : null, c.more]), ...[...shared].map(([more, c]) => [c, null, more])];
    const key = JSON.stringify(items.map(([c, ...text]) => [c.color, c.dash, text]));
    if (this.legendKey === key) return;
    this.legendKey = key;
    this.legend.hidden = items.length < 2;
    this.legend.replaceChildren(...items.map(([c, name, more]) => el('li', {}, swatch(c), name ? nameOf(name) : more || this.kind.title, name && more ? ` ${more}` : null)));
  }

  draw() {
    const width = this.plot.clientWidth, height = this.plot.clientHeight;
    if (!width || !height) return;
    this.colors = { grid: color('--grid'), dim: color('--dim'), bad: color('--bad'), accent: color('--accent'), panel: color('--panel') };
    const ctx = fit(this.base, width, height);
    const range = extent(this.curves, this.view, this.options);
    this.none.hidden = range !== null;
    this.scales = range && draw(ctx, width, height, this.curves, this.view, range, this.options, this.colors);
    this.overlay();
  }

  /** Draws what moves with the pointer. */
  overlay() {
    const width = this.plot.clientWidth, height = this.plot.clientHeight;
    const ctx = fit(this.over, width, height);
    if (!this.scales) return this.hideTip();
    if (this.drag?.moved) selection(ctx, height, this.drag.start, this.drag.now, this.colors);
    const inside = this.at != null && this.at >= this.view[0] && this.at <= this.view[1];
    if (inside) cursor(ctx, height, this.at, this.values(this.at), this.scales, this.colors);
    this.head(inside);
    if (inside && this.active) this.showTip(width);
    else this.hideTip();
  }

  /** The cursor of all charts is at x; `active` if the pointer or the keys are in this one. */
  setCursor(x, active) {
    if (this.at === x && this.active === active) return;
    this.at = x;
    this.active = active;
    this.overlay();
  }

  /** The value at the cursor, or else the newest, next to the title; of one run only. */
  head(inside) {
    const lines = this.curves.filter((c) => !c.aside);
    const c = lines[0];
    if (lines.length !== 1 || !c.x.length) return setText(this.now, '');
    const i = inside ? nearest(c.x, this.at) : c.x.length - 1;
    setText(this.now, this.write(c.raw?.[i] ?? c.y[i]));
  }

  write(v) { return v == null ? 'not a number' : write(this.kind.format, v); }

  /** What each curve says nearest to x; nothing of a run that ended before. */
  values(x) {
    const out = [], near = (this.view[1] - this.view[0]) * 0.02;
    for (const c of this.curves) {
      const i = nearest(c.x, x);
      if (i < 0 || c.y[i] == null || x > c.x.at(-1) + near || x < c.x[0] - 3 * near) continue;
      const spread = c.low && c.low[i] != null && c.high[i] != null && c.high[i] > c.low[i] ? [c.low[i], c.high[i]] : null;
      out.push({ curve: c, x: c.x[i], y: c.raw?.[i] ?? c.y[i], smooth: c.raw ? c.y[i] : null, spread });
    }
    return out;
  }

  showTip(width) {
    const axis = this.options.axis;
    const values = this.values(this.at);
    // Each value is at a step of its own; where that is one for all, it is said once.
    const places = values.map((v) => position(axis, v.x, true));
    const one = places.every((p) => p === places[0]);
    const rows = values.map((v, i) => el('tr', {},
      el('td', {}, swatch(v.curve)),
      el('th', {}, nameOf(v.curve.label), v.curve.more ? el('span', { class: 'dim' }, ` ${v.curve.more}`) : null),
      el('td', { class: 'num' }, this.write(v.y)),
      one ? null : el('td', { class: 'dim' }, places[i]),
      el('td', { class: 'dim' }, v.spread ? `${this.write(v.spread[0])} … ${this.write(v.spread[1])}` : '')));
    const p = this.scales.x(this.at);
    const notes = this.curves.flatMap((c) => (c.notes ?? []).filter((n) => Math.abs(this.scales.x(n.x) - p) < 6)
      .map((n) => el('p', { class: 'note' }, n.text)));
    this.tip.replaceChildren(el('p', {}, one && places.length ? places[0] : position(axis, this.at, true)), el('table', {}, ...rows), ...notes.slice(0, 3));
    this.tip.hidden = false;
    const w = this.tip.offsetWidth;
    const left = p + 14 + w < width ? p + 14 : p - 14 - w;
    this.tip.style.left = `${Math.max(4, Math.min(left, width - w - 4))}px`;
  }

  hideTip() { this.tip.hidden = true; }

  // ---- pointer

  gestures() {
    const { plot } = this;
    const place = (e) => e.clientX - plot.getBoundingClientRect().left;
    const toX = (p) => this.clamp(this.scales.x.invert(p));
    plot.addEventListener('pointerdown', (e) => {
      if (e.button !== 0 || !this.scales) return;
      this.drag = { start: place(e), now: place(e), moved: false };
      plot.setPointerCapture(e.pointerId);
    });
    plot.addEventListener('pointermove', (e) => {
      if (!this.scales) return;
      if (this.drag) {
        this.drag.now = place(e);
        this.drag.moved ||= Math.abs(this.drag.now - this.drag.start) > 5;
      }
      this.owner.hover(toX(place(e)), this);
      if (this.drag) this.overlay();
    });
    plot.addEventListener('pointerup', (e) => {
      const d = this.drag;
      this.drag = null;
      if (!d || !this.scales) return;
      if (d.moved && Math.abs(d.now - d.start) > 5) {
        const a = toX(Math.min(d.start, d.now)), b = toX(Math.max(d.start, d.now));
        if (b > a) this.owner.zoom([a, b]);
      } else {
        this.owner.hover(toX(place(e)), this);
      }
      this.overlay();
    });
    plot.addEventListener('pointercancel', () => {
      this.drag = null;
      this.overlay();
    });
    plot.addEventListener('pointerleave', (e) => {
      if (e.pointerType === 'mouse' && !this.drag) this.owner.hover(null, null);
    });
    plot.addEventListener('dblclick', () => this.owner.reset());
    plot.addEventListener('wheel', (e) => {
      // Elsewhere the wheel scrolls the page, as one expects.
      if (!this.scales || !(e.ctrlKey || e.metaKey || document.activeElement === plot)) return;
      e.preventDefault();
      if (e.deltaX && Math.abs(e.deltaX) > Math.abs(e.deltaY)) this.pan(e.deltaX / this.plot.clientWidth);
      else this.zoomAt(toX(place(e)), Math.exp(Math.max(-1, Math.min(1, e.deltaY / 300))));
    }, { passive: false });
    plot.addEventListener('keydown', (e) => this.key(e));
    plot.addEventListener('blur', () => this.owner.hover(null, null));
  }

  clamp(x) { return Math.min(Math.max(x, this.view[0]), this.view[1]); }

  zoomAt(x, factor) {
    const [a, b] = this.view;
    this.owner.zoom([x - (x - a) * factor, x + (b - x) * factor]);
  }

  pan(share) {
    const [a, b] = this.view;
    const by = Math.max(this.bounds[0] - a, Math.min((b - a) * share, this.bounds[1] - b));
    this.owner.zoom([a + by, b + by]);
  }

  // ---- keys

  key(e) {
    if (e.ctrlKey || e.metaKey || e.altKey || !this.scales) return;
    const x = this.at ?? (this.view[0] + this.view[1]) / 2;
    const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[e.key];
    if (move && e.shiftKey) this.pan(move * 0.2);
    else if (move) this.step(x, move);
    else if (e.key === 'Home' || e.key === 'End') this.moveTo(this.view[e.key === 'Home' ? 0 : 1]);
    else if (e.key === '+' || e.key === '=') this.zoomAt(x, 0.6);
    else if (e.key === '-' || e.key === '_') this.zoomAt(x, 1 / 0.6);
    else if (e.key === 't' || e.key === 'T') this.toggleTable();
    else return;
    e.preventDefault();
    e.stopPropagation();
  }

  /** Moves the cursor by points of the curve that has the most of them in view; by pixels where there are many. */
  step(x, by) {
    let best = null;
    for (const c of this.curves) {
      const n = from(c.x, this.view[1]) - from(c.x, this.view[0]);
      if (!best || n > best.n) best = { c, n };
    }
    if (!best?.c.x.length) return;
    const stride = Math.max(1, Math.round(best.n / 200));
    const i = nearest(best.c.x, x) + by * stride;
    this.moveTo(this.clamp(best.c.x[Math.max(0, Math.min(i, best.c.x.length - 1))]));
  }

  moveTo(x) {
    this.owner.hover(x, this);
    this.owner.say(`${position(this.options.axis, x, true)}: ${this.values(x).map((v) => `${full(v.curve)} ${this.write(v.y)}${v.x === x ? '' : ` at ${position(this.options.axis, v.x, true)}`}`).join('; ')}`);
  }

  // ---- words

  describe() {
    const parts = this.curves.filter((c) => c.x.length).map((c) => {
      const a = from(c.x, this.view[0]), b = from(c.x, this.view[1] * (1 + 1e-12) + 1e-12);
      let low = null, first = null, last = null;
      for (let i = a; i < b; i++) {
        const v = c.raw?.[i] ?? c.y[i];
        if (v == null) continue;
        first ??= v;
        last = v;
        if (low == null || v < low) low = v;
      }
      return first == null ? `${full(c)}: no value` : `${full(c)}: from ${this.write(first)} to ${this.write(last)}, lowest ${this.write(low)}`;
    });
    const { axis } = this.options;
    const where = parts.length ? `, ${position(axis, this.view[0], true)} to ${position(axis, this.view[1], true)}. ${parts.join('. ')}` : ': nothing yet';
    this.plot.setAttribute('aria-label', this.kind.title + where);
  }

  toggleTable() {
    this.list.hidden = !this.list.hidden;
    this.button.setAttribute('aria-expanded', String(!this.list.hidden));
    if (!this.list.hidden) this.fillTable();
  }

  fillTable() {
    const [a, b] = this.view;
    const { axis } = this.options;
    // The places of real points, as evenly spread as they come.
    const places = new Set();
    for (const c of this.curves) {
      const lo = from(c.x, a), hi = from(c.x, b * (1 + 1e-12));
      const n = Math.min(TABLE_ROWS, hi - lo);
      for (let i = 0; i < n; i++) places.add(c.x[lo + Math.round(i * (hi - lo - 1) / Math.max(1, n - 1))]);
      if (places.size >= TABLE_ROWS) break;
    }
    const rows = [...places].sort((p, q) => p - q).map((x) => {
      const here = position(axis, x, true);
      const at = new Map(this.values(x).map((v) => [v.curve, v]));
      return [here, ...this.curves.map((c) => {
        const v = at.get(c);
        if (!v) return '–';
        const there = position(axis, v.x, true);
        return there === here ? this.write(v.y) : `${this.write(v.y)} (${there})`;
      })];
    });
    this.list.replaceChildren(table(`${this.kind.title} in the view`, ['at', ...this.curves.map((c) => el('span', { class: 'run' }, swatch(c), nameOf(c.label), c.more ? ` ${c.more}` : null))], rows, (i) => i > 0));
  }
}

/** The name of a curve in full. */
const full = (c) => (c.more ? `${c.label}, ${c.more}` : c.label);

/** The mark of a curve: its colour, and whether it is dashed. */
export function swatch(curve) {
  const s = el('span', { class: curve.dash?.length ? 'swatch dashed' : 'swatch', 'aria-hidden': 'true' });
  s.style.color = curve.color;
  return s;
}
