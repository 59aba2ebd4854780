//! The head of a request: its line and its headers, as spans of the bytes it was read from.
//!
//! [`head_end`](super::head_end) checks the lines, `httparse` finds the parts, and [`field`] reads the
//! values. A head that two readers could understand differently is
//! refused (RFC 9112 11.2, request smuggling). Nothing is copied and nothing allocated: a head is valid
//! while its bytes stay where they were, which the body decoder leaves them.
//!
//! This file knows the names of MCP's headers and none of their values.

use super::field::{self, AcceptRanges};
use super::head_end::HeadEnd;
use super::head_error::HeadError;
use super::words::{
    Accepts, BodyFraming, ContentType, HeadLimits, KNOWN_HEADERS, KnownHeader, MOST_HEADERS, PARAM_PREFIX,
    SINGLE_HEADERS, SingleHeader, Verb, Version,
};
use std::mem::MaybeUninit;
use std::num::NonZeroU32;
use std::ops::Range;

/// A part of the bytes a head was read from.
///
/// It begins after the method, so that its start is never zero and an `Option` of it costs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    start: NonZeroU32,
    len: u32,
}

impl Span {
    /// Where `part`, a slice of `bytes`, lies in it.
    fn of(bytes: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(bytes.as_ptr().addr());
        debug_assert!(0 < start && start + part.len() <= bytes.len(), "a part of other bytes");
        Self { start: NonZeroU32::new(start as u32).unwrap_or(NonZeroU32::MIN), len: part.len() as u32 }
    }

    /// Its bytes; `bytes` is what the head was read from.
    pub(crate) fn text(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.range()).unwrap_or_default()
    }

    /// The positions it covers.
    pub(crate) fn range(self) -> Range<usize> {
        let start = self.start.get() as usize;
        start..start + self.len as usize
    }
}

/// The head of a request. Its spans are of the bytes it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestHead {
    /// Bytes up to the body, with empty lines before the request.
    pub(crate) head_bytes: usize,
    headers_start: u32,
    pub(crate) verb: Verb,
    pub(crate) version: Version,
    /// The target without its query: begins with `/`, or is `*`.
    pub(crate) path: Span,
    /// What follows `?`.
    pub(crate) query: Option<Span>,
    /// Whether the client wants the connection kept.
    pub(crate) keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(crate) expects_continue: bool,
    pub(crate) body: BodyFraming,
    pub(crate) content_type: ContentType,
    pub(crate) accepts: Accepts,
    pub(crate) host: Option<Span>,
    pub(crate) origin: Option<Span>,
    pub(crate) fetch_site: Option<Span>,
    pub(crate) authorization: Option<Span>,
    pub(crate) session_id: Option<Span>,
    pub(crate) protocol_version: Option<Span>,
    pub(crate) mcp_method: Option<Span>,
    pub(crate) mcp_name: Option<Span>,
    pub(crate) last_event_id: Option<Span>,
    /// Whether a header `Mcp-Param-..` is there; [`RequestHead::headers`] finds it.
    pub(crate) has_mcp_params: bool,
    pub(crate) access_control_request_method: Option<Span>,
    pub(crate) access_control_request_headers: Option<Span>,
}

impl RequestHead {
    /// All headers in their order, names as they were written, values without white space around them.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn headers<'b>(
        &self,
        bytes: &'b [u8],
    ) -> impl Iterator<Item = (&'b [u8], &'b [u8])> + use<'b> {
        let lines = bytes.get(self.headers_start as usize..self.head_bytes).unwrap_or_default();
        lines.split(|byte| *byte == b'\n').filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            Some((&line[..colon], field::trim(line[colon + 1..].strip_suffix(b"\r")?)))
        })
    }

    /// The first header of that name, in any case.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn header<'b>(&self, bytes: &'b [u8], name: &str) -> Option<&'b [u8]> {
        self.headers(bytes)
            .find(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }
}

/// Reads the head at the start of `bytes`, or tells that more bytes are needed.
///
/// # Errors
/// As soon as the head cannot become one that is served.
#[cfg(any(test, fuzzing))]
pub(crate) fn parse(bytes: &[u8], limits: HeadLimits) -> Result<Option<RequestHead>, HeadError> {
    HeadReader::default().advance(bytes, limits)
}

/// Reads a head that comes in pieces, looking at each byte once while it is not whole. One for each head.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HeadReader(HeadEnd);

impl HeadReader {
    /// As [`parse`]; `bytes` is all that came so far.
    pub(crate) fn advance(
        &mut self,
        bytes: &[u8],
        limits: HeadLimits,
    ) -> Result<Option<RequestHead>, HeadError> {
        self.0.find(bytes, limits)?.map(|head| read(bytes, head, limits)).transpose()
    }

