// When was what done? Attempts and journal entries as bars on one axis of time.

import { get, runPath } from './api.js';
import { html, useMemo, useState } from './html.js';
import { FINAL, Rows, number } from './parts.js';
import { exact, length, useNow } from './time.js';

const ROW = 28;
const KINDS = { event: 'event', child: 'start of', result: 'result of' };

const ms = (at) => (at ? Date.parse(at) : undefined);

/** The bars of an attempt: it waits until it begins, the code is made ready, it is executed. */
function attemptRow(run, attempt, previous, now) {
  const waited = ms(attempt.starting_at ?? attempt.started_at) ?? now;
  const bars = [{ kind: 'queue', from: ms(previous?.ended_at) ?? ms(run.created_at), to: waited, title: 'waits' }];
  if (attempt.starting_at) bars.push({ kind: 'starting', from: ms(attempt.starting_at), to: ms(attempt.started_at) ?? ms(attempt.ended_at) ?? now, title: 'its code is made ready' });
  if (attempt.started_at) bars.push({ kind: `attempt ${attempt.status}`, from: ms(attempt.started_at), to: ms(attempt.ended_at) ?? now, title: attempt.status });
  const recovered = attempt.recoveries ? `, went on in another place ${attempt.recoveries} times` : '';
  return { key: `a${attempt.seq}`, label: `attempt ${attempt.seq}`, note: `${attempt.status}${attempt.failure ? `: ${attempt.failure.kind}` : ''}${recovered}`, bars, depth: 0 };
}

/** The bars of a journal entry: what was done, and then, if it waits, for how long. */
function stepRow(run, step, now) {
  const recorded = ms(step.recorded_at);
  const isOver = FINAL.includes(step.status);
  const replayed = step.is_replayed || (isOver && step.attempt_seq < run.num_attempts) ? ' replayed' : '';
  const bars = [];
  if (step.kind === 'sleep') {
    bars.push({ kind: `sleep${replayed}`, from: recorded, to: Math.min(ms(step.due_at) ?? now, run.ended_at ? ms(run.ended_at) : Infinity), title: 'sleeps' });
  } else {
    bars.push({ kind: `${step.kind} ${step.status}${replayed}`, from: recorded - step.took_ms, to: recorded, title: step.status });
    if (!isOver) bars.push({ kind: 'waits', from: recorded, to: ms(run.ended_at) ?? Math.max(now, ms(step.due_at) ?? now), title: step.due_at ? `waits until ${exact(step.due_at)}` : 'waits' });
  }
  const again = step.tries > 1 ? `, ${number(step.tries)} tries` : '';
  const name = { step: step.name, sleep: 'sleep', now: 'clock' }[step.kind] ?? `${KINDS[step.kind]} ${step.name}`;
  const occurrence = step.occurrence > 1 ? ` (${number(step.occurrence)})` : '';
  return { key: `s${step.seq}`, step, seq: step.seq, label: `${name}${occurrence}`, note: `${step.status === 'finished' ? '' : step.status}${again}${step.error ? `: ${step.error}` : ''}`, took: step.kind === 'sleep' ? bars[0].to - bars[0].from : step.took_ms, bars, depth: 1 };
}

