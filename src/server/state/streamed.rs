//! An answer that is written while it is sent: all of it is small but one block of text or data, which a source gives
//! piece by piece. The answer to a batch consists of such answers, and of others that are whole.
//!
//! ```text
//! skeleton   {"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":""}],"structuredContent":{"content":""}}}
//! cuts                                                                     ^ the block                               ^ and its copy
//! ```
//!
//! The bytes of the block are counted before the first is sent, so that no answer is begun that would be too long. What
//! the source gives may have changed since then. **Invariant:** the answer is valid JSON, and never looks whole where it
//! is not: a block that cannot be as it was counted ends where it is, and the result says `isError`, and why.

use crate::limits::price;
use crate::memory::lasting;
use crate::wire::{BufferRoom, CountingRoom, escape_piece, unit_floor};
use bytes::{Buf, BytesMut};
use mcpool_pools::BufferLease;
use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// What a result has that is not what it should be.
const IS_ERROR: &[u8] = br#","isError":true"#;
/// For a client whose block is not what was counted.
const CHANGED: &str = "This changed while it was sent, and what is here of it is not whole: ask for it again";

/// How far a source has come with one copy of its block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// What comes next, as the source numbers it.
    pub(crate) at: u64,
    /// A checksum of what came so far, for sources that tell by it whether they have changed.
    pub(crate) checksum: u32,
}

/// What gives the bytes of a block, again for each copy of it and from any place.
pub(crate) trait BlockSource: fmt::Debug + Send + Sync {
    /// Writes what comes at the cursor, as much as has room, and moves the cursor behind it. It may block.
    ///
    /// # Errors
    /// Why the rest cannot be had, or why what was had is not whole, for the client.
    fn fill(&self, cursor: &mut Cursor, room: &mut BufferRoom<'_>) -> Result<Filled, String>;

    /// Whether it gives base64, in groups of four characters, and no text with escapes.
    fn is_base64(&self) -> bool {
        false
    }

    /// Bytes of it, with those of its heap.
    fn kept_bytes(&self) -> usize {
        size_of_val(self)
    }

    /// Bytes that are reserved among the large messages as long as it is there.
    fn reserved_bytes(&self) -> usize {
        0
    }

    /// From now on, who keeps it for a client that may come back reports its bytes.
    fn report_elsewhere(&mut self) {}
}

/// An answer without its block.
#[derive(Debug)]
pub(crate) enum Skeleton {
    /// In the buffer that it was written to.
    Leased(BufferLease),
    /// Copied out of that, as it is kept longer than what else is in buffers.
    Packed(Box<[u8]>),
    /// What stands between the answers of a batch.
    Literal(&'static [u8]),
}

impl Deref for Skeleton {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Leased(skeleton) => skeleton,
            Self::Packed(skeleton) => skeleton,
            Self::Literal(skeleton) => skeleton,
        }
    }
}

impl Skeleton {
    fn kept_bytes(&self) -> usize {
        match self {
            Self::Leased(skeleton) => skeleton.capacity(),
            Self::Packed(skeleton) => skeleton.len(),
            Self::Literal(_) => 0,
        }
    }

    fn reserved_bytes(&self) -> usize {
        match self {
            Self::Leased(skeleton) => skeleton.charged_bytes(),
            Self::Packed(_) | Self::Literal(_) => 0,
        }
    }

    /// Moves what is small to what lasts, so that it does not hold pages of what passes.
    fn pack(&mut self) {
        if let Self::Leased(skeleton) = self
            && skeleton.len() <= price::SMALL_BUFFER_BYTES
        {
            *self = Self::Packed(lasting(|| Box::from(&skeleton[..])));
        }
    }
}

/// How a source ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filled {
    /// There is more, for which there was no room.
    Full,
    /// That was all.
    End,
}

/// How an answer says that its block is not whole.
#[derive(Debug, Clone)]
pub(crate) enum Ending {
    /// In a content block of a tool.
    Tool,
    /// In contents of a resource, which begin with this range of the skeleton: `{"uri":"..."`.
    Resource(Range<usize>),
}

/// An answer with a block that a source gives.
#[derive(Debug)]
pub(crate) struct StreamedItem {
    /// All but the block.
    pub(crate) skeleton: Skeleton,
    /// Where the block belongs, and its copy.
    pub(crate) cuts: (usize, Option<usize>),
    /// Where the content block ends that carries it.
    pub(crate) block_end: usize,
    pub(crate) ending: Ending,
    /// Where the last members of the answer begin.
    pub(crate) tail_at: usize,
    pub(crate) source: Box<dyn BlockSource>,
    /// Bytes of the block, as counted.
    pub(crate) block_bytes: usize,
}

