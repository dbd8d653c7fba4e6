// How does a component get here? Dropped or chosen, with its progress; what it may do more than before is asked first.

import { Problem } from './api.js';
import { html, useRef, useState } from './html.js';
import { Command, Trouble, bytes, shell } from './parts.js';
import { appLink, go } from './route.js';

/** Sends a component; `onProgress` gets the share that is sent. Returns the version; throws a Problem. */
function send(app, component, manifest, approve, onProgress) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    if (manifest) form.append('manifest', manifest);
    form.append('component', component);
    const request = new XMLHttpRequest();
    request.open('POST', `/v1/apps/${encodeURIComponent(app)}/versions?create=true${approve ? '&approve=true' : ''}`);
    request.responseType = 'json';
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onerror = () => reject(new Problem(0, { detail: 'the upload broke off', hint: 'nothing was changed; try again' }));
    request.onload = () => (request.status < 300 ? resolve(request.response.version) : reject(new Problem(request.status, request.response ?? {})));
    request.send(form);
  });
}

/** For the app that `app` names, or for one whose name is asked. */
export function Upload({ app, onDone }) {
  const [files, setFiles] = useState();
  const [over, setOver] = useState(false);
  const [share, setShare] = useState();
  const [problem, setProblem] = useState();
  const chooser = useRef();
  const take = (list) => {
    const all = [...list];
    const component = all.find((file) => file.name.endsWith('.wasm'));
    setProblem(component ? undefined : new Problem(0, { detail: 'none of these files is a component', hint: 'drop a file that ends in `.wasm`, and its `relume.toml` with it if there is one' }));
    if (component) setFiles({ component, manifest: all.find((file) => file.name.endsWith('.toml')) });
  };
  const upload = async (name, approve) => {
    setProblem(undefined);
    setShare(0);
    try {
      await send(name, files.component, files.manifest, approve, setShare);
      setFiles(undefined);
      onDone?.();
      if (!app) go(appLink(name));
    } catch (error) {
      setProblem(error);
    }
    setShare(undefined);
  };
  const onSubmit = (event) => { event.preventDefault(); upload(app ?? new FormData(event.target).get('name').trim(), false); };
  const drop = (event) => { event.preventDefault(); setOver(false); take(event.dataTransfer.files); };
  const guess = files?.component.name.replace(/\.wasm$/, '').replaceAll('_', '-').toLowerCase();
  return html`<section class=${`upload ${over ? 'over' : ''}`} aria-label="Upload" onDragOver=${(event) => { event.preventDefault(); setOver(true); }} onDragLeave=${() => setOver(false)} onDrop=${drop}>
    ${!files ? html`<p>Drop a component (<code>.wasm</code>) here, with its <code>relume.toml</code> if it has one, or <button class="quiet" onClick=${() => chooser.current.click()}>choose files</button>
        <input ref=${chooser} type="file" class="hidden" multiple accept=".wasm,.toml" aria-label="Component and manifest" tabIndex="-1" onChange=${(event) => take(event.target.files)} /></p>`
      : html`<form onSubmit=${onSubmit} class="fields">
        <span><strong>${files.component.name}</strong> <span class="faint">${bytes(files.component.size)}${files.manifest ? `, with ${files.manifest.name}` : ''}</span></span>
        ${!app && html`<label>App <input name="name" required defaultValue=${guess} /></label>`}
        <button class="primary" disabled=${share !== undefined}>Upload</button><button type="button" class="quiet" onClick=${() => { setFiles(undefined); setProblem(undefined); }}>Not now</button>
        ${share !== undefined && html`<progress max="1" value=${share === 1 ? undefined : share} aria-label="Sent"></progress><span class="faint">${share === 1 ? 'it is checked and compiled…' : `${Math.round(share * 100)} %`}</span>`}
        ${problem?.code === 'needs_approval' && html`<button type="button" class="danger" onClick=${(event) => upload(app ?? new FormData(event.target.form).get('name').trim(), true)}>Approve and upload</button>`}
      </form>
      <${Command} text=${shell('relume', 'deploy', files.component.name, '--name', app ?? guess)} />`}
    <${Trouble} problem=${problem} />
  </section>`;
}
