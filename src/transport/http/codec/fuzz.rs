//! What the fuzzers run. Ordinary tests run it on a few inputs each.
//!
//! The entries take any bytes and panic where a claim does not hold. `fuzz/` calls them.

use super::body::{BodyDecoder, BodyError, BodyProgress};
use super::head::{HeadReader, RequestHead, Span};
use super::head_error::HeadError;
use super::words::{BodyFraming, HeadLimits, Status, Verb, Version};
use bytes::BytesMut;

/// Small, so that the fuzzer reaches beyond them.
pub(super) const HEAD_LIMITS: HeadLimits = HeadLimits { max_header_bytes: 1024, max_headers: 16 };
pub(super) const MAX_BODY_BYTES: usize = 2048;

/// A request that was read, by value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) head: RequestHead,
    pub(super) head_text: Vec<u8>,
    pub(super) body: Vec<u8>,
}

/// One connection: what it has received, and what ended it.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    pub(super) buffer: BytesMut,
    reader: HeadReader,
    current: Option<(RequestHead, BodyDecoder)>,
    pub(super) received: Vec<Received>,
    pub(super) refused: Option<Status>,
}

impl Receiver {
    /// Takes a piece of the stream.
    pub(super) fn receive(&mut self, piece: &[u8]) {
        if self.refused.is_none() {
            self.buffer.extend_from_slice(piece);
            self.refused = self.advance().err();
        }
    }

    fn advance(&mut self) -> Result<(), Status> {
        loop {
            if self.current.is_none() {
                let Some(head) = self.reader.advance(&self.buffer, HEAD_LIMITS).map_err(HeadError::status)?
                else {
                    return Ok(());
                };
                let decoder = BodyDecoder::new(head.body, head.head_bytes, MAX_BODY_BYTES);
                self.current = Some((head, decoder.map_err(BodyError::status)?));
            }
            let Some((head, decoder)) = &mut self.current else { return Ok(()) };
            let BodyProgress::Complete(body) =
                decoder.advance(&mut self.buffer).map_err(BodyError::status)?
            else {
                assert!(decoder.missing_bytes() > 0, "a partial body misses something");
                assert!(
                    self.buffer.len() <= HEAD_LIMITS.max_header_bytes + MAX_BODY_BYTES,
                    "the buffer is bounded"
                );
                return Ok(());
            };
            assert_eq!(body.start, head.head_bytes, "the body lies directly after the head");
            let (head_text, rest) = self.buffer.split_at(body.start);
            let (body, rest) = rest.split_at(body.len());
            self.received.push(Received { head: *head, head_text: head_text.to_vec(), body: body.to_vec() });
            self.buffer = rest.into();
            (self.current, self.reader) = (None, HeadReader::default());
        }
    }
}

/// Cutting a stream into pieces does not change its result: the requests that are read, and the refusal if there is
/// one. The first two bytes choose where to cut.
///
/// # Panics
/// When it does not.
pub fn requests(bytes: &[u8]) {
    let Some((&[first_cut, step], stream)) = bytes.split_first_chunk() else { return };
    let mut whole = Receiver::default();
    whole.receive(stream);
    let mut cut = Receiver::default();
    let (mut rest, mut piece_bytes) = (stream, usize::from(first_cut));
    while !rest.is_empty() {
        let (now, later) = rest.split_at(piece_bytes.clamp(1, rest.len()));
        cut.receive(now);
        (rest, piece_bytes) = (later, (piece_bytes * 7 + usize::from(step)) % 300);
    }
    assert_eq!(cut.received, whole.received);
    assert_eq!(cut.refused, whole.refused);
    for Received { head, head_text, .. } in &whole.received {
        let spans = [head.host, head.origin, head.session_id, head.mcp_method, head.mcp_name, head.query];
        for span in spans.into_iter().flatten().chain([head.path]) {
            assert!(span.range().end <= head_text.len(), "a span lies in its head");
        }
        let host = head.host.map(|host| host.text(head_text));
        assert_eq!(head.header(head_text, "HOST"), host);
        assert!(head_text.ends_with(b"\r\n\r\n"));
    }
}

/// The parts of a head that are compared between our parser and hyper's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadFacts {
    /// The method as it was written.
    pub method: String,
    /// The target without scheme, authority and query.
    pub path: String,
    /// What follows `?`.
    pub query: Option<String>,
    /// The digit after `HTTP/1.`: 0 or 1.
    pub minor_version: u8,
    /// Lower-case names with their values, sorted by name; values of one name in their order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The length of the body; `None` where it comes in chunks.
    pub body_bytes: Option<u64>,
}

/// Whether a head is one that hyper refuses and we accept for a reason.
type KnownDifference = fn(&RequestHead, &[u8]) -> bool;

/// The heads that hyper refuses and we accept, each with its reason.
const KNOWN_DIFFERENCES: [KnownDifference; 2] = [
    // These characters have no place in a URI (RFC 3986). Nothing is served at a path with one of them, and the query
    // is not read.
    |head, bytes| {
        let is_odd = |span: Span| span.text(bytes).iter().any(|byte| b"<>`\"".contains(byte));
        is_odd(head.path) || head.query.is_some_and(is_odd)
    },
    // hyper needs the two largest lengths for itself. Our decoder refuses the body as too long, before it is read.
    |head, _| matches!(head.body, BodyFraming::Length(bytes) if bytes > u64::MAX - 2),
];

/// A head that our parser accepts is accepted by hyper too, which reads the same from it; [`KNOWN_DIFFERENCES`] lists the
/// exceptions. `theirs` is what hyper read. Our parser may refuse more.
///
/// # Panics
/// When the parsers disagree.
pub fn head(bytes: &[u8], theirs: Option<&HeadFacts>) {
    if let Some(disagreement) = disagreement(bytes, theirs) {
        // invariant: the parsers agree; the fuzzer looks for bytes that break it.
        panic!("{:?}: {disagreement}", String::from_utf8_lossy(bytes));
    }
}

