// Everything that can be done at the dashboard, done by clicking.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { act, ask, component, deploy, open, start, until, url, token } from './browser.mjs';

const status = (page) => page.locator('h1 .status');
const told = async (page, text) => page.getByText(text).first().waitFor();

test('whoever has no token does not get in, and a wrong one says so', async () => {
  const page = await open();
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByLabel('Token').fill(`rl_0123456789abcdef_${'0'.repeat(64)}`);
  await page.getByRole('button', { name: 'Log in' }).click();
  await told(page, 'unknown, revoked or expired');
  const kept = await page.context().cookies();
  assert.ok(!kept.some((cookie) => cookie.value), 'nothing is left of the login');
  await page.goto(`${url}/ui/workers`);
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('heading', { name: 'Workers' }).waitFor();
  const [cookie] = await page.context().cookies();
  assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, 'Strict']);
  page.check();
});

test('an app is uploaded, run, looked at and run again', async () => {
  const page = await open();
  await page.getByRole('link', { name: 'Apps' }).click();
  await page.getByLabel('Component and manifest').setInputFiles(component('steps'));
  await page.getByLabel('App', { exact: true }).fill('counting');
  await page.getByRole('button', { name: 'Upload' }).click();
  await page.getByRole('heading', { name: 'counting' }).waitFor();
  await told(page, 'Nothing has run yet');
  await act(page, 'Run', 'Start', (dialog) => dialog.getByLabel('Input').fill('3'));
  await page.waitForURL('**/apps/counting/runs/1');
  await status(page).filter({ hasText: 'exited' }).waitFor();
  await page.getByRole('button', { name: 'step-2' }).click();
  const drawer = page.getByRole('complementary', { name: 'Entry 2' });
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await drawer.getByRole('button', { name: 'Copy' }).click();
  await drawer.getByRole('button', { name: 'Copied' }).waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), 'relume runs steps counting#1');
  assert.equal(await drawer.locator('pre.value').innerText(), '2');
  await drawer.getByRole('button', { name: 'What it printed' }).click();
  await told(page, '1 of 3 lines');
  assert.deepEqual(await page.locator('.log-text').allInnerTexts(), ['executing step-2']);
  await page.getByRole('button', { name: 'Lines of all steps' }).click();
  await page.getByRole('button', { name: 'Timeline' }).click();
  await page.getByRole('button', { name: 'step-2' }).click();
  await page.keyboard.press('Escape');
  await drawer.waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Logs' }).click();
  await told(page, 'executing step-3');
  await page.getByLabel('Search').fill('step-2');
  await told(page, '1 of 3 lines');
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download' }).click()]);
  assert.equal(await readFile(await download.path(), 'utf8'), 'executing step-1\nexecuting step-2\nexecuting step-3\n');
  await page.getByRole('button', { name: 'Input and output' }).click();
  await page.locator('.values pre.value').nth(1).waitFor();
  assert.deepEqual(await page.locator('.values pre.value').allInnerTexts(), ['3', '6']);
  await act(page, 'Run again');
  await page.waitForURL('**/apps/counting/runs/2');
  await status(page).filter({ hasText: 'exited' }).waitFor();
  await act(page, 'Fork', 'Fork', (dialog) => dialog.getByLabel('From entry').fill('2'));
  await page.waitForURL('**/apps/counting/runs/3');
  await status(page).filter({ hasText: 'exited' }).waitFor();
  await told(page, 'counting#2');
  page.check();
});

test('what is large is shown in part, and had whole', async () => {
  await deploy('echo', 'echo');
  const value = { text: 'x'.repeat(30_000) };
  const text = JSON.stringify(value, null, 2);
  const number = await start('echo', value);
  await until('echo', number, 'exited');
  const page = await open();
  await page.goto(`${url}/ui/apps/echo/runs/${number}?tab=values`);
  const input = page.locator('pre.value').first();
  assert.equal((await input.innerText()).length, 20_000);
  await page.getByRole('button', { name: 'Show all' }).first().click();
  assert.equal(await input.innerText(), text);
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download' }).last().click()]);
  assert.equal(download.suggestedFilename(), `echo-${number}-output.json`);
  assert.equal(await readFile(await download.path(), 'utf8'), text);
  page.check();
});

