// The page: the list of conversations, the message field, and what joins the parts.

import { model, setKey } from './client.js';
import { $, el } from './dom.js';
import * as settings from './settings.js';
import * as store from './chats.js';
import * as talk from './talk.js';
import { toggleTheme } from './theme.js';

const hooks = { name: 'Model', changed: refresh, problem, wantsKey };

function problem(text) {
  $('problem-text').textContent = text;
  $('problem').hidden = !text;
}

/** Shows what changed around the conversation. */
function refresh() {
  const running = talk.isRunning();
  $('send').hidden = running;
  $('stop').hidden = !running;
  $('list').replaceChildren(...store.list().map((c) => el('li', {},
    el('button', { type: 'button', class: 'open', 'aria-current': c.id === talk.current() ? 'true' : null, onclick: () => open(c.id) }, c.title || 'Untitled'),
    el('button', { type: 'button', class: 'small', 'aria-label': `Rename ${c.title}`, title: 'Rename', onclick: (e) => rename(c, e.currentTarget.parentElement) }, '✎'),
    el('button', { type: 'button', class: 'small', 'aria-label': `Delete ${c.title}`, title: 'Delete', onclick: () => remove(c) }, '×'))));
}

function open(id) {
  talk.show(id);
  problem('');
  refresh();
  fold(false);
  if (matchMedia('(pointer: fine)').matches) $('input').focus(); // a phone would bring up its keyboard
}

function rename(c, item) {
  const input = el('input', { type: 'text', value: c.title, 'aria-label': 'Title of the conversation', maxlength: 80 });
  let done = false;
  const end = (keep) => {
    if (done) return;
    done = true;
    if (keep && input.value.trim()) talk.rename(c.id, input.value.trim());
    else refresh();
  };
  input.addEventListener('keydown', (e) => {
    if (e.key === 'Enter') end(true);
    if (e.key === 'Escape') { e.stopPropagation(); end(false); }
  });
  input.addEventListener('blur', () => end(true));
  item.replaceChildren(input);
  input.select();
}

function remove(c) {
  $('confirm-text').textContent = `Delete the conversation “${c.title}”?`;
  $('confirm').returnValue = '';
  $('confirm').showModal();
  $('confirm').onclose = () => {
    if ($('confirm').returnValue !== 'yes') return;
    if (c.id === talk.current()) talk.show(null);
    store.remove(c.id);
    refresh();
    $('new').focus();
  };
}

/** On a small screen the list lies over the conversation. */
function fold(shown) {
  $('list-box').classList.toggle('shown', shown);
  $('open-list').setAttribute('aria-expanded', shown);
}

/** The message field is as high as its text, up to a third of the window. */
function grow() {
  const input = $('input');
  input.style.height = 'auto';
  input.style.height = `${Math.min(input.scrollHeight + 2, innerHeight / 3)}px`;
}

function send() {
  const text = $('input').value;
  if (!text.trim() || talk.isRunning()) return;
  $('input').value = '';
  grow();
  problem('');
  talk.say(text);
}

function wantsKey() {
  if (!$('ask-key').open) $('ask-key').showModal();
}

/** Asks what is served. */
async function connect() {
  try {
    const m = await model();
    hooks.name = m.id;
    $('model').textContent = `${m.id}, ${m.context_length.toLocaleString('en')} tokens of context`;
    $('welcome-model').textContent = m.id;
    $('base').hidden = m.chat_format !== 'plain';
    document.title = `${m.id}: bitnet chat`;
    settings.limit(m.max_tokens);
    problem('');
  } catch (e) {
    $('model').textContent = 'not connected';
    if (e.status === 401) wantsKey();
    else problem(e.message);
  }
}

$('composer').addEventListener('submit', (e) => { e.preventDefault(); send(); });
$('input').addEventListener('input', grow);
$('input').addEventListener('keydown', (e) => {
  if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) { e.preventDefault(); send(); }
});
$('stop').addEventListener('click', () => { talk.stop(); $('input').focus(); });
$('new').addEventListener('click', () => open(null));
$('open-list').addEventListener('click', () => fold(!$('list-box').classList.contains('shown')));
$('theme').addEventListener('click', toggleTheme);
$('problem-close').addEventListener('click', () => { problem(''); $('input').focus(); });
$('key-form').addEventListener('submit', (e) => {
  e.preventDefault();
  setKey($('key').value);
  $('key').value = '';
  $('ask-key').close();
  connect();
});
addEventListener('keydown', (e) => {
  if (e.key !== 'Escape' || document.querySelector('dialog[open]')) return;
  if (talk.isRunning()) talk.stop();
  else fold(false);
});
addEventListener('pagehide', () => talk.stop());
store.onOtherTab((id) => {
  if (id && id === talk.current() && !talk.isRunning()) talk.show(store.list().some((c) => c.id === id) ? id : null);
  refresh();
});

settings.begin(() => {});
talk.begin(hooks);
open(null);
connect();
