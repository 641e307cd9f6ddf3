// A message as an element: what was said, and what can be done with it.

import { copy, el } from './dom.js';
import { markdown } from './markdown.js';
import { visible } from './visible.js';

const WHY = { length: 'cut at the limit of tokens', stopped: 'stopped', cut: 'not finished' };

const version = (m) => m.versions[m.at];

/** What is known of an answer, in words. */
export function stats(v) {
  const out = [];
  if (v.tokens) out.push(`${v.tokens} token${v.tokens === 1 ? '' : 's'}`);
  if (v.rate) out.push(`${v.rate < 10 ? v.rate.toFixed(1) : Math.round(v.rate)} tokens/s`);
  if (WHY[v.reason]) out.push(WHY[v.reason]);
  if (v.dropped) out.push(`the oldest ${v.dropped} message${v.dropped === 1 ? '' : 's'} did not fit the context`);
  return out.join(', ');
}

function button(label, text, onclick, disabled = false) {
  return el('button', { type: 'button', class: 'small', 'aria-label': label, title: label, onclick, disabled }, text);
}

function copyButton(text) {
  const b = button('Copy this message', 'Copy', async () => {
    b.textContent = await copy(text()) ? 'Copied' : 'Not copied';
    setTimeout(() => { b.textContent = 'Copy'; }, 1500);
  });
  return b;
}

/** A user's message. acts: edit(text), answer() or null. */
function userMessage(m, acts) {
  const body = el('div', { class: 'body said' }, visible(m.text));
  const item = el('li', { class: 'message user' }, el('h3', { class: 'who' }, 'You'), body);
  const tools = el('div', { class: 'tools' }, button('Edit this message', 'Edit', () => edit(item, body, tools, m.text, acts)), copyButton(() => m.text));
  if (acts.answer) tools.append(button('Answer this message', 'Answer', acts.answer));
  item.append(tools);
  return item;
}

function edit(item, body, tools, text, acts) {
  const area = el('textarea', { 'aria-label': 'Edit your message', rows: Math.min(12, text.split('\n').length + 1) });
  area.value = text;
  const close = () => {
    form.remove();
    body.hidden = tools.hidden = false;
    tools.querySelector('button').focus();
  };
  const form = el('form', { class: 'edit', onsubmit: (e) => { e.preventDefault(); if (area.value.trim()) acts.edit(area.value); } },
    area, el('p', { class: 'buttons' }, el('span', { class: 'dim small fill' }, 'What follows this message is replaced.'),
      el('button', { type: 'button', onclick: close }, 'Cancel'), el('button', { class: 'primary' }, 'Send')));
  form.addEventListener('keydown', (e) => {
    if (e.key === 'Escape') { e.stopPropagation(); close(); }
    if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) { e.preventDefault(); form.requestSubmit(); }
  });
  body.hidden = tools.hidden = true;
  item.append(form);
  area.focus();
}

/** The model's message. acts: again(), choose(n). */
function modelMessage(m, name, acts) {
  const v = version(m);
  const body = el('div', { class: 'body' }, ...markdown(visible(v.text)));
  const raw = button('Show this message as it was written', 'As written', () => {
    const on = raw.getAttribute('aria-pressed') !== 'true';
    raw.setAttribute('aria-pressed', on);
    body.classList.toggle('said', on);
    body.replaceChildren(...(on ? [visible(v.text)] : markdown(visible(v.text))));
  });
  raw.setAttribute('aria-pressed', 'false');
  const tools = el('div', { class: 'tools' });
  if (m.versions.length > 1) {
    tools.append(button('Answer before this one', '‹', () => acts.choose(m.at - 1), m.at === 0), el('span', { class: 'dim small' }, `${m.at + 1} / ${m.versions.length}`),
      button('Answer after this one', '›', () => acts.choose(m.at + 1), m.at === m.versions.length - 1));
  }
  tools.append(button('Write another answer', 'Regenerate', acts.again), copyButton(() => v.text), raw, el('span', { class: 'dim small stats' }, stats(v)));
  return el('li', { class: 'message model' }, el('h3', { class: 'who' }, name), body, tools);
}

/** The element of a message. */
export function message(m, name, acts) {
  return m.role === 'user' ? userMessage(m, acts) : modelMessage(m, name, acts);
}

/** An answer that is being written; show(text, about) draws what there is so far. */
export function growing(name) {
  const body = el('div', { class: 'body' }, el('span', { class: 'cursor', 'aria-hidden': 'true' }));
  const about = el('span', { class: 'dim small stats' }, 'waiting for the first token');
  const item = el('li', { class: 'message model', 'aria-busy': 'true' }, el('h3', { class: 'who' }, name), body, el('div', { class: 'tools' }, about));
  return { item, show(text, words) {
    body.replaceChildren(...markdown(visible(text)), el('span', { class: 'cursor', 'aria-hidden': 'true' }));
    about.textContent = words;
  }, tell(words) { about.textContent = words; } };
}
