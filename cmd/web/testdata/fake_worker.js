// A worker that talks as protocol.go says, with figures that are made up: by it
// tests reach the states that the real one seldom has. SCENE is put before it.
/* global SCENE */

const HOSTILE = '<script>alert(1)<!-- "><img src=x onerror=alert(2)>';
const scene = SCENE;
const send = (m) => postMessage(m);
const later = (ms) => new Promise((done) => setTimeout(done, ms));
const stopped = new Set();

const adapter = {
  name: scene.hostile ? HOSTILE : 'Example GPU 4000', driver: 'example 1.2', kind: 'discrete GPU', features: ['subgroups', 'shader-f16', 'timestamp-query'], subgroups: [32, 32], matrices: [],
  limits: [['largest buffer', '1 GiB'], ['workgroup memory', '32 KiB'], ['invocations of a workgroup', '256']],
};
const storage = { kind: scene.memory ? 'memory' : 'opfs', usage: 48_234_496, quota: 10_737_418_240 };
const curve = (key, title, spread) => ({ key, title, ...(spread ? { spread } : {}) });
const schema = {
  metrics: [
    { key: 'loss_mean', title: 'loss', format: 'plain', card: true }, { key: 'tokens_per_sec', title: 'tokens/s', format: 'short', card: true },
    { key: 'grad_norm', title: 'gradient norm', format: 'plain', card: true }, { key: 'lr', title: 'learning rate', format: 'plain', card: true },
  ],
  charts: [
    { title: 'Loss', format: 'plain', smooth: true, score: 'validation loss', curves: [curve('loss_mean', 'loss', 'loss')] },
    { title: 'Gradient norm', format: 'plain', smooth: true, curves: [curve('grad_norm', 'gradient norm')] },
    { title: 'Learning rate', format: 'plain', from_zero: true, curves: [curve('lr', 'learning rate')] },
    { title: 'Speed', unit: 'tokens/s', format: 'short', from_zero: true, curves: [curve('tokens_per_sec', 'tokens/s')] },
  ],
  experiments: [
    { name: 'simple', about: 'counts from one number to the next; about a minute', needs_text: false, parameters: 51_232, settings: [] },
    { name: 'tictactoe', about: 'plays tic-tac-toe without a mistake', needs_text: false, parameters: 594_304, settings: [] },
    { name: 'arithmetic', about: 'adds, subtracts and multiplies', needs_text: false, parameters: 1_320_000, settings: [] },
    { name: 'text', about: 'writes like a text of yours', needs_text: true, parameters: 2_400_000, settings: [] },
  ].map((x) => ({ ...x, settings: [{ key: 'steps', title: 'steps', default: '300', kind: 'whole' }, { key: 'batch_size', title: 'sequences a step', default: '8', kind: 'whole' }, { key: 'learning_rate', title: 'learning rate', default: '1e-3', kind: 'number' }, { key: 'seed', title: 'seed', default: '42', kind: 'whole' }] })),
  sampling: { temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0, repetition_penalty: 1, seed: 0 },
};

const runs = new Map();
const keep = (r) => runs.set(r.name, { kind: 'run', experiment: 'simple', state: 'stopped', why: '', step: 0, steps: 300, loss: null, tokens_seen: 0, parameters: 51_232, checkpoint: -1, changed: Date.now(), bytes: 812_000, plays: false, talks: false, resumes: false, starts: false, ...r });
if (scene.runs) {
  keep({ name: 'tictactoe_20261128_1412', experiment: 'tictactoe', state: 'finished', step: 2000, steps: 2000, loss: 0.311, parameters: 594_304, checkpoint: 2000, plays: true, starts: true, changed: Date.now() - 9e6, bytes: 9_400_000 });
  keep({ name: scene.hostile ? HOSTILE : 'text_20261128_1503', experiment: 'text', state: 'crashed', why: 'the page was closed', step: 140, steps: 300, loss: 3.412, parameters: 2_400_000, checkpoint: 120, talks: true, resumes: true, starts: true, changed: Date.now() - 1e6, bytes: 29_000_000 });
  keep({ name: 'llama-tiny', kind: 'model', state: '', parameters: 15_200_000, talks: true, starts: true, changed: Date.now() - 2e7, bytes: 31_000_000 });
  keep({ name: 'shakespeare', kind: 'text', state: '', changed: Date.now() - 3e7, bytes: 1_115_394 });
}

const line = (step) => ({ step, loss: 3.4 * Math.exp(-step / 80) + 0.35 + 0.12 * Math.sin(step * 7.1), loss_mean: 3.4 * Math.exp(-step / 80) + 0.35 + 0.04 * Math.sin(step * 3.3), lr: 1e-3 * Math.min(1, step / 30), grad_norm: 1.2 + 0.4 * Math.sin(step / 5), tokens_per_sec: 41_000 + 2000 * Math.sin(step / 9), tokens_seen: step * 512 });
const samplesAt = (step) => ['', '1', '12'].map((prompt) => ({ step, mode: prompt ? 'greedy' : 'sampled', prompt, text: scene.hostile ? HOSTILE : `${prompt || '3'} + 4 = 7, then 8, then 9 and so on`, entropy: 0.4 }));

