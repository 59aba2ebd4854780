// `echo` and `length` on the official TypeScript SDK: what `mcpool_echo` is with mcpool.
//
//     node typescript_echo.mjs stdio       one client, on standard input and output
//     node typescript_echo.mjs             HTTP; says on standard error where it listens
//
// Answers are plain JSON and idle connections are kept, as with all the others. The eras are told apart by a header,
// which costs less than the SDK's own look into the body.

import { createServer } from 'node:http';
import { randomUUID } from 'node:crypto';
import { NodeStreamableHTTPServerTransport, toNodeHandler } from '@modelcontextprotocol/node';
import { McpServer, createMcpHandler } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { z } from 'zod';

const inputSchema = z.object({ text: z.string().describe('What to say back, or to measure.') });
const say = (text) => ({ content: [{ type: 'text', text }] });

function tools() {
    const server = new McpServer({ name: 'typescript_echo', version: '1' });
    server.registerTool('echo', { description: 'Says back what it is told.', inputSchema }, ({ text }) => say(text));
    server.registerTool('length', { description: 'Says how many bytes it is told.', inputSchema }, ({ text }) =>
        say(String(Buffer.byteLength(text)))
    );
    return server;
}

const sessions = new Map();

async function transportOf(request, response) {
    const id = request.headers['mcp-session-id'];
    if (id !== undefined) {
        const transport = sessions.get(id);
        if (transport === undefined) response.writeHead(404).end();
        return transport;
    }
    const transport = new NodeStreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        enableJsonResponse: true,
        onsessioninitialized: (opened) => void sessions.set(opened, transport),
        onsessionclosed: (closed) => void sessions.delete(closed)
    });
    await tools().connect(transport);
    return transport;
}

function serveHttp() {
    const modern = toNodeHandler(createMcpHandler(tools, { legacy: 'reject' }));
    const server = createServer(async (request, response) => {
        if (request.headers['mcp-protocol-version'] === '2026-07-28') return modern(request, response);
        const transport = await transportOf(request, response);
        await transport?.handleRequest(request, response);
    });
    server.keepAliveTimeout = 3_600_000;
    server.listen(0, '127.0.0.1', 4096, () => console.error(`listening on http://127.0.0.1:${server.address().port}/mcp`));
}

if (process.argv[2] === 'stdio') serveStdio(tools);
else serveHttp();
