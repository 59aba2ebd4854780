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
//! into a buffer of its own size class. While nothing is buffered, no buffer is held. A message that is longer than one
//! large read grows in [`Segments`], the last of which is the buffer, and becomes one at its newline. A message beyond
//! the limit is skipped to its newline in constant memory, and then reported with its [`Outline`].

use super::frame::Frame;
use super::skim::{Outline, Skim};
use bytes::BytesMut;
use mcpool_pools::{BudgetSpent, BufferLease, BufferPool, Segments};
use memchr::memchr;
use std::ops::Range;
use thiserror::Error;

/// Bytes of the first read: the usual call fits, and an idle connection that wakes costs little.
const SMALL_READ_BYTES: u32 = 4 * 1024;
/// Bytes of a read while reads fill their buffer: what a pipe gives at once.
const LARGE_READ_BYTES: u32 = 64 * 1024;
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
        /// There never is room for it: it needs more than all large messages together may have.
        never_fits: bool,
        /// The members that could be read in constant memory.
        outline: Outline,
    },
}

/// What a message lacks that is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    /// No memory: it is too long.
    None,
    /// Memory that others have.
    Room,
    /// More than there is.
    Budget,
}

/// Finds frames in a stream of bytes.
///
/// ```
/// use mcpool::pools::BufferPool;
/// use mcpool::wire::FrameReader;
///
/// let mut reader = FrameReader::new(BufferPool::default(), 1_024);
/// reader.spare().extend_from_slice(b"{}\n[");
/// let frame = reader.next_frame()?.ok_or("a line has come")?;
/// assert_eq!(frame.bytes(), b"{}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FrameReader {
    buffers: BufferPool,
    max_frame_bytes: usize,
    /// What came of a message before what is in `buffer`. While there is some, `consumed` is 0.
    segments: Segments,
    buffer: Option<BufferLease>,
    consumed: usize,
    scanned: usize,
    /// The message at `consumed` is too long, or there is no memory for it: drop bytes up to its newline.
    skim: Option<Box<Skim>>,
    lack: Lack,
    /// Of four bytes, as each busy connection has one.
    read_bytes: u32,
    small_reads: u8,
}

impl FrameReader {
    /// A reader of frames of up to `max_frame_bytes`, not counting the newline.
    pub fn new(buffers: BufferPool, max_frame_bytes: usize) -> Self {
        Self {
            buffers,
            max_frame_bytes,
            segments: Segments::default(),
            buffer: None,
            consumed: 0,
            scanned: 0,
            skim: None,
            lack: Lack::None,
            read_bytes: SMALL_READ_BYTES,
            small_reads: 0,
        }
    }

    /// Where to read into: a buffer with spare capacity. Append to it and touch nothing else.
    pub fn spare(&mut self) -> &mut BytesMut {
        if self.try_make_room().is_err() {
            // From here on the message is skipped.
            self.skip_unfinished();
        }
        let buffer = self.buffer.get_or_insert_with(|| {
            if !self.segments.is_empty() {
                return self.segments.next(&self.buffers);
            }
            // A large one only makes reads fewer.
            self.buffers
                .try_acquire(self.read_bytes as usize)
                .unwrap_or_else(|_| self.buffers.acquire(SMALL_READ_BYTES as usize))
        });
        if buffer.len() == buffer.capacity() {
            let kept = buffer.len() - self.consumed;
            buffer.copy_within(self.consumed.., 0);
            buffer.truncate(kept);
            self.scanned -= self.consumed;
            self.consumed = 0;
        }
        buffer
    }

    /// Makes room for more of a message that fills its buffer. All of it must have been searched.
    ///
    /// # Errors
    /// [`BudgetSpent`] if there is no memory; all stays as it is.
    pub(crate) fn try_make_room(&mut self) -> Result<(), BudgetSpent> {
        let (is_first, growth) = (self.consumed == 0, self.growth_bytes());
        let Some(buffer) =
            self.buffer.as_mut().filter(|buffer| is_first && buffer.len() == buffer.capacity())
        else {
            return Ok(());
        };
        match growth {
            Some(bytes) => buffer.try_reserve(bytes)?,
            None => self.segments.try_push(&self.buffers, buffer)?,
        }
        self.scanned = buffer.len();
        Ok(())
    }

    /// By how much a full buffer grows; a large one becomes a segment.
    fn growth_bytes(&self) -> Option<usize> {
        let buffer = self.buffer.as_ref()?;
        (buffer.capacity() < LARGE_READ_BYTES as usize).then_some(buffer.len() / 2)
    }

