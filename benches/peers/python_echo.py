#!/usr/bin/env python3
"""`echo` and `length` on the official Python SDK: what `mcpool_echo` is with mcpool.

    python_echo.py stdio       one client, on standard input and output
    python_echo.py             HTTP; says on standard error where it listens

Answers are plain JSON and idle connections are kept, as with all the others; nothing is logged. The tools are
coroutines, which spares each call a thread, and have no structured answer, which would carry the text twice.
"""

import socket
import sys

from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings

server = MCPServer("python_echo", version="1", log_level="ERROR")


@server.tool(description="Says back what it is told.", structured_output=False)
async def echo(text: str) -> str:
    return text


@server.tool(description="Says how many bytes it is told.", structured_output=False)
async def length(text: str) -> str:
    return str(len(text.encode()))


def serve_http() -> None:
    import uvicorn

    # Clients may name the host without its port.
    hosts = TransportSecuritySettings(allowed_hosts=["127.0.0.1", "127.0.0.1:*"])
    app = server.streamable_http_app(json_response=True, transport_security=hosts)
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}/mcp", file=sys.stderr, flush=True)
    config = uvicorn.Config(app, log_level="error", access_log=False, timeout_keep_alive=3_600)
    uvicorn.Server(config).run(sockets=[listener])


if sys.argv[1:] == ["stdio"]:
    server.run("stdio")
else:
    serve_http()