const work = {
  adapter: async () => adapter,
  storage: async () => storage,
  schema: async () => schema,
  runs: async () => ({ runs: [...runs.values()] }),
  async run({ run }) {
    const r = runs.get(run), steps = Array.from({ length: Math.floor(r.step / 2) }, (_, i) => 2 * i + 1), lines = steps.map(line);
    const column = (k) => lines.map((l) => l[k]);
    return {
      run: r, config: `name: ${run}\ntrain:\n  steps: ${r.steps}\n  batch_size: 8\n`, steps, series: Object.fromEntries(['loss', 'loss_mean', 'lr', 'grad_norm', 'tokens_per_sec'].map((k) => [k, column(k)])), low: {}, high: {},
      evals: [50, 100].filter((s) => s <= r.step).map((step) => ({ step, scores: [{ name: 'validation loss', value: line(step).loss_mean + 0.1, format: 'plain', text: '' }] })), samples: samplesAt(r.step),
      problems: scene.problems ? [{ step: 90, kind: 'loss_spike', message: 'the loss of 3.1 is 8 deviations above the mean', value: 3.1, limit: 2, dump: '', action: 'none', time: '' }] : [],
    };
  },
  async remove({ run }) { runs.delete(run); return {}; },
  async train(m) {
    if (scene.trainFails) throw new Error(scene.trainFails);
    const name = m.resume || `${m.experiment}_20261128_1600`;
    const steps = Number(m.settings?.steps ?? runs.get(name)?.steps ?? 300);
    let step = runs.get(name)?.checkpoint ?? 0;
    if (step < 0) step = 0;
    if (m.experiment === 'text') for (let i = 1; i <= 3; i++) { send({ event: 'preparing', id: m.id, sampled: i * 300_000, sample: 900_000, tokens: 0 }); await later(60); }
    keep({ name, experiment: m.experiment || 'simple', state: 'running', step, steps });
    send({ event: 'begin', id: m.id, run: name, experiment: 'simple', step, steps, parameters: 51_232, tokens_per_step: 512, config: `name: ${name}\ntrain:\n  steps: ${steps}\n` });
    const names = ['q_proj', 'k_proj', 'v_proj', 'o_proj'].map((k) => `model.layers.0.self_attn.${k}.weight`);
    for (; step < steps && !stopped.has(m.id); step++) {
      await later(scene.pace ?? 20);
      const s = step + 1;
      send({ event: 'progress', id: m.id, step: s, steps, tokens_per_sec: 41_234, seconds: (steps - s) * 0.02 });
      if (s % 2 === 0) send({ event: 'metrics', id: m.id, metrics: line(s) });
      if (s % 50 === 0) send({ event: 'eval', id: m.id, eval: { step: s, scores: [{ name: 'validation loss', value: line(s).loss_mean + 0.1, format: 'plain', text: '' }, { name: 'exact match', value: Math.min(1, s / 300), format: 'percent', text: `${s} of 300` }] } });
      if (s % 20 === 0) send({ event: 'samples', id: m.id, samples: samplesAt(s) });
      if (s % 10 === 0) {
        const rows = 64, cols = 96, codes = new Uint8Array(rows * cols).map((_, i) => (Math.imul(i + 31 * Math.floor(s / 40), 2654435761) >>> 8) % 3);
        send({ event: 'weights', id: m.id, step: s, name: names[(s / 10) % 4], names, rows, cols, all_rows: 64, all_cols: 96, codes, shares: [0.33, 0.34, 0.33], changed: s > 10 ? 0.012 : -1 });
      }
      if (scene.crashAt === s) { send({ event: 'failed', kind: 'program', text: 'The program ran out of memory.' }); return null; }
      if (scene.lostAt === s) throw new Error('the GPU was lost: resume the run');
    }
    const done = step >= steps;
    keep({ ...runs.get(name), state: done ? 'finished' : 'stopped', step, loss: line(step).loss_mean, checkpoint: step, talks: true, resumes: !done, starts: true });
    send({ event: 'checkpoint', id: m.id, step });
    return { run: name, state: done ? 'finished' : 'stopped', step };
  },
  async upload({ id, name, files }) {
    send({ event: 'progress', id, bytes: 50, of: 100 });
    if (scene.uploadFails) throw new Error(scene.uploadFails);
    const text = files.length === 1 && files[0].path.endsWith('.txt');
    keep({ name, kind: text ? 'text' : 'model', state: '', talks: !text, starts: !text, bytes: files.reduce((n, f) => n + f.file.size, 0) });
    return runs.get(name);
  },
  download: async ({ run, form }) => ({ name: `${run}.${form === 'gguf' ? 'gguf' : 'zip'}`, file: new Blob(['a model'.repeat(900)]) }),
  async open({ run }) {
    if (scene.openFails) throw new Error(scene.openFails);
    return { run, parameters: runs.get(run).parameters, context: 256, vocab: 4096, chat: run === 'llama-tiny' ? 'chatml' : 'plain', prompt: 'Once upon a time', sampling: schema.sampling };
  },
  async talk({ id, tokens }) {
    const words = (scene.hostile ? `${HOSTILE} [link](javascript:alert(3)) &lt;b&gt;` : ' there was a small model that had three values only, and it was content. It counted its weights each night, minus one, nought, one, and slept.').match(/\S*\s*/g).filter(Boolean).slice(0, tokens || 100);
    let text = '';
    for (const w of words) {
      if (stopped.has(id)) break;
      await later(scene.pace ?? 20);
      text += w;
      send({ event: 'text', id, text: w });
    }
    return { text, reason: stopped.has(id) ? 'stopped' : 'stop', tokens: words.length, prompt_tokens: 5, prompt_ms: 12.4, tokens_per_sec: 48.7, forgotten: 0 };
  },
  async think({ moves }) {
    if (scene.thinkFails) throw new Error(scene.thinkFails);
    await later(30);
    const marks = Array(9).fill('.');
    [...moves].forEach((c, i) => { marks[c - 1] = i % 2 ? 'O' : 'X'; });
    const lines = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]];
    const won = lines.find(([a, b, c]) => marks[a] !== '.' && marks[a] === marks[b] && marks[a] === marks[c]);
    const legal = marks.flatMap((m, i) => (m === '.' ? [i + 1] : []));
    const over = !!won || !legal.length;
    const weights = marks.map((m, i) => (m === '.' ? [0.02, 0.01, 0.3, 0.01, 0.9, 0.02, 0.05, 0.004, 0.1][i] : 0.0001)), sum = weights.reduce((a, b) => a + b, 0.001);
    const squares = weights.map((w) => w / sum);
    const choice = scene.illegal && moves.length === 1 ? Number(moves) : squares.indexOf(Math.max(...squares)) + 1;
    return { moves, marks: marks.join(''), turn: over ? '' : moves.length % 2 ? 'O' : 'X', winner: won ? marks[won[0]] : '', over, legal: over ? [] : legal, perfect: over ? [] : legal.slice(0, 2), squares, choice, ms: 3.2 };
  },
  async measure({ id, what }) {
    const parts = { peak: [['f32 multiply and add', 'GFLOP/s', 12400], ['i32 multiply and add', 'GOP/s', 3100], ['int8 dot product, packed', 'GOP/s', 22000], ['read', 'GB/s', 431], ['copy', 'GB/s', 398]], kernels: Array.from({ length: 20 }, (_, i) => [`matmul 64x${16 * (20 - i)} of the projection`, 'ms per step', 2.2 / (i + 1)]), step: [['step', 'ms', 11.2], ['tokens', 'tokens/s', 45700]], generate: [['tokens of one sequence', 'tokens/s', 310]] };
    if (scene.measureFails) throw new Error(scene.measureFails);
    for (const part of what) {
      send({ event: 'note', id, text: `Measuring ${part}` });
      await later(150);
      if (stopped.has(id)) return { report: 'bitnet bench, stopped', results: {}, stopped: true };
      send({ event: 'measured', id, what: part, result: { bench: part, figures: parts[part].map(([name, unit, value]) => ({ name, unit, value })), left_out: part === 'kernels' ? '7 of 27 kernels were not timed, those with the least work' : undefined } });
    }
    return { report: `bitnet in the browser\nGPU      ${adapter.name}\n\n${what.map((p) => `${p}\n${parts[p].map(([n, u, v]) => `  ${v.toFixed(1).padStart(10)} ${u.padEnd(12)} ${n}`).join('\n')}`).join('\n')}\n`, results: {}, stopped: false };
  },
  async stop({ of }) { stopped.add(of); return {}; },
};

onmessage = async ({ data: m }) => {
  try {
    const answer = await work[m.do](m);
    if (answer) send({ ...answer, id: m.id, ok: true });
  } catch (e) {
    send({ id: m.id, error: e.message });
  }
};

if (scene.stalled) setTimeout(() => send({ event: 'stalled', seconds: 32 }), 200);
setTimeout(() => {
  if (scene.failed) send({ event: 'failed', ...scene.failed });
  else if (!scene.silent) send({ event: 'ready', version: 'development', storage, adapter: scene.nogpu ? null : adapter, problem: scene.nogpu ? 'The browser found no GPU for this page.' : '' });
}, scene.delay ?? 30);
