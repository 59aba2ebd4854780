//! Reads the body of a request in place.
//!
//! The decoder works on the buffer that the head was read into and leaves the body in it as one range,
//! directly after the head: payload of chunks is moved down over the lines between them. Each byte is read once.
//! After [`BodyProgress::Partial`] the buffer holds only the head and the body so far, so new bytes go directly
//! after them, and the buffer is bounded however finely the peer cuts its chunks. The start of a next request
//! is moved down once, to the end of the body.
//!
//! ```text
//!    0        start            end          taken           len
//!    |  head  |  body so far   |  framing   |  not yet seen  |
//!    start <= end <= taken <= len          (Partial: end = taken = len)
//! ```
//!
//! Chunk lines are read strictly (RFC 9112 7.1): if one reader accepts what another refuses, requests can be
//! smuggled. Must not know what a body means.

use super::field;
use super::words::{BodyFraming, Status};
use bytes::BytesMut;
use std::ops::Range;
use thiserror::Error;

/// Digits of a chunk size; with zeros in front, more would be possible and mean nothing.
const MAX_SIZE_DIGITS: u8 = 16;
/// Bytes of chunk extensions in one body. Nobody uses them, and each chunk may have some.
const MAX_EXTENSION_BYTES: u16 = 256;
/// Bytes of the trailer, which is read and forgotten.
const MAX_TRAILER_BYTES: u16 = 1024;

/// Why a body is refused. The connection closes: the end of the body is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum BodyError {
    #[error(
        "a message may have {limit_bytes} bytes, this one has at least {seen_bytes}: send less at once (setting max_frame_bytes)"
    )]
    TooLong {
        limit_bytes: u64,
        /// Announced, or come so far.
        seen_bytes: u64,
    },
    #[error("a chunk must begin with its size, 1 to 16 hexadecimal digits and CR LF")]
    ChunkSize,
    #[error("chunk extensions may have {MAX_EXTENSION_BYTES} bytes in all: leave them out")]
    ExtensionsTooLong,
    #[error("a chunk must end in CR LF directly after as many bytes as its size says")]
    ChunkEnd,
    #[error("the trailer after the last chunk must be lines `Name: value`, ended by an empty line")]
    Trailer,
    #[error("the trailer may have {MAX_TRAILER_BYTES} bytes: send its fields as headers")]
    TrailerTooLong,
}

impl BodyError {
    /// The status of the answer.
    pub(crate) fn status(self) -> Status {
        match self {
            Self::TooLong { .. } => Status::PayloadTooLarge,
            Self::TrailerTooLong => Status::HeadersTooLarge,
            _ => Status::BadRequest,
        }
    }
}

/// Whether the body is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BodyProgress {
    /// More bytes are needed; append them to the buffer, which ends now with the body so far.
    Partial,
    /// The body is whole and lies at this range, directly after the head. Bytes after it are the start of the next
    /// request.
    Complete(Range<usize>),
}

/// Reads one body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyDecoder {
    start: usize,
    end: usize,
    state: State,
    /// Bytes of the body so far, kept or not.
    body_bytes: u64,
    max_body_bytes: u64,
    extension_bytes: u16,
    trailer_bytes: u16,
    is_discarding: bool,
}

/// What comes next. The names follow the grammar; `Cr` and `Lf` are the byte that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A body with a length.
    Plain {
        missing: u64,
    },
    Size {
        digits: u8,
        value: u64,
    },
    Extension {
        value: u64,
    },
    SizeLf {
        value: u64,
    },
    Data {
        missing: u64,
    },
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
    /// Refused, and refused again when asked again.
    Failed(BodyError),
}

impl BodyDecoder {
    /// A decoder for the body after `head_bytes` bytes of head.
    ///
    /// # Errors
    /// When the announced length is beyond `max_body_bytes`: refused before a byte of it is read.
    pub(crate) fn new(
        framing: BodyFraming,
        head_bytes: usize,
        max_body_bytes: usize,
    ) -> Result<Self, BodyError> {
        let max_body_bytes = max_body_bytes as u64;
        let state = match framing {
            BodyFraming::None | BodyFraming::Length(0) => State::Done,
            BodyFraming::Length(length) if length > max_body_bytes => {
                return Err(BodyError::TooLong { limit_bytes: max_body_bytes, seen_bytes: length });
            }
            BodyFraming::Length(missing) => State::Plain { missing },
            BodyFraming::Chunked => State::Size { digits: 0, value: 0 },
        };
        Ok(Self {
            start: head_bytes,
            end: head_bytes,
            state,
            body_bytes: 0,
            max_body_bytes,
            extension_bytes: 0,
            trailer_bytes: 0,
            is_discarding: false,
        })
    }

