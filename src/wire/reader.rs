//! Newline framing, without IO.
//!
//! A transport reads into [`FrameReader::spare`]; [`FrameReader::next_frame`] finds the messages in what
//! was read. Only new bytes are searched for the newline. The shape is that of `TigerBeetle`'s
//! `message_buffer.zig`: positions in one buffer, one invariant, checked after each step:
//!
//! ```text
//!   consumed       scanned        filled       capacity
//!      |  a message   |  not yet     |   spare     |
//!      |  so far      |  searched    |             |
//! consumed <= scanned <= filled <= capacity
//! ```
//!
//! A read that holds exactly one message hands its buffer over; otherwise messages are copied out, each
//! into a buffer of its own size class. While nothing is buffered, no buffer is held. A message beyond the
//! limit is skipped to its newline in constant memory, and then reported with its [`Outline`].

use super::frame::Frame;
use super::skim::{Outline, Skim};
use bytes::BytesMut;
use mcpool_pools::{BufferLease, BufferPool};
use memchr::memchr;
use std::ops::Range;
use thiserror::Error;

/// Bytes of the first read: the usual call fits, and an idle connection that wakes costs little.
const SMALL_READ_BYTES: usize = 4 * 1024;
/// Bytes of a read while reads fill their buffer: what a pipe gives at once.
const LARGE_READ_BYTES: usize = 64 * 1024;
/// Reads that must have been small before large ones end; one alone may be the end of a burst.
const SMALL_READS: u8 = 2;
/// A frame takes over the buffer it was read into only if it fills this part of it; else it would pin
/// much more memory than it needs while its request waits.
const LEAST_PART: usize = 4;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Why there is no frame.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FrameError {
    /// A message is longer than the limit. It was skipped, and the next message is served.
    #[error("a message may have {limit_bytes} bytes, this one has {seen_bytes}")]
    TooLong {
        /// The limit.
        limit_bytes: usize,
        /// Bytes of the message.
        seen_bytes: usize,
        /// The members that could be read in constant memory.
        outline: Outline,
    },
    /// The large messages in memory leave no room for a message. It was skipped, and the next message is served.
    #[error("there is no memory for a message of this size at the moment")]
    OutOfMemory {
        /// Bytes of the message.
        seen_bytes: usize,
        /// The members that could be read in constant memory.
        outline: Outline,
    },
}

/// Finds frames in a stream of bytes.
#[derive(Debug)]
pub struct FrameReader {
    buffers: BufferPool,
    max_frame_bytes: usize,
    buffer: Option<BufferLease>,
    consumed: usize,
    scanned: usize,
    /// The message at `consumed` is too long, or there is no memory for it: drop bytes up to its newline.
    skim: Option<Box<Skim>>,
    /// Whether it is skipped for lack of memory.
    lacks_memory: bool,
    read_bytes: usize,
    small_reads: u8,
}

impl FrameReader {
    /// A reader of frames of up to `max_frame_bytes`, not counting the newline.
    pub fn new(buffers: BufferPool, max_frame_bytes: usize) -> Self {
        Self {
            buffers,
            max_frame_bytes,
            buffer: None,
            consumed: 0,
            scanned: 0,
            skim: None,
            lacks_memory: false,
            read_bytes: SMALL_READ_BYTES,
            small_reads: 0,
        }
    }

    /// Where to read into: a buffer with spare capacity. Append to it and touch nothing else.
    pub fn spare(&mut self) -> &mut BytesMut {
        let buffer = self.buffer.get_or_insert_with(|| self.buffers.acquire(self.read_bytes));
        if buffer.len() == buffer.capacity() {
            if self.consumed > 0 {
                let kept = buffer.len() - self.consumed;
                buffer.copy_within(self.consumed.., 0);
                buffer.truncate(kept);
                self.scanned -= self.consumed;
                self.consumed = 0;
            } else if buffer.try_reserve(buffer.len() / 2).is_err() {
                // All of it was searched, and there is no newline in it: from here on the message is skipped.
                self.lacks_memory = true;
                self.skim.get_or_insert_with(|| Box::new(Skim::new())).feed(buffer);
                buffer.clear();
                self.scanned = 0;
            }
        }
        buffer
    }

