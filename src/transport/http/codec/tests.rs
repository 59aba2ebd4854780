//! The codec as a whole: every hostile row, every cut, and rows and driver of `tests/http` over TCP.

#[path = "../../../../tests/http/cases.rs"]
pub(super) mod cases;
#[path = "../../../../tests/http/driver.rs"]
mod driver;

use super::body::BodyDecoder;
use super::fuzz::{HEAD_LIMITS, MAX_BODY_BYTES, Received, Receiver};
use super::head::{HeadReader, RequestHead, parse};
use super::head_error::HeadError;
use super::response::{Payload, Persistence, ResponseHead};
use super::words::{Accepts, BodyFraming, ContentType, Status, Verb, Version};
use bytes::BytesMut;
use cases::{Bounds, Row};
use driver::Answers;
use proptest::prelude::*;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

pub(super) const BOUNDS: Bounds = Bounds {
    header_bytes: HEAD_LIMITS.max_header_bytes,
    headers: HEAD_LIMITS.max_headers,
    frame_bytes: MAX_BODY_BYTES,
};

fn received(pieces: &[&[u8]]) -> Receiver {
    let mut receiver = Receiver::default();
    for piece in pieces {
        receiver.receive(piece);
    }
    receiver
}

fn head_of(bytes: &[u8]) -> RequestHead {
    parse(bytes, HEAD_LIMITS).expect("a head").expect("all of it")
}

#[test]
fn every_hostile_row_has_its_status() {
    let (heads, bodies) = (cases::heads(BOUNDS), cases::bodies(BOUNDS));
    let mut wrong = Vec::new();
    for Row { name, bytes, status } in heads.iter().chain(&bodies) {
        let receiver = received(&[bytes]);
        let got = receiver.refused.map(Status::code);
        if got != Some(*status) || !receiver.received.is_empty() {
            wrong.push((name, status, got, receiver.received.len()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_hostile_row_is_refused_alike_wherever_it_is_cut() {
    for Row { name, bytes, status } in cases::heads(BOUNDS).into_iter().chain(cases::bodies(BOUNDS)) {
        for at in 0..bytes.len() {
            let receiver = received(&[&bytes[..at], &bytes[at..]]);
            assert_eq!(receiver.refused.map(Status::code), Some(status), "{name}, cut at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(received(&single).refused.map(Status::code), Some(status), "{name}, byte by byte");
    }
}

#[test]
fn all_that_matters_is_read_from_a_head() {
    let bytes = b"\r\nPOST /mcp?a=b?c HTTP/1.1\r\nhost:localhost:8000\r\nORIGIN: http://localhost\r\n\
        Content-Type: Application/JSON; charset=UTF-8\r\naccept: application/json, text/event-stream\r\n\
        Authorization: Bearer t\r\nMcp-Session-Id:\t s1 \t\r\nMCP-Protocol-Version: 2026-07-28\r\n\
        Mcp-Method: tools/call\r\nMcp-Name: echo\r\nMcp-Param-Region: eu\r\nLast-Event-ID: 7\r\n\
        Expect: 100-Continue\r\nContent-Length: 3\r\n\r\nabc";
    let head = head_of(bytes);
    assert_eq!(head.head_bytes, bytes.len() - 3);
    assert_eq!((head.verb, head.version), (Verb::Post, Version::Http11));
    assert_eq!((head.body, head.content_type), (BodyFraming::Length(3), ContentType::Json));
    assert!(head.keep_alive && head.expects_continue && head.has_mcp_params);
    assert_eq!(head.accepts, Accepts { is_given: true, json: true, event_stream: true, html: false });
    assert_eq!(head.path.text(bytes), b"/mcp");
    let spans: [(Option<super::head::Span>, &[u8]); 9] = [
        (head.query, b"a=b?c"),
        (head.host, b"localhost:8000"),
        (head.origin, b"http://localhost"),
        (head.authorization, b"Bearer t"),
        (head.session_id, b"s1"),
        (head.protocol_version, b"2026-07-28"),
        (head.mcp_method, b"tools/call"),
        (head.mcp_name, b"echo"),
        (head.last_event_id, b"7"),
    ];
    for (span, text) in spans {
        assert_eq!(span.map(|span| span.text(bytes)), Some(text));
    }
    assert_eq!(head.header(bytes, "mcp-param-region"), Some(&b"eu"[..]));
    assert_eq!(head.header(bytes, "mcp-param-other"), None);
    assert_eq!(head.headers(bytes).count(), 13);
    assert_eq!(head.headers(bytes).next(), Some((&b"host"[..], &b"localhost:8000"[..])));
}

#[test]
fn what_is_unusual_and_right_is_accepted() {
    type Check = fn(&RequestHead, &[u8]) -> bool;
    let rows: [(&[u8], Check); 24] = [
        (b"GET / HTTP/1.0\r\n\r\n", |head, _| !head.keep_alive && head.host.is_none()),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", |head, _| head.keep_alive),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", |head, _| !head.keep_alive),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", |head, _| !head.keep_alive),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: close\r\n\r\n", |head, _| {
            !head.keep_alive
        }),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", |head, bytes| head.path.text(bytes) == b"*"),
        (b"GET http://a/mcp?q HTTP/1.1\r\nHost: A\r\n\r\n", |head, bytes| head.path.text(bytes) == b"/mcp"),
        (b"GET HTTP://a HTTP/1.1\r\nHost: a\r\n\r\n", |head, bytes| head.path.text(bytes) == b"/"),
        (b"GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n", |head, bytes| {
            head.path.text(bytes) == b"/" && head.query.map(|query| query.text(bytes)) == Some(b"q")
        }),
        (b"GET /? HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", |head, _| head.query.is_some()),
        (b"get / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", |head, _| head.verb == Verb::Other),
        (b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", |head, _| head.verb == Verb::Other),
        (b"DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", |head, _| {
            head.body == BodyFraming::Length(0)
        }),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", |head, _| {
            head.body == BodyFraming::Chunked
        }),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0005\r\n\r\n", |head, _| {
            head.body == BodyFraming::Length(5)
        }),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", |head, _| !head.expects_continue),
        (b"POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n", |head, _| {
            !head.expects_continue
        }),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY: \r\n\r\n", |head, bytes| {
            head.header(bytes, "x") == Some(b"") && head.header(bytes, "Y") == Some(b"")
        }),
        (b"GET / HTTP/1.1\r\nHost: a\r\nMcp-Name: \xC3\xA4: \r\n\r\n", |head, bytes| {
            head.mcp_name.map(|name| name.text(bytes)) == Some(b"\xC3\xA4:")
        }),
        (b"GET / HTTP/1.1\r\nHost: a\r\nMcp-Name:\r\n\r\n", |head, bytes| {
            head.mcp_name.map(|name| name.text(bytes)) == Some(b"")
        }),
        (b"GET / HTTP/1.1\r\nHost: a\r\nMcp-Param: x\r\n\r\n", |head, _| !head.has_mcp_params),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Encoding: identity\r\n\r\n", |head, _| {
            head.content_type == ContentType::Absent
        }),
        (b"OPTIONS /m HTTP/1.1\r\nHost: a\r\nAccess-Control-Request-Method: POST\r\n\r\n", |head, bytes| {
            head.access_control_request_method.map(|verb| verb.text(bytes)) == Some(b"POST")
        }),
        (b"\r\n\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\n", |head, _| {
            head.verb == Verb::Head && head.head_bytes == 32
        }),
    ];
    for (bytes, check) in rows {
        let head = head_of(bytes);
        assert!(check(&head, bytes), "{}: {head:?}", String::from_utf8_lossy(bytes));
        assert_eq!(head.head_bytes, bytes.len());
    }
}