    /// Whether a request has begun. Empty lines after the last request's body are no request: the connection is
    /// idle, and its bytes may be dropped together with this reader.
    pub(crate) fn has_begun(&self) -> bool {
        self.0.has_begun()
    }
}

/// Reads a whole head whose lines end as they must.
fn read(bytes: &[u8], at: Range<usize>, limits: HeadLimits) -> Result<RequestHead, HeadError> {
    let mut headers = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let most = limits.max_headers.min(MOST_HEADERS);
    let mut request = httparse::Request::new(&mut []);
    let text = &bytes[at.clone()];
    match request.parse_with_uninit_headers(text, &mut headers[..most]) {
        Ok(httparse::Status::Complete(read_bytes)) if read_bytes == text.len() => {}
        Ok(_) => return Err(HeadError::RequestLine),
        Err(error) => return Err(refusal(error, text, limits)),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(HeadError::RequestLine);
    };
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let verb = Verb::of(method);
    let target = Target::of(verb, target.as_bytes())?;
    let line_bytes = memchr::memchr(b'\n', text).map_or(text.len(), |end| end + 1);
    let mut facts = HeaderFacts::new();
    for header in request.headers.iter() {
        facts.add(bytes, header.name.as_bytes(), field::trim(header.value))?;
    }
    facts.check(bytes, verb, version, &target)?;
    let HeaderFacts { framing, spans, ref connection, .. } = facts;
    Ok(RequestHead {
        head_bytes: at.end,
        headers_start: (at.start + line_bytes) as u32,
        verb,
        version,
        path: Span::of(bytes, target.path),
        query: target.query.map(|query| Span::of(bytes, query)),
        keep_alive: !connection.close && (version == Version::Http11 || connection.keep_alive),
        expects_continue: facts.expects && version == Version::Http11 && framing != BodyFraming::None,
        body: framing,
        content_type: facts.content_type,
        accepts: facts.accept.accepts(),
        host: spans[SingleHeader::Host as usize],
        origin: spans[SingleHeader::Origin as usize],
        fetch_site: spans[SingleHeader::FetchSite as usize],
        authorization: spans[SingleHeader::Authorization as usize],
        session_id: spans[SingleHeader::SessionId as usize],
        protocol_version: spans[SingleHeader::ProtocolVersion as usize],
        mcp_method: spans[SingleHeader::McpMethod as usize],
        mcp_name: spans[SingleHeader::McpName as usize],
        last_event_id: spans[SingleHeader::LastEventId as usize],
        has_mcp_params: facts.has_mcp_params,
        access_control_request_method: spans[SingleHeader::RequestMethod as usize],
        access_control_request_headers: spans[SingleHeader::RequestHeaders as usize],
    })
}

#[cold]
fn refusal(error: httparse::Error, text: &[u8], limits: HeadLimits) -> HeadError {
    match error {
        httparse::Error::HeaderName => HeadError::HeaderName,
        httparse::Error::HeaderValue => HeadError::HeaderValue,
        httparse::Error::TooManyHeaders => {
            HeadError::TooManyHeaders { limit: limits.max_headers.min(MOST_HEADERS) }
        }
        httparse::Error::Version if is_other_version(text) => HeadError::Version,
        _ => HeadError::RequestLine,
    }
}

/// Whether the request line is one but for its version, which is not ours.
fn is_other_version(text: &[u8]) -> bool {
    let line = text.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ').skip(2);
    let (Some(version), None) = (words.next(), words.next()) else { return false };
    matches!(
        version,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9']
            | [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']
    )
}

/// A request target, taken apart.
struct Target<'b> {
    path: &'b [u8],
    query: Option<&'b [u8]>,
    /// The host of the absolute form.
    authority: Option<&'b [u8]>,
}

impl<'b> Target<'b> {
    /// The forms of RFC 9112 3.2, but the authority form, which only a proxy has a use for.
    fn of(verb: Verb, target: &'b [u8]) -> Result<Self, HeadError> {
        if !target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#') {
            return Err(HeadError::Target);
        }
        if target == b"*" {
            let is_options = verb == Verb::Options;
            return is_options
                .then_some(Self { path: target, query: None, authority: None })
                .ok_or(HeadError::Target);
        }
        let (authority, local) = if target[0] == b'/' { (None, target) } else { Self::absolute(target)? };
        let (path, query) = match memchr::memchr(b'?', local) {
            Some(mark) => (&local[..mark], Some(&local[mark + 1..])),
            None => (local, None),
        };
        // `http://host` means the path `/`, and the scheme has one.
        let slash = memchr::memchr(b'/', target).filter(|_| path.is_empty());
        let path = slash.map_or(path, |slash| &target[slash..=slash]);
        Ok(Self { path, query, authority })
    }

    /// Host and rest of `http://host/rest`.
    fn absolute(target: &'b [u8]) -> Result<(Option<&'b [u8]>, &'b [u8]), HeadError> {
        let schemes: [&[u8]; 2] = [b"http://", b"https://"];
        let scheme = schemes.iter().find(|scheme| {
            target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        });
        let rest = scheme.map(|scheme| &target[scheme.len()..]).ok_or(HeadError::Target)?;
        let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
        let (authority, local) = rest.split_at(end);
        field::is_host(authority).then_some((Some(authority), local)).ok_or(HeadError::Target)
    }
}

