// A client without an SDK on a Unix socket: what any HTTP library can do that connects to a path.

import assert from 'node:assert/strict';
import http from 'node:http';
import path from 'node:path';

const MODERN = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'raw', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {},
};
const JSON_OR_STREAM = { accept: 'application/json, text/event-stream', 'content-type': 'application/json' };

function exchange(options, body) {
    return new Promise((resolve, reject) => {
        const request = http.request(options, (response) => {
            let text = '';
            response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
            response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text, socket: request.reusedSocket }));
            response.on('error', reject);
        });
        request.on('error', reject);
        request.end(body);
    });
}

// The JSON-RPC message of an answer, be it a stream or not.
function messageOf({ headers, text }) {
    if (!headers['content-type'].startsWith('text/event-stream')) return JSON.parse(text);
    const data = text.split(/\n\n/).map((event) => /^data: ?(.+)$/m.exec(event)?.[1]).filter(Boolean);
    return JSON.parse(data.at(-1));
}

// The checks, as `[title, function]`.
export function unixSocket(socketPath, root) {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const post = (message, headers = {}) =>
        exchange({ agent, socketPath, path: '/mcp', method: 'POST', headers: { ...JSON_OR_STREAM, ...headers } }, JSON.stringify(message));
    const modern = (id, method, params = {}, name = undefined) =>
        post({ jsonrpc: '2.0', id, method, params: { ...params, _meta: MODERN } }, {
            'mcp-protocol-version': '2026-07-28',
            'mcp-method': method,
            ...(name && { 'mcp-name': name }),
        });
    const call = (id, tool, args) => modern(id, 'tools/call', { name: tool, arguments: args }, tool);
    return [
        ['the modern era, all on one connection', async () => {
            const discovered = await modern(1, 'server/discover');
            assert.equal(discovered.status, 200, discovered.text);
            assert.ok(messageOf(discovered).result.supportedVersions.includes('2026-07-28'), discovered.text);
            const file = path.join(root, 'socket.txt');
            assert.equal((await call(2, 'write_file', { path: file, content: 'over a socket' })).status, 200);
            const read = await call(3, 'read_text_file', { path: file });
            const { id, result } = messageOf(read);
            assert.deepEqual([id, result.structuredContent], [3, { content: 'over a socket' }]);
            assert.equal(read.socket, true, 'the connection was not kept');
        }],
        ['the legacy era, with a session', async () => {
            const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } };
            const begun = await post({ jsonrpc: '2.0', id: 1, method: 'initialize', params });
            assert.equal(messageOf(begun).result.protocolVersion, '2025-11-25');
            const session = { 'mcp-session-id': begun.headers['mcp-session-id'], 'mcp-protocol-version': '2025-11-25' };
            const initialized = await post({ jsonrpc: '2.0', method: 'notifications/initialized' }, session);
            assert.deepEqual([initialized.status, initialized.text], [202, '']);
            const listed = await post({ jsonrpc: '2.0', id: 2, method: 'tools/list' }, session);
            assert.ok(messageOf(listed).result.tools.length > 10);
            const ended = await exchange({ agent, socketPath, path: '/mcp', method: 'DELETE', headers: session });
            assert.equal(Math.floor(ended.status / 100), 2);
            assert.equal((await post({ jsonrpc: '2.0', id: 3, method: 'ping' }, session)).status, 404);
        }],
        ['what is wrong is said in HTTP', async () => {
            assert.equal((await exchange({ agent, socketPath, path: '/elsewhere' })).status, 404);
            const put = await exchange({ agent, socketPath, path: '/mcp', method: 'PUT', headers: { 'content-length': 0 } });
            assert.equal(put.status, 405);
            assert.match(put.headers.allow, /POST/);
            const broken = await exchange({ agent, socketPath, path: '/mcp', method: 'POST', headers: JSON_OR_STREAM }, '{"a":');
            assert.deepEqual([broken.status, messageOf(broken).error.code], [400, -32700]);
            agent.destroy();
        }],
    ];
}
