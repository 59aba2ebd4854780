#!/usr/bin/env python3
"""Holds a filesystem server against the official one: the same calls, each on its own copy of the same tree.

    drop_in.py REFERENCE_PACKAGE COMMAND [ARGUMENT...]
    drop_in.py node_modules/@modelcontextprotocol/server-filesystem target/release/mcpool serve

Reads the calls from calls.jsonl (`ROOT` stands for the folder of the tree), compares every answer, the list of
tools, and the tree on disk afterwards. Our answers are also validated against the official schema. A difference that is meant has a rule in `ALLOWED`, with its reason; a rule
that no call needs any more is a failure too. The exit code is 1 if anything differs otherwise.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import jsonschema

HERE = Path(__file__).resolve().parent
TIME = 1_700_000_000
REVISION = "2025-06-18"

MEDIA = "img.png IMG.JPG i.jpeg g.gif w.webp b.bmp s.svg m.mp3 w.wav o.ogg f.flac x.bin .png ..png noext dot.".split()

FILES = {
    "rfoo/x.txt": "sibling",
    "out/secret.txt": "secret",
    "s/in_s.txt": "second root",
    "r/a.txt": "alpha\nbeta\ngamma\n",
    "r/nonl.txt": "one\ntwo",
    "r/empty.txt": "",
    "r/nl.txt": "\n",
    "r/nlnl.txt": "\n\n",
    "r/crlf.txt": "a\r\nb\r\nc\r\n",
    "r/cr.txt": "a\rb\r\rc\r",
    "r/bom.txt": b"\xef\xbb\xbfhi\n",
    "r/bad.bin": b"a\xff\xfe\xc3(\xe2\x82z\xf0\x9f\x98\xed\xa0\x80\n",
    "r/nul.txt": b"a\x00b",
    "r/uni.txt": "é漢😀\n" * 400,
    "r/long.txt": "x" * 5000 + "\n" + "y" * 3000 + "\nlast\n",
    "r/many.txt": "".join(f"line {i}\n" for i in range(3000)),
    "r/crlfbig.txt": "é" * 511 + "\r\n" + "b" * 1023 + "\r\nlast\r",
    "r/code.py": "def f():\n    if x:\n        return 1\n    return 2\n\n\nclass A:\n\tpass\n",
    "r/dir/one.txt": "1" * 10,
    "r/dir/two.md": "2" * 2000,
    "r/dir/sub/three.txt": "3" * 3_000_000,
    "r/dir/sub/deep/four.txt": "4",
    "r/dir/.hidden/x": "h",
    "r/dir/node_modules/p/index.js": "js",
    "r/dir/B.txt": "B",
    "r/dir/_u.txt": "u",
    "r/dir/1.txt": "n",
    "r/dir/é.txt": "e",
    "r/dir/a-very-long-name-that-exceeds-thirty-characters.txt": "l",
    "r/dir/漢😀.txt": "c",
    # The same name composed (NFC) and decomposed (NFD), alone and side by side.
    "r/nfc_\u00e9.txt": "nfc",
    "r/nfd_e\u0301.txt": "nfd",
    "r/both_\u00e9.txt": "c",
    "r/both_e\u0301.txt": "d",
    "r/d_\u00e9/x.txt": "in nfc dir",
    "r/ amb_A\u030a\u0323.txt": "q",
    "r/amb_\u1e69.txt": "1",
    "r/amb_s\u0323\u0307.txt": "2",
    "r/perm.txt": "p",
    "r/C:x": "drive-ish",
    "r/sp ": "trailing blank",
    'r/"q"': "quoted",
    "r/back\\slash": "bs",
    "r/%41": "pct",
    "r/~user": "tilde",
    **{f"r/media/{name}": bytes(range(i, i + 20)) for i, name in enumerate([*MEDIA, "sp ace#%?é.dat"])},
}

LINKS = {
    "r/link_in": "a.txt",
    "r/link_dir_abs": "ROOT/r/dir",
    "r/link_dir": "dir",
    "r/link_out": "ROOT/out/secret.txt",
    "r/link_out_dir": "../out",
    "r/dangling": "nowhere",
    "r/dangling_out": "../out/nothing",
    "r/link_to_s": "ROOT/s/in_s.txt",
    "r/loop": "loop",
    "r/link_chain": "link_in",
    "r/link_out_and_in": "../r/a.txt",
    "r/dir/sub/uplink": "../sub",
    "r/dir/sub/l1": "../one.txt",
    "r/dir/sub/lo": "../../../out",
    "r/dir/sub/ld": "x",
    "rlink": "ROOT/r",
}


def build(root):
    """Makes the tree: two allowed folders `r` and `s`, a folder `out` that is not, and a sibling of `r`."""
    for name, content in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for folder in ("r/dir/emptydir", "r/emptydir"):
        (root / folder).mkdir(parents=True)
    for name, target in LINKS.items():
        os.symlink(target.replace("ROOT", str(root)), root / name)
    os.chmod(root / "r/perm.txt", 0o741)
    for folder, _, names in os.walk(root):
        for name in names:
            os.utime(os.path.join(folder, name), (TIME, TIME), follow_symlinks=False)
        os.utime(folder, (TIME, TIME))


def snapshot(root):
    """What is on disk: kind, mode, and target or bytes, by path."""
    found = {}
    for folder, folders, names in os.walk(root):
        for name in folders + names:
            path = Path(folder, name)
            mode = oct(path.lstat().st_mode)
            key = str(path.relative_to(root))
            if path.is_symlink():
                found[key] = ("link", os.readlink(path).replace(str(root), "ROOT"))
            else:
                found[key] = ("file", mode, path.read_bytes()) if path.is_file() else ("other", mode)
    return found


class Server:
    def __init__(self, command, root):
        self.root = root
        self.id = 0
        self.process = subprocess.Popen(
            [*command, str(root / "r"), f"{root}/s/"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        client = {"name": "drop_in", "version": "1"}
        self.ask("initialize", {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": client})
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def send(self, message):
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, method, params):
        self.id += 1
        self.send({"jsonrpc": "2.0", "id": self.id, "method": method, "params": params})
        for line in self.process.stdout:
            message = json.loads(line)
            if message.get("id") == self.id:
                return {key: value for key, value in message.items() if key in ("result", "error")}
        raise SystemExit(f"the server ended with {self.process.wait()} at {method} {params}")

    def call(self, tool, arguments):
        placed = json.loads(json.dumps(arguments).replace("ROOT", str(self.root)))
        answer = json.dumps(self.ask("tools/call", {"name": tool, "arguments": placed}), ensure_ascii=False)
        # What must differ: the folder, the name of a temporary file, and times nobody can set.
        answer = answer.replace(str(self.root), "ROOT")
        answer = re.sub(r"\.[0-9a-f]{32}\.tmp", ".TMP", answer)
        return json.loads(re.sub(r"(created|accessed): [^\\]*", r"\1: TIME", answer))

    def tools(self):
        return self.ask("tools/list", {})["result"]["tools"]

    def close(self):
        self.process.stdin.close()
        return self.process.wait(timeout=30)


def validators():
    """What each kind of answer is validated with."""
    schema = json.loads((HERE.parent / "fixtures/schema" / REVISION / "schema.json").read_text())
    return {
        name: jsonschema.Draft7Validator({**schema, "allOf": [{"$ref": f"#/definitions/{name}"}]})
        for name in ("CallToolResult", "ListToolsResult", "JSONRPCError")
    }


def faults(valid, answer):
    if "error" in answer:
        return [fault.message for fault in valid["JSONRPCError"].iter_errors({"jsonrpc": "2.0", "id": 1, **answer})]
    return [fault.message for fault in valid["CallToolResult"].iter_errors(answer["result"])]


def text(answer):
    content = answer.get("result", {}).get("content") or [{}]
    return content[0].get("text", "")


def wording_of_invalid_arguments(tool, _arguments, reference, ours):
    prefix = f"MCP error -32602: Input validation error: Invalid arguments for tool {tool}: "
    return text(reference).startswith(prefix) and text(ours).startswith(prefix)


def unknown_tool_or_shape(_tool, _arguments, reference, ours):
    return ours.get("error", {}).get("code") == -32602 and (
        reference.get("result", {}).get("isError") or "error" in reference
    )


def sizes_of_links_that_lead_out(tool, _arguments, reference, ours):
    def masked(answer):
        lines = (re.sub(r"(link_out\S*|rlink|lo) +.*$", r"\1", line) for line in text(answer).split("\n"))
        # Sorted, as the size also decides the place.
        return sorted(line for line in lines if not line.startswith("Combined size"))

    return tool == "list_directory_with_sizes" and masked(reference) == masked(ours)


# Differences that are meant: a rule, and why.
ALLOWED = {
    wording_of_invalid_arguments: "what is wrong with arguments is said in serde's words instead of zod's",
    unknown_tool_or_shape: "an unknown tool is a protocol error, as the specification says, not a result",
    sizes_of_links_that_lead_out: "what a link that leads out points to is not looked at, not even for its size",
}


def main():
    package, command = Path(sys.argv[1]).resolve(), sys.argv[2:]
    command[0] = str(Path(command[0]).resolve())
    passed, failed, used = 0, 0, set()

    def check(name, reference, ours, is_allowed=lambda: False):
        nonlocal passed, failed
        if reference == ours or is_allowed():
            passed += 1
            return
        failed += 1
        print(f"DIFFERS {name}\n  reference {str(reference)[:600]}\n  ours      {str(ours)[:600]}")

    with tempfile.TemporaryDirectory() as folder:
        roots = [Path(folder).resolve() / side for side in ("A", "B")]
        for root in roots:
            build(root)
        reference = Server(["node", str(package / "dist/index.js")], roots[0])
        ours = Server(command, roots[1])
        check("tools/list", reference.tools(), ours.tools())
        valid = validators()
        check("tools/list is valid", [], list(valid["ListToolsResult"].iter_errors({"tools": ours.tools()})))
        for line in (HERE / "calls.jsonl").read_text().splitlines():
            call = json.loads(line)
            tool, arguments = call["tool"], call["arguments"]
            answers = reference.call(tool, arguments), ours.call(tool, arguments)

            def is_allowed(tool=tool, arguments=arguments, answers=answers):
                rules = [rule for rule in ALLOWED if rule(tool, arguments, *answers)]
                used.update(rules[:1])
                return bool(rules)

            name = f"{tool} {json.dumps(arguments, ensure_ascii=False)[:200]}"
            check(name, *answers, is_allowed)
            check(f"valid: {name}", [], faults(valid, answers[1]))
        trees = [snapshot(root) for root in roots]
        for path in sorted(trees[0].keys() | trees[1].keys()):
            check(f"on disk: {path}", trees[0].get(path), trees[1].get(path))
        check("exit code", reference.close(), ours.close())
    for rule in ALLOWED:
        check(f"the rule {rule.__name__} is needed", True, rule in used)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
