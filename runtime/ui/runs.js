// What is running, and what has failed? The list of runs, with its filters in the address.

import { ask, query, runPath } from './api.js';
import { html, useEffect, useMemo, useState } from './html.js';
import { ACTIVE, Action, Empty, FAILED, Live, STATUSES, Status, Trouble, number, shell, useFollow, useLoad } from './parts.js';
import { Link, runLink, setSearch, useRoute } from './route.js';
import { Time, Took } from './time.js';

const PAGE = 50;
/** The API counts among so many of the newest runs. */
const COUNTED = 10_000;
const SPANS = { '1h': 3_600_000, '24h': 86_400_000, '7d': 7 * 86_400_000, '30d': 30 * 86_400_000 };

/** The filters of the address as the API names them. */
function filters({ status, app, text, since, cursor }) {
  const start = SPANS[since] && new Date(Math.floor((Date.now() - SPANS[since]) / 60_000) * 60_000).toISOString();
  return { status: status?.split(' '), app, query: text, start_at: start, cursor, limit: PAGE };
}

export function RunsPage() {
  const { search } = useRoute();
  return html`<h1>Runs</h1><${RunList} search=${search} />`;
}

/** The runs of all apps, or of the one that `app` names. */
export function RunList({ search, app }) {
  const asked = useMemo(() => filters({ ...search, app: app ?? search.app }), [JSON.stringify(search), app]);
  const { data, live } = useFollow(`/runs/stream${query(asked)}`);
  const [chosen, setChosen] = useState(new Map());
  useEffect(() => setChosen(new Map()), [JSON.stringify(search)]);
  const runs = data?.runs;
  const choose = (run, on) => setChosen((chosen) => {
    const next = new Map(chosen);
    if (on) next.set(run.run_id, run); else next.delete(run.run_id);
    return next;
  });
  return html`
    <${Filters} search=${search} counts=${data?.counts} live=${live} withApp=${!app} />
    <${Bulk} chosen=${[...chosen.values()]} onDone=${() => setChosen(new Map())} />
    ${!runs ? html`<div class="placeholder" aria-busy="true"></div>` : runs.length === 0 ? html`<${NoRuns} search=${search} app=${app} />`
      : html`<div class="scroll" tabIndex="0"><table class="runs">
        <thead><tr><th class="check"><input type="checkbox" aria-label="Choose all runs on this page"
            checked=${runs.every((run) => chosen.has(run.run_id))}
            onChange=${(event) => runs.forEach((run) => choose(run, event.target.checked))} /></th>
          <th>Run</th><th>Status</th><th>Detail</th><th>Attempt</th><th>Started by</th><th>Created</th><th>Took</th></tr></thead>
        <tbody>${runs.map((run) => html`<${RunRow} key=${run.run_id} run=${run} chosen=${chosen.has(run.run_id)} onChoose=${choose} />`)}</tbody>
      </table></div>`}
    <nav class="pages" aria-label="Pages">
      ${search.cursor && html`<button class="quiet" onClick=${() => setSearch({ cursor: undefined }, {})}>Newest</button>`}
      ${data?.pages?.next_cursor && html`<button class="quiet" onClick=${() => setSearch({ cursor: data.pages.next_cursor }, {})}>Older</button>`}
    </nav>`;
}

