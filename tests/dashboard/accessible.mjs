// Every page, in both lights, wide and narrow: axe finds nothing to complain about, and the keyboard is enough.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { deploy, open, start, until, url } from './browser.mjs';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

test('axe finds no violation on any page', { timeout: 300_000 }, async () => {
  await deploy('accessible', 'changed', 'secrets = ["API_KEY"]\nallowed_hosts = ["https://api.example.com"]\n[env]\nTHEN = "fail"\n');
  await deploy('sees', 'steps');
  await until('accessible', await start('accessible'), 'crashed', 'errored');
  await until('sees', await start('sees', 3), 'exited');
  const pages = ['/runs', '/apps', '/workers', '/tokens', '/nowhere', ...['', '?tab=versions', '?tab=settings', '?tab=schedules', '?tab=secrets'].map((tab) => `/apps/accessible${tab}`),
    ...['', '?tab=logs', '?tab=values', '?tab=calls', '?tab=events', '?step=1'].map((tab) => `/apps/sees/runs/1${tab}`), '/apps/accessible/runs/1'];
  for (const options of [{ colorScheme: 'light' }, { colorScheme: 'dark' }, { colorScheme: 'dark', viewport: { width: 390, height: 800 } }]) {
    // Axe itself is no part of the page, whose policy would not have it.
    const page = await open({ ...options, bypassCSP: true });
    for (const path of pages) {
      await page.goto(`${url}/ui${path}`);
      await page.locator('h1').first().waitFor();
      await page.locator('[aria-busy]').first().waitFor({ state: 'detached' });
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
      const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join('; ')}`);
      assert.deepEqual(told, [], `${path} ${JSON.stringify(options)}`);
      const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(wider <= 0, `${path} is ${wider} pixels wider than its window`);
    }
    page.check();
    await page.context().close();
  }
});

test('the keyboard goes everywhere', async () => {
  const page = await open();
  await page.keyboard.press('g');
  await page.keyboard.press('a');
  await page.getByRole('heading', { name: 'Apps' }).waitFor();
  await page.keyboard.press('g');
  await page.keyboard.press('r');
  await page.getByRole('heading', { name: 'Runs' }).waitFor();
  await page.keyboard.press('/');
  assert.equal(await page.evaluate(() => document.activeElement.type), 'search');
  await page.goto(`${url}/ui/apps/sees/runs/1`);
  await page.getByRole('button', { name: 'step-1' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('complementary').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('complementary').waitFor({ state: 'detached' });
  page.check();
});
