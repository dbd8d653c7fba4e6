// What are pages made of? The pieces that more than one uses.

import { follow, get } from './api.js';
import { html, useCallback, useEffect, useLayoutEffect, useRef, useState } from './html.js';

/** A status is told by its word and a shape, not by its colour alone. */
const SHAPES = {
  scheduled: '◷', pending: '○', starting: '◔', running: '●', retrying: '↻', exited: '✓', crashed: '✕', errored: '⚠', cancelled: '⊘',
};
const MEANINGS = {
  scheduled: 'waits for its start time',
  pending: 'waits for a worker',
  starting: 'a worker fetches or compiles its code',
  running: 'has begun, and is executed or waits',
  retrying: 'waits for its next attempt',
  exited: 'ended well',
  crashed: 'failed by a fault of the program',
  errored: 'failed by a fault of Relume or its surroundings',
  cancelled: 'was cancelled',
};
export const STATUSES = Object.keys(SHAPES);
export const ACTIVE = ['scheduled', 'pending', 'starting', 'running', 'retrying'];
/** The statuses of journal entries that are over. */
export const FINAL = ['finished', 'failed', 'indeterminate'];
export const FAILED = ['crashed', 'errored'];

export function Status({ status }) {
  return html`<span class=${`status ${status}`} title=${MEANINGS[status]}><span aria-hidden="true">${SHAPES[status]}</span> ${status}</span>`;
}

/** What went wrong, why, and what to do next. */
export function Trouble({ problem, onDismiss }) {
  if (!problem) return null;
  const [words, ...report] = problem.message.split('\n');
  return html`<div class="trouble" role="alert">
    <p>${problem.field && html`<code>${problem.field}</code>${': '}`}${words}</p>
    ${report.length > 0 && html`<pre class="value" tabIndex="0">${report.join('\n')}</pre>`}
    ${problem.hint && html`<p class="hint">${problem.hint}</p>`}
    ${onDismiss && html`<button class="quiet" onClick=${onDismiss}>Dismiss</button>`}
  </div>`;
}

/** Nothing is here: what to type so that something is. */
export function Empty({ children, commands = [] }) {
  return html`<div class="empty"><p>${children}</p>${commands.map((command) => html`<${Command} text=${command} />`)}</div>`;
}

/** A command that does what the page does, to be copied. */
export function Command({ text }) {
  const code = useRef();
  const [label, setLabel] = useState('Copy');
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setLabel('Copied');
    } catch {
      // Browsers keep the clipboard from pages without TLS.
      getSelection().selectAllChildren(code.current);
      setLabel('Selected');
    }
    setTimeout(() => setLabel('Copy'), 1500);
  };
  return html`<div class="command"><code tabIndex="0" ref=${code}>${text}</code><button class="quiet" onClick=${copy}>${label}</button></div>`;
}

/** Words of a shell: quoted where it has to be. */
export function shell(...words) {
  const quote = (word) => (/^[\w@%+=:,./#-]+$/.test(word) && !word.startsWith('#') ? word : `'${word.replaceAll("'", `'\\''`)}'`);
  return words.filter((word) => word !== undefined && word !== null).map(String).map(quote).join(' ');
}

/** Loads `path` once, and again when `when` changes or `reload` is called. Returns `{data, problem, reload}`. */
export function useLoad(path, when) {
  const [state, setState] = useState({});
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (!path) return undefined;
    const abort = new AbortController();
    get(path, { signal: abort.signal })
      .then((data) => setState({ path, data }))
      .catch((problem) => problem.name !== 'AbortError' && setState({ path, problem }));
    return () => abort.abort();
  }, [path, turn, when]);
  const reload = useCallback(() => setTurn((turn) => turn + 1), []);
  // What was loaded for another path is not this one's.
  return { ...(state.path === path ? state : {}), reload };
}

