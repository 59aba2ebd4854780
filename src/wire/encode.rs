//! Writing JSON into a leased buffer, within a limit.
//!
//! [`Reply`] leases its buffer at the first write and moves to larger size classes as it grows, so a warm
//! process writes without allocating. Its methods do not fail: what would exceed the limit is not written,
//! and the reply remembers that it is full. [`Reply::finish`] is the only way to the bytes, and checks that.
//! It escapes as `serde_json` does: the two-character forms, and `\u00XX` for other control characters;
//! nothing else.
//!
//! Text that is JSON already comes in as a literal of this program or as a [`Raw`], which was read to its end.
//! Invariant: `buffer` never holds more than `max_bytes`, and never a newline: messages are framed by it.

use super::raw::Raw;
use super::scan::{has_line_break, plain_end};
use super::ser::write_value;
use super::text_pieces::REPLACEMENT;
use super::writer::{Target, Writer};
use crate::limits::price;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mcpool_pools::{BudgetSpent, BufferLease, BufferPool, Reservation};
use serde::Serialize;
use std::ops::Range;
use thiserror::Error;

/// Bytes of the first lease: the usual answer fits.
const FIRST_BYTES: usize = 512;
/// Larger buffers are not taken from a pool: to keep them gains nothing, and the next class is up to four times as large.
const POOLED_BYTES: usize = price::LARGE_BYTES;
/// Room beyond a long part of a message, so that its end does not move it once more.
const ENDING_BYTES: usize = 4 * 1024;
/// Bytes that are encoded in one step: three become four characters, on the stack.
const BASE64_STEP: usize = 3 * 1024;

/// A message that is being written.
///
/// ```
/// use mcpool::pools::BufferPool;
/// use mcpool::wire::Reply;
///
/// let mut reply = Reply::new(BufferPool::default(), 1_024);
/// reply.literal("[");
/// reply.string("a \"quoted\" text");
/// reply.literal("]");
/// assert_eq!(&reply.finish()?[..], br#"["a \"quoted\" text"]"#);
/// # Ok::<(), mcpool::wire::ReplyError>(())
/// ```
#[derive(Debug)]
pub struct Reply {
    buffers: BufferPool,
    buffer: Option<BufferLease>,
    max_bytes: usize,
    /// What there was no room for, if something was left out.
    lacks: Option<Lack>,
    /// Room that its call waited for, as far as it was not needed yet.
    room: Option<Box<Reservation>>,
}

/// A message that grows step by step may need so many times what a step asked for.
const GROWTH: u32 = 4;

/// For how long there is no memory for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemoryLack {
    /// Until others give back what they have.
    ForNow,
    /// It needs more than the whole budget.
    Always,
}

impl MemoryLack {
    /// The lack of somebody who needs so many bytes in all.
    pub(crate) fn of(spent: BudgetSpent, needed_bytes: usize) -> Self {
        if needed_bytes > spent.limit_bytes { Self::Always } else { Self::ForNow }
    }
}

/// Why a part of a message was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    /// The message would exceed its limit.
    Length,
    /// The budget of leased buffers is spent. So many KiB may be needed, as a short number, since each message that is
    /// being written has room for it.
    Memory { asked_kib: u32 },
    /// The budget of small objects is spent. So many KiB may be needed.
    SmallMemory { asked_kib: u32 },
    /// That budget is too small for it, even if nothing else were in memory.
    Budget,
}

/// What there was no room for, where there may be some later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lacking {
    pub(crate) bytes: usize,
    /// Whether it lacks among the small objects, and not among the large messages.
    pub(crate) is_small: bool,
}

impl Lack {
    /// Why there is no buffer for a step of a message, which may need so many times more in all.
    fn of_buffer(spent: BudgetSpent, times: u32) -> Self {
        if spent.requested_bytes <= price::SMALL_BUFFER_BYTES {
            // The next larger buffer is no small one any more.
            return Self::SmallMemory { asked_kib: kib(spent.requested_bytes) };
        }
        match Self::from(spent) {
            Self::Memory { asked_kib } => Self::Memory { asked_kib: asked_kib.saturating_mul(times) },
            lack => lack,
        }
    }