    /// Bytes of the buffer in which the message goes on.
    pub(crate) fn next_bytes(&self) -> usize {
        let Some(buffer) = &self.buffer else { return 0 };
        let is_full = self.consumed == 0 && buffer.len() == buffer.capacity();
        buffer.capacity() + if is_full { self.growth_bytes().unwrap_or_default() } else { 0 }
    }

    /// Has the next read be a small one.
    pub(crate) fn read_small(&mut self) {
        self.read_bytes = SMALL_READ_BYTES;
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
            if let Some(frame) = self.take_line(line)? {
                return Ok(Some(frame));
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
        let frame = self.take_line(line);
        self.release_if_empty();
        frame
    }

    /// Bytes of the buffer that is held.
    pub(crate) fn held_bytes(&self) -> usize {
        self.segments.len() + self.buffer.as_ref().map_or(0, |buffer| buffer.capacity())
    }

    /// Bytes that are charged to the budget of large messages.
    pub(crate) fn charged_bytes(&self) -> usize {
        self.segments.charged_bytes() + self.buffer.as_ref().map_or(0, BufferLease::charged_bytes)
    }

    /// Whether it holds a part of a message: one that is skipped has none.
    pub(crate) fn has_unfinished(&self) -> bool {
        self.skim.is_none()
            && (!self.segments.is_empty()
                || self.buffer.as_ref().is_some_and(|buffer| buffer.len() > self.consumed))
    }

    /// Whether all that came was searched: no message in it is whole.
    pub(crate) fn is_searched(&self) -> bool {
        self.buffer.as_ref().is_none_or(|buffer| buffer.len() == self.scanned)
    }

    /// Bytes of a message that has not come whole.
    pub(crate) fn unfinished_bytes(&self) -> usize {
        let skipped = self.skim.as_ref().map_or(0, |skim| skim.seen_bytes().max(1));
        skipped + self.segments.len() + self.buffer.as_ref().map_or(0, |buffer| buffer.len() - self.consumed)
    }

    /// Returns the buffer to its pool if it is empty. The segment that is filled next stays: it is charged, and nothing of
    /// it is resident yet.
    pub fn release_if_empty(&mut self) {
        if self.segments.is_empty()
            && self.buffer.as_ref().is_some_and(|buffer| buffer.len() == self.consumed)
        {
            self.buffer = None;
            self.consumed = 0;
            self.scanned = 0;
        }
    }

    /// Skips a message that has not come whole, for lack of memory. All that came must have been searched.
    pub(crate) fn skip_unfinished(&mut self) {
        let seen = self.buffer.as_ref().map_or(&[][..], |buffer| &buffer[self.consumed..]);
        if !seen.is_empty() || !self.segments.is_empty() {
            self.lack = Lack::Room;
            let skim = self.skim.get_or_insert_with(|| Box::new(Skim::new()));
            self.segments.pieces().for_each(|piece| skim.feed(piece));
            skim.feed(seen);
        }
        self.segments.clear();
        self.buffer = None;
        self.consumed = 0;
        self.scanned = 0;
    }

    /// Skips a message that has not come whole, as it needs more than all large messages together may have.
    pub(crate) fn skip_over_budget(&mut self) {
        self.skip_unfinished();
        if self.lack == Lack::Room {
            self.lack = Lack::Budget;
        }
    }

    /// Whether no buffer is held.
    pub fn holds_no_buffer(&self) -> bool {
        self.buffer.is_none()
    }

    /// Whether the next byte begins a message.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.buffer.is_none() && self.segments.is_empty() && self.skim.is_none()
    }

    /// Forgets what was read, but not the size of the next read, which follows the load.
    pub(crate) fn clear(&mut self) {
        self.segments.clear();
        self.buffer = None;
        self.consumed = 0;
        self.scanned = 0;
        self.skim = None;
        self.lack = Lack::None;
    }

