// Runs the official conformance suite against a server and judges every check of it; the suite itself lets warnings
// and skipped scenarios pass.
//
//   node conformance.mjs CACHE EXAMPLE        CACHE/node_modules has the suite; tests/interop/conformance calls this
//
// One line per run of the suite, then what is wrong; the exit code is 1 if anything is. The results stay in
// CACHE/results.

import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import path from 'node:path';
import { startServer } from './http_server.mjs';

// `scenarios` and `scored` are what the pinned version has: fewer means that something was not run.
const RUNS = [
    { name: 'requirements 2025-11-25', options: ['--requirements', '2025-11-25'], scenarios: 33, scored: 30 },
    { name: 'requirements 2026-07-28', options: ['--requirements', '2026-07-28'], scenarios: 50, scored: 37 },
    { name: 'all', options: ['--suite', 'all'], scenarios: 65 },
    { name: 'all 2025-06-18', options: ['--suite', 'all', '--spec-version', '2025-06-18'], scenarios: 27 },
    { name: 'all 2025-03-26', options: ['--suite', 'all', '--spec-version', '2025-03-26'], scenarios: 1 },
];

// `scenario:check` each; there are none, and one that is added needs a reason beside it.
const ALLOWED_WARNINGS = [];

// Scenarios that may skip checks. One that no longer does fails too, so that the list stays true.
const ALLOWED_SKIPS = new Map([
    ['sep-2640-skills-directory', 'mcpool does not offer the skills extension'],
    ['sep-2640-skills-enumeration', 'mcpool does not offer the skills extension'],
    ['sep-2640-skills-manifest', 'mcpool does not offer the skills extension'],
    ['tasks-status-notifications', 'the suite does not test it yet'],
]);

const STATUSES = ['SUCCESS', 'INFO', 'SKIPPED', 'WARNING', 'FAILURE'];
const RUN_WITHIN_MS = 300_000;

function runSuite(suite, url, options, results) {
    const args = [suite, 'server', '--url', url, ...options, '--output-dir', results];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (output += chunk));
    const timer = setTimeout(() => child.kill('SIGKILL'), RUN_WITHIN_MS);
    return new Promise((resolve) =>
        child.on('close', (code, signal) => {
            clearTimeout(timer);
            resolve({ output, ended: code ?? signal });
        }),
    );
}

// The scenarios of one run, each with its checks. A folder is named `server-SCENARIO-TIME`.
function readResults(results) {
    const scenarios = new Map();
    for (const folder of fs.existsSync(results) ? fs.readdirSync(results) : []) {
        const name = folder.replace(/^server-/, '').replace(/-\d{4}-\d\d-\d\dT[-\d]+Z$/, '');
        const file = path.join(results, folder, 'checks.json');
        scenarios.set(name, fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : []);
    }
    return scenarios;
}

// What the suite runs but does not count, by its own closing list (`  ✓ name (reason)`).
function unscored(output) {
    const list = output.split(/^Not scored for .*$/m)[1] ?? '';
    return new Set([...list.matchAll(/^\s+\S+ ([\w-]+) \(/gm)].map(([, name]) => name));
}

function judge(run, { output, ended }, scenarios, skipsSeen) {
    const problems = [];
    const tally = Object.fromEntries(STATUSES.map((status) => [status, 0]));
    let passed = 0;
    for (const [scenario, checks] of scenarios) {
        let isPassed = checks.some((check) => check.status === 'SUCCESS');
        if (checks.length === 0) problems.push(`${scenario}: no checks`);
        for (const check of checks) {
            const title = `${scenario}:${check.id}`;
            tally[check.status] = (tally[check.status] ?? 0) + 1;
            if (check.status === 'SKIPPED' && ALLOWED_SKIPS.has(scenario)) skipsSeen.add(scenario);
            const isAllowed =
                ['SUCCESS', 'INFO'].includes(check.status)
                || (check.status === 'SKIPPED' && ALLOWED_SKIPS.has(scenario))
                || (check.status === 'WARNING' && ALLOWED_WARNINGS.includes(title));
            if (isAllowed) continue;
            isPassed = false;
            problems.push(`${check.status} ${title}: ${check.errorMessage ?? check.description ?? ''}`);
        }
        if (isPassed && !unscored(output).has(scenario)) passed += 1;
    }
    if (ended !== 0) problems.push(`the suite ended with ${ended}: ${output.slice(-1000)}`);
    if (scenarios.size < run.scenarios) problems.push(`${scenarios.size} scenarios ran, not ${run.scenarios}`);
    if (passed < (run.scored ?? 0)) problems.push(`${passed} scored scenarios passed, not ${run.scored}`);
    return { problems, tally, passed };
}

const cells = (values) => values.map((value, i) => String(value).padStart(i === 0 ? 0 : 9).padEnd(i === 0 ? 24 : 0)).join('');

const [cache, example] = process.argv.slice(2);
if (!example) {
    console.error('usage: conformance.mjs CACHE EXAMPLE');
    process.exit(2);
}
const suite = path.join(cache, 'node_modules/@modelcontextprotocol/conformance/dist/index.js');
const results = path.join(cache, 'results');
fs.rmSync(results, { recursive: true, force: true });

const server = await startServer([example, '127.0.0.1:0']);
const problems = [];
const skipsSeen = new Set();
console.log(cells(['run', 'scenarios', 'scored', ...STATUSES.map((status) => status.toLowerCase())]));
for (const [i, run] of RUNS.entries()) {
    const folder = path.join(results, String(i));
    const outcome = await runSuite(suite, server.url, run.options, folder);
    const scenarios = readResults(folder);
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(path.join(folder, 'output.txt'), outcome.output);
    const judged = judge(run, outcome, scenarios, skipsSeen);
    const scored = run.scored ? `${judged.passed}/${run.scored}` : '-';
    console.log(cells([run.name, scenarios.size, scored, ...STATUSES.map((status) => judged.tally[status])]));
    problems.push(...judged.problems.map((problem) => `${run.name}: ${problem}`));
}
for (const [scenario, reason] of ALLOWED_SKIPS) {
    if (!skipsSeen.has(scenario)) problems.push(`${scenario} skips nothing any more; it was allowed because ${reason}`);
}
problems.push(...(await server.stop()));
problems.forEach((problem) => console.log(`FAILED  ${problem}`));
console.log(problems.length === 0 ? 'conforms' : `${problems.length} problems; the results are in ${results}`);
process.exit(problems.length === 0 ? 0 : 1);
