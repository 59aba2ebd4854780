#!/usr/bin/env node
// The official TypeScript SDKs (v1 `@modelcontextprotocol/sdk`, v2 `@modelcontextprotocol/client`) as clients of a
// filesystem server, over stdio, in both eras of the protocol.
//
//   node typescript_client.mjs [--without=modern,progress,stop] COMMAND [ARGUMENT...]
//
// A fresh directory is appended to the command; --without leaves out what a server does not have. One line per
// check; the exit code is 1 if one failed. What went over the wire is recorded by wiretap.sh, so that a check can
// also say what must NOT have been sent.

import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as v1 from '@modelcontextprotocol/sdk/client/index.js';
import * as v1Stdio from '@modelcontextprotocol/sdk/client/stdio.js';
import * as v2 from '@modelcontextprotocol/client';
import * as v2Stdio from '@modelcontextprotocol/client/stdio';

const TOOLS = `create_directory directory_tree edit_file get_file_info list_allowed_directories list_directory
    list_directory_with_sizes move_file read_file read_media_file read_multiple_files read_text_file search_content
    search_files write_file`.split(/\s+/);
const TEXT = 'first "line"\\ with é漢😀\nsecond\tline\n\u2028last';
const PNG = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, ...Array(256).keys()]);
const INVALID_PARAMS = -32602;

// A search takes as long as it is asked to: each of the entries is held against each of the exclusions.
// More than some 500 of them are refused (max_pattern_bytes).
const LONG_TREE = { directories: 20, files: 500 };
export const searchWith = (exclusions) => ({
    path: 'long',
    pattern: '**/never',
    excludePatterns: Array.from({ length: exclusions }, (_, i) => `**/x*y${i}*[a-f]?z`),
});

// The SDKs and modes of negotiation. `call` hides the one signature that changed between v1 and v2.
const CONNECTIONS = [
    {
        name: 'typescript v1',
        era: 'legacy',
        connect: (server) => connectWith(new v1.Client({ name: 'interop', version: '1' }), new v1Stdio.StdioClientTransport(server)),
        call: (client, params, options) => client.callTool(params, undefined, options),
        // v1 keeps the revision to itself.
        revision: async (client, wire) => {
            await client.ping();
            return wire.messages('received').find((message) => message.result?.protocolVersion)?.result.protocolVersion;
        },
    },
    ...[['legacy', 'legacy'], ['modern', 'auto'], ['modern', { pin: '2026-07-28' }]].map(([era, mode]) => ({
        name: `typescript v2 ${mode.pin ?? mode}`,
        era,
        connect: (server) =>
            connectWith(
                new v2.Client({ name: 'interop', version: '1' }, { versionNegotiation: { mode } }),
                new v2Stdio.StdioClientTransport(server),
            ),
        call: (client, params, options) => client.callTool(params, options),
        revision: (client) => client.getNegotiatedProtocolVersion(),
    })),
];

async function connectWith(client, transport) {
    await client.connect(transport);
    return client;
}

// What was recorded of one connection. `tee` writes to the file last, so a message is surely in it once a later
// answer has come: `settle` makes one come.
class Wire {
    constructor(record) {
        this.record = record;
    }
    /** Those whose lines have come whole: tee writes a long one in pieces. */
    messages(name) {
        const lines = fs.readFileSync(path.join(this.record, name), 'utf8').split('\n').slice(0, -1);
        return lines.filter((line) => line !== '').map((line) => JSON.parse(line));
    }
    sent(method, tool) {
        const named = (message) => tool === undefined || message.params?.name === tool;
        return this.messages('sent').filter((message) => message.method === method && named(message));
    }
    cpuTicks() {
        const pid = fs.readFileSync(path.join(this.record, 'pid'), 'utf8').trim();
        const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ');
        return Number(fields[11]) + Number(fields[12]);
    }
}

export function textOf(result) {
    assert.ok(!result.isError, JSON.stringify(result));
    assert.deepEqual(result.structuredContent, { content: result.content[0].text });
    return result.content[0].text;
}

const settle = (tool) => tool('list_allowed_directories');

