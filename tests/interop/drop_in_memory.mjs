#!/usr/bin/env node
// Is a server a drop-in for the official memory server? Both are given the same calls on files of the same content;
// answers, lists, notifications and the graphs in the files afterwards must be the same, and each must read the file that
// the other has written.
//
//   node drop_in_memory.mjs [--verbose] [--record FILE] COMMAND [ARGUMENT...]
//   for instance: node drop_in_memory.mjs target/release/mcpool serve --tools memory
//
// The file is named by MEMORY_FILE_PATH. Differences that are meant stand in drop_in/memory_allowed.json with a reason
// each; one that no longer occurs fails too. `--record` writes what the reference answers, which
// tests/fixtures/reference/memory/calls.json is.

import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { rows } from './drop_in/memory_rows.mjs';

const MODULES = process.env.INTEROP_MODULES ?? path.join(import.meta.dirname, 'node_modules');
const REFERENCE = ['node', path.join(MODULES, '@modelcontextprotocol/server-memory/dist/index.js')];
const REVISION = '2025-11-25';
const ANSWER_WITHIN_MS = 60_000;
const URI = 'memory://knowledge-graph';

class Server {
    constructor(command, directory) {
        fs.mkdirSync(directory, { recursive: true });
        this.file = path.join(directory, 'memory.jsonl');
        this.pending = new Map();
        this.lastId = 0;
        this.notes = [];
        const env = { ...process.env, MEMORY_FILE_PATH: this.file };
        this.child = spawn(command[0], command.slice(1), { env, stdio: ['pipe', 'pipe', 'ignore'] });
        this.ended = new Promise((resolve) => this.child.on('exit', (code, signal) => resolve(code ?? signal)));
        this.ended.then((code) => this.pending.forEach((resolve) => resolve({ ended: code })));
        this.child.stdin.on('error', () => {});
        let partial = '';
        this.child.stdout.setEncoding('utf8').on('data', (chunk) => {
            const lines = (partial + chunk).split('\n');
            partial = lines.pop();
            lines.forEach((line) => this.receive(JSON.parse(line)));
        });
    }
    receive({ id, method, params, ...answer }) {
        if (method !== undefined) return void this.notes.push({ method, params });
        delete answer.jsonrpc;
        this.pending.get(id)?.(answer);
        this.pending.delete(id);
    }
    send(message) {
        this.child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
    }
    request(method, params) {
        const id = ++this.lastId;
        return new Promise((resolve) => {
            const timer = setTimeout(() => resolve({ late: true }), ANSWER_WITHIN_MS);
            this.pending.set(id, (answer) => (clearTimeout(timer), resolve(answer)));
            this.send({ id, method, params });
        });
    }
    async start() {
        const clientInfo = { name: 'drop_in_memory', version: '1' };
        const answer = await this.request('initialize', { protocolVersion: REVISION, capabilities: {}, clientInfo });
        if (!answer.result) throw new Error(`${this.child.spawnargs.join(' ')} does not start: ${JSON.stringify(answer)}`);
        this.send({ method: 'notifications/initialized' });
        await this.request('resources/subscribe', { uri: URI });
        return answer.result.capabilities;
    }
    // An answer, and what came before it and right behind it.
    async call(tool, args) {
        const answer = await this.request('tools/call', { name: tool, arguments: args });
        await this.request('ping');
        const updated = this.notes.splice(0).filter(({ method }) => method === 'notifications/resources/updated');
        return JSON.parse(JSON.stringify({ ...answer, updated: updated.map(({ params }) => params.uri) }).replaceAll(this.file, 'FILE'));
    }
    // Reads the file, of whose change a server may tell its subscribers.
    async notice() {
        await this.call('read_graph', {});
    }
    write(content) {
        if (content === null) return fs.rmSync(this.file, { force: true });
        fs.writeFileSync(`${this.file}.new`, content);
        fs.renameSync(`${this.file}.new`, this.file);
    }
    // What is in the file: lines that are there, and the graph.
    graph() {
        if (!fs.existsSync(this.file)) return null;
        const lines = fs.readFileSync(this.file, 'utf8').split('\n').filter((line) => line.trim() !== '');
        const of = (type) => lines.filter((line) => line.startsWith(`{"type":"${type}"`));
        const others = lines.filter((line) => !/^\{"type":"(entity|relation)"/.test(line));
        return { entities: of('entity'), relations: of('relation'), others };
    }
}

// Half of a pair is no text for most parsers.
const wellFormed = (key, value) => (typeof value === 'string' ? value.toWellFormed() : value);
const asText = (value) => JSON.stringify(value) ?? 'undefined';

function allows(rule, { name, reference, other }) {
    const matches = (pattern, text) => pattern === undefined || new RegExp(pattern, 'su').test(text);
    return matches(rule.row, name) && matches(rule.reference, asText(reference)) && matches(rule.other, asText(other));
}

async function main() {
    const command = process.argv.slice(2);
    const verbose = command[0] === '--verbose' && command.shift();
    const record = command[0] === '--record' && command.splice(0, 2)[1];
    if (command.length === 0) {
        console.error('usage: drop_in_memory.mjs [--verbose] [--record FILE] COMMAND [ARGUMENT...]');
        return 2;
    }
    const parent = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'mcpool-drop-in-memory-')));
    const servers = [new Server(REFERENCE, path.join(parent, 'one')), new Server(command, path.join(parent, 'two'))];
    const both = (work) => Promise.all(servers.map(work));
    const differences = [];
    let compared = 0;
    const compare = (name, [reference, other]) => {
        compared += 1;
        if (!isDeepStrictEqual(reference, other)) differences.push({ name, reference, other });
    };
    compare('the capabilities', await both((server) => server.start()));
    compare('tools/list', await both((server) => server.request('tools/list')));
    compare('resources/list', await both((server) => server.request('resources/list')));
    compare('a resource that is not there', await both((server) => server.request('resources/read', { uri: 'memory://other' })));
    const recorded = [];
    for (const { name, file, steps } of rows) {
        servers.forEach((server) => server.write(file));
        await both((server) => server.notice());
        const answers = [];
        for (const [i, [tool, args]] of steps.entries()) {
            const pair = await both((server) => server.call(tool, args));
            answers.push(pair[0]);
            compare(`${name}, step ${i + 1}: ${tool}`, pair);
        }
        compare(`${name}, the resource`, await both((server) => server.request('resources/read', { uri: URI })));
        const graphs = servers.map((server) => server.graph());
        compare(`${name}, the file`, graphs);
        recorded.push({ name, file, steps: steps.map(([tool, args], i) => ({ tool, arguments: args, answer: answers[i] })), after: graphs[0] });
        // Each reads what the other wrote.
        const contents = servers.map(({ file }) => (fs.existsSync(file) ? fs.readFileSync(file) : null));
        servers.forEach((server, i) => server.write(contents[1 - i]));
        await both((server) => server.notice());
        compare(`${name}, the files exchanged`, await both((server) => server.call('read_graph', {})));
    }
    compare('the exit code', await both((server) => (server.child.stdin.end(), server.ended)));
    fs.rmSync(parent, { recursive: true });
    if (record) fs.writeFileSync(record, `[\n${recorded.map((row) => JSON.stringify(row, wellFormed)).join(',\n')}\n]\n`);
    return report(compared, differences, verbose);
}

function report(compared, differences, verbose) {
    const rules = JSON.parse(fs.readFileSync(path.join(import.meta.dirname, 'drop_in/memory_allowed.json'), 'utf8'));
    const used = new Set();
    let failed = 0;
    for (const difference of differences) {
        const rule = rules.find((rule) => allows(rule, difference));
        rule ? used.add(rule) : (failed += 1);
        if (rule && !verbose) continue;
        const [reference, other] = [difference.reference, difference.other].map((side) => asText(side).slice(0, 600));
        console.log(`${rule ? 'allowed' : 'DIFFERS'} ${difference.name}\n    reference ${reference}\n    other     ${other}`);
        if (rule) console.log(`    because   ${rule.reason}`);
    }
    // The reference against itself differs in nothing and needs no rule.
    const stale = differences.length > 0 ? rules.filter((rule) => !used.has(rule)) : [];
    for (const rule of stale) console.log(`STALE   nothing differs in this way any more: ${JSON.stringify(rule)}`);
    const allowed = differences.length - failed;
    console.log(`${compared - differences.length} passed, ${allowed} differ as they should, ${failed + stale.length} failed`);
    return failed + stale.length === 0 ? 0 : 1;
}

process.exit(await main());
