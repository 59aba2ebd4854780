//! What single header values mean: lengths, codings, media types, hosts.
//!
//! Each function sees one value, its surrounding white space trimmed, and knows nothing of the request.
//! Where two readings are possible, the value is refused: a proxy in front of this server may choose the other reading.

use super::head_error::HeadError;
use super::words::{Accepts, ContentType};

/// Digits of the largest `u64`.
const MAX_LENGTH_DIGITS: usize = 20;

/// `value` without white space around it.
pub(super) fn trim(value: &[u8]) -> &[u8] {
    let start = value.iter().position(|byte| !is_blank(*byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_blank(*byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Whether `byte` may stand in a token (RFC 9110 5.6.2): methods, header names, codings.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The trimmed elements of a list.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim)
}

/// The value of Content-Length. A list of equal lengths is refused too: who sends one has merged two headers.
pub(super) fn content_length(value: &[u8]) -> Result<u64, HeadError> {
    if value.len() > MAX_LENGTH_DIGITS {
        return Err(HeadError::ContentLength);
    }
    number(value).ok_or(HeadError::ContentLength)
}

/// The number that is written in decimal digits, and in nothing else. `str::parse` is for text, which costs a check.
fn number(digits: &[u8]) -> Option<u64> {
    let start = if digits.is_empty() { None } else { Some(0_u64) };
    digits.iter().fold(start, |number, digit| {
        let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number?.checked_mul(10)?.checked_add(value)
    })
}

/// Only `chunked` is implemented. Any other known coding is refused as unsupported, anything else as malformed.
pub(super) fn transfer_encoding(value: &[u8]) -> Result<(), HeadError> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut chunked_at = None;
    let mut codings = 0;
    for coding in elements(value) {
        if coding.is_empty() || !coding.iter().copied().all(is_token) {
            return Err(HeadError::TransferEncoding);
        }
        codings += 1;
        if coding.eq_ignore_ascii_case(b"chunked") && chunked_at.replace(codings).is_some() {
            return Err(HeadError::TransferEncoding);
        }
    }
    match chunked_at {
        Some(at) if at != codings => Err(HeadError::TransferEncoding),
        _ => Err(HeadError::UnknownCoding),
    }
}

/// `application/json`; its only parameter with a meaning is the charset, which can only be UTF-8.
pub(super) fn content_type(value: &[u8]) -> ContentType {
    let mut parts = value.split(|byte| *byte == b';').map(trim);
    let is_json = parts.next().is_some_and(|media| media.eq_ignore_ascii_case(b"application/json"));
    let is_utf8 = parts.all(|parameter| {
        let Some((b"charset", charset)) = parameter_of(parameter) else { return true };
        let charset =
            charset.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(charset);
        charset.eq_ignore_ascii_case(b"utf-8") || charset.eq_ignore_ascii_case(b"utf8")
    });
    if is_json && is_utf8 { ContentType::Json } else { ContentType::Other }
}

/// The parameters that we read, by their lower-case name.
fn parameter_of(parameter: &[u8]) -> Option<(&'static [u8], &[u8])> {
    let equals = parameter.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (trim(&parameter[..equals]), trim(&parameter[equals + 1..]));
    let names: [&'static [u8]; 2] = [b"charset", b"q"];
    names.into_iter().find(|known| name.eq_ignore_ascii_case(known)).map(|known| (known, value))
}

/// What the Accept headers of a request allow; the most specific range decides (RFC 9110 12.5.1).
#[derive(Debug, Default)]
pub(super) struct AcceptRanges {
    is_given: bool,
    json: Choice,
    event_stream: Choice,
    names_html: bool,
}

/// The most specific range so far: 0 none, 1 `*/*`, 2 `type/*`, 3 the type itself.
#[derive(Debug, Default)]
struct Choice {
    specificity: u8,
    is_allowed: bool,
}

impl AcceptRanges {
    /// Adds one header.
    pub(super) fn add(&mut self, value: &[u8]) {
        for range in elements(value).filter(|range| !range.is_empty()) {
            self.is_given = true;
            let mut parts = range.split(|byte| *byte == b';').map(trim);
            let media = parts.next().unwrap_or_default();
            let is_allowed = !parts.any(|part| matches!(parameter_of(part), Some((b"q", q)) if is_zero(q)));
            self.json.consider(media, b"application/*", b"application/json", is_allowed);
            self.names_html |= media.eq_ignore_ascii_case(b"text/html");
            self.event_stream.consider(media, b"text/*", b"text/event-stream", is_allowed);
        }
    }

    /// Both where no header asked for anything.
    pub(super) fn accepts(&self) -> Accepts {
        Accepts {
            is_given: self.is_given,
            json: !self.is_given || self.json.is_allowed,
            event_stream: !self.is_given || self.event_stream.is_allowed,
            html: self.names_html,
        }
    }
}

impl Choice {
    fn consider(&mut self, media: &[u8], family: &[u8], exact: &[u8], is_allowed: bool) {
        let ranges: [&[u8]; 3] = [b"*/*", family, exact];
        let Some(index) = ranges.iter().position(|range| media.eq_ignore_ascii_case(range)) else { return };
        let specificity = index as u8 + 1;
        match specificity.cmp(&self.specificity) {
            std::cmp::Ordering::Greater => *self = Self { specificity, is_allowed },
            std::cmp::Ordering::Equal => self.is_allowed |= is_allowed,
            std::cmp::Ordering::Less => {}
        }
    }
}

fn is_zero(q: &[u8]) -> bool {
    q.first() == Some(&b'0') && q[1..].iter().all(|byte| matches!(byte, b'.' | b'0'))
}

/// Whether `value` is `name`, `name:port` or `[address]:port`, and nothing besides (no user, no path).
pub(super) fn is_host(value: &[u8]) -> bool {
    let (name, port) = if value.first() == Some(&b'[') {
        let Some(close) = value.iter().position(|byte| *byte == b']') else { return false };
        let address = &value[1..close];
        if !address.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')) {
            return false;
        }
        (address, &value[close + 1..])
    } else {
        value.split_at(value.iter().position(|byte| *byte == b':').unwrap_or(value.len()))
    };
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:".contains(byte);
    !name.is_empty() && name.iter().all(is_name) && is_port(port)
}

/// Nothing, or a colon and a port.
fn is_port(text: &[u8]) -> bool {
    let Some((colon, digits)) = text.split_first() else { return true };
    *colon == b':' && number(digits).is_some_and(|port| u16::try_from(port).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(values: &[&str]) -> (bool, bool) {
        let mut ranges = AcceptRanges::default();
        for value in values {
            ranges.add(value.as_bytes());
        }
        let accepts = ranges.accepts();
        (accepts.json, accepts.event_stream)
    }

    #[test]
    fn the_most_specific_range_decides_what_is_accepted() {
        let rows: [(&[&str], (bool, bool)); 20] = [
            (&[], (true, true)),
            (&[""], (true, true)),
            (&["*/*"], (true, true)),
            (&["application/json, text/event-stream"], (true, true)),
            (&["application/json", "text/event-stream"], (true, true)),
            (&["Application/JSON"], (true, false)),
            (&["text/event-stream"], (false, true)),
            (&["application/*"], (true, false)),
            (&["text/*;q=0.5"], (false, true)),
            (&["text/html"], (false, false)),
            (&["*/*;q=0"], (false, false)),
            (&["application/json;q=0, */*"], (false, true)),
            (&["*/*, application/json;q=0"], (false, true)),
            (&["*/*", "text/* ; Q=0.000"], (true, false)),
            (&["text/*;q=0, text/event-stream"], (false, true)),
            (&["application/json;charset=utf-8;q=0.1"], (true, false)),
            (&["application/json;q=0.001"], (true, false)),
            (&[",,application/json,,"], (true, false)),
            (&["application/jsonx"], (false, false)),
            (&["application/json;q=0, application/json"], (true, false)),
        ];
        for (values, want) in rows {
            assert_eq!(accepts(values), want, "{values:?}");
        }
    }

    #[test]
    fn json_is_told_from_the_rest() {
        for (value, is_json) in [
            ("application/json", true),
            ("APPLICATION/json;charset=utf-8", true),
            ("application/json ; Charset = \"UTF-8\"", true),
            ("application/json; charset=utf8", true),
            ("application/json;profile=x", true),
            ("application/json;", true),
            ("application/json; charset=utf-16", false),
            ("application/json; charset=iso-8859-1", false),
            ("application/json, text/html", false),
            ("application/json-rpc", false),
            ("text/json", false),
            ("text/plain", false),
            ("", false),
        ] {
            assert_eq!(content_type(value.as_bytes()) == ContentType::Json, is_json, "{value}");
        }
    }

    #[test]
    fn hosts_of_every_form_are_known() {
        let hosts =
            ["a", "a.b-c_d", "localhost:0", "127.0.0.1:65535", "[::1]", "[::ffff:1.2.3.4]:80", "2f746d70"];
        for host in hosts {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in ["[]", "[::1]x", "[::1]:", "[g::]", "a:1:2", "a:123456", "a\\b", "a\t", "@", "a@"] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn white_space_around_a_value_goes() {
        for (value, want) in [("", ""), (" \t", ""), (" a b\t", "a b"), ("a", "a")] {
            assert_eq!(trim(value.as_bytes()), want.as_bytes());
        }
    }

    #[test]
    fn lengths_up_to_the_largest_are_read() {
        assert_eq!(content_length(b"0"), Ok(0));
        assert_eq!(content_length(b"18446744073709551615"), Ok(u64::MAX));
        assert_eq!(content_length(b"00000000000000000005"), Ok(5));
    }
}
