#!/usr/bin/env python3
"""Is a server a drop-in for the official fetch server? Both are given the same calls for the same pages of a site on this
machine; answers, lists of tools and prompts, and what the site was asked for must be the same.

    python drop_in_fetch.py [--verbose] COMMAND [ARGUMENT...]     for instance: drop_in_fetch.py target/release/mcpool serve --tools fetch

`--allow-private-ips` is appended to the command, and left out where refusals are compared. Needs mcp-server-fetch in the
same Python. Differences that are meant stand in drop_in/fetch_allowed.json with a reason each; one that no longer occurs
fails too, so that the list stays true. Exit code 1 if there is any other difference. Made equal before comparing: the
address of the site. Of Markdown, the words are compared, and its text beside them.
"""

import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import drop_in_git
from drop_in_git import Server, report
from fetch_site import PAGES, ROBOTS, Site

HERE = Path(__file__).resolve().parent
REFERENCE = [sys.executable, "-m", "mcp_server_fetch"]
# The reference looks for Node before its first page of HTML, which takes long on a busy machine.
drop_in_git.ANSWER_WITHIN_S = 120
NUMBERS_LENGTH = 3000 * 3 + sum(len(str(number)) for number in range(3000)) + 3000
S = "http://SITE"

PATHS = [f"{S}{path}" for path in PAGES]
URLS = [
    S, f"{S}/", f"{S}/text?", f"{S}/text#part", f"{S}/text?q=a b", f"{S}/text?q=%20\u00e9", f"{S}/t\u00e9xt", f"{S}//text", f"{S}/see/../text",
    f"{S}/see/./deep", f"HTTP://SITE/text", f" {S}/text", f"{S}/text ", f"{S}/te xt", f"{S}/%74ext", f"{S}/text|", f"{S}\\text", f"{S}/\"quoted\"",
    f"{S}/silence", f"{S}/query?no", f"{S}/a.secret",
    "http://127.0.0.1:1/", "http://localhost.invalid/", "http://no-such-host.invalid/", "http://127.0.0.1:99999/", "http://", "http:///x", "http://[::1",
    "example.com", "/text", "", "file:///etc/passwd", "ftp://SITE/text", "data:text/plain,x", "javascript:alert(1)", "gopher://SITE/",
    "http://user:word@SITE/text", "http://user@SITE/text", "mailto:a@b.example",
]
LENGTHS = [
    {"max_length": 10}, {"max_length": 1}, {"max_length": 999_999}, {"max_length": 10, "start_index": 5}, {"start_index": 3},
    {"start_index": NUMBERS_LENGTH - 1}, {"start_index": NUMBERS_LENGTH}, {"start_index": NUMBERS_LENGTH + 1}, {"start_index": 10**9},
    {"start_index": NUMBERS_LENGTH - 10, "max_length": 10}, {"start_index": NUMBERS_LENGTH - 11, "max_length": 10},
    {"raw": True}, {"raw": False}, {"raw": True, "max_length": 7},
]
WRONG = [
    {"max_length": 0}, {"max_length": -1}, {"max_length": 1_000_000}, {"max_length": "10"}, {"max_length": 10.0}, {"max_length": 10.5}, {"max_length": None},
    {"max_length": True}, {"max_length": []}, {"max_length": 2**63}, {"max_length": 10**30}, {"start_index": -1}, {"start_index": "0"}, {"start_index": 1.0},
    {"start_index": None}, {"start_index": False}, {"start_index": {}}, {"raw": 1}, {"raw": 0}, {"raw": "true"}, {"raw": "yes"}, {"raw": None}, {"raw": []},
    {"unknown": 1}, {"max_length": 0, "start_index": -1, "raw": "no"},
]
URL_TYPES = [1, None, True, [f"{S}/text"], {"url": f"{S}/text"}, 1.5]
PRIVATE = [
    f"{S}/text", "http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://0/",
    "http://10.0.0.1/", "http://169.254.169.254/latest/meta-data/", "http://100.100.100.200/", "http://192.168.0.1/", "http://172.16.0.1/", "http://[fe80::1]/",
    "http://[fd00:ec2::254]/", "http://[64:ff9b::127.0.0.1]/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://224.0.0.1/", "http://255.255.255.255/",
    "http://localhost/", "http://LOCALHOST/", "http://localhost./", "https://127.0.0.1/", "http://198.18.0.1/", "http://192.0.2.1/", "http://0.0.0.0/", "http://[::]/",
]


