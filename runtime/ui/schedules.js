// When does it start by itself? The app's schedules.

import { ask } from './api.js';
import { html } from './html.js';
import { Action, Empty, Trouble, shell, useLoad } from './parts.js';
import { Time } from './time.js';

export function Schedules({ app }) {
  const { data, problem, reload } = useLoad(`/schedules?app=${encodeURIComponent(app)}&page_size=100`);
  const create = async (form) => {
    await ask('POST', '/schedules', { app_name: app, cron: form.get('cron'), timezone: form.get('timezone') || null, name: form.get('name') || null, overlap_policy: form.get('overlap') });
    reload();
  };
  const all = (data?.schedules ?? []).filter((schedule) => schedule.app_name === app);
  const batch = (method, path, schedule) => async () => { await ask(method, path, { ids: [schedule.id] }); reload(); };
  return html`<div class="buttons"><${Action} label="New schedule" kind="primary" confirm="Create" act=${create} command=${shell('relume', 'schedules', 'create', app, '--cron', '0 3 * * *')}>
      <label>Cron <input name="cron" required placeholder="0 3 * * *" /></label>
      <label>Time zone <input name="timezone" placeholder="UTC" /></label>
      <label>Name <input name="name" placeholder="made up" /></label>
      <label>If the last run is still active <select name="overlap"><option value="allow">start another</option><option value="skip">start none</option></select></label><//></div>
    <${Trouble} problem=${problem} />
    ${data && (all.length === 0 ? html`<${Empty} commands=${[shell('relume', 'schedules', 'create', app, '--cron', '0 3 * * *')]}>It starts when it is asked to. To start it every night:<//>`
      : html`<div class="scroll" tabIndex="0"><table><thead><tr><th>Schedule</th><th>Cron</th><th>Time zone</th><th>Next</th><th>Last</th><th>State</th><th><span class="hidden">Actions</span></th></tr></thead>
        <tbody>${all.map((schedule) => html`<tr key=${schedule.id}><td>${schedule.name}</td><td><code>${schedule.cron}</code></td><td>${schedule.timezone}</td>
          <td><${Time} at=${schedule.next_run_at} /></td><td><${Time} at=${schedule.last_run_at} /></td><td>${schedule.status === 'active' ? 'active' : 'paused'}</td>
          <td class="buttons">${schedule.status === 'active'
            ? html`<${Action} label="Pause" title=${`Pause ${schedule.name}?`} act=${batch('PATCH', '/schedules/deactivate', schedule)} command=${shell('relume', 'schedules', 'pause', schedule.name)}><p>It starts no runs until it is resumed. What it misses is not made up for.</p><//>`
            : html`<${Action} label="Resume" title=${`Resume ${schedule.name}?`} kind="primary" act=${batch('PATCH', '/schedules/activate', schedule)} command=${shell('relume', 'schedules', 'resume', schedule.name)}><p>It starts runs again, from its next tick on.</p><//>`}
            <${Action} label="Delete" title=${`Delete ${schedule.name}?`} kind="danger" act=${batch('DELETE', '/schedules', schedule)} command=${shell('relume', 'schedules', 'delete', schedule.name)}><p>The runs that it started stay.</p><//></td></tr>`)}</tbody></table></div>`)}`;
}
