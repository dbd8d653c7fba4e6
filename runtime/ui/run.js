// What happened to one run, why, and what can be done about it?

import { ask, follow, query, runPath } from './api.js';
import { html, useEffect, useState } from './html.js';
import { Logs } from './logs.js';
import { ACTIVE, Action, Command, FAILED, FINAL, Live, Status, Trouble, bytes, number, shell, useLoad } from './parts.js';
import { Link, appLink, go, runLink, setSearch, useRoute } from './route.js';
import { Matter } from './runs.js';
import { StepDrawer } from './step.js';
import { Time, Took, exact } from './time.js';
import { Timeline } from './timeline.js';
import { Value, Parameters } from './value.js';

/** The run, why it is where it is, and its journal, as they change; `turn` rises when one that is over goes on. */
function useRun(at, turn) {
  const [state, setState] = useState({ steps: [] });
  const path = runPath(at, '/stream');
  useEffect(() => {
    let steps = [];
    const lastFinal = () => steps.findLast((step) => FINAL.includes(step.status))?.seq;
    return follow(() => path + query({ after: lastFinal() }), {
      on: {
        state: ({ run, reasons }) => setState((state) => ({ ...state, run, reasons, live: true })),
        steps: (news) => {
          // Entries count from 1 without gaps. What comes stands in place of all from there on.
          steps = [...steps.slice(0, news.after), ...news.steps];
          setState((state) => ({ ...state, steps }));
        },
        end: (_, stop) => stop(),
      },
      onHealth: (live) => setState((state) => ({ ...state, live })),
    });
  }, [path, turn]);
  return state;
}

export function RunPage({ app, number: runNumber }) {
  const at = { app, number: runNumber };
  const { search } = useRoute();
  const [turn, setTurn] = useState(0);
  const { run, reasons, steps, live } = useRun(at, turn);
  const { data: full, problem } = useLoad(runPath(at));
  useEffect(() => { document.title = `${app}#${runNumber}${run ? ` · ${run.status}` : ''} · Relume`; }, [run?.status, app, runNumber]);
  if (problem && !run) return html`<h1>${app}#${runNumber}</h1><${Trouble} problem=${problem} />`;
  if (!run) return html`<h1>${app}#${runNumber}</h1><div class="placeholder tall" aria-busy="true"></div>`;
  const chosen = steps.find((step) => String(step.seq) === search.step);
  const tab = search.tab || 'timeline';
  const choose = (step) => setSearch({ step: step ? String(step.seq) : undefined });
  return html`
    <header class="run-head">
      <h1><span><${Link} to=${appLink(app)}>${app}<//>#${runNumber}</span> <${Status} status=${run.status} /> ${ACTIVE.includes(run.status) && html`<${Live} live=${live} />`}</h1>
      <${Actions} run=${run} full=${full?.run} steps=${steps} onAgain=${() => setTurn(turn + 1)} />
    </header>
    <${Why} run=${run} reasons=${reasons} steps=${steps} onChoose=${choose} />
    <${Facts} run=${run} />
    <nav class="tabs" aria-label="Parts of the run">
      ${[['timeline', `Timeline${steps.length ? ` (${number(steps.length)})` : ''}`], ['logs', 'Logs'], ['values', 'Input and output'], ['calls', 'HTTP requests'], ['events', 'Events']].map(([name, label]) =>
        html`<button key=${name} aria-current=${tab === name ? 'page' : undefined} onClick=${() => setSearch({ tab: name === 'timeline' ? undefined : name })}>${label}</button>`)}
    </nav>
    ${tab === 'timeline' && html`<${Timeline} run=${run} steps=${steps} chosen=${chosen} onChoose=${choose} />`}
    ${tab === 'logs' && html`<${Logs} at=${at} run=${run} steps=${steps} />`}
    ${tab === 'values' && html`<${Values} run=${run} at=${at} />`}
    ${tab === 'calls' && html`<${Calls} at=${at} turn=${run.status} />`}
    ${tab === 'events' && html`<${Events} at=${at} turn=${run.status} />`}
    ${chosen && html`<${StepDrawer} run=${run} step=${chosen} onClose=${() => choose()} />`}`;
}

