// Tic-tac-toe against a model, with what it thinks of each square.

import { $, el, setOptions, setText } from './dom.js';
import { percent } from './format.js';

const PAUSE = 450;  // ms between two moves at least, so that one sees them
const CELLS = [1, 2, 3, 4, 5, 6, 7, 8, 9];
const SMALL = 0.0005; // below it a probability is written as 0

/** A probability as a share of 100: 0 %, 0.4 %, 12 %, 100 %. */
const likely = (p) => (p < SMALL ? '0 %' : percent(p, p < 0.0995 ? 1 : 0));

export class Play {
  constructor(app) {
    this.app = app;
    this.moves = '';
    this.side = 'X';
    this.thought = null;   // of the position on the board
    this.last = null;      // what it thought before its last move
    this.busy = false;     // the model is asked or about to move
    this.game = 0;         // answers of an earlier game are dropped
    this.illegal = 0;      // the cell that lost the game, for being taken
    this.tally = { won: 0, drawn: 0, lost: 0 };
    this.counted = false;
    this.keys = { n: () => this.begin(), u: () => this.back() };
    for (const c of CELLS) this.keys[c] = () => this.press(c);
    this.build();
    this.draw();
  }

  build() {
    this.squares = CELLS.map((c) => {
      const mark = el('span', { class: 'mark', 'aria-hidden': 'true' }), share = el('span', { class: 'share', 'aria-hidden': 'true' });
      const b = el('button', { type: 'button', class: 'square', tabindex: c === 5 ? 0 : -1, 'aria-disabled': 'true', onclick: () => this.press(c) },
        el('span', { class: 'tint', 'aria-hidden': 'true' }), mark, share, el('span', { class: 'number', 'aria-hidden': 'true' }, String(c)));
      b.addEventListener('keydown', (e) => this.move(e, c));
      return { b, mark, share, tint: b.firstChild };
    });
    $('board').append(...this.squares.map((s) => s.b));
    this.bars = CELLS.map((c) => {
      const bar = el('span', { class: 'bar' }), value = el('span', { class: 'num' });
      const note = el('span', { class: 'note dim' });
      return { item: el('li', {}, el('span', { class: 'cell' }, el('span', { class: 'hide' }, 'square '), String(c)), el('span', { class: 'track', 'aria-hidden': 'true' }, bar), value, note), bar, value, note };
    });
    $('thoughts').append(...this.bars.map((b) => b.item));
    for (const r of document.querySelectorAll('input[name=side]')) r.addEventListener('change', () => { this.side = r.value; this.begin(); });
    $('play-new').addEventListener('click', () => this.begin());
    $('play-back').addEventListener('click', () => this.back());
    $('play-show').addEventListener('change', () => this.draw());
    $('play-model').addEventListener('change', () => this.begin());
  }

