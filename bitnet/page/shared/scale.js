// Axes: from values to pixels, and where the ticks go.

/** Linear or logarithmic map of [lo, hi] to [from, to] in pixels. */
export function scale(lo, hi, from, to, log = false) {
  const f = log ? Math.log10 : (v) => v;
  const a = f(lo), k = (to - from) / (f(hi) - a || 1);
  const map = (v) => from + (f(v) - a) * k;
  map.invert = (p) => (log ? 10 ** (a + (p - from) / k) : a + (p - from) / k);
  return map;
}

/** About n round values inside [lo, hi]. Time steps in seconds go by 1, 2, 5, 10, 15, 30 and so on. */
export function ticks(lo, hi, n, unit = '') {
  const span = hi - lo;
  if (!(span > 0)) return [lo];
  let step;
  if (unit === 'time' && span / n > 1) {
    const steps = [2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
    step = steps.find((s) => span / s <= n) ?? 86400 * Math.ceil(span / n / 86400);
  } else {
    const rough = 10 ** Math.floor(Math.log10(span / n));
    step = [1, 2, 5, 10].map((m) => m * rough).find((s) => span / s <= n);
    if (unit === 'step') step = Math.max(1, step);
  }
  const out = [];
  // Where a step is lost in rounding there is nothing to count.
  for (let i = Math.ceil(lo / step - 1e-9); i * step <= hi + 1e-9 * step && out.length < 1000; i++) out.push(i * step || 0); // no -0
  return out;
}

/** Ticks of a log axis: powers of ten, with 2 and 5 between where few fit; linear ticks below a factor of three. */
export function logTicks(lo, hi, n) {
  if (hi / lo < 3) return ticks(lo, hi, n);
  const decades = Math.log10(hi / lo);
  const between = decades < 1.5 ? [1, 2, 3, 5, 7] : decades < 3 ? [1, 2, 5] : [1];
  const every = Math.max(1, Math.ceil(decades / n));
  const out = [];
  for (let e = Math.floor(Math.log10(lo)); e <= Math.ceil(Math.log10(hi)); e++) {
    if (e % every) continue;
    for (const m of between) {
      const v = m * 10 ** e;
      if (v >= lo * (1 - 1e-9) && v <= hi * (1 + 1e-9)) out.push(v);
    }
  }
  return out;
}

/** The index of the x nearest to v in ascending xs, or -1. */
export function nearest(xs, v) {
  let lo = 0, hi = xs.length - 1;
  if (hi < 0) return -1;
  while (hi - lo > 1) {
    const mid = (lo + hi) >> 1;
    if (xs[mid] < v) lo = mid;
    else hi = mid;
  }
  return Math.abs(xs[lo] - v) <= Math.abs(xs[hi] - v) ? lo : hi;
}

/** The first index whose x is at least v. */
export function from(xs, v) {
  let lo = 0, hi = xs.length;
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if (xs[mid] < v) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}
