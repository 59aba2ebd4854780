//! Text from bytes, in the encoding that they are written in.
//!
//! The first of these counts: a byte order mark, the `charset` of the content type, that of a `meta` element at the start
//! of an HTML page, and UTF-8. What the encoding does not allow becomes U+FFFD.

use encoding_rs::{Encoding, UTF_8};
use memchr::memmem;

/// A page says its encoding within so many bytes (HTML, "prescan a byte stream").
const PRESCAN_BYTES: usize = 1024;

/// The most bytes that the text of so many bytes has: those that are not valid become three.
pub(crate) fn most_bytes(bytes: usize) -> usize {
    bytes.saturating_mul(3)
}

/// The text of `bytes`, which came as `content_type`.
pub(crate) fn decode(bytes: Vec<u8>, content_type: &str) -> String {
    let encoding = match Encoding::for_bom(&bytes) {
        Some((encoding, _)) => encoding,
        None => named(content_type).or_else(|| prescan(&bytes)).unwrap_or(UTF_8),
    };
    if encoding == UTF_8 && !bytes.starts_with("\u{feff}".as_bytes()) {
        // Most pages: nothing moves.
        return String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    }
    encoding.decode_with_bom_removal(&bytes).0.into_owned()
}

/// The encoding that a content type names, if it is known.
fn named(content_type: &str) -> Option<&'static Encoding> {
    let parameters = content_type.split(';').skip(1);
    let value = parameters.filter_map(|parameter| parameter.split_once('=')).find_map(|(name, value)| {
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches(['"', '\'']))
    })?;
    Encoding::for_label(value.as_bytes())
}

/// The encoding that a page names itself.
fn prescan(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes[..bytes.len().min(PRESCAN_BYTES)].to_ascii_lowercase();
    let metas = memmem::find_iter(&head, b"<meta").map(|at| &head[at..]);
    let found = metas.filter_map(|meta| {
        let meta = &meta[..memchr::memchr(b'>', meta).unwrap_or(meta.len())];
        let value = &meta[memmem::find(meta, b"charset")? + b"charset".len()..];
        let value = value.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
        let value = value.strip_prefix(b"\"").or(value.strip_prefix(b"'")).unwrap_or(value);
        let is_end = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b';' | b'/');
        let end = value.iter().position(is_end).unwrap_or(value.len());
        Encoding::for_label(&value[..end])
    });
    // A page that can be read as ASCII so far is not written in UTF-16.
    found.map(Encoding::output_encoding).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_found() {
        let cases: [(&[u8], &str, &str); 16] = [
            (b"caf\xc3\xa9", "text/html", "caf\u{e9}"),
            (b"caf\xc3\xa9", "", "caf\u{e9}"),
            (b"caf\xe9", "text/html; charset=ISO-8859-1", "caf\u{e9}"),
            (b"caf\xe9", "text/html;x=1; Charset = \"latin1\"", "caf\u{e9}"),
            (b"caf\xe9", "text/html; charset=unheard-of", "caf\u{fffd}"),
            (b"\x83e\x83X\x83g", "text/plain; charset=Shift_JIS", "\u{30c6}\u{30b9}\u{30c8}"),
            (b"\xcf\xf0\xe8", "text/plain; charset=windows-1251", "\u{41f}\u{440}\u{438}"),
            (b"\xff\xfeh\0i\0", "text/html; charset=utf-8", "hi"),
            (b"\xfe\xff\0h\0i", "", "hi"),
            (b"\xef\xbb\xbfhi", "text/html; charset=latin1", "hi"),
            (b"<meta charset=latin1>\xe9", "text/html", "<meta charset=latin1>\u{e9}"),
            (b"<META\nCharset = 'latin1'/>\xe9", "text/html", "<META\nCharset = 'latin1'/>\u{e9}"),
            (b"<meta content=\"a; charset=latin1\">\xe9", "", "<meta content=\"a; charset=latin1\">\u{e9}"),
            (b"<meta charset=utf-16>\xc3\xa9", "", "<meta charset=utf-16>\u{e9}"),
            (b"<meta charset=latin1>\xc3\xa9", "text/html; charset=utf-8", "<meta charset=latin1>\u{e9}"),
            (b"a\xff\xe2\x82b\xf0\x9f", "", "a\u{fffd}\u{fffd}b\u{fffd}"),
        ];
        for (bytes, content_type, want) in cases {
            assert_eq!(decode(bytes.to_vec(), content_type), want, "{content_type} {bytes:?}");
        }
    }

    #[test]
    fn no_text_is_longer_than_was_reserved() {
        for (bytes, content_type) in [
            (vec![0xff; 999], ""),
            (vec![0xe9; 999], "text/html; charset=latin1"),
            (vec![0x80; 999], "text/html; charset=windows-1252"),
            (vec![0xa1; 998], "text/html; charset=big5"),
            (vec![0xff; 999], "text/html; charset=utf-16"),
        ] {
            let most = most_bytes(bytes.len());
            assert!(decode(bytes, content_type).len() <= most, "{content_type}");
        }
    }
}
