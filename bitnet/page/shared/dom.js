// Elements from plain calls. Text always goes in as text, never as markup, so
// that the name of a run, or what a model writes, cannot become part of the page.

/** el('td', {class: 'num'}, 'text', child) */
export function el(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) e.addEventListener(name.slice(2), value);
    else if (value === true) e.setAttribute(name, '');
    else if (value !== false && value != null) e.setAttribute(name, value);
  }
  e.append(...children.filter((c) => c != null));
  return e;
}

export const $ = (id) => document.getElementById(id);

/** Copies text; without the right to use the clipboard (a page without TLS), by a selection. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = el('textarea', { class: 'hide', 'aria-hidden': 'true' });
    area.value = text;
    const focus = document.activeElement;
    (document.querySelector('dialog[open]') ?? document.body).append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    focus?.focus();
    return done;
  }
}

/** Sets text only where it changed: a screen reader is not disturbed and nothing is laid out again. */
export function setText(e, text) {
  if (e.textContent !== text) e.textContent = text;
}

/** Fills a select with [value, label] pairs, keeping the choice if it is still there. */
export function setOptions(select, pairs) {
  const now = [...select.options].map((o) => `${o.value}\n${o.label}`).join('\n\n');
  const next = pairs.map(([value, label]) => `${value}\n${label}`).join('\n\n');
  if (now === next && select.options.length === pairs.length) return;
  const chosen = select.value;
  select.replaceChildren(...pairs.map(([value, label]) => {
    const o = el('option', { value }, label);
    o.label = label;
    return o;
  }));
  if (pairs.some(([value]) => value === chosen)) select.value = chosen;
}

/** A table of rows; the first cell of a row is its header. Numbers' columns are named in `numeric`. */
export function table(caption, head, rows, numeric = () => false) {
  return el('table', {},
    el('caption', { class: 'hide' }, caption),
    el('thead', {}, el('tr', {}, ...head.map((h, i) => el('th', { scope: 'col', class: numeric(i) ? 'num' : null }, h)))),
    el('tbody', {}, ...rows.map((row) => el('tr', {}, ...row.map((cell, i) =>
      i === 0 ? el('th', { scope: 'row', class: numeric(i) ? 'num' : null }, cell) : el('td', { class: numeric(i) ? 'num' : null }, cell))))));
}

/** A name that is cut in the middle where there is no room for it: names of runs differ at their ends. */
export function nameOf(name) {
  const end = Math.min(12, Math.floor(name.length / 2));
  return el('span', { class: 'cut', title: name }, el('span', {}, name.slice(0, name.length - end)), el('span', {}, name.slice(name.length - end)));
}