    /// Has the rest of a body that nobody wants read and dropped, in constant memory. The caller drops the head and what
    /// came of the body: `buffer` is to hold nothing but the rest when [`Self::advance`] is called again.
    pub(crate) fn discard_rest(&mut self) {
        self.is_discarding = true;
        self.start = 0;
        self.end = 0;
    }

    /// Goes on in an empty buffer: its owner keeps the head and the body so far elsewhere. What is
    /// [`BodyProgress::Complete`] then is the rest of the body. To be called after [`BodyProgress::Partial`].
    pub(crate) fn begin_segment(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Bytes of the body that have come, kept or not.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Bytes that are known to be missing, so that a buffer can be made large enough. They were announced,
    /// not received: reserve by what came, or a head of 100 bytes reserves 10 MiB.
    pub(crate) fn missing_bytes(&self) -> u64 {
        match self.state {
            State::Plain { missing } => missing,
            State::SizeLf { value } => value.saturating_add(8),
            State::Data { missing } => missing.saturating_add(7),
            State::Size { .. } | State::Extension { .. } | State::DataCr | State::DataLf => 5,
            State::TrailerStart | State::TrailerName | State::TrailerValue | State::TrailerLf => 2,
            State::EndLf => 1,
            State::Done | State::Failed(_) => 0,
        }
    }

    /// Takes what has come into `buffer` after the body so far. `buffer` begins with the head.
    ///
    /// # Errors
    /// When the bytes are no body, or one beyond the limit; then again at each call.
    pub(crate) fn advance(&mut self, buffer: &mut BytesMut) -> Result<BodyProgress, BodyError> {
        let mut taken = self.end;
        debug_assert!(self.start <= self.end && self.end <= buffer.len(), "{self:?} of {}", buffer.len());
        while self.state != State::Done {
            match self.step(buffer, taken) {
                Ok(0) => {
                    buffer.truncate(self.end);
                    return Ok(BodyProgress::Partial);
                }
                Ok(bytes) => taken += bytes,
                Err(error) => {
                    self.state = State::Failed(error);
                    return Err(error);
                }
            }
            debug_assert!(
                self.end <= taken && taken <= buffer.len(),
                "{self:?}, {taken} of {}",
                buffer.len()
            );
        }
        if taken != self.end {
            let ahead = buffer.len() - taken;
            buffer.copy_within(taken.., self.end);
            buffer.truncate(self.end + ahead);
        }
        Ok(BodyProgress::Complete(self.start..self.end))
    }

    /// Takes a run of payload or one byte of framing. 0: nothing is left.
    fn step(&mut self, buffer: &mut BytesMut, at: usize) -> Result<usize, BodyError> {
        match self.state {
            State::Failed(error) => return Err(error),
            State::Plain { missing } => {
                let bytes = self.keep(buffer, at, missing);
                let missing = missing - bytes as u64;
                self.state = if missing == 0 { State::Done } else { State::Plain { missing } };
                return Ok(bytes);
            }
            State::Data { missing } => {
                let bytes = self.keep(buffer, at, missing);
                let missing = missing - bytes as u64;
                self.state = if missing == 0 { State::DataCr } else { State::Data { missing } };
                return Ok(bytes);
            }
            _ => {}
        }
        let Some(byte) = buffer.get(at).copied() else { return Ok(0) };
        self.state = self.after(byte)?;
        Ok(1)
    }

    /// Moves up to `most` bytes of payload to the end of the body.
    fn keep(&mut self, buffer: &mut BytesMut, at: usize, most: u64) -> usize {
        let bytes = (buffer.len() - at).min(usize::try_from(most).unwrap_or(usize::MAX));
        self.body_bytes += bytes as u64;
        if !self.is_discarding {
            if at != self.end {
                buffer.copy_within(at..at + bytes, self.end);
            }
            self.end += bytes;
        }
        bytes
    }

    /// The state after one byte of framing.
    fn after(&mut self, byte: u8) -> Result<State, BodyError> {
        match (self.state, byte) {
            (State::Size { digits, value }, _) => self.after_size(digits, value, byte),
            (State::Extension { value }, b'\r') => Ok(State::SizeLf { value }),
            (State::Extension { value }, _) => {
                self.extension_bytes += 1;
                if self.extension_bytes > MAX_EXTENSION_BYTES {
                    return Err(BodyError::ExtensionsTooLong);
                }
                is_text(byte).then_some(State::Extension { value }).ok_or(BodyError::ChunkSize)
            }
            (State::SizeLf { value: 0 }, b'\n') => Ok(State::TrailerStart),
            (State::SizeLf { value }, b'\n') => Ok(State::Data { missing: value }),
            (State::SizeLf { .. }, _) => Err(BodyError::ChunkSize),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size { digits: 0, value: 0 }),
            (State::DataCr | State::DataLf, _) => Err(BodyError::ChunkEnd),
            (State::EndLf, b'\n') => Ok(State::Done),
            (State::TrailerStart, b'\r') => Ok(State::EndLf),
            _ => self.after_trailer(byte),
        }
    }

