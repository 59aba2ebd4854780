// The page of `mcpool report --html` in a real browser: light and dark, wide and narrow.
//
//   CHROMIUM=/usr/bin/chromium node report_page.mjs <mcpool> <folder for screenshots>
//
// The page is made from a server that has served calls. Fails on anything the page says to the console, on any
// request, on a document wider than the screen, on figures that are no numbers, and on text that is hard to read.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import puppeteer from 'puppeteer-core';

const run = promisify(execFile);
const META = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'page', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {},
};
const SECTIONS = ['glance', 'clients', 'calls', 'latencies', 'legend', 'timeline', 'ledger', 'pools', 'advice', 'pressure', 'connections', 'sessions', 'tools', 'applied', 'settings'];
const [program, screenshots] = process.argv.slice(2);

const folder = mkdtempSync(path.join(os.tmpdir(), 'mcpool-page-'));
const socket = path.join(folder, 'mcp.sock');
const admin = `unix:${path.join(folder, 'admin.sock')}`;
const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });

async function until(what, holds) {
    for (let tries = 0; tries < 300; tries += 1) {
        if (await holds()) return;
        await sleep(100);
    }
    assert.fail(`${what} did not happen within 30 s`);
}

function call(id, name, args) {
    const body = JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params: { name, arguments: args, _meta: META } });
    const headers = {
        accept: 'application/json, text/event-stream',
        'content-type': 'application/json',
        'mcp-protocol-version': '2026-07-28',
        'mcp-method': 'tools/call',
        'mcp-name': name,
    };
    return new Promise((resolve, reject) => {
        const request = http.request({ agent, socketPath: socket, path: '/mcp', method: 'POST', headers }, (response) => {
            response.resume().on('end', () => resolve(response.statusCode)).on('error', reject);
        });
        request.on('error', reject).end(body);
    });
}

// A page of a server that was used, and the report it was made from.
async function realPage() {
    const files = path.join(folder, 'files');
    mkdirSync(files);
    writeFileSync(path.join(files, 'long.txt'), 'a line of text\n'.repeat(20_000));
    const server = spawn(program, ['serve', '--unix', socket, '--admin', admin, files], { stdio: ['ignore', 'ignore', 'inherit'] });
    const ended = once(server, 'exit');
    try {
        const saved = path.join(folder, 'report.json');
        await until('the server listens', () => existsSync(socket) && existsSync(admin.slice(5)));
        let id = 0;
        let report;
        await until('the timeline has three points', async () => {
            const round = Array.from({ length: 40 }, () => call((id += 1), 'read_text_file', { path: path.join(files, 'long.txt'), head: 1 + (id % 900) }));
            assert.ok((await Promise.all(round)).every((status) => status === 200));
            const { stdout } = await run(program, ['report', admin, '--json'], { maxBuffer: 1 << 26 });
            report = JSON.parse(stdout);
            writeFileSync(saved, stdout);
            return report.timeline.length >= 3 && report.pools.some((pool) => pool.curve.length > 0);
        });
        const live = path.join(folder, 'live.html');
        const { stderr } = await run(program, ['report', admin, '--html', live]);
        assert.equal(stderr, `${live}\n`);
        const page = path.join(folder, 'page.html');
        await run(program, ['report', saved, '--html', page]);
        return { page, live, report, ...(await fullPage(report)) };
    } finally {
        agent.destroy();
        server.kill('SIGTERM');
        await ended;
    }
}

// The same with something in every place, under names that would be markup if they could.
async function fullPage(report) {
    const hostile = '"><img src=x onerror=alert(1)></script><script>alert(2)</script>';
    const full = structuredClone(report);
    const names = Array.from({ length: 10 }, (_, at) => `${hostile.repeat(at % 2)} part ${at}`);
    full.timeline = Array.from({ length: 120 }, (_, at) => ({ at_ms: at * 60_000, rss_bytes: 20_000_000 + (at % 9) * 400_000, parts: names.map((name, part) => [name, (10 - part) * (150_000 + (at % 5) * 9_000)]) }));
    full.pressure = { ...full.pressure, level: 'critical', limit_bytes: 30_000_000, limit_source: 'cgroup', entered: [3, 2, 1], refused: 12 };
    full.hotspots = {
        connections: Array.from({ length: 10 }, (_, number) => ({ number, peer: number % 2 ? hostile : '127.0.0.1:40123', bytes: 1 << (20 - number), queued_bytes: 4096, stalled_ms: number * 1000 })),
        sessions: [{ number: 5, bytes: 70_000, idle_ms: 90_000_000 }],
        tools: [{ name: hostile, calls: 1_234_567, two_pass: 17, reply_bytes: 3_000_000_000, max_reply_bytes: 2_000_000, max_arena_bytes: 300_000, oversized_arenas: 1 }],
        connection_buckets: [[4096, 900], [65_536, 70], [1_048_576, 3]],
    };
    full.server.name = hostile;
    for (const pool of full.pools) pool.curve = pool.curve.length ? Array.from({ length: 13 }, (_, power) => ({ capacity: 2 ** power, hit_ratio: 1 - 0.5 ** (power + 1), bytes: 640_000 * 2 ** power })) : [];
    const [saved, page] = ['full.json', 'full.html'].map((name) => path.join(folder, name));
    writeFileSync(saved, JSON.stringify(full));
    await run(program, ['report', saved, '--html', page]);
    return { full: { page, report: full } };
}

