#!/usr/bin/env node
// The official TypeScript SDKs (v1 `@modelcontextprotocol/sdk`, v2 `@modelcontextprotocol/client`) as HTTP clients of
// mcpool, in both eras of the protocol, and a client without an SDK on its Unix socket.
//
//   node typescript_http.mjs PROGRAM EXAMPLE
//
// PROGRAM serves files and is asked what typescript_client.mjs asks over stdio; EXAMPLE, the server of the
// conformance suite, has all the rest of the protocol. At last come many clients at once. One line per check; the
// exit code is 1 if one failed. Every exchange is noted, so that a check can also say what must NOT have been sent.

import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as v1 from '@modelcontextprotocol/sdk/client/index.js';
import * as v1Http from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import * as v1Types from '@modelcontextprotocol/sdk/types.js';
import * as v2 from '@modelcontextprotocol/client';
import { startServer } from './http_server.mjs';
import { CHECKS as FILE_CHECKS, judge, makeTree, searchWith, tally, textOf, within } from './typescript_client.mjs';
import { unixSocket } from './unix_socket.mjs';

const CLIENTS = 50;
const CALLS = 20;
const INVALID_PARAMS = -32602;
const CAPABILITIES = { capabilities: { sampling: {}, elicitation: {}, roots: {} } };
const CLIENT = { name: 'interop', version: '1' };

// What a client does when the server asks it.
function valueFor({ type }) {
    return { boolean: true, integer: 7, number: 7.5, array: [] }[type] ?? 'Ann';
}
const ANSWERS = {
    'elicitation/create': ({ params }) => ({
        action: 'accept',
        content: Object.fromEntries(Object.entries(params.requestedSchema.properties).map(([name, field]) => [name, valueFor(field)])),
    }),
    'sampling/createMessage': () => ({ role: 'assistant', content: { type: 'text', text: 'Paris' }, model: 'none' }),
    'roots/list': () => ({ roots: [{ uri: 'file:///a/folder' }] }),
};
const NOTICES = ['notifications/message', 'notifications/resources/updated', 'notifications/tools/list_changed',
    'notifications/prompts/list_changed'];
const V1_SCHEMAS = {
    'elicitation/create': v1Types.ElicitRequestSchema,
    'sampling/createMessage': v1Types.CreateMessageRequestSchema,
    'roots/list': v1Types.ListRootsRequestSchema,
    'notifications/message': v1Types.LoggingMessageNotificationSchema,
    'notifications/resources/updated': v1Types.ResourceUpdatedNotificationSchema,
    'notifications/tools/list_changed': v1Types.ToolListChangedNotificationSchema,
    'notifications/prompts/list_changed': v1Types.PromptListChangedNotificationSchema,
};

// The SDKs and modes of negotiation. `call` hides the one signature that changed between v1 and v2, `named` what a
// handler is registered for.
const CONNECTIONS = [
    {
        name: 'typescript v1 http',
        era: 'legacy',
        client: () => new v1.Client(CLIENT, CAPABILITIES),
        transport: (url, options) => new v1Http.StreamableHTTPClientTransport(url, options),
        named: (method) => V1_SCHEMAS[method],
        call: (client, params, options) => client.callTool(params, undefined, options),
        revision: (client) => client.transport.protocolVersion,
        notFound: -32002,
    },
    ...[['legacy', 'legacy'], ['modern', 'auto'], ['modern', { pin: '2026-07-28' }]].map(([era, mode]) => ({
        name: `typescript v2 http ${mode.pin ?? mode}`,
        era,
        client: () => new v2.Client(CLIENT, { ...CAPABILITIES, versionNegotiation: { mode } }),
        transport: (url, options) => new v2.StreamableHTTPClientTransport(url, options),
        named: (method) => method,
        call: (client, params, options) => client.callTool(params, options),
        revision: (client) => client.getNegotiatedProtocolVersion(),
        // Also where -32002 came: to this SDK it is the same error.
        notFound: INVALID_PARAMS,
    })),
];