/** Why the run is where it is, and what will happen next. */
function Why({ run, reasons, steps, onChoose }) {
  const failed = ACTIVE.includes(run.status) && run.attempts.findLast((attempt) => attempt.failure);
  const failure = failed ? failed.failure : run.failure;
  const [words, ...report] = (failure?.message ?? '').split('\n');
  const isOfStep = failure?.kind === 'step_exhausted';
  const entry = steps.findLast((step) => step.error && (isOfStep || step.status === 'again'));
  const next = run.status === 'retrying' ? 'It goes on after its last finished step.'
    : FAILED.includes(run.status) && `It is not tried again by itself${run.retry_skipped_reason ? `: ${run.retry_skipped_reason}` : ''}. Retry goes on after its last finished step, on this version or a newer one.`;
  return html`<section class=${`why ${run.status}`} aria-label="Why">
    ${failure && html`<p class="failure">${failed && `Attempt ${failed.seq} failed: `}<span class="kind">${failure.kind}</span> <span class="words">${words}</span></p>
      ${report.length > 0 && html`<pre class="value" tabIndex="0">${report.join('\n')}</pre>`}
      <p class="hint">${failure.class === 'crashed' ? 'A fault of the program.' : 'A fault of Relume or its surroundings, not of the program.'}</p>
      ${failure.backtrace && html`<details><summary>Backtrace</summary><pre class="value" tabIndex="0">${failure.backtrace}</pre></details>`}`}
    ${entry && html`<p>${isOfStep ? 'Look at the step' : 'Step'} <button class="link" onClick=${() => onChoose(entry)}>${entry.name}</button>${isOfStep ? '' : html` failed: ${entry.error}${entry.due_at && !run.waiting_on && html`. Its next try begins <${Time} at=${entry.due_at} />.`}`}</p>`}
    ${!run.failure && (reasons ?? []).map((reason) => html`<p key=${reason.code} class="reason">${reason.message}${reason.until && html`: <${Time} at=${reason.until} />`}</p>`)}
    ${!reasons && !run.failure && html`<p><${Matter} run=${run} />${' '}</p>`}
    ${next && html`<p>${next}</p>`}
  </section>`;
}

