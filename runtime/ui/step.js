// What is known of one entry of the journal? A drawer beside the timeline.

import { html, useEffect, useRef } from './html.js';
import { Command, bytes, number, shell } from './parts.js';
import { Link, runLink, setSearch } from './route.js';
import { Time, exact, length } from './time.js';
import { childOf } from './timeline.js';
import { Value } from './value.js';

export function StepDrawer({ run, step, onClose }) {
  const drawer = useRef();
  useEffect(() => { drawer.current.focus({ preventScroll: true }); }, [step.seq]);
  const onKeyDown = (event) => { if (event.key === 'Escape') onClose(); };
  const fact = (name, value) => value !== null && value !== undefined && value !== '' && html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
  const child = childOf(step);
  return html`<aside class="drawer" ref=${drawer} tabIndex="-1" aria-label=${`Entry ${step.seq}`} onKeyDown=${onKeyDown}>
    <header><h2><span class="faint">${step.seq}</span> ${child ? html`<${Link} to=${runLink(child.app, child.number)}>${step.name}<//>` : step.name}</h2><button class="quiet" onClick=${onClose} aria-label="Close">✕</button></header>
    <dl class="facts">
      ${fact('Kind', step.kind)}
      ${fact('Status', html`<span class=${`step-status ${step.status}`}>${step.status}</span>${step.is_replayed ? ', replayed in the last attempt' : ''}`)}
      ${fact('Recorded', html`<${Time} at=${step.recorded_at} />`)}
      ${fact('Took', length(step.took_ms))}
      ${fact('Until', step.due_at && html`<${Time} at=${step.due_at} />`)}
      ${fact('Attempt', step.attempt_seq)}
      ${fact('Version', step.app_version)}
      ${fact('Tries', step.tries > 1 || step.status === 'again' ? `${number(step.tries)}${step.tries_in_attempt && step.tries_in_attempt < step.tries ? `, ${number(step.tries_in_attempt)} of them in attempt ${step.attempt_seq}` : ''}` : null)}
      ${fact('Use of the name', step.occurrence > 1 ? `the ${number(step.occurrence)}.` : null)}
      ${fact('Input', step.input_hash && html`<code class="hash" title=${`SHA-256 ${step.input_hash}: a replay has to give the same`}>${step.input_hash.slice(0, 12)}</code>`)}
      ${fact('Fuel', step.fuel_used ? number(step.fuel_used) : null)}
      ${fact('Memory', step.peak_memory_bytes ? bytes(step.peak_memory_bytes) : null)}
      ${fact('Sent', step.bytes_out ? bytes(step.bytes_out) : null)}
      ${fact('Received', step.bytes_in ? bytes(step.bytes_in) : null)}
    </dl>
    ${step.error && html`<h3>Error</h3><pre class="value error" tabIndex="0">${step.error}</pre>`}
    ${!step.error && step.status === 'finished' && html`<h3>Result</h3><${Value} value=${step.output} base64=${step.output_base64} name=${`${run.app_name}-${run.number}-${step.seq}`} />`}
    ${step.kind === 'step' && html`<p><button class="quiet" onClick=${() => setSearch({ tab: 'logs', of: String(step.seq), step: undefined })}>What it printed</button></p>`}
    <p class="label">At a terminal</p><${Command} text=${shell('relume', 'runs', 'steps', `${run.app_name}#${run.number}`)} />
    <p class="faint">${exact(step.recorded_at)}</p>
  </aside>`;
}
