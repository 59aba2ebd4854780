"""A site on this machine with pages of many kinds, for the comparison of fetch servers."""

import gzip
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = "Some words, and a few more words, so that there is a main part, which is found in this page. "
ARTICLE = f"""<!DOCTYPE html><html><head><title>A title</title><style>p {{ color: red }}</style><script>var script_text = 1;</script></head>
<body><nav><a href="/menu">Menu entry</a></nav><article><h1>First heading</h1><p>{WORDS * 4}</p><h2>Second heading</h2>
<p>A <b>bold</b> word, an <em>emphasised</em> one, a <a href="/linked">link</a>, <code>code</code>. {WORDS * 3}</p>
<ul><li>one entry</li><li>another entry</li></ul><pre><code>fn main() {{}}</code></pre>
<table><tr><th>left</th><th>right</th></tr><tr><td>1</td><td>2</td></tr></table>
<blockquote><p>{WORDS * 2}</p></blockquote></article><footer>Footer text</footer></body></html>"""
NUMBERS = "".join(f"{number} \u00e9\U0001f600\n" for number in range(3000))
PLAIN = "text/plain; charset=utf-8"


def page(body, kind="text/html; charset=utf-8", status=200, **headers):
    body = body.encode() if isinstance(body, str) else body
    return status, kind, {name.replace("_", "-"): value for name, value in headers.items()}, body


def article(word):
    return b"<html><body><article><p>" + word + b"</p><p>" + WORDS.encode() * 6 + b"</p></article></body></html>"


def moved(to, status=302):
    return page("", PLAIN, status, location=to)