function Facts({ run }) {
  const fact = (name, value) => value && html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
  const total = (field) => run.attempts.reduce((sum, attempt) => sum + (attempt[field] ?? 0), 0);
  const peak = Math.max(0, ...run.attempts.map((attempt) => attempt.peak_memory_bytes ?? 0));
  return html`<dl class="facts">
    ${fact('Version', html`${run.app_version}`)}
    ${fact('Attempt', run.num_attempts ? `${run.num_attempts} of ${Math.max(run.num_attempts, run.retry_policy.max_retries + 1)}` : 'none yet')}
    ${fact('Created', html`<${Time} at=${run.created_at} />`)}
    ${fact('Took', run.started_at && html`<${Took} from=${run.started_at} to=${run.ended_at} />`)}
    ${fact('Started by', run.initiator.type)}
    ${fact('Fuel', total('fuel_used') ? number(total('fuel_used')) : null)}
    ${fact('Memory', peak ? bytes(peak) : null)}
    ${fact('Exit code', run.exit_code === null ? null : String(run.exit_code))}
    ${fact('Deadline', run.deadline_at && html`<${Time} at=${run.deadline_at} />`)}
    ${fact('Started by run', run.parent && html`<${Link} to=${runLink(run.parent.app, run.parent.number)}>${run.parent.run}<//>`)}
    ${fact('Forked from', run.forked_from && html`<${Link} to=${runLink(run.forked_from.app, run.forked_from.number)}>${run.forked_from.run}<//> at entry ${run.forked_from.from_step}`)}
  </dl>`;
}

function Actions({ run, full, steps, onAgain }) {
  const at = { app: run.app_name, number: run.number };
  const name = `${run.app_name}#${run.number}`;
  const versions = useLoad(`/apps/${encodeURIComponent(run.app_name)}/versions`).data?.versions ?? [];
  const newer = versions.filter(({ version }) => version !== run.app_version);
  const finished = steps.filter((step) => step.status === 'finished').length;
  const kept = finished ? `What its journal has of finished calls (${number(finished)}) is kept, and not executed again.` : 'It has no finished step, so it begins anew.';
  const retry = async (version) => { await ask('POST', runPath(at, '/retry'), version ? { version } : {}); onAgain(); };
  return html`<div class="buttons" role="group" aria-label="Actions">
    ${ACTIVE.includes(run.status) && html`<${Action} label="Cancel" title=${`Cancel ${name}?`} kind="danger" act=${() => ask('POST', runPath(at))} command=${shell('relume', 'runs', 'cancel', name)}>
      <p>It is stopped within a second. What its finished steps did is done; nothing more of it is executed. Its active child runs are cancelled, too.</p><//>`}
    ${!ACTIVE.includes(run.status) && run.status !== 'exited' && html`<${Action} label="Retry" title=${`Retry ${name}?`} kind="primary" act=${() => retry()} command=${shell('relume', 'runs', 'retry', name)}>
      <p>A new attempt on ${run.app_version} goes on where the last one failed. ${kept} A step that failed is executed again, with all its tries.</p><//>
      ${newer.length > 0 && html`<${Action} label="Retry on another version" title=${`Retry ${name} on another version?`} act=${(form) => retry(form.get('version'))} command=${shell('relume', 'runs', 'retry', name, '--version', newer[0].version)}>
        <p>A new attempt goes on where the last one failed, with other code. ${kept} The other version has to ask for the same steps in the same order up to there. That is tried first: where it does not, you are told so, and nothing is changed.</p>
        <label>Version <select name="version">${newer.map(({ version, created_at }) => html`<option key=${version} value=${version}>${version}, uploaded ${exact(created_at)}</option>`)}</select></label><//>`}`}
    ${steps.length > 0 && html`<${Action} label="Fork" title=${`Fork ${name}`} act=${async (form) => {
      const forked = await ask('POST', runPath(at, '/fork'), { from_step: Number(form.get('from_step')) });
      go(runLink(forked.run.app_name, forked.run.number));
    }} command=${shell('relume', 'runs', 'fork', name, '--from-step', steps.at(-1).seq)}>
      <p>A new run with the same input. It keeps the entries before the one you name, and executes that one and all after it. This run stays as it is.</p>
      <label>From entry <input name="from_step" type="number" min="1" max=${steps.at(-1).seq} defaultValue=${steps.at(-1).seq} required /></label><//>`}
    ${ACTIVE.includes(run.status) && html`<${Action} label="Send event" title=${`Send an event to ${name}`} confirm="Send" act=${(form) => {
      const text = form.get('payload').trim();
      let payload = null;
      try { payload = text === '' ? null : JSON.parse(text); } catch { payload = text; }
      return ask('POST', runPath(at, `/events/${encodeURIComponent(form.get('name'))}`), payload);
    }} command=${shell('relume', 'events', 'send', name, run.waiting_on?.kind === 'event' ? run.waiting_on.name : 'NAME', '--payload', '{}')}>
      <p>The run gets it at once if it waits for it, or as soon as it asks. Events of one name are kept in their order.</p>
      <label>Name <input name="name" required defaultValue=${run.waiting_on?.kind === 'event' ? run.waiting_on.name : ''} /></label>
      <label>Payload <textarea name="payload" rows="4" placeholder="JSON, or text"></textarea></label><//>`}
    ${full && !full.input_base64 && html`<${Action} label="Run again" title=${`Start ${run.app_name} again?`} act=${async () => {
      const parameters = Object.fromEntries(run.parameters.map(({ name, value }) => [name, value]));
      const started = await ask('POST', `/apps/${encodeURIComponent(run.app_name)}/runs`, { ...(full.input !== null && { input: full.input }), parameters });
      go(runLink(started.run.app_name, started.run.number));
    }} command=${shell('relume', 'run', run.app_name, ...(full.input === null ? [] : ['--input', JSON.stringify(full.input)]), ...run.parameters.flatMap(({ name, value }) => ['--parameter', `${name}=${value}`]))}>
      <p>A new run of the app's newest version with the same input and parameters. Everything is executed again; this run stays as it is.</p><//>`}
  </div>`;
}

function Values({ run, at }) {
  const { data, problem } = useLoad(runPath(at), run.status);
  if (problem) return html`<${Trouble} problem=${problem} />`;
  if (!data) return html`<div class="placeholder" aria-busy="true"></div>`;
  const full = data.run;
  return html`<section class="values"><h2>Input</h2><${Value} value=${full.input} base64=${full.input_base64} name=${`${at.app}-${at.number}-input`} />
    ${run.parameters.length > 0 && html`<h2>Parameters</h2><${Parameters} parameters=${run.parameters} />`}
    <h2>Output</h2>${run.status === 'exited' ? html`<${Value} value=${full.output} base64=${full.output_base64} name=${`${at.app}-${at.number}-output`} />` : html`<p class="faint">A run has an output when it has ended well.</p>`}
    ${run.effective_limits?.length > 0 && html`<h2>Limits</h2><table class="plain"><thead><tr><th>Limit</th><th>Value</th><th>Set by</th></tr></thead>
      <tbody>${run.effective_limits.map((limit) => html`<tr key=${limit.name}><td><code>${limit.name}</code></td><td class="num">${number(limit.value)}</td><td>${limit.source}</td></tr>`)}</tbody></table>`}
  </section>`;
}

function Calls({ at, turn }) {
  const { data, problem } = useLoad(runPath(at, '/calls?limit=1000'), turn);
  if (problem) return html`<${Trouble} problem=${problem} />`;
  if (!data) return html`<div class="placeholder" aria-busy="true"></div>`;
  if (!data.calls.length) return html`<div class="empty"><p>It has made no HTTP request.</p></div>`;
  return html`<div class="scroll" tabIndex="0"><table><thead><tr><th>Request</th><th>Answer</th><th>Step</th><th>Attempt</th><th>Sent</th><th>Received</th><th>Took</th><th>When</th></tr></thead>
    <tbody>${data.calls.map((call) => html`<tr key=${call.call_num}><td class="matter"><code>${call.method} ${call.url}</code></td>
      <td>${call.error ? html`<span class="kind">refused or failed</span> ${call.error}` : call.status}</td><td class="num">${call.step_seq ?? ''}</td><td class="num">${call.attempt_seq}</td>
      <td class="num">${bytes(call.bytes_out)}</td><td class="num">${bytes(call.bytes_in)}</td><td class="num">${call.took_ms} ms</td><td><${Time} at=${call.recorded_at} /></td></tr>`)}</tbody></table></div>`;
}

function Events({ at, turn }) {
  const { data, problem } = useLoad(runPath(at, '/events?limit=100'), turn);
  if (problem) return html`<${Trouble} problem=${problem} />`;
  if (!data) return html`<div class="placeholder" aria-busy="true"></div>`;
  const command = shell('relume', 'events', 'send', `${at.app}#${at.number}`, 'NAME', '--payload', '{"ok": true}');
  if (!data.events.length) return html`<div class="empty"><p>It was told nothing. An event is sent with:</p><${Command} text=${command} /></div>`;
  return html`<div class="scroll" tabIndex="0"><table><thead><tr><th>Event</th><th>Payload</th><th>Sent</th><th>Delivered as entry</th></tr></thead>
    <tbody>${data.events.map((event) => html`<tr key=${event.event_id}><td><code>${event.name}</code></td><td><${Value} value=${event.payload} base64=${event.payload_base64} small /></td>
      <td><${Time} at=${event.sent_at} /></td><td class="num">${event.delivered_seq ?? 'not yet'}</td></tr>`)}</tbody></table></div>`;
}
