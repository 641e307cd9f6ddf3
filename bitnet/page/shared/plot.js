// Draws curves, axes and cursor on a canvas. Knows nothing of pages or runs.

import { scale, ticks, logTicks, from } from './scale.js';
import { position, tickText } from './format.js';

export const MARGIN = { left: 54, right: 14, top: 10, bottom: 24 };
const EDGE = 4; // by which a dot at the edge reaches over it

/**
 * A curve. All arrays have the same length; y is null where there is no number.
 * @typedef {{label: string, more?: string, color: string, dash: number[], x: number[], y: (number|null)[],
 *   raw?: (number|null)[], low?: (number|null)[], high?: (number|null)[], marks?: boolean, bad?: number[],
 *   notes?: {x: number, text: string}[]}} Curve
 */

/** Fits a canvas to its box in device pixels; returns its context, drawing in CSS pixels. */
export function fit(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  const w = Math.round(width * ratio), h = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
  }
  const ctx = canvas.getContext('2d');
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  return ctx;
}

/** The range of values that are in view: [lo, hi], or null if there are none. */
export function extent(curves, view, { log, zero, clip }) {
  let lo = Infinity, hi = -Infinity;
  const drawn = [];
  for (const c of curves) {
    const [a, b] = inView(c.x, view);
    for (let i = a; i < b; i++) {
      for (const v of [c.y[i], c.raw?.[i], clip ? null : c.low?.[i], clip ? null : c.high?.[i]]) {
        if (v == null || (log && v <= 0)) continue;
        if (v < lo) lo = v;
        if (v > hi) hi = v;
        if (clip) drawn.push(v);
      }
    }
  }
  if (lo > hi) return null;
  if (clip && drawn.length > 20) {
    drawn.sort((a, b) => a - b);
    lo = drawn[Math.floor(0.01 * drawn.length)];
    hi = drawn[Math.ceil(0.99 * drawn.length) - 1];
  }
  // Rounding makes a constant vary in its last digits, which no axis can show.
  if (hi - lo < 1e-9 * Math.max(Math.abs(lo), Math.abs(hi))) hi = lo;
  if (log) {
    const pad = (hi / lo) ** 0.05;
    return lo === hi ? [lo / 2, hi * 2] : [lo / pad, hi * pad];
  }
  if (zero) {
    lo = Math.min(lo, 0);
    hi = Math.max(hi, 0);
  }
  const pad = (hi - lo || Math.abs(hi) || 1) * 0.05;
  return [zero && lo === 0 ? 0 : lo - pad, hi + pad];
}

/** The indices [a, b) in view, with one more point on both sides so that lines run to the edge. */
function inView(x, view) {
  return [Math.max(0, from(x, view[0]) - 1), Math.min(x.length, from(x, view[1]) + 1)];
}

/** Draws everything but the cursor and returns the two scales. */
export function draw(ctx, width, height, curves, view, range, options, colors) {
  const { left, right, top, bottom } = MARGIN;
  const x = scale(view[0], view[1], left, width - right);
  const y = scale(range[0], range[1], height - bottom, top, options.log);
  axes(ctx, width, height, x, y, view, range, options, colors);
  ctx.save();
  ctx.beginPath();
  ctx.rect(left - EDGE, top - EDGE, width - left - right + 2 * EDGE, height - top - bottom + 2 * EDGE);
  ctx.clip();
  for (const c of curves) band(ctx, c, view, x, y, options.log);
  for (const c of curves) if (c.raw) line(ctx, c, c.raw, view, x, y, options.log, 0.28, 1);
  for (const c of curves) line(ctx, c, c.y, view, x, y, options.log, 1, 1.75);
  ctx.restore();
  for (const c of curves) {
    notFinite(ctx, c, view, x, top, colors);
    flags(ctx, c, view, x, height - bottom, colors);
  }
  return { x, y };
}

function axes(ctx, width, height, x, y, view, range, options, colors) {
  const { left, right, top, bottom } = MARGIN;
  ctx.font = '11px system-ui, sans-serif';
  ctx.lineWidth = 1;
  ctx.strokeStyle = colors.grid;
  ctx.fillStyle = colors.dim;
  ctx.textAlign = 'right';
  ctx.textBaseline = 'middle';
  const rows = Math.max(2, Math.floor((height - top - bottom) / 36));
  const vertical = options.log ? logTicks(range[0], range[1], rows) : ticks(range[0], range[1], rows);
  const text = options.tick ?? tickText(vertical, options.log);
  ctx.beginPath();
  for (const v of vertical) {
    const p = Math.round(y(v)) + 0.5;
    ctx.moveTo(left, p);
    ctx.lineTo(width - right, p);
    ctx.fillText(text(v), left - 7, p);
  }
  ctx.stroke();
  ctx.textAlign = 'center';
  ctx.textBaseline = 'top';
  const columns = Math.max(2, Math.floor((width - left - right) / 80));
  for (const v of ticks(view[0], view[1], columns, options.axis)) {
    const text = position(options.axis, v);
    const half = ctx.measureText(text).width / 2;
    const p = Math.min(Math.max(x(v), left + half - 8), width - half - 2);
    ctx.fillText(text, p, height - bottom + 8);
  }
}

