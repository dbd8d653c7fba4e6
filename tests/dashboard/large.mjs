// What is large stays quick: a run of 10,000 steps, and a log that grows by more than 1,000 lines a second.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deploy, open, start, until, url } from './browser.mjs';

const STEPS = 10_000;
const FIRST_PAINT_MS = 1000;
/** The most elements that a page may have, whatever it shows. */
const MAX_ELEMENTS = 3000;
/** Of a hundred frames while the page is scrolled, so long takes the 90th, on a machine that is busy with other things. */
const FRAME_MS = 100;

/** Scrolls to the end in a hundred frames. Returns the 90th of what they took. */
const scroll = (page) => page.evaluate(async () => {
  const box = document.querySelector('.rows');
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  const took = [];
  let last = await frame();
  for (let i = 1; i <= 100; i++) {
    box.scrollTop = (box.scrollHeight * i) / 100;
    const now = await frame();
    took.push(now - last);
    last = now;
  }
  return took.sort((a, b) => a - b)[90];
});
const elements = (page) => page.evaluate(() => document.querySelectorAll('*').length);

test('a run of 10,000 steps', { timeout: 300_000 }, async () => {
  await deploy('long', 'steps', `[limits]\nstep_attempts = ${STEPS}\n`);
  const number = await start('long', STEPS);
  await until('long', number, 'exited', 'crashed');
  const page = await open();
  await page.goto(`${url}/ui/apps/long/runs/${number}`);
  await page.getByRole('button', { name: 'Timeline (10,000)' }).waitFor();
  const painted = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0].startTime);
  assert.ok(painted < FIRST_PAINT_MS, `the first paint took ${painted} ms`);
  const frame = await scroll(page);
  await page.getByRole('button', { name: 'step-10000', exact: false }).waitFor();
  console.log(`10,000 steps: first paint after ${Math.round(painted)} ms, frames of ${Math.round(frame)} ms while scrolling`);
  assert.ok(frame < FRAME_MS, `a frame takes ${frame} ms`);
  assert.ok(await elements(page) < MAX_ELEMENTS, `${await elements(page)} elements`);
  page.check();
});

test('a log that grows quickly', { timeout: 300_000 }, async () => {
  await deploy('chatty', 'print_flood');
  const page = await open();
  const number = await start('chatty');
  await page.goto(`${url}/ui/apps/chatty/runs/${number}?tab=logs`);
  await page.locator('.log-line').first().waitFor();
  const count = async () => Number((await page.locator('.logs [role=status]').innerText()).replace(/\D/g, ''));
  const [before, began] = [await count(), Date.now()];
  await page.waitForFunction((least) => Number(document.querySelector('.logs [role=status]').innerText.replace(/\D/g, '')) > least, before + 5000, { polling: 50, timeout: 60_000 });
  const each_second = ((await count()) - before) / ((Date.now() - began) / 1000);
  console.log(`${Math.round(each_second)} lines a second`);
  assert.ok(each_second > 1000, `${each_second} lines a second`);
  await page.getByLabel('Follow').uncheck();
  const frame = await scroll(page);
  assert.ok(frame < FRAME_MS, `a frame takes ${frame} ms`);
  assert.ok(await elements(page) < MAX_ELEMENTS, `${await elements(page)} elements`);
  page.check();
});
