//! Writing JSON into a leased buffer, within a limit.
//!
//! [`Reply`] leases its buffer at the first write and moves to larger size classes as it grows, so a warm
//! process writes without allocating. Its methods do not fail: what would pass the limit is not written,
//! and the reply remembers that it is full. It escapes as `serde_json` does: the two-character forms, and
//! `\u00XX` for other control characters; nothing else.
//!
//! Invariant: `buffer` never holds more than `max_bytes`, and never a newline: messages are framed by it.

use super::scan::plain_end;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mcpool_pools::{BufferLease, BufferPool};
use serde::Serialize;
use std::io;
use std::ops::Range;

/// Bytes of the first lease: the usual answer fits.
const FIRST_BYTES: usize = 512;
/// Bytes that are encoded in one step: three become four characters, on the stack.
const BASE64_STEP: usize = 3 * 1024;
/// Bytes of a serialised value that are gathered on the stack.
const CHUNK_BYTES: usize = 256;

/// A message that is being written.
#[derive(Debug)]
pub struct Reply {
    buffers: BufferPool,
    buffer: Option<BufferLease>,
    max_bytes: usize,
    is_full: bool,
    /// The beginning of a character, or of a group of three bytes, whose rest has not come yet.
    carry: [u8; 4],
    carried: usize,
}

impl Reply {
    /// An empty message of at most `max_bytes`. No buffer is leased yet.
    pub fn new(buffers: BufferPool, max_bytes: usize) -> Self {
        Self { buffers, buffer: None, max_bytes, is_full: false, carry: [0; 4], carried: 0 }
    }

    /// An empty message from the same pool, with the same limit.
    #[must_use]
    pub fn sibling(&self) -> Self {
        Self::new(self.buffers.clone(), self.max_bytes)
    }

    /// Bytes written.
    pub fn len(&self) -> usize {
        self.buffer.as_ref().map_or(0, |buffer| buffer.len())
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether something was left out because it would have passed the limit.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// The message's buffer.
    pub fn into_lease(self) -> BufferLease {
        self.buffer.unwrap_or_else(|| self.buffers.acquire(0))
    }

    /// Writes JSON text as it is.
    pub fn raw(&mut self, json: &str) {
        debug_assert!(!json.contains('\n'), "a newline would end the frame");
        self.append(json.as_bytes());
    }

    /// Writes a string with its quotes.
    pub fn string(&mut self, text: &str) {
        self.append(b"\"");
        self.string_body(text);
        self.append(b"\"");
    }

    /// Writes a part of a string whose quotes are written by the caller.
    pub fn string_body(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut start = 0;
        loop {
            let at = plain_end(bytes, start);
            self.append(&bytes[start..at]);
            let Some(special) = bytes.get(at) else { return };
            self.escape(*special);
            start = at + 1;
        }
    }

    /// Writes a part of a string from bytes that should be UTF-8: each maximal ill-formed part becomes
    /// U+FFFD. A character may be split between two calls; [`Reply::end_lossy`] ends the string.
    pub fn lossy_bytes(&mut self, mut bytes: &[u8]) {
        while self.carried > 0
            && let Some((first, rest)) = bytes.split_first()
        {
            self.carry[self.carried] = *first;
            let carry = self.carry;
            match std::str::from_utf8(&carry[..=self.carried]) {
                Ok(character) => {
                    self.carried = 0;
                    self.string_body(character);
                    bytes = rest;
                }
                Err(error) if error.error_len().is_none() => {
                    self.carried += 1;
                    bytes = rest;
                }
                // The new byte does not continue what was carried, and is looked at again by itself.
                Err(_) => self.end_lossy(),
            }
        }
        // Most bytes are text, and finding that out at once is much faster than chunk by chunk.
        let text = match simdutf8::compat::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        };
        self.string_body(text);
        let bytes = &bytes[text.len()..];
        for chunk in bytes.utf8_chunks() {
            self.string_body(chunk.valid());
            let ill_formed = chunk.invalid();
            if ill_formed.is_empty() {
                continue;
            }
            let is_last = std::ptr::eq(ill_formed.as_ptr_range().end, bytes.as_ptr_range().end);
            let is_begun = std::str::from_utf8(ill_formed).is_err_and(|error| error.error_len().is_none());
            if is_last && is_begun {
                self.carry[..ill_formed.len()].copy_from_slice(ill_formed);
                self.carried = ill_formed.len();
            } else {
                self.append("\u{FFFD}".as_bytes());
            }
        }
    }

    /// Ends a string written by [`Reply::lossy_bytes`]: a character that was begun is ill-formed.
    pub fn end_lossy(&mut self) {
        if std::mem::take(&mut self.carried) > 0 {
            self.append("\u{FFFD}".as_bytes());
        }
    }

