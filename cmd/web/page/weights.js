// The ternary weights of a projection as a picture, a pixel a weight.

import { $, setOptions, setText } from './dom.js';
import { count, percent } from './format.js';
import { color } from './theme.js';

const NAMES = ['--minus', '--zero', '--plus'];

/** "rgb(1, 2, 3)" -> [1, 2, 3] */
const channels = (name) => color(name).match(/[\d.]+/g).slice(0, 3).map(Number);

/** model.layers.0.self_attn.q_proj.weight -> layer 0, self_attn.q_proj */
const short = (name) => name.replace(/^model\.layers\.(\d+)\./, 'layer $1, ').replace(/\.weight$/, '');

export class Weights {
  constructor() {
    this.pictures = new Map(); // name -> the newest picture of that projection
    this.chosen = '';          // '' follows whatever came last
    $('weights-name').addEventListener('change', () => {
      this.chosen = $('weights-name').value;
      this.draw();
    });
    addEventListener('theme', () => this.draw());
  }

  clear() {
    this.pictures.clear();
    this.newest = null;
    this.chosen = '';
    this.draw();
  }

  take(w) {
    this.pictures.set(w.name, w);
    this.newest = w;
    setOptions($('weights-name'), [['', 'each in turn'], ...w.names.map((n) => [n, short(n)])]);
    if (this.chosen && !w.names.includes(this.chosen)) this.chosen = '';
    if (!this.chosen || this.chosen === w.name) this.draw();
  }

  draw() {
    const w = this.chosen ? this.pictures.get(this.chosen) : this.newest;
    $('no-weights').hidden = !!w;
    setText($('no-weights'), this.chosen ? 'Its picture comes in turn.' : 'The picture is drawn while it trains.');
    $('weights').hidden = !w;
    $('weights-name').hidden = !this.newest;
    if (!w) return;
    const canvas = $('weights-canvas');
    canvas.width = w.cols;
    canvas.height = w.rows;
    const colors = NAMES.map(channels);
    const image = new ImageData(w.cols, w.rows);
    for (let i = 0; i < w.rows * w.cols; i++) {
      const c = colors[w.codes[i]] ?? colors[1];
      image.data[4 * i] = c[0];
      image.data[4 * i + 1] = c[1];
      image.data[4 * i + 2] = c[2];
      image.data[4 * i + 3] = 255;
    }
    canvas.getContext('2d').putImageData(image, 0, 0);
    // Small projections are enlarged, so that single weights can be seen.
    canvas.style.width = `${Math.min(512, w.cols * Math.max(1, Math.floor(384 / Math.max(w.cols, w.rows))))}px`;
    [...$('weights-shares').children].forEach((e, i) => { e.style.flexGrow = w.shares[i]; });
    const part = w.rows < w.all_rows || w.cols < w.all_cols ? `the upper left ${w.rows} x ${w.cols} of ${count(w.all_rows)} x ${count(w.all_cols)}` : `${w.rows} x ${w.cols}`;
    const shares = `−1 ${percent(w.shares[0])}, 0 ${percent(w.shares[1])}, +1 ${percent(w.shares[2])}`;
    const changed = w.changed >= 0 ? ` ${percent(w.changed, 2)} of them changed since the picture before.` : '';
    setText($('weights-text'), `${short(w.name)} at step ${count(w.step)}: ${part}. ${shares}.${changed}`);
    canvas.setAttribute('aria-label', `Ternary weights of ${$('weights-text').textContent}`);
  }
}