function RunRow({ run, chosen, onChoose }) {
  return html`<tr>
    <td class="check"><input type="checkbox" checked=${chosen} aria-label=${`Choose ${run.app_name}#${run.number}`}
      onChange=${(event) => onChoose(run, event.target.checked)} /></td>
    <td class="name"><${Link} to=${runLink(run.app_name, run.number)}>${run.app_name}#${run.number}<//> <span class="faint">${run.app_version}</span></td>
    <td><${Status} status=${run.status} /></td>
    <td class="matter"><${Matter} run=${run} /></td>
    <td class="num">${run.num_attempts || ''}${run.num_attempts > 0 && run.retry_policy.max_retries > 0 ? ` of ${Math.max(run.num_attempts, run.retry_policy.max_retries + 1)}` : ''}</td>
    <td class="faint">${run.initiator.type || ''}</td>
    <td><${Time} at=${run.created_at} /></td>
    <td><${Took} from=${run.started_at} to=${run.ended_at} /></td>
  </tr>`;
}

const WAITS = { step_retry: 'the next try of', sleep: 'the end of', event: 'the event', child: 'the child run' };

/** In one line: why it failed, or what it waits for. */
export function Matter({ run }) {
  if (run.failure) return html`<span class="kind">${run.failure.kind}</span> ${run.failure.message}`;
  if (run.next_attempt_at) return html`next attempt <${Time} at=${run.next_attempt_at} />`;
  if (run.waiting_on) return html`waits for ${WAITS[run.waiting_on.kind]} <code>${run.waiting_on.name}</code>${run.waiting_on.until && html`, until <${Time} at=${run.waiting_on.until} />`}`;
  if (run.status === 'scheduled') return html`starts <${Time} at=${run.scheduled_at} />`;
  return null;
}

function Filters({ search, counts, live, withApp }) {
  const apps = useLoad(withApp && '/apps?page_size=100').data?.apps ?? [];
  const chosen = new Set((search.status || '').split(' ').filter(Boolean));
  const counted = Object.values(counts ?? {}).reduce((sum, count) => sum + count, 0);
  const set = (changes) => setSearch({ ...changes, cursor: undefined });
  const toggle = (status) => {
    if (chosen.has(status)) chosen.delete(status); else chosen.add(status);
    set({ status: STATUSES.filter((s) => chosen.has(s)).join(' ') });
  };
  return html`<div class="filters" role="search" aria-label="Filter runs">
    <div class="chips" role="group" aria-label="Status">
      ${STATUSES.map((status) => html`<button key=${status} class=${`chip ${status}`} aria-pressed=${chosen.has(status)} onClick=${() => toggle(status)}>
        <${Status} status=${status} /> <span class="num">${counts ? number(counts[status] ?? 0) : '–'}</span></button>`)}
      ${counted >= COUNTED && html`<span class="faint">of the newest ${number(COUNTED)}</span>`}
    </div>
    <div class="fields">
      ${withApp && html`<label>App <select value=${search.app || ''} onChange=${(event) => set({ app: event.target.value })}>
        <option value="">all</option>${apps.map(({ app }) => html`<option key=${app.name} value=${app.name}>${app.name}</option>`)}</select></label>`}
      <label>Created <select value=${search.since || ''} onChange=${(event) => set({ since: event.target.value })}>
        <option value="">at any time</option><option value="1h">in the last hour</option><option value="24h">in the last day</option>
        <option value="7d">in the last week</option><option value="30d">in the last 30 days</option></select></label>
      <label>Text <input key=${search.text} type="search" placeholder="app, failure, parameter" defaultValue=${search.text || ''} onChange=${(event) => set({ text: event.target.value.trim() })} /></label>
      <${Live} live=${live} />
    </div>
  </div>`;
}

function NoRuns({ search, app }) {
  if (Object.keys(search).some((key) => ['status', 'app', 'text', 'since', 'cursor'].includes(key))) {
    return html`<div class="empty"><p>No run fits these filters.</p>
      <button onClick=${() => setSearch({ status: undefined, app: undefined, text: undefined, since: undefined, cursor: undefined })}>Show all runs</button></div>`;
  }
  const commands = app ? [shell('relume', 'run', app)] : ['relume deploy app.wasm --name hello', 'relume run hello --follow'];
  return html`<${Empty} commands=${commands}>Nothing has run yet. Upload a component, and start it:<//>`;
}

/** What is done to all runs that are chosen, one after the other. */
function Bulk({ chosen, onDone }) {
  const [failures, setFailures] = useState([]);
  const active = chosen.filter((run) => ACTIVE.includes(run.status));
  const failed = chosen.filter((run) => FAILED.includes(run.status) || run.status === 'cancelled');
  const each = (runs, method, part) => async () => {
    const refused = [];
    for (const run of runs) {
      const at = { app: run.app_name, number: run.number };
      await ask(method, runPath(at, part), part ? {} : undefined).catch((problem) => refused.push({ run, problem }));
    }
    setFailures(refused);
    onDone();
  };
  const command = (verb, runs) => runs.map((run) => shell('relume', 'runs', verb, `${run.app_name}#${run.number}`)).join(' && ');
  return html`${chosen.length > 0 && html`<div class="bulk" role="region" aria-label="Chosen runs">
      <span>${number(chosen.length)} chosen</span>
      <${Action} label=${`Cancel ${number(active.length)}`} kind="danger" disabled=${!active.length} act=${each(active, 'POST', '')} command=${command('cancel', active)}>
        <p>${number(active.length)} runs are stopped within a second. What their finished steps did is done; they are not executed any further.</p><//>
      <${Action} label=${`Retry ${number(failed.length)}`} kind="primary" disabled=${!failed.length} act=${each(failed, 'POST', '/retry')} command=${command('retry', failed)}>
        <p>Each of ${number(failed.length)} runs gets a new attempt, which goes on after its last finished step: those are not executed again.</p><//>
    </div>`}
    ${failures.map(({ run, problem }) => html`<${Trouble} key=${run.run_id} problem=${{ ...problem, message: `${run.app_name}#${run.number}: ${problem.message}` }}
      onDismiss=${() => setFailures((failures) => failures.filter((other) => other.run !== run))} />`)}`;
}
