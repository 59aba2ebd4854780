//! Compares headers that repeat members of the body, so that gateways need not read the body: SEP-2243.
//!
//! Pure comparison; nothing is allocated where no base64 is used.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
#[cfg(any(feature = "client", test))]
use std::borrow::Cow;

/// The header of the revision.
pub(crate) const VERSION: &str = "MCP-Protocol-Version";
/// The header of the method.
pub(crate) const METHOD: &str = "Mcp-Method";
/// The header of the tool's or prompt's name, the resource's URI, or the task's id.
pub(crate) const NAME: &str = "Mcp-Name";
/// The prefix of the headers of mirrored arguments.
pub(crate) const PARAM_PREFIX: &str = "Mcp-Param-";

const SENTINEL_START: &[u8] = b"=?base64?";
const SENTINEL_END: &[u8] = b"?=";

/// A header differs from the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mismatch;

/// Whether all bytes of a header's value are visible ASCII characters or blanks. Other bytes are Latin-1 to some
/// programs and UTF-8 to others, so such texts travel in base64 between markers.
pub(crate) fn is_visible(header: &[u8]) -> bool {
    header.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
}

/// Whether a header equals `body`, plain or in base64 between markers.
pub(crate) fn matches_text(header: &[u8], body: &str) -> Result<(), Mismatch> {
    let encoded = header.strip_prefix(SENTINEL_START).and_then(|rest| rest.strip_suffix(SENTINEL_END));
    let is_equal = match encoded {
        None => is_visible(header) && header == body.as_bytes(),
        Some(encoded) => STANDARD.decode(encoded).is_ok_and(|decoded| decoded == body.as_bytes()),
    };
    if is_equal { Ok(()) } else { Err(Mismatch) }
}

/// Encodes a text for a header: plain where that is possible, else in base64 between markers.
#[cfg(any(feature = "client", test))]
pub(crate) fn encode(text: &str) -> Cow<'_, str> {
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && text.trim() == text
        && !(text.as_bytes().starts_with(SENTINEL_START) && text.as_bytes().ends_with(SENTINEL_END));
    if is_plain { Cow::Borrowed(text) } else { Cow::Owned(format!("=?base64?{}?=", STANDARD.encode(text))) }
}

/// Whether a header is the same number as `body`, a JSON text: `42.0` is 42.
pub(crate) fn matches_integer(header: &[u8], body: &str) -> Result<(), Mismatch> {
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    let header = std::str::from_utf8(header).map_err(|_| Mismatch)?;
    if header == body {
        return Ok(());
    }
    let is_written_plainly = header.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'.'));
    match (number(header).filter(|_| is_written_plainly), number(body)) {
        // Beyond 2^53 two integers may be one number: those were compared as text above.
        (Some(header), Some(body))
            if header.abs() < 9_007_199_254_740_992.0 && header.total_cmp(&body).is_eq() =>
        {
            Ok(())
        }
        _ => Err(Mismatch),
    }
}

/// The first header of a mirrored argument that is repeated or has invisible bytes.
pub(crate) fn ambiguous_param(head: &[u8]) -> Option<&str> {
    let params = || {
        head.split(|byte| *byte == b'\n').skip(1).filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (field, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            let start = field.get(..PARAM_PREFIX.len())?;
            start.eq_ignore_ascii_case(PARAM_PREFIX.as_bytes()).then_some((field, value))
        })
    };
    let is_ambiguous = |(at, (field, value)): &(usize, (&[u8], &[u8]))| {
        !is_visible(value) || params().skip(at + 1).any(|(other, _)| other.eq_ignore_ascii_case(field))
    };
    params().enumerate().find(is_ambiguous).and_then(|(_, (field, _))| std::str::from_utf8(field).ok())
}

/// The value of a header in a head that was checked already.
pub(crate) fn find_header<'h>(head: &'h [u8], prefix: &str, name: &str) -> Option<&'h [u8]> {
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (field, value) = (&line[..colon], &line[colon + 1..]);
        let (start, rest) = field.split_at_checked(prefix.len())?;
        let is_meant =
            start.eq_ignore_ascii_case(prefix.as_bytes()) && rest.eq_ignore_ascii_case(name.as_bytes());
        is_meant.then(|| value.trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_compared_as_the_proposal_says() {
        for (header, body, want) in [
            ("Hello", "Hello", true),
            ("hello", "Hello", false),
            ("", "", true),
            ("", "x", false),
            ("=?base64?SGVsbG8=?=", "Hello", true),
            ("=?base64?SGVsbG8?=", "Hello", false),
            ("=?base64?SGVs!!!bG8=?=", "Hello", false),
            ("=?BASE64?SGVsbG8=?=", "Hello", false),
            ("=?BASE64?SGVsbG8=?=", "=?BASE64?SGVsbG8=?=", true),
            ("SGVsbG8=", "SGVsbG8=", true),
            ("SGVsbG8=", "Hello", false),
            ("=?base64?SGVsbG8=", "=?base64?SGVsbG8=", true),
            ("=?base64?5pel5pys?=", "日本", true),
            ("=?base64??=", "", true),
            ("日本", "日本", false),
            ("caf\u{e9}", "caf\u{e9}", false),
            ("a\u{7f}", "a\u{7f}", false),
        ] {
            assert_eq!(matches_text(header.as_bytes(), body).is_ok(), want, "{header} {body}");
        }
    }

    #[test]
    fn what_is_encoded_matches_what_it_was() {
        for text in
            ["plain", "", "two words", " blank at its ends ", "日本", "a\nb", "=?base64?SGVsbG8=?=", "\u{7f}"]
        {
            let header = encode(text);
            assert!(header.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{header}");
            assert_eq!(matches_text(header.as_bytes(), text), Ok(()), "{text}");
        }
    }

    #[test]
    fn integers_are_compared_by_value() {
        for (header, body, want) in [
            ("42", "42", true),
            ("42.0", "42", true),
            ("42", "42.0", true),
            ("-7", "-7", true),
            ("43", "42", false),
            ("4e1", "40", false),
            ("0x2a", "42", false),
            ("", "0", false),
            ("9007199254740993", "9007199254740993", true),
            ("9007199254740993", "9007199254740992", false),
        ] {
            assert_eq!(matches_integer(header.as_bytes(), body).is_ok(), want, "{header} {body}");
        }
    }

    #[test]
    fn arguments_that_two_readers_could_take_for_different_ones_are_named() {
        for (lines, want) in [
            ("", None),
            ("X: \u{e9}\r\nX: 1\r\n", None),
            ("Mcp-Param-A: 1\r\nMcp-Param-B: 1\r\n", None),
            ("Mcp-Param-A: 1\r\nX: 2\r\nmcp-param-a: 1\r\n", Some("Mcp-Param-A")),
            ("Mcp-Param-A: 1\r\nMcp-Param-B: \u{e9}\r\n", Some("Mcp-Param-B")),
        ] {
            let head = format!("POST /mcp HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
            assert_eq!(ambiguous_param(head.as_bytes()), want, "{lines}");
        }
    }

    #[test]
    fn headers_are_found_in_any_case() {
        let head = b"POST /mcp HTTP/1.1\r\nHost: x\r\nmcp-param-REGION:  eu \r\nMcp-Param-: n\r\n\r\n";
        assert_eq!(find_header(head, PARAM_PREFIX, "Region"), Some(&b"eu"[..]));
        assert_eq!(find_header(head, PARAM_PREFIX, "Regio"), None);
        assert_eq!(find_header(head, "", "host"), Some(&b"x"[..]));
    }
}
