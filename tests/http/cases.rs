//! Requests as bytes, and the status that each must be refused with. Data only.
//!
//! The codec's own tests and the tests of a server over TCP run the same rows. A refused request ends its
//! connection: nothing behind it may be answered. Each row is refused for what it holds, so bytes may follow.

/// The bounds that some rows go just beyond.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The setting `max_header_bytes`; the others likewise.
    pub(crate) header_bytes: usize,
    pub(crate) headers: usize,
    pub(crate) frame_bytes: usize,
}

/// A request and the status that refuses it.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) status: u16,
}

/// Whole requests, or as much of one as it takes.
const WHOLE: [(&str, &[u8], u16); 46] = [
    ("no version", b"GET /\r\n\r\n", 400),
    ("no target", b"GET HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("no method", b" / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("two spaces before the target", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("two spaces before the version", b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("space behind the version", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    ("tab as the space", b"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("method with a colon", b"GE:T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("method with NUL", b"G\0ET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("space in the target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("NUL in the target", b"GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("not ASCII in the target", b"GET /\xC3\xA4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("fragment in the target", b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("DEL in the target", b"GET /\x7F HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("relative target", b"GET mcp HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("asterisk, not OPTIONS", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("authority form", b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 400),
    ("authority form, not CONNECT", b"GET a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 400),
    ("absolute form, other scheme", b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("absolute form, no host", b"GET http:///mcp HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("absolute form, other host", b"GET http://b/mcp HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("absolute form, other port", b"GET http://a:1/mcp HTTP/1.1\r\nHost: a:2\r\n\r\n", 400),
    ("absolute form, user", b"GET http://u@a/mcp HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("absolute form without Host", b"GET http://a/mcp HTTP/1.1\r\n\r\n", 400),
    ("lower-case protocol", b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
    ("another protocol", b"GET / RTSP/1.0\r\nHost: a\r\n\r\n", 400),
    ("version with three digits", b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400),
    ("version without digits", b"GET / HTTP/x.y\r\nHost: a\r\n\r\n", 400),
    ("version 0.9", b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
    ("version 1.2", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    ("version 2.0", b"POST /mcp HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    ("version 3", b"GET / HTTP/3\r\nHost: a\r\n\r\n", 505),
    ("preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("handshake of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03", 400),
    ("JSON without HTTP", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n", 400),
    ("bare LF behind the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    ("bare LF behind a header", b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
    ("bare LF as the empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    ("bare LF everywhere", b"GET / HTTP/1.1\nHost: a\n\n", 400),
    ("bare LF before the request", b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("bare CR in the request line", b"GET /\rX HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("bare CR as the empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\rX", 400),
    ("CR CR LF", b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400),
    ("three empty lines before", b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("space before the request", b"\r\n GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("no Host", b"GET / HTTP/1.1\r\nAccept: */*\r\n\r\n", 400),
];

/// Lines behind `GET /mcp HTTP/1.1` and a good Host.
const WITH_HOST: [(&str, &[u8], u16); 69] = [
    ("folded by a space", b"X: a\r\n b\r\n", 400),
    ("folded by a tab", b"X: a\r\n\tb\r\n", 400),
    ("folded length", b"Content-Length:\r\n 5\r\n", 400),
    ("line of a space", b" \r\n", 400),
    ("space before the colon", b"X : a\r\n", 400),
    ("tab before the colon", b"X\t: a\r\n", 400),
    ("space before the colon of a length", b"Content-Length : 5\r\n", 400),
    ("space before the colon of a coding", b"Transfer-Encoding : chunked\r\n", 400),
    ("no colon", b"X\r\n", 400),
    ("no name", b": a\r\n", 400),
    ("name with a parenthesis", b"X(y): a\r\n", 400),
    ("name not in ASCII", b"X\xC3\xA4: a\r\n", 400),
    ("name with NUL", b"X\0: a\r\n", 400),
    ("value with NUL", b"X: a\0b\r\n", 400),
    ("value with a bell", b"X: a\x07b\r\n", 400),
    ("value with DEL", b"X: a\x7Fb\r\n", 400),
    ("value with a bare CR", b"X: a\rb\r\n", 400),
    ("value with a bare CR and a header", b"X: a\rContent-Length: 5\r\n", 400),
    ("Host twice, equal", b"Host: localhost\r\n", 400),
    ("Host twice, different", b"Host: evil.example\r\n", 400),
    ("Host twice, other case", b"hOST: localhost\r\n", 400),
    ("Origin twice", b"Origin: http://a\r\nOrigin: http://a\r\n", 400),
    ("Authorization twice", b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n", 400),
    ("Content-Type twice", b"Content-Type: application/json\r\nContent-Type: text/html\r\n", 400),
    ("session twice", b"Mcp-Session-Id: a\r\nMCP-Session-ID: a\r\n", 400),
    ("revision twice", b"MCP-Protocol-Version: 2026-07-28\r\nMcp-Protocol-Version: 2025-11-25\r\n", 400),
    ("Mcp-Method twice", b"Mcp-Method: ping\r\nMcp-Method: tools/call\r\n", 400),
    ("Mcp-Name twice", b"Mcp-Name: a\r\nMcp-Name: b\r\n", 400),
    ("Last-Event-ID twice", b"Last-Event-ID: 1\r\nLast-Event-ID: 2\r\n", 400),
    ("Expect twice", b"Expect: 100-continue\r\nExpect: 100-continue\r\n", 400),
    (
        "preflight method twice",
        b"Access-Control-Request-Method: GET\r\nAccess-Control-Request-Method: PUT\r\n",
        400,
    ),
    ("Expect of something else", b"Expect: 200-ok\r\n", 417),
    ("Expect of nothing", b"Expect:\r\n", 417),
    ("Expect of two things", b"Expect: 100-continue, x=y\r\n", 417),
    ("length twice, equal", b"Content-Length: 5\r\nContent-Length: 5\r\n", 400),
    ("length twice, different", b"Content-Length: 5\r\nContent-Length: 6\r\n", 400),
    ("length twice, other case", b"Content-Length: 0\r\ncontent-length: 0\r\n", 400),
    ("length as a list", b"Content-Length: 5, 5\r\n", 400),
    ("length as a list without a space", b"Content-Length: 5,5\r\n", 400),
    ("length with a plus", b"Content-Length: +5\r\n", 400),
    ("length with a minus", b"Content-Length: -5\r\n", 400),
    ("length of minus zero", b"Content-Length: -0\r\n", 400),
    ("length with a space inside", b"Content-Length: 1 5\r\n", 400),
    ("length in hexadecimal", b"Content-Length: 0x5\r\n", 400),
    ("length with a letter", b"Content-Length: 5a\r\n", 400),
    ("length with an underscore", b"Content-Length: 1_0\r\n", 400),
    ("length with a fraction", b"Content-Length: 5.0\r\n", 400),
    ("length in quotes", b"Content-Length: \"5\"\r\n", 400),
    ("length in other digits", b"Content-Length: \xD9\xA5\r\n", 400),
    ("empty length", b"Content-Length:\r\n", 400),
    ("blank length", b"Content-Length:   \r\n", 400),
    ("length of 2^64", b"Content-Length: 18446744073709551616\r\n", 400),
    ("length of 30 digits", b"Content-Length: 999999999999999999999999999999\r\n", 400),
    ("length of 30 digits, mostly zeros", b"Content-Length: 000000000000000000000000000005\r\n", 400),
    ("length, then coding", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
    ("coding, then length", b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
    ("coding, then length 0", b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", 400),
    ("coding twice", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
    ("coding twice in a list", b"Transfer-Encoding: chunked, chunked\r\n", 400),
    ("chunked, then another", b"Transfer-Encoding: chunked, gzip\r\n", 400),
    ("empty coding", b"Transfer-Encoding:\r\n", 400),
    ("coding behind a comma", b"Transfer-Encoding: , chunked\r\n", 400),
    ("coding with a parameter", b"Transfer-Encoding: chunked;q=1\r\n", 400),
    ("coding in quotes", b"Transfer-Encoding: \"chunked\"\r\n", 400),
    ("coding behind a vertical tab", b"Transfer-Encoding: \x0Bchunked\r\n", 400),
    ("another, then chunked", b"Transfer-Encoding: gzip, chunked\r\n", 501),
    ("identity", b"Transfer-Encoding: identity\r\n", 501),
    ("nearly chunked", b"Transfer-Encoding: xchunked\r\n", 501),
    ("compressed body", b"Content-Encoding: gzip\r\nContent-Length: 5\r\n", 415),
];

/// Values of Host.
const HOSTS: [(&str, &[u8]); 16] = [
    ("empty Host", b""),
    ("blank Host", b"  "),
    ("Host with a user", b"user@localhost"),
    ("Host with a password", b"user:pass@localhost"),
    ("Host with a path", b"localhost/mcp"),
    ("Host with a query", b"localhost?x"),
    ("Host with a scheme", b"http://localhost"),
    ("Host as a list", b"localhost, evil.example"),
    ("Host with a space", b"local host"),
    ("Host without a name", b":80"),
    ("Host with an empty port", b"localhost:"),
    ("Host with a port in letters", b"localhost:http"),
    ("Host with a port too large", b"localhost:65536"),
    ("Host with a signed port", b"localhost:+80"),
    ("Host with an open bracket", b"[::1"),
    ("Host not in ASCII", b"l\xC3\xB6calhost"),
];

/// Chunked bodies. The limit is not what refuses them.
const BODIES: [(&str, &[u8], u16); 36] = [
    ("empty chunk size", b"\r\nhello\r\n", 400),
    ("chunk size with a plus", b"+5\r\nhello\r\n", 400),
    ("chunk size with a minus", b"-5\r\nhello\r\n", 400),
    ("chunk size with 0x", b"0x5\r\nhello\r\n", 400),
    ("chunk size behind a space", b" 5\r\nhello\r\n", 400),
    ("chunk size behind a tab", b"\t5\r\nhello\r\n", 400),
    ("chunk size before a space", b"5 \r\nhello\r\n", 400),
    ("chunk size before a tab", b"5\t\r\nhello\r\n", 400),
    ("chunk size before a space and an extension", b"5 ;x\r\nhello\r\n", 400),
    ("chunk size with a letter", b"5g\r\nhello\r\n", 400),
    ("chunk size with a comma", b"5,5\r\nhello\r\n", 400),
    ("chunk size with an underscore", b"0_5\r\nhello\r\n", 400),
    ("chunk size with NUL", b"5\0\r\nhello\r\n", 400),
    ("chunk size of 17 digits", b"00000000000000005\r\nhello\r\n", 400),
    ("chunk size of 2^64", b"10000000000000000\r\nhello\r\n", 400),
    ("chunk size in other digits", b"\xD9\xA5\r\nhello\r\n", 400),
    ("bare LF behind the size", b"5\nhello\r\n", 400),
    ("bare CR behind the size", b"5\rhello\r\n", 400),
    ("CR CR LF behind the size", b"5\r\r\nhello\r\n", 400),
    ("NUL in an extension", b"5;a\0\r\nhello\r\n", 400),
    ("bare LF in an extension", b"5;a\nhello\r\n", 400),
    ("bare CR in an extension", b"5;a\rb\r\nhello\r\n", 400),
    ("chunk longer than its size", b"4\r\nhello\r\n", 400),
    ("chunk shorter than its size", b"6\r\nhello\r\n0\r\n\r\n", 400),
    ("bare LF behind the chunk", b"5\r\nhello\n0\r\n\r\n", 400),
    ("bare CR behind the chunk", b"5\r\nhello\rX", 400),
    ("nothing behind the chunk", b"5\r\nhello0\r\n\r\n", 400),
    ("blank line between chunks", b"5\r\nhello\r\n\r\n0\r\n\r\n", 400),
    ("trailer without a colon", b"0\r\nX\r\n\r\n", 400),
    ("trailer without a name", b"0\r\n: a\r\n\r\n", 400),
    ("trailer with a space before the colon", b"0\r\nX : a\r\n\r\n", 400),
    ("trailer folded", b"0\r\nX: a\r\n b\r\n\r\n", 400),
    ("trailer with NUL", b"0\r\nX: \0\r\n\r\n", 400),
    ("trailer with a bare LF", b"0\r\nX: a\n\r\n", 400),
    ("trailer with a bare CR", b"0\r\nX: a\rb\r\n\r\n", 400),
    ("trailer ends in a bare LF", b"0\r\n\nX", 400),
];

const CHUNKED: &[u8] = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Heads that are refused.
pub(crate) fn heads(bounds: Bounds) -> Vec<Row> {
    let whole = WHOLE.iter().map(|(name, bytes, status)| row(name, &[bytes], *status));
    let with_host = WITH_HOST.iter().map(|(name, lines, status)| {
        row(name, &[b"GET /mcp HTTP/1.1\r\nHost: localhost\r\n", lines, b"\r\n"], *status)
    });
    let hosts =
        HOSTS.iter().map(|(name, host)| row(name, &[b"GET /mcp HTTP/1.1\r\nHost: ", host, b"\r\n\r\n"], 400));
    let verb = |name, line: &[u8]| row(name, &[line, b"\r\nHost: localhost\r\n\r\n"], 411);
    let filler = vec![b'a'; bounds.header_bytes];
    let many = b"X: y\r\n".repeat(bounds.headers + 1);
    let start: &[u8] = b"GET /mcp HTTP/1.1\r\nHost: localhost\r\n";
    let others = [
        verb("POST without a length", b"POST /mcp HTTP/1.1"),
        verb("PUT without a length", b"PUT /mcp HTTP/1.1"),
        verb("POST of 1.0 without a length", b"POST /mcp HTTP/1.0"),
        row("coding in 1.0", &[b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"], 400),
        row("Host twice in 1.0", &[b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"], 400),
        row("path too long", &[b"GET /", &filler, b" HTTP/1.1\r\n"], 414),
        row("method too long", &[&filler, b"a / HTTP/1.1\r\n"], 414),
        row("name too long", &[start, &filler, b": a\r\n\r\n"], 431),
        row("value too long", &[start, b"X: ", &filler, b"\r\n\r\n"], 431),
        row("value too long, unfinished", &[start, b"X: ", &filler], 431),
        row("too many headers", &[start, &many, b"\r\n"], 431),
        row("too many headers, unfinished", &[start, &many], 431),
    ];
    whole.chain(with_host).chain(hosts).chain(others).collect()
}

/// Bodies, behind a good head, that are refused.
pub(crate) fn bodies(bounds: Bounds) -> Vec<Row> {
    let chunked = BODIES.iter().map(|(name, body, status)| row(name, &[CHUNKED, body], *status));
    let most = bounds.frame_bytes;
    let length = |name, bytes: u64| {
        let head = format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: {bytes}\r\n\r\n");
        row(name, &[head.as_bytes()], 413)
    };
    let chunk = |name, size: u64| row(name, &[CHUNKED, format!("{size:x}\r\n").as_bytes()], 413);
    let half = format!("{:x}\r\n{}\r\n{:x}\r\n", most / 2 + 1, "a".repeat(most / 2 + 1), most / 2 + 1);
    let extension = vec![b'x'; 257];
    let little = b"1;abcdefg\r\n \r\n".repeat(60);
    let trailer = vec![b'x'; 1100];
    let others = [
        length("length beyond the limit", most as u64 + 1),
        length("length of 2^64 - 1", u64::MAX),
        chunk("chunk beyond the limit", most as u64 + 1),
        chunk("chunk of 2^64 - 1", u64::MAX),
        chunk("chunk of 2^63", 1 << 63),
        row("two chunks beyond the limit", &[CHUNKED, half.as_bytes()], 413),
        row("two chunks beyond 2^64", &[CHUNKED, b"5\r\nhello\r\nffffffffffffffff\r\n"], 413),
        row("long extension", &[CHUNKED, b"5;", &extension, b"\r\n"], 400),
        row("many extensions", &[CHUNKED, &little], 400),
        row("long trailer", &[CHUNKED, b"0\r\nX: ", &trailer, b"\r\n\r\n"], 431),
        row("long trailer of many lines", &[CHUNKED, b"0\r\n", &b"X: y\r\n".repeat(200), b"\r\n"], 431),
    ];
    chunked.chain(others).collect()
}

fn row(name: &'static str, parts: &[&[u8]], status: u16) -> Row {
    Row { name, bytes: parts.concat(), status }
}
