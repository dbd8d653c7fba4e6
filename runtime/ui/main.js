// Where does the page begin? The frame around every page, and which page an address means.

import { session } from './api.js';
import { AppPage } from './app.js';
import { AppsPage } from './apps.js';
import { Fragment, html, render, useEffect, useState } from './html.js';
import { LoginPage, logOut } from './login.js';
import { Link, go, useRoute } from './route.js';
import { RunPage } from './run.js';
import { RunsPage } from './runs.js';
import { TokensPage } from './tokens.js';
import { WorkersPage } from './workers.js';

const PAGES = [['/runs', 'Runs'], ['/apps', 'Apps'], ['/workers', 'Workers'], ['/tokens', 'Tokens']];

const ROUTES = [
  [/^\/runs$/, () => html`<${RunsPage} />`, 'Runs'],
  [/^\/apps$/, () => html`<${AppsPage} />`, 'Apps'],
  [/^\/apps\/([^/]+)$/, ([, app]) => html`<${AppPage} key=${app} app=${app} />`, 'App'],
  [/^\/apps\/([^/]+)\/runs\/(\d+)$/, ([, app, number]) => html`<${RunPage} key=${`${app}#${number}`} app=${app} number=${Number(number)} />`, 'Run'],
  [/^\/workers$/, () => html`<${WorkersPage} />`, 'Workers'],
  [/^\/tokens$/, () => html`<${TokensPage} />`, 'Tokens'],
];

/** Keys that go to a page: `g` and then the first letter of its name. */
function useKeys() {
  useEffect(() => {
    let waits = false;
    const onKey = (event) => {
      if (event.target.closest('input, textarea, select, dialog') || event.metaKey || event.ctrlKey || event.altKey) return;
      const page = waits && PAGES.find(([, name]) => name[0].toLowerCase() === event.key);
      waits = event.key === 'g';
      if (page) go(page[0]);
      if (event.key === '/') { const search = document.querySelector('input[type=search]'); if (search) { event.preventDefault(); search.focus(); } }
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
}

function Page() {
  const { path, search } = useRoute();
  const [ended, setEnded] = useState(false);
  session.onEnd = () => setEnded(true);
  useKeys();
  useEffect(() => { if (path === '/') go('/runs', { replace: true }); }, [path]);
  if (ended || path === '/login') return html`<${LoginPage} onLogin=${() => { setEnded(false); if (path === '/login') go(search.to || '/runs', { replace: true }); }} />`;
  const found = ROUTES.map(([pattern, page, title]) => ({ match: pattern.exec(path), page, title })).find(({ match }) => match);
  useEffect(() => { if (found && found.title !== 'Run') document.title = `${found.title === 'App' ? decodeURIComponent(found.match[1]) : found.title} · Relume`; }, [path]);
  return html`<${Fragment}>
    <a class="skip" href="#main">Skip to the page</a>
    <header class="top"><${Link} to="/runs" class="brand"><img src="/ui/icon.svg" alt="" width="22" height="22" />Relume<//>
      <nav aria-label="Pages of the dashboard">${PAGES.map(([to, name]) => html`<${Link} key=${to} to=${to} aria-current=${path.startsWith(to) ? 'page' : undefined}>${name}<//>`)}</nav>
      <button class="quiet" onClick=${async () => { await logOut(); setEnded(true); }}>Log out</button></header>
    <main id="main">${found ? found.page(found.match.map((part) => part && decodeURIComponent(part))) : html`<h1>There is nothing here</h1><p><code>${path}</code> is no page. <${Link} to="/runs">To the runs<//></p>`}</main>
  <//>`;
}

render(html`<${Page} />`, document.getElementById('app'));
