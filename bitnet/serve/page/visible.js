// Characters that would hide or reorder what a model wrote are shown as signs:
// control characters (terminal escapes among them) and marks of direction.

const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;

function sign(c) {
  return `⟨U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`;
}

/** The text with nothing hidden in it. */
export function visible(text) {
  return text.replaceAll('\r\n', '\n').replace(HIDDEN, sign);
}
