//! Writes event streams: events, comments and the end, with or without chunks.
//!
//! Source: the event stream chapter of the HTML standard.

use super::words::StreamFraming;
use crate::wire::HEX_DIGITS;
use bytes::{BufMut, BytesMut};

/// One event of a stream: a message and its optional fields.
///
/// ```text
/// 2A CRLF event: message LF id: 7 LF data: {"jsonrpc":"2.0"..} LF LF CRLF
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Event<'a> {
    /// Whether to write `event: message`, which is the default when the field is absent.
    pub(crate) is_named: bool,
    /// The id that a client sends as Last-Event-ID when it reconnects.
    pub(crate) id: Option<&'a [u8]>,
    /// How long a client is to wait before it reconnects.
    pub(crate) retry_ms: Option<u32>,
}

const EVENT_NAME: &[u8] = b"event: message\n";
const EVENT_ID: &[u8] = b"id: ";
const EVENT_RETRY: &[u8] = b"retry: ";
const EVENT_DATA: &[u8] = b"data: ";
const EVENT_END: &[u8] = b"\n\n";
const COMMENT: &[u8] = b":\n\n";
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

impl Event<'_> {
    /// Appends what comes before the data. `more_bytes` is what follows in the same chunk.
    fn write_fields(&self, out: &mut BytesMut, framing: StreamFraming, more_bytes: usize) {
        let mut digits = itoa::Buffer::new();
        let retry = self.retry_ms.map(|retry_ms| digits.format(retry_ms).as_bytes());
        // An id with a line end in it would end the event early.
        let id = self.id.filter(|id| !id.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        let parts: [&[u8]; 8] = [
            if self.is_named { EVENT_NAME } else { b"" },
            id.map_or(b"", |_| EVENT_ID),
            id.unwrap_or_default(),
            id.map_or(b"", |_| b"\n"),
            retry.map_or(b"", |_| EVENT_RETRY),
            retry.unwrap_or_default(),
            retry.map_or(b"", |_| b"\n"),
            EVENT_DATA,
        ];
        if framing == StreamFraming::Chunked {
            let bytes: usize = parts.iter().map(|part| part.len()).sum();
            write_chunk_size(out, bytes + more_bytes);
        }
        for part in parts {
            out.put_slice(part);
        }
    }

    /// Appends the whole event. `data` is JSON; line ends between its parts become spaces.
    pub(crate) fn write(&self, out: &mut BytesMut, framing: StreamFraming, data: &[u8]) {
        self.write_fields(out, framing, data.len() + EVENT_END.len());
        write_data(out, data);
        out.put_slice(EVENT_END);
        end_chunk(out, framing);
    }

    /// Appends what comes before data that follows in chunks of its own, as one line: [`end_event`] belongs after it.
    pub(crate) fn begin(&self, out: &mut BytesMut, framing: StreamFraming) {
        self.write_fields(out, framing, 0);
        end_chunk(out, framing);
    }
}

/// Appends JSON as one line of the same length: a line end in it can only be white space.
pub(crate) fn write_data(out: &mut BytesMut, json: &[u8]) {
    let mut rest = json;
    while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
        out.put_slice(&rest[..at]);
        out.put_u8(b' ');
        rest = &rest[at + 1..];
    }
    out.put_slice(rest);
}

/// Appends what comes after data that came in chunks of its own.
pub(crate) fn end_event(out: &mut BytesMut, framing: StreamFraming) {
    write_short(out, framing, EVENT_END);
}

/// Appends a comment, which shows client and proxies that the stream is alive.
pub(crate) fn write_comment(out: &mut BytesMut, framing: StreamFraming) {
    write_short(out, framing, COMMENT);
}

/// Appends bytes as a chunk.
fn write_short(out: &mut BytesMut, framing: StreamFraming, bytes: &[u8]) {
    if framing == StreamFraming::Chunked {
        write_chunk_size(out, bytes.len());
    }
    out.put_slice(bytes);
    end_chunk(out, framing);
}

/// Appends the end of the stream; without chunks, closing the connection is the end.
pub(crate) fn end_stream(out: &mut BytesMut, framing: StreamFraming) {
    if framing == StreamFraming::Chunked {
        out.put_slice(LAST_CHUNK);
    }
}

fn end_chunk(out: &mut BytesMut, framing: StreamFraming) {
    if framing == StreamFraming::Chunked {
        out.put_slice(CRLF);
    }
}

/// Bytes that [`close_chunk`] takes before and after the bytes of a chunk.
pub(crate) const CHUNK_LEAD_BYTES: usize = SIZE_DIGITS + CRLF.len();
pub(crate) const CHUNK_END_BYTES: usize = CRLF.len();
/// Bytes of the longest chunk that [`close_chunk`] makes.
pub(crate) const MAX_CLOSED_BYTES: usize = (1 << (4 * SIZE_DIGITS)) - 1;
/// Digits of a size that is written before the size is known. Zeros in front are allowed (RFC 9112 7.1).
const SIZE_DIGITS: usize = 4;
const CRLF: &[u8] = b"\r\n";

