// Conversations, kept in the browser: a list of them, and each under a key of its
// own, so that a long one does not slow down the others.

const LIST = 'bitnet.chats';
const keyOf = (id) => `bitnet.chat.${id}`;

function read(key) {
  try { return JSON.parse(localStorage.getItem(key)); } catch { return null; }
}

const isText = (v) => typeof v === 'string';

/** The conversations, the newest first: {id, title, changed}. */
export function list() {
  const all = read(LIST);
  if (!Array.isArray(all)) return [];
  return all.filter((c) => c && isText(c.id) && isText(c.title)).sort((a, b) => (b.changed || 0) - (a.changed || 0));
}

/**
 * The messages of a conversation. A user's is {role, text}; an assistant's has versions
 * {text, reason, tokens, rate}, of which `at` is shown and part of the conversation.
 */
export function load(id) {
  const all = read(keyOf(id));
  if (!Array.isArray(all)) return [];
  return all.filter((m) => m && (m.role === 'user' ? isText(m.text)
    : m.role === 'assistant' && Array.isArray(m.versions) && m.versions.length > 0 && m.versions.every((v) => v && isText(v.text)) && m.versions[m.at]));
}

/** Saves a conversation; false if the browser's storage is full or closed. */
export function save(id, title, messages) {
  try {
    localStorage.setItem(keyOf(id), JSON.stringify(messages));
    localStorage.setItem(LIST, JSON.stringify([{ id, title, changed: Date.now() }, ...list().filter((c) => c.id !== id)]));
    return true;
  } catch {
    return false;
  }
}

export function remove(id) {
  try {
    localStorage.removeItem(keyOf(id));
    localStorage.setItem(LIST, JSON.stringify(list().filter((c) => c.id !== id)));
  } catch { /* then there is nothing to remove */ }
}

export const newID = () => [...crypto.getRandomValues(new Uint8Array(8))].map((b) => b.toString(16).padStart(2, '0')).join('');

/** Calls f when another tab changed a conversation, with its id, or the list, with null. */
export function onOtherTab(f) {
  addEventListener('storage', (e) => {
    if (e.key === LIST || e.key === null) f(null);
    else if (e.key.startsWith(keyOf(''))) f(e.key.slice(keyOf('').length));
  });
}
