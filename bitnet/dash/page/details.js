// What the page shows in words of the chosen runs: configuration, device, anomalies, samples.

import { $, el, nameOf, setOptions, table } from './dom.js';
import { bytes, count, date, position, short, value, write } from './format.js';

/** Replaces the children only if their text is another: what is read or selected stays. */
function replace(root, key, make) {
  if (root.dataset.key === key) return;
  root.dataset.key = key;
  root.replaceChildren(...make());
}

const label = (c) => {
  const s = el('span', { class: 'swatch', 'aria-hidden': 'true' });
  s.style.color = c.color;
  return el('span', { class: 'run' }, s, nameOf(c.run.name));
};

/** @param {{run: object, data: object, color: string}[]} chosen */
export function showConfig(chosen, onlyDifferences) {
  const keys = [...new Set(chosen.flatMap((c) => Object.keys(c.data.config)))].sort();
  const rows = [];
  for (const k of keys) {
    const all = chosen.map((c) => c.data.config[k]);
    const differs = all.some((v) => v !== all[0]);
    if (differs || !onlyDifferences || chosen.length < 2) rows.push([k, ...all.map((v) => v ?? '–')]);
  }
  const head = chosen.map((c) => c.run.name);
  replace($('config'), JSON.stringify([head, rows, chosen.map((c) => c.color)]), () => {
    if (!chosen.length) return [el('p', { class: 'empty' }, 'Choose a run.')];
    if (!rows.length) return [el('p', { class: 'empty' }, keys.length ? `These ${chosen.length} runs have the same configuration.` : 'No configuration was found.')];
    return [table('Configuration of the chosen runs', ['key', ...chosen.map(label)], rows)];
  });
  $('only-differences').disabled = chosen.length < 2;
}

export function showDevice(chosen, metrics) {
  const facts = [
    ['device', (c) => c.run.device || '–'],
    ['driver', (c) => c.run.driver || '–'],
    ['backend', (c) => c.run.backend || '–'],
    ['parameters', (c) => count(c.run.parameters || null)],
    ...metrics.filter((m) => m.device).map((m) => [m.title, (c) => (c.run.values[m.key] === undefined ? '–' : `${write(m.format, c.run.values[m.key])}${m.unit ? ` ${m.unit}` : ''}`)]),
    ['started', (c) => date(c.run.started)],
    ['last change', (c) => date(c.run.changed)],
    ['newest checkpoint', (c) => (c.run.checkpoint >= 0 ? position('step', c.run.checkpoint, true) : 'none')],
    ['folder', (c) => c.run.dir],
    ['command', (c) => c.run.command || '–'],
  ];
  const rows = facts.map(([name, text]) => [name, ...chosen.map(text)]);
  replace($('device'), JSON.stringify([rows, chosen.map((c) => [c.run.name, c.color])]), () =>
    (chosen.length ? [table('Device and speed of the chosen runs', ['', ...chosen.map(label)], rows)] : [el('p', { class: 'empty' }, 'Choose a run.')]));
  // Next to the anomalies there is room for one run only.
  $('pair').classList.toggle('several', chosen.length > 1);
}

const SHOWN = 200;

export function showAnomalies(chosen) {
  const all = chosen.flatMap((c) => c.data.anomalies.map((a) => ({ ...a, c }))).sort((a, b) => b.step - a.step);
  const key = JSON.stringify([all.length, all[0]?.step, chosen.map((c) => [c.run.name, c.color, c.data.anomalies.length])]);
  replace($('anomalies'), key, () => {
    if (!all.length) return [el('p', { class: 'empty' }, 'None.')];
    return [el('ul', { class: 'anomalies' }, ...all.slice(0, SHOWN).map((a) => el('li', {},
      chosen.length > 1 ? label(a.c) : null,
      el('strong', {}, a.kind.replaceAll('_', ' ')), ` at ${position('step', a.step, true)}`,
      el('p', { class: 'dim' }, a.text)))),
    all.length > SHOWN ? el('p', { class: 'dim' }, `and ${count(all.length - SHOWN)} older`) : null].filter(Boolean);
  });
}

/** Who trains the chosen runs together, over slow links. */
export function showSwarm(chosen) {
  const swarms = new Map(chosen.filter((c) => c.run.swarm).map((c) => [c.run.swarm.id, c]));
  $('swarm-panel').hidden = !swarms.size;
  replace($('swarm'), JSON.stringify([...swarms.values()].map((c) => [c.run.swarm, c.color])), () => [...swarms.values()].flatMap((c) => {
    const s = c.run.swarm;
    const last = s.rounds?.at(-1);
    const rows = s.workers.map((w) => [w.name, w.here ? 'here' : `left ${date(Date.parse(w.seen))}`, w.card, w.speed ? short(w.speed) : '–',
      count(w.rounds), count(w.steps), short(w.tokens), bytes(w.sent), bytes(w.received), w.left_out ? `${count(w.left_out)} (${w.reason ?? ''})` : '0']);
    return [
      el('p', {}, `${s.name}: ${s.phase}, round ${count(s.round)}, step ${count(s.step)} of ${count(s.steps)}, ${short(s.tokens)} tokens together`,
        last ? `; the last round took ${value(last.seconds)} s with ${count(last.workers)} workers and ${count(last.steps)} local steps` : '',
        last?.left_out ? `, without ${last.left_out.join('; ')}` : '', `. This run is ${s.me}; as of ${date(Date.parse(s.at))}.`),
      table(`Workers of the swarm ${s.name}`, ['worker', '', 'card', 'tokens/s', 'rounds', 'local steps', 'tokens', 'sent', 'received', 'left out'], rows, (i) => i >= 3 && i <= 8),
    ];
  }));
}

/** Samples of one prompt, the newest first. */
export function showSamples(chosen) {
  const prompts = [...new Set(chosen.flatMap((c) => c.data.samples.map((s) => s.prompt)))];
  setOptions($('prompt'), [['', 'all'], ...prompts.map((p) => [`=${p}`, p])]);
  const prompt = $('prompt').value;
  const key = JSON.stringify([prompt, chosen.map((c) => [c.run.name, c.color, c.data.samples.length, c.data.samples.at(-1)?.step])]);
  replace($('samples'), key, () => {
    const groups = new Map();
    for (const c of chosen) {
      for (const s of c.data.samples) {
        if (prompt && `=${s.prompt}` !== prompt) continue;
        if (!groups.has(s.step)) groups.set(s.step, []);
        groups.get(s.step).push({ ...s, c });
      }
    }
    if (!groups.size) return [el('p', { class: 'empty' }, 'No samples yet: they come every output.sample_interval steps.')];
    const steps = [...groups.keys()].sort((a, b) => b - a).slice(0, SHOWN);
    return [el('ol', { class: 'samples', tabindex: 0, 'aria-label': 'Samples, the newest first' }, ...steps.map((step) => el('li', {},
      el('h3', {}, position('step', step, true)),
      el('ul', {}, ...groups.get(step).map((s) => el('li', {},
        chosen.length > 1 ? label(s.c) : null,
        el('q', {}, el('span', { class: 'dim' }, s.prompt), s.text),
        s.mode && s.mode !== 'greedy' ? el('span', { class: 'mode' }, s.mode) : null))))))];
  });
}
