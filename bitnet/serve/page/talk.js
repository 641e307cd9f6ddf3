// The conversation that is shown: what is said, how it is changed, and the answer
// that is being written.

import { answer, Refusal } from './client.js';
import { $ } from './dom.js';
import { growing, message, stats } from './message.js';
import * as settings from './settings.js';
import * as store from './chats.js';

const talk = { id: null, title: '', messages: [] };
let running = null; // the AbortController of the answer that is written
let hooks = {};

/** hooks: name of the model, changed() after each change, problem(text), wantsKey(). */
export function begin(h) { hooks = h; }

export const current = () => talk.id;
export const isRunning = () => running !== null;

/** Shows a conversation; null begins a new one. */
export function show(id) {
  stop();
  running = null; // what there is of its answer is kept with its conversation: see write
  const known = id && store.list().find((c) => c.id === id);
  Object.assign(talk, known ? { id, title: known.title, messages: store.load(id) } : { id: null, title: '', messages: [] });
  render();
  toEnd(true);
}

function save() {
  if (!talk.id) {
    talk.id = store.newID();
    const first = talk.messages[0].text.trim().replace(/\s+/g, ' ');
    talk.title = first.length > 48 ? `${first.slice(0, 47)}…` : first;
  }
  if (!store.save(talk.id, talk.title, talk.messages)) hooks.problem('The browser does not keep this conversation: its storage is full or closed. Delete old conversations.');
  hooks.changed();
}

/** Gives the conversation another title. */
export function rename(id, title) {
  if (id === talk.id) {
    talk.title = title;
    store.save(id, title, talk.messages);
  } else {
    store.save(id, title, store.load(id));
  }
  hooks.changed();
}

function render() {
  const last = talk.messages.length - 1;
  $('welcome').hidden = talk.messages.length > 0;
  $('messages').replaceChildren(...talk.messages.map((m, i) => message(m, hooks.name, {
    edit: (text) => { talk.messages.splice(i, talk.messages.length, { role: 'user', text }); write(i + 1); },
    answer: m.role === 'user' && i === last && !running ? () => write(i + 1) : null,
    again: () => write(i),
    choose: (n) => { m.at = n; save(); render(); },
  })));
}

/** Says something, and gets an answer. */
export function say(text) {
  if (running) return;
  talk.messages.push({ role: 'user', text });
  write(talk.messages.length);
}

export function stop() {
  running?.abort();
}

// atEnd says whether the newest words are in sight: then they stay there.
const atEnd = () => $('scroll').scrollHeight - $('scroll').scrollTop - $('scroll').clientHeight < 60;
function toEnd(follow) { if (follow) $('scroll').scrollTop = $('scroll').scrollHeight; }

/** Writes message i again: an answer to those before it. What follows is dropped. */
async function write(i) {
  stop();
  const controller = new AbortController();
  running = controller;
  const messages = talk.messages;
  const old = messages[i];
  messages.splice(i + 1);
  save();
  const { id, title } = talk;
  render();
  if (old) $('messages').children[i]?.remove();
  const view = growing(hooks.name);
  $('messages').append(view.item);
  toEnd(true);
  hooks.changed();
  const v = { text: '', reason: 'cut', tokens: 0, rate: 0, dropped: 0 };
  let trouble = '';
  try {
    await stream(conversation(messages.slice(0, i)), v, view, controller.signal);
  } catch (e) {
    if (e.name === 'AbortError') v.reason = 'stopped';
    else trouble = e instanceof Refusal ? e.message : 'The answer was cut: the connection ended.';
    if (e.status === 401) hooks.wantsKey();
  }
  const shown = running === controller && messages === talk.messages; // and not another answer or conversation by now
  if (running === controller) running = null;
  if (v.text || v.reason === 'stop') {
    if (old) Object.assign(old, { versions: [...old.versions, v], at: old.versions.length });
    else messages[i] = { role: 'assistant', versions: [v], at: 0 };
  }
  if (!shown) {
    if (messages !== talk.messages && store.list().some((c) => c.id === id)) store.save(id, title, messages);
    return;
  }
  save();
  const follow = atEnd();
  render();
  toEnd(follow);
  $('say').textContent = trouble || `Answer finished: ${stats(v) || 'no text'}.`;
  if (trouble) hooks.problem(trouble);
}

/** What the server is to see of messages. */
function conversation(messages) {
  const out = messages.map((m) => (m.role === 'user' ? { role: 'user', content: m.text } : { role: 'assistant', content: m.versions[m.at].text }));
  return settings.system() ? [{ role: 'system', content: settings.system() }, ...out] : out;
}

/** Reads an answer into v and draws it. A server that is busy is asked again. */
async function stream(messages, v, view, signal) {
  const body = { messages, truncation: 'auto', ...settings.request() };
  for (let tries = 0; ; tries++) {
    try {
      return await read(answer(body, signal), v, view, signal);
    } catch (e) {
      if (!(e instanceof Refusal && e.wait > 0 && e.status === 429 && tries < 60)) throw e;
      view.tell('the server is busy: waiting for a place');
      await pause(e.wait * 1000, signal);
    }
  }
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => { clearTimeout(timer); reject(new DOMException('', 'AbortError')); }, { once: true });
  });
}

async function read(events, v, view, signal) {
  let first = 0; // when the first words came, and the last
  let last = 0;
  let pieces = 0;
  let drawn = 0; // when the text was drawn last, and how long that took
  let cost = 0;
  const draw = () => {
    if (signal.aborted) return;
    const follow = atEnd();
    const began = performance.now();
    const rate = pieces > 1 ? (pieces - 1) / ((began - first) / 1000) : 0;
    view.show(v.text, rate ? `about ${rate < 10 ? rate.toFixed(1) : Math.round(rate)} tokens/s` : '');
    toEnd(follow);
    drawn = performance.now();
    cost = drawn - began;
  };
  for await (const event of events) {
    const now = performance.now();
    if (event.usage) {
      v.tokens = event.usage.completion_tokens;
      v.dropped = event.usage.dropped_messages ?? 0;
      if (v.tokens > 1 && last > first) v.rate = (v.tokens - 1) / ((last - first) / 1000);
    }
    const choice = event.choices?.[0];
    if (!choice) continue;
    if (choice.delta?.content) {
      v.text += choice.delta.content;
      first ||= now;
      last = now;
      pieces++;
      if (now - drawn > Math.max(40, 5 * cost)) draw();
    }
    if (choice.finish_reason) v.reason = choice.finish_reason;
  }
}