// What stands on the page. Runs in the browser.
function look(sections) {
    const numbers = /-?\d+(?:\.\d+)?/g;
    const faults = [];
    for (const id of sections) {
        const heading = document.querySelector(`section#${id} > h2`);
        if (!heading?.textContent.trim()) faults.push(`no section ${id}`);
    }
    for (const shape of document.querySelectorAll('svg *')) {
        for (const { name, value } of shape.attributes) {
            if (/NaN|Infinity|undefined/.test(value)) faults.push(`${shape.tagName} ${name}=${value}`);
        }
    }
    for (const shape of document.querySelectorAll('svg path')) {
        const found = shape.getAttribute('d').match(numbers) ?? [];
        if (found.length < 2 || !found.every((number) => Number.isFinite(Number(number)))) faults.push(`a path without numbers`);
    }
    // Text of a chart must not leave it, nor cover another.
    for (const svg of document.querySelectorAll('svg')) {
        const frame = svg.getBoundingClientRect();
        if (frame.width === 0) continue;
        const boxes = [...svg.querySelectorAll('text')].map((text) => [text.textContent, text.getBoundingClientRect()]);
        for (const [words, box] of boxes) {
            if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1) faults.push(`"${words}" leaves its chart`);
        }
        boxes.forEach(([words, a], at) => {
            for (const [others, b] of boxes.slice(at + 1)) {
                const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
                const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
                if (across > 1 && down > 4) faults.push(`"${words}" covers "${others}"`);
            }
        });
        if (!svg.querySelector('title')?.textContent) faults.push('a chart without a title');
    }
    const parse = (color) => color.match(/[\d.]+/g).map(Number);
    const luminance = (color) => {
        const [r, g, b] = color.slice(0, 3).map((part) => (part / 255 <= 0.03928 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const color = parse(getComputedStyle(at).backgroundColor);
            if (color.length < 4 || color[3] === 1) return color;
        }
        return [255, 255, 255];
    };
    let worst = { ratio: 21 };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = texts.nextNode(); node; node = texts.nextNode()) {
        const element = node.parentElement;
        if (!node.data.trim() || element.closest('script, title, desc') || !element.getClientRects().length) continue;
        const style = getComputedStyle(element);
        const ink = luminance(parse(element.closest('svg') ? style.fill : style.color));
        const ground = luminance(behind(element));
        const ratio = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
        if (ratio < worst.ratio) worst = { ratio, text: node.data.trim().slice(0, 40) };
    }
    if (worst.ratio < 4.5) faults.push(`contrast ${worst.ratio.toFixed(2)} of "${worst.text}"`);
    const { scrollWidth, clientWidth } = document.documentElement;
    if (scrollWidth > clientWidth) faults.push(`${scrollWidth} px wide on a screen of ${clientWidth}`);
    const curves = [...document.querySelectorAll('figure[data-pool]')].map((figure) => [figure.dataset.pool, figure.querySelectorAll('circle.point').length]);
    return { faults, curves, worst, report: document.getElementById('report').textContent, ground: getComputedStyle(document.body).backgroundColor };
}

async function check(browser, name, { page: file, report }, theme, width) {
    const page = await browser.newPage();
    const faults = [];
    page.on('console', (message) => faults.push(`console: ${message.text()}`));
    page.on('pageerror', (error) => faults.push(`error: ${error.message}`));
    const address = pathToFileURL(file).href;
    page.on('request', (request) => request.url() === address || faults.push(`request: ${request.url()}`));
    await page.setViewport({ width, height: 900 });
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: theme }]);
    await page.goto(address, { waitUntil: 'load' });
    if (screenshots) await page.screenshot({ path: path.join(screenshots, `${name}-${theme}-${width}.png`), fullPage: true });
    const seen = await page.evaluate(look, SECTIONS);
    faults.push(...seen.faults);
    assert.deepEqual(faults, [], `${name}, ${theme}, ${width} px`);
    assert.deepEqual(JSON.parse(seen.report), report);
    const used = report.pools.filter((pool) => pool.hits + pool.misses + pool.in_use + pool.idle + pool.owned_bytes > 0);
    assert.deepEqual(seen.curves, used.map((pool) => [pool.name, pool.curve.length]));
    // The first key press leads to the way past the links.
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
    await page.close();
    console.log(`ok ${name}, ${theme}, ${width} px: least contrast ${seen.worst.ratio.toFixed(1)}`);
    return seen.ground;
}

let browser;
try {
    const made = await realPage();
    if (screenshots) mkdirSync(screenshots, { recursive: true });
    browser = await puppeteer.launch({
        executablePath: process.env.CHROMIUM,
        // Containers have no sandbox to give; the page is our own.
        args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
    });
    const grounds = [];
    for (const theme of ['light', 'dark']) {
        for (const width of [1280, 390]) {
            grounds.push(await check(browser, 'real', made, theme, width));
            await check(browser, 'full', made.full, theme, width);
        }
    }
    assert.equal(new Set(grounds).size, 2, 'light and dark look the same');
    const live = await browser.newPage();
    await live.goto(pathToFileURL(made.live).href);
    assert.equal(await live.$eval('#report', (element) => JSON.parse(element.textContent).schema), made.report.schema);
} finally {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
}
