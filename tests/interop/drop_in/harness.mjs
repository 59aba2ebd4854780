// What all comparisons with reference servers share: a server as a child process, the official schema, the differences
// that are allowed.

import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

// Where `npm install` put the packages of the folder above.
export const MODULES = process.env.INTEROP_MODULES ?? path.join(import.meta.dirname, '../node_modules');
const REVISION = '2025-11-25';
const SCHEMA = path.join(import.meta.dirname, '../../fixtures/schema', REVISION, 'schema.json');
const ANSWER_WITHIN_MS = 20_000;

export class Server {
    // `answers` gives the results of requests of the server, by their methods; each is declared in `capabilities`.
    constructor(command, variables, roots, { capabilities, answers } = {}) {
        this.pending = new Map();
        this.lastId = 0;
        this.roots = roots;
        this.capabilities = capabilities;
        this.answers = answers;
        this.asked = [];
        const env = { ...process.env, ...variables };
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
    receive(message) {
        if (message.method === 'roots/list') {
            this.send({ jsonrpc: '2.0', id: message.id, result: { roots: this.roots } });
            this.askedForRoots?.();
        } else if (message.id !== undefined && this.answers?.[message.method]) {
            this.asked.push({ method: message.method, params: message.params });
            this.send({ jsonrpc: '2.0', id: message.id, result: this.answers[message.method](message.params) });
        } else if (message.method === undefined) {
            this.pending.get(message.id)?.(message);
            this.pending.delete(message.id);
        }
    }
    send(message) {
        this.child.stdin.write(`${JSON.stringify(message)}\n`);
    }
    request(method, params) {
        const id = ++this.lastId;
        return new Promise((resolve) => {
            const timer = setTimeout(() => resolve({ id, late: `no answer in ${ANSWER_WITHIN_MS} ms` }), ANSWER_WITHIN_MS);
            this.pending.set(id, (answer) => {
                clearTimeout(timer);
                resolve(answer);
            });
            if (this.child.exitCode === null) this.send({ jsonrpc: '2.0', id, method, params });
            else this.pending.get(id)({ ended: this.child.exitCode });
        }).then(({ jsonrpc, id, ...answer }) => answer);
    }
    async initialize() {
        const capabilities = { ...(this.roots === undefined ? {} : { roots: { listChanged: true } }), ...this.capabilities };
        const clientInfo = { name: 'drop_in', version: '1' };
        const answer = await this.request('initialize', { protocolVersion: REVISION, capabilities, clientInfo });
        const asked = new Promise((resolve) => (this.askedForRoots = resolve));
        this.send({ jsonrpc: '2.0', method: 'notifications/initialized' });
        if (this.roots !== undefined && answer.result) {
            await Promise.race([asked, this.ended]);
            await this.request('ping'); // the roots were sent before it
            await new Promise((resolve) => setTimeout(resolve, 300)); // the reference looks at the roots in its own time
        }
        return answer;
    }
    call(name, args) {
        return this.request('tools/call', { name, arguments: args });
    }
    async close() {
        this.child.stdin.end();
        return this.ended;
    }
}

// What the official schema finds wrong with an answer, as a function of the kind of result and the answer.
export function validator() {
    const Ajv = createRequire(path.join(MODULES, 'package.json'))('ajv/dist/2020').default;
    const ajv = new Ajv({ strict: false, validateFormats: false });
    ajv.addSchema(JSON.parse(fs.readFileSync(SCHEMA, 'utf8')), 'mcp');
    const check = (kind, value) => {
        const validate = ajv.getSchema(`mcp#/$defs/${kind}`);
        return validate(value) ? [] : validate.errors.map(({ instancePath, message }) => `${instancePath} ${message}`);
    };
    return (kind, { result, error, ...others }) => {
        if (error !== undefined) return check('JSONRPCErrorResponse', { jsonrpc: '2.0', id: 1, error });
        return result === undefined ? [`no answer: ${JSON.stringify(others)}`] : check(kind, result);
    };
}

const asText = (value) => JSON.stringify(value) ?? 'undefined';

// A rule allows the differences whose name matches `row`, whose two sides match `reference` and `other`, and which are
// none once all that matches `ignoring` is taken out. What a rule does not have is not asked for.
function allows(rule, { name, reference, other }) {
    const [theirs, ours] = [asText(reference), asText(other)];
    const matches = (pattern, text) => pattern === undefined || new RegExp(pattern, 'su').test(text);
    if (!matches(rule.row, name) || !matches(rule.reference, theirs) || !matches(rule.other, ours)) return false;
    if (rule.ignoring === undefined) return rule.other !== undefined;
    const ignored = new RegExp(rule.ignoring, 'gu');
    return theirs.replace(ignored, '') === ours.replace(ignored, '');
}

// Both texts from shortly before where they part.
function parting(difference) {
    const [reference, other] = [asText(difference.reference), asText(difference.other)];
    let at = 0;
    while (at < reference.length && reference[at] === other[at]) at += 1;
    const from = Math.max(0, at - 80);
    return [reference, other].map((text) => (from > 0 ? '…' : '') + text.slice(from, at + 240) + (text.length > at + 240 ? '…' : ''));
}

// Prints what differs and returns the exit code.
export function report({ compared, differences }, rules, verbose) {
    const used = new Set();
    let failed = 0;
    for (const difference of differences) {
        const rule = rules.find((rule) => allows(rule, difference));
        rule ? used.add(rule) : (failed += 1);
        if (rule && !verbose) continue;
        const [reference, other] = parting(difference);
        console.log(`${rule ? 'allowed' : 'DIFFERS'} ${difference.name.slice(0, 300)}\n    reference ${reference}\n    other     ${other}`);
        if (rule) console.log(`    because   ${rule.reason}${rule.issue ? ` (${rule.issue})` : ''}`);
    }
    const allowed = differences.length - failed;
    // The reference against itself differs in nothing and needs no rule.
    const stale = differences.length > 0 ? rules.filter((rule) => !used.has(rule)) : [];
    for (const rule of stale) console.log(`STALE   nothing differs in this way any more: ${JSON.stringify(rule)}`);
    console.log(`${compared - differences.length} passed, ${allowed} differ as they should, ${failed + stale.length} failed`);
    return failed + stale.length === 0 ? 0 : 1;
}