    /// The next message that has come whole.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] after each message beyond the limit; the reader continues after it.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            let Some(buffer) = &self.buffer else { return Ok(None) };
            let Some(newline) = memchr(b'\n', &buffer[self.scanned..]).map(|at| self.scanned + at) else {
                self.wait_for_more();
                return Ok(None);
            };
            let line = self.consumed..newline;
            self.consumed = newline + 1;
            self.scanned = newline + 1;
            self.check();
            if let Some(skim) = self.skim.take() {
                return Err(self.skipped(*skim, line));
            }
            if let Some(message) = self.measure(line)? {
                return Ok(Some(self.hand_out(message)));
            }
        }
    }

    /// The last message, at the end of the stream: it may lack its newline.
    ///
    /// # Errors
    /// As for [`FrameReader::next_frame`].
    pub fn finish(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(frame) = self.next_frame()? {
            return Ok(Some(frame));
        }
        // After a skipped message there may be no buffer.
        let end = self.buffer.as_ref().map_or(0, |buffer| buffer.len());
        let line = self.consumed..end;
        self.consumed = end;
        self.scanned = end;
        if let Some(skim) = self.skim.take() {
            let error = self.skipped(*skim, line);
            self.release_if_empty();
            return Err(error);
        }
        let message = self.measure(line)?;
        let frame = message.map(|message| self.hand_out(message));
        self.release_if_empty();
        Ok(frame)
    }

    /// Bytes of the buffer that is held.
    pub(crate) fn held_bytes(&self) -> usize {
        self.buffer.as_ref().map_or(0, |buffer| buffer.capacity())
    }

    /// Bytes of a message that has not come whole.
    pub(crate) fn unfinished_bytes(&self) -> usize {
        let skipped = self.skim.as_ref().map_or(0, |skim| skim.seen_bytes().max(1));
        skipped + self.buffer.as_ref().map_or(0, |buffer| buffer.len() - self.consumed)
    }

    /// Returns the buffer to its pool if it is empty.
    pub fn release_if_empty(&mut self) {
        if self.buffer.as_ref().is_some_and(|buffer| buffer.len() == self.consumed) {
            self.buffer = None;
            self.consumed = 0;
            self.scanned = 0;
        }
    }

    /// Whether no buffer is held.
    pub fn holds_no_buffer(&self) -> bool {
        self.buffer.is_none()
    }

    /// Whether the next byte begins a message.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.buffer.is_none() && self.skim.is_none()
    }

    /// Forgets what was read, but not the size of the next read, which follows the load.
    pub(crate) fn clear(&mut self) {
        self.buffer = None;
        self.consumed = 0;
        self.scanned = 0;
        self.skim = None;
        self.lacks_memory = false;
    }

    /// Records that all bytes are searched and none is a newline.
    fn wait_for_more(&mut self) {
        let Some(buffer) = &mut self.buffer else { return };
        let (filled, capacity) = (buffer.len(), buffer.capacity());
        let seen_bytes = filled - self.consumed;
        // Neither the byte order mark nor the carriage return that may come before the newline counts: what
        // is refused here would be refused with its newline in sight, however the stream is cut.
        let seen = &buffer[self.consumed..];
        let is_marked = seen.starts_with(BYTE_ORDER_MARK) || BYTE_ORDER_MARK.starts_with(seen);
        let uncounted = 1 + if is_marked { BYTE_ORDER_MARK.len() } else { 0 };
        if seen_bytes.saturating_sub(uncounted) > self.max_frame_bytes {
            self.skim.get_or_insert_with(|| Box::new(Skim::new()));
        }
        if let Some(skim) = &mut self.skim {
            skim.feed(seen);
        }
        if self.skim.is_some() || seen_bytes == 0 {
            buffer.clear();
            self.consumed = 0;
        }
        self.scanned = buffer.len();
        self.adapt(filled, capacity);
        self.shrink();
        self.check();
    }

    /// The refusal of a message of which the end is at `rest`, and the beginning was skipped.
    #[cold]
    fn skipped(&mut self, mut skim: Skim, rest: Range<usize>) -> FrameError {
        skim.feed(self.buffer.as_ref().map_or(&[], |buffer| &buffer[rest]));
        let (seen_bytes, limit_bytes) = (skim.seen_bytes(), self.max_frame_bytes);
        let outline = skim.outline();
        if std::mem::take(&mut self.lacks_memory) && seen_bytes <= limit_bytes {
            return FrameError::OutOfMemory { seen_bytes, outline };
        }
        FrameError::TooLong { limit_bytes, seen_bytes, outline }
    }

    /// Replaces a buffer that grew for a message which is gone, by one that fits the rest, or by none.
    fn shrink(&mut self) {
        let Some(large) = &self.buffer else { return };
        let rest = &large[self.consumed..];
        if large.capacity() <= LARGE_READ_BYTES || rest.len() * LEAST_PART > large.capacity() {
            return;
        }
        if rest.is_empty() {
            self.buffer = None;
        } else if self.consumed > 0 {
            let mut small = self.buffers.acquire(rest.len().max(self.read_bytes));
            small.extend_from_slice(rest);
            self.buffer = Some(small);
        } else {
            return;
        }
        self.scanned -= self.consumed;
        self.consumed = 0;
    }

    /// Makes the next reads larger when one filled its buffer, and smaller when several stayed far below.
    fn adapt(&mut self, filled: usize, capacity: usize) {
        if filled == capacity {
            self.read_bytes = LARGE_READ_BYTES;
            self.small_reads = 0;
        } else if filled > 0 && filled < SMALL_READ_BYTES {
            self.small_reads = self.small_reads.saturating_add(1);
            if self.small_reads >= SMALL_READS {
                self.read_bytes = SMALL_READ_BYTES;
            }
        }
    }

    /// Strips what is not part of the message; `None` if nothing is left.
    fn measure(&mut self, line: Range<usize>) -> Result<Option<Range<usize>>, FrameError> {
        let Some(buffer) = &self.buffer else { return Ok(None) };
        let Range { mut start, mut end } = line;
        if buffer[start..end].starts_with(BYTE_ORDER_MARK) {
            start += BYTE_ORDER_MARK.len();
        }
        if buffer[start..end].ends_with(b"\r") {
            end -= 1;
        }
        let seen_bytes = end - start;
        if seen_bytes > self.max_frame_bytes {
            return Err(self.skipped(Skim::new(), start..end));
        }
        // White space as JSON has it: a line with a form feed is no blank line but a message, and malformed.
        let is_blank = buffer[start..end].iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
        Ok((!is_blank).then_some(start..end))
    }

    fn hand_out(&mut self, message: Range<usize>) -> Frame {
        let is_alone = |buffer: &mut BufferLease| {
            // Nothing follows the message, and nothing but a mark or the remains of served ones before.
            self.consumed == buffer.len() && message.len() * LEAST_PART >= buffer.capacity()
                || self.consumed == buffer.len() && buffer.capacity() <= SMALL_READ_BYTES
        };
        let Some(buffer) = self.buffer.take_if(is_alone) else {
            let bytes = self.buffer.as_ref().map_or(&[][..], |buffer| &buffer[message]);
            return Frame::copied(&self.buffers, bytes);
        };
        self.adapt(buffer.len(), buffer.capacity());
        self.consumed = 0;
        self.scanned = 0;
        Frame::whole(buffer, message)
    }

    fn check(&self) {
        let (filled, capacity) =
            self.buffer.as_ref().map_or((0, 0), |buffer| (buffer.len(), buffer.capacity()));
        debug_assert!(
            self.consumed <= self.scanned && self.scanned <= filled && filled <= capacity,
            "consumed {} scanned {} filled {filled} capacity {capacity}",
            self.consumed,
            self.scanned
        );
    }
}
