#!/usr/bin/env python3
"""Names that lead to a public address at one look and to a private one at the next (DNS rebinding), with the program as it
is: a name server, a site at a public address and one at 127.0.0.1, all in a network of this test's own.

    python rebinding.py PROGRAM           for instance: rebinding.py target/release/mcpool

Needs `unshare` and `ip`, and a kernel that gives users namespaces; where it does not, this says so and checks nothing.
"""

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PUBLIC, PRIVATE = "93.184.216.34", "127.0.0.1"
# What each name has at each look, the last one for ever.
NAMES = {
    "stays.example": [[PUBLIC]],
    "changes.example": [[PUBLIC], [PRIVATE]],
    "private.example": [[PRIVATE]],
    "both.example": [[PUBLIC, PRIVATE]],
    "metadata-alias.example": [["169.254.169.254"]],
}


class Names(threading.Thread):
    """A name server for NAMES at 127.0.0.1:53. Only questions for addresses of IPv4 are looks."""

    def __init__(self):
        super().__init__(daemon=True)
        self.looks = dict.fromkeys(NAMES, 0)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((PRIVATE, 53))

    def run(self):
        while True:
            query, peer = self.socket.recvfrom(4096)
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1 : at + 1 + query[at]].decode())
                at += 1 + query[at]
            name, (kind,) = ".".join(labels).lower(), struct.unpack_from(">H", query, at + 1)
            addresses = []
            if kind == 1 and name in NAMES:
                looks = NAMES[name]
                addresses = looks[min(self.looks[name], len(looks) - 1)]
                self.looks[name] += 1
            head = query[:2] + struct.pack(">HHHHH", 0x8180 if name in NAMES else 0x8183, 1, len(addresses), 0, 0)
            answers = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(ip) for ip in addresses)
            self.socket.sendto(head + query[12 : at + 5] + answers, peer)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(f"{self.headers['host']}{self.path}")
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("location", f"http://{self.path[4:]}/")
            self.end_headers()
            return
        status = 404 if self.path == "/robots.txt" else 200
        self.send_response(status)
        self.send_header("content-type", "text/plain")
        self.end_headers()
        self.wfile.write(self.server.text)

    def log_message(self, *_):
        pass


def site(address, text):
    server = ThreadingHTTPServer((address, 80), Handler)
    server.text, server.asked = text, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def inside(program):
    """In the namespaces: the calls and what must come of them."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "address", "add", f"{PUBLIC}/32", "dev", "lo"], check=True)
    names, public, private = Names(), site(PUBLIC, b"public"), site(PRIVATE, b"secret")
    names.start()
    failed = 0

    def checked(title, is_so, told):
        nonlocal failed
        failed += not is_so
        print(f"{'ok     ' if is_so else 'FAILED '} {title}" + ("" if is_so else f": {told}"), flush=True)

    for title, options, url, wanted in [
        ("a public name is fetched", [], "http://stays.example/", "public"),
        ("a private name is refused", [], "http://private.example/", "not a public address"),
        ("a name with both addresses is refused", [], "http://both.example/", "not a public address"),
        ("a name of the metadata service is refused", [], "http://metadata-alias.example/", "not a public address"),
        ("a redirect to a private name is refused", [], "http://stays.example/to/private.example", "not a public address"),
        ("a redirect to a private address is refused", [], "http://stays.example/to/127.0.0.1", "not a public address"),
        ("a name that changes between robots.txt and the page is refused or stays", [], "http://changes.example/", None),
        ("a name that changes behind the look is asked where it was", ["--ignore-robots-txt"], "http://changes.example/", "public"),
        ("and is refused at the next call", None, "http://changes.example/", "not a public address"),
        ("what is allowed is fetched", ["--allow-private-ips"], "http://private.example/", "secret"),
    ]:
        if options is not None:
            names.looks = dict.fromkeys(NAMES, 0)
            server = subprocess.Popen([program, "serve", "--tools", "fetch", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            ask(server, 0, "initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}})
        text = ask(server, 1, "tools/call", {"name": "fetch", "arguments": {"url": url}})["result"]["content"][0]["text"]
        told = f"{text!r}, looks {names.looks}, asked {private.asked}"
        if "--allow-private-ips" in (options or []):
            checked(title, wanted in text, told)
            continue
        checked(title, (wanted is None or wanted in text) and "secret" not in text, told)
        checked(f"{title}: nothing private was asked", private.asked == [], told)
    return failed


def ask(server, number, method, params):
    server.stdin.write(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n")
    server.stdin.flush()
    return json.loads(server.stdout.readline())


def main(program):
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "--net"]
    can = all(map(shutil.which, ("unshare", "ip"))) and subprocess.run([*unshare, "true"], capture_output=True).returncode == 0
    if not can:
        print("skipped: this machine gives no namespaces")
        return 0
    with tempfile.NamedTemporaryFile("w") as resolv:
        resolv.write(f"nameserver {PRIVATE}\n")
        resolv.flush()
        # In the namespace only: this machine's file stays.
        script = 'mount --bind "$1" /etc/resolv.conf && exec "$2" "$3" --inside "$4"'
        return subprocess.run([*unshare, "sh", "-c", script, "sh", resolv.name, sys.executable, os.path.realpath(__file__), os.path.realpath(program)]).returncode


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        sys.exit(1 if inside(sys.argv[2]) else 0)
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
