// How answers are chosen. Kept in the browser.

import { $, el } from './dom.js';

const KEY = 'bitnet.settings';

// The fields of a request, with what they mean; those that are empty are left to the server.
const FIELDS = [
  { name: 'temperature', label: 'Temperature', value: 0.8, min: 0, max: 5, step: 0.05, help: '0 always takes the likeliest token' },
  { name: 'top_p', label: 'Top-p', value: 0.95, min: 0.01, max: 1, step: 0.01, help: 'the likeliest tokens that make up this probability' },
  { name: 'top_k', label: 'Top-k', value: 40, min: 0, max: 1000, step: 1, help: 'the k likeliest tokens; 0 for all' },
  { name: 'min_p', label: 'Min-p', value: 0, min: 0, max: 1, step: 0.01, help: 'tokens at least this often as likely as the likeliest' },
  { name: 'repetition_penalty', label: 'Repetition penalty', value: 1, min: 0.5, max: 2, step: 0.05, help: '1 is none' },
  { name: 'max_tokens', label: 'Answer length', value: 256, min: 1, max: 100000, step: 1, help: 'at most so many tokens' },
  { name: 'seed', label: 'Seed', value: null, min: 0, max: 9007199254740991, step: 1, help: 'empty: another answer each time' },
];

const inputs = new Map();
let onchange = () => {};

function stored() {
  try { return JSON.parse(localStorage.getItem(KEY)) ?? {}; } catch { return {}; }
}

function store() {
  const v = { system: $('system').value, stops: $('stops').value };
  for (const [name, input] of inputs) if (input.value !== '' && input.validity.valid) v[name] = Number(input.value);
  try { localStorage.setItem(KEY, JSON.stringify(v)); } catch { /* then until the page is left */ }
  onchange();
}

function fill(v) {
  $('system').value = typeof v.system === 'string' ? v.system : '';
  $('stops').value = typeof v.stops === 'string' ? v.stops : '';
  for (const f of FIELDS) {
    const own = Number.isFinite(v[f.name]) && v[f.name] >= f.min && v[f.name] <= f.max ? v[f.name] : f.value;
    inputs.get(f.name).value = own ?? '';
  }
}

/** Makes the fields. f is called when one changes. */
export function begin(f) {
  onchange = f;
  for (const f of FIELDS) {
    const input = el('input', { type: 'number', id: `set-${f.name}`, min: f.min, max: f.max, step: f.name === 'seed' ? 1 : 'any', 'aria-describedby': `help-${f.name}`, inputmode: 'decimal', required: f.value !== null });
    if (Number.isInteger(f.step)) input.step = 1;
    inputs.set(f.name, input);
    $('fields').append(el('p', {}, el('label', { for: input.id }, f.label), input, el('span', { class: 'dim small', id: `help-${f.name}` }, f.help)));
  }
  fill(stored());
  $('settings').addEventListener('input', store);
  $('defaults').addEventListener('click', () => { fill({}); store(); });
  $('open-settings').addEventListener('click', () => $('settings').showModal());
}

/** The server allows no more tokens of an answer than this. */
export function limit(tokens) {
  inputs.get('max_tokens').max = tokens;
}

export const system = () => $('system').value.trim();

/** The fields of a request. One that is not valid is left to the server. */
export function request() {
  const out = {};
  for (const [name, input] of inputs) if (input.value !== '' && input.validity.valid) out[name] = Number(input.value);
  const stop = $('stops').value.split('\n').filter((s) => s);
  if (stop.length) out.stop = stop.slice(0, 16);
  return out;
}