test('older runs are a page away', async () => {
  await deploy('many', 'plain');
  for (let i = 0; i < 51; i++) await start('many');
  const page = await open();
  await page.goto(`${url}/ui/runs?app=many`);
  await page.getByRole('link', { name: 'many#51' }).waitFor();
  await page.getByRole('button', { name: 'Older' }).click();
  await page.getByRole('link', { name: 'many#1', exact: true }).waitFor();
  assert.ok(page.url().includes('cursor='), 'the page is in the address');
  await page.getByRole('button', { name: 'Newest' }).click();
  await page.getByRole('link', { name: 'many#51' }).waitFor();
  page.check();
});

test('what failed, where, why and what is next is told, and it is retried on a fixed version', async () => {
  await deploy('orders', 'changed', '[env]\nTHEN = "fail"\n');
  const number = await start('orders');
  await until('orders', number, 'crashed');
  const page = await open();
  await page.getByLabel('Text').fill('as asked');
  await page.getByLabel('Text').press('Enter');
  await page.getByRole('link', { name: `orders#${number}` }).click();
  await told(page, 'failed, as asked');
  await told(page, 'A fault of the program.');
  await told(page, 'It is not tried again by itself');
  await act(page, 'Retry');
  await told(page, '2 of 2');
  await until('orders', number, 'crashed');
  await deploy('orders', 'diverge');
  await page.reload();
  await page.getByRole('button', { name: 'Retry on another version' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Retry on another version' }).click();
  const refused = await page.getByRole('alert').innerText();
  assert.match(refused, /v2 does not fit[^]*took another way than its journal, at entry 1\n {2}journal \(v1\)[^]*\n {2}program \(v2\)/);
  await page.getByRole('button', { name: 'Not now' }).click();
  await deploy('orders', 'changed');
  await page.reload();
  await act(page, 'Retry on another version', undefined, (dialog) => dialog.getByLabel('Version').selectOption('v3'));
  await status(page).filter({ hasText: 'exited' }).waitFor();
  assert.ok(await page.locator('.bar.replayed').count() > 2, 'what was recorded was not executed again');
  page.check();
});

test('a run that will be tried again says why it failed, and when that is', async () => {
  await deploy('later', 'failing_step', '[retry]\nmax_retries = 3\nretry_delay_seconds = 600\nuse_exponential_backoff = false\n');
  const number = await start('later');
  await until('later', number, 'retrying');
  const page = await open();
  await page.goto(`${url}/ui/apps/later/runs/${number}`);
  const why = page.getByRole('region', { name: 'Why' });
  await why.getByText('Attempt 1 failed: step_exhausted step `charge` failed: card declined').waitFor();
  await why.getByText('attempt 2 of 4 is due: in 9 min').waitFor();
  await why.getByRole('button', { name: 'charge' }).click();
  await page.getByRole('complementary', { name: 'Entry 1' }).getByText('card declined').waitFor();
  page.check();
});

test('a run that waits is told something, and another one is cancelled', async () => {
  await deploy('approval', 'event_waiter');
  const [told1, cancelled] = [await start('approval', { name: 'approve' }), await start('approval', { name: 'approve' })];
  const page = await open();
  await page.goto(`${url}/ui/apps/approval/runs/${told1}`);
  await told(page, 'it waits for the event `approve`');
  await act(page, 'Send event', 'Send', (dialog) => dialog.getByLabel('Payload').fill('{"by": "Ada"}'));
  await status(page).filter({ hasText: 'exited' }).waitFor();
  await page.getByRole('button', { name: 'Events' }).click();
  await told(page, '{"by":"Ada"}');
  await page.goto(`${url}/ui/apps/approval/runs/${cancelled}`);
  await act(page, 'Cancel');
  await status(page).filter({ hasText: 'cancelled' }).waitFor();
  page.check();
});

test('the runs that a run started are seen in it', async () => {
  await deploy('child', 'child');
  await deploy('family', 'parent');
  const number = await start('family', { app: 'child', mode: 'ok', fan: 2 });
  await until('family', number, 'exited');
  const page = await open();
  await page.goto(`${url}/ui/apps/family/runs/${number}`);
  await page.getByRole('button', { name: 'The attempts of child#1' }).click();
  await told(page, 'child#1 attempt 1');
  await page.getByRole('button', { name: /result of child#2/ }).click();
  await page.getByRole('complementary').getByRole('link', { name: 'child#2' }).click();
  await page.waitForURL('**/apps/child/runs/2');
  await page.getByRole('link', { name: `family#${number}` }).waitFor();
  page.check();
});

test('many runs are cancelled and retried at once', async () => {
  await deploy('failing', 'failing_step');
  await deploy('waiting', 'event_waiter');
  for (let i = 0; i < 3; i++) {
    await until('failing', await start('failing'), 'crashed');
    await start('waiting', { name: 'never' });
  }
  const page = await open();
  await page.goto(`${url}/ui/runs?app=waiting`);
  await page.getByLabel('Choose all runs on this page').check();
  await act(page, 'Cancel 3');
  await page.locator('.chip.cancelled .num').filter({ hasText: '3' }).waitFor();
  await page.goto(`${url}/ui/runs?app=failing&status=crashed`);
  await page.getByLabel('Choose all runs on this page').check();
  await act(page, 'Retry 3');
  for (let i = 1; i <= 3; i++) assert.equal((await until('failing', i, 'crashed')).attempts.length, 2);
  await page.getByRole('button', { name: /crashed/ }).click();
  assert.ok(!page.url().includes('status'), 'the filter is in the address');
  page.check();
});

test('an app is changed, disabled and enabled, and goes back to an older version', async () => {
  await deploy('settled', 'plain');
  await deploy('settled', 'plain', 'allowed_hosts = ["https://api.example.com"]\n');
  const page = await open();
  await page.goto(`${url}/ui/apps/settled?tab=settings`);
  await page.getByLabel('memory_mib for this app').fill('64');
  await page.getByLabel('Retries').fill('4');
  await page.getByLabel('Seconds before each').fill('60');
  await page.getByRole('button', { name: 'Save' }).first().click();
  await told(page, 'relume apps set settled --retries 4 --delay 60');
  await page.getByRole('button', { name: 'Save' }).last().click();
  await page.getByRole('row', { name: /memory_mib/ }).getByText('app', { exact: true }).waitFor();
  let { app } = await ask('GET', '/apps/settled');
  assert.deepEqual([app.retry_policy.max_retries, app.limits.memory_mib], [4, 64]);
  await page.getByRole('button', { name: 'Versions' }).click();
  await told(page, 'api.example.com');
  await act(page, 'Activate');
  await page.getByRole('heading', { name: /settled v1/ }).waitFor();
  await act(page, 'Disable');
  await page.getByRole('button', { name: 'Enable' }).waitFor();
  assert.equal(await page.getByRole('button', { name: 'Run', exact: true }).isDisabled(), true);
  await act(page, 'Enable');
  await page.getByRole('button', { name: 'Disable' }).waitFor();
  ({ app } = await ask('GET', '/apps/settled'));
  assert.deepEqual([app.version, app.status], ['v1', 'active']);
  page.check();
});

test('a version that may do more is asked for', async () => {
  await deploy('guarded', 'plain');
  const page = await open();
  await page.goto(`${url}/ui/apps/guarded?tab=versions`);
  const manifest = { name: 'relume.toml', mimeType: 'text/plain', buffer: Buffer.from('allowed_hosts = ["https://api.example.com"]\n') };
  const wasm = { name: 'plain.wasm', mimeType: 'application/wasm', buffer: await readFile(component('plain')) };
  const dropped = await page.evaluateHandle((files) => {
    const transfer = new DataTransfer();
    for (const { name, bytes } of files) transfer.items.add(new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], name));
    return transfer;
  }, [wasm, manifest].map(({ name, buffer }) => ({ name, bytes: buffer.toString('base64') })));
  await page.getByRole('region', { name: 'Upload' }).dispatchEvent('drop', { dataTransfer: dropped });
  await told(page, 'with relume.toml');
  await page.getByRole('button', { name: 'Upload' }).click();
  await page.getByRole('alert').getByText('api.example.com').waitFor();
  await page.getByRole('button', { name: 'Approve and upload' }).click();
  await page.getByRole('heading', { name: /^v2/ }).waitFor();
  page.check();
});

test('schedules and secrets are kept', async () => {
  await deploy('nightly', 'plain', 'secrets = ["API_KEY"]\n');
  const page = await open();
  await page.goto(`${url}/ui/apps/nightly?tab=schedules`);
  await act(page, 'New schedule', 'Create', async (dialog) => {
    await dialog.getByLabel('Cron').fill('not a cron');
    await dialog.getByRole('button', { name: 'Create' }).click();
    await dialog.getByRole('alert').waitFor();
    await dialog.getByLabel('Cron').fill('0 3 * * *');
    await dialog.getByLabel('Name').fill('at-night');
  });
  await told(page, 'at-night');
  await act(page, 'Pause');
  await act(page, 'Resume');
  await act(page, 'Delete');
  await told(page, 'It starts when it is asked to');
  await page.getByRole('button', { name: 'Secrets and hosts' }).click();
  await told(page, 'not set');
  await act(page, 'Set', 'Keep', (dialog) => dialog.getByLabel('Value').fill('a secret of some length'));
  await page.getByRole('button', { name: 'Replace' }).waitFor();
  assert.ok(!(await page.content()).includes('a secret of some length'));
  page.check();
});

test('a token is made, shown once, and revoked', async () => {
  const page = await open();
  await page.getByRole('link', { name: 'Tokens' }).click();
  await act(page, 'New token', 'Create', (dialog) => dialog.getByLabel('What it is for').fill('for a test'));
  const text = await page.locator('.made code').innerText();
  const used = () => fetch(`${url}/v1/runs`, { headers: { Authorization: `Bearer ${text}` } });
  assert.equal((await used()).status, 200);
  await page.reload();
  assert.ok(!(await page.content()).includes(text));
  const row = page.getByRole('row', { name: /for a test/ });
  await row.getByRole('button', { name: 'Revoke' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke', exact: true }).click();
  await row.waitFor({ state: 'detached' });
  assert.equal((await used()).status, 401);
  page.check();
});

test('more tabs than a browser has connections, and each that is seen is live', async () => {
  await deploy('tabbed', 'plain');
  const first = await open();
  const show = (page, shown) => page.evaluate((hidden) => {
    Object.defineProperty(document, 'hidden', { configurable: true, value: hidden });
    document.dispatchEvent(new Event('visibilitychange'));
  }, !shown);
  for (let i = 0; i < 8; i++) {
    const page = i ? await first.context().newPage() : first;
    await page.goto(`${url}/ui/apps/tabbed`);
    await told(page, 'Nothing has run yet');
    await show(page, false);
  }
  const number = await start('tabbed');
  await until('tabbed', number, 'exited');
  await show(first, true);
  await first.getByRole('row', { name: `tabbed#${number}` }).getByText('exited').waitFor();
  first.check();
});

test('what happens is seen without a reload', async () => {
  await deploy('seen', 'event_waiter');
  const page = await open();
  await page.goto(`${url}/ui/apps/seen`);
  await told(page, 'Nothing has run yet');
  await page.getByLabel('Text').fill('half a wo');
  const number = await start('seen', { name: 'go' });
  await page.getByRole('link', { name: `seen#${number}` }).waitFor();
  await told(page, 'waits for the event');
  assert.equal(await page.getByLabel('Text').inputValue(), 'half a wo', 'what is being typed stays');
  await ask('POST', `/apps/seen/runs/${number}/events/go`, 1);
  await page.getByRole('row', { name: new RegExp(`seen#${number}`) }).getByText('exited').waitFor();
  await page.getByRole('link', { name: 'Workers' }).click();
  await told(page, 'Slots in use');
  page.check();
});