// One client, what it was told unasked, and what it exchanged.
class Peer {
    constructor(connection, url) {
        Object.assign(this, { connection, url, notices: [], exchanges: [] });
    }
    async connect() {
        this.client = this.connection.client();
        for (const [method, answer] of Object.entries(ANSWERS)) {
            this.client.setRequestHandler(this.connection.named(method), answer);
        }
        for (const method of NOTICES) {
            this.client.setNotificationHandler(this.connection.named(method), (notice) => void this.notices.push(notice));
        }
        this.transport = this.connection.transport(new URL(this.url), { fetch: (...asked) => this.fetch(...asked) });
        await this.client.connect(this.transport);
    }
    async fetch(url, init) {
        const exchange = { method: init?.method ?? 'GET', headers: new Headers(init?.headers), body: init?.body };
        this.exchanges.push(exchange);
        const response = await fetch(url, init);
        Object.assign(exchange, { status: response.status, session: response.headers.get('mcp-session-id') });
        return response;
    }
    tool(name, args, options) {
        return this.connection.call(this.client, { name, arguments: args }, options);
    }
    async says(name, args, options) {
        const result = await this.tool(name, args, options);
        assert.ok(!result.isError, JSON.stringify(result));
        return result.content.at(-1).text;
    }
    async until(wanted) {
        for (let i = 0; i < 500 && !this.notices.some(wanted); i++) await sleep(20);
        assert.ok(this.notices.some(wanted), 'no such notification came');
    }
    // A session is given back and then unknown; the modern era has none, and nothing but POST.
    async close() {
        const methods = () => new Set(this.exchanges.map((exchange) => exchange.method));
        const sessions = new Set(this.exchanges.map((exchange) => exchange.session).filter(Boolean));
        if (this.connection.era === 'modern') {
            await this.client.close();
            assert.deepEqual([...methods()], ['POST']);
            assert.equal(sessions.size, 0);
            return;
        }
        assert.equal(sessions.size, 1);
        await this.transport.terminateSession();
        const last = this.exchanges.at(-1);
        assert.deepEqual([last.method, Math.floor(last.status / 100)], ['DELETE', 2]);
        await this.client.close();
        const headers = {
            accept: 'application/json, text/event-stream',
            'content-type': 'application/json',
            'mcp-session-id': [...sessions][0],
        };
        const ping = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' });
        const after = await fetch(this.url, { method: 'POST', headers, body: ping });
        assert.equal(after.status, 404, 'the session outlived its end');
    }
}

const refusal = async (promise) => {
    const error = await promise.then(
        (answer) => assert.fail(`was answered: ${JSON.stringify(answer)}`),
        (error) => error,
    );
    return error.code;
};