    fn error(self, limit_bytes: usize) -> ReplyError {
        match self {
            Self::Length => ReplyError::TooLong { limit_bytes },
            Self::Memory { .. } | Self::SmallMemory { .. } => ReplyError::OutOfMemory,
            Self::Budget => ReplyError::OverBudget,
        }
    }
}

impl From<BudgetSpent> for Lack {
    fn from(spent: BudgetSpent) -> Self {
        if spent.requested_bytes > spent.limit_bytes {
            return Self::Budget;
        }
        Self::Memory { asked_kib: kib(spent.requested_bytes) }
    }
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

/// A message could not be written whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReplyError {
    /// It is longer than its limit.
    #[error("a message would be longer than {limit_bytes} bytes")]
    TooLong {
        /// The limit.
        limit_bytes: usize,
    },
    /// The messages in memory leave no room for it.
    #[error("there is no memory for a message of this size at the moment")]
    OutOfMemory,
    /// It is longer than all messages in memory may be together.
    #[error("a message of this size is more than all messages in memory may be together")]
    OverBudget,
}

impl Reply {
    /// An empty message of at most `max_bytes`. No buffer is leased yet.
    pub fn new(buffers: BufferPool, max_bytes: usize) -> Self {
        Self { buffers, buffer: None, max_bytes, lacks: None, room: None }
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

    /// Whether something was left out, because of the limit or for lack of memory.
    pub fn is_full(&self) -> bool {
        self.lacks.is_some()
    }

    /// Whether something was left out for lack of memory, and for how long there is none.
    pub(crate) fn memory_lack(&self) -> Option<MemoryLack> {
        match self.lacks? {
            Lack::Length => None,
            Lack::Memory { .. } | Lack::SmallMemory { .. } => Some(MemoryLack::ForNow),
            Lack::Budget => Some(MemoryLack::Always),
        }
    }

    /// What there was no room for, where there may be some later.
    pub(crate) fn lacking(&self) -> Option<Lacking> {
        let lacking = |asked_kib, is_small| Lacking { bytes: asked_kib as usize * 1024, is_small };
        match self.lacks? {
            Lack::Memory { asked_kib } => Some(lacking(asked_kib, false)),
            Lack::SmallMemory { asked_kib } => Some(lacking(asked_kib, true)),
            Lack::Length | Lack::Budget => None,
        }
    }

    /// Notes that memory was asked for and not there, so that the message cannot become whole.
    pub(crate) fn note_lack(&mut self, spent: BudgetSpent) {
        self.lacks.get_or_insert(spent.into());
    }

    /// Notes that another part of the same answer was left out.
    pub(crate) fn share_lack(&mut self, part: &Self) {
        self.lacks = self.lacks.or(part.lacks);
    }

    /// Bytes of the room for large messages that it holds.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.buffer.as_ref().map_or(0, BufferLease::charged_bytes)
    }

    /// Bytes that the message may have.
    pub(crate) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Makes room for `additional` bytes in one buffer of just that size, where the length is known beforehand: growing
    /// step by step would hold two buffers at each step, the last of them up to four times too large.
    pub(crate) fn make_room(&mut self, additional: usize) {
        let wanted = self.len().saturating_add(additional).min(self.max_bytes);
        let has_room = self.buffer.as_ref().is_some_and(|buffer| buffer.capacity() >= wanted);
        if self.lacks.is_some() || has_room {
            return;
        }
        let mut made = self.try_lease(wanted);
        while let Err(spent) = made
            && self.free_room(spent)
        {
            made = self.try_lease(wanted);
        }
        match made {
            Ok(mut larger) => {
                larger.extend_from_slice(self.buffer.as_deref().map_or(&[][..], |buffer| buffer));
                self.buffer = Some(larger);
            }
            Err(spent) => self.lacks = Some(Lack::of_buffer(spent, 1)),
        }
    }