impl StreamedItem {
    /// Bytes of the whole answer.
    fn total_bytes(&self) -> usize {
        let copies = 1 + usize::from(self.cuts.1.is_some());
        self.skeleton.len() + copies * self.block_bytes
    }

    /// What is to be written of it.
    fn parts(&self) -> VecDeque<Part> {
        let block = Part::Block(self.block_bytes);
        let (first, copy) = self.cuts;
        let mut parts = VecDeque::from([Part::Skeleton(0..first), block]);
        let mut from = first;
        if let Some(copy) = copy {
            parts.extend([Part::Skeleton(first..copy), Part::Block(self.block_bytes)]);
            from = copy;
        }
        parts.push_back(Part::Skeleton(from..self.skeleton.len()));
        parts
    }
}

/// A part of a streamed answer that is valid by itself.
#[derive(Debug)]
pub(crate) enum AnswerItem {
    /// It is there already.
    Whole(Skeleton),
    Streamed(StreamedItem),
}

impl AnswerItem {
    fn skeleton(&self) -> &Skeleton {
        match self {
            Self::Whole(skeleton) => skeleton,
            Self::Streamed(item) => &item.skeleton,
        }
    }

    fn streamed(&self) -> Option<&StreamedItem> {
        match self {
            Self::Whole(_) => None,
            Self::Streamed(item) => Some(item),
        }
    }

    /// Bytes of it as it is sent.
    pub(crate) fn total_bytes(&self) -> usize {
        match self {
            Self::Whole(skeleton) => skeleton.len(),
            Self::Streamed(item) => item.total_bytes(),
        }
    }

    fn kept_bytes(&self) -> usize {
        let source = self.streamed().map_or(0, |item| item.source.kept_bytes());
        size_of::<Self>() + source + self.skeleton().kept_bytes()
    }

    /// Bytes that it holds of the room for large messages.
    pub(crate) fn reserved_bytes(&self) -> usize {
        let source = self.streamed().map_or(0, |item| item.source.reserved_bytes());
        source + self.skeleton().reserved_bytes()
    }

    fn parts(&self) -> VecDeque<Part> {
        match self {
            Self::Whole(skeleton) => VecDeque::from([Part::Skeleton(0..skeleton.len())]),
            Self::Streamed(item) => item.parts(),
        }
    }
}

/// What is sent while it is written: one answer, or those of a batch with what stands around them. It can be sent any
/// number of times. There is at least one item.
#[derive(Debug)]
pub(crate) struct StreamedAnswer {
    items: Vec<AnswerItem>,
}

impl From<StreamedItem> for StreamedAnswer {
    fn from(item: StreamedItem) -> Self {
        Self { items: vec![AnswerItem::Streamed(item)] }
    }
}

impl StreamedAnswer {
    /// What stands in the answer to a batch, in this order.
    pub(crate) fn of_batch(items: Vec<AnswerItem>) -> Self {
        debug_assert!(!items.is_empty(), "a batch without answers has none");
        Self { items }
    }

    /// What it consists of.
    pub(crate) fn into_items(self) -> Vec<AnswerItem> {
        self.items
    }

    /// How many sources it has; each may hold a file open.
    pub(crate) fn sources(&self) -> usize {
        self.items.iter().filter(|item| item.streamed().is_some()).count()
    }

    /// Bytes of the whole answer.
    pub(crate) fn total_bytes(&self) -> usize {
        self.items.iter().map(AnswerItem::total_bytes).sum()
    }

    /// Heap of it while nobody reads it.
    pub(crate) fn kept_bytes(&self) -> usize {
        size_of::<Self>() + self.items.iter().map(AnswerItem::kept_bytes).sum::<usize>()
    }

    /// Bytes that it holds of the room for large messages, whether it is being sent or not.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.items.iter().map(AnswerItem::reserved_bytes).sum()
    }

    /// Prepares it for being kept until its client comes back: its small parts lie with what lasts, and not among what
    /// passes, whose pages they would hold.
    pub(crate) fn begin_to_keep(&mut self) {
        for item in &mut self.items {
            match item {
                AnswerItem::Whole(skeleton) => skeleton.pack(),
                AnswerItem::Streamed(item) => {
                    item.skeleton.pack();
                    item.source.report_elsewhere();
                }
            }
        }
    }
}