// In this order on one connection to the example.
const EXAMPLE_CHECKS = [
    ['every kind of content comes', async ({ peer }) => {
        assert.equal(await peer.says('test_simple_text'), 'This is a simple text response for testing.');
        const mixed = await peer.tool('test_multiple_content_types');
        assert.deepEqual(mixed.content.map((block) => block.type), ['text', 'image', 'resource']);
        const { content: [sound] } = await peer.tool('test_audio_content');
        assert.equal(sound.mimeType, 'audio/wav');
        assert.equal(Buffer.from(sound.data, 'base64').toString('latin1', 0, 4), 'RIFF');
    }],
    ['failures are told apart', async ({ peer, connection }) => {
        const failed = await peer.tool('test_error_handling');
        assert.equal(failed.isError, true);
        assert.match(failed.content[0].text, /intentionally/);
        const unknown = await peer.tool('no_such_tool').catch((error) => error);
        if (unknown instanceof Error) assert.equal(unknown.code, INVALID_PARAMS);
        else assert.deepEqual([connection.era, unknown.isError], ['legacy', true]);
    }],
    ['progress comes before the answer', async ({ peer }) => {
        const seen = [];
        await peer.tool('test_tool_with_progress', {}, { onprogress: ({ progress, total }) => seen.push([progress, total]) });
        assert.deepEqual(seen, [[0, 100], [50, 100], [100, 100]]);
    }],
    ['log messages come to those who ask', async ({ peer, connection }) => {
        if (connection.era === 'legacy') await peer.client.setLoggingLevel('info');
        await peer.says('test_tool_with_logging');
        const logged = peer.notices.filter((notice) => notice.method === 'notifications/message');
        assert.equal(logged.length, connection.era === 'legacy' ? 3 : 0);
    }],
    ['the server asks in the middle of a call', async ({ peer, connection }) => {
        if (connection.era === 'modern') return 'the modern era asks in rounds';
        assert.match(await peer.says('test_sampling', { prompt: 'Capital of France?' }), /Paris/);
        assert.match(await peer.says('test_elicitation', { message: 'Who are you?' }), /"username":"Ann"/);
    }],
    ['a tool that asks serves both eras', async ({ peer }) => {
        const of = (name) => peer.says(`test_input_required_result_${name}`);
        assert.equal(await of('elicitation'), 'Hello, Ann!');
        assert.match(await of('sampling'), /Paris/);
        assert.match(await of('list_roots'), /file:\/\/\/a\/folder/);
        assert.equal(await of('request_state'), 'state-ok');
        assert.equal(await of('multiple_inputs'), 'All 3 answers are there.');
        assert.equal(await of('multi_round'), 'Both steps are done.');
    }],
    ['resources are listed and read', async ({ peer: { client }, connection }) => {
        const { resources } = await client.listResources();
        const names = ['static-text', 'static-binary', 'watched-resource'];
        assert.deepEqual(resources.map((resource) => resource.uri), names.map((name) => `test://${name}`));
        const { resourceTemplates: [template] } = await client.listResourceTemplates();
        assert.equal(template.uriTemplate, 'test://template/{id}/data');
        const { contents: [text] } = await client.readResource({ uri: 'test://static-text' });
        assert.equal(text.text, 'This is the content of the static text resource.');
        const { contents: [binary] } = await client.readResource({ uri: 'test://static-binary' });
        assert.equal(Buffer.from(binary.blob, 'base64').toString('latin1', 1, 4), 'PNG');
        assert.equal(await refusal(client.readResource({ uri: 'test://missing' })), connection.notFound);
    }],
    ['prompts are listed and made', async ({ peer: { client } }) => {
        assert.equal((await client.listPrompts()).prompts.length, 5);
        const given = { name: 'test_prompt_with_arguments', arguments: { arg1: 'é', arg2: '"' } };
        const { messages: [made] } = await client.getPrompt(given);
        assert.equal(made.content.text, `Prompt with arguments: arg1='é', arg2='"'`);
        const { messages: [asked] } = await client.getPrompt({ name: 'test_input_required_result_prompt' });
        assert.equal(asked.content.text, 'Go on with: Ann');
        assert.equal(await refusal(client.getPrompt({ name: 'no_such_prompt' })), INVALID_PARAMS);
    }],
    ['arguments are completed', async ({ peer: { client } }) => {
        const ref = { type: 'ref/prompt', name: 'test_prompt_with_arguments' };
        const { completion } = await client.complete({ ref, argument: { name: 'arg1', value: 'par' } });
        assert.deepEqual(completion.values, ['paris', 'park', 'party']);
    }],
    ['who subscribed is told of changes', async ({ peer, connection }) => {
        const uri = 'test://watched-resource';
        const isUpdate = (notice) => notice.method === 'notifications/resources/updated' && notice.params.uri === uri;
        const isChange = (notice) => notice.method === 'notifications/tools/list_changed';
        let subscription;
        if (connection.era === 'legacy') await peer.client.subscribeResource({ uri });
        else subscription = await peer.client.listen({ toolsListChanged: true, resourceSubscriptions: [uri] });
        await peer.says('test_trigger_resource_update');
        await peer.until(isUpdate);
        await peer.says('test_trigger_tool_change');
        await peer.until(isChange);
        if (subscription === undefined) {
            await peer.client.unsubscribeResource({ uri });
        } else {
            await subscription.close();
            assert.equal(await subscription.closed, 'local');
        }
        peer.notices.length = 0;
        await peer.says('test_trigger_resource_update');
        await sleep(200);
        assert.ok(!peer.notices.some(isUpdate), 'still told after unsubscribing');
    }],
    ['an answer is fetched where the stream broke', async ({ peer, connection }) => {
        if (connection.era === 'modern') return 'the modern era does not come back to a stream';
        assert.equal(await peer.says('test_reconnection'), 'The client came back for this.');
        assert.ok(peer.exchanges.some((exchange) => exchange.headers.has('last-event-id')), 'the stream was not resumed');
    }],
    ['a cancelled call ends at once', async ({ peer, connection }) => {
        const stop = new AbortController();
        const [begun, before] = [performance.now(), peer.exchanges.length];
        setTimeout(() => stop.abort(new Error('enough')), 500);
        await assert.rejects(peer.tool('slow_compute', { seconds: 30 }, { signal: stop.signal }));
        await peer.says('test_simple_text');
        assert.ok(performance.now() - begun < 15_000, 'the answer waited for the cancelled call');
        await sleep(100);
        // In the modern era the closed stream says it all.
        const told = peer.exchanges.slice(before).filter((exchange) => exchange.body?.includes('"notifications/cancelled"'));
        assert.deepEqual(told.map((exchange) => exchange.status), connection.era === 'legacy' ? [202] : []);
    }],
];