    /// Writes a part of a message that consists of independent ones, or nothing of it: `reserve_bytes` are left for the
    /// others.
    ///
    /// # Errors
    /// When there is no room for it. What was written before stays, and others may still have room.
    pub(crate) fn part(&mut self, part: Raw<'_>, reserve_bytes: usize) -> Result<(), ReplyError> {
        let (start, wanted) = (self.len(), part.as_str().len().saturating_add(reserve_bytes));
        let most = self.max_bytes - start;
        if wanted > most {
            return Err(ReplyError::TooLong { limit_bytes: self.max_bytes });
        }
        if reserve_bytes > 0 {
            // By half of what there is, so that many parts are not moved with each; if that is too much, by what is needed.
            self.make_room(wanted.max(start / 2).min(most));
            if self.lacks.take().is_some() {
                self.make_room(wanted);
            }
        }
        self.raw(part);
        let Some(lack) = self.lacks.take() else { return Ok(()) };
        if let Some(buffer) = &mut self.buffer {
            buffer.truncate(start);
        }
        Err(lack.error(self.max_bytes))
    }

    fn try_lease(&self, bytes: usize) -> Result<BufferLease, BudgetSpent> {
        if bytes > POOLED_BYTES {
            self.buffers.try_acquire_exact(bytes)
        } else {
            self.buffers.try_acquire(bytes)
        }
    }

    /// Gives the message room that is reserved for it. It is free where the message needs it, and not before.
    pub(crate) fn give_room(&mut self, room: Box<Reservation>) {
        self.room = Some(room);
    }

    /// Frees as much of the room as was lacking. Returns whether there was some.
    #[cold]
    fn free_room(&mut self, spent: BudgetSpent) -> bool {
        let Some(mut room) = self.room.take() else { return false };
        room.resize(room.bytes().saturating_sub(spent.requested_bytes));
        self.room = (room.bytes() > 0).then_some(room);
        true
    }

    /// The whole message.
    ///
    /// # Errors
    /// When a part of it was left out.
    pub fn finish(self) -> Result<BufferLease, ReplyError> {
        match self.lacks {
            Some(lack) => Err(lack.error(self.max_bytes)),
            None => Ok(self.buffer.unwrap_or_else(|| self.buffers.acquire(0))),
        }
    }

    /// Writes a part of a message that this program has as a literal.
    pub fn literal(&mut self, literal: &'static str) {
        self.append_line(literal.as_bytes());
    }

    /// Writes a literal of this crate. None has a line break: debug builds look, so that tests do, and others save it.
    pub(crate) fn token(&mut self, token: &'static str) {
        debug_assert!(!has_line_break(token.as_bytes()), "it would end the frame: {token}");
        self.append(token.as_bytes());
    }

    /// Writes a value that is JSON text already; its line breaks, which can only stand between two tokens, become
    /// spaces.
    pub fn raw(&mut self, json: Raw<'_>) {
        self.append_line(json.as_str().as_bytes());
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
        let plain = plain_end(bytes, 0);
        self.append(&bytes[..plain]);
        if plain < bytes.len() {
            let mut writer = Writer::new(self);
            writer.text(&bytes[plain..]);
            writer.hand_over();
        }
    }

