//! Text or data as a part of a JSON string, written piece by piece into a room of any size.
//!
//! It is written as [`Reply`](super::Reply) does: the same escapes, and U+FFFD for each maximal ill-formed part. What
//! is one unit, an escape or a character, goes in whole or not at all, so that the text may stop after any piece.

use super::scan::plain_end;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::BytesMut;

/// The hexadecimal digits by their value.
pub(crate) const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";
/// Stands for bytes that are no character.
pub(super) const REPLACEMENT: &[u8] = "\u{FFFD}".as_bytes();
/// Bytes of the longest unit: `\u001f`.
pub(crate) const LONGEST_UNIT: usize = 6;

/// Where escaped text goes.
pub(crate) trait Room {
    /// Bytes that still fit.
    fn left(&self) -> usize;
    /// Takes bytes that fit.
    fn put(&mut self, bytes: &[u8]);
}

/// The end of a buffer, up to a number of bytes.
#[derive(Debug)]
pub(crate) struct BufferRoom<'b> {
    buffer: &'b mut BytesMut,
    left: usize,
}

impl<'b> BufferRoom<'b> {
    pub(crate) fn new(buffer: &'b mut BytesMut, left: usize) -> Self {
        Self { buffer, left }
    }
}

impl Room for BufferRoom<'_> {
    fn left(&self) -> usize {
        self.left
    }

    fn put(&mut self, bytes: &[u8]) {
        self.left -= bytes.len();
        self.buffer.extend_from_slice(bytes);
    }
}

/// Counts bytes instead of keeping them.
#[derive(Debug, Default)]
pub(crate) struct CountingRoom {
    /// Bytes that were put.
    pub(crate) bytes: usize,
}

impl Room for CountingRoom {
    fn left(&self) -> usize {
        usize::MAX
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
    }
}

/// Writes text that comes as bytes which should be UTF-8. Returns how many of them were taken: all that have room, but
/// not the beginning of a character whose rest is still to come, unless these bytes are the last.
pub(crate) fn escape_piece(bytes: &[u8], is_last: bool, room: &mut impl Room) -> usize {
    // Most bytes are text: validating all at once is much faster than chunk by chunk.
    let text = match simdutf8::compat::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    };
    let mut taken = escape_text(text, room);
    if taken < text.len() {
        return taken;
    }
    for chunk in bytes[taken..].utf8_chunks() {
        let valid = chunk.valid();
        let written = escape_text(valid, room);
        taken += written;
        let ill_formed = chunk.invalid();
        if written < valid.len() || ill_formed.is_empty() {
            return taken;
        }
        let reaches_end = taken + ill_formed.len() == bytes.len();
        let is_begun = std::str::from_utf8(ill_formed).is_err_and(|error| error.error_len().is_none());
        if reaches_end && is_begun && !is_last || room.left() < REPLACEMENT.len() {
            return taken;
        }
        room.put(REPLACEMENT);
        taken += ill_formed.len();
    }
    taken
}

/// Bytes that are encoded in one step: three become four characters, on the stack.
const BASE64_STEP: usize = 3 * 1024;

/// Writes data as base64. Returns how many of the bytes were taken: whole groups of three that have room, and the bytes
/// after those only if they are the last.
pub(crate) fn base64_piece(bytes: &[u8], is_last: bool, room: &mut impl Room) -> usize {
    let whole = if is_last { bytes.len() } else { bytes.len() - bytes.len() % 3 };
    let mut taken = 0;
    while taken < whole {
        let most = (room.left() / 4 * 3).min(BASE64_STEP);
        let step = &bytes[taken..whole.min(taken + most)];
        if step.is_empty() {
            break;
        }
        let mut characters = [0; BASE64_STEP / 3 * 4];
        // A step always fits into its array; if it did not, nothing would be written.
        let length = BASE64.encode_slice(step, &mut characters).unwrap_or_default();
        room.put(&characters[..length]);
        taken += step.len();
    }
    taken
}

/// Writes as much of a text as has room, and returns how many bytes of it that is.
fn escape_text(text: &str, room: &mut impl Room) -> usize {
    let bytes = text.as_bytes();
    let mut start = 0;
    loop {
        let at = plain_end(bytes, start);
        if at - start > room.left() {
            let end = text.floor_char_boundary(start + room.left());
            room.put(&bytes[start..end]);
            return end;
        }
        room.put(&bytes[start..at]);
        let Some(special) = bytes.get(at) else { return at };
        let mut long = [0; LONGEST_UNIT];
        let escaped = escape(*special, &mut long);
        if escaped.len() > room.left() {
            return at;
        }
        room.put(escaped);
        start = at + 1;
    }
}

/// The end of the last unit that ends within the first `most` bytes of escaped text, which begins with a unit.
pub(crate) fn unit_floor(text: &[u8], most: usize) -> usize {
    let mut at = 0;
    while let Some(before) = memchr::memchr(b'\\', &text[at..most]) {
        let begin = at + before;
        at = begin + if text.get(begin + 1) == Some(&b'u') { LONGEST_UNIT } else { 2 };
        if at > most {
            return begin;
        }
    }
    let continues = |end: &usize| text.get(*end).is_some_and(|byte| byte & 0xC0 == 0x80);
    (at..=most).rev().find(|end| !continues(end)).unwrap_or(at)
}

