// A browser at the dashboard of a running server: RELUME_URL and RELUME_TOKEN say where and as whom.

import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { chromium } from 'playwright-core';

export const url = process.env.RELUME_URL;
export const token = process.env.RELUME_TOKEN;

/** A component of the tests, by its name. */
export const component = (name) => `${process.env.RELUME_COMPONENTS}/${name}.wasm`;

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

let browser;
before(async () => { browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS }); });
after(() => browser.close());

/** A new window that has logged in. Errors of the page and what its policy forbids fail the test at `page.check()`. */
export async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 860 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(`error: ${error.stack}`));
  page.on('dialog', (dialog) => { wrong.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on('console', (message) => message.text().includes('Content Security Policy') && wrong.push(message.text()));
  page.check = () => assert.deepEqual(wrong, []);
  await page.goto(`${url}/ui/login#token=${token}`);
  await page.waitForURL('**/ui/runs');
  assert.ok(!page.url().includes(token), 'the token is not left in the address');
  return page;
}

/** Asks the API. Returns the answer's JSON. */
export async function ask(method, path, body) {
  const answer = await fetch(`${url}/v1${path}`, {
    method, headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' }, body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : undefined;
}

/** Uploads a component as a version of an app. */
export async function deploy(app, name, manifest = '') {
  const { readFile } = await import('node:fs/promises');
  const form = new FormData();
  form.append('manifest', manifest);
  form.append('component', new Blob([await readFile(component(name))]));
  const answer = await fetch(`${url}/v1/apps/${app}/versions?create=true&approve=true`, { method: 'POST', headers: { Authorization: `Bearer ${token}` }, body: form });
  assert.ok(answer.ok, `${answer.status} ${await answer.text()}`);
}

/** Starts a run. Returns its number. */
export const start = async (app, input, more = {}) => (await ask('POST', `/apps/${app}/runs`, { ...(input === undefined ? {} : { input }), ...more })).run.number;

/** Waits until a run has one of these statuses. Returns it. */
export async function until(app, number, ...statuses) {
  for (;;) {
    const { run } = await ask('GET', `/apps/${app}/runs/${number}`);
    if (statuses.includes(run.status)) return run;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Presses a button, and then the one of the dialog that it opens. `fill` gets the dialog. */
export async function act(page, label, confirm = label, fill = async () => {}) {
  await page.getByRole('button', { name: label, exact: true }).first().click();
  const dialog = page.getByRole('dialog');
  await fill(dialog);
  await dialog.getByRole('button', { name: confirm, exact: true }).click();
  await dialog.waitFor({ state: 'detached' });
}