class Comparison:
    def __init__(self, command, parent):
        self.site = Site()
        self.compared, self.differences = 0, []
        self.servers = []
        self.commands = [REFERENCE, command]
        self.bases = [parent / name for name in ("one", "two")]
        for base in self.bases:
            (base / "home").mkdir(parents=True)

    def start(self, *options):
        if self.servers:
            self.compare("the exit code", [server.close() for server in self.servers])
        self.servers = [Server([*command, *options], base) for command, base in zip(self.commands, self.bases)]

    def compare(self, name, pair):
        self.compared += 1
        if pair[0] != pair[1]:
            self.differences.append((name, *[json.dumps(side, ensure_ascii=False, sort_keys=True) for side in pair]))

    def shown(self, value):
        return json.loads(json.dumps(value, ensure_ascii=False).replace(self.site.address, "SITE"))

    def ask(self, name, method, params):
        """Asks both, and compares the answers and what they asked the site for."""
        real = json.loads(json.dumps(params).replace("SITE", self.site.address))
        answers, asked = [], []
        for server in self.servers:
            self.site.asked.clear()
            answers.append(self.shown(server.request(method, real)))
            asked.append(list(self.site.asked))
        self.compare(f"{name}, asked for", asked)
        answers = [without_the_usual(answer) for answer in answers]
        texts = [text_of(answer) for answer in answers]
        if all(text is not None and is_markdown(text) for text in texts):
            self.compare(f"{name}, the words", [words(text) for text in texts])
            self.compare(f"{name}, the Markdown", texts)
        else:
            self.compare(name, answers)

    def call(self, url, **more):
        arguments = {"url": url, **more}
        self.ask(f"fetch {json.dumps(arguments, ensure_ascii=False)}", "tools/call", {"name": "fetch", "arguments": arguments})

    def prompt(self, name, arguments):
        params = {"name": name} if arguments is None else {"name": name, "arguments": arguments}
        self.ask(f"prompt {json.dumps(params, ensure_ascii=False)}", "prompts/get", params)

    def lists(self):
        for method, member in (("tools/list", "tools"), ("prompts/list", "prompts")):
            listed = [server.request(method, {}).get("result", {}).get(member, []) for server in self.servers]
            self.compare(f"{method}, the names in order", [[entry["name"] for entry in entries] for entries in listed])
            for theirs, ours in zip(*listed):
                for key in sorted({*theirs, *ours}):
                    self.compare(f"{method}, {theirs['name']}.{key}", [theirs.get(key), ours.get(key)])


def without_the_usual(answer):
    """An answer without members that say what is so anyway."""
    result = answer.get("result")
    if isinstance(result, dict):
        result.setdefault("isError", False) if "content" in result else None
    return answer


def text_of(answer):
    result = answer.get("result", {})
    blocks = result.get("content") or [message["content"] for message in result.get("messages", [])]
    return "\n".join(block.get("text", "") for block in blocks) if blocks and not result.get("isError") else None


def is_markdown(text):
    return any(mark in text for mark in ("main part, which is found", "Hello, world", "Only text")) and "cannot be simplified" not in text


def words(text):
    return re.sub(r"\W+", " ", text).strip().lower()


def run(command, verbose):
    parent = Path(os.path.realpath(tempfile.mkdtemp(prefix="mcpool-drop-in-fetch-")))
    comparison = Comparison(command, parent)
    comparison.start("--allow-private-ips")
    comparison.lists()
    for url in [*PATHS, *URLS]:
        comparison.call(url)
    for path in ("article", "text", "empty", "json", "bytes"):
        comparison.call(f"{S}/{path}", raw=True)
    for more in LENGTHS:
        comparison.call(f"{S}/numbers", **more)
    for more in WRONG:
        comparison.call(f"{S}/text", **more)
    for url in URL_TYPES:
        comparison.call(url)
    comparison.ask("fetch {}", "tools/call", {"name": "fetch", "arguments": {}})
    comparison.ask("fetch without arguments", "tools/call", {"name": "fetch"})
    comparison.ask("another tool", "tools/call", {"name": "get", "arguments": {}})
    for url in (f"{S}/article", f"{S}/text", f"{S}/empty", f"{S}/hidden/page", f"{S}/status/404", f"{S}/moved/301", "example.com", "", "http://127.0.0.1:1/"):
        comparison.prompt("fetch", {"url": url})
    for name, arguments in (("fetch", {}), ("fetch", None), ("get", {"url": f"{S}/text"}), ("fetch", {"url": f"{S}/text", "more": "x"})):
        comparison.prompt(name, arguments)
    for name in ROBOTS:
        comparison.site.robots = name
        for path in ("/text", "/hidden/page"):
            comparison.call(f"{S}{path}")
    comparison.site.robots = "rules"
    for path in ("/hidden/but", "/hidden/but/not", "/a.secret", "/query?no", "/query?yes", "/moved/hidden", "/robots-elsewhere"):
        comparison.call(f"{S}{path}")
    comparison.site.robots = "all"
    comparison.prompt("fetch", {"url": f"{S}/text"})
    for options in (["--ignore-robots-txt"], ["--user-agent", "Other/2.0"], ["--user-agent", "Other/2.0", "--ignore-robots-txt"]):
        comparison.start("--allow-private-ips", *options)
        comparison.call(f"{S}/text")
        comparison.prompt("fetch", {"url": f"{S}/text"})
    comparison.start()
    comparison.site.robots = "none"
    for url in PRIVATE:
        comparison.call(url)
        comparison.prompt("fetch", {"url": url})
    comparison.compare("the exit code", [server.close() for server in comparison.servers])
    shutil.rmtree(parent)
    return report(comparison, json.loads((HERE / "drop_in/fetch_allowed.json").read_text()), verbose)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    is_verbose = bool(arguments) and arguments[0] == "--verbose"
    if len(arguments) <= is_verbose:
        sys.exit("usage: drop_in_fetch.py [--verbose] COMMAND [ARGUMENT...]")
    sys.exit(run(arguments[is_verbose:], is_verbose))