#[test]
fn empty_lines_are_no_request() {
    let mut reader = HeadReader::default();
    for (bytes, has_begun) in
        [("", false), ("\r", false), ("\r\n", false), ("\r\n\r\n", false), ("\r\n\r\nG", true)]
    {
        assert_eq!(reader.advance(bytes.as_bytes(), HEAD_LIMITS), Ok(None));
        assert_eq!(reader.has_begun(), has_begun, "{bytes:?}");
    }
}

#[test]
fn what_a_connection_keeps_while_it_reads_is_small() {
    assert!(size_of::<RequestHead>() <= 144, "{}", size_of::<RequestHead>());
    assert!(size_of::<HeadReader>() <= 24, "{}", size_of::<HeadReader>());
    assert!(size_of::<BodyDecoder>() <= 80, "{}", size_of::<BodyDecoder>());
}

#[test]
fn limits_are_met_exactly() {
    let head = |value: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(value));
    let around = head(0).len();
    let most = HEAD_LIMITS.max_header_bytes - around;
    assert!(matches!(parse(head(most).as_bytes(), HEAD_LIMITS), Ok(Some(_))));
    let refused = parse(head(most + 1).as_bytes(), HEAD_LIMITS);
    assert_eq!(refused, Err(HeadError::TooLong { limit_bytes: HEAD_LIMITS.max_header_bytes }));
    let message = HeadError::TooLong { limit_bytes: 1024 }.to_string();
    assert!(message.contains("1024") && message.contains("max_header_bytes"), "{message}");

    let lines = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count));
    assert!(matches!(parse(lines(HEAD_LIMITS.max_headers - 1).as_bytes(), HEAD_LIMITS), Ok(Some(_))));
    let refused = parse(lines(HEAD_LIMITS.max_headers).as_bytes(), HEAD_LIMITS);
    assert_eq!(refused, Err(HeadError::TooManyHeaders { limit: HEAD_LIMITS.max_headers }));
}

