// Numbers and times as people read them.

const MINUS = '−';
const sign = (text) => text.replace('-', MINUS);

/** 1234567 -> "1,234,567" */
export const count = (n) => (n == null ? '–' : sign(Math.round(n).toLocaleString('en')));

/** 1234567 -> "1.23M"; three significant digits at most. */
export function short(n) {
  if (n == null || !isFinite(n)) return '–';
  for (const [size, unit] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']]) {
    if (Math.abs(n) >= size * 0.9995) return sign(trim((n / size).toPrecision(3))) + unit;
  }
  return sign(trim(n.toPrecision(3)));
}

const trim = (text) => (text.includes('.') && !text.includes('e') ? text.replace(/\.?0+$/, '') : text);

/** A measured value with four significant digits; very small ones as 1.5e−3. */
export function value(n) {
  if (n == null || Number.isNaN(n)) return 'NaN';
  if (n === 0) return '0';
  const a = Math.abs(n);
  if (a < 1e-2) return sign(n.toExponential(2));
  if (a >= 1e4) return short(n);
  return sign(n.toPrecision(a < 1 ? 3 : 4));
}

/** How the ticks of an axis are written: all with as many digits as the smallest step needs. */
export function tickText(ticks, log) {
  const largest = Math.max(...ticks.map(Math.abs));
  const step = ticks.length > 1 ? Math.min(...ticks.slice(1).map((t, i) => Math.abs(t - ticks[i]))) : largest;
  if (log || largest < 1e-3) return (v) => (v === 0 ? '0' : Math.abs(v) < 1e-3 ? sign(trim0(v.toExponential(1))) : short(Number(v.toPrecision(3))));
  if (largest >= 1e4) return short;
  const digits = Math.max(0, -Math.floor(Math.log10(step || 1) + 1e-9));
  return (v) => (v === 0 ? '0' : digits === 0 ? count(v) : sign(v.toFixed(digits)));
}

const trim0 = (text) => text.replace('.0e', 'e');

export const percent = (share, digits = 1) => (share == null ? '–' : `${(100 * share).toFixed(digits)} %`);

/** Seconds -> "2 h 05 min". */
export function duration(s) {
  if (s == null || !isFinite(s)) return '–';
  if (s < 60) return `${Math.round(s)} s`;
  const min = Math.round(s / 60);
  if (min < 60) return `${min} min`;
  const h = Math.floor(min / 60);
  if (h < 48) return `${h} h ${String(min % 60).padStart(2, '0')} min`;
  return `${Math.floor(h / 24)} d ${h % 24} h`;
}

export const bytes = (n) => {
  if (!n) return '–';
  for (const [size, unit] of [[2 ** 40, 'TiB'], [2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [2 ** 10, 'KiB']]) {
    if (n >= size) return `${trim((n / size).toPrecision(3))} ${unit}`;
  }
  return `${n} B`;
};

/** Writes a number in a format of the server's table. */
export const write = (format, v) => (FORMATS[format] ?? value)(v);

const FORMATS = {
  plain: value, short, bytes, whole: count,
  ms: (v) => (v == null ? '–' : v >= 1e4 ? `${(v / 1000).toFixed(1)} s` : `${value(v)} ms`),
  percent: (v) => percent(v),
};

/** How the ticks of an axis are written in a format, or null for the usual way. */
export const writeTicks = (format) => ({ percent: (v) => percent(v, Number.isInteger(Number((v * 100).toFixed(6))) ? 0 : 1), bytes }[format] ?? null);

export const date = (ms) => (ms ? new Date(ms).toLocaleString() : '–');

/** How a position on the x axis is written; `fine` for a readout. */
export function position(axis, x, fine = false) {
  if (axis === 'time') return fine ? exactly(x) : clock(x);
  if (axis === 'tokens') return fine ? `${short(x)} tokens` : short(x);
  return fine ? `step ${count(x)}` : x < 1e4 ? count(x) : short(x);
}

const clock = (s) => (s < 60 ? `${trim(s.toFixed(1))} s` : s < 5400 ? `${trim((s / 60).toFixed(1))} min` : s < 172800 ? `${trim((s / 3600).toFixed(1))} h` : `${trim((s / 86400).toFixed(1))} d`);

/** Seconds -> "1 min 14 s", "3 h 05 min". */
function exactly(s) {
  if (s < 60) return `${trim(s.toFixed(1))} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${String(Math.floor(s % 60)).padStart(2, '0')} s`;
  return duration(s);
}
