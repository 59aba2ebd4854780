// The calls that the everything server of the reference and ours are given, in this order, in one session.

import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { MODULES } from '../harness.mjs';

export const reference = ['node', path.join(MODULES, '@modelcontextprotocol/server-everything/dist/index.js'), 'stdio'];
export const variables = { TZ: 'America/New_York' };
export const starts = [[]];
// The time of day is in some texts.
export const patience = 3;

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

// The id of the visit that comes first is a random one.
function withoutRandomIds(answer) {
    const elicitations = answer.error?.data?.elicitations;
    elicitations?.forEach((visit) => (visit.elicitationId = `${visit.elicitationId.length} characters`));
    return answer;
}

export const normalise = (answer) => same(withSortedEnvironment(withoutRandomIds(answer)));

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
    ['resources/list', {}],
    ...['instructions', 'features', 'nothing'].map((name) => [
        'resources/read',
        { uri: `demo://resource/static/document/${name}.md` },
    ]),
    ...['demo://resource/dynamic/text/1', 'demo://nothing'].flatMap((uri) => [
        ['resources/subscribe', { uri }],
        ['resources/unsubscribe', { uri }],
        ['resources/unsubscribe', { uri }],
    ]),
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

const MESSAGE = { role: 'assistant', content: { type: 'text', text: 'a message' }, model: 'a model', stopReason: 'endTurn' };
const FILLED = { action: 'accept', content: { name: 'Ann', favoriteColor: 'Red', agreeToTerms: false, check: true, integer: 0, number: 1.5 } };

// A client that can all that is asked for; one that serves requests as tasks is done with each at the second poll.
function client() {
    const results = new Map();
    const begin = (result) => {
        const taskId = `task ${results.size + 1}`;
        results.set(taskId, { result, polls: 0 });
        const now = '2026-01-01T00:00:00.000Z';
        return { task: { taskId, status: 'working', ttl: 60_000, pollInterval: 1000, createdAt: now, lastUpdatedAt: now } };
    };
    const answer = (params, result) => (params.task ? begin(result) : result);
    const visits = ['accept', 'decline', 'cancel'];
    return {
        capabilities: {
            roots: {}, sampling: {}, elicitation: { form: {}, url: {} },
            tasks: { requests: { sampling: { createMessage: {} }, elicitation: { create: {} } } },
        },
        answers: {
            'sampling/createMessage': (params) => answer(params, MESSAGE),
            'elicitation/create': (params) => (params.mode === 'url' ? { action: visits.shift() ?? 'accept' } : answer(params, FILLED)),
            'tasks/get': ({ taskId }) => {
                const task = results.get(taskId);
                task.polls += 1;
                const status = task.polls > 1 ? { status: 'completed' } : { status: 'working', statusMessage: 'half' };
                return { taskId, ttl: 60_000, createdAt: '', lastUpdatedAt: '', ...status };
            },
            'tasks/result': ({ taskId }) => results.get(taskId).result,
        },
    };
}

const visit = (more) => ['trigger-url-elicitation', { url: 'https://example.com/a', elicitationId: 'an id', ...more }];

export const asking = {
    client,
    rows: [
        ['trigger-elicitation-request', {}],
        ['trigger-sampling-request', { prompt: 'a "prompt"' }],
        ['trigger-sampling-request', { prompt: 'p', maxTokens: 2.5 }],
        visit(), visit({ message: 'please' }), visit(), visit({ url: 'no url' }), visit({ elicitationId: 5 }),
        // The error comes once, and the call goes through when it is repeated.
        visit({ errorPath: true }), visit({ errorPath: true }), visit({ errorPath: true }), visit(), visit({ errorPath: true }),
        ['trigger-sampling-request-async', { prompt: 'p' }],
        ['trigger-sampling-request-async', { prompt: 'p', maxTokens: 7 }],
        ['trigger-sampling-request-async', {}],
        ['trigger-elicitation-request-async', {}],
    ],
    tasks: [
        { call: ['simulate-research-query', { topic: 'rivers' }], requests: ['tasks/result', 'tasks/get', 'tasks/result', 'tasks/cancel'] },
        {
            call: ['simulate-research-query', { topic: 'a "Python"', ambiguous: true }],
            requests: ['tasks/result', 'tasks/get', 'tasks/list'],
        },
        { call: ['simulate-research-query', { topic: 'x' }], requests: ['tasks/cancel', 'tasks/get', 'tasks/result', 'tasks/list'] },
    ],
};