/// What the parsers disagree about.
pub(super) fn disagreement(bytes: &[u8], theirs: Option<&HeadFacts>) -> Option<String> {
    let (ours, theirs) = match (HeadReader::default().advance(bytes, HEAD_LIMITS), theirs) {
        (Ok(Some(head)), Some(theirs)) => (head, theirs),
        (Ok(Some(head)), None) => {
            let is_known = KNOWN_DIFFERENCES.iter().any(|difference| difference(&head, bytes));
            return (!is_known).then(|| format!("only our parser accepts it: {:?}", facts(&head, bytes)));
        }
        (Ok(None), Some(theirs)) => return Some(format!("our parser waits for more: {theirs:?}")),
        (Ok(None) | Err(_), _) => return None,
    };
    let read = facts(&ours, bytes);
    if read != *theirs || ours.verb != Verb::of(&theirs.method) {
        return Some(format!("we read {read:?}, hyper {theirs:?}"));
    }
    let value = |name: &str| {
        let found = theirs.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_slice())
    };
    let known = [
        ("host", ours.host),
        ("origin", ours.origin),
        ("sec-fetch-site", ours.fetch_site),
        ("authorization", ours.authorization),
        ("mcp-session-id", ours.session_id),
        ("mcp-protocol-version", ours.protocol_version),
        ("mcp-method", ours.mcp_method),
        ("mcp-name", ours.mcp_name),
        ("last-event-id", ours.last_event_id),
    ];
    let differing = known.into_iter().find(|(name, span)| span.map(|span| span.text(bytes)) != value(name));
    differing.map(|(name, span)| format!("{name}: we read {span:?}, hyper {:?}", value(name)))
}

fn facts(head: &RequestHead, bytes: &[u8]) -> HeadFacts {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let line = bytes.trim_ascii_start();
    let mut headers: Vec<_> =
        head.headers(bytes).map(|(name, value)| (text(name).to_ascii_lowercase(), value.to_vec())).collect();
    headers.sort_by(|one, other| one.0.cmp(&other.0));
    HeadFacts {
        method: text(line.split(|byte| *byte == b' ').next().unwrap_or_default()),
        path: text(head.path.text(bytes)),
        query: head.query.map(|query| text(query.text(bytes))),
        minor_version: u8::from(head.version == Version::Http11),
        headers,
        body_bytes: match head.body {
            BodyFraming::None => Some(0),
            BodyFraming::Length(bytes) => Some(bytes),
            BodyFraming::Chunked => None,
        },
    }
}

/// A chunked body is read as a reader of whole bodies reads it, who knows the grammar and nothing else.
///
/// # Panics
/// When it is not.
pub fn chunks(bytes: &[u8]) {
    let Ok(mut decoder) = BodyDecoder::new(BodyFraming::Chunked, 0, MAX_BODY_BYTES) else { return };
    let mut buffer = BytesMut::from(bytes);
    let ours = match decoder.advance(&mut buffer) {
        Ok(BodyProgress::Complete(body)) => {
            let (body, rest) = buffer.split_at(body.end);
            Some((body.to_vec(), rest.to_vec()))
        }
        Ok(BodyProgress::Partial) => None,
        Err(error) => {
            assert_eq!(decoder.advance(&mut buffer), Err(error), "a refusal stays");
            None
        }
    };
    let theirs = naive_chunks(bytes).map(|(body, rest)| (body, rest.to_vec()));
    if ours.is_some()
        || theirs.as_ref().is_some_and(|(body, _)| body.len() <= MAX_BODY_BYTES && bytes.len() < 256)
    {
        assert_eq!(ours, theirs);
    }
}

/// Body and rest, if `bytes` begins with a whole body. Bounds no extension and no trailer.
fn naive_chunks(mut bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let (line, rest) = naive_line(bytes)?;
        let size = line.split(|byte| *byte == b';').next()?;
        let size =
            std::str::from_utf8(size).ok().filter(|size| size.len() <= 16 && !size.starts_with('+'))?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            bytes = rest;
            break;
        }
        body.extend_from_slice(rest.get(..size)?);
        bytes = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
    loop {
        let (line, rest) = naive_line(bytes)?;
        if line.is_empty() {
            return Some((body, rest));
        }
        let name = &line[..line.iter().position(|byte| *byte == b':')?];
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        (!name.is_empty() && name.iter().all(is_name)).then_some(())?;
        bytes = rest;
    }
}

/// A line up to CR LF, without control characters but the tab.
fn naive_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|window| window == b"\r\n")?;
    let is_text = bytes[..end].iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
    is_text.then(|| (&bytes[..end], &bytes[end + 2..]))
}

#[cfg(test)]
mod tests {
    #[test]
    fn entries_hold_on_a_small_corpus() {
        let corpus: [&[u8]; 9] = [
            b"",
            b"\x01\x00GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\x05\x03\r\nPOST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcDELETE http://a HTTP/1.0\r\n\r\n",
            b"\x01\x00POST / HTTP/1.1\r\nhost:[::1]:8\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\nGET",
            b"\x09\x07POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
            b"3\r\nabc\r\n01;a=\"b\"\r\nd\r\n000\r\nX: y\r\n\r\nmore",
            b"0\r\n\r\n",
            b"+1\r\na\r\n0\r\n\r\n",
            b"fffffffffffffffff\r\n",
        ];
        for bytes in corpus {
            super::requests(bytes);
            super::chunks(bytes);
        }
    }
}
