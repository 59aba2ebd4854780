// The calls that the everything server of the reference and ours are given, in this order, in one session.

import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { MODULES } from '../harness.mjs';

export const reference = ['node', path.join(MODULES, '@modelcontextprotocol/server-everything/dist/index.js'), 'stdio'];
export const variables = { TZ: 'America/New_York' };
export const starts = [[]];
// The time of day is in some texts.
export const patience = 3;

// The reference lists these for clients that can do what they ask for; a test holds them to what it lists then.
const ASKING = ['get-roots-list', 'trigger-elicitation-request', 'trigger-url-elicitation', 'trigger-sampling-request'];
export const listed = (tools) => tools.filter(({ name }) => !ASKING.includes(name));

// Compressors choose other bytes for the same text, and the space in a time of day depends on the version of node.
function same(value) {
    if (typeof value === 'string') {
        const text = value.startsWith('H4sI') ? `gzip: ${gunzipSync(Buffer.from(value, 'base64'))}` : value;
        return text.replaceAll('\u202f', ' ');
    }
    if (Array.isArray(value)) return value.map(same);
    if (value === null || typeof value !== 'object') return value;
    const entries = Object.entries(value).map(([key, inner]) => [key, key === 'blob' ? blob(inner) : same(inner)]);
    return Object.fromEntries(entries);
}

function blob(text) {
    const bytes = Buffer.from(text, 'base64');
    return bytes[0] === 0x1f ? same(text) : bytes.toString().replaceAll('\u202f', ' ');
}

// The variables of a process have no order.
function withSortedEnvironment(answer) {
    const text = answer.result?.content?.[0]?.text;
    if (!text?.startsWith('{\n')) return answer;
    const variables = Object.entries(JSON.parse(text)).sort(([one], [other]) => (one < other ? -1 : 1));
    return { ...answer, result: { content: [{ type: 'text', text: JSON.stringify(variables) }] } };
}

export const normalise = (answer) => same(withSortedEnvironment(answer));

const NUMBERS = [0, 1, -1, 2.5, 0.1, 1e21, 1e-7, 5e-324, 1.7976931348623157e308, 9007199254740993, 123456789012345680000];

export const rows = [
    ...['', 'hello', 'line\nline', '"quoted" \\ \u0001', '漢字 😀', 5, null].map((message) => ['echo', { message }]),
    ['echo', {}],
    ...['error', 'success', 'debug', 'other'].flatMap((messageType) => [
        ['get-annotated-message', { messageType }],
        ['get-annotated-message', { messageType, includeImage: true }],
    ]),
    ['get-env', {}],
    ...[1, 2, 3, 10, 2.5, 0, 11, '3'].map((count) => ['get-resource-links', { count }]),
    ['get-resource-links', {}],
    ...['Text', 'Blob', 'text'].map((resourceType) => ['get-resource-reference', { resourceType, resourceId: 3 }]),
    ...[1, 0, -1, 1.5, '2', 9007199254740991].map((resourceId) => ['get-resource-reference', { resourceId }]),
    ['get-resource-reference', {}],
    ...['New York', 'Chicago', 'Los Angeles', 'Paris'].map((location) => ['get-structured-content', { location }]),
    ...NUMBERS.flatMap((a) => NUMBERS.map((b) => ['get-sum', { a, b }])),
    ['get-sum', { a: '1', b: 2 }],
    ['get-tiny-image', {}],
    ...['resource', 'resourceLink'].flatMap((outputType) =>
        ['data:,hello%20you', 'data:text/plain;base64,aGVsbG8geW91', 'data:,', 'ftp://example.com/', 'no url'].map((data) => [
            'gzip-file-as-resource',
            { name: 'a.gz', data, outputType },
        ]),
    ),
    ['trigger-long-running-operation', { duration: 0.01, steps: 2 }],
    ['trigger-long-running-operation', { duration: 0, steps: 0 }],
    ['trigger-long-running-operation', { duration: 0.01, steps: 1.5 }],
    ['toggle-simulated-logging', {}],
    ['toggle-simulated-logging', {}],
    ['toggle-subscriber-updates', {}],
    ['toggle-subscriber-updates', {}],
    ['simulate-research-query', { topic: 'x' }],
    ['no_such_tool', {}],
];

const prompt = (name, given) => ['prompts/get', { name, arguments: given }];
const completed = (ref, name, value, context) => ['completion/complete', { ref, argument: { name, value }, ...context }];
const ofPrompt = (name) => ({ type: 'ref/prompt', name });
const ofTemplate = (kind) => ({ type: 'ref/resource', uri: `demo://resource/dynamic/${kind}/{resourceId}` });
const department = (name) => ({ context: { arguments: { department: name } } });

// Requests beside the calls of tools.
export const requests = [
    ['prompts/list', {}],
    ['resources/templates/list', {}],
    prompt('simple-prompt'),
    prompt('args-prompt', { city: 'Paris' }),
    prompt('args-prompt', { city: 'Paris', state: 'Texas' }),
    prompt('completable-prompt', { department: 'Sales', name: 'Eve' }),
    prompt('resource-prompt', { resourceType: 'Text', resourceId: '3' }),
    prompt('resource-prompt', { resourceType: 'Blob', resourceId: '3' }),
    ...['demo://resource/dynamic/text/1', 'demo://resource/dynamic/blob/42', 'demo://resource/session/a.gz'].map((uri) => [
        'resources/read',
        { uri },
    ]),
    completed(ofPrompt('completable-prompt'), 'department', ''),
    completed(ofPrompt('completable-prompt'), 'department', 'S'),
    completed(ofPrompt('completable-prompt'), 'name', '', department('Marketing')),
    completed(ofPrompt('completable-prompt'), 'name', 'G', department('Marketing')),
    completed(ofPrompt('completable-prompt'), 'name', '', department('None')),
    completed(ofPrompt('resource-prompt'), 'resourceType', 'T'),
    completed(ofPrompt('resource-prompt'), 'resourceId', '7'),
    completed(ofPrompt('resource-prompt'), 'resourceId', 'x'),
    completed(ofTemplate('text'), 'resourceId', '7'),
    completed(ofTemplate('blob'), 'resourceId', '-7'),
];
