#!/usr/bin/env python3
"""The official Python SDK as a client of a filesystem server, over stdio, in both eras of the protocol.

    python_client.py COMMAND [ARGUMENT...]          for instance: python_client.py target/release/mcpool serve

--without=modern,progress,stop before the command leaves out what a server does not have: the reference has none of
the three. A fresh directory is appended to the command. One line per check; the exit code is 1 if one failed. What went over
the wire is recorded by wiretap.sh, so that a check can also say what must NOT have been sent.
"""

import base64
import json
import os
import sys
import tempfile
import time
import traceback
import warnings
from itertools import dropwhile
from pathlib import Path

import anyio
from mcp import Client, MCPError, StdioServerParameters
from mcp_types import INVALID_PARAMS

warnings.filterwarnings("ignore", category=DeprecationWarning)
warnings.filterwarnings("ignore", message=".*2026-07-28.*")  # ping and setLevel are called in their own era

HERE = Path(__file__).resolve().parent
TOOLS = """read_file read_text_file read_media_file read_multiple_files write_file edit_file create_directory list_directory
list_directory_with_sizes directory_tree move_file search_files get_file_info list_allowed_directories
search_content""".split()
TEXT = 'first "line"\\ with é漢😀\nsecond\tline\n\u2028last'
PNG = bytes.fromhex("89504e470d0a1a0a") + bytes(range(256))

LONG_TREE = (20, 500)  # directories, files in each

checks = []


def check(eras="legacy modern"):
    """Registers a check; those of an era run in the order of this file on one connection."""

    def register(function):
        checks.append((eras.split(), function))
        return function

    return register


