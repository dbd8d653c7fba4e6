// What may it know, and whom may it ask? Names only: what a secret holds is shown to nobody.

import { ask } from './api.js';
import { html } from './html.js';
import { Action, Command, Trouble, shell, useLoad } from './parts.js';
import { Time } from './time.js';

export function Secrets({ settings }) {
  const { data, problem, reload } = useLoad('/secrets?page_size=100');
  const wanted = settings?.secrets ?? [];
  const hosts = settings?.allowed_hosts ?? [];
  const known = new Map((data?.secrets ?? []).map((secret) => [secret.name, secret]));
  const keep = (name, exists) => async (form) => {
    const body = { value: form.get('value') };
    await (exists ? ask('PUT', `/secrets/${encodeURIComponent(name)}`, body) : ask('POST', '/secrets', { name, ...body }));
    reload();
  };
  return html`<h2>Secrets its manifest names</h2><${Trouble} problem=${problem} />
    ${wanted.length === 0 ? html`<p class="faint">None. A program sees a secret only if <code>relume.toml</code> names it: <code>secrets = ["NAME"]</code>.</p>`
      : html`<table class="plain"><thead><tr><th>Name</th><th>Kept since</th><th><span class="hidden">Actions</span></th></tr></thead><tbody>
        ${wanted.map((name) => html`<tr key=${name}><td><code>${name}</code></td><td>${known.has(name) ? html`<${Time} at=${known.get(name).updated_at} />` : html`<span class="kind">not set</span> its runs fail until it is`}</td>
          <td><${Action} label=${known.has(name) ? 'Replace' : 'Set'} title=${`The secret ${name}`} kind="primary" confirm="Keep" act=${keep(name, known.has(name))} command=${shell('relume', 'secrets', 'set', name)}>
            <p>It is encrypted, and given only to apps whose manifest names it.</p><label>Value <input name="value" type="password" required autocomplete="off" /></label><//></td></tr>`)}</tbody></table>`}
    <h2>Hosts it may ask</h2>
    ${hosts.length === 0 ? html`<p class="faint">None. A request is let through only if <code>relume.toml</code> allows its host:</p><${Command} text=${'allowed_hosts = ["https://api.example.com"]'} />`
      : html`<ul>${hosts.map((host) => html`<li key=${host}><code>${host}</code></li>`)}</ul>`}`;
}
