/**
 * The web page in Debian's Chromium, against what `natgate status` and `flows` say. NATGATE_SCREENSHOTS=1 writes docs/screenshots/.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Agent } from './support/agent.ts';
import { Browser } from './support/browser.ts';
import { Natgate, natgateOnly, READY } from './support/gateway.ts';
import { CLIENT, createTopology, GATEWAY_PUBLIC, SERVER, type Topology } from './support/topology.ts';

const BASE = 'http://127.0.0.1:9469/';
const TOKEN = 'a-token-of-the-test-0123456789';
const TCP = `tcp and src ${CLIENT} and dport 7001`;
const SHOTS = fileURLToPath(new URL('../../docs/screenshots/', import.meta.url));

natgateOnly('the web page', () => {
  let topology: Topology;
  let natgate: Natgate;
  let browser: Browser;
  const undo: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    topology = await createTopology();
    undo.push(() => topology.destroy());
    const folder = mkdtempSync(join(tmpdir(), 'natgate-web-'));
    undo.push(async () => rmSync(folder, { recursive: true }));
    const [file, token] = [join(folder, 'natgate.yaml'), join(folder, 'token')];
    writeFileSync(token, `${TOKEN}\n`, { mode: 0o600 });
    writeFileSync(
      file,
      `private: g0\npublic: g1\nmetrics: {listen: "127.0.0.1:9469", page: true, token-file: ${token}}\n`,
    );
    natgate = Natgate.launch(topology.gateway, ['--config', file]);
    undo.push(() => natgate.stop());
    await natgate.process.shows(READY, 15_000);
    const [client, server] = [await Agent.start(topology.client), await Agent.start(topology.server)];
    undo.push(
      () => client.stop(),
      () => server.stop(),
    );
    const listener = await server.listen([SERVER, 7001]);
    const connection = await client.connect([SERVER, 7001]);
    const [accepted] = await listener.accept();
    await accepted.send(Buffer.from('x'.repeat(5000)));
    await connection.receiveExactly(5000);
    const stranger = await server.udp([SERVER, 7002]);
    await stranger.sendTo(Buffer.from('nobody asked'), [GATEWAY_PUBLIC, 50_000]);
    topology.client.spawn(`ping -i 0.02 -s 1200 ${SERVER}`);
    browser = await Browser.start(topology.gateway);
    undo.push(() => browser.stop());
    await browser.scheme('light');
    await browser.size(1280, 900);
    await browser.open(BASE);
  });
  afterAll(async () => {
    for (const step of undo.splice(0).reverse()) await step();
  });

  const json = async (verb: string, ...words: string[]) =>
    JSON.parse((await natgate.cli(verb, [...words, '--json'])).stdout);
  const shows = (text: string) =>
    browser.until(`document.getElementById('view').innerText.includes(${JSON.stringify(text)})`);
  const shot = async (name: string) => {
    if (process.env['NATGATE_SCREENSHOTS'] !== '1') return;
    mkdirSync(SHOTS, { recursive: true });
    writeFileSync(join(SHOTS, `${name}.png`), await browser.screenshot());
  };
  const section = (name: string) => `document.querySelector('section[aria-label="${name}"]')`;
  const search = (filter: string) =>
    browser.value(
      `(() => { document.querySelector('input[name=filter]').value = ${JSON.stringify(filter)}; document.querySelector('form').requestSubmit(); })()`,
    );

  it('shows what natgate status says, and charts that move', async () => {
    await browser.until(`document.getElementById('live').textContent === 'live'`);
    await browser.until(`${section('Talkers')}.innerText.includes('${CLIENT}')`);
    const status = await json('status');
    expect(Object.keys(status.drops).length).toBeGreaterThan(0);
    for (const [reason, count] of Object.entries(status.drops)) {
      await browser.until(`/${reason}\\s+${count}(\\s|$)/.test(${section('Drops by reason')}.innerText)`);
    }
    expect(status.flows).toMatchObject({ tcp: 1, icmp: 1 });
    await browser.until(`/tcp\\s+1\\s/.test(${section('Flows by protocol')}.innerText)`);
    await browser.until(`${section('Ports in use')}.innerText.includes('${status.external}')`);
    // 50 packets of 1228 bytes a second.
    await browser.until(`/Out\\s+[4-6]\\d\\d kbit\\/s/.test(${section('Now')}.innerText)`);
    await browser.until(`${section('Destinations')}.innerText.includes('${SERVER}')`);
    expect(await browser.value(`document.querySelectorAll('.uplot canvas').length`)).toBe(2);
    await shot('overview-light');
  });

  it('is dark where the system is, until somebody chooses', async () => {
    const ground = () => browser.value<string>('getComputedStyle(document.body).backgroundColor');
    const light = await ground();
    await browser.scheme('dark');
    await browser.until(`document.documentElement.dataset.theme === 'dark'`);
    expect(await ground()).not.toBe(light);
    await shot('overview-dark');
    await browser.value(`document.getElementById('theme').click()`);
    expect(await ground()).toBe(light);
    await browser.value(`document.getElementById('theme').click()`);
    await browser.value(`document.getElementById('theme').click()`);
    await browser.scheme('light');
    await browser.until(`document.documentElement.dataset.theme === 'light'`);
  });

  it('has no scroll bar at the width of a phone', async () => {
    await browser.size(360, 740, true);
    const [flow] = await json('flows', TCP);
    for (const view of ['#/', '#/flows', `#/flow/${flow.id}`, '#/about']) {
      await browser.open(`${BASE}${view}`);
      await browser.until(`document.querySelector('section td') !== null`);
      const width = await browser.value(
        'Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)',
      );
      expect(width, view).toBeLessThanOrEqual(360);
      if (view === '#/') await shot('overview-phone');
    }
    await browser.size(1280, 900);
  });

  it('finds flows by the filter language, and says where one is wrong', async () => {
    await browser.open(`${BASE}#/flows`);
    await shows('2 flows');
    await search(TCP);
    await shows('1 flows');
    const [flow] = await json('flows', TCP);
    await shows(`tcp ${CLIENT}:${flow.original.sport}`);
    await shows(`${SERVER}:7001`);
    await shows('ESTABLISHED');
    await shot('flows-light');
    expect(browser.errors).toEqual([]);
    await search('tcp and sorce 10.0.0.1');
    const wrong = await natgate.cli('flows', ['tcp and sorce 10.0.0.1'], { check: false });
    const said = await browser
      .until(`document.querySelector('[role=alert]') !== null`)
      .then(() => browser.value<string>(`document.querySelector('[role=alert]').textContent`));
    expect(said).toContain('sorce');
    expect(wrong.stderr).toContain(said.split('\n')[0]);
    // Chromium notes the refused question in its console; there is nothing else.
    for (const error of browser.errors.splice(0)) expect(error).toMatch(/422 .*\/v1\/flows\?.*sorce/);
  });

  it('shows one flow, and ends it with the token alone', async () => {
    const [flow] = await json('flows', TCP);
    await browser.open(`${BASE}#/flow/${flow.id}`);
    await shows(`${CLIENT}:${flow.original.sport} ⇒ ${GATEWAY_PUBLIC}:${flow.reply.dport}`);
    await shows(`${SERVER}:7001, unchanged`);
    await shot('flow-light');
    const button = `document.querySelector('main form button')`;
    expect(await browser.value(`${button}.disabled`)).toBe(true);
    const enter = (token: string) =>
      browser.value(
        `(() => { const input = document.querySelector('main input'); input.value = '${token}'; input.dispatchEvent(new Event('input')); ${button}.click(); })()`,
      );
    await enter('wrong');
    await shows('the token is wrong');
    expect(await json('flows', TCP)).toHaveLength(1);
    for (const error of browser.errors.splice(0)) expect(error).toMatch(/401 .*\/v1\/flows/);
    await enter(TOKEN);
    await shows('The flow has ended.');
    expect(await json('flows', TCP)).toEqual([]);
    expect(browser.errors).toEqual([]);
  });

  it('has asked nobody but the gateway', () => {
    expect(browser.requests.length).toBeGreaterThan(10);
    const elsewhere = browser.requests.filter((url) => !url.startsWith(BASE) && url !== 'about:blank');
    expect(elsewhere).toEqual([]);
  });
});
