// A safe part of Markdown as elements: paragraphs, headings, lists, quotes, tables,
// code, emphasis. There are no links, images or markup: they stay the text that
// they are. Nothing here ever sets HTML.

import { copy, el } from './dom.js';

const DEEPEST = 6; // quotes in lists in quotes: deeper ones are plain text

/** The blocks of a text, to be put into an element. */
export function markdown(text) {
  return blocks(text.split('\n'), 0);
}

function blocks(lines, depth) {
  const out = [];
  for (let i = 0; i < lines.length;) {
    if (!lines[i].trim()) { i++; continue; }
    const [block, next] = (depth < DEEPEST && (fence(lines, i) ?? heading(lines, i) ?? rule(lines, i) ?? quote(lines, i, depth)
      ?? list(lines, i, depth) ?? table(lines, i))) || paragraph(lines, i, depth);
    out.push(block);
    i = next;
  }
  return out;
}

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^`]*)$/;

function fence(lines, i) {
  const open = FENCE.exec(lines[i]);
  if (!open) return null;
  const code = [];
  let at = i + 1;
  for (; at < lines.length; at++) {
    const end = FENCE.exec(lines[at]);
    if (end && end[1][0] === open[1][0] && end[1].length >= open[1].length && !end[2].trim()) break;
    code.push(lines[at]);
  }
  const text = code.join('\n');
  const button = el('button', { type: 'button', class: 'small', onclick: async () => {
    button.textContent = await copy(text) ? 'Copied' : 'Not copied';
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
  } }, 'Copy');
  const name = open[2].trim().split(/\s/)[0].slice(0, 20);
  return [el('div', { class: 'code' }, el('p', {}, el('span', { class: 'dim' }, name || 'code'), button),
    el('pre', { tabindex: '0', role: 'region', 'aria-label': `Code${name ? ` in ${name}` : ''}` }, el('code', {}, text))), at + 1];
}

function heading(lines, i) {
  const m = lines[i].length < 500 && /^ {0,3}(#{1,6})\s+(.*?)[\s#]*$/.exec(lines[i]);
  if (!m) return null;
  return [el(`h${Math.min(m[1].length + 2, 6)}`, {}, ...inline(m[2])), i + 1]; // the page has h1 and h2
}

function rule(lines, i) {
  return lines[i].length < 200 && /^ {0,3}([-*_])(\s*\1){2,}\s*$/.test(lines[i]) ? [el('hr'), i + 1] : null;
}

function quote(lines, i, depth) {
  const inside = [];
  let at = i;
  for (; at < lines.length && /^ {0,3}>/.test(lines[at]); at++) inside.push(lines[at].replace(/^ {0,3}> ?/, ''));
  return at > i ? [el('blockquote', {}, ...blocks(inside, depth + 1)), at] : null;
}

const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])( +|$)/;

function list(lines, i, depth) {
  const first = ITEM.exec(lines[i]);
  if (!first) return null;
  const ordered = /\d/.test(first[2]);
  const items = [];
  let at = i;
  for (let m = first; m && /\d/.test(m[2]) === ordered; m = at < lines.length ? ITEM.exec(lines[at]) : null) {
    const indent = m[0].length;
    const inside = [lines[at].slice(indent)];
    for (at++; at < lines.length; at++) {
      const line = lines[at];
      const own = /^ */.exec(line)[0].length;
      const blank = !line.trim();
      if (!blank && own < Math.min(indent, m[1].length + 2)) {
        if (ITEM.test(line) || !inside.at(-1).trim()) break;
        if (fence(lines, at) || heading(lines, at) || rule(lines, at)) break;
      }
      inside.push(line.slice(Math.min(own, indent)));
    }
    items.push(el('li', {}, ...tight(blocks(inside, depth + 1))));
  }
  return [el(ordered ? 'ol' : 'ul', ordered ? { start: parseInt(first[2], 10) } : {}, ...items), at];
}

/** An item of one paragraph needs none around it. */
function tight(children) {
  if (children[0]?.tagName === 'P') children.splice(0, 1, ...children[0].childNodes);
  return children;
}

function cells(line) {
  return line.trim().replace(/^\|/, '').replace(/\|$/, '').split('|').map((c) => c.trim());
}

function table(lines, i) {
  if (!lines[i].includes('|') || i + 1 >= lines.length || lines[i + 1].length > 500 || !/^[\s|:-]*-[\s|:-]*$/.test(lines[i + 1]) || !lines[i + 1].includes('|')) return null;
  const head = cells(lines[i]);
  if (head.length !== cells(lines[i + 1]).length) return null;
  const rows = [];
  let at = i + 2;
  for (; at < lines.length && lines[at].includes('|'); at++) rows.push(cells(lines[at]));
  return [el('div', { class: 'table', tabindex: '0', role: 'region', 'aria-label': 'Table' }, el('table', {},
    el('thead', {}, el('tr', {}, ...head.map((c) => el('th', { scope: 'col' }, ...inline(c))))),
    el('tbody', {}, ...rows.map((row) => el('tr', {}, ...head.map((_, n) => el('td', {}, ...inline(row[n] ?? ''))))))))
  , at];
}

function paragraph(lines, i, depth) {
  const text = [lines[i]];
  let at = i + 1;
  for (; at < lines.length && lines[at].trim(); at++) {
    if (depth < DEEPEST && (FENCE.test(lines[at]) || heading(lines, at) || /^ {0,3}>/.test(lines[at]) || ITEM.test(lines[at]))) break;
    text.push(lines[at]);
  }
  return [el('p', {}, ...inline(text.join('\n'))), at];
}

const MARKS = [['**', 'strong'], ['__', 'strong'], ['~~', 's'], ['*', 'em'], ['_', 'em']];

/** Code and emphasis inside of a text. The search for an end that is not there is made once. */
function inline(text, deep = 0) {
  const out = [];
  const missing = new Set();
  let plain = '';
  const push = (e) => { if (plain) out.push(plain); plain = ''; out.push(e); };
  for (let i = 0; i < text.length;) {
    const c = text[i];
    if (c === '\\' && /[\\`*_~#>|[\]()!-]/.test(text[i + 1] ?? '')) { plain += text[i + 1]; i += 2; continue; }
    if (c === '\n') { push(el('br')); i++; continue; }
    if (c === '`') {
      let n = 1;
      while (text[i + n] === '`') n++;
      const ticks = '`'.repeat(n);
      const end = missing.has(ticks) ? -1 : endOfTicks(text, i + n, n);
      if (end < 0) { missing.add(ticks); plain += ticks; i += n; continue; }
      push(el('code', {}, text.slice(i + n, end).replace(/^ (.*) $/, '$1')));
      i = end + n;
      continue;
    }
    const mark = deep < DEEPEST && MARKS.find(([m]) => text.startsWith(m, i) && !missing.has(m) && opens(text, i, m));
    if (mark) {
      const end = closing(text, i + mark[0].length, mark[0]);
      if (end > 0) {
        push(el(mark[1], {}, ...inline(text.slice(i + mark[0].length, end), deep + 1)));
        i = end + mark[0].length;
        continue;
      }
      missing.add(mark[0]);
    }
    plain += c;
    i++;
  }
  if (plain) out.push(plain);
  return out;
}

function endOfTicks(text, from, n) {
  for (let at = text.indexOf('`', from); at >= 0;) {
    let run = 1;
    while (text[at + run] === '`') run++;
    if (run === n) return at;
    at = text.indexOf('`', at + run);
  }
  return -1;
}

const WORD = /[\p{L}\p{N}]/u;

function opens(text, i, m) {
  if (!/\S/.test(text[i + m.length] ?? '')) return false;
  return m[0] !== '_' || !WORD.test(text[i - 1] ?? ''); // snake_case is no emphasis
}

function closing(text, from, m) {
  for (let at = text.indexOf(m, from + 1); at >= 0; at = text.indexOf(m, at + m.length)) {
    if (!/\S/.test(text[at - 1])) continue;
    if (m.length === 1 && (text[at - 1] === m || text[at + 1] === m)) { at++; continue; } // a part of two
    if (m[0] === '_' && WORD.test(text[at + m.length] ?? '')) continue;
    return at;
  }
  return -1;
}