    /// A part of a string that comes as bytes which should be UTF-8. It ends when it is dropped.
    pub fn lossy_text(&mut self) -> LossyText<'_> {
        LossyText { reply: self, carry: [0; 4], carried: 0 }
    }

    /// A part of a string that is the base64 of bytes to come. It ends, with its padding, when it is dropped.
    pub fn base64(&mut self) -> Base64<'_> {
        Base64 { reply: self, carry: [0; 3], carried: 0 }
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
        } else if self.value(&number).is_err() {
            self.append(b"null");
        }
    }

    /// Writes a value.
    ///
    /// # Errors
    /// When the value cannot be JSON, such as a map whose keys are no strings. Nothing of it is written then.
    pub fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), serde_json::Error> {
        let start = self.len();
        let written = write_value(self, value);
        if written.is_err()
            && let Some(buffer) = &mut self.buffer
        {
            buffer.truncate(start);
        }
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

    fn append_base64(&mut self, bytes: &[u8]) {
        let mut characters = [0; BASE64_STEP / 3 * 4];
        // A step always fits into its array; if it did not, nothing would be written.
        let length = BASE64.encode_slice(bytes, &mut characters).unwrap_or_default();
        self.append(&characters[..length]);
    }

    /// The buffer, with room for `additional` bytes; `None` when there is none.
    fn room_for(&mut self, additional: usize) -> Option<&mut BufferLease> {
        if self.lacks.is_some() {
            return None;
        }
        if additional > self.max_bytes - self.len() {
            self.lacks = Some(Lack::Length);
            return None;
        }
        // Nearly each step of an answer finds room in its buffer.
        let has_room =
            self.buffer.as_ref().is_some_and(|buffer| buffer.capacity() - buffer.len() >= additional);
        if has_room || self.grow(additional) { self.buffer.as_mut() } else { None }
    }

    /// Makes room for `additional` bytes in another buffer. Returns whether there is some.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, additional: usize) -> bool {
        let len = self.len();
        let is_large = len + additional > POOLED_BYTES;
        let ending = if is_large { ENDING_BYTES.min(self.max_bytes - len - additional) } else { 0 };
        let mut made = self.try_room(additional, ending);
        while let Err(spent) = made
            && self.free_room(spent)
        {
            made = self.try_room(additional, ending);
        }
        if let Err(spent) = made {
            // It was a step on the way to a length that nobody knows yet.
            self.lacks = Some(Lack::of_buffer(spent, GROWTH));
            return false;
        }
        true
    }

    fn try_room(&mut self, additional: usize, ending: usize) -> Result<(), BudgetSpent> {
        if let Some(buffer) = &mut self.buffer {
            return buffer.try_reserve(additional + ending);
        }
        let made = if additional > POOLED_BYTES {
            self.buffers.try_acquire_exact(additional + ending)
        } else if additional <= FIRST_BYTES {
            // Whatever is in memory, a request is answered: with an error where there is no room for more.
            Ok(self.buffers.acquire(FIRST_BYTES))
        } else {
            self.buffers.try_acquire(additional)
        };
        made.map(|buffer| self.buffer = Some(buffer))
    }
}

impl Target for Reply {
    fn append(&mut self, bytes: &[u8]) {
        if let Some(buffer) = self.room_for(bytes.len()) {
            buffer.extend_from_slice(bytes);
        }
    }

    /// Appends JSON text, in which a line break can only stand between two tokens. One would end the frame: each
    /// becomes a space.
    fn append_line(&mut self, json: &[u8]) {
        if !has_line_break(json) {
            return self.append(json);
        }
        let mut rest = json;
        while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
            self.append(&rest[..at]);
            self.append(b" ");
            rest = &rest[at + 1..];
        }
        self.append(rest);
    }
}

/// Bytes that text has as a part of a JSON string. Where it is not UTF-8 it may become a little less than that.
pub(crate) fn escaped_bytes(text: &[u8]) -> usize {
    let mut escaped = text.len();
    let mut at = plain_end(text, 0);
    while let Some(special) = text.get(at) {
        let is_short = matches!(special, b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0C);
        escaped += if is_short { 1 } else { 5 };
        at = plain_end(text, at + 1);
    }
    if simdutf8::basic::from_utf8(text).is_err() {
        let ill_formed: usize = text.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
        escaped += ill_formed * (REPLACEMENT.len() - 1);
    }
    escaped
}