  /** Arrows move on the board. */
  move(e, c) {
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -3, ArrowDown: 3 }[e.key];
    if (!by || e.ctrlKey || e.metaKey || e.altKey) return;
    const column = (c - 1) % 3;
    if (by === -1 && column === 0 || by === 1 && column === 2) return;
    const to = this.squares[c - 1 + by];
    if (!to) return;
    e.preventDefault();
    for (const s of this.squares) s.b.tabIndex = -1;
    to.b.tabIndex = 0;
    to.b.focus();
  }

  ready(schema, { adapter }) {
    this.able = !!adapter;
    this.thought = null;
    if (this.able) this.shown();
    else this.draw();
  }

  /** The model is not asked before somebody looks. */
  shown() {
    if (this.able && !this.thought && !this.busy && !$('play').hidden) this.begin();
  }

  failed() {
    this.able = false;
    this.busy = false;
    this.draw();
  }

  kept(runs) {
    setOptions($('play-model'), [['', 'the shipped model'], ...runs.filter((r) => r.plays).map((r) => [r.name, r.name])]);
  }

  /** Plays against a model of the list. */
  against(name) {
    $('play-model').value = name;
    this.begin();
  }

  begin() {
    this.moves = '';
    this.game++;
    this.illegal = 0;
    this.last = this.thought = null;
    this.counted = false;
    this.error = '';
    if (this.able) this.think();
    else this.draw();
  }

  /** Takes back the visitor's last move, and what the model answered. */
  back() {
    if (this.busy || !this.moves) return;
    const own = this.side === 'X' ? 0 : 1; // parity of the visitor's moves
    let n = this.moves.length - 1;
    while (n >= 0 && n % 2 !== own) n--;
    if (n < 0) return;
    this.moves = this.moves.slice(0, n);
    this.illegal = 0;
    this.last = null;
    this.game++;
    this.think();
  }

  press(c) {
    const t = this.thought;
    if (this.busy || !t || t.over || this.illegal || t.turn !== this.side || !t.legal.includes(c)) return;
    this.moves += c;
    this.think();
  }

  /** Asks the model about the position, and lets it move where it is its turn. */
  async think() {
    const game = this.game, begun = performance.now();
    this.busy = true;
    this.drawWaiting();
    try {
      const t = await this.app.engine.ask('think', { run: $('play-model').value, moves: this.moves });
      if (game !== this.game) return;
      this.thought = t;
      this.error = '';
      if (t.over || t.turn === this.side) {
        this.busy = false;
        this.draw();
        return;
      }
      this.draw();
      await new Promise((done) => setTimeout(done, Math.max(0, PAUSE - (performance.now() - begun))));
      if (game !== this.game) return;
      this.last = t;
      if (!t.legal.includes(t.choice)) {
        this.illegal = t.choice || -1;
        this.busy = false;
        this.draw();
        return;
      }
      this.moves += t.choice;
      await this.think();
    } catch (e) {
      if (game !== this.game) return;
      this.busy = false;
      this.thought = null;
      this.error = e.message;
      this.draw();
    }
  }

  drawWaiting() {
    if (!this.thought) this.draw();
    else this.squares.forEach((s) => s.b.setAttribute('aria-disabled', 'true'));
    const c = Number(this.moves.at(-1));
    // The visitor's own mark appears at once.
    if (c && this.thought?.marks[c - 1] === '.') {
      const s = this.squares[c - 1];
      s.mark.textContent = this.moves.length % 2 ? 'X' : 'O';
      s.b.dataset.mark = s.mark.textContent;
    }
  }

  status() {
    const t = this.thought, model = this.side === 'X' ? 'O' : 'X';
    if (this.error) return this.error;
    if (this.illegal) return this.illegal > 0 ? `The model chose square ${this.illegal}, which is taken: it loses.` : 'The model chose no square: it loses.';
    if (!t) return this.able === false ? 'The model needs a GPU: see above.' : 'Loading the model…';
    if (t.over) return t.winner === '' ? 'A draw.' : t.winner === this.side ? 'You win.' : 'The model wins.';
    if (t.turn !== this.side) return `The model thinks about its move (${model}).`;
    const reply = this.last ? `The model took square ${this.last.choice}. ` : '';
    return `${reply}Your move: you play ${this.side}.`;
  }

  count() {
    const t = this.thought;
    if (this.counted || !(t?.over || this.illegal)) return;
    this.counted = true;
    this.tally[this.illegal || t.winner === this.side ? 'won' : t.winner === '' ? 'drawn' : 'lost']++;
  }

  draw() {
    const t = this.thought;
    this.count();
    const open = t && !t.over && !this.illegal && !this.busy && t.turn === this.side;
    const shown = t && !t.over && !this.illegal ? t : null; // what it thinks of this position
    const tints = $('play-show').checked && shown;
    const won = t?.over && t.winner ? winning(t.marks) : [];
    this.squares.forEach((s, i) => {
      const mark = t ? t.marks[i] : '.', p = shown?.squares[i] ?? 0;
      s.mark.textContent = mark === '.' ? '' : mark;
      s.b.dataset.mark = mark;
      s.b.classList.toggle('won', won.includes(i));
      s.b.classList.toggle('bad', this.illegal === i + 1);
      s.b.classList.toggle('newest', Number(this.moves.at(-1)) === i + 1);
      s.b.setAttribute('aria-disabled', String(!(open && mark === '.')));
      s.tint.style.opacity = tints ? (0.85 * Math.sqrt(p)).toFixed(3) : 0;
      s.share.textContent = tints && mark === '.' ? likely(p) : '';
      s.b.setAttribute('aria-label', `square ${i + 1}, ${mark === '.' ? 'empty' : mark}${tints && mark === '.' ? `, the model gives it ${likely(p)}` : ''}`);
    });
    setText($('play-status'), this.status());
    $('play-status').dataset.end = t?.over || this.illegal ? (this.illegal || t.winner === this.side ? 'won' : t.winner === '' ? 'drawn' : 'lost') : '';
    $('play-new').disabled = !this.able;
    $('play-back').disabled = this.busy || this.moves.length < (this.side === 'X' ? 1 : 2);
    this.drawThoughts(shown ?? this.last);
    const tally = [['you won', this.tally.won], ['drawn', this.tally.drawn], ['you lost', this.tally.lost]];
    $('tally').replaceChildren(...tally.map(([name, n]) => el('div', {}, el('dt', {}, name), el('dd', {}, String(n)))));
  }

  /** The numbers of a position: each square, what a perfect player would do, and what is left. */
  drawThoughts(t) {
    const own = t && t === this.thought && !t.over;
    setText($('thought-of'), !t ? 'For each square, the probability that the model gives to it as the next move.'
      : own ? (t.turn === this.side ? 'What it would do in your place: the probability of each square as the next move.' : 'The probability of each square as its next move.')
        : 'What it thought before its last move.');
    const most = t ? Math.max(...t.squares, 1e-9) : 1;
    this.bars.forEach((b, i) => {
      const p = t?.squares[i] ?? 0, mark = t ? t.marks[i] : '.';
      b.bar.style.width = `${(100 * p).toFixed(2)}%`;
      b.item.classList.toggle('best', !!t && p === most);
      b.item.classList.toggle('taken', mark !== '.');
      setText(b.value, t ? likely(p) : '–');
      setText(b.note, !t ? '' : mark !== '.' ? `${mark}, taken` : t.perfect.includes(i + 1) ? 'perfect' : '');
    });
    const rest = t ? 1 - t.squares.reduce((a, b) => a + b, 0) : 0;
    setText($('thought-more'), t ? `${rest > 0.01 ? `${percent(rest, 0)} goes to the end of the game. ` : ''}One step of the network took ${t.ms < 10 ? t.ms.toFixed(1) : Math.round(t.ms)} ms.` : '');
  }
}

const LINES = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]];

/** The cells of the winner's lines. */
const winning = (marks) => LINES.filter(([a, b, c]) => marks[a] !== '.' && marks[a] === marks[b] && marks[a] === marks[c]).flat();