/** Follows `path`: the newest state, and whether it is live. What was there before stays until something new comes. */
export function useFollow(path) {
  const [state, setState] = useState({});
  useEffect(() => follow(() => path, {
    on: { state: (data) => setState({ data, live: true }) },
    onHealth: (live) => setState((state) => ({ ...state, live })),
  }), [path]);
  return state;
}

/** A question before something is done. Escape and a click beside it close it. */
function Dialog({ title, onClose, children }) {
  const dialog = useRef();
  useEffect(() => {
    const opener = document.activeElement;
    dialog.current.showModal();
    return () => opener?.focus?.();
  }, []);
  const onClick = (event) => event.target === dialog.current && onClose();
  return html`<dialog ref=${dialog} onClose=${onClose} onClick=${onClick} aria-labelledby="dialog-title">
    <div class="dialog-body"><h2 id="dialog-title">${title}</h2>${children}</div>
  </dialog>`;
}

/**
 * A button that asks first: what will happen, and the command that does the same. `act` may throw a Problem, which is shown.
 */
export function Action({ label, title = label, kind = '', command, act, children, confirm = label, disabled }) {
  const [open, setOpen] = useState(false);
  return html`<button class=${kind} disabled=${disabled} onClick=${() => setOpen(true)}>${label}</button>
    ${open && html`<${ActionDialog} ...${{ title, command, act, confirm, kind }} onClose=${() => setOpen(false)}>${children}<//>`}`;
}

function ActionDialog({ title, command, act, children, confirm, kind, onClose }) {
  const [problem, setProblem] = useState();
  const [busy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(undefined);
    try {
      await act(new FormData(event.target));
      onClose();
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <form onSubmit=${submit}>
      ${children}
      <${Trouble} problem=${problem} />
      <div class="buttons"><button class=${kind || 'primary'} disabled=${busy}>${busy ? 'Working…' : confirm}</button>
        <button type="button" class="quiet" onClick=${onClose}>Not now</button></div>
      ${command && html`<p class="label">The same at a terminal</p><${Command} text=${command} />`}
    </form>
  <//>`;
}

/** A long list of which only what can be seen is in the page. Every row is `height` pixels high. */
export function Rows({ count, height, row, label, className = '', follow: atEnd = false, onReachEnd }) {
  const box = useRef();
  const [view, setView] = useState({ top: 0, height: 600 });
  const measure = () => {
    const { scrollTop, clientHeight, scrollHeight } = box.current;
    setView({ top: scrollTop, height: clientHeight });
    if (onReachEnd && scrollHeight - scrollTop - clientHeight < 40 * height) onReachEnd();
  };
  useLayoutEffect(() => {
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => { if (atEnd) box.current.scrollTop = box.current.scrollHeight; }, [count, atEnd]);
  const first = Math.max(0, Math.floor(view.top / height) - 10);
  const last = Math.min(count, Math.ceil((view.top + view.height) / height) + 10);
  const shown = [];
  for (let i = first; i < last; i++) shown.push(row(i, { top: `${i * height}px`, height: `${height}px` }));
  // As high as its rows, up to what the style sheet allows.
  return html`<div class=${`rows ${className}`} style=${{ height: `${count * height + 2}px` }} ref=${box} onScroll=${measure} tabIndex="0" role="group" aria-label=${label}>
    <div class="rows-inner" style=${{ height: `${count * height}px` }}>${shown}</div>
  </div>`;
}

/** Whether what is shown is live. */
export function Live({ live }) {
  return html`<span class=${`live ${live ? 'on' : 'off'}`} role="status">${live ? 'live' : 'connecting…'}</span>`;
}

export function bytes(count) {
  if (count === null || count === undefined) return '';
  if (count < 1024) return `${count} B`;
  const units = ['KiB', 'MiB', 'GiB'];
  let size = count / 1024, unit = 0;
  while (size >= 1024 && unit < units.length - 1) { size /= 1024; unit += 1; }
  return `${size.toFixed(size < 10 ? 1 : 0)} ${units[unit]}`;
}

export const number = (count) => (count === null || count === undefined ? '' : count.toLocaleString('en'));