class Wire:
    """What was recorded of one connection."""

    def __init__(self, record):
        self.record = record

    def messages(self, name):
        """Those whose lines have come whole: tee writes a long one in pieces."""
        lines = (self.record / name).read_text().split("\n")
        return [json.loads(line) for line in lines[:-1] if line]

    def answers(self, request_id):
        return [message for message in self.messages("received") if message.get("id") == request_id]

    def requests(self, method, name=None):
        return [
            message
            for message in self.messages("sent")
            if message.get("method") == method and name in (None, message.get("params", {}).get("name"))
        ]

    def cpu_ticks(self):
        fields = Path(f"/proc/{(self.record / 'pid').read_text().strip()}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])


def search_with(exclusions):
    """A search takes as long as it is asked to: each of the entries is held against each of the exclusions.
    More than some 500 of them are refused (max_pattern_bytes)."""
    return {"path": "long", "pattern": "**/never", "excludePatterns": [f"**/x*y{i}*[a-f]?z" for i in range(exclusions)]}


def text_of(result):
    assert not result.is_error, result
    assert result.structured_content == {"content": result.content[0].text}, "structured and text content differ"
    return result.content[0].text


@check()
async def the_era_is_agreed_on(client, era, wire, **_):
    expected = "2026-07-28" if era == "modern" else "2025-11-25"
    assert client.protocol_version == expected, client.protocol_version
    if not (client.session.initialize_result or client.session.discover_result.ttl_ms):
        return "this mode takes the revision for granted"
    assert client.server_capabilities.tools is not None
    assert client.server_info is not None and client.server_info.name


@check()
async def tools_are_listed(client, **_):
    listed = await client.list_tools()
    assert sorted(tool.name for tool in listed.tools) == sorted(TOOLS), [tool.name for tool in listed.tools]
    for tool in listed.tools:
        assert tool.input_schema["type"] == "object" and tool.output_schema["type"] == "object", tool.name
        assert tool.description and tool.annotations is not None, tool.name
    assert listed.next_cursor is None


@check()
async def what_was_written_is_read(client, root, **_):
    written = await client.call_tool("write_file", {"path": str(root / "new.txt"), "content": TEXT})
    assert "new.txt" in text_of(written)
    assert (root / "new.txt").read_text() == TEXT
    assert text_of(await client.call_tool("read_text_file", {"path": "new.txt"})) == TEXT
    assert text_of(await client.call_tool("read_text_file", {"path": "new.txt", "head": 1})) == TEXT.split("\n")[0]


@check()
async def an_edit_answers_with_its_diff(client, root, **_):
    edits = [{"oldText": "second", "newText": "2nd"}]
    diff = text_of(await client.call_tool("edit_file", {"path": "new.txt", "edits": edits}))
    assert "-second\tline" in diff and "+2nd\tline" in diff, diff
    assert (root / "new.txt").read_text() == TEXT.replace("second", "2nd")


@check()
async def an_image_comes_as_an_image(client, **_):
    result = await client.call_tool("read_media_file", {"path": "dot.png"})
    block = result.content[0]
    assert (block.type, block.mime_type) == ("image", "image/png"), block
    assert base64.b64decode(block.data) == PNG


@check()
async def a_failure_of_a_tool_is_a_result(client, **_):
    result = await client.call_tool("read_text_file", {"path": "missing.txt"})
    assert result.is_error and "ENOENT" in result.content[0].text, result
    assert result.structured_content is None


@check()
async def wrong_arguments_are_a_result_that_says_why(client, **_):
    result = await client.call_tool("read_text_file", {"path": 7})
    assert result.is_error and "Invalid arguments for tool read_text_file" in result.content[0].text, result


@check()
async def an_unknown_tool_is_refused(client, era, **_):
    try:
        result = await client.call_tool("no_such_tool", {})
    except MCPError as error:
        assert error.code == INVALID_PARAMS and "no_such_tool" in error.message, error
    else:
        assert era == "legacy" and result.is_error and "no_such_tool" in result.content[0].text, result


@check()
async def calls_run_side_by_side(client, root, **_):
    for i in range(60):
        (root / f"part{i}.txt").write_text(f"part {i}")
    texts = {}

    async def read(i):
        texts[i] = text_of(await client.call_tool("read_text_file", {"path": f"part{i}.txt"}))

    async with anyio.create_task_group() as tasks:
        for i in range(60):
            tasks.start_soon(read, i)
    assert texts == {i: f"part {i}" for i in range(60)}


@check()
async def a_mebibyte_goes_both_ways(client, root, **_):
    text = 'a line of "text" \\ é\n' * 50_000
    await client.call_tool("write_file", {"path": "large.txt", "content": text})
    assert (root / "large.txt").read_text() == text
    assert text_of(await client.call_tool("read_text_file", {"path": "large.txt"})) == text


@check("legacy")
async def ping_is_answered(client, **_):
    await client.send_ping()


@check("legacy")
async def the_log_level_can_be_set(client, **_):
    if client.server_capabilities.logging is None:
        return "the server does not log to clients"
    await client.set_logging_level("warning")


@check()
async def progress_grows(client, wire, features, **_):
    if "progress" not in features:
        return "not asked for"
    seen = []

    async def note(progress, total, message):
        seen.append(progress)

    await client.call_tool("search_files", search_with(200), progress_callback=note)
    assert seen and seen == sorted(set(seen)), seen
    await client.list_tools(cache_mode="refresh")  # tee writes to the file last: one answer later it is there
    request = wire.requests("tools/call", "search_files")[-1]
    behind = list(dropwhile(lambda message: message.get("id") != request["id"], wire.messages("received")))
    assert behind and not any(message.get("method") == "notifications/progress" for message in behind), behind


@check()
async def a_cancelled_call_is_not_answered_and_stops(client, wire, features, **_):
    if "stop" not in features:
        return "not asked for"

    async def first_progress(progress, total, message):
        scope.cancel()

    with anyio.CancelScope() as scope:
        await client.call_tool("search_files", search_with(400), progress_callback=first_progress)
    assert scope.cancelled_caught, "the call was over before it could be cancelled"
    await client.list_tools(cache_mode="refresh")  # its answer says that what was sent before it has been read
    await anyio.sleep(0.2)
    request = wire.requests("tools/call", "search_files")[-1]
    cancelled = wire.requests("notifications/cancelled")[-1]
    assert cancelled["params"]["requestId"] == request["id"], cancelled
    received, ticks = len(wire.messages("received")), wire.cpu_ticks()
    await anyio.sleep(0.5)
    assert not wire.answers(request["id"]), "a cancelled request was answered"
    assert len(wire.messages("received")) == received, "the server still sends"
    assert wire.cpu_ticks() - ticks <= 5, f"the server still works: {wire.cpu_ticks() - ticks} ticks of 10 ms in 500 ms"
    assert text_of(await client.call_tool("list_allowed_directories", {}))


def make_tree(root):
    (root / "dot.png").write_bytes(PNG)
    directories, files = LONG_TREE
    for i in range(directories):
        directory = root / "long" / f"directory{i}"
        directory.mkdir(parents=True)
        for j in range(files):
            (directory / f"file{j}").touch()


def judge(name, failure, tally):
    if failure is None:
        tally["passed"] += 1
        print(f"ok      {name}")
    else:
        tally["failed"] += 1
        print(f"FAILED  {name}\n        " + failure.strip().replace("\n", "\n        "))
    sys.stdout.flush()


async def run(command, root, era, mode, features, tally):
    record = Path(tempfile.mkdtemp(prefix="record-", dir=root.parent))
    wire = Wire(record)
    server = StdioServerParameters(
        command=str(HERE / "wiretap.sh"), args=[str(record), *command, str(root)], env=dict(os.environ)
    )
    chosen = [function for eras, function in checks if era in eras]
    done = 0
    try:
        with anyio.fail_after(120):
            async with Client(server, mode=mode) as client:
                for function in chosen:
                    name = f"python {mode}: {function.__name__.replace('_', ' ')}"
                    done += 1
                    try:
                        skipped = await function(client=client, era=era, root=root, wire=wire, features=features)
                    except Exception as error:
                        judge(name, "".join(traceback.format_exception(error)[-3:]), tally)
                    else:
                        print(f"skipped {name}: {skipped}") if skipped else judge(name, None, tally)
                begun = time.monotonic()
    except BaseException as error:
        reason = "".join(traceback.format_exception(error)[-3:])
        log = (record / "stderr").read_text() if (record / "stderr").exists() else ""
        judge(f"python {mode}: connection, {len(chosen) - done} checks left", f"{reason}\n{log[-2000:]}", tally)
    else:
        failure = None
        try:
            # The SDK closes stdin and waits two seconds before it sends a signal: `exit` is written only without one.
            code = (record / "exit").read_text().strip()
            assert code == "0", f"exit code {code}"
            assert (record / "received").read_text().endswith("\n"), "the last line is not whole"
            assert all(message.get("jsonrpc") == "2.0" for message in wire.messages("received"))
        except Exception as error:
            failure = f"{error!r} after {time.monotonic() - begun:.1f} s"
        judge(f"python {mode}: the server ends by itself when stdin closes, and wrote nothing but JSON-RPC", failure, tally)


def main():
    arguments = sys.argv[1:]
    features = {"modern", "progress", "stop"}
    while arguments and arguments[0].startswith("--without="):
        features -= set(arguments.pop(0).removeprefix("--without=").split(","))
    if not arguments:
        sys.exit(__doc__)
    tally = {"passed": 0, "failed": 0}
    eras = [("legacy", "legacy"), ("modern", "auto"), ("modern", "2026-07-28")]
    if "modern" not in features:
        eras = eras[:1]
    with tempfile.TemporaryDirectory(prefix="mcpool-interop-") as base:
        root = Path(base).resolve() / "files"
        root.mkdir()
        make_tree(root)
        for era, mode in eras:
            anyio.run(run, arguments, root, era, mode, features, tally)
    print(f"{tally['passed']} passed, {tally['failed']} failed")
    sys.exit(1 if tally["failed"] else 0)


if __name__ == "__main__":
    main()
