// The page: which view is shown, what the worker is doing, keys, and trouble.

import { $, el, setText, table } from './dom.js';
import { bytes } from './format.js';
import { toggleTheme } from './theme.js';
import { Engine } from './engine.js';
import { advice } from './support.js';
import { Play } from './play.js';
import { Train } from './train.js';
import { Talk } from './talk.js';
import { Measure } from './measure.js';

const VIEWS = { play: 'Play', train: 'Train', talk: 'Talk', measure: 'Measure' };
const engine = new Engine();
const say = (text) => setText($('say'), text);

const app = {
  engine, say,
  show,
  /** Something that is kept changed: the lists of all views follow. */
  async kept() {
    try {
      const { runs } = await engine.ask('runs');
      for (const v of Object.values(views)) v.kept?.(runs);
    } catch (e) {
      if (engine.state === 'ready') trouble('The list of runs could not be read', e.message, []);
    }
  },
};
app.upload = (files, note) => views.train.upload(files, note);
app.play = (name) => views.play.against(name);
app.talk = (name) => views.talk.choose(name);
const views = { play: new Play(app), train: new Train(app), talk: new Talk(app), measure: new Measure(app) };

// ---- views, by the address

let current = '';

function show(name) {
  if (location.hash === `#${name}`) shown();
  else location.hash = name;
}

function shown() {
  const name = location.hash.slice(1) in VIEWS ? location.hash.slice(1) : 'play';
  const moved = current && current !== name;
  current = name;
  for (const [key, title] of Object.entries(VIEWS)) {
    const here = key === name;
    $(key).hidden = !here;
    const link = document.querySelector(`.views a[href="#${key}"]`);
    if (here) {
      link.setAttribute('aria-current', 'page');
      document.title = `${title} · bitnet in the browser`;
    } else link.removeAttribute('aria-current');
  }
  if (moved) {
    scrollTo(0, 0);
    $(`h-${name}`).focus({ preventScroll: true });
  }
  views[name].shown?.();
}
addEventListener('hashchange', shown);

// ---- the worker

function gpu(state, text) {
  $('gpu').dataset.state = state;
  setText($('gpu-text'), text);
}

/** Says what is wrong, above all views. */
function trouble(title, text, list = [], again = null) {
  setText($('trouble-title'), title);
  setText($('trouble-text'), text);
  $('trouble-advice').replaceChildren(...list.map((t) => el('li', {}, t)));
  $('trouble-again').hidden = !again;
  $('trouble-again').onclick = again;
  $('trouble').hidden = false;
}

const phone = matchMedia('(pointer: coarse)').matches;
const whatHelps = () => advice(navigator.userAgent, isSecureContext, phone);

engine.addEventListener('loading', () => gpu('loading', 'starting'));

engine.addEventListener('ready', async ({ detail: ready }) => {
  performance.mark('bitnet-ready');
  $('trouble').hidden = true;
  if (ready.adapter) {
    gpu('live', ready.adapter.name);
  } else {
    gpu('lost', 'no GPU');
    const none = !navigator.gpu;
    trouble(none ? 'This browser does not offer WebGPU' : 'No GPU can be used',
      `${ready.problem || 'The GPU is not available to this page.'} Without it nothing can be trained or played here; what is kept can still be downloaded.`, whatHelps(), () => engine.start());
  }
  try {
    const schema = await engine.ask('schema');
    for (const v of Object.values(views)) v.ready?.(schema, ready);
  } catch (e) {
    if (engine.state === 'ready') trouble('The program did not start well', e.message, [], () => engine.start());
  }
  app.kept();
});

const FAILED = { tab: 'This page is open in another tab', storage: 'This browser refuses storage', program: 'The program stopped' };

engine.addEventListener('failed', ({ detail: why }) => {
  gpu('lost', 'stopped');
  const kept = why.kind === 'program' ? ['What was trained until the last checkpoint is kept: try again, and resume it.'] : [];
  trouble(FAILED[why.kind] ?? 'The program stopped', why.text, kept, () => engine.start());
  for (const v of Object.values(views)) v.failed?.(why);
});

// ---- about the GPU

function showAbout() {
  const ready = engine.ready, a = ready?.adapter;
  const paint = performance.getEntriesByName('first-contentful-paint')[0]?.startTime;
  const started = performance.getEntriesByName('bitnet-ready')[0]?.startTime;
  const seconds = (ms) => (ms === undefined ? '–' : `${(ms / 1000).toFixed(2)} s`);
  const rows = [
    ['GPU', a ? a.name : ready ? `none: ${ready.problem}` : 'the program is still starting'],
    ...(a ? [['kind', a.kind], ['driver', a.driver || '–'], ['subgroups', a.subgroups[0] ? (a.subgroups[0] === a.subgroups[1] ? `${a.subgroups[0]} lanes` : `${a.subgroups[0]} to ${a.subgroups[1]} lanes`) : '–'],
      ['matrix units', a.matrices?.length ? a.matrices.join(', ') : 'none that the browser offers'], ['features', a.features?.length ? a.features.join(', ') : 'none'], ...(a.limits ?? [])] : []),
    ['bitnet', ready ? ready.version : '–'],
    ['kept here', ready ? `${bytes(ready.storage.usage)} of ${bytes(ready.storage.quota)}` : '–'],
    ['first paint', seconds(paint)], ['ready after', seconds(started)],
  ];
  $('about-table').replaceChildren(table('Facts about this GPU', ['', ''], rows));
  $('about').showModal();
}

let stalled = false;
engine.addEventListener('stalled', ({ detail: { seconds } }) => {
  if (seconds) trouble('The GPU does not answer', `For ${seconds.toFixed(0)} seconds it has answered nothing. A slow one takes long for its first step. If this lasts, reload the page: what was trained until the last checkpoint is kept.`);
  else if (stalled) $('trouble').hidden = true;
  stalled = seconds > 0;
});

engine.addEventListener('storage', ({ detail }) => {
  if (engine.ready) engine.ready.storage = detail;
});

// ---- controls and keys

$('gpu').addEventListener('click', showAbout);
$('keys').addEventListener('click', () => $('help').showModal());
$('theme').addEventListener('click', toggleTheme);
$('skip').addEventListener('click', (e) => { e.preventDefault(); $('main').focus(); }); // the address has another use

// Keys without Ctrl or Alt are pressed by accident, by voice control most of all:
// they can be switched off (WCAG 2.1.4).
const anywhere = $('keys-anywhere');
try { anywhere.checked = localStorage.getItem('keys') !== 'off'; } catch { /* private windows may forbid it */ }
anywhere.addEventListener('change', () => {
  try { localStorage.setItem('keys', anywhere.checked ? 'on' : 'off'); } catch { /* then until the page is left */ }
});

const KEYS = {
  p: () => show('play'), t: () => show('train'), c: () => show('talk'), m: () => show('measure'),
  d: toggleTheme, '?': () => $('help').showModal(),
};

addEventListener('keydown', (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector('dialog[open]')) return;
  if (e.key.length === 1 && !anywhere.checked) return;
  if (e.target.matches('input:not([type=checkbox], [type=radio]), select, textarea') && e.key !== 'Escape') return;
  if (e.key === ' ' && e.target !== document.body && e.target !== $('main')) return;
  const act = views[current].keys?.[e.key] ?? KEYS[e.key];
  if (!act) return;
  e.preventDefault();
  act();
});

// A page that the browser keeps for its back button would keep the files from the
// next one.
addEventListener('pagehide', () => engine.end());
addEventListener('pageshow', (e) => { if (e.persisted) engine.start(); });

shown();
engine.start();
