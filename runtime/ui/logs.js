// What did the run print? Its lines as they come, by attempt, with a search.

import { follow, query, runPath } from './api.js';
import { html, useEffect, useMemo, useState } from './html.js';
import { Empty, Rows, number, shell } from './parts.js';
import { setSearch, useRoute } from './route.js';
import { exact } from './time.js';

const ROW = 20;
/** Lines that came within this time are drawn together. */
const DRAW_EVERY_MS = 100;
/** A log is at most 10 MiB an attempt; a page that holds more lines than this would be slow. */
const MAX_LINES = 200_000;

/** The lines of the run, as far as they are there; new ones as long as it is active. */
function useLines(at, attempt) {
  const [lines, setLines] = useState([]);
  useEffect(() => {
    const held = [];
    let timer, last = 0;
    setLines([]);
    const draw = () => { timer = undefined; setLines([...held]); };
    const stop = follow(() => runPath(at, `/logs/stream${query({ attempt, after: last || undefined })}`), {
      on: {
        warning: (notice, end) => notice.end_of_stream && end(),
        log: (line) => {
          if (line.line_num <= last) return;
          last = line.line_num;
          if (held.length >= MAX_LINES) held.splice(0, MAX_LINES / 10);
          held.push(line);
          timer ??= setTimeout(draw, DRAW_EVERY_MS);
        },
      },
    });
    return () => { stop(); clearTimeout(timer); };
  }, [runPath(at), attempt]);
  return lines;
}

export function Logs({ at, run, steps }) {
  const { search } = useRoute();
  const lines = useLines(at, search.attempt);
  const ofStep = search.of && Number(search.of);
  const [text, setText] = useState('');
  const [follows, setFollows] = useState(!run.ended_at);
  const shown = useMemo(() => {
    const part = text.toLowerCase();
    const is = (line) => (!ofStep || line.step_seq === ofStep) && line.content.toLowerCase().includes(part);
    return ofStep || part ? lines.filter(is) : lines;
  }, [lines, text, ofStep]);
  const row = (i, style) => {
    const line = shown[i];
    return html`<div key=${line.line_num} class=${`log-line ${line.channel}`} style=${style}><span class="log-num num">${line.line_num}</span><span class="log-attempt num" title=${`attempt ${line.attempt_seq}`}>${line.attempt_seq}</span><span class="log-time num">${exact(line.reported_at).slice(11)}</span><span class="log-text">${line.content}</span></div>`;
  };
  const path = `/v1${runPath(at, '/logs')}${query({ format: 'text', attempt: search.attempt, step: ofStep })}`;
  return html`<section class="logs" aria-label="Logs">
    <div class="fields">
      <label>Attempt <select value=${search.attempt || ''} onChange=${(event) => setSearch({ attempt: event.target.value })}><option value="">all</option>${run.attempts.map(({ seq }) => html`<option key=${seq} value=${seq}>${seq}</option>`)}</select></label>
      ${ofStep && html`<span class="chip">step ${steps.find((step) => step.seq === ofStep)?.name ?? ofStep} <button class="quiet" aria-label="Lines of all steps" onClick=${() => setSearch({ of: undefined })}>✕</button></span>`}
      <label>Search <input type="search" value=${text} onInput=${(event) => setText(event.target.value)} /></label>
      <label class="inline"><input type="checkbox" checked=${follows} onChange=${(event) => setFollows(event.target.checked)} /> Follow</label>
      <a class="button quiet" href=${path} download>Download</a>
      <span class="faint num" role="status">${number(shown.length)}${text || ofStep ? ` of ${number(lines.length)}` : ''} ${lines.length === 1 ? 'line' : 'lines'}</span>
    </div>
    ${shown.length ? html`<${Rows} count=${shown.length} height=${ROW} row=${row} label="Lines" className="lines" follow=${follows} />`
      : html`<${Empty} commands=${[shell('relume', 'runs', 'logs', `${at.app}#${at.number}`)]}>${text ? 'No line has this text.' : 'It has printed nothing yet.'}<//>`}
  </section>`;
}