// In this order on one connection; `only` names the era.
export const CHECKS = [
    ['the era is agreed on', async ({ client, wire, connection }) => {
        const expected = connection.era === 'modern' ? '2026-07-28' : '2025-11-25';
        assert.equal(await connection.revision(client, wire), expected);
        assert.ok(client.getServerCapabilities()?.tools, 'no tools capability');
        assert.ok(client.getServerVersion()?.name, 'the server has no name');
    }],
    ['tools are listed', async ({ client }) => {
        const { tools, nextCursor } = await client.listTools();
        assert.deepEqual(tools.map((tool) => tool.name).sort(), TOOLS);
        for (const tool of tools) {
            assert.equal(tool.inputSchema.type, 'object');
            assert.equal(tool.outputSchema.type, 'object');
            assert.ok(tool.description && tool.annotations, tool.name);
        }
        assert.equal(nextCursor, undefined);
    }],
    ['what was written is read', async ({ tool, root }) => {
        textOf(await tool('write_file', { path: path.join(root, 'new.txt'), content: TEXT }));
        assert.equal(fs.readFileSync(path.join(root, 'new.txt'), 'utf8'), TEXT);
        assert.equal(textOf(await tool('read_text_file', { path: 'new.txt' })), TEXT);
        assert.equal(textOf(await tool('read_text_file', { path: 'new.txt', head: 1 })), TEXT.split('\n')[0]);
    }],
    ['an edit answers with its diff', async ({ tool, root }) => {
        const diff = textOf(await tool('edit_file', { path: 'new.txt', edits: [{ oldText: 'second', newText: '2nd' }] }));
        assert.match(diff, /-second\tline/);
        assert.match(diff, /\+2nd\tline/);
        assert.equal(fs.readFileSync(path.join(root, 'new.txt'), 'utf8'), TEXT.replace('second', '2nd'));
    }],
    ['an image comes as an image', async ({ tool }) => {
        const { content: [block] } = await tool('read_media_file', { path: 'dot.png' });
        assert.deepEqual([block.type, block.mimeType], ['image', 'image/png']);
        assert.ok(Buffer.from(block.data, 'base64').equals(PNG));
    }],
    ['a failure of a tool is a result', async ({ tool }) => {
        const result = await tool('read_text_file', { path: 'missing.txt' });
        assert.equal(result.isError, true);
        assert.match(result.content[0].text, /ENOENT/);
        assert.equal(result.structuredContent, undefined);
    }],
    ['wrong arguments are a result that says why', async ({ tool }) => {
        const result = await tool('read_text_file', { path: 7 });
        assert.equal(result.isError, true);
        assert.match(result.content[0].text, /Invalid arguments for tool read_text_file/);
    }],
    ['an unknown tool is refused', async ({ tool, connection }) => {
        const answer = await tool('no_such_tool', {}).catch((error) => error);
        if (answer instanceof Error) {
            assert.equal(answer.code, INVALID_PARAMS);
            assert.match(answer.message, /no_such_tool/);
        } else {
            assert.equal(connection.era, 'legacy');
            assert.equal(answer.isError, true);
            assert.match(answer.content[0].text, /no_such_tool/);
        }
    }],
    ['calls run side by side', async ({ tool, root }) => {
        const names = Array.from({ length: 60 }, (_, i) => `part${i}.txt`);
        names.forEach((name) => fs.writeFileSync(path.join(root, name), `this is ${name}`));
        const texts = await Promise.all(names.map(async (name) => textOf(await tool('read_text_file', { path: name }))));
        assert.deepEqual(texts, names.map((name) => `this is ${name}`));
    }],
    ['a mebibyte goes both ways', async ({ tool, root }) => {
        const text = 'a line of "text" \\ é\n'.repeat(50_000);
        await tool('write_file', { path: 'large.txt', content: text });
        assert.equal(fs.readFileSync(path.join(root, 'large.txt'), 'utf8'), text);
        assert.equal(textOf(await tool('read_text_file', { path: 'large.txt' })), text);
    }],
    ['ping is answered', async ({ client, connection }) => {
        if (connection.era === 'modern') return 'the modern era has no ping';
        await client.ping();
    }],
    ['the log level can be set', async ({ client, connection }) => {
        if (connection.era === 'modern') return 'the modern era has no level of its own';
        if (!client.getServerCapabilities().logging) return 'the server does not log to clients';
        await client.setLoggingLevel('warning');
    }],
    ['progress grows', async ({ tool, wire, has }) => {
        if (!has('progress')) return 'left out';
        const seen = [];
        // Not too short: these SDKs drop progress that comes in one read with the answer.
        await tool('search_files', searchWith(200), { onprogress: ({ progress }) => seen.push(progress) });
        assert.ok(seen.length > 0, 'no progress');
        assert.deepEqual(seen, [...new Set(seen)].sort((a, b) => a - b));
        await settle(tool);
        const { id } = wire.sent('tools/call', 'search_files').at(-1);
        const received = wire.messages('received');
        const behind = received.slice(received.findIndex((message) => message.id === id));
        assert.deepEqual(behind.filter((message) => message.method === 'notifications/progress'), []);
    }],
    ['a cancelled call is not answered and stops', async ({ tool, wire, has }) => {
        if (!has('stop')) return 'left out';
        const stop = new AbortController();
        const onprogress = () => stop.abort(new Error('enough'));
        await assert.rejects(tool('search_files', searchWith(400), { onprogress, signal: stop.signal }));
        await settle(tool);
        await sleep(200);
        const { id } = wire.sent('tools/call', 'search_files').at(-1);
        assert.equal(wire.sent('notifications/cancelled').at(-1)?.params.requestId, id);
        const [received, ticks] = [wire.messages('received'), wire.cpuTicks()];
        await sleep(500);
        assert.equal(received.filter((message) => message.id === id).length, 0, 'a cancelled request was answered');
        assert.equal(wire.messages('received').length, received.length, 'the server still sends');
        const worked = wire.cpuTicks() - ticks;
        assert.ok(worked <= 5, `the server still works: ${worked} ticks of 10 ms in 500 ms`);
        textOf(await settle(tool));
    }],
];

