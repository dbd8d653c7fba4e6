// Which apps are there? With their health, and a place to drop a component.

import { html, useEffect } from './html.js';
import { Empty, Status, Trouble, useLoad } from './parts.js';
import { Link, appLink, runLink, setSearch, useRoute } from './route.js';
import { Time } from './time.js';
import { Upload } from './upload.js';

const EVERY_MS = 5000;

export function AppsPage() {
  const { search } = useRoute();
  const page = search.page || 1;
  const { data, problem, reload } = useLoad(`/apps?page_size=50&num_runs=12&page=${page}`);
  useEffect(() => { const timer = setInterval(() => document.hidden || reload(), EVERY_MS); return () => clearInterval(timer); }, []);
  return html`<h1>Apps</h1>
    <${Upload} onDone=${reload} />
    <${Trouble} problem=${problem} />
    ${!data ? !problem && html`<div class="placeholder" aria-busy="true"></div>` : data.apps.length === 0
      ? html`<${Empty} commands=${['relume deploy app.wasm --name hello']}>No app is here yet. Drop a component above, or upload one at a terminal:<//>`
      : html`<div class="scroll" tabIndex="0"><table><thead><tr><th>App</th><th>Version</th><th>State</th><th>Latest runs, the newest first</th><th>Next run</th></tr></thead>
        <tbody>${data.apps.map(({ app, runs }) => html`<tr key=${app.name}>
          <td class="name"><${Link} to=${appLink(app.name)}>${app.name}<//>${app.short_description && html`<div class="faint">${app.short_description}</div>`}</td>
          <td>${app.version ?? html`<span class="faint">none</span>`}</td>
          <td>${app.status === 'disabled' ? html`<span class="kind">disabled</span>` : 'active'}</td>
          <td class="latest">${runs.map((run) => html`<${Link} key=${run.run_id} to=${runLink(app.name, run.number)} class=${`dot ${run.status}`} title=${`#${run.number} ${run.status}`}><span class="hidden">#${run.number} ${run.status}</span><//>`)}
            ${runs[0] && html` <${Status} status=${runs[0].status} />`}</td>
          <td>${app.next_run_at && html`<${Time} at=${app.next_run_at} />`}</td></tr>`)}</tbody></table></div>
        <nav class="pages" aria-label="Pages">${data.pages.page > 1 && html`<button class="quiet" onClick=${() => setSearch({ page: String(data.pages.page - 1) }, {})}>Before</button>`}
          ${data.pages.page < data.pages.num_pages && html`<button class="quiet" onClick=${() => setSearch({ page: String(data.pages.page + 1) }, {})}>After</button>`}</nav>`}`;
}
