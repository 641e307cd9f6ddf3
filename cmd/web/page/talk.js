// Conversation with a model. Whatever it writes is text, never markup.

import { $, el, setOptions, setText } from './dom.js';
import { count, short, value, write } from './format.js';
import { chosen, droppable } from './drop.js';
import { SamplingForm } from './sampling.js';

const NEAR = 60; // pixels from the end of the log within which it follows what is written

export class Talk {
  constructor(app) {
    this.app = app;
    this.model = null;     // the opened model
    this.messages = [];
    this.job = null;       // the answer under way
    this.sampling = new SamplingForm();
    this.keys = { Escape: () => this.stop() };
    $('composer').addEventListener('submit', (e) => {
      e.preventDefault();
      this.send();
    });
    $('say-text').addEventListener('keydown', (e) => {
      if (e.key !== 'Enter' || e.shiftKey || e.isComposing) return;
      e.preventDefault();
      this.send();
    });
    $('say-text').addEventListener('input', () => this.update());
    $('talk-stop').addEventListener('click', () => this.stop());
    $('talk-clear').addEventListener('click', () => this.clear());
    $('talk-model').addEventListener('change', () => this.open($('talk-model').value));
    $('talk-more').addEventListener('click', () => this.pick());
    $('talk-folder').addEventListener('click', () => this.pick(true));
    this.inputs();
  }

  inputs() {
    this.file = el('input', { type: 'file', multiple: true, hidden: true, 'aria-label': 'Files of a model' });
    this.folder = el('input', { type: 'file', webkitdirectory: true, hidden: true, 'aria-label': 'Folder of a model' });
    $('talk').append(this.file, this.folder);
    for (const input of [this.file, this.folder]) {
      input.addEventListener('change', () => {
        this.add(chosen(input));
        input.value = '';
      });
    }
    $('talk-pick').addEventListener('click', () => this.pick());
    droppable($('talk'), (files) => this.add(files));
  }

  pick(folder = false) { (folder ? this.folder : this.file).click(); }

  ready(schema, { adapter }) {
    this.able = !!adapter;
    this.model = null;
    this.job = null;
    this.sampling.reset(schema.sampling);
    this.update();
  }

  failed() {
    this.model = null;
    this.job = null;
    this.able = false;
    this.update();
  }

  kept(runs) {
    const can = runs.filter((r) => r.talks);
    $('talk-none').hidden = can.length > 0;
    $('talk-box').hidden = !can.length;
    const before = $('talk-model').value;
    setOptions($('talk-model'), can.map((r) => [r.name, r.name]));
    if ($('talk-model').value !== before && this.model) this.model = null;
    if (!$('talk').hidden) this.shown();
  }

  shown() {
    const name = $('talk-model').value;
    if (name && this.able && this.model?.run !== name && this.opening !== name) this.open(name);
  }

  choose(name) {
    $('talk-model').value = name;
    this.shown();
  }

  /** Keeps a model that was dropped, and opens it. */
  async add(files) {
    const note = $('talk-none').hidden ? $('talk-about') : $('talk-note');
    const r = await this.app.upload(files, note);
    if (!r) return;
    if (!r.talks) {
      setText(note, r.kind === 'text' ? `${r.name} is a text: train a model on it first.` : `${r.name} is not a model to talk to.`);
      return;
    }
    this.choose(r.name);
  }

  async open(name) {
    if (!name || !this.able) return;
    this.stop();
    this.opening = name;
    this.model = null;
    this.clear();
    this.error('');
    setText($('talk-about'), `Opening ${name}…`);
    this.update();
    try {
      const m = await this.app.engine.ask('open', { run: name });
      if (this.opening !== name) return;
      this.model = m;
      const plain = m.chat === 'plain';
      setText($('talk-about'), `${short(m.parameters)} parameters, a vocabulary of ${count(m.vocab)}, a context of ${count(m.context)} tokens. ${plain ? 'This is a base model: it continues your text instead of answering.' : `Conversations in the format ${m.chat}.`}`);
      setText($('say-label'), plain ? 'Text to continue' : 'Your message');
      $('say-text').placeholder = plain ? 'A text to continue' : 'Your message';
      if (!$('say-text').value) $('say-text').value = m.prompt ?? '';
      this.sampling.reset(m.sampling);
    } catch (e) {
      if (this.opening !== name) return;
      setText($('talk-about'), '');
      this.error(`${name} cannot be opened: ${e.message}`);
    } finally {
      if (this.opening === name) this.opening = '';
      this.update();
    }
  }