export const tally = { passed: 0, failed: 0 };

export function judge(name, failure) {
    if (failure === undefined) {
        tally.passed += 1;
        console.log(`ok      ${name}`);
    } else {
        tally.failed += 1;
        console.log(`FAILED  ${name}\n        ${String(failure?.stack ?? failure).replaceAll('\n', '\n        ')}`);
    }
}

export function makeTree(root) {
    fs.writeFileSync(path.join(root, 'dot.png'), PNG);
    for (let i = 0; i < LONG_TREE.directories; i++) {
        const directory = path.join(root, 'long', `directory${i}`);
        fs.mkdirSync(directory, { recursive: true });
        for (let j = 0; j < LONG_TREE.files; j++) fs.writeFileSync(path.join(directory, `file${j}`), '');
    }
}

export function within(seconds, promise) {
    const late = sleep(seconds * 1000, undefined, { ref: false }).then(() => {
        throw new Error(`no end after ${seconds} s`);
    });
    return Promise.race([promise, late]);
}

async function run(connection, command, root, has) {
    const record = fs.mkdtempSync(path.join(root, '..', 'record-'));
    const wire = new Wire(record);
    const args = [record, ...command, root];
    const server = { command: path.join(import.meta.dirname, 'wiretap.sh'), args, env: process.env };
    try {
        const client = await within(30, connection.connect(server));
        const tool = (name, args = {}, options = undefined) => connection.call(client, { name, arguments: args }, options);
        for (const [title, check] of CHECKS) {
            const name = `${connection.name}: ${title}`;
            try {
                const skipped = await within(60, check({ client, wire, connection, tool, root, has }));
                skipped ? console.log(`skipped ${name}: ${skipped}`) : judge(name);
            } catch (error) {
                judge(name, error);
            }
        }
        await client.close();
    } catch (error) {
        judge(`${connection.name}: connection`, error);
    }
    const end = `${connection.name}: the server ends by itself when stdin closes, and wrote nothing but JSON-RPC`;
    try {
        // The SDKs close stdin and wait two seconds before they send a signal: without one, `exit` is written.
        const codes = fs.readFileSync(path.join(record, 'exit'), 'utf8').split('\n').filter(Boolean);
        assert.ok(codes.length > 0 && codes.every((code) => code === '0'), `exit codes ${codes}`);
        assert.ok(fs.readFileSync(path.join(record, 'received'), 'utf8').endsWith('\n'), 'the last line is not whole');
        assert.ok(wire.messages('received').every((message) => message.jsonrpc === '2.0'));
        judge(end);
    } catch (error) {
        judge(end, `${error}\n${fs.readFileSync(path.join(record, 'stderr'), 'utf8').slice(-2000)}`);
    }
}

async function main() {
    const command = process.argv.slice(2);
    const without = new Set();
    while (command[0]?.startsWith('--without=')) {
        command.shift().slice('--without='.length).split(',').forEach((feature) => without.add(feature));
    }
    if (command.length === 0) {
        console.error('usage: typescript_client.mjs [--without=modern,progress,stop] COMMAND [ARGUMENT...]');
        process.exit(2);
    }
    const base = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'mcpool-interop-')));
    const root = path.join(base, 'files');
    fs.mkdirSync(root);
    makeTree(root);
    for (const connection of CONNECTIONS) {
        if (connection.era === 'modern' && without.has('modern')) continue;
        await run(connection, command, root, (feature) => !without.has(feature));
    }
    fs.rmSync(base, { recursive: true });
    console.log(`${tally.passed} passed, ${tally.failed} failed`);
    process.exit(tally.failed === 0 ? 0 : 1);
}

if (fs.realpathSync(process.argv[1]) === import.meta.filename) await main();