#[test]
fn what_comes_early_waits_after_the_body() {
    let stream: &[u8] = b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcPOST /2 HTTP/1.1\r\nHost: a\r\n\
        Transfer-Encoding: chunked\r\n\r\n1\r\nd\r\n2;x\r\nef\r\n0\r\nT: r\r\n\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\nGET";
    for at in 0..=stream.len() {
        let receiver = received(&[&stream[..at], &stream[at..]]);
        assert_eq!(receiver.refused, None, "cut at {at}");
        let bodies: Vec<&[u8]> = receiver.received.iter().map(|request| &*request.body).collect();
        assert_eq!(bodies, [b"abc".as_slice(), b"def", b""], "cut at {at}");
        assert_eq!(&receiver.buffer[..], b"GET", "cut at {at}");
    }
}

/// A stream of requests with the bodies that they carry.
fn streams() -> impl Strategy<Value = (Vec<u8>, Vec<Vec<u8>>)> {
    let body = proptest::collection::vec(any::<u8>(), 0..200);
    let request = (body, any::<bool>(), proptest::collection::vec(1_usize..60, 1..8), any::<bool>());
    proptest::collection::vec(request, 1..5).prop_map(|requests| {
        let mut stream = Vec::new();
        for (body, is_chunked, sizes, has_extras) in &requests {
            stream.extend_from_slice(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\n");
            if !is_chunked {
                stream.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                stream.extend_from_slice(body);
                continue;
            }
            stream.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            let (mut rest, mut sizes) = (&body[..], sizes.iter().cycle());
            while !rest.is_empty() {
                let (chunk, later) = rest.split_at(rest.len().min(*sizes.next().unwrap_or(&1)));
                // On the first chunk only: many of them are refused.
                let extension = if *has_extras && rest.len() == body.len() { ";a=b" } else { "" };
                stream.extend_from_slice(format!("{:03X}{extension}\r\n", chunk.len()).as_bytes());
                stream.extend_from_slice(chunk);
                stream.extend_from_slice(b"\r\n");
                rest = later;
            }
            stream.extend_from_slice(if *has_extras { b"0\r\nX-Sum: 1\r\n\r\n" } else { b"0\r\n\r\n" });
        }
        (stream, requests.into_iter().map(|request| request.0).collect())
    })
}

proptest! {
    #[test]
    fn bodies_arrive_however_the_stream_is_cut(
        (stream, bodies) in streams(),
        cuts in proptest::collection::vec(1_usize..90, 1..20),
    ) {
        let mut receiver = Receiver::default();
        let (mut rest, mut cuts) = (&stream[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(rest.len().min(*cuts.next().unwrap_or(&1)));
            receiver.receive(piece);
            rest = later;
        }
        prop_assert_eq!(receiver.refused, None);
        let got: Vec<Vec<u8>> = receiver.received.into_iter().map(|request| request.body).collect();
        prop_assert_eq!(got, bodies);
        prop_assert!(receiver.buffer.is_empty());
    }

    #[test]
    fn noise_never_panics_and_cuts_never_matter(noise in proptest::collection::vec(any::<u8>(), 0..300)) {
        super::fuzz::requests(&noise);
        super::fuzz::chunks(&noise);
    }

    #[test]
    fn one_wrong_byte_has_the_same_result_wherever_it_is_cut(
        (mut stream, _) in streams(),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
        seed in any::<[u8; 2]>(),
    ) {
        let at = at.index(stream.len());
        stream[at] = byte;
        super::fuzz::requests(&[&seed, &stream[..]].concat());
    }
}

/// A server that does no more than the codec: 200 for what it understands.
fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

fn serve(mut stream: TcpStream) {
    let mut receiver = Receiver::default();
    let mut out = BytesMut::new();
    let mut piece = vec![0; 16 * 1024];
    loop {
        let Ok(bytes @ 1..) = stream.read(&mut piece) else { return };
        receiver.receive(&piece[..bytes]);
        let mut is_last = receiver.refused.is_some();
        for Received { head, .. } in receiver.received.drain(..) {
            ResponseHead::new(Status::Ok, Persistence::of(&head), Payload::Empty).write(&mut out);
            is_last |= !head.keep_alive;
        }
        if let Some(status) = receiver.refused {
            ResponseHead::new(status, Persistence::Close, Payload::Empty).write(&mut out);
        }
        let _ = stream.write_all(&out.split());
        if is_last {
            // Closing with bytes unread resets the connection, and the answer may be lost with it.
            let _ = stream.shutdown(std::net::Shutdown::Write);
            while let Ok(1..) = stream.read(&mut piece) {}
            return;
        }
    }
}

#[test]
fn the_driver_sees_refusals_and_kept_connections_over_tcp() {
    let server = start();
    for Row { name, bytes, status } in cases::heads(BOUNDS).into_iter().chain(cases::bodies(BOUNDS)) {
        for piece_bytes in [usize::MAX, 33] {
            let answers = driver::exchange(server, &bytes, piece_bytes).expect("an exchange");
            assert_eq!(answers, Answers { statuses: vec![status], is_closed: true }, "{name}");
        }
    }
    let good = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}";
    let answers = driver::exchange(server, good, 7).expect("an exchange");
    assert_eq!(answers, Answers { statuses: vec![200, 200], is_closed: true });
}