    /// Records that all bytes are searched and none is a newline.
    fn wait_for_more(&mut self) {
        let Some(buffer) = &mut self.buffer else { return };
        let (filled, capacity) = (buffer.len(), buffer.capacity());
        // Neither the byte order mark nor the carriage return that may come before the newline counts: what
        // is refused here would be refused with its newline in sight, however the stream is cut.
        let seen = &buffer[self.consumed..];
        let seen_bytes = self.segments.len() + seen.len();
        let start = self.segments.pieces().next().unwrap_or(seen);
        let is_marked = start.starts_with(BYTE_ORDER_MARK) || BYTE_ORDER_MARK.starts_with(start);
        let uncounted = 1 + if is_marked { BYTE_ORDER_MARK.len() } else { 0 };
        if seen_bytes.saturating_sub(uncounted) > self.max_frame_bytes {
            self.skim.get_or_insert_with(|| Box::new(Skim::new()));
        }
        if let Some(skim) = &mut self.skim {
            self.segments.pieces().for_each(|piece| skim.feed(piece));
            self.segments.clear();
            skim.feed(seen);
        }
        if self.skim.is_some() || filled == self.consumed {
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
        let seen_bytes = skim.seen_bytes();
        let lack = std::mem::replace(&mut self.lack, Lack::None);
        if lack != Lack::None && seen_bytes <= self.max_frame_bytes {
            let never_fits = lack == Lack::Budget;
            return FrameError::OutOfMemory { seen_bytes, never_fits, outline: skim.outline() };
        }
        self.too_long(skim)
    }

    fn too_long(&self, skim: Skim) -> FrameError {
        let (limit_bytes, seen_bytes) = (self.max_frame_bytes, skim.seen_bytes());
        FrameError::TooLong { limit_bytes, seen_bytes, outline: skim.outline() }
    }

    /// Replaces a buffer that grew for a message which is gone, by one that fits the rest, or by none.
    fn shrink(&mut self) {
        let Some(large) = &self.buffer else { return };
        let rest = large.len() - self.consumed;
        if large.capacity() <= LARGE_READ_BYTES as usize || rest * LEAST_PART > large.capacity() {
            return;
        }
        if rest == 0 || self.consumed > 0 {
            self.keep_rest();
        }
    }

    /// Moves what follows the messages that are gone to a buffer that fits it.
    fn keep_rest(&mut self) {
        let Some(large) = self.buffer.take() else { return };
        let rest = &large[self.consumed..];
        if !rest.is_empty() {
            let mut small = self.buffers.acquire(rest.len().max(self.read_bytes as usize));
            small.extend_from_slice(rest);
            self.buffer = Some(small);
        }
        self.scanned -= self.consumed;
        self.consumed = 0;
    }

    /// Makes the next reads larger when one filled its buffer, and smaller when several stayed far below.
    fn adapt(&mut self, filled: usize, capacity: usize) {
        if filled == capacity {
            self.read_bytes = LARGE_READ_BYTES;
            self.small_reads = 0;
        } else if filled > 0 && filled < SMALL_READ_BYTES as usize {
            self.small_reads = self.small_reads.saturating_add(1);
            if self.small_reads >= SMALL_READS {
                self.read_bytes = SMALL_READ_BYTES;
            }
        }
    }

    /// The message of a line that is whole, unless it is blank; of a line that came in segments, with `line` as its end.
    fn take_line(&mut self, line: Range<usize>) -> Result<Option<Frame>, FrameError> {
        if self.segments.is_empty() {
            let bytes = self.buffer.as_ref().map_or(&[][..], |buffer| &buffer[line.clone()]);
            let message = self.measure(bytes)?;
            return Ok(
                message.map(|message| self.hand_out(line.start + message.start..line.start + message.end))
            );
        }
        let end = self.buffer.as_ref().map_or(&[][..], |buffer| &buffer[line]);
        let whole = self.segments.join(&self.buffers, end);
        self.keep_rest();
        let message = self.measure(&whole)?;
        Ok(message.map(|message| Frame::whole(whole, message)))
    }

    /// Where the message lies in a line; `None` if the line is blank.
    fn measure(&self, line: &[u8]) -> Result<Option<Range<usize>>, FrameError> {
        let start = if line.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let end = line.len() - usize::from(line[start..].ends_with(b"\r"));
        let message = &line[start..end];
        if message.len() > self.max_frame_bytes {
            let mut skim = Skim::new();
            skim.feed(message);
            return Err(self.too_long(skim));
        }
        // White space as JSON has it: a line with a form feed is no blank line but a message, and malformed.
        let is_blank = message.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
        Ok((!is_blank).then_some(start..end))
    }

    fn hand_out(&mut self, message: Range<usize>) -> Frame {
        let is_alone = |buffer: &mut BufferLease| {
            // Nothing follows the message, and nothing but a mark or the remains of served ones before.
            self.consumed == buffer.len() && message.len() * LEAST_PART >= buffer.capacity()
                || self.consumed == buffer.len() && buffer.capacity() <= SMALL_READ_BYTES as usize
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
