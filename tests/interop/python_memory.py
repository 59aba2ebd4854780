#!/usr/bin/env python3
"""The official Python SDK as a client of the memory tools, over stdio, in both eras of the protocol.

    python_memory.py COMMAND [ARGUMENT...]          for instance: python_memory.py target/release/mcpool serve --tools memory

MEMORY_FILE_PATH names a file that is not there yet. The SDK holds each structured answer against the schema of its tool.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import anyio
from mcp import Client, StdioServerParameters

TOOLS = """create_entities create_relations add_observations delete_entities delete_observations delete_relations read_graph
search_nodes open_nodes""".split()
URI = "memory://knowledge-graph"
ADA = {"name": "Ada \"é\"", "entityType": "person", "observations": ["wrote a program", "漢😀\n"]}
BABBAGE = {"name": "Babbage", "entityType": "person", "observations": []}
KNOWS = {"from": ADA["name"], "to": "Babbage", "relationType": "knows"}


async def answer(client, tool, **arguments):
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result
    return result.structured_content


async def check(client, file):
    listed = await client.list_tools()
    assert [tool.name for tool in listed.tools] == TOOLS, listed
    assert await answer(client, "create_entities", entities=[ADA, BABBAGE]) == {"entities": [ADA, BABBAGE]}
    assert await answer(client, "create_entities", entities=[ADA]) == {"entities": []}
    assert await answer(client, "create_relations", relations=[KNOWS]) == {"relations": [KNOWS]}
    added = await answer(client, "add_observations", observations=[{"entityName": "Babbage", "contents": ["built engines"]}])
    assert added == {"results": [{"entityName": "Babbage", "addedObservations": ["built engines"]}]}, added
    babbage = {**BABBAGE, "observations": ["built engines"]}
    graph = {"entities": [ADA, babbage], "relations": [KNOWS]}
    assert await answer(client, "read_graph") == graph
    assert await answer(client, "search_nodes", query="ENGINES") == {**graph, "entities": [babbage]}
    assert await answer(client, "open_nodes", names=[ADA["name"]]) == {**graph, "entities": [ADA]}
    assert [str(resource.uri) for resource in (await client.list_resources()).resources] == [URI]
    read = await client.read_resource(URI)
    assert json.loads(read.contents[0].text) == graph, read
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines == [{"type": "entity", **ADA}, {"type": "entity", **babbage}, {"type": "relation", **KNOWS}], lines
    unknown = await client.call_tool("add_observations", {"observations": [{"entityName": "nobody", "contents": []}]})
    assert unknown.is_error and unknown.content[0].text == "Entity with name nobody not found", unknown
    done = await answer(client, "delete_observations", deletions=[{"entityName": "Babbage", "observations": ["built engines"]}])
    assert done == {"success": True, "message": "Observations deleted successfully"}, done
    await answer(client, "delete_relations", relations=[KNOWS])
    await answer(client, "delete_entities", entityNames=[ADA["name"]])
    assert await answer(client, "read_graph") == {"entities": [BABBAGE], "relations": []}


async def main():
    command, *arguments = sys.argv[1:]
    for era, mode in [("legacy", "legacy"), ("modern", "2026-07-28")]:
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "memory.jsonl"
            environment = {**os.environ, "MEMORY_FILE_PATH": str(file)}
            server = StdioServerParameters(command=command, args=arguments, env=environment)
            async with Client(server, mode=mode) as client:
                await check(client, file)
        print(f"ok    {era}: the memory tools")


if len(sys.argv) < 2:
    sys.exit(__doc__)
anyio.run(main)
