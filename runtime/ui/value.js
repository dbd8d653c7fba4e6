// What was given, and what came of it? JSON to read, with a guard: what is large is shown in part, and downloaded whole.

import { html, useMemo, useState } from './html.js';
import { bytes } from './parts.js';

const SHOWN = 20_000;

function download(name, base64, text) {
  const data = base64 ? Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)) : text;
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([data], { type: 'application/octet-stream' }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** A value as JSON; bytes that are none are only told of, and can be downloaded. */
export function Value({ value, base64, name, small = false }) {
  const [whole, setWhole] = useState(false);
  const text = useMemo(() => (base64 ? null : JSON.stringify(value, null, small ? undefined : 2)), [value, base64]);
  if (base64) {
    return html`<p class="value-note">${bytes(Math.floor(base64.length * 3 / 4))} that are no JSON.
      ${name && html` <button class="quiet" onClick=${() => download(`${name}.bin`, base64)}>Download</button>`}</p>`;
  }
  if (value === null || value === undefined) return html`<p class="faint">none</p>`;
  const cut = !whole && text.length > SHOWN;
  return html`<pre class=${small ? 'value small' : 'value'} tabIndex="0">${cut ? text.slice(0, SHOWN) : text}</pre>
    ${!small && html`<p class="value-note">${bytes(new Blob([text]).size)}${cut && html`, of which the beginning is shown <button class="quiet" onClick=${() => setWhole(true)}>Show all</button>`}
      ${name && html` <button class="quiet" onClick=${() => download(`${name}.json`, null, text)}>Download</button>`}</p>`}`;
}

export function Parameters({ parameters }) {
  return html`<table class="plain"><tbody>${parameters.map(({ name, value }) => html`<tr key=${name}><th><code>${name}</code></th><td><code>${value}</code></td></tr>`)}</tbody></table>`;
}
