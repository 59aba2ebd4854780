//! Our parser of heads against hyper's: hostile rows, usual requests, and random changes of both.

use super::fuzz::{HeadFacts, disagreement, head};
use super::hyper_head;
use super::tests::{BOUNDS, cases};

/// Changed heads that are compared.
const CHANGED: u32 = 20_000;

/// Requests of every form that the codec accepts.
const USUAL: [&str; 14] = [
    "POST /mcp HTTP/1.1\r\nHost: localhost:8000\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    "POST /mcp HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "GET /mcp?a=b?c HTTP/1.1\r\nhost: [::1]:80\r\nAccept: text/event-stream\r\nLast-Event-ID: 7\r\n\r\n",
    "GET http://a.example/mcp?q HTTP/1.1\r\nHost: A.example\r\n\r\n",
    "GET HTTP://a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET https://a:80?q HTTP/1.1\r\nHost: a:80\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\nAccess-Control-Request-Method: POST\r\n\r\n",
    "\r\n\r\nHEAD /livez HTTP/1.1\r\nHost: a\r\n\r\n",
    "BREW /%41/../x;y=1 HTTP/1.1\r\nHost: a-b_c~d\r\nX:\r\nY: \t z \t\r\n\r\n",
    "DELETE /mcp HTTP/1.1\r\nHost: a\r\nMcp-Session-Id:\t s1 \r\nContent-Length: 0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0005\r\n\r\nhello",
    "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nOrigin: http://localhost\r\nAuthorization: Bearer t\r\n\r\n1",
    "POST / HTTP/1.1\r\nHost: a\r\nMcp-Method: tools/call\r\nMcp-Name: \u{e4}: \r\nContent-Length: 18446744073709551615\r\n\r\n",
];

/// Pieces that change how a head is read, or that parsers read differently.
const PIECES: [&str; 38] = [
    "\r",
    "\n",
    "\r\n",
    "\r\n\r\n",
    " ",
    "\t",
    ":",
    ": ",
    ",",
    ";",
    "?",
    "#",
    "/",
    "//",
    "*",
    "%",
    "\\",
    "\"",
    "<",
    "^",
    "|",
    "{",
    "@",
    ">",
    "`",
    "[",
    "]",
    "\0",
    "\u{b}",
    "\u{7f}",
    "\u{80}",
    "HTTP/1.0",
    "http://b",
    "Host: b\r\n",
    "Content-Length: 1\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    " chunked",
];

/// A sequence of numbers that looks random and is the same each time (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap_or_default()
    }

    /// Changes one place of `bytes`.
    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        let end = (at + self.below(12)).min(bytes.len());
        match self.below(6) {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(end..end, piece);
            }
            2 if at < bytes.len() => bytes[at] = u8::try_from(self.below(256)).unwrap_or_default(),
            3 if at < bytes.len() => bytes[at] ^= 0x20,
            _ => {
                let piece = PIECES[self.below(PIECES.len())];
                bytes.splice(at..at, piece.bytes());
            }
        }
    }
}

/// What hyper and our parser disagree about, and whether hyper served the request.
fn check(bytes: &[u8]) -> (Option<String>, bool) {
    let theirs: Option<HeadFacts> = hyper_head::read(bytes);
    let disagreement = disagreement(bytes, theirs.as_ref());
    (disagreement.map(|what| format!("{:?}: {what}", String::from_utf8_lossy(bytes))), theirs.is_some())
}

#[test]
fn a_head_that_we_accept_is_read_alike_by_hyper() {
    let mut seeds: Vec<Vec<u8>> = USUAL.iter().map(|usual| usual.as_bytes().to_vec()).collect();
    seeds.extend(cases::heads(BOUNDS).into_iter().chain(cases::bodies(BOUNDS)).map(|row| row.bytes));
    for usual in USUAL {
        head(usual.as_bytes(), hyper_head::read(usual.as_bytes()).as_ref());
    }
    let mut disagreements: Vec<String> = seeds.iter().filter_map(|seed| check(seed).0).collect();
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut served = 0;
    for _ in 0..CHANGED {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(4) {
            random.change(&mut bytes);
        }
        let (disagreement, is_served) = check(&bytes);
        disagreements.extend(disagreement);
        served += u32::from(is_served);
    }
    let shown = disagreements.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(disagreements.is_empty(), "{} disagreements:\n{shown}", disagreements.len());
    assert!(served > CHANGED / 20, "hyper served {served} of {CHANGED} changed heads: too few to compare");
}