    /// Writes a part of a string as base64; [`Reply::end_base64`] ends the string.
    pub fn base64(&mut self, mut bytes: &[u8]) {
        while self.carried > 0
            && let Some((first, rest)) = bytes.split_first()
        {
            self.carry[self.carried] = *first;
            self.carried += 1;
            bytes = rest;
            if self.carried == 3 {
                let carry = self.carry;
                self.carried = 0;
                self.append_base64(&carry[..3]);
            }
        }
        let whole = bytes.len() - bytes.len() % 3;
        for step in bytes[..whole].chunks(BASE64_STEP) {
            self.append_base64(step);
        }
        let rest = &bytes[whole..];
        if !rest.is_empty() {
            self.carry[..rest.len()].copy_from_slice(rest);
            self.carried = rest.len();
        }
    }

    /// Ends a string written by [`Reply::base64`], with its padding.
    pub fn end_base64(&mut self) {
        let carry = self.carry;
        let carried = std::mem::take(&mut self.carried);
        self.append_base64(&carry[..carried]);
    }

    /// Writes an integer.
    pub fn integer(&mut self, integer: impl itoa::Integer) {
        self.append(itoa::Buffer::new().format(integer).as_bytes());
    }

    /// Writes a number: without a fraction where it has none, `null` where JSON has no number for it.
    pub fn number(&mut self, number: f64) {
        /// From 2^53 on, neighbouring integers have the same `f64`.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if number.fract() == 0.0 && number.abs() < EXACT {
            self.integer(number as i64);
        } else {
            self.value(&number);
        }
    }

    /// Writes a value whose serialisation cannot fail.
    pub fn value<T: Serialize + ?Sized>(&mut self, value: &T) {
        let written = self.try_value(value);
        debug_assert!(written.is_ok(), "{written:?}");
    }

    /// Writes a value.
    ///
    /// # Errors
    /// When the value cannot be JSON, such as a map whose keys are no strings. What was written before
    /// the fault stays.
    pub fn try_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), serde_json::Error> {
        let mut writer = Writer { reply: self, chunk: [0; CHUNK_BYTES], filled: 0 };
        let written = serde_json::to_writer(&mut writer, value);
        writer.hand_over();
        written
    }

    /// Writes a part of the message once more.
    ///
    /// # Panics
    /// When the range is not within what is written.
    pub fn repeat(&mut self, range: Range<usize>) {
        let additional = range.len();
        if let Some(buffer) = self.room_for(additional) {
            let end = buffer.len();
            buffer.resize(end + additional, 0);
            buffer.copy_within(range, end);
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        if let Some(buffer) = self.room_for(bytes.len()) {
            buffer.extend_from_slice(bytes);
        }
    }

    fn append_base64(&mut self, bytes: &[u8]) {
        let mut characters = [0; BASE64_STEP / 3 * 4];
        // A step always fits its array; were it otherwise, nothing would be written.
        let length = BASE64.encode_slice(bytes, &mut characters).unwrap_or_default();
        self.append(&characters[..length]);
    }

    /// The buffer, with room for so many bytes more; `None` when that would pass the limit.
    fn room_for(&mut self, additional: usize) -> Option<&mut BufferLease> {
        if self.is_full || additional > self.max_bytes - self.len() {
            self.is_full = true;
            return None;
        }
        let buffer = self.buffer.get_or_insert_with(|| self.buffers.acquire(additional.max(FIRST_BYTES)));
        if buffer.capacity() - buffer.len() < additional {
            buffer.reserve(additional);
        }
        Some(buffer)
    }

    fn escape(&mut self, byte: u8) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let short = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x08 => b"\\b",
            0x0C => b"\\f",
            _ => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                self.append(&[b'\\', b'u', b'0', b'0', digits[0], digits[1]]);
                return;
            }
        };
        self.append(short);
    }
}

/// Lets `serde_json` write into a reply. A full reply swallows the rest: it remembers.
///
/// `serde_json` writes each quote, colon and comma by itself: they are gathered, so that room and limit are looked at
/// once for many of them.
struct Writer<'r> {
    reply: &'r mut Reply,
    chunk: [u8; CHUNK_BYTES],
    filled: usize,
}

impl Writer<'_> {
    fn hand_over(&mut self) {
        self.reply.append(&self.chunk[..self.filled]);
        self.filled = 0;
    }
}

impl io::Write for Writer<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(room) = self.chunk.get_mut(self.filled..self.filled + bytes.len()) {
            room.copy_from_slice(bytes);
            self.filled += bytes.len();
            return Ok(bytes.len());
        }
        self.hand_over();
        if bytes.len() < CHUNK_BYTES / 2 {
            return self.write(bytes);
        }
        self.reply.append(bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes).map(|_| ())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
