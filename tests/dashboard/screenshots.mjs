// Makes the pictures of the docs: `node --test screenshots.mjs`, at a server as for the other scripts, which may ask this
// machine (`--allow-network 127.0.0.1/32`).

import { createServer } from 'node:http';
import { test } from 'node:test';
import { ask, deploy, open, start, until, url } from './browser.mjs';

const FOLDER = new URL('../../docs/dashboard/', import.meta.url).pathname;

/** A shop that cannot ship at the moment. */
const shop = createServer((request, response) => {
  const fails = request.url === '/ship';
  setTimeout(() => response.writeHead(fails ? 503 : 200).end(fails ? 'no courier is free' : '{"id": "8812"}'), 30 + 20 * request.url.length);
});

test('the pictures of the docs', { timeout: 300_000 }, async (context) => {
  await new Promise((resolve) => shop.listen(0, '127.0.0.1', resolve));
  context.after(() => shop.close());
  await deploy('orders', 'order-pipeline', 'allowed_hosts = ["http://127.0.0.1:*"]\n');
  await deploy('nightly-report', 'steps', '[env]\nREPORT = "daily"\n');
  await deploy('approval', 'event_waiter');
  await deploy('payments', 'failing_step');
  for (let i = 0; i < 4; i++) await until('nightly-report', await start('nightly-report', 5 + i), 'exited');
  await start('approval', { name: 'approve' });
  await until('payments', await start('payments'), 'crashed');
  const order = await start('orders', { id: 42, item: 'lamp', cents: 4900, email: 'ada@example.com' }, { parameters: { SHOP_URL: `http://127.0.0.1:${shop.address().port}` } });
  while ((await ask('GET', `/apps/orders/runs/${order}`)).run.waiting_on?.kind !== 'step_retry') await new Promise((resolve) => setTimeout(resolve, 20));
  await start('payments', undefined, { retry_policy: { max_retries: 3, retry_delay_seconds: 600, use_exponential_backoff: true } });
  const picture = async (name, path, options = {}) => {
    const page = await open({ viewport: { width: 1200, height: 720 }, ...options });
    await page.goto(`${url}/ui${path}`);
    await page.locator('[aria-busy]').first().waitFor({ state: 'detached' });
    await page.locator('main :is(.rows > *, tbody tr, .panel)').first().waitFor();
    await page.screenshot({ path: `${FOLDER}${name}.png` });
    page.check();
  };
  await picture('runs', '/runs');
  await picture('run', `/apps/orders/runs/${order}`);
  await picture('app', '/apps/nightly-report?tab=settings');
  await picture('logs', '/apps/nightly-report/runs/4?tab=logs', { colorScheme: 'dark' });
});
