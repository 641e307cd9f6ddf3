// Exponential smoothing along x. The weight of a past value falls with its
// distance in x, not with the number of points between, so that a thinned
// curve is smoothed like the whole one.

/**
 * @param {number[]} xs ascending
 * @param {(number|null)[]} ys null where there is no number
 * @param {number} reach distance in x after which a value's weight is 1/e; 0 for none
 * @returns {(number|null)[]}
 */
export function smooth(xs, ys, reach) {
  if (!(reach > 0)) return ys;
  const out = new Array(ys.length);
  let sum = 0, weight = 0, last = xs[0];
  for (let i = 0; i < ys.length; i++) {
    const keep = Math.exp(-(xs[i] - last) / reach);
    sum *= keep;
    weight *= keep;
    last = xs[i];
    if (ys[i] == null) {
      out[i] = null;
      continue;
    }
    // Dense stretches must not outweigh sparse ones: a value counts by the x that it stands for.
    const gain = i === 0 ? 1 : Math.max(1 - keep, 1e-6);
    sum += gain * ys[i];
    weight += gain;
    out[i] = sum / weight;
  }
  return out;
}
