#!/usr/bin/env node
// The official TypeScript SDKs (v1 `@modelcontextprotocol/sdk`, v2 `@modelcontextprotocol/client`) as clients of each
// toolset of toolsets.json, over stdio and HTTP, in both eras of the protocol.
//
//   node typescript_toolsets.mjs PROGRAM
//
// Each connection has a server, a repository and a graph of its own. The SDKs hold each structured answer against the
// schema of its tool. One line for each connection; the exit code is 1 if one failed.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import * as v1 from '@modelcontextprotocol/sdk/client/index.js';
import * as v1Http from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import * as v1Stdio from '@modelcontextprotocol/sdk/client/stdio.js';
import * as v2 from '@modelcontextprotocol/client';
import * as v2Stdio from '@modelcontextprotocol/client/stdio';
import { startServer } from './http_server.mjs';
import { judge, tally, within } from './typescript_client.mjs';

const CLIENT = { name: 'interop', version: '1' };
const WHO = {
    GIT_AUTHOR_NAME: 'Ann', GIT_AUTHOR_EMAIL: 'a@example.org', GIT_COMMITTER_NAME: 'Ann', GIT_COMMITTER_EMAIL: 'a@example.org',
};
const WORDS = 'Some words, and a few more words, so that there is a main part, which is found in this page. ';
const PAGES = {
    '/article': ['text/html', `<html><body><article><p>${WORDS.repeat(6)}</p></article></body></html>`],
    '/text': ['text/plain; charset=utf-8', 'plain text é'],
};

// `call` hides the one signature that changed between v1 and v2.
const CONNECTIONS = [
    {
        name: 'typescript v1',
        client: () => new v1.Client(CLIENT),
        stdio: (server) => new v1Stdio.StdioClientTransport(server),
        http: (url) => new v1Http.StreamableHTTPClientTransport(url),
    },
    ...['legacy', 'auto', { pin: '2026-07-28' }].map((mode) => ({
        name: `typescript v2 ${mode.pin ?? mode}`,
        revision: mode === 'legacy' ? '2025-11-25' : '2026-07-28',
        client: () => new v2.Client(CLIENT, { versionNegotiation: { mode } }),
        stdio: (server) => new v2Stdio.StdioClientTransport(server),
        http: (url) => new v2.StreamableHTTPClientTransport(url),
    })),
];

function makeRepository(repository, env) {
    fs.mkdirSync(repository);
    fs.writeFileSync(path.join(repository, 'first.txt'), 'first\n');
    for (const args of [['init', '-q'], ['add', '-A'], ['commit', '-q', '-m', 'first']]) {
        execFileSync('git', args, { cwd: repository, env });
    }
    fs.writeFileSync(path.join(repository, 'new.txt'), 'a new line\n');
}

async function check(client, toolset, { revision }, filled) {
    if (revision) assert.equal(client.getNegotiatedProtocolVersion(), revision);
    const { tools } = await client.listTools();
    assert.deepEqual(tools.map((tool) => tool.name), toolset.tools);
    for (const [name, args, wanted, fails = false] of toolset.calls) {
        const result = await client.callTool({ name, arguments: JSON.parse(filled(JSON.stringify(args))) });
        assert.equal(result.isError ?? false, fails, JSON.stringify(result));
        assert.equal(result.content.length, 1);
        assert.match(result.content[0].text, new RegExp(filled(wanted), 'su'), name);
        const isStructured = toolset.isStructured === true || (toolset.isStructured || []).includes(name);
        if (!fails) assert.equal(result.structuredContent !== undefined, isStructured, name);
    }
    if (toolset.prompts) {
        const { prompts } = await client.listPrompts();
        const names = [...toolset.prompts.map(([name]) => name), ...(toolset.otherPrompts ?? [])];
        assert.deepEqual(prompts.map((prompt) => prompt.name), names);
        for (const [name, args, text] of toolset.prompts) {
            const { messages } = await client.getPrompt({ name, arguments: JSON.parse(filled(JSON.stringify(args))) });
            assert.deepEqual([messages.length, messages[0].role], [1, 'user']);
            assert.match(messages[0].content.text, new RegExp(text, 'su'));
        }
    }
    if (toolset.resources) {
        const { resources } = await client.listResources();
        assert.deepEqual(resources.map((resource) => resource.uri), toolset.resources.map(([uri]) => filled(uri)));
        for (const [uri, text] of toolset.resources) {
            const { contents } = await client.readResource({ uri: filled(uri) });
            assert.match(contents[0].text, new RegExp(text, 'su'));
        }
    }
}

const TRANSPORTS = {
    async stdio(connection, command, env, checks) {
        const client = connection.client();
        await client.connect(connection.stdio({ command: command[0], args: command.slice(1), env }));
        try {
            await checks(client);
        } finally {
            await client.close();
        }
    },
    async http(connection, command, env, checks) {
        const server = await startServer([...command, '--http', '127.0.0.1:0'], { env });
        try {
            const client = connection.client();
            await client.connect(connection.http(new URL(server.url)));
            await checks(client);
            await client.close();
        } finally {
            const problems = await server.stop();
            assert.deepEqual(problems, []);
        }
    },
};

async function main(program) {
    const toolsets = JSON.parse(fs.readFileSync(path.join(import.meta.dirname, 'toolsets.json'), 'utf8'));
    const site = http.createServer(({ url }, answer) => {
        const [type, body] = PAGES[url] ?? [];
        answer.writeHead(body === undefined ? 404 : 200, { 'content-type': type ?? 'text/plain' }).end(body ?? 'not here');
    });
    await new Promise((resolve) => site.listen(0, '127.0.0.1', resolve));
    const siteUrl = `http://127.0.0.1:${site.address().port}`;
    for (const [name, toolset] of Object.entries(toolsets)) {
        for (const [transport, connect] of Object.entries(TRANSPORTS)) {
            for (const connection of CONNECTIONS) {
                const base = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'mcpool-toolsets-')));
                const env = { ...process.env, ...WHO, HOME: base, MEMORY_FILE_PATH: path.join(base, 'memory.jsonl') };
                const repository = path.join(base, 'repository');
                makeRepository(repository, env);
                const filled = (text) => text.replaceAll('REPO', repository).replaceAll('SITE', siteUrl);
                const command = [program, 'serve', '--tools', name, ...(toolset.options ?? []).map(filled)];
                const title = `${connection.name} over ${transport}: ${name}`;
                try {
                    await within(120, connect(connection, command, env, (client) => check(client, toolset, connection, filled)));
                    judge(title);
                } catch (error) {
                    judge(title, error);
                }
                fs.rmSync(base, { recursive: true });
            }
        }
    }
    console.log(`${tally.passed} passed, ${tally.failed} failed`);
    process.exit(tally.failed === 0 ? 0 : 1);
}

if (process.argv.length !== 3) {
    console.error('usage: typescript_toolsets.mjs PROGRAM');
    process.exit(2);
}
await main(process.argv[2]);