/// The escape of a byte that may not stand for itself.
pub(super) fn escape(byte: u8, long: &mut [u8; LONGEST_UNIT]) -> &[u8] {
    match byte {
        b'"' => b"\\\"",
        b'\\' => b"\\\\",
        b'\n' => b"\\n",
        b'\r' => b"\\r",
        b'\t' => b"\\t",
        0x08 => b"\\b",
        0x0C => b"\\f",
        _ => {
            let digits = [HEX_DIGITS[usize::from(byte >> 4)], HEX_DIGITS[usize::from(byte & 15)]];
            *long = [b'\\', b'u', b'0', b'0', digits[0], digits[1]];
            long
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Reply;
    use mcpool_pools::BufferPool;
    use proptest::prelude::*;

    /// What a reply makes of the bytes.
    fn replied(bytes: &[u8]) -> Vec<u8> {
        let mut reply = Reply::new(BufferPool::default(), usize::MAX >> 1);
        reply.lossy_text().push(bytes);
        reply.finish().expect("no limit").to_vec()
    }

    /// Bytes full of what makes pieces hard: escapes of both lengths, characters of all lengths, and broken ones.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            3 => "[a-z ]{1,20}".prop_map(String::into_bytes),
            2 => "[\"\\\\\n\r\t\u{8}\u{c}\u{0}-\u{1f}]{1,3}".prop_map(String::into_bytes),
            2 => "[é€😀\u{FFFD}]{1,3}".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 1..4),
            1 => Just(vec![0xE2, 0x82]),
            1 => Just(vec![0xF0, 0x9F, 0x98]),
        ];
        prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
    }

    #[test]
    fn text_is_cut_between_two_units() {
        let text = br#"a\n\u0001\\u001f\\\"\u001f"#.as_slice();
        let text = [text, "\u{e9}\u{20ac}\u{1F600}\u{FFFD}z".as_bytes()].concat();
        let floors: Vec<usize> = (0..=text.len()).map(|most| unit_floor(&text, most)).collect();
        let mut ends = floors.clone();
        ends.dedup();
        assert_eq!(ends, [0, 1, 3, 9, 11, 12, 13, 14, 15, 16, 18, 20, 26, 28, 31, 35, 38, 39]);
        assert!(floors.iter().enumerate().all(|(most, floor)| floor + LONGEST_UNIT > most && *floor <= most));
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_into_rooms_of_any_size_are_the_text_of_a_reply(
            bytes in bytes(),
            piece_bytes in 4..40_usize,
            room_bytes in LONGEST_UNIT..40_usize,
        ) {
            let want = replied(&bytes);
            let mut counted = CountingRoom::default();
            let mut written = BytesMut::new();
            for counts in [true, false] {
                let mut at = 0;
                while at < bytes.len() {
                    let end = bytes.len().min(at + piece_bytes);
                    let (piece, is_last) = (&bytes[at..end], end == bytes.len());
                    let taken = if counts {
                        escape_piece(piece, is_last, &mut counted)
                    } else {
                        let mut part = BytesMut::new();
                        let taken = escape_piece(piece, is_last, &mut BufferRoom::new(&mut part, room_bytes));
                        prop_assert!(part.len() <= room_bytes);
                        written.extend_from_slice(&part);
                        taken
                    };
                    prop_assert!(taken > 0, "every piece of four bytes has a unit, and every room");
                    at += taken;
                }
            }
            prop_assert_eq!(counted.bytes, want.len());
            prop_assert_eq!(&written[..], &want[..]);
        }

        #[test]
        fn base64_in_pieces_is_the_base64_of_the_whole(
            bytes in prop::collection::vec(any::<u8>(), 0..9_000),
            piece_bytes in 3..8_000_usize,
            room_bytes in 4..8_000_usize,
        ) {
            let (mut written, mut at) = (BytesMut::new(), 0);
            while at < bytes.len() {
                let end = bytes.len().min(at + piece_bytes);
                let mut part = BytesMut::new();
                let room = &mut BufferRoom::new(&mut part, room_bytes);
                at += base64_piece(&bytes[at..end], end == bytes.len(), room);
                prop_assert!(!part.is_empty() && part.len() <= room_bytes);
                written.extend_from_slice(&part);
            }
            prop_assert_eq!(String::from_utf8_lossy(&written), BASE64.encode(&bytes));
        }

        #[test]
        fn a_room_that_is_too_small_is_filled_with_whole_units(bytes in bytes(), room_bytes in 0..100_usize) {
            let want = replied(&bytes);
            let mut part = BytesMut::new();
            escape_piece(&bytes, true, &mut BufferRoom::new(&mut part, room_bytes));
            prop_assert!(want.starts_with(&part) && part.len() <= room_bytes);
            prop_assert!(part.len() == want.len() || part.len() + LONGEST_UNIT > room_bytes);
            let json = [b"\"", &part[..], b"\""].concat();
            prop_assert!(serde_json::from_slice::<String>(&json).is_ok());
        }
    }
}
