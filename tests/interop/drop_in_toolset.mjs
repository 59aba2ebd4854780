#!/usr/bin/env node
// Is a toolset a drop-in for its reference server? Both are given the same calls; answers, lists of tools and start-up must
// be the same, and what the server answers must be valid by the official schema.
//
//   node drop_in_toolset.mjs [--verbose] TOOLSET PROGRAM        for instance: node drop_in_toolset.mjs time target/release/mcpool
//
// `drop_in/TOOLSET/rows.mjs` has the reference's command and the calls, `drop_in/TOOLSET/allowed.json` the differences that
// are meant, as that of the filesystem tools. Where it has `asking`, a second client, which answers what the servers ask it, is
// given the calls that are there; what they asked must be the same, too. The calls in its `tasks` go on as tasks: they are
// followed to their results, or cancelled.

import * as fs from 'node:fs';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { Server, report, validator } from './drop_in/harness.mjs';

class Comparison {
    constructor({ reference, variables, normalise = (value) => value, patience = 1 }, command) {
        this.sides = [{ command: reference }, { command }];
        this.variables = variables;
        this.normalise = normalise;
        this.patience = patience;
        this.differences = [];
        this.compared = 0;
        this.faults = validator();
    }
    both(work) {
        return Promise.all(this.sides.map(work));
    }
    async start(client) {
        await this.both(async (side) => {
            side.server = new Server(side.command, this.variables, undefined, client?.());
            const answer = await side.server.initialize();
            if (!answer.result) throw new Error(`${side.command.join(' ')} does not start: ${JSON.stringify(answer)}`);
        });
    }
    compare(name, [reference, other]) {
        this.compared += 1;
        if (!isDeepStrictEqual(reference, other)) this.differences.push({ name, reference, other });
    }
    async tools() {
        const [reference, other] = await this.both(({ server }) => server.request('tools/list'));
        this.compare('tools/list, by the schema', [[], this.faults('ListToolsResult', other)]);
        this.compare('tools/list', [reference, other].map((answer) => answer.result?.tools ?? []));
    }
    // A request beside the calls of tools.
    async request(method, params) {
        const name = `${method} ${JSON.stringify(params)}`;
        let answers;
        for (let tries = 0; tries < this.patience; tries += 1) {
            answers = await this.both(async ({ server }) => this.normalise(await server.request(method, params)));
            if (isDeepStrictEqual(...answers)) break;
        }
        this.compare(name, answers);
    }
    // The calls of a client that is asked, and what it was asked.
    async asking({ client, rows, tasks = [] }) {
        await this.start(client);
        await this.both(({ server }) => server.request('ping'));
        await this.tools();
        for (const row of rows) {
            await this.row(row);
            const asked = await this.both(({ server }) => server.asked.splice(0));
            this.compare(`${row[0]} ${JSON.stringify(row[1])}, what it asks`, asked.map(this.normalise));
        }
        for (const task of tasks) await this.task(task);
        // A server that keeps a task for minutes may stay as long.
        if (tasks.length > 0) return this.both(({ server }) => (server.child.kill(), server.ended));
        await this.both(({ server }) => server.close());
    }
    // A call that goes on as a task: what each request about it is answered, but for ids and times.
    async task({ call: [name, args], requests }) {
        const params = { name, arguments: args, task: { ttl: 300_000 } };
        const begun = await this.both(({ server }) => server.request('tools/call', params));
        const row = `task of ${name} ${JSON.stringify(args)}`;
        // The reference may have begun with its work by then.
        begun.forEach((answer) => delete answer.result?.task?.statusMessage);
        this.compare(row, begun.map(withoutIdsAndTimes));
        this.compare(`${row}, by the schema`, [[], this.faults('CreateTaskResult', begun[1])]);
        for (const method of requests) {
            const answers = await this.both(({ server }, side) => {
                const taskId = begun[side].result?.task?.taskId;
                return server.request(method, method === 'tasks/list' ? {} : { taskId });
            });
            this.compare(`${method}, ${row}`, answers.map(withoutIdsAndTimes));
        }
        const asked = await this.both(({ server }) => server.asked.splice(0));
        this.compare(`${row}, what it asks`, asked.map(withoutIdsAndTimes));
    }
    // The steps of a row share what the servers keep.
    async row([tool, args]) {
        const name = `${tool} ${JSON.stringify(args)}`;
        let answers;
        // A second or midnight may pass between the two servers, but not each time.
        for (let tries = 0; tries < this.patience; tries += 1) {
            answers = await this.both(async ({ server }) => this.normalise(await server.call(tool, args)));
            if (isDeepStrictEqual(...answers)) break;
        }
        this.compare(name, answers);
        this.compare(`${name}, by the schema`, [[], this.faults('CallToolResult', answers[1])]);
    }
    // How a process with such arguments ends, or that it serves.
    async startUp(args) {
        const seen = await this.both(async ({ command }) => {
            const server = new Server([...command, ...args], this.variables);
            const answer = await server.initialize();
            return answer.result ? { served: true, ended: await server.close() } : { ended: await server.ended };
        });
        this.compare(`start ${JSON.stringify(args)}`, seen);
    }
}

function withoutIdsAndTimes(answer) {
    const text = JSON.stringify(answer).replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME');
    const shown = JSON.parse(text.replaceAll(/\b[0-9a-f]{32}\b/g, 'ID'));
    // An empty one says nothing.
    if (isDeepStrictEqual(shown.result?._meta, {})) delete shown.result._meta;
    return shown;
}

async function main() {
    const words = process.argv.slice(2);
    const verbose = words[0] === '--verbose' && words.shift();
    const [toolset, program] = words;
    if (program === undefined) {
        console.error('usage: drop_in_toolset.mjs [--verbose] TOOLSET PROGRAM');
        return 2;
    }
    const folder = path.join(import.meta.dirname, 'drop_in', toolset);
    const set = await import(path.join(folder, 'rows.mjs'));
    const rules = JSON.parse(fs.readFileSync(path.join(folder, 'allowed.json'), 'utf8'));
    const comparison = new Comparison(set, [program, 'serve', '--tools', toolset]);
    await comparison.start();
    await comparison.tools();
    for (const row of set.rows) await comparison.row(row);
    for (const [method, params] of set.requests ?? []) await comparison.request(method, params);
    comparison.compare('the exit code', await comparison.both(({ server }) => server.close()));
    if (set.asking) await comparison.asking(set.asking);
    for (const args of set.starts) await comparison.startUp(args);
    return report(comparison, rules, verbose);
}

process.exit(await main());