  get plain() { return this.model?.chat === 'plain'; }

  /** A base model goes on with what it wrote if nothing new was typed. */
  get continues() { return this.plain && !$('say-text').value && this.messages.length > 0; }

  update() {
    const text = $('say-text').value;
    $('talk-send').disabled = !this.model || !!this.job || !(text || this.continues || this.plain);
    setText($('talk-send'), this.continues ? 'Continue' : this.plain ? 'Write' : 'Send');
    $('talk-send').hidden = !!this.job;
    $('talk-stop').hidden = !this.job;
    $('talk-clear').disabled = !!this.job || !this.messages.length;
    $('log').classList.toggle('nothing', !$('log').children.length);
    $('say-text').disabled = !this.model;
  }

  bubble(role, text) {
    const b = el('p', { class: `bubble ${role}` }, el('span', { class: 'hide' }, role === 'user' ? 'you: ' : 'model: '));
    const node = document.createTextNode(text);
    b.append(node);
    $('log').append(b);
    return { b, node };
  }

  async send() {
    if ($('talk-send').disabled) return;
    const text = $('say-text').value;
    const wrong = this.sampling.error();
    this.error(wrong);
    if (wrong) {
      $('sampling-box').open = true;
      return;
    }
    const more = this.continues;
    let out;
    if (this.plain) {
      if (!more) {
        this.messages = [{ role: 'user', content: text }];
        out = this.bubble('text', '');
        out.b.insertBefore(el('span', { class: 'prompt' }, text), out.node);
      } else {
        out = { b: $('log').lastElementChild };
        out.node = out.b.lastChild;
      }
    } else {
      this.messages.push({ role: 'user', content: text });
      this.bubble('user', text);
      out = this.bubble('assistant', '');
    }
    if (!more) $('say-text').value = '';
    await this.answer(out);
  }

  /** Streams an answer into the log. */
  async answer(out) {
    const { tokens, stop, sampling } = this.sampling.values();
    const log = $('log'), before = out.node.data.length;
    out.b.setAttribute('aria-busy', 'true');
    out.b.classList.add('busy');
    setText($('talk-speed'), 'reading…');
    const append = (piece) => {
      const follow = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;
      out.node.appendData(piece);
      if (follow) log.scrollTop = log.scrollHeight;
    };
    log.scrollTop = log.scrollHeight;
    const job = this.job = this.app.engine.ask('talk', { run: this.model.run, messages: this.messages, tokens, stop, sampling }, {
      text: (m) => {
        setText($('talk-speed'), 'writing…');
        append(m.text);
      },
    });
    this.update();
    try {
      const end = await job;
      out.node.data = out.node.data.slice(0, before) + end.text;
      this.messages.push({ role: 'assistant', content: end.text });
      const why = { length: 'reached the most tokens', stopped: 'stopped by you' }[end.reason];
      const speed = end.tokens_per_sec ? `${value(end.tokens_per_sec)} tokens/s` : '';
      const forgotten = end.forgotten ? `${count(end.forgotten)} messages no longer fit its context` : '';
      setText($('talk-speed'), [`${count(end.tokens)} tokens`, speed, `prompt of ${count(end.prompt_tokens)} in ${write('ms', end.prompt_ms)}`, why, forgotten].filter(Boolean).join(' · '));
      this.app.say(end.text.slice(0, 400) || 'The model wrote nothing.');
      if (!end.text && before === 0) out.b.append(el('span', { class: 'dim' }, '(nothing)'));
    } catch (e) {
      setText($('talk-speed'), '');
      this.error(e.message);
      if (out.node.data.length === before && !this.plain) {
        // The question stays to be sent again.
        out.b.remove();
        const asked = this.messages.pop();
        if (!$('say-text').value) $('say-text').value = asked?.content ?? '';
        $('log').lastElementChild?.remove();
      }
    } finally {
      out.b.removeAttribute('aria-busy');
      out.b.classList.remove('busy');
      if (this.job === job) this.job = null;
      this.update();
      if (!$('talk').hidden && document.activeElement === document.body) $('say-text').focus();
    }
  }

  stop() {
    if (this.job) this.app.engine.stop(this.job.id);
  }

  clear() {
    this.messages = [];
    $('log').replaceChildren();
    setText($('talk-speed'), '');
    this.error('');
    this.update();
  }

  error(text) {
    setText($('talk-error'), text);
    $('talk-error').hidden = !text;
  }
}