/// Makes a chunk of bytes that stand behind [`CHUNK_LEAD_BYTES`] others, which become its size.
pub(crate) fn close_chunk(out: &mut BytesMut) {
    let bytes = out.len() - CHUNK_LEAD_BYTES;
    debug_assert!((1..=MAX_CLOSED_BYTES).contains(&bytes), "a chunk of nothing is the end of all");
    for (at, digit) in out[..SIZE_DIGITS].iter_mut().rev().enumerate() {
        *digit = HEX_DIGITS[bytes >> (at * 4) & 0xF];
    }
    out[SIZE_DIGITS..CHUNK_LEAD_BYTES].copy_from_slice(CRLF);
    out.put_slice(CRLF);
}

/// Hexadecimal, without zeros in front.
fn write_chunk_size(out: &mut BytesMut, bytes: usize) {
    let digits = (usize::BITS - bytes.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        out.put_u8(HEX_DIGITS[bytes >> (digit * 4) & 0xF]);
    }
    out.put_slice(CRLF);
}

#[cfg(test)]
mod tests {
    use super::super::body::{BodyDecoder, BodyProgress};
    use super::super::words::BodyFraming;
    use super::*;

    fn written(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).expect("text")
    }

    #[test]
    fn events_are_one_chunk_and_one_line_of_data() {
        let plain = Event::default();
        let full = Event { is_named: true, id: Some(b"7"), retry_ms: Some(3000) };
        let framing = StreamFraming::UntilClose;
        assert_eq!(written(|out| plain.write(out, framing, b"{}")), "data: {}\n\n");
        assert_eq!(
            written(|out| full.write(out, framing, b"{\"a\":\r\n1}\n")),
            "event: message\nid: 7\nretry: 3000\ndata: {\"a\":  1} \n\n"
        );
        let cut = Event { id: Some(b"7\ndata: x"), ..plain };
        assert_eq!(written(|out| cut.write(out, framing, b"{}")), "data: {}\n\n");
        assert_eq!(written(|out| write_comment(out, framing)), ":\n\n");
        assert_eq!(written(|out| end_stream(out, framing)), "");

        let framing = StreamFraming::Chunked;
        assert_eq!(written(|out| plain.write(out, framing, b"{}")), "a\r\ndata: {}\n\n\r\n");
        assert_eq!(written(|out| write_comment(out, framing)), "3\r\n:\n\n\r\n");
        assert_eq!(written(|out| end_stream(out, framing)), "0\r\n\r\n");
    }

    #[test]
    fn chunks_of_every_size_are_read_as_they_were_written() {
        let (mut out, mut want) = (BytesMut::new(), Vec::new());
        let sizes = [0, 1, 7, 8, 9, 10, 15, 16, 240, 247, 248, 255, 256, 4087, 4088, 65_528, 1 << 20];
        for size in sizes {
            let data = vec![b'x'; size];
            Event::default().write(&mut out, StreamFraming::Chunked, &data);
            want.extend_from_slice(&[b"data: ", &data[..], b"\n\n"].concat());
        }
        end_stream(&mut out, StreamFraming::Chunked);
        let mut decoder = BodyDecoder::new(BodyFraming::Chunked, 0, want.len()).expect("a decoder");
        assert_eq!(decoder.advance(&mut out), Ok(BodyProgress::Complete(0..want.len())));
        assert!(out == want);
    }

    #[test]
    fn chunks_that_are_closed_behind_their_bytes_are_read_as_they_were_written() {
        let (mut out, mut want) = (BytesMut::new(), Vec::new());
        let event = Event { id: Some(b"7"), ..Event::default() };
        event.begin(&mut out, StreamFraming::Chunked);
        want.extend_from_slice(b"id: 7\ndata: ");
        for size in [1, 15, 16, 255, 256, 4_095, 4_096, 16 * 1024 - 8, MAX_CLOSED_BYTES] {
            let mut chunk = BytesMut::zeroed(CHUNK_LEAD_BYTES);
            chunk.resize(CHUNK_LEAD_BYTES + size, b'x');
            close_chunk(&mut chunk);
            assert_eq!(chunk.len(), CHUNK_LEAD_BYTES + size + CHUNK_END_BYTES);
            out.extend_from_slice(&chunk);
            want.resize(want.len() + size, b'x');
        }
        end_event(&mut out, StreamFraming::Chunked);
        want.extend_from_slice(b"\n\n");
        end_stream(&mut out, StreamFraming::Chunked);
        let mut decoder = BodyDecoder::new(BodyFraming::Chunked, 0, want.len()).expect("a decoder");
        assert_eq!(decoder.advance(&mut out), Ok(BodyProgress::Complete(0..want.len())));
        assert!(out == want);
    }
}
