// How has it fared? Runs by status, and how long they took, over time.

import { query } from './api.js';
import { html } from './html.js';
import { STATUSES, number, useLoad } from './parts.js';
import { setSearch, useRoute } from './route.js';
import { exact, length } from './time.js';

const SPANS = [['1h', 'hour'], ['24h', 'day'], ['7d', 'week'], ['30d', '30 days']];

export function Chart({ app }) {
  const { search } = useRoute();
  const span = search.chart || '24h';
  const { data } = useLoad(`/runs/stats${query({ app, span })}`);
  const buckets = data?.buckets ?? [];
  const total = (bucket) => Object.values(bucket.counts).reduce((sum, count) => sum + count, 0);
  const most = Math.max(1, ...buckets.map(total));
  const longest = Math.max(1, ...buckets.map((bucket) => bucket.p95_ms ?? 0));
  return html`<section class="chart" aria-label="Runs over time">
    <div class="chart-head"><span class="label">Runs, at most ${number(most)} at a time${longest > 1 ? `; the line is how long 95 of 100 took at most, up to ${length(longest)}` : ''}</span>
      <span class="chips">${SPANS.map(([key, label]) => html`<button key=${key} class="chip" aria-pressed=${span === key} onClick=${() => setSearch({ chart: key === '24h' ? undefined : key })}>${label}</button>`)}</span></div>
    <div class="bars-chart" role="img" aria-label=${`${number(buckets.reduce((sum, bucket) => sum + total(bucket), 0))} runs`}>
      ${buckets.map((bucket) => html`<div key=${bucket.start_at} class="column" title=${`${exact(bucket.start_at).slice(0, 16)}: ${STATUSES.filter((s) => bucket.counts[s]).map((s) => `${bucket.counts[s]} ${s}`).join(', ') || 'no run'}${bucket.p95_ms === null ? '' : `; p50 ${length(bucket.p50_ms)}, p95 ${length(bucket.p95_ms)}`}`}>
        ${STATUSES.filter((status) => bucket.counts[status]).map((status) => html`<span key=${status} class=${`part ${status}`} style=${{ height: `${(bucket.counts[status] / most) * 100}%` }}></span>`)}
        ${bucket.p95_ms !== null && html`<span class="p95" style=${{ bottom: `${(bucket.p95_ms / longest) * 96}%` }}></span>`}</div>`)}
    </div></section>`;
}
