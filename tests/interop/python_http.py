#!/usr/bin/env python3
"""The official Python SDK as an HTTP client of mcpool, in both eras of the protocol.

    python_http.py PROGRAM EXAMPLE     for instance: python_http.py target/release/mcpool target/debug/examples/conformance

PROGRAM serves files and is asked what python_client.py asks over stdio; EXAMPLE, the server of the conformance
suite, has all the rest of the protocol. At last come many clients at once. One line per check; the exit code is 1 if
one failed. Every exchange is recorded, so that a check can also say what must NOT have been sent.
"""

import base64
import re
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

import anyio
import httpx2
import mcp_types as types
import python_client as files
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from python_client import judge, search_with, text_of

CLIENTS, CALLS = 50, 20
# Unless told otherwise this SDK refuses events of more than 1 MiB, and the answer to a legacy call is an event.
MAX_EVENT_BYTES = 8 * 1024 * 1024
CONNECTIONS = [("legacy", "legacy"), ("modern", "auto"), ("modern", "2026-07-28")]

checks = []


def check(eras="legacy modern"):
    """Registers a check of the example."""

    def register(function):
        checks.append((eras.split(), function))
        return function

    return register


class Server:
    """A server of its own process; its standard error is read to its end."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.log, self.url, told = "", None, threading.Event()

        def read():
            for line in self.process.stderr:
                self.log += line.decode()
                if found := re.match(r"(?:mcpool: )?listening on (http\S+)", line.decode()):
                    self.url = found[1]
                    told.set()
            told.set()

        threading.Thread(target=read, daemon=True).start()
        told.wait(20)
        assert self.url, f"{command} told no address: {self.log}"

    def cpu_ticks(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def stop(self):
        assert self.process.poll() is None, f"the server had ended with {self.process.returncode}: {self.log[-2000:]}"
        self.process.terminate()
        self.process.wait(40)
        assert "panicked" not in self.log, self.log[-2000:]


class Exchanges:
    """An HTTP client that notes what is asked and how it is answered."""

    def __init__(self, url):
        self.url = url
        self.seen = []

    async def note(self, response):
        self.seen.append((response.request, response))

    def http_client(self):
        return httpx2.AsyncClient(event_hooks={"response": [self.note]}, timeout=httpx2.Timeout(30, read=60), follow_redirects=True)

    def methods(self):
        return {request.method for request, _ in self.seen}

    def sessions(self):
        return {response.headers["mcp-session-id"] for _, response in self.seen if "mcp-session-id" in response.headers}


class Peer:
    """What a client does when the server asks it, and what it was told."""

    def __init__(self):
        self.logged, self.notified = [], []

    async def elicit(self, context, params):
        fields = params.requested_schema["properties"]
        values = {"boolean": True, "integer": 7, "number": 7.5, "array": []}
        content = {name: values.get(field.get("type"), "Ann") for name, field in fields.items()}
        return types.ElicitResult(action="accept", content=content)

    async def sample(self, context, params):
        content = types.TextContent(type="text", text="Paris")
        return types.CreateMessageResult(role="assistant", content=content, model="none")

    async def roots(self, context):
        return types.ListRootsResult(roots=[types.Root(uri="file:///a/folder")])

    async def log(self, params):
        self.logged.append(params)

    async def message(self, message):
        self.notified.append(message)

    async def until(self, wanted):
        with anyio.fail_after(10):
            while not any(wanted(message) for message in self.notified):
                await anyio.sleep(0.02)

    def options(self):
        return {
            "elicitation_callback": self.elicit,
            "sampling_callback": self.sample,
            "list_roots_callback": self.roots,
            "logging_callback": self.log,
            "message_handler": self.message,
            "log_level": "info",
        }


async def said(client, name, arguments=None, **options):
    result = await client.call_tool(name, arguments, **options)
    assert not result.is_error and result.content[-1].type == "text", result
    return result.content[-1].text


@check()
async def every_kind_of_content_comes(client, **_):
    assert await said(client, "test_simple_text") == "This is a simple text response for testing."
    [image] = (await client.call_tool("test_image_content")).content
    assert image.mime_type == "image/png" and base64.b64decode(image.data).startswith(b"\x89PNG"), image
    [sound] = (await client.call_tool("test_audio_content")).content
    assert sound.mime_type == "audio/wav" and base64.b64decode(sound.data).startswith(b"RIFF"), sound
    mixed = (await client.call_tool("test_multiple_content_types")).content
    assert [block.type for block in mixed] == ["text", "image", "resource"], mixed


@check()
async def failures_are_told_apart(client, era, **_):
    failed = await client.call_tool("test_error_handling")
    assert failed.is_error and "intentionally" in failed.content[0].text, failed
    try:
        unknown = await client.call_tool("no_such_tool")
    except MCPError as error:
        assert error.code == types.INVALID_PARAMS and "no_such_tool" in error.message, error
    else:
        assert era == "legacy" and unknown.is_error, unknown


@check()
async def progress_comes_before_the_answer(client, **_):
    seen = []

    async def note(progress, total, message):
        seen.append((progress, total))

    await client.call_tool("test_tool_with_progress", progress_callback=note)
    assert seen == [(0, 100), (50, 100), (100, 100)], seen


@check()
async def log_messages_come_to_those_who_ask(client, era, peer, **_):
    if era == "legacy":
        await client.set_logging_level("info")
    await said(client, "test_tool_with_logging")
    assert [params.level for params in peer.logged] == ["info"] * 3, peer.logged


@check("legacy")
async def the_server_asks_in_the_middle_of_a_call(client, **_):
    assert "Paris" in await said(client, "test_sampling", {"prompt": "Capital of France?"})
    assert '"username":"Ann"' in await said(client, "test_elicitation", {"message": "Who are you?"})


@check()
async def a_tool_that_asks_serves_both_eras(client, **_):
    assert await said(client, "test_input_required_result_elicitation") == "Hello, Ann!"
    assert "Paris" in await said(client, "test_input_required_result_sampling")
    assert "file:///a/folder" in await said(client, "test_input_required_result_list_roots")
    assert await said(client, "test_input_required_result_request_state") == "state-ok"
    assert await said(client, "test_input_required_result_multiple_inputs") == "All 3 answers are there."
    assert await said(client, "test_input_required_result_multi_round") == "Both steps are done."


@check()
async def resources_are_listed_and_read(client, era, **_):
    uris = [resource.uri for resource in (await client.list_resources()).resources]
    assert [str(uri) for uri in uris] == [f"test://{name}" for name in ("static-text", "static-binary", "watched-resource")]
    [template] = (await client.list_resource_templates()).resource_templates
    assert template.uri_template == "test://template/{id}/data", template
    [text] = (await client.read_resource("test://static-text")).contents
    assert text.text == "This is the content of the static text resource.", text
    [binary] = (await client.read_resource("test://static-binary")).contents
    assert base64.b64decode(binary.blob).startswith(b"\x89PNG"), binary
    [made] = (await client.read_resource("test://template/a%20b/data")).contents
    assert "a%20b" in made.text or "a b" in made.text, made
    try:
        await client.read_resource("test://missing")
    except MCPError as error:
        assert error.code == (-32002 if era == "legacy" else types.INVALID_PARAMS), error
    else:
        raise AssertionError("a missing resource was read")


@check()
async def prompts_are_listed_and_made(client, **_):
    names = [prompt.name for prompt in (await client.list_prompts()).prompts]
    assert len(names) == 5 and "test_simple_prompt" in names, names
    made = await client.get_prompt("test_prompt_with_arguments", {"arg1": "é", "arg2": '"'})
    assert made.messages[0].content.text == "Prompt with arguments: arg1='é', arg2='\"'", made
    image = (await client.get_prompt("test_prompt_with_image")).messages[0]
    assert image.content.type == "image", image
    asked = await client.get_prompt("test_input_required_result_prompt")
    assert asked.messages[0].content.text == "Go on with: Ann", asked
    try:
        await client.get_prompt("no_such_prompt")
    except MCPError as error:
        assert error.code == types.INVALID_PARAMS, error
    else:
        raise AssertionError("a missing prompt was made")


@check()
async def arguments_are_completed(client, **_):
    prompt = types.PromptReference(type="ref/prompt", name="test_prompt_with_arguments")
    completed = await client.complete(prompt, {"name": "arg1", "value": "par"})
    assert completed.completion.values == ["paris", "park", "party"], completed


@check("legacy")
async def a_subscriber_is_told_of_changes(client, peer, **_):
    def is_update(message):
        return isinstance(message, types.ResourceUpdatedNotification) and "watched" in str(message.params.uri)

    await client.subscribe_resource("test://watched-resource")
    await said(client, "test_trigger_resource_update")
    await peer.until(is_update)
    await client.unsubscribe_resource("test://watched-resource")
    peer.notified.clear()
    await said(client, "test_trigger_resource_update")
    await said(client, "test_trigger_tool_change")
    await peer.until(lambda message: isinstance(message, types.ToolListChangedNotification))
    assert not any(map(is_update, peer.notified)), "still told after unsubscribing"


@check("modern")
async def a_listener_is_told_of_changes(client, **_):
    seen = []
    with anyio.fail_after(20):
        async with client.listen(tools_list_changed=True, resource_subscriptions=["test://watched-resource"]) as events:
            assert events.honored.tools_list_changed, events.honored
            await said(client, "test_trigger_prompt_change")  # was not asked for
            await said(client, "test_trigger_tool_change")
            seen.append(type(await anext(events)).__name__)
            await said(client, "test_trigger_resource_update")
            seen.append(type(await anext(events)).__name__)
    assert seen == ["ToolsListChanged", "ResourceUpdated"], seen


@check("legacy")
async def an_answer_is_fetched_where_the_stream_broke(client, exchanges, **_):
    assert await said(client, "test_reconnection") == "The client came back for this."
    assert any("last-event-id" in request.headers for request, _ in exchanges.seen), "the stream was not resumed"


@check()
async def a_cancelled_call_ends_at_once(client, era, exchanges, **_):
    begun = time.monotonic()
    with anyio.move_on_after(0.5) as scope:
        await client.call_tool("slow_compute", {"seconds": 30})
    assert scope.cancelled_caught
    await said(client, "test_simple_text")
    assert time.monotonic() - begun < 15, "the answer waited for the cancelled call"
    # In the modern era the closed stream says it all.
    told = [answer.status_code for asked, answer in exchanges.seen if b'"notifications/cancelled"' in asked.content]
    assert told == ([202] if era == "legacy" else []), told


async def progress_grows(client, **_):
    seen = []

    async def note(progress, total, message):
        seen.append(progress)

    await client.call_tool("search_files", search_with(200), progress_callback=note)
    assert seen and seen == sorted(set(seen)), seen


async def a_cancelled_search_stops(client, server, **_):
    async def first_progress(progress, total, message):
        scope.cancel()

    with anyio.CancelScope() as scope:
        await client.call_tool("search_files", search_with(400), progress_callback=first_progress)
    assert scope.cancelled_caught, "the call was over before it could be cancelled"
    await client.list_tools(cache_mode="refresh")
    await anyio.sleep(0.3)
    ticks = server.cpu_ticks()
    await anyio.sleep(0.5)
    worked = server.cpu_ticks() - ticks
    assert worked <= 5, f"the server still works: {worked} ticks of 10 ms in 500 ms"
    assert text_of(await client.call_tool("list_allowed_directories", {}))


def closed_as_the_era_says(era, exchanges):
    """A session is given back and then unknown; the modern era has none, and nothing but POST."""
    if era == "modern":
        assert exchanges.methods() == {"POST"} and not exchanges.sessions(), (exchanges.methods(), exchanges.sessions())
        return
    [session] = exchanges.sessions()
    request, response = exchanges.seen[-1]
    assert request.method == "DELETE" and response.is_success, (request, response)
    headers = {"accept": "application/json, text/event-stream", "mcp-session-id": session}
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert httpx2.post(exchanges.url, headers=headers, json=ping).status_code == 404, "the session outlived its end"


async def run(server, title, era, mode, chosen, tally, **given):
    """The chosen checks on one connection, and its end."""
    exchanges, peer = Exchanges(server.url), Peer()
    done = 0
    try:
        with anyio.fail_after(180):
            async with exchanges.http_client() as http:
                transport = streamable_http_client(server.url, http_client=http, max_sse_event_size=MAX_EVENT_BYTES)
                async with Client(transport, mode=mode, **peer.options()) as client:
                    for function in chosen:
                        name = f"python http {mode}: {title}: {function.__name__.replace('_', ' ')}"
                        done += 1
                        peer.logged.clear()
                        peer.notified.clear()
                        try:
                            skipped = await function(
                                client=client, era=era, server=server, peer=peer, exchanges=exchanges, **given
                            )
                        except Exception as error:
                            judge(name, "".join(traceback.format_exception(error)[-3:]), tally)
                        else:
                            print(f"skipped {name}: {skipped}") if skipped else judge(name, None, tally)
    except BaseException as error:
        failure = "".join(traceback.format_exception(error)[-3:])
        judge(f"python http {mode}: {title}: connection, {len(chosen) - done} checks left", failure, tally)
        return
    attempt(f"python http {mode}: {title}: it closes", lambda: closed_as_the_era_says(era, exchanges), tally)


def attempt(name, function, tally):
    try:
        function()
    except Exception as error:
        judge(name, "".join(traceback.format_exception(error)[-3:]), tally)
    else:
        judge(name, None, tally)


async def many(server, root, era, mode):
    """Each client's files have contents of their own, so that an answer to another client's call shows."""

    async def one(client_number):
        async with Client(server.url, mode=mode) as client:
            gate.release()
            await everybody.wait()
            name, written = f"client{client_number}.txt", []
            for call in range(CALLS // 2):
                text = f"call {call} of {mode} client {client_number}\n" * (1 + 40 * (call % 3))
                await client.call_tool("write_file", {"path": str(root / name), "content": text})
                written.append(text_of(await client.call_tool("read_text_file", {"path": name})) == text)
            answers.append(written == [True] * (CALLS // 2))

    answers, everybody, gate = [], anyio.Event(), anyio.Semaphore(0)
    with anyio.fail_after(180):
        async with anyio.create_task_group() as tasks:
            for client_number in range(CLIENTS):
                tasks.start_soon(one, client_number)
            for _ in range(CLIENTS):
                await gate.acquire()
            everybody.set()
    assert answers == [True] * CLIENTS, f"{answers.count(True)} of {CLIENTS} clients got their own answers"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    program, example = sys.argv[1:]
    tally = {"passed": 0, "failed": 0}
    with tempfile.TemporaryDirectory(prefix="mcpool-interop-") as base:
        root = Path(base).resolve() / "files"
        root.mkdir()
        files.make_tree(root)
        served = Server([program, "serve", "--http", "127.0.0.1:0", str(root)])
        fixtures = Server([example, "127.0.0.1:0"])
        for era, mode in CONNECTIONS:
            # What those of stdio look at the recorded bytes for is asked differently here.
            shared = [function for eras, function in files.checks if era in eras]
            given = {"root": root, "wire": None, "features": set()}
            chosen = [*shared, progress_grows, a_cancelled_search_stops]
            anyio.run(lambda: run(served, "files", era, mode, chosen, tally, **given))
            chosen = [function for eras, function in checks if era in eras]
            anyio.run(lambda: run(fixtures, "example", era, mode, chosen, tally))
        for era, mode in CONNECTIONS:
            name = f"python http {mode}: {CLIENTS} clients at once, {CALLS} calls each"
            attempt(name, lambda: anyio.run(many, served, root, era, mode), tally)
        attempt("python http: the file server ran to its end", served.stop, tally)
        attempt("python http: the example ran to its end", fixtures.stop, tally)
    print(f"{tally['passed']} passed, {tally['failed']} failed")
    sys.exit(1 if tally["failed"] else 0)


if __name__ == "__main__":
    main()