/// What is still to be written.
#[derive(Debug)]
enum Part {
    /// A range of the skeleton.
    Skeleton(Range<usize>),
    /// So many bytes of the block.
    Block(usize),
    Text(BytesMut),
}

impl Part {
    fn bytes(&self) -> usize {
        match self {
            Self::Skeleton(range) => range.len(),
            Self::Block(left) => *left,
            Self::Text(text) => text.len(),
        }
    }

    fn skip(&mut self, bytes: usize) {
        match self {
            Self::Skeleton(range) => range.start += bytes,
            Self::Block(left) => *left -= bytes,
            Self::Text(text) => text.advance(bytes),
        }
    }
}

/// Writes one streamed answer from its start to its end.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    answer: Arc<StreamedAnswer>,
    /// Which item is being written. The parts are what is left of it: some, unless all is written.
    item: usize,
    parts: VecDeque<Part>,
    /// How far the source has come with the current copy.
    cursor: Cursor,
    /// The copy of the block in `structuredContent` is being written.
    is_copy: bool,
    /// An item ends as an error, in the middle of its block.
    is_broken_off: bool,
}

/// How far an answer is written, to go on from there with another writer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    item: usize,
    /// How many parts of that item are left.
    parts: usize,
    /// Bytes of the first of them that are left.
    left: usize,
    cursor: Cursor,
    is_copy: bool,
}

impl SegmentWriter {
    /// How far it has come. `None` where it is done, or was broken off.
    pub(crate) fn mark(&self) -> Option<Mark> {
        let left = self.parts.front().filter(|_| !self.is_broken_off)?.bytes();
        let Self { item, cursor, is_copy, .. } = *self;
        Some(Mark { item, parts: self.parts.len(), left, cursor, is_copy })
    }

    /// One that goes on at a mark.
    pub(crate) fn resume(answer: Arc<StreamedAnswer>, mark: Mark) -> Self {
        let mut writer = Self::at(answer, mark.item);
        let written = writer.parts.len().saturating_sub(mark.parts);
        writer.parts.drain(..written);
        if let Some(part) = writer.parts.front_mut() {
            part.skip(part.bytes().saturating_sub(mark.left));
        }
        Self { cursor: mark.cursor, is_copy: mark.is_copy, ..writer }
    }

    /// Whether the answer ends as an error, in what was written or in what is left.
    pub(crate) fn is_broken_off(&self) -> bool {
        self.is_broken_off
    }

    /// Goes back to a mark behind which so many bytes were sent, which cannot be had again: the answer ends as an error
    /// behind them, if anything of its block is left.
    #[cold]
    pub(crate) fn break_off_behind(&mut self, mark: Mark, sent_bytes: usize) {
        *self = Self::resume(Arc::clone(&self.answer), mark);
        self.pass(sent_bytes);
        self.break_off_here();
    }

    /// Ends the answer as an error as soon as it may end, if anything of its block is left.
    #[cold]
    pub(crate) fn break_off_here(&mut self) {
        let before = match self.parts.front() {
            Some(Part::Skeleton(_)) => self.parts.pop_front(),
            _ => None,
        };
        if matches!(self.parts.front(), Some(Part::Block(_))) {
            self.break_off(CHANGED);
        }
        if let Some(before) = before {
            self.parts.push_front(before);
        }
    }

    /// Leaves out bytes that were sent before.
    fn pass(&mut self, mut bytes: usize) {
        while let Some(part) = self.parts.front_mut() {
            let left = part.bytes();
            if bytes < left {
                return part.skip(bytes);
            }
            bytes -= left;
            self.end_part();
        }
    }

    /// The last place among the first `most` of some bytes where the answer may end: in no escape and no character of its
    /// block. The bytes are those that were written `passed` bytes behind a mark.
    pub(crate) fn place_to_end(
        answer: &Arc<StreamedAnswer>,
        (mark, passed): (Mark, usize),
        bytes: &[u8],
        most: usize,
    ) -> usize {
        let mut writer = Self::resume(Arc::clone(answer), mark);
        writer.pass(passed);
        let mut begin = 0;
        while let Some(part) = writer.parts.front() {
            let end = begin + part.bytes();
            if most < end {
                let in_part = most - begin;
                let is_base64 = || writer.streamed().is_some_and(|item| item.source.is_base64());
                return match part {
                    Part::Block(_) if is_base64() => begin + in_part / 4 * 4,
                    Part::Block(_) => begin + unit_floor(&bytes[begin..], in_part),
                    Part::Skeleton(_) | Part::Text(_) => most,
                };
            }
            begin = end;
            writer.end_part();
        }
        most
    }

