#!/usr/bin/env python3
"""The official Python SDK as a client of each toolset of toolsets.json, over stdio and HTTP, in both eras of the protocol.

    python_toolsets.py PROGRAM          for instance: python_toolsets.py target/release/mcpool

Each connection has a server, a repository and a graph of its own. The SDK holds each structured answer against the schema
of its tool. One line for each connection; the exit code is 1 if one failed.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import anyio
from fetch_site import Site
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from python_http import Server

HERE = Path(__file__).resolve().parent
ERAS = [("legacy", "2025-11-25"), ("auto", "2026-07-28"), ("2026-07-28", "2026-07-28")]
WHO = {"GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": "a@example.org"}


def make_repository(repository):
    repository.mkdir()
    (repository / "first.txt").write_text("first\n")
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", *arguments], cwd=repository, check=True)
    (repository / "new.txt").write_text("a new line\n")


async def check(client, toolset, revision, filled):
    assert client.protocol_version == revision, client.protocol_version
    tools = (await client.list_tools()).tools
    assert [tool.name for tool in tools] == toolset["tools"], tools
    assert all(tool.description and tool.input_schema["type"] == "object" for tool in tools)
    for name, arguments, wanted, *fails in toolset["calls"]:
        result = await client.call_tool(name, json.loads(filled(json.dumps(arguments))))
        [block] = result.content
        assert bool(result.is_error) == bool(fails), (name, result)
        assert re.search(filled(wanted), block.text, re.DOTALL), (name, block.text)
        structured = toolset.get("isStructured", [])
        if not fails:
            assert (result.structured_content is not None) == (structured is True or name in structured), (name, result)
    if wanted := toolset.get("prompts"):
        names = [name for name, *_ in wanted] + toolset.get("otherPrompts", [])
        assert [prompt.name for prompt in (await client.list_prompts()).prompts] == names
        for name, arguments, text in wanted:
            [message] = (await client.get_prompt(name, json.loads(filled(json.dumps(arguments))))).messages
            assert message.role == "user" and re.search(text, message.content.text), message
    if wanted := toolset.get("resources"):
        resources = (await client.list_resources()).resources
        assert [str(resource.uri) for resource in resources] == [filled(uri) for uri, _ in wanted], resources
        for uri, text in wanted:
            [contents] = (await client.read_resource(filled(uri))).contents
            assert re.search(text, contents.text), contents


async def over_stdio(command, mode, checks):
    async with Client(StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ)), mode=mode) as client:
        await checks(client)


async def over_http(command, mode, checks):
    server = Server([*command, "--http", "127.0.0.1:0"])
    try:
        async with Client(streamable_http_client(server.url), mode=mode) as client:
            await checks(client)
    finally:
        server.stop()


def main(program):
    toolsets, failed, passed, site = json.loads((HERE / "toolsets.json").read_text()), 0, 0, Site()
    os.environ.update(WHO)
    for name, toolset in toolsets.items():
        for connect in (over_stdio, over_http):
            for mode, revision in ERAS:
                with tempfile.TemporaryDirectory(prefix="mcpool-toolsets-") as base:
                    base = Path(base).resolve()
                    os.environ.update(MEMORY_FILE_PATH=str(base / "memory.jsonl"), HOME=str(base))
                    make_repository(base / "repository")

                    def filled(text):
                        return text.replace("REPO", str(base / "repository")).replace("SITE", f"http://{site.address}")

                    command = [program, "serve", "--tools", name, *map(filled, toolset.get("options", []))]

                    async def within():
                        with anyio.fail_after(120):
                            await connect(command, mode, lambda client: check(client, toolset, revision, filled))

                    title = f"python {mode} {connect.__name__.replace('_', ' ')}: {name}"
                    try:
                        anyio.run(within)
                    except BaseException as error:
                        failed += 1
                        print(f"FAILED  {title}\n" + "".join(traceback.format_exception(error)[-6:]), flush=True)
                    else:
                        passed += 1
                        print(f"ok      {title}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
