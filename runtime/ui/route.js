// Which page is shown? The address says so, filters included: it can be kept, sent and gone back to.

import { html, useEffect, useState } from './html.js';

const BASE = '/ui';
const listeners = new Set();

function current() {
  const path = decodeSafely(location.pathname.slice(BASE.length)) || '/';
  return { path, search: Object.fromEntries(new URLSearchParams(location.search)) };
}

function decodeSafely(path) {
  try { return decodeURI(path); } catch { return path; }
}

/** The address as `{path, search}`; the component is drawn again when it changes. */
export function useRoute() {
  const [route, setRoute] = useState(current);
  useEffect(() => {
    const listener = () => setRoute(current());
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, []);
  return route;
}

export function go(path, { replace = false } = {}) {
  history[replace ? 'replaceState' : 'pushState'](null, '', BASE + path);
  listeners.forEach((listener) => listener());
  if (!replace) scrollTo(0, 0);
}

/** Changes some of the filters in the address. */
export function setSearch(changes, options = { replace: true }) {
  const { search } = current();
  const next = Object.entries({ ...search, ...changes }).filter(([, value]) => value !== undefined && value !== '');
  const path = location.pathname.slice(BASE.length) || '/';
  go(next.length ? `${path}?${new URLSearchParams(next)}` : path, options);
}

addEventListener('popstate', () => listeners.forEach((listener) => listener()));

/** A link within the page. Any other click than a plain one is the browser's. */
export function Link({ to, children, ...rest }) {
  const onClick = (event) => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(to);
  };
  return html`<a href=${BASE + to} onClick=${onClick} ...${rest}>${children}</a>`;
}

export const appLink = (app) => `/apps/${encodeURIComponent(app)}`;
export const runLink = (app, number) => `${appLink(app)}/runs/${number}`;
