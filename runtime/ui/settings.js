// How often is it tried, how long may it take, and what may it use up? Forms over the app's settings.

import { html, useState } from './html.js';
import { Command, Trouble, number, shell, useLoad } from './parts.js';

function Form({ title, children, onSave, command, wide }) {
  const [state, setState] = useState({});
  const submit = async (event) => {
    event.preventDefault();
    setState({ busy: true });
    try { await onSave(new FormData(event.target)); setState({ saved: true }); } catch (problem) { setState({ problem }); }
  };
  return html`<form class=${wide ? 'panel wide' : 'panel'} onSubmit=${submit}><h2>${title}</h2>${children}<${Trouble} problem=${state.problem} />
    <div class="buttons"><button class="primary" disabled=${state.busy}>Save</button><span role="status" class="faint">${state.saved ? 'saved, for runs that start from now on' : ''}</span></div>
    <p class="label">The same at a terminal</p><${Command} text=${command} /></form>`;
}

const whole = (form, name) => Number(form.get(name));

export function Settings({ app, path, onChange }) {
  const { retry_policy: policy } = app;
  const limits = useLoad(`${path}/limits`);
  const save = async (body) => { await onChange(body); limits.reload(); };
  const saveLimits = (form) => save({ limits: Object.fromEntries(limits.data.limits.map(({ name }) => [name, form.get(name) === '' ? null : whole(form, name)])) });
  return html`<div class="panels">
    <${Form} title="When a run fails" command=${shell('relume', 'apps', 'set', app.name, '--retries', policy.max_retries, '--delay', policy.retry_delay_seconds, `--backoff=${policy.use_exponential_backoff}`)}
      onSave=${(form) => save({ retry_policy: { max_retries: whole(form, 'max_retries'), retry_delay_seconds: whole(form, 'retry_delay_seconds'), use_exponential_backoff: form.has('backoff') } })}>
      <label>Retries <input name="max_retries" type="number" min="0" max="10" required defaultValue=${policy.max_retries} /></label>
      <label>Seconds before each <input name="retry_delay_seconds" type="number" min="0" max="3600" required defaultValue=${policy.retry_delay_seconds} /></label>
      <label class="inline"><input name="backoff" type="checkbox" defaultChecked=${policy.use_exponential_backoff} /> twice as long with each retry</label><//>
    <${Form} title="Time" command=${shell('relume', 'apps', 'set', app.name, '--running-timeout', app.running_timeout, '--pending-timeout', app.pending_timeout)}
      onSave=${(form) => save({ running_timeout: whole(form, 'running_timeout'), pending_timeout: whole(form, 'pending_timeout') })}>
      <label>Seconds an attempt may run <input name="running_timeout" type="number" min="0" required defaultValue=${app.running_timeout} /></label>
      <label>Seconds a run may wait for a worker <input name="pending_timeout" type="number" min="0" required defaultValue=${app.pending_timeout} /></label>
      <p class="faint">0 is the default for running, and no end for waiting.</p><//>
    <${Form} title="Limits" wide=${true} command=${shell('relume', 'apps', 'set', app.name, '--limit', 'memory_mib=64')} onSave=${saveLimits}>
      <${Trouble} problem=${limits.problem} />
      <table class="plain"><thead><tr><th>Limit</th><th>In force</th><th>Set by</th><th>For this app</th></tr></thead><tbody>
        ${(limits.data?.limits ?? []).map(({ name, value, source }) => html`<tr key=${name}><td><code>${name}</code></td><td class="num">${number(value)}</td><td>${source}</td>
          <td><input name=${name} type="number" min="1" aria-label=${`${name} for this app`} placeholder="as it is" defaultValue=${app.limits?.[name] ?? ''} /></td></tr>`)}</tbody></table><//>
  </div>`;
}