function band(ctx, c, view, x, y, log) {
  if (!c.low || !c.high) return;
  const [a, b] = inView(c.x, view);
  ctx.fillStyle = ctx.strokeStyle = c.color;
  ctx.lineWidth = 0.8;
  let start = -1;
  const close = (end) => {
    if (start < 0) return;
    ctx.beginPath();
    for (let i = start; i < end; i++) ctx.lineTo(x(c.x[i]), y(c.high[i]) - 0.5);
    for (let i = end - 1; i >= start; i--) ctx.lineTo(x(c.x[i]), y(c.low[i]) + 0.5);
    ctx.globalAlpha = 0.16;
    ctx.fill();
    ctx.globalAlpha = 0.4; // a spike of one row is thinner than what can be seen filled
    ctx.stroke();
    start = -1;
  };
  for (let i = a; i < b; i++) {
    const here = c.low[i] != null && c.high[i] != null && !(log && c.low[i] <= 0);
    if (!here) close(i);
    else if (start < 0) start = i;
  }
  close(b);
  ctx.globalAlpha = 1;
}

function line(ctx, c, ys, view, x, y, log, alpha, width) {
  const [a, b] = inView(c.x, view);
  ctx.globalAlpha = alpha;
  ctx.strokeStyle = ctx.fillStyle = c.color;
  ctx.lineWidth = width;
  ctx.lineJoin = 'round';
  ctx.setLineDash(c.dash);
  ctx.beginPath();
  let pen = false;
  for (let i = a; i < b; i++) {
    const v = ys[i];
    if (v == null || (log && v <= 0)) {
      pen = false;
      continue;
    }
    if (pen) ctx.lineTo(x(c.x[i]), y(v));
    else ctx.moveTo(x(c.x[i]), y(v));
    pen = true;
  }
  ctx.stroke();
  ctx.setLineDash([]);
  // Few points are also drawn as dots, so that a curve of one point can be seen.
  if (c.marks && b - a <= 80 || b - a <= 3) {
    for (let i = a; i < b; i++) {
      if (ys[i] == null || (log && ys[i] <= 0)) continue;
      ctx.beginPath();
      ctx.arc(x(c.x[i]), y(ys[i]), 2.6, 0, 7);
      ctx.fill();
    }
  }
  ctx.globalAlpha = 1;
}

/** Marks where values were NaN or infinite. */
function notFinite(ctx, c, view, x, top, colors) {
  ctx.strokeStyle = colors.bad;
  ctx.lineWidth = 1.5;
  ctx.beginPath();
  for (const at of c.bad ?? []) {
    if (at < view[0] || at > view[1]) continue;
    const p = x(at);
    ctx.moveTo(p - 3, top - 3);
    ctx.lineTo(p + 3, top + 3);
    ctx.moveTo(p + 3, top - 3);
    ctx.lineTo(p - 3, top + 3);
  }
  ctx.stroke();
}

/** Marks where something is to be said, with a triangle that points at the axis. */
function flags(ctx, c, view, x, foot, colors) {
  for (const { x: at } of c.notes ?? []) {
    if (at < view[0] || at > view[1]) continue;
    const p = x(at);
    ctx.fillStyle = colors.bad;
    ctx.beginPath();
    ctx.moveTo(p, foot);
    ctx.lineTo(p - 4, foot - 7);
    ctx.lineTo(p + 4, foot - 7);
    ctx.fill();
  }
}

/** Draws the cursor at a place of the x axis, with a dot on each curve's nearest point, as Chart.values gives them. */
export function cursor(ctx, height, at, points, scales, colors) {
  const p = Math.round(scales.x(at)) + 0.5;
  ctx.strokeStyle = colors.dim;
  ctx.lineWidth = 1;
  ctx.beginPath();
  ctx.moveTo(p, MARGIN.top);
  ctx.lineTo(p, height - MARGIN.bottom);
  ctx.stroke();
  for (const { curve, x, smooth, y } of points) {
    const h = scales.x(x), v = scales.y(smooth ?? y);
    if (!isFinite(v) || v < MARGIN.top - 4 || v > height - MARGIN.bottom + 4 || h < MARGIN.left - 1) continue;
    ctx.beginPath();
    ctx.arc(h, v, 4, 0, 7);
    ctx.fillStyle = curve.color;
    ctx.fill();
    ctx.strokeStyle = colors.panel;
    ctx.lineWidth = 1.5;
    ctx.stroke();
  }
}

/** Shades what is being marked by a drag, from pixel a to b. */
export function selection(ctx, height, a, b, colors) {
  ctx.fillStyle = colors.accent;
  ctx.globalAlpha = 0.18;
  ctx.fillRect(Math.min(a, b), MARGIN.top, Math.abs(b - a), height - MARGIN.top - MARGIN.bottom);
  ctx.globalAlpha = 1;
}
