// The stream of the server's events, and the few things that are asked for.

const query = (values) => new URLSearchParams(values).toString();

export class Live {
  /** @param {Record<string, (data: any) => void>} handlers by event; `state` gets 'live' or 'lost' */
  constructor(handlers) {
    this.handlers = handlers;
    addEventListener('pagehide', () => this.source?.close());
    addEventListener('pageshow', (e) => { if (e.persisted) this.open(this.names); });
    // A browser keeps few connections to a server: a tab that nobody sees gives its one back.
    document.addEventListener('visibilitychange', () => {
      clearTimeout(this.hidden);
      if (document.hidden) this.hidden = setTimeout(() => this.source?.close(), 60_000);
      else if (this.source?.readyState === EventSource.CLOSED) this.open(this.names);
    });
  }

  /** Opens the stream for these runs; the server begins with all that is known of them. */
  open(names) {
    this.names = names;
    this.source?.close();
    const source = this.source = new EventSource('api/events?' + query(names.map((n) => ['run', n])));
    source.onopen = () => this.handlers.state('live');
    source.onerror = () => {
      this.handlers.state('lost');
      // The browser tries again by itself, unless the server answered with an error.
      if (source.readyState === EventSource.CLOSED) {
        clearTimeout(this.timer);
        this.timer = setTimeout(() => { if (this.source === source) this.open(this.names); }, 3000);
      }
    };
    for (const [event, handle] of Object.entries(this.handlers)) {
      if (event === 'state') continue;
      source.addEventListener(event, (e) => { if (this.source === source) handle(JSON.parse(e.data)); });
    }
  }
}

async function get(path, values, signal) {
  const answer = await fetch(`api/${path}?${query(values)}`, { signal });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

/** The metrics between two steps in at most `points` rows. */
export const fetchSeries = (run, from, to, points, signal) => get('series', { run, from, to, points }, signal);

/** The shares of ternary weights between two steps in at most `columns` columns. */
export const fetchTernary = (run, from, to, columns, signal) => get('ternary', { run, from, to, columns }, signal);
