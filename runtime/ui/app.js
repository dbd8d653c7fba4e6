// What is one app, what may it do, and how does it fare?

import { ask } from './api.js';
import { Chart } from './chart.js';
import { html } from './html.js';
import { Action, Empty, Trouble, bytes, number, shell, useLoad } from './parts.js';
import { go, runLink, useRoute } from './route.js';
import { RunList } from './runs.js';
import { Schedules } from './schedules.js';
import { Secrets } from './secrets.js';
import { Settings } from './settings.js';
import { Time } from './time.js';
import { Upload } from './upload.js';

const TABS = [['runs', 'Runs'], ['versions', 'Versions'], ['settings', 'Settings'], ['schedules', 'Schedules'], ['secrets', 'Secrets and hosts']];

export function AppPage({ app: name }) {
  const { search } = useRoute();
  const path = `/apps/${encodeURIComponent(name)}`;
  const { data, problem, reload } = useLoad(`${path}?runs=1`);
  const versions = useLoad(`${path}/versions`);
  const app = data?.app;
  const tab = search.tab || 'runs';
  if (problem) return html`<h1>${name}</h1><${Trouble} problem=${problem} />`;
  if (!app) return html`<h1>${name}</h1><div class="placeholder" aria-busy="true"></div>`;
  const change = async (body) => { await ask('PATCH', path, body); reload(); };
  const all = versions.data?.versions ?? [];
  return html`<header class="run-head"><h1>${name} ${app.version && html`<span class="faint">${app.version}</span>`} ${app.status === 'disabled' && html`<span class="kind">disabled</span>`}</h1>
      <div class="buttons" role="group" aria-label="Actions"><${StartRun} name=${name} disabled=${app.status === 'disabled' || !app.version} />
        ${app.status === 'active'
          ? html`<${Action} label="Disable" title=${`Disable ${name}?`} kind="danger" act=${() => change({ status: 'disabled' })} command=${shell('relume', 'apps', 'disable', name)}>
              <p>It starts no more runs, and those that fail are not retried. Runs that are under way go on.</p><//>`
          : html`<${Action} label="Enable" title=${`Enable ${name}?`} kind="primary" act=${() => change({ status: 'active' })} command=${shell('relume', 'apps', 'enable', name)}><p>It starts runs again.</p><//>`}</div></header>
    ${app.short_description && html`<p class="faint">${app.short_description}</p>`}
    <nav class="tabs" aria-label="Parts of the app">${TABS.map(([key, label]) => html`<button key=${key} aria-current=${tab === key ? 'page' : undefined} onClick=${() => go(`/apps/${encodeURIComponent(name)}${key === 'runs' ? '' : `?tab=${key}`}`, { replace: true })}>${label}</button>`)}</nav>
    ${tab === 'runs' && html`<${Chart} app=${name} /><${RunList} app=${name} search=${search} />`}
    ${tab === 'versions' && html`<${Upload} app=${name} onDone=${() => { versions.reload(); reload(); }} /><${Versions} name=${name} active=${app.version} versions=${all} onActivate=${(version) => change({ version })} />`}
    ${tab === 'settings' && html`<${Settings} app=${app} path=${path} onChange=${change} />`}
    ${tab === 'schedules' && html`<${Schedules} app=${name} />`}
    ${tab === 'secrets' && html`<${Secrets} settings=${all.find(({ version }) => version === app.version)?.settings} />`}`;
}

function StartRun({ name, disabled }) {
  const start = async (form) => {
    const text = form.get('input').trim();
    const parameters = Object.fromEntries(form.get('parameters').split('\n').map((line) => line.trim()).filter(Boolean).map((line) => {
      const at = line.indexOf('=');
      if (at < 1) throw new Error(`\`${line}\` is no parameter: write NAME=VALUE`);
      return [line.slice(0, at), line.slice(at + 1)];
    }));
    let input;
    if (text) try { input = JSON.parse(text); } catch (error) { throw new Error(`the input is no JSON: ${error.message}`); }
    const { run } = await ask('POST', `/apps/${encodeURIComponent(name)}/runs`, { ...(text && { input }), parameters });
    go(runLink(name, run.number));
  };
  return html`<${Action} label="Run" title=${`Run ${name}`} kind="primary" confirm="Start" disabled=${disabled} act=${start} command=${shell('relume', 'run', name, '--follow')}>
    <label>Input <textarea name="input" rows="5" placeholder="JSON, or nothing"></textarea></label>
    <label>Parameters <textarea name="parameters" rows="3" placeholder="NAME=VALUE, a line each"></textarea></label><//>`;
}

function Capabilities({ list, sign = '' }) {
  return list.map((capability) => html`<li key=${capability.text} class=${sign === '+' ? 'added' : sign === '−' ? 'removed' : ''}>${sign} <span class="faint">${capability.kind}</span> <code>${capability.name}</code>${capability.always_refused && html` <span class="faint">(always refused)</span>`}</li>`);
}

/** What `version` may do that `before` may not. */
const more = (version, before) => version.capabilities.filter(({ text }) => !before.capabilities.some((other) => other.text === text));

function Versions({ name, active, versions, onActivate }) {
  if (!versions.length) return html`<${Empty} commands=${[shell('relume', 'deploy', 'app.wasm', '--name', name)]}>It has no version yet.<//>`;
  return versions.map((version, i) => {
    const before = versions[i + 1];
    const [added, removed] = before ? [more(version, before), more(before, version)] : [[], []];
    return html`<article class="version" key=${version.version}>
    <header><h2>${version.version} ${version.version === active && html`<span class="status exited">active</span>`}</h2>
      <span class="faint">uploaded <${Time} at=${version.created_at} />, ${bytes(version.size_bytes)}, ${version.imports.some((name) => name.startsWith('relume:durable')) ? 'durable' : 'a plain program'}, <code title=${version.content_checksum}>${version.content_checksum.slice(0, 12)}</code></span>
      ${version.version !== active && html`<${Action} label="Activate" title=${`Activate ${version.version}?`} act=${() => onActivate(version.version)} command=${shell('relume', 'apps', 'set', name, '--version', version.version)}>
        <p>New runs are of ${version.version}. Runs that have begun keep the version they have.</p><//>`}</header>
    ${added.length + removed.length > 0 && html`<h3>Unlike ${before.version}</h3><ul class="capabilities"><${Capabilities} list=${added} sign="+" /><${Capabilities} list=${removed} sign="−" /></ul>`}
    <details><summary>May use ${number(version.capabilities.length)} things</summary><ul class="capabilities"><${Capabilities} list=${version.capabilities} /></ul></details>
  </article>`;
  });
}
