// The calls that the sequential thinking server of the reference and ours are given, in this order, in one session.

import path from 'node:path';
import { MODULES } from '../harness.mjs';

export const reference = ['node', path.join(MODULES, '@modelcontextprotocol/server-sequential-thinking/dist/index.js')];
export const variables = { DISABLE_THOUGHT_LOGGING: 'true' };
export const starts = [[]];
export const rows = [];

const GOOD = { thought: 'so be it', nextThoughtNeeded: true, thoughtNumber: 1, totalThoughts: 3 };

// What only one of them takes stands at the end, as all counts differ from there on.
const late = [];

function think(more) {
    const isOptionalNull = Object.entries(more).some(([key, value]) => value === null && !(key in GOOD));
    (isOptionalNull ? late : rows).push(['sequentialthinking', { ...GOOD, ...more }]);
}

const NUMBERS = [
    1, 2, 3.0, 0, -1, 1.5, 9007199254740991, 9007199254740992, 1e300, '2', ' 5 ', '\ufeff5\u00a0\n', '3.0', '+7.', '1e1', '0x10',
    '0B11', '0o17', '007', '', ' ', 'abc', '1_0', 'Infinity', 'inf', 'nan', '0x', '0x-1', '-0x1', '1 2', '2n', '1.5', '-3', '0',
    true, false, null, [], [5], [['6']], [1, 2], [true], [null], {},
];
for (const number of NUMBERS) {
    think({ thoughtNumber: number });
    think({ totalThoughts: number });
    think({ branchFromThought: number, branchId: 'of numbers' });
    think({ isRevision: true, revisesThought: number });
}
for (const flag of [true, false, 'true', 'TRUE', 'False', 'yes', '', ' true', 1, 0, null, [], {}]) {
    think({ nextThoughtNeeded: flag });
    think({ isRevision: flag });
    think({ needsMoreThoughts: flag });
}
for (const branchId of ['b', '10', 'a', '2', '02', '-1', 'b', '0', '4294967294', '4294967295', '+3', '1.0', '2', '', '"\\\n', 'é', 5, null]) {
    think({ branchFromThought: 1, branchId });
    think({ branchId });
}
for (const thought of ['', 'line\nline', '"quoted" \\ \u0001', '漢字 😀', 5, null]) think({ thought });
think({ unknown: [1] });
for (const name of Object.keys(GOOD)) rows.push(['sequentialthinking', Object.fromEntries(Object.entries(GOOD).filter(([key]) => key !== name))]);
rows.push(['sequentialthinking', {}]);
rows.push(['no_such_tool', {}]);
rows.push(...late);
think({ branchFromThought: 1, branchId: '__proto__' });
