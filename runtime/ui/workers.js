// Who works, and what waits? Workers, the queue and the database.

import { html } from './html.js';
import { Empty, Live, Trouble, number, useFollow, useLoad } from './parts.js';
import { Time } from './time.js';

export function WorkersPage() {
  const { data, live } = useFollow('/workers/stream');
  const { problem } = useLoad('/workers');
  if (problem && !data) return html`<h1>Workers</h1><${Trouble} problem=${problem} />`;
  if (!data) return html`<h1>Workers</h1><div class="placeholder" aria-busy="true"></div>`;
  const { workers, queue, database } = data;
  return html`<h1>Workers <${Live} live=${live} /></h1>
    <dl class="facts big">
      <div><dt>Slots in use</dt><dd class="num">${number(queue.held)} of ${number(queue.slots)}</dd></div>
      <div><dt>Runs that wait for a worker</dt><dd class="num">${number(queue.due)}</dd></div>
      <div><dt>The oldest of them</dt><dd>${queue.oldest_due_at ? html`<${Time} at=${queue.oldest_due_at} />` : 'none'}</dd></div>
      <div><dt>Database</dt><dd>${database.kind}, answers in <span class="num">${database.answers_in_ms}</span> ms</dd></div>
    </dl>
    ${workers.length === 0 ? html`<${Empty} commands=${['relume worker --database postgres://…']}>No worker is there: runs wait until one starts.<//>`
      : html`<div class="scroll" tabIndex="0"><table><thead><tr><th>Worker</th><th>Runs</th><th>Slots</th><th>Lease ends</th><th>Since</th></tr></thead>
        <tbody>${workers.map((worker) => html`<tr key=${worker.worker_id}><td><code>${worker.name}</code></td>
          <td class="num"><meter min="0" max=${worker.slots} value=${worker.held} aria-label="Slots in use"></meter> ${number(worker.held)}</td>
          <td class="num">${number(worker.slots)}</td><td><${Time} at=${worker.expires_at} /></td><td><${Time} at=${worker.started_at} /></td></tr>`)}</tbody></table></div>`}`;
}
