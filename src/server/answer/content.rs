//! The answer of a tool while the tool writes it: content blocks first, then the structured answer.
//!
//! Everything is escaped straight into the leased output buffer. A structured answer that repeats a block is copied
//! from the escaped bytes of that block.

use crate::limits::price;
use crate::memory::lasting;
use crate::protocol::Era;
use crate::server::answer::envelope;
use crate::server::answer::outcome::Outcome;
use crate::server::state::answer_stream::{AnswerStream, StreamMeans};
use crate::server::state::streamed::{BlockSource, Ending, Skeleton, StreamedAnswer, StreamedItem};
use crate::wire::{Base64, Lacking, LossyText, Mark, MemoryLack, Raw, Reply, ReplyError};
use mcpool_pools::{BudgetSpent, BufferLease, Reservation};
use serde::Serialize;
use serde_json::value::RawValue;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;

/// An unfinished answer. Invariant: between calls `reply` ends after a complete block, inside the `content` array.
#[derive(Debug)]
pub(crate) struct Content {
    reply: Reply,
    /// The last block as a whole, and the escaped text in it, as ranges of `reply`.
    last_block: Option<Part>,
    last_text: Option<Part>,
    structured: Structured,
}

/// What the data of a block is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DataKind<'d> {
    Image(&'d str),
    Audio(&'d str),
    Blob { uri: &'d str, mime_type: &'d str },
}

/// A block that is not written here: a source gives its bytes while the answer is sent.
#[derive(Debug)]
pub(crate) struct StreamedBlock {
    pub(crate) source: Box<dyn BlockSource>,
    /// Bytes of it, as it is written in JSON.
    pub(crate) bytes: usize,
    pub(crate) means: StreamMeans,
    /// Where it belongs in the answer, and where the content block ends that it is in.
    place: Range<usize>,
    /// The structured answer, which repeats a block or is none.
    structured: Structured,
}

impl StreamedBlock {
    pub(crate) fn new(source: Box<dyn BlockSource>, bytes: usize, means: StreamMeans) -> Self {
        Self { source, bytes, means, place: 0..0, structured: Structured::None }
    }

    fn stream(self, skeleton: BufferLease, copy_cut: Option<usize>, tail_at: usize) -> AnswerStream {
        let Self { source, bytes, means, place, .. } = self;
        let answer = StreamedItem {
            skeleton: Skeleton::Leased(skeleton),
            cuts: (place.start, copy_cut),
            block_end: place.end,
            ending: Ending::Tool,
            tail_at,
            source,
            block_bytes: bytes,
        };
        AnswerStream::new(lasting(|| Arc::new(StreamedAnswer::from(answer))), means)
    }
}

/// A range of the answer. Its end is never 0, so that `Option<Part>` needs no more bytes: each waiting request holds
/// two.
#[derive(Debug, Clone, Copy)]
struct Part {
    start: usize,
    end: NonZeroUsize,
}

impl Part {
    fn new(range: Range<usize>) -> Option<Self> {
        Some(Self { start: range.start, end: NonZeroUsize::new(range.end)? })
    }

    fn range(self) -> Range<usize> {
        self.start..self.end.get()
    }
}

#[derive(Debug)]
enum Structured {
    None,
    Value(BufferLease),
    /// A value for which there was no room.
    Unwritten(ReplyError),
    Text(Part),
    Block(Part),
    /// A block is streamed, and knows of the structured answer. Here, because each waiting request would hold a place of
    /// its own for it.
    OfStreamed(Box<StreamedBlock>),
}

impl Content {
    pub(crate) fn open(mut reply: Reply, id: &str, era: Era) -> Self {
        envelope::open_tool_result(&mut reply, id, era);
        Self { reply, last_block: None, last_text: None, structured: Structured::None }
    }

    pub(crate) fn text_block<R>(&mut self, write: impl FnOnce(&mut TextBlock<'_>) -> R) -> R {
        let start = self.begin_block();
        self.reply.token(r#"{"type":"text","text":""#);
        let text_start = self.reply.len();
        let mut block = TextBlock { text: self.reply.lossy_text() };
        let result = write(&mut block);
        drop(block);
        self.last_text = Part::new(text_start..self.reply.len());
        self.reply.token(r#""}"#);
        self.last_block = Part::new(start..self.reply.len());
        result
    }

    /// Adds a text block whose text comes while the answer is sent. An answer has at most one of that kind.
    pub(crate) fn streamed_text(&mut self, block: StreamedBlock) {
        self.text_block(|_| {});
        self.stream_last_text(block);
    }

    /// Has the text of the last block come while the answer is sent; so far, it has none.
    pub(crate) fn stream_last_text(&mut self, mut block: StreamedBlock) {
        debug_assert!(
            matches!(self.structured, Structured::None),
            "one block is streamed, and before all else"
        );
        let text_at = self.last_text.map_or(0, |text| text.range().start);
        block.place = text_at..self.reply.len();
        self.structured = Structured::OfStreamed(Box::new(block));
    }

    /// Adds a block of data that comes while the answer is sent.
    pub(crate) fn streamed_data(&mut self, kind: DataKind<'_>, mut block: StreamedBlock) {
        debug_assert!(
            matches!(self.structured, Structured::None),
            "one block is streamed, and before all else"
        );
        let note = |data: &mut DataBlock<'_>| data.base64.message_bytes();
        let data_at = match kind {
            DataKind::Image(mime_type) => self.data_block("image", mime_type, note),
            DataKind::Audio(mime_type) => self.data_block("audio", mime_type, note),
            DataKind::Blob { uri, mime_type } => self.blob_block(uri, mime_type, note),
        };
        block.place = data_at..self.reply.len();
        self.structured = Structured::OfStreamed(Box::new(block));
    }

    /// Notes that memory was asked for and not there.
    pub(crate) fn note_lack(&mut self, spent: BudgetSpent) {
        self.reply.note_lack(spent);
    }

    pub(crate) fn data_block<R>(
        &mut self,
        kind: &'static str,
        mime_type: &str,
        write: impl FnOnce(&mut DataBlock<'_>) -> R,
    ) -> R {
        let start = self.begin_block();
        self.reply.token(r#"{"type":""#);
        self.reply.token(kind);
        self.reply.token(r#"","data":""#);
        let result = DataBlock::write(&mut self.reply, write);
        self.reply.token(r#"","mimeType":"#);
        self.reply.string(mime_type);
        self.reply.token("}");
        self.last_block = Part::new(start..self.reply.len());
        result
    }

    pub(crate) fn blob_block<R>(
        &mut self,
        uri: &str,
        mime_type: &str,
        write: impl FnOnce(&mut DataBlock<'_>) -> R,
    ) -> R {
        let start = self.begin_block();
        self.reply.token(r#"{"type":"resource","resource":{"uri":"#);
        self.reply.string(uri);
        self.reply.token(r#","mimeType":"#);
        self.reply.string(mime_type);
        self.reply.token(r#","blob":""#);
        let result = DataBlock::write(&mut self.reply, write);
        self.reply.token(r#""}}"#);
        self.last_block = Part::new(start..self.reply.len());
        result
    }

    pub(crate) fn resource_block(&mut self, uri: &str, mime_type: &str, text: &str) {
        let start = self.begin_block();
        self.reply.token(r#"{"type":"resource","resource":{"uri":"#);
        self.reply.string(uri);
        self.reply.token(r#","mimeType":"#);
        self.reply.string(mime_type);
        self.reply.token(r#","text":"#);
        self.reply.string(text);
        self.reply.token("}}");
        self.last_block = Part::new(start..self.reply.len());
    }

    /// Adds a block that is given as a value.
    #[cfg(feature = "everything")]
    pub(crate) fn block<T: Serialize + ?Sized>(&mut self, block: &T) -> Result<(), serde_json::Error> {
        let start = self.begin_block();
        self.reply.value(block)?;
        self.last_block = Part::new(start..self.reply.len());
        Ok(())
    }

    pub(crate) fn structured<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), serde_json::Error> {
        let mut written = self.reply.sibling();
        written.value(value)?;
        self.structured = written.finish().map_or_else(Structured::Unwritten, Structured::Value);
        Ok(())
    }

    /// Sets the structured answer to the JSON that `write` writes.
    pub(crate) fn structured_with(&mut self, write: impl FnOnce(&mut Reply)) {
        let mut written = self.reply.sibling();
        write(&mut written);
        self.reply.share_lack(&written);
        self.structured = written.finish().map_or_else(Structured::Unwritten, Structured::Value);
    }

    /// The JSON text of the structured answer, if it is a complete value and no copy of a block.
    pub(crate) fn structured_json(&self) -> Option<&[u8]> {
        match &self.structured {
            Structured::Value(json) => Some(json),
            Structured::None
            | Structured::Unwritten(_)
            | Structured::Text(_)
            | Structured::Block(_)
            | Structured::OfStreamed(_) => None,
        }
    }

    /// Gives the answer room that is reserved for it.
    pub(crate) fn give_room(&mut self, room: Box<Reservation>) {
        self.reply.give_room(room);
    }

    /// Makes room for the end of a large answer, with the copy of its text. Whether there is room is to show before the
    /// tool has ended, as long as the call may still wait for it.
    pub(crate) fn make_room_to_close(&mut self) {
        let copy_bytes = match &self.structured {
            Structured::Text(part) | Structured::Block(part) => part.range().len(),
            Structured::Value(json) if self.last_block.is_none() => 2 * json.len(),
            Structured::Value(json) => json.len(),
            Structured::None | Structured::Unwritten(_) | Structured::OfStreamed(_) => return,
        };
        if self.reply.len() + copy_bytes > price::LARGE_BYTES {
            self.reply.make_room(copy_bytes + price::AROUND_BYTES);
        }
    }

    pub(crate) fn lacking(&self) -> Option<Lacking> {
        self.reply.lacking()
    }

    /// Whether something was left out for lack of memory.
    pub(crate) fn memory_lack(&self) -> Option<MemoryLack> {
        self.reply.memory_lack()
    }

    pub(crate) fn structured_from_text(&mut self) {
        let copy = self.last_text.map_or(Structured::None, Structured::Text);
        *self.structured_of_block() = copy;
    }

    pub(crate) fn structured_from_block(&mut self) {
        let copy = self.last_block.map_or(Structured::None, Structured::Block);
        *self.structured_of_block() = copy;
    }

    /// Takes a structured answer back that repeats a block.
    pub(crate) fn leave_out_copy(&mut self) {
        let structured = self.structured_of_block();
        if matches!(structured, Structured::Text(_) | Structured::Block(_)) {
            *structured = Structured::None;
        }
    }

    /// Takes the structured answer back. One that no block repeats becomes a text block.
    pub(crate) fn leave_out_structured(&mut self) {
        match std::mem::replace(self.structured_of_block(), Structured::None) {
            Structured::Value(json) if self.last_block.is_none() => {
                let text = std::str::from_utf8(&json).unwrap_or_default();
                self.text_block(|block| block.push_str(text));
            }
            // It fails as it would have otherwise.
            unwritten @ Structured::Unwritten(_) => *self.structured_of_block() = unwritten,
            _ => {}
        }
    }

    /// Whether there is any content.
    pub(crate) fn has_block(&self) -> bool {
        self.last_block.is_some()
    }

    /// Where a structured answer that repeats a block is noted.
    fn structured_of_block(&mut self) -> &mut Structured {
        match &mut self.structured {
            Structured::OfStreamed(block) => &mut block.structured,
            structured => structured,
        }
    }

    /// Completes the answer.
    pub(crate) fn close(
        mut self,
        era: Era,
        server_info: &RawValue,
        is_error: bool,
    ) -> Result<Outcome, ReplyError> {
        let (structured, streamed) = match std::mem::replace(&mut self.structured, Structured::None) {
            Structured::OfStreamed(mut block) => {
                let copy = std::mem::replace(&mut block.structured, Structured::None);
                (copy, Some(block))
            }
            structured => (structured, None),
        };
        if let (Structured::Value(json), None) = (&structured, &self.last_block) {
            let text = std::str::from_utf8(json).unwrap_or_default();
            self.text_block(|block| block.push_str(text));
        }
        let cut = streamed.as_deref().map(|block: &StreamedBlock| block.place.start);
        let mut copy_cut = None;
        let reply = &mut self.reply;
        reply.token("]");
        match structured {
            Structured::None | Structured::OfStreamed(_) => {}
            Structured::Unwritten(error) => return Err(error),
            Structured::Value(json) => {
                reply.token(r#","structuredContent":"#);
                reply.raw(Raw::trusted(std::str::from_utf8(&json).unwrap_or_default()));
            }
            Structured::Text(part) => {
                reply.token(r#","structuredContent":{"content":""#);
                copy_cut = repeat(reply, part, cut);
                reply.token(r#""}"#);
            }
            Structured::Block(part) => {
                reply.token(r#","structuredContent":{"content":["#);
                copy_cut = repeat(reply, part, cut);
                reply.token("]}");
            }
        }
        if is_error {
            reply.token(r#","isError":true"#);
        }
        let tail_at = reply.len();
        envelope::close_tool_result(reply, era, server_info);
        let limit_bytes = reply.max_bytes();
        let skeleton = self.reply.finish()?;
        let Some(block) = streamed else { return Ok(Outcome::Reply(skeleton)) };
        let stream = block.stream(skeleton, copy_cut, tail_at);
        if stream.total_bytes() > limit_bytes {
            return Err(ReplyError::TooLong { limit_bytes });
        }
        Ok(Outcome::Streamed(Box::new(stream)))
    }

    fn begin_block(&mut self) -> usize {
        if self.last_block.is_some() {
            self.reply.token(",");
        }
        self.reply.len()
    }
}

/// Writes a part of an answer once more. Returns where the streamed block belongs in it, if `cut` is its place in that
/// part.
fn repeat(reply: &mut Reply, part: Part, cut: Option<usize>) -> Option<usize> {
    let range = part.range();
    let begins = reply.len();
    let offset = cut.filter(|cut| (range.start..=range.end).contains(cut)).map(|cut| cut - range.start);
    reply.repeat(range);
    offset.map(|offset| begins + offset)
}

/// A text block to which a tool appends.
///
/// ```
/// use mcpool::CallContext;
///
/// fn list(names: &[&str], call: &mut CallContext) {
///     call.text_with(|text| {
///         for name in names {
///             if text.is_full() {
///                 break; // the answer is as long as it may be
///             }
///             text.push_str(name);
///             text.push_str("\n");
///         }
///     });
/// }
/// ```
#[derive(Debug)]
pub struct TextBlock<'r> {
    text: LossyText<'r>,
}

impl<'r> TextBlock<'r> {
    /// Lets `write` fill a block, and ends it.
    pub(crate) fn write<R>(reply: &'r mut Reply, write: impl FnOnce(&mut Self) -> R) -> R {
        write(&mut Self { text: reply.lossy_text() })
    }

    /// Appends text.
    pub fn push_str(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Appends bytes that should be UTF-8: each maximal ill-formed part becomes U+FFFD. A character may be
    /// split between two calls with nothing in between.
    pub fn push_lossy(&mut self, bytes: &[u8]) {
        self.text.push(bytes);
    }

    /// Ends a sequence of bytes: a character may not continue in the bytes that follow, of the next file for example.
    pub fn end_part(&mut self) {
        self.text.end_part();
    }

    /// Whether the answer is longer than its limit, so that more text would be lost.
    pub fn is_full(&self) -> bool {
        self.text.is_full()
    }

    /// Whether text was left out for lack of memory.
    pub(crate) fn memory_lack(&self) -> Option<MemoryLack> {
        self.text.memory_lack()
    }

    /// Makes room for text of so many bytes, escaped.
    pub(crate) fn make_room(&mut self, bytes: usize) {
        self.text.make_room(bytes);
    }

    /// Bytes of the answer so far, escaped.
    pub(crate) fn written_bytes(&self) -> usize {
        self.text.message_bytes()
    }

    /// Marks this position, to return to it later.
    pub(crate) fn mark(&mut self) -> Mark {
        self.text.mark()
    }

    /// Removes what was written since the mark.
    pub(crate) fn cut(&mut self, mark: Mark) {
        self.text.cut(mark);
    }
}

impl std::fmt::Write for TextBlock<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

/// A block of binary data to which a tool appends; it is written as base64.
///
/// ```
/// use mcpool::{CallContext, ToolError};
/// use std::io::Read;
///
/// fn picture(mut source: impl Read, call: &mut CallContext) -> Result<(), ToolError> {
///     call.image_with("image/png", |image| {
///         let mut piece = [0; 4096];
///         loop {
///             match source.read(&mut piece)? {
///                 0 => return Ok(()),
///                 bytes => image.push(&piece[..bytes]),
///             }
///         }
///     })
/// }
/// ```
#[derive(Debug)]
pub struct DataBlock<'r> {
    base64: Base64<'r>,
}

impl<'r> DataBlock<'r> {
    /// Lets `write` fill a block, and ends it.
    pub(crate) fn write<R>(reply: &'r mut Reply, write: impl FnOnce(&mut Self) -> R) -> R {
        write(&mut Self { base64: reply.base64() })
    }

    /// Appends bytes, in pieces of any length.
    pub fn push(&mut self, bytes: &[u8]) {
        self.base64.push(bytes);
    }

    /// Whether the answer is longer than its limit, so that more data would be lost.
    pub fn is_full(&self) -> bool {
        self.base64.is_full()
    }
}