// What those of stdio look at the recorded bytes for is asked differently here.
const HTTP_FILE_CHECKS = [
    ...FILE_CHECKS,
    ['progress grows over http', async ({ tool }) => {
        const seen = [];
        await tool('search_files', searchWith(200), { onprogress: ({ progress }) => seen.push(progress) });
        assert.ok(seen.length > 0, 'no progress');
        assert.deepEqual(seen, [...new Set(seen)].sort((a, b) => a - b));
    }],
    ['a cancelled search stops', async ({ tool, server }) => {
        const stop = new AbortController();
        const onprogress = () => stop.abort(new Error('enough'));
        await assert.rejects(tool('search_files', searchWith(400), { onprogress, signal: stop.signal }));
        await tool('list_allowed_directories');
        await sleep(300);
        const ticks = cpuTicks(server.pid);
        await sleep(500);
        const worked = cpuTicks(server.pid) - ticks;
        assert.ok(worked <= 5, `the server still works: ${worked} ticks of 10 ms in 500 ms`);
        textOf(await tool('list_allowed_directories'));
    }],
];

function cpuTicks(pid) {
    const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ');
    return Number(fields[11]) + Number(fields[12]);
}

// One check, judged; what it returns is why it was skipped.
async function attempt(name, seconds, check) {
    try {
        const skipped = await within(seconds, check());
        skipped ? console.log(`skipped ${name}: ${skipped}`) : judge(name);
    } catch (error) {
        judge(name, error);
    }
}

async function run(connection, title, server, checks, root) {
    const peer = new Peer(connection, server.url);
    const name = `${connection.name}: ${title}`;
    try {
        await within(30, peer.connect());
    } catch (error) {
        judge(`${name}: connection`, error);
        return;
    }
    const tool = (name, args = {}, options = undefined) => peer.tool(name, args, options);
    const given = { peer, client: peer.client, connection, tool, root, server, wire: undefined, has: () => false };
    for (const [about, check] of checks) {
        peer.notices.length = 0;
        await attempt(`${name}: ${about}`, 120, () => check(given));
    }
    await attempt(`${name}: it closes`, 30, () => peer.close());
}

// Each client's files have contents of their own, so that an answer to another client's call shows.
async function many(connection, server, root) {
    const peers = Array.from({ length: CLIENTS }, () => new Peer(connection, server.url));
    await Promise.all(peers.map((peer) => peer.connect()));
    await Promise.all(peers.map(async (peer, client) => {
        const name = `client${client}.txt`;
        for (let call = 0; call < CALLS / 2; call++) {
            const content = `call ${call} of ${connection.name} client ${client}\n`.repeat(1 + 40 * (call % 3));
            textOf(await peer.tool('write_file', { path: path.join(root, name), content }));
            assert.equal(textOf(await peer.tool('read_text_file', { path: name })), content);
        }
    }));
    await Promise.all(peers.map((peer) => peer.close()));
}

const [program, example] = process.argv.slice(2);
if (example === undefined) {
    console.error('usage: typescript_http.mjs PROGRAM EXAMPLE');
    process.exit(2);
}
const base = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'mcpool-interop-')));
const root = path.join(base, 'files');
fs.mkdirSync(root);
makeTree(root);
const socket = path.join(base, 'mcpool.sock');
const served = await startServer([program, 'serve', '--http', '127.0.0.1:0', '--unix', socket, root]);
const fixtures = await startServer([example, '127.0.0.1:0']);
for (const connection of CONNECTIONS) {
    await run(connection, 'files', served, HTTP_FILE_CHECKS, root);
    await run(connection, 'example', fixtures, EXAMPLE_CHECKS, root);
}
for (const connection of CONNECTIONS) {
    const name = `${connection.name}: ${CLIENTS} clients at once, ${CALLS} calls each`;
    await attempt(name, 180, () => many(connection, served, root));
}
for (const [about, check] of unixSocket(socket, root)) await attempt(`unix socket: ${about}`, 30, check);
await attempt('typescript http: both servers ran to their ends', 60, async () => {
    assert.deepEqual([...(await served.stop()), ...(await fixtures.stop())], []);
    assert.ok(!fs.existsSync(socket), 'the socket is left behind');
});
fs.rmSync(base, { recursive: true });
console.log(`${tally.passed} passed, ${tally.failed} failed`);
process.exit(tally.failed === 0 ? 0 : 1);
