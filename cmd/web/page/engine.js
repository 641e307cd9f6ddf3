// The worker, where all the work is done: requests, their answers and their news.

/** An address of a script, by which browsers with trusted types start a worker. */
function script(name) {
  const types = globalThis.trustedTypes;
  if (!types) return name;
  script.policy ??= types.createPolicy('bitnet', {
    createScriptURL(url) {
      if (url !== 'worker.js') throw new TypeError(`${url} is not a script of this page`);
      return url;
    },
  });
  return script.policy.createScriptURL(name);
}

// Of these the worker takes one of a kind at a time: the next one waits for its turn.
const IN_TURN = { open: 'answer', talk: 'answer', think: 'answer', upload: 'upload' };

export class Engine extends EventTarget {
  constructor() {
    super();
    this.next = 0;
    this.waiting = new Map(); // id -> {resolve, reject, on}
    this.turns = new Map();   // kind -> the end of the last request of that kind
    this.state = 'loading';   // 'ready' and 'failed' follow
    this.ready = null;        // what the worker said of itself
  }

  /** Starts a worker; after a failure, a new one. Events: ready, failed, storage. */
  start() {
    this.worker?.terminate();
    this.fail({ kind: 'program', text: 'The program was started again.' }, false);
    this.change('loading', null);
    const worker = this.worker = new Worker(script('worker.js'));
    worker.onmessage = ({ data }) => { if (this.worker === worker) this.take(data); };
    worker.onerror = (e) => {
      e.preventDefault();
      if (this.worker === worker) this.fail({ kind: 'program', text: e.message ? `The program ended: ${e.message}` : 'The program could not be loaded.' });
    };
  }

  /** Ends the worker, which frees what it holds: the page is left. */
  end() {
    this.worker?.terminate();
    this.worker = null;
  }

  change(state, detail) {
    this.state = state;
    this.ready = state === 'ready' ? detail : null;
    this.dispatchEvent(new CustomEvent(state, { detail }));
  }

  /** Nothing more will come from this worker: whoever waits is told. */
  fail(why, tell = true) {
    for (const { reject } of this.waiting.values()) reject(new Error(why.text));
    this.waiting.clear();
    if (!tell) return;
    this.worker?.terminate();
    this.worker = null;
    this.change('failed', why);
  }

  take(m) {
    const asked = this.waiting.get(m.id);
    if (m.event) {
      if (m.id !== undefined) asked?.on[m.event]?.(m);
      else if (m.event === 'ready') this.change('ready', m);
      else if (m.event === 'failed') this.fail(m);
      else this.dispatchEvent(new CustomEvent(m.event, { detail: m }));
      return;
    }
    if (!asked) return;
    this.waiting.delete(m.id);
    if (m.error) asked.reject(new Error(m.error));
    else asked.resolve(m);
  }

  /**
   * Asks the worker; `on` has a function for each event of the request.
   * @returns {Promise<any> & {id: number}} its answer
   */
  ask(what, fields = {}, on = {}) {
    const id = ++this.next, kind = IN_TURN[what];
    const send = () => new Promise((resolve, reject) => {
      if (this.state !== 'ready') {
        reject(new Error('The program is not ready.'));
        return;
      }
      this.waiting.set(id, { resolve, reject, on });
      this.worker.postMessage({ ...fields, id, do: what });
    });
    const before = this.turns.get(kind);
    const answer = before ? before.then(send) : send();
    if (kind) this.turns.set(kind, answer.catch(() => { /* whoever asked is told */ }));
    answer.id = id;
    return answer;
  }

  /** Ends a request early; it is answered with how far it came. */
  stop(id) {
    if (this.state === 'ready') this.ask('stop', { of: id }).catch(() => { /* it had ended */ });
  }
}
