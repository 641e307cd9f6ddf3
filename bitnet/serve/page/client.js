// Talks with the server: the model, and answers as they are written.

let key = '';
try { key = sessionStorage.getItem('key') ?? ''; } catch { /* then until the page is left */ }

export function setKey(value) {
  key = value;
  try { sessionStorage.setItem('key', value); } catch { /* then until the page is left */ }
}

/** What the server says against a request. `status` is that of the answer, 0 for none. */
export class Refusal extends Error {
  constructor(message, status, wait = 0) {
    super(message);
    this.status = status;
    this.wait = wait;
  }
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (key) headers.Authorization = `Bearer ${key}`;
  let r;
  try {
    r = await fetch(path, { ...options, headers, cache: 'no-store' });
  } catch (e) {
    if (e.name === 'AbortError') throw e;
    throw new Refusal('The server cannot be reached. Is it running?', 0);
  }
  if (r.ok) return r;
  let message = `The server answers with status ${r.status}.`;
  try { message = (await r.json()).error.message; } catch { /* no JSON */ }
  throw new Refusal(message, r.status, Number(r.headers.get('Retry-After')) || 0);
}

/** The model that is served. */
export async function model() {
  return (await (await ask('v1/models')).json()).data[0];
}

/** The events of a streamed answer. An answer that is cut throws. */
export async function* answer(body, signal) {
  const r = await ask('v1/chat/completions', {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, signal,
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
  });
  const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith('data: ')) continue;
      const data = line.slice(6);
      if (data === '[DONE]') return;
      const event = JSON.parse(data);
      if (event.error) throw new Refusal(event.error.message, 500);
      yield event;
    }
  }
  throw new Refusal('The answer was cut: the connection ended.', 0);
}
