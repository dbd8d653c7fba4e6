// V18: a hundred texts that would be executed if they were taken for markup, in every place where a program or a caller
// can put a text. The page shows them, and does nothing else.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ask, deploy, open, start, until, url } from './browser.mjs';

const SCRIPTS = [
  '<script>alert(1)</script>', '<ScRiPt>alert(1)</sCrIpT>', '<script src=//evil.example></script>', '<script>alert(1)//',
  '<img src=x onerror=alert(1)>', '<img/src=x/onerror=alert(1)>', '<svg onload=alert(1)>', '<svg><script>alert(1)</script>',
  '<body onload=alert(1)>', '<iframe srcdoc="<script>alert(1)</script>">', '<iframe src=javascript:alert(1)>',
  '<a href=javascript:alert(1)>x</a>', 'javascript:alert(1)', 'data:text/html,<script>alert(1)</script>',
  '<object data=javascript:alert(1)>', '<embed src=javascript:alert(1)>', '<math><mi xlink:href=javascript:alert(1)>',
  '<details open ontoggle=alert(1)>', '<video><source onerror=alert(1)>', '<marquee onstart=alert(1)>',
  '<input autofocus onfocus=alert(1)>', '<meta http-equiv=refresh content="0;javascript:alert(1)">',
  '<link rel=stylesheet href=javascript:alert(1)>', '<base href=javascript:/>', '<!--><script>alert(1)</script>',
];
const AROUND = [['', ''], [`"'>`, ''], ['</title></textarea></script>', '<!--'], [']]>', '\u2028']];
const PAYLOADS = SCRIPTS.flatMap((script) => AROUND.map(([before, after]) => before + script + after));
const TABS = ['Logs', 'Input and output', 'Events', 'HTTP requests', 'Timeline'];

test('nothing of what programs and callers write is executed', { timeout: 600_000 }, async () => {
  assert.equal(PAYLOADS.length, 100);
  await deploy('mirror', 'mirror');
  const runs = [];
  for (const text of PAYLOADS) {
    const more = { parameters: { P: text } };
    const waits = await start('mirror', { text, end: 'wait' }, more);
    const fails = await start('mirror', { text, end: 'fail' }, more);
    runs.push({ text, waits, fails });
  }
  const page = await open();
  for (const [i, { text, waits, fails }] of runs.entries()) {
    await until('mirror', fails, 'crashed');
    await ask('PATCH', '/apps/mirror', { description: text });
    // Every second one is looked at as the event and the output of a run that ended well, the others in the run that failed.
    const number = i % 2 ? waits : fails;
    if (i % 2) {
      await ask('POST', `/apps/mirror/runs/${waits}/events/told`, text);
      await ask('POST', `/apps/mirror/runs/${waits}/events/${encodeURIComponent(text)}`);
      assert.equal((await until('mirror', waits, 'exited', 'crashed')).output, text);
    }
    await page.goto(`${url}/ui/apps/mirror/runs/${number}`);
    await page.locator('.bar-row').nth(1).waitFor();
    assert.ok((await page.locator('main').innerText()).includes(text.replace('\u2028', '').slice(0, 20).trim()), text);
    await page.locator('button.bar-row').first().click();
    await page.locator('.drawer').waitFor();
    for (const tab of TABS) await page.getByRole('button', { name: new RegExp(`^${tab}`) }).click();
    page.check();
  }
  await page.goto(`${url}/ui/apps/mirror`);
  await page.locator('table.runs tbody tr').first().waitFor();
  for (const path of ['/apps', '/runs?text=%3Cscript%3E', '/runs?app=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E', '/%3Cscript%3Ealert(1)%3C/script%3E',
    '/apps/%3Cimg%20src=x%20onerror=alert(1)%3E', '/apps/mirror/runs/1?tab=%3Cscript%3E&step=%22%3E']) {
    await page.goto(`${url}/ui${path}`);
    await page.locator('h1').waitFor();
  }
  assert.equal(await page.evaluate(() => document.querySelectorAll('script:not([src]), iframe, object, embed, base').length), 0);
  page.check();
});