/// A part of a string, from bytes that should be UTF-8: each maximal ill-formed part becomes U+FFFD.
///
/// A character may be split between two pieces of bytes; text between them ends it, and so does the end of the
/// part. What was begun and not ended is ill-formed, and its mark is written where it was begun.
///
/// ```
/// use mcpool::pools::BufferPool;
/// use mcpool::wire::Reply;
///
/// let mut reply = Reply::new(BufferPool::default(), 1_024);
/// let mut text = reply.lossy_text();
/// text.push(b"a");
/// text.push(&[0xFF]);
/// drop(text);
/// assert_eq!(&reply.finish()?[..], "a\u{FFFD}".as_bytes());
/// # Ok::<(), mcpool::wire::ReplyError>(())
/// ```
#[derive(Debug)]
pub struct LossyText<'r> {
    reply: &'r mut Reply,
    /// The beginning of a character whose rest has not come yet.
    carry: [u8; 4],
    carried: usize,
}

impl LossyText<'_> {
    /// Writes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while self.carried > 0
            && let Some((first, rest)) = bytes.split_first()
        {
            self.carry[self.carried] = *first;
            let carry = self.carry;
            match std::str::from_utf8(&carry[..=self.carried]) {
                Ok(character) => {
                    self.carried = 0;
                    self.reply.string_body(character);
                    bytes = rest;
                }
                Err(error) if error.error_len().is_none() => {
                    self.carried += 1;
                    bytes = rest;
                }
                // The new byte does not continue the carried character and is examined again by itself.
                Err(_) => self.end_part(),
            }
        }
        // Most bytes are text: validating all at once is much faster than chunk by chunk.
        let text = match simdutf8::compat::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        };
        self.reply.string_body(text);
        self.push_ill_formed(&bytes[text.len()..]);
    }

    /// Writes bytes of which the first are no character.
    fn push_ill_formed(&mut self, bytes: &[u8]) {
        for chunk in bytes.utf8_chunks() {
            self.reply.string_body(chunk.valid());
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
                self.reply.append(REPLACEMENT);
            }
        }
    }

    /// Writes text after what came before it.
    pub fn push_str(&mut self, text: &str) {
        self.end_part();
        self.reply.string_body(text);
    }

    /// The bytes so far are a part of their own: a character that was begun is ill-formed.
    pub fn end_part(&mut self) {
        if std::mem::take(&mut self.carried) > 0 {
            self.reply.append(REPLACEMENT);
        }
    }

    /// Whether something was left out, because of the limit or for lack of memory.
    pub fn is_full(&self) -> bool {
        self.reply.is_full()
    }

    /// Whether something was left out for lack of memory.
    pub(crate) fn memory_lack(&self) -> Option<MemoryLack> {
        self.reply.memory_lack()
    }

    /// Makes room for text of so many bytes.
    pub(crate) fn make_room(&mut self, bytes: usize) {
        self.reply.make_room(bytes);
    }

    /// Bytes of the message so far.
    pub(crate) fn message_bytes(&self) -> usize {
        self.reply.len() + self.carried
    }

    /// Marks the current end, for [`Self::cut`]. The bytes so far are a part of their own.
    pub(crate) fn mark(&mut self) -> Mark {
        self.end_part();
        Mark { len: self.reply.len(), lacks: self.reply.lacks }
    }

    /// Removes what was written since a mark of this text.
    pub(crate) fn cut(&mut self, mark: Mark) {
        self.carried = 0;
        if let Some(buffer) = &mut self.reply.buffer {
            buffer.truncate(mark.len);
        }
        // What was left out came after the mark, or the message was full before it.
        self.reply.lacks = mark.lacks;
    }
}

/// A position in an unfinished message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    len: usize,
    lacks: Option<Lack>,
}

impl Drop for LossyText<'_> {
    fn drop(&mut self) {
        self.end_part();
    }
}

/// A part of a string, as base64 of the bytes that it is given, in pieces of any length.
///
/// ```
/// use mcpool::pools::BufferPool;
/// use mcpool::wire::Reply;
///
/// let mut reply = Reply::new(BufferPool::default(), 1_024);
/// let mut data = reply.base64();
/// data.push(b"a");
/// data.push(b"bc");
/// drop(data);
/// assert_eq!(&reply.finish()?[..], b"YWJj");
/// # Ok::<(), mcpool::wire::ReplyError>(())
/// ```
#[derive(Debug)]
pub struct Base64<'r> {
    reply: &'r mut Reply,
    /// The beginning of a group of three bytes whose rest has not come yet.
    carry: [u8; 3],
    carried: usize,
}

