// The calls that the time server of the reference and ours are given.

import path from 'node:path';

// Where `pip install` put the programs.
const VENV = process.env.INTEROP_VENV ?? path.join(import.meta.dirname, '../../../../target/interop/venv');
export const reference = [path.join(VENV, 'bin/mcp-server-time')];
// A zone with daylight saving, which the descriptions of the arguments name; and the time zones of the pinned package, as
// those of the machine may be older or newer than ours.
export const variables = { TZ: 'America/New_York', PYTHONTZPATH: '' };
export const patience = 3;
export const starts = [
    ['--local-timezone', 'Asia/Tokyo'], ['--local-timezone=Asia/Tokyo'], ['--local-timezone', 'asia/tokyo'],
    ['--local-timezone', 'America'], ['--local-timezone', '../UTC'], ['--no-such-option'],
];

// `Intl` knows most names, the links of the database are added.
const ZONES = [
    ...new Set([
        ...Intl.supportedValuesOf('timeZone'),
        ...'UTC GMT Zulu EST EST5EDT US/Pacific Etc/GMT+5 Etc/GMT-14 Eire Africa/Casablanca Africa/El_Aaiun Asia/Calcutta Asia/Kathmandu Factory'.split(' '),
    ]),
];
const NO_ZONES = [
    '', 'utc', 'europe/berlin', 'America', 'posix/UTC', ' UTC', 'UTC ', '../UTC', '..', '.', './UTC', 'a/../b', 'a//b', 'UTC/',
    '/etc/localtime', '/', 'x\0y', "it's", 'a"\'b', 'a\nb', 'a\\b', 'é', 'Etc/Unknown', 'America/New_York/x', 'posixrules',
];
const TIMES = [
    '00:00', '23:59', '9:5', '09:05', '12:00', '24:00', '12:60', '', '9', '9:', ':5', ' 9:05', '9:05 ', '09:05:00', '009:05',
    '+9:05', '9.05', '9:٥',
];

export const rows = [];
for (const timezone of [...ZONES, ...NO_ZONES]) rows.push(['get_current_time', { timezone }]);
for (const target_timezone of [...ZONES, ...NO_ZONES]) {
    rows.push(['convert_time', { source_timezone: 'America/New_York', time: '12:34', target_timezone }]);
}
for (const time of TIMES) {
    rows.push(['convert_time', { source_timezone: 'Asia/Kathmandu', time, target_timezone: 'America/St_Johns' }]);
}
rows.push(['convert_time', { source_timezone: 'no', time: 'x', target_timezone: '' }]);
rows.push(['convert_time', { source_timezone: 'no', time: 'x', target_timezone: 'nowhere' }]);
rows.push(['convert_time', { source_timezone: 'UTC', time: 'x', target_timezone: 'nowhere' }]);
rows.push(['get_current_time', { timezone: 'UTC', unknown: [1] }]);
rows.push(['get_current_time', {}]);
rows.push(['get_current_time', { timezone: 5 }]);
rows.push(['get_current_time', { timezone: null }]);
rows.push(['convert_time', {}]);
rows.push(['no_such_tool', {}]);

const DATE_TIME = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([+-]\d\d:\d\d)/g;

// The two are not asked in the same second: a time of now is one, whichever second it names. And `isError: false`, which the
// reference writes, says what its absence says.
export function normalise(value) {
    if (Array.isArray(value)) return value.map(normalise);
    if (value !== null && typeof value === 'object') {
        const entries = Object.entries(value).filter(([key, item]) => !(key === 'isError' && item === false));
        return Object.fromEntries(entries.map(([key, item]) => [key, normalise(item)]));
    }
    if (typeof value !== 'string') return value;
    return value.replace(DATE_TIME, (text, offset) => (Math.abs(Date.parse(text) - Date.now()) < 60_000 ? `NOW ${offset}` : text));
}
