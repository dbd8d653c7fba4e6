// What does the server say? The API that everybody has, `/v1`; the cookie of this page's login tells who asks.

/** A refusal: what failed, why, and what to do next. */
export class Problem extends Error {
  constructor(status, { detail, hint, field, code } = {}) {
    super(detail || `the server answered with status ${status}`);
    Object.assign(this, { status, hint, field, code });
  }
}

/** Set by the page: called when the login is over. */
export const session = { onEnd: () => {} };

/** Asks for `path`, which stands behind `/v1`. Returns the answer's JSON; throws a Problem. */
export async function ask(method, path, body, { type = 'application/json', signal } = {}) {
  const headers = body === undefined ? {} : { 'Content-Type': type };
  let answer;
  try {
    answer = await fetch(`/v1${path}`, { method, headers, signal, body: body && JSON.stringify(body) });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Problem(0, { detail: 'the server cannot be reached', hint: 'this page tries again by itself' });
  }
  const json = await answer.json().catch(() => undefined);
  if (answer.ok) return json;
  if (answer.status === 401) session.onEnd();
  throw new Problem(answer.status, json);
}

export const get = (path, options) => ask('GET', path, undefined, options);

/** The path of a run's part, as in `/apps/greet/runs/7/journal`. */
export const runPath = ({ app, number }, part = '') => `/apps/${encodeURIComponent(app)}/runs/${number}${part}`;

/** A query of what is set: `?a=1&b=2`, or nothing. */
export function query(values) {
  const set = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== '');
  const pairs = set.flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
  return pairs.length ? `?${new URLSearchParams(pairs)}` : '';
}

/**
 * Follows a stream: `on` has a function for each event, which gets its data and a function that ends the stream;
 * `onHealth` gets whether the connection stands. A stream that broke off is opened anew, with ever longer pauses, at what
 * `path()` says then. A tab that nobody sees holds no stream for long, since a browser has only six connections to a
 * server for all its tabs. Returns how to end it.
 */
export function follow(path, { on, onHealth = () => {} }) {
  let source, timer, pause = 500, heard = false;
  const open = () => {
    source = new EventSource(`/v1${path()}`);
    source.onopen = () => { pause = 500; onHealth(true); };
    source.onerror = () => {
      source.close();
      onHealth(false);
      // An EventSource does not say why. A request does.
      get('/environments').catch(() => {});
      timer = setTimeout(open, pause);
      pause = Math.min(pause * 2, 10_000);
    };
    for (const [name, act] of Object.entries(on)) {
      source.addEventListener(name, (event) => { heard = true; act(JSON.parse(event.data), stop); rest(); });
    }
  };
  const rest = () => { if (document.hidden && heard) { source.close(); clearTimeout(timer); } };
  const onShow = () => { if (document.hidden) rest(); else if (source.readyState === EventSource.CLOSED) { clearTimeout(timer); open(); } };
  const stop = () => { clearTimeout(timer); source.close(); document.removeEventListener('visibilitychange', onShow); };
  document.addEventListener('visibilitychange', onShow);
  open();
  return stop;
}
