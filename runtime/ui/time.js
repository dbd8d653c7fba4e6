// When, and how long? Relative, with the exact moment on hover; one clock for the whole page.

import { html, useEffect, useState } from './html.js';

const listeners = new Set();
let timer;

/** The time in milliseconds; the component is drawn again each second. */
export function useNow() {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    listeners.add(setNow);
    timer ??= setInterval(() => listeners.forEach((set) => set(Date.now())), 1000);
    return () => listeners.delete(setNow);
  }, []);
  return now;
}

const UNITS = [['d', 86_400_000], ['h', 3_600_000], ['min', 60_000], ['s', 1000]];

/** A length as people say it: `340 ms`, `2.1 s`, `3 min 20 s`. */
export function length(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return '';
  const total = Math.max(0, ms);
  if (total < 1000) return `${Math.round(total)} ms`;
  if (total < 60_000) return `${(total / 1000).toFixed(1)} s`;
  const first = UNITS.findIndex(([, unit]) => total >= unit);
  const [name, unit] = UNITS[first];
  const [nextName, nextUnit] = UNITS[first + 1];
  const rest = Math.floor((total % unit) / nextUnit);
  return `${Math.floor(total / unit)} ${name}${rest ? ` ${rest} ${nextName}` : ''}`;
}

function relative(ms) {
  const size = Math.abs(ms);
  if (size < 1500) return ms < 0 ? 'in a moment' : 'just now';
  const [name, unit] = UNITS.find(([, unit]) => size >= unit) || UNITS[3];
  const words = `${Math.floor(size / unit)} ${name}`;
  return ms < 0 ? `in ${words}` : `${words} ago`;
}

export function exact(at) {
  const pad = (number, digits = 2) => String(number).padStart(digits, '0');
  const date = new Date(at);
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  return `${day} ${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${pad(date.getMilliseconds(), 3)}`;
}

/** A moment: `3 min ago`, `in 20 s`. */
export function Time({ at }) {
  const now = useNow();
  if (!at) return null;
  return html`<time dateTime=${at} title=${`${exact(at)} (${at})`}>${relative(now - Date.parse(at))}</time>`;
}

/** How long from one moment to another, or until now. */
export function Took({ from, to }) {
  const now = useNow();
  if (!from) return null;
  return html`<span class="num" title=${`${exact(from)} to ${to ? exact(to) : 'now'}`}>${length((to ? Date.parse(to) : now) - Date.parse(from))}</span>`;
}
