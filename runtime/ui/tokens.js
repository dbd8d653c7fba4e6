// Who may ask, and for what? Tokens: made, looked at, revoked. The text of one is shown once.

import { ask } from './api.js';
import { html, useState } from './html.js';
import { Action, Command, Trouble, shell, useLoad } from './parts.js';
import { Time } from './time.js';

const SCOPES = [['runs:read', 'look at apps, runs, logs and schedules'], ['runs:write', 'start, cancel and retry runs'],
  ['apps:write', 'upload versions, change apps, schedules and secrets'], ['admin', 'all of that, and tokens']];
const DAY = 86_400;

export function TokensPage() {
  const { data, problem, reload } = useLoad('/tokens');
  const [made, setMade] = useState();
  const create = async (form) => {
    const apps = form.get('apps').split(/[\s,]+/).filter(Boolean);
    const days = form.get('days');
    const body = { name: form.get('name'), scopes: form.getAll('scope'), ...(apps.length && { apps }), ...(days && { expires_in_seconds: Number(days) * DAY }) };
    setMade((await ask('POST', '/tokens', body)).token);
    reload();
  };
  return html`<h1>Tokens</h1>
    <div class="buttons"><${Action} label="New token" title="A new token" kind="primary" confirm="Create" act=${create} command="relume tokens create NAME --scope runs:read --app APP --expires 90d">
      <label>What it is for <input name="name" required maxlength="100" /></label>
      <fieldset><legend>What it may do</legend>${SCOPES.map(([scope, words]) => html`<label key=${scope} class="inline"><input type="checkbox" name="scope" value=${scope} defaultChecked=${scope === 'runs:read'} /> <code>${scope}</code> <span class="faint">${words}</span></label>`)}</fieldset>
      <label>Apps <input name="apps" placeholder="all" /></label>
      <label>Days until it expires <input name="days" type="number" min="1" max="3650" placeholder="never" /></label><//></div>
    ${made && html`<section class="made" role="status"><p>The token <strong>${made.name}</strong>. It is shown now and never again: only its hash is kept.</p><${Command} text=${made.token} />
      <button class="quiet" onClick=${() => setMade(undefined)}>I have it</button></section>`}
    <${Trouble} problem=${problem} />
    ${data && html`<div class="scroll" tabIndex="0"><table><thead><tr><th>Name</th><th>Id</th><th>Scopes</th><th>Apps</th><th>Created</th><th>Expires</th><th><span class="hidden">Actions</span></th></tr></thead>
      <tbody>${data.tokens.map((token) => html`<tr key=${token.id}><td>${token.name}</td><td><code>${token.id}</code></td><td>${token.scopes.map((scope) => html`<code key=${scope}>${scope}</code> `)}</td>
        <td>${token.apps ? token.apps.join(', ') : 'all'}</td><td><${Time} at=${token.created_at} /></td><td>${token.expires_at ? html`<${Time} at=${token.expires_at} />` : 'never'}</td>
        <td><${Action} label="Revoke" title=${`Revoke ${token.name}?`} kind="danger" command=${shell('relume', 'tokens', 'revoke', token.id)} act=${async () => { await ask('DELETE', `/tokens/${token.id}`); reload(); }}>
          <p>Whoever uses it is refused from now on. This cannot be undone; if it is the token of this page, you are logged out.</p><//></td></tr>`)}</tbody></table></div>`}`;
}
