// Smoothing along x. A value's weight falls with its distance in x, to both
// sides, so that a smoothed curve does not lag behind, and not with the number
// of points between, so that a thinned curve is smoothed like the whole one.

/**
 * @param {number[]} xs ascending
 * @param {(number|null)[]} ys null where there is no number
 * @param {number} reach distance in x at which a value's weight is 1/e; 0 for no smoothing
 * @returns {(number|null)[]}
 */
export function smooth(xs, ys, reach) {
  if (!(reach > 0)) return ys;
  const n = ys.length;
  const sums = new Float64Array(n), weights = new Float64Array(n);
  // A value counts by the x that it stands for: dense stretches must not outweigh sparse ones.
  const width = (i) => Math.max((xs[Math.min(i + 1, n - 1)] - xs[Math.max(i - 1, 0)]) / 2, 1e-9);
  for (const step of [1, -1]) {
    let sum = 0, weight = 0, last = null;
    for (let i = step > 0 ? 0 : n - 1; i >= 0 && i < n; i += step) {
      if (last !== null) {
        const keep = Math.exp(-Math.abs(xs[i] - last) / reach);
        sum *= keep;
        weight *= keep;
      }
      last = xs[i];
      sums[i] += sum;
      weights[i] += weight;
      if (ys[i] == null) continue;
      sum += width(i) * ys[i];
      weight += width(i);
    }
  }
  return ys.map((y, i) => (y == null ? null : (sums[i] + width(i) * y) / (weights[i] + width(i))));
}