    fn after_size(&self, digits: u8, value: u64, byte: u8) -> Result<State, BodyError> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            if digits == MAX_SIZE_DIGITS {
                return Err(BodyError::ChunkSize);
            }
            // 16 digits fill a `u64` exactly.
            return Ok(State::Size { digits: digits + 1, value: value << 4 | u64::from(digit) });
        }
        if digits == 0 || !matches!(byte, b'\r' | b';') {
            return Err(BodyError::ChunkSize);
        }
        let seen_bytes = self.body_bytes.saturating_add(value);
        if seen_bytes > self.max_body_bytes {
            return Err(BodyError::TooLong { limit_bytes: self.max_body_bytes, seen_bytes });
        }
        Ok(if byte == b'\r' { State::SizeLf { value } } else { State::Extension { value } })
    }

    fn after_trailer(&mut self, byte: u8) -> Result<State, BodyError> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > MAX_TRAILER_BYTES {
            return Err(BodyError::TrailerTooLong);
        }
        match (self.state, byte) {
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerStart | State::TrailerName, _) if field::is_token(byte) => Ok(State::TrailerName),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, _) if is_text(byte) => Ok(State::TrailerValue),
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            _ => Err(BodyError::Trailer),
        }
    }
}

/// Whether `byte` may stand in an extension or a value: no control character but the tab.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// What is left in the buffer and how it ended.
    fn decoded(mut decoder: BodyDecoder, pieces: &[&[u8]]) -> (BytesMut, Result<BodyProgress, BodyError>) {
        let mut buffer = BytesMut::from(&b"head"[..]);
        let mut last = decoder.advance(&mut buffer);
        for piece in pieces {
            buffer.extend_from_slice(piece);
            last = decoder.advance(&mut buffer);
        }
        (buffer, last)
    }

    #[test]
    fn a_partial_body_leaves_nothing_but_itself_in_the_buffer() {
        let mut decoder = BodyDecoder::new(BodyFraming::Chunked, 4, 1 << 20).expect("a decoder");
        let mut buffer = BytesMut::from(&b"head"[..]);
        for count in 1..=10_000 {
            buffer.extend_from_slice(b"0001\r\nx\r\n");
            assert_eq!(decoder.advance(&mut buffer), Ok(BodyProgress::Partial));
            assert_eq!(buffer.len(), 4 + count);
        }
        assert!(buffer.capacity() < 64 * 1024, "{} bytes for 10,000", buffer.capacity());
    }

    #[test]
    fn the_limit_is_met_exactly() {
        let chunked = |limit| BodyDecoder::new(BodyFraming::Chunked, 4, limit).expect("a decoder");
        let pieces: [&[u8]; 2] = [b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n"];
        assert_eq!(decoded(chunked(5), &pieces).1, Ok(BodyProgress::Complete(4..9)));
        let refused = BodyError::TooLong { limit_bytes: 4, seen_bytes: 5 };
        assert_eq!(decoded(chunked(4), &pieces).1, Err(refused));
        assert!(BodyDecoder::new(BodyFraming::Length(5), 4, 5).is_ok());
        assert_eq!(BodyDecoder::new(BodyFraming::Length(5), 4, 4).err(), Some(refused));
        assert!(refused.to_string().contains("max_frame_bytes"));
    }

    #[test]
    fn a_body_nobody_wants_takes_no_memory() {
        for (framing, pieces) in [
            (BodyFraming::Length(6), [&b"abc"[..], b"defGET"]),
            (BodyFraming::Chunked, [b"3\r\nabc\r\n3\r\nd", b"ef\r\n0\r\n\r\nGET"]),
        ] {
            let mut decoder = BodyDecoder::new(framing, 4, 6).expect("a decoder");
            decoder.discard_rest();
            let mut buffer = BytesMut::from(pieces[0]);
            assert_eq!((decoder.advance(&mut buffer), buffer.len()), (Ok(BodyProgress::Partial), 0));
            buffer.extend_from_slice(pieces[1]);
            assert_eq!(decoder.advance(&mut buffer), Ok(BodyProgress::Complete(0..0)));
            assert_eq!(&buffer[..], b"GET");
        }
    }

    #[test]
    fn what_is_missing_is_never_more_than_what_comes() {
        let text = b"A;x\r\n0123456789\r\n1\r\nx\r\n0\r\nA: b\r\n\r\n";
        for at in 0..text.len() {
            let mut decoder = BodyDecoder::new(BodyFraming::Chunked, 0, 100).expect("a decoder");
            let mut buffer = BytesMut::from(&text[..at]);
            assert_eq!(decoder.advance(&mut buffer), Ok(BodyProgress::Partial));
            let missing = decoder.missing_bytes();
            assert!((1..=(text.len() - at) as u64).contains(&missing), "{missing} at {at}");
        }
    }

    proptest! {
        /// Wherever the bytes are cut, and whenever what came is moved away, what it was and what is left are the body.
        #[test]
        fn a_body_in_segments_is_that_in_one_buffer(
            chunks in vec(vec(any::<u8>(), 1..60), 1..8),
            steps in vec((1_usize..90, any::<bool>()), 1..40),
        ) {
            let body = chunks.concat();
            let mut text = Vec::new();
            for chunk in &chunks {
                text.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
                text.extend(chunk);
                text.extend(b"\r\n");
            }
            text.extend(b"0\r\n\r\nGET");
            let mut decoder = BodyDecoder::new(BodyFraming::Chunked, 4, body.len()).expect("a decoder");
            let (mut moved, mut buffer) = (Vec::new(), BytesMut::from(&b"head"[..]));
            let (mut rest, mut step) = (&text[..], 0);
            let range = loop {
                let (bytes, moves) = steps[step % steps.len()];
                let (now, later) = rest.split_at(bytes.min(rest.len()));
                buffer.extend_from_slice(now);
                (rest, step) = (later, step + 1);
                match decoder.advance(&mut buffer).expect("a body") {
                    BodyProgress::Complete(range) => break range,
                    BodyProgress::Partial if moves => {
                        moved.extend_from_slice(&buffer);
                        buffer.clear();
                        decoder.begin_segment();
                    }
                    BodyProgress::Partial => {}
                }
            };
            let start = if moved.is_empty() { 4 } else { 0 };
            prop_assert_eq!(range.start, start);
            moved.extend_from_slice(&buffer[..range.end]);
            prop_assert_eq!(&moved[..4], b"head");
            prop_assert_eq!(&moved[4..], &body[..]);
            let mut next = buffer[range.end..].to_vec();
            next.extend_from_slice(rest);
            prop_assert_eq!(&next[..], b"GET");
        }
    }

    #[test]
    fn a_whole_body_stays_whole_when_asked_again() {
        let mut decoder = BodyDecoder::new(BodyFraming::Chunked, 0, 100).expect("a decoder");
        let mut buffer = BytesMut::from(&b"2\r\nab\r\n0\r\n\r\nGET"[..]);
        for _ in 0..2 {
            assert_eq!(decoder.advance(&mut buffer), Ok(BodyProgress::Complete(0..2)));
            assert_eq!(buffer, "abGET");
        }
    }
}
