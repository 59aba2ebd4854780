#!/usr/bin/env node
// Is a server a drop-in for the official filesystem server? Both are given the same calls on two copies of the same
// tree; answers, lists of tools, start-up and the trees afterwards must be the same, and what the server answers must
// be valid by the official schema.
//
//   node drop_in.mjs [--verbose] COMMAND [ARGUMENT...]        for instance: node drop_in.mjs target/release/mcpool serve
//
// The allowed directories are appended to the command. Differences that are meant stand in drop_in/allowed.json with
// a reason each, and with the public issue where users reported what the reference does (`repository#number`); one
// that no longer occurs fails too, so that the list stays true. Those with `"compat": "default"` are for a server that
// does better by default: with `--compat reference` in the command it must do the same. Exit code 1 if there is any
// other difference.
// Made equal before comparing: the directory the copies are in, times of creation and access, names of temporary
// files, the size of a directory itself (it depends on the file system).

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { MODULES, Server, report, validator } from './drop_in/harness.mjs';
import { rows } from './drop_in/rows.mjs';
import { build, snapshot } from './drop_in/tree.mjs';

const REFERENCE = ['node', path.join(MODULES, '@modelcontextprotocol/server-filesystem/dist/index.js')];
// A zone with daylight saving, so that the text of a date shows whether it is local.
const ZONE = 'America/New_York';

function start(command, base, directories, roots) {
    return new Server([...command, ...directories], { HOME: path.join(base, 'home'), TZ: ZONE }, roots);
}

// Two copies of the tree, one for each server: `sides` are [reference, other].
class Comparison {
    constructor(command, parent) {
        this.sides = [['one', REFERENCE], ['two', command]].map(([name, command]) => ({ base: path.join(parent, name), command }));
        this.differences = [];
        this.compared = 0;
        this.faults = validator();
        this.sides.forEach((side) => build(side.base));
        this.pristine = snapshot(this.sides[0].base);
    }
    both(work) {
        return Promise.all(this.sides.map(work));
    }
    start() {
        return this.both(async (side) => {
            side.server = start(side.command, side.base, [path.join(side.base, 'files'), path.join(side.base, 'second')]);
            const answer = await side.server.initialize();
            if (!answer.result) throw new Error(`${side.command.join(' ')} does not start: ${JSON.stringify(answer)}`);
        });
    }
    compare(name, [reference, other]) {
        this.compared += 1;
        if (isDeepStrictEqual(reference, other)) return;
        this.differences.push({ name, reference, other });
    }
    async row({ name, steps }) {
        for (const [i, [tool, args]] of steps.entries()) {
            const answers = await this.both(async ({ server, base }) => normalise(await server.call(tool, substitute(args, base)), base));
            const step = steps.length > 1 ? `${name}, step ${i + 1}` : name;
            this.compare(step, answers);
            this.compare(`${step}, by the schema`, [[], this.faults('CallToolResult', answers[1])]);
        }
        if (!steps.some(([tool]) => /^(write|edit|create|move)_/.test(tool))) return;
        const trees = this.sides.map(({ base }) => changes(this.pristine, snapshot(base)));
        this.compare(`${name}, the tree afterwards`, trees);
        this.sides.forEach(({ base }, i) => Object.keys(trees[i]).length > 0 && build(base, Object.keys(trees[i])));
        if (this.sides.some(({ server }) => server.child.exitCode !== null)) await this.start();
    }
    async tools() {
        const [reference, other] = await this.both(({ server }) => server.request('tools/list'));
        this.compare('tools/list, by the schema', [[], this.faults('ListToolsResult', other)]);
        const byName = (answer) => Object.fromEntries((answer.result?.tools ?? []).map((tool) => [tool.name, tool]));
        const [theirs, ours] = [byName(reference), byName(other)];
        this.compare('tools/list, the names in order', [Object.keys(theirs), Object.keys(ours)]);
        for (const name of Object.keys(theirs)) {
            const members = new Set([...Object.keys(theirs[name]), ...Object.keys(ours[name] ?? {})]);
            for (const member of members) this.compare(`tools/list, ${name}.${member}`, [theirs[name][member], ours[name]?.[member]]);
        }
    }
    // Starts with other command lines and roots: which directories are allowed, or how the process ends.
    async startUp(name, directories, roots = undefined) {
        const seen = await this.both(async ({ base, command }) => {
            const server = start(command, base, substitute(directories, base), substitute(roots, base));
            const answer = await server.initialize();
            if (!answer.result) return { ended: await server.ended };
            const allowed = await server.call('list_allowed_directories', {});
            const read = await server.call('read_text_file', { path: 'a.txt' });
            return normalise({ allowed, read, ended: await server.close() }, base);
        });
        this.compare(`start: ${name}`, seen);
    }
}