/// What is known from the headers so far.
#[derive(Debug)]
struct HeaderFacts {
    spans: [Option<Span>; SINGLE_HEADERS],
    framing: BodyFraming,
    content_type: ContentType,
    accept: AcceptRanges,
    connection: ConnectionOptions,
    expects: bool,
    has_mcp_params: bool,
}

/// What the Connection headers list.
#[derive(Debug, Default)]
struct ConnectionOptions {
    close: bool,
    keep_alive: bool,
}

impl HeaderFacts {
    fn new() -> Self {
        Self {
            spans: [None; SINGLE_HEADERS],
            framing: BodyFraming::None,
            content_type: ContentType::Absent,
            accept: AcceptRanges::default(),
            connection: ConnectionOptions::default(),
            expects: false,
            has_mcp_params: false,
        }
    }

    fn add(&mut self, bytes: &[u8], name: &[u8], value: &[u8]) -> Result<(), HeadError> {
        let known = KNOWN_HEADERS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()));
        let Some((known, field)) = known else {
            let start = name.get(..PARAM_PREFIX.len());
            self.has_mcp_params |= start.is_some_and(|start| start.eq_ignore_ascii_case(PARAM_PREFIX));
            return Ok(());
        };
        match *field {
            KnownHeader::Single(single) => {
                let span = &mut self.spans[single as usize];
                if span.replace(Span::of(bytes, value)).is_some() {
                    return Err(HeadError::Duplicate(known));
                }
                self.understand(single, value)?;
            }
            KnownHeader::ContentLength => {
                self.frame(known, BodyFraming::Length(field::content_length(value)?))?;
            }
            KnownHeader::TransferEncoding => {
                field::transfer_encoding(value)?;
                self.frame(known, BodyFraming::Chunked)?;
            }
            KnownHeader::ContentEncoding if value.eq_ignore_ascii_case(b"identity") => {}
            KnownHeader::ContentEncoding => return Err(HeadError::ContentEncoding),
            KnownHeader::Accept => self.accept.add(value),
            KnownHeader::Connection => {
                for option in field::elements(value) {
                    self.connection.close |= option.eq_ignore_ascii_case(b"close");
                    self.connection.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
        }
        Ok(())
    }

    fn understand(&mut self, single: SingleHeader, value: &[u8]) -> Result<(), HeadError> {
        match single {
            SingleHeader::Host if !field::is_host(value) => return Err(HeadError::Host),
            SingleHeader::Expect if !value.eq_ignore_ascii_case(b"100-continue") => {
                return Err(HeadError::Expect);
            }
            SingleHeader::Expect => self.expects = true,
            SingleHeader::ContentType => self.content_type = field::content_type(value),
            _ => {}
        }
        Ok(())
    }

    /// A second framing is refused even if it says the same: who merged two requests may have kept both.
    fn frame(&mut self, name: &'static str, framing: BodyFraming) -> Result<(), HeadError> {
        match (self.framing, framing) {
            (BodyFraming::None, _) => self.framing = framing,
            (BodyFraming::Length(_), BodyFraming::Length(_))
            | (BodyFraming::Chunked, BodyFraming::Chunked) => {
                return Err(HeadError::Duplicate(name));
            }
            _ => return Err(HeadError::LengthAndCoding),
        }
        Ok(())
    }

    /// What can only be checked when all headers are known.
    fn check(
        &self,
        bytes: &[u8],
        verb: Verb,
        version: Version,
        target: &Target<'_>,
    ) -> Result<(), HeadError> {
        let host = self.spans[SingleHeader::Host as usize].map(|host| host.text(bytes));
        match (host, target.authority) {
            (None, _) if version == Version::Http11 => return Err(HeadError::MissingHost),
            (Some(host), Some(other)) if !host.eq_ignore_ascii_case(other) => {
                return Err(HeadError::HostDisagrees);
            }
            _ => {}
        }
        match (self.framing, version) {
            (BodyFraming::Chunked, Version::Http10) => Err(HeadError::CodingInOldVersion),
            (BodyFraming::None, _) if matches!(verb, Verb::Post | Verb::Put | Verb::Patch) => {
                Err(HeadError::LengthRequired)
            }
            _ => Ok(()),
        }
    }
}
