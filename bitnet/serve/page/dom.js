// Elements from plain calls. Text always goes in as text, never as markup, so that
// what a model writes cannot become part of the page.

/** el('button', {type: 'button', onclick: f}, 'text', child) */
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