/** The run whose end an entry waits for, as `{app, number}`. */
export function childOf(step) {
  const [, app, number] = (step.kind === 'result' && /^(.+)#(\d+)$/.exec(step.name)) || [];
  return app && { app, number };
}

/** The attempts of a child, below the entry that waits for it. */
function childRows(step, child, now) {
  return child.attempts.map((attempt, i) => ({
    ...attemptRow(child, attempt, child.attempts[i - 1], now), key: `c${step.seq}-${attempt.seq}`, label: `${step.name} attempt ${attempt.seq}`, depth: 2,
  }));
}

export function Timeline({ run, steps, chosen, onChoose }) {
  const clock = useNow();
  const now = run.ended_at ? ms(run.ended_at) : clock;
  const [zoom, setZoom] = useState('all');
  const [children, setChildren] = useState(new Map());
  const toggle = async (step) => {
    const open = new Map(children);
    if (!open.delete(step.seq)) open.set(step.seq, (await get(runPath(childOf(step)))).run);
    setChildren(open);
  };
  const rows = useMemo(() => [
    ...run.attempts.map((attempt, i) => attemptRow(run, attempt, run.attempts[i - 1], now)),
    ...steps.flatMap((step) => [stepRow(run, step, now), ...(children.has(step.seq) ? childRows(step, children.get(step.seq), now) : [])]),
  ], [run, steps, children, now]);
  const start = zoom === 'last' && run.attempts.length ? ms(run.attempts.at(-1).starting_at ?? run.attempts.at(-1).started_at) ?? ms(run.created_at) : ms(run.created_at);
  const end = Math.max(start + 1, now, ...rows.slice(-1).flatMap((row) => row.bars.map((bar) => Math.min(bar.to, now + 60_000))));
  const place = (at) => Math.min(100, Math.max(0, ((at - start) / (end - start)) * 100));
  if (!rows.length) return html`<div class="empty"><p>It has not begun. Its steps will be here as bars, the moment that they are recorded.</p></div>`;
  const row = (i, style) => {
    const { key, step, seq, label, note, took, bars, depth } = rows[i];
    const isChosen = step && chosen?.seq === step.seq;
    const isOpen = step && children.has(step.seq);
    const content = html`<span class=${`bar-name depth-${depth}`}>${seq && html`<span class="seq num">${seq}</span>`}<span class="bar-label" title=${label}>${label}</span><span class="bar-note" title=${note}>${note}</span></span>
      <span class="bar-area">${bars.map((bar) => html`<span class=${`bar ${bar.kind}`} title=${`${bar.title}: ${length(bar.to - bar.from)}`}
        style=${{ left: `${place(bar.from)}%`, width: `max(2px, ${place(bar.to) - place(bar.from)}%)` }}></span>`)}</span>
      <span class="bar-took num">${step ? length(took) : ''}</span>`;
    if (!step) return html`<div key=${key} class=${`bar-row attempt-row depth-${depth}`} style=${style}>${content}</div>`;
    return html`<div key=${key} class="bar-line" style=${style}>
      ${childOf(step) && html`<button class="fold" aria-expanded=${isOpen} aria-label=${`The attempts of ${step.name}`} onClick=${() => toggle(step)}>${isOpen ? '▾' : '▸'}</button>`}
      <button class=${`bar-row ${isChosen ? 'chosen' : ''}`} aria-pressed=${isChosen} onClick=${() => onChoose(isChosen ? undefined : step)}>${content}</button></div>`;
  };
  const ticks = [0, 25, 50, 75, 100];
  return html`<section class="timeline" aria-label="Timeline">
    <div class="timeline-head">
      <ul class="legend"><li><span class="bar queue"></span>waits</li><li><span class="bar attempt running"></span>attempt</li><li><span class="bar step finished"></span>step</li>
        <li><span class="bar step finished replayed"></span>replayed</li><li><span class="bar step failed"></span>failed</li><li><span class="bar sleep"></span>sleep, wait</li></ul>
      ${run.attempts.length > 1 && html`<label>Show <select value=${zoom} onChange=${(event) => setZoom(event.target.value)}><option value="all">from the start</option><option value="last">the last attempt</option></select></label>`}
    </div>
    <div class="axis" aria-hidden="true"><span class="bar-name"></span><span class="bar-area">${ticks.map((tick) => html`<span class=${`tick at-${tick}`} style=${{ left: `${tick}%` }}>${length(((end - start) * tick) / 100)}</span>`)}</span><span class="bar-took">took</span></div>
    <${Rows} count=${rows.length} height=${ROW} row=${row} label=${`${number(rows.length)} attempts and entries`} className="bars" />
  </section>`;
}