    pub(crate) fn new(answer: Arc<StreamedAnswer>) -> Self {
        Self::at(answer, 0)
    }

    /// One that begins with that item.
    fn at(answer: Arc<StreamedAnswer>, item: usize) -> Self {
        let parts = answer.items.get(item).map(AnswerItem::parts).unwrap_or_default();
        Self { answer, item, parts, cursor: Cursor::default(), is_copy: false, is_broken_off: false }
    }

    /// The item that is being written, if it has a source.
    fn streamed(&self) -> Option<&StreamedItem> {
        self.answer.items.get(self.item)?.streamed()
    }

    /// Goes on behind the first part that is left: with the next item behind the last part of one.
    fn end_part(&mut self) {
        if let Some(Part::Block(_)) = self.parts.pop_front() {
            self.cursor = Cursor::default();
            self.is_copy = true;
        }
        if self.parts.is_empty()
            && let Some(next) = self.answer.items.get(self.item + 1)
        {
            self.parts = next.parts();
            self.item += 1;
            self.cursor = Cursor::default();
            self.is_copy = false;
        }
    }

    /// Whether all is written.
    pub(crate) fn is_done(&self) -> bool {
        self.parts.is_empty()
    }

    /// Appends to a segment until that has `step_bytes`, or little less. It may block.
    pub(crate) fn fill(&mut self, segment: &mut BytesMut, step_bytes: usize) {
        while let Some(part) = self.parts.front_mut() {
            let room = step_bytes.saturating_sub(segment.len());
            if room == 0 {
                break;
            }
            let left = match part {
                Part::Skeleton(range) => {
                    let bytes = &self.answer.items[self.item].skeleton()[range.clone()];
                    let bytes = &bytes[..bytes.len().min(room)];
                    segment.extend_from_slice(bytes);
                    range.start += bytes.len();
                    range.len()
                }
                Part::Text(text) => {
                    let bytes = text.len().min(room);
                    segment.extend_from_slice(&text[..bytes]);
                    text.advance(bytes);
                    text.len()
                }
                Part::Block(_) => {
                    if self.fill_block(segment, room) == Filled::Full {
                        break;
                    }
                    continue;
                }
            };
            if left == 0 {
                self.end_part();
            }
        }
    }

    /// Writes bytes of the block; `Full` when the segment has no room for the next unit.
    fn fill_block(&mut self, segment: &mut BytesMut, room: usize) -> Filled {
        let item = self.answer.items[self.item].streamed();
        let (Some(Part::Block(left)), Some(item)) = (self.parts.front_mut(), item) else {
            return Filled::End;
        };
        let most = room.min(*left);
        let is_last_room = most == *left;
        let before = segment.len();
        let filled = item.source.fill(&mut self.cursor, &mut BufferRoom::new(segment, most));
        *left -= segment.len() - before;
        match filled {
            Ok(Filled::End) if *left == 0 => self.end_part(),
            Ok(Filled::Full) if !is_last_room => return Filled::Full,
            // It is shorter or longer than when it was counted.
            Ok(_) => self.break_off(CHANGED),
            Err(why) => self.break_off(&why),
        }
        Filled::End
    }

    /// Ends an item in the middle of its block, as an error. Those behind it are as they should be.
    #[cold]
    fn break_off(&mut self, why: &str) {
        let Some(answer) = self.streamed() else { return };
        let ending = if self.is_copy {
            let closing = &answer.skeleton[answer.cuts.1.unwrap_or(answer.tail_at)..answer.tail_at];
            [closing, IS_ERROR].concat()
        } else {
            let closing = &answer.skeleton[answer.cuts.0..answer.block_end];
            let mut length = CountingRoom::default();
            escape_piece(why.as_bytes(), true, &mut length);
            let mut told = BytesMut::new();
            escape_piece(why.as_bytes(), true, &mut BufferRoom::new(&mut told, length.bytes));
            let (begin, lead): (&[u8], &[u8]) = match &answer.ending {
                Ending::Tool => (b"", br#"{"type":"text","text":""#),
                Ending::Resource(begin) => {
                    (&answer.skeleton[begin.clone()], br#","mimeType":"text/plain","text":""#)
                }
            };
            [closing, b",", begin, lead, &told[..], br#""}]"#, IS_ERROR].concat()
        };
        let tail = answer.tail_at..answer.skeleton.len();
        self.is_broken_off = true;
        self.parts = VecDeque::from([Part::Text(BytesMut::from(&ending[..])), Part::Skeleton(tail)]);
    }
}