impl Base64<'_> {
    /// Writes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while self.carried > 0
            && let Some((first, rest)) = bytes.split_first()
        {
            self.carry[self.carried] = *first;
            self.carried += 1;
            bytes = rest;
            if self.carried == 3 {
                let carry = self.carry;
                self.carried = 0;
                self.reply.append_base64(&carry);
            }
        }
        let whole = bytes.len() - bytes.len() % 3;
        for step in bytes[..whole].chunks(BASE64_STEP) {
            self.reply.append_base64(step);
        }
        let rest = &bytes[whole..];
        if !rest.is_empty() {
            self.carry[..rest.len()].copy_from_slice(rest);
            self.carried = rest.len();
        }
    }

    /// Bytes of the message so far.
    pub(crate) fn message_bytes(&self) -> usize {
        self.reply.len()
    }

    /// Whether something was left out, because of the limit or for lack of memory.
    pub fn is_full(&self) -> bool {
        self.reply.is_full()
    }
}

impl Drop for Base64<'_> {
    fn drop(&mut self) {
        let carry = self.carry;
        self.reply.append_base64(&carry[..self.carried]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcpool_pools::{BufferConfig, LeasedBudget, MemoryBudget, OwnedBudget};

    /// What lacks is told apart, as calls wait for the one and the other in queues of their own.
    #[test]
    fn a_lack_of_small_objects_is_none_of_large_messages() {
        let (large, small) = (MemoryBudget::new(1 << 20), MemoryBudget::new(1 << 20));
        let from_bytes = price::SMALL_BUFFER_BYTES + 1;
        let buffers = BufferPool::new(BufferConfig {
            leased: Some(LeasedBudget { budget: large.clone(), from_bytes }),
            owned: Some(OwnedBudget { budget: small.clone(), first_bytes: 0, left_bytes: 0 }),
            ..BufferConfig::default()
        });
        let write = |bytes| {
            let mut reply = Reply::new(buffers.clone(), 1 << 30);
            reply.string_body(&"x".repeat(bytes));
            reply.lacking().map(|lacking| lacking.is_small)
        };
        let all = large.reserve(1 << 20);
        assert_eq!((write(100), write(10_000), write(20_000)), (None, None, Some(false)));
        drop(all);
        // Idle buffers take none of it.
        for class in buffers.classes() {
            class.trim(0);
        }
        let _all = small.reserve(1 << 20);
        // The first kilobyte is always there, for an error at least.
        assert_eq!((write(100), write(10_000), write(200_000)), (None, Some(true), None));
    }

    #[test]
    fn a_message_has_the_room_that_was_reserved_for_it_though_others_take_all_that_is_free() {
        let budget = MemoryBudget::new(1 << 20);
        let leased = Some(LeasedBudget { budget: budget.clone(), from_bytes: POOLED_BYTES + 1 });
        let buffers = BufferPool::new(BufferConfig { leased, ..BufferConfig::default() });
        for (has_room, is_grown) in [(true, true), (true, false), (false, true), (false, false)] {
            let room = budget.try_reserve(800 << 10).expect("room");
            let others = budget.try_reserve(224 << 10).expect("the rest");
            let mut reply = Reply::new(buffers.clone(), 1 << 30);
            let others_too = if has_room {
                reply.give_room(Box::new(room));
                None
            } else {
                Some(room)
            };
            if !is_grown {
                reply.make_room(300 << 10);
            }
            for _ in 0..300 {
                reply.string_body(&"x".repeat(1 << 10));
                assert!(budget.used_bytes() <= budget.limit_bytes());
            }
            assert_eq!(reply.memory_lack().is_some(), !has_room, "{is_grown}");
            assert_eq!(reply.len() == 300 << 10, has_room);
            drop((reply, others, others_too));
            assert_eq!(budget.used_bytes(), 0);
        }
    }
}