PAGES = {
    "/article": page(ARTICLE),
    "/no-type": page(ARTICLE, None),
    "/plain-with-html": page(ARTICLE, "text/plain"),
    "/upper": page(ARTICLE.replace("<html>", "<HTML>"), "application/xhtml+xml"),
    "/list": page(f"<html><body><p>{WORDS * 5}</p><ol><li>x<ul><li>y</li></ul></li></ol></body></html>"),
    "/short": page("<html><body><p>Hello, world</p></body></html>"),
    "/no-html": page("Only text, of type HTML"),
    "/empty": page(""),
    "/empty-body": page("<html><body></body></html>"),
    "/script-only": page("<html><body><script>x()</script></body></html>"),
    "/text": page("plain text \u00e9 \U0001f600\n", PLAIN),
    "/empty-text": page("", PLAIN),
    "/json": page('{"a": [1, "\u00e9"]}', "application/json"),
    "/xml": page("<?xml version='1.0'?><a>b</a>", "application/xml"),
    "/markdown": page("# Title\n", "text/markdown"),
    "/numbers": page(NUMBERS, PLAIN),
    "/crlf": page("a\r\nb\rc\n", PLAIN),
    "/nul": page(b"a\0b\x1b[0m\x7f", PLAIN),
    "/bytes": page(b"\xff\x00\xfe<p>", "application/octet-stream"),
    "/no-content": page("", PLAIN, 204),
    "/created": page("made", PLAIN, 201),
    "/see/deep": page("deep", PLAIN),
    "/query": page("asked", PLAIN),
    "/slow-gzip": page(gzip.compress(b"unfolded " * 100), PLAIN, content_encoding="gzip"),
    "/deflate": page(zlib.compress(b"unfolded " * 100), PLAIN, content_encoding="deflate"),
    "/no-gzip": page("not compressed", PLAIN, content_encoding="gzip"),
    "/unknown-encoding": page("as it is", PLAIN, content_encoding="unheard-of"),
    "/latin1": page(b"caf\xe9", "text/plain; charset=iso-8859-1"),
    "/latin1-html": page(article(b"caf\xe9"), "text/html; charset=iso-8859-1"),
    "/sjis": page("\u30c6\u30b9\u30c8".encode("shift_jis"), "text/plain; charset=Shift_JIS"),
    "/utf16": page("\u30c6\u30b9\u30c8".encode("utf-16-le"), "text/plain; charset=utf-16le"),
    "/koi8": page("\u041f\u0440\u0438".encode("koi8-r"), "text/plain; charset=\"koi8-r\""),
    "/bad-utf8": page(b"a\xff\xe2\x82b", PLAIN),
    "/unknown-charset": page("caf\u00e9".encode(), "text/plain; charset=unheard-of"),
    "/no-charset": page("caf\u00e9".encode(), "text/plain"),
    "/bom": page(b"\xef\xbb\xbfmarked", "text/plain; charset=utf-8"),
    "/meta-latin1": page(b"<meta charset=latin1>" + article(b"caf\xe9"), "text/html"),
    **{f"/status/{status}": page("<p>no</p>", status=status) for status in (400, 401, 403, 404, 410, 429, 451, 500, 502, 503)},
    **{f"/moved/{status}": moved("/text", status) for status in (301, 302, 303, 307, 308)},
    "/moved/300": page("choices", PLAIN, 300, location="/text"),
    "/moved/304": page("", PLAIN, 304),
    "/moved/relative": moved("see/deep"),
    "/moved/query": moved("?x=1"),
    "/moved/fragment": moved("/text#part"),
    "/moved/nowhere": page("stays", PLAIN, 302),
    "/moved/loop": moved("/moved/loop"),
    "/moved/file": moved("file:///etc/passwd"),
    "/moved/bad": moved("http://"),
    "/moved/away": moved("http://127.0.0.1:1/"),
    "/moved/error": moved("/status/404"),
    **{f"/hops/{left}": moved(f"/hops/{left - 1}") if left else page("the end", PLAIN) for left in range(25)},
    "/hidden/page": page("hidden", PLAIN),
    "/moved/hidden": moved("/hidden/page"),
}
ROBOTS = {
    "rules": page("# a comment\nUser-agent: *\nDisallow: /hidden\nAllow: /hidden/but$\nDisallow: /*.secret\nDisallow: /query?no\n", PLAIN),
    "none": page("no such file", PLAIN, 404),
    "all": page("User-agent: *\nDisallow: /", PLAIN),
    "ours": page("User-agent: ModelContextProtocol\nDisallow: /text\n\nUser-agent: *\nDisallow: /", PLAIN),
    "unauthorized": page("", PLAIN, 401),
    "forbidden": page("", PLAIN, 403),
    "too-many": page("User-agent: *\nDisallow: /", PLAIN, 429),
    "broken": page("User-agent: *\nDisallow: /", PLAIN, 500),
    "down": page("down", PLAIN, 503),
    "moved": moved("/robots-elsewhere"),
    "loop": moved("/robots.txt"),
    "html": page(ARTICLE),
    "empty": page("", PLAIN),
    "latin1": page(b"User-agent: *\nDisallow: /caf\xe9\nDisallow: /text", "text/plain; charset=iso-8859-1"),
}
PAGES["/robots-elsewhere"] = ROBOTS["all"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.split("?")[0]
        self.server.asked.append((self.path, self.headers.get("user-agent")))
        if path == "/robots.txt":
            answer = ROBOTS[self.server.robots]
        elif path == "/silence":
            # Closes without an answer.
            self.close_connection = True
            return
        else:
            answer = PAGES.get(path, page("not here", PLAIN, 404))
        status, kind, headers, body = answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if kind is not None:
            self.send_header("content-type", kind)
        if status not in (204, 304):
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        if status not in (204, 304):
            self.wfile.write(body)

    def log_message(self, *_):
        pass


class Site(ThreadingHTTPServer):
    """Listens on a port of 127.0.0.1; `robots` names its robots.txt, `asked` is what it was asked for."""

    daemon_threads = True

    def handle_error(self, *_):
        # A client that goes in the middle.
        pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.robots, self.asked = "none", []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.server_port}"