function substitute(value, base) {
    if (typeof value === 'string') return value.replaceAll('BASE', base);
    if (Array.isArray(value)) return value.map((item) => substitute(item, base));
    if (value === null || typeof value !== 'object') return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, substitute(item, base)]));
}

const DATE = String.raw`[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d{4} \d\d:\d\d:\d\d GMT[+-]\d{4} \([A-Za-z ]+\)`;

function normalise(value, base) {
    if (Array.isArray(value)) return value.map((item) => normalise(item, base));
    if (value !== null && typeof value === 'object') {
        return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, normalise(item, base)]));
    }
    if (typeof value !== 'string') return value;
    return value
        .replaceAll(base, 'BASE')
        .replace(new RegExp(`^(created|accessed): ${DATE}$`, 'gm'), '$1: A TIME')
        .replace(/^size: \d+$(?=[^]*^isDirectory: true$)/m, 'size: OF A DIRECTORY')
        .replace(/\.[0-9a-f]{32}\.tmp/g, '.TEMPORARY');
}

function changes(before, after) {
    const names = new Set([...Object.keys(before), ...Object.keys(after)]);
    return Object.fromEntries([...names].filter((name) => before[name] !== after[name]).map((name) => [name, after[name] ?? 'gone']));
}

async function main() {
    const command = process.argv.slice(2);
    const verbose = command[0] === '--verbose' && command.shift();
    if (command.length === 0) {
        console.error('usage: drop_in.mjs [--verbose] COMMAND [ARGUMENT...]');
        return 2;
    }
    const compat = / --compat[ =]reference( |$)/.test(` ${command.join(' ')}`) ? 'reference' : 'default';
    const all = JSON.parse(fs.readFileSync(path.join(import.meta.dirname, 'drop_in/allowed.json'), 'utf8'));
    const rules = all.filter((rule) => rule.compat === undefined || rule.compat === compat);
    const parent = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'mcpool-drop-in-')));
    const comparison = new Comparison(command, parent);
    await comparison.start();
    await comparison.tools();
    for (const row of rows) await comparison.row(row);
    comparison.compare('the exit code', await comparison.both(({ server }) => server.close()));
    await comparison.startUp('one directory', ['BASE/files']);
    await comparison.startUp('slashes and dots', ['BASE/files/./dir/..//']);
    await comparison.startUp('a link', ['BASE/link_to_files']);
    await comparison.startUp('one missing, one there', ['BASE/missing', 'BASE/second']);
    await comparison.startUp('all missing', ['BASE/missing', 'BASE/nothing']);
    await comparison.startUp('a file', ['BASE/files/a.txt']);
    await comparison.startUp('home', ['~/directory']);
    await comparison.startUp('the same twice', ['BASE/files', 'BASE/files']);
    await comparison.startUp('roots take the place of arguments', ['BASE/second'], [{ uri: 'file://BASE/files' }]);
    await comparison.startUp('no arguments, roots', [], [{ uri: 'file://BASE/files' }, { uri: 'file://BASE/second' }]);
    await comparison.startUp('no arguments, no roots', []);
    await comparison.startUp('an empty list of roots', ['BASE/files'], []);
    await comparison.startUp('roots that are missing', ['BASE/files'], [{ uri: 'file://BASE/missing' }]);
    await comparison.startUp('a root that is no file', ['BASE/files'], [{ uri: 'https://example.com/' }, { uri: 'file://BASE/second' }]);
    execFileSync('rm', ['-rf', '--', parent]);

    return report(comparison, rules, verbose);
}

process.exit(await main());
