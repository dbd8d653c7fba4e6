// Who looks? A token, given once: the server keeps it in a cookie that no script can read.

import { html, useEffect, useState } from './html.js';
import { Command, Trouble } from './parts.js';
import { Problem } from './api.js';

async function logIn(token) {
  const answer = await fetch('/ui/session', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ token }) })
    .catch(() => { throw new Problem(0, { detail: 'the server cannot be reached' }); });
  if (!answer.ok) throw new Problem(answer.status, await answer.json().catch(() => ({})));
}

export const logOut = () => fetch('/ui/session', { method: 'DELETE' });

/** The token of a link such as the one that `relume dev` prints: behind a `#`, so that it is in no request and no log. */
function tokenOfLink() {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (token) history.replaceState(null, '', location.pathname + location.search);
  return token;
}

export function LoginPage({ onLogin }) {
  const [problem, setProblem] = useState();
  const [busy, setBusy] = useState(false);
  const enter = async (token) => {
    setBusy(true);
    try { await logIn(token.trim()); onLogin(); } catch (error) { setProblem(error); setBusy(false); }
  };
  useEffect(() => {
    document.title = 'Log in · Relume';
    const token = tokenOfLink();
    if (token) enter(token);
  }, []);
  const onSubmit = (event) => { event.preventDefault(); enter(new FormData(event.target).get('token')); };
  return html`<main class="login"><h1><img src="/ui/icon.svg" alt="" width="32" height="32" /> Relume</h1>
    <form onSubmit=${onSubmit}>
      <label>Token <input name="token" type="password" autocomplete="current-password" placeholder="rl_…" required autofocus /></label>
      <${Trouble} problem=${problem} />
      <button class="primary" disabled=${busy}>${busy ? 'Logging in…' : 'Log in'}</button>
    </form>
    <p class="label">A token is made at a terminal</p><${Command} text="relume tokens create me --scope admin" /></main>`;
}
