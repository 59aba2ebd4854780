//! A text that a call made, sent from where it is: as a part of an answer it would be in memory once more for each copy.

use super::answer_space::AnswerSpace;
use super::error::{FsError, Stop};
use super::held::HeldMemory;
use super::sandbox::toolset_state::{KeptBytes, KeptBytesGuard};
use crate::limits::price;
use crate::server::{BlockSource, CallContext, Cursor, Filled};
use crate::wire::{BufferRoom, escape_piece, escaped_bytes};
use mcpool_pools::Reservation;

/// Bytes that are checked and written at a time.
const PIECE_BYTES: usize = 16 * 1024;

/// A text, and what is reserved for it as long as it is there. The toolset reports its bytes.
#[derive(Debug)]
struct HeldText {
    text: String,
    memory: Option<Reservation>,
    /// `None` once an event store reports it.
    reported: Option<KeptBytesGuard>,
}

impl BlockSource for HeldText {
    fn fill(&self, Cursor { at, .. }: &mut Cursor, room: &mut BufferRoom<'_>) -> Result<Filled, String> {
        loop {
            let begin = *at as usize;
            let end = self.text.floor_char_boundary(begin.saturating_add(PIECE_BYTES));
            let Some(piece) = self.text.as_bytes().get(begin..end).filter(|piece| !piece.is_empty()) else {
                return Ok(Filled::End);
            };
            let taken = escape_piece(piece, true, room);
            *at += taken as u64;
            if taken < piece.len() {
                return Ok(Filled::Full);
            }
        }
    }

    fn kept_bytes(&self) -> usize {
        size_of::<Self>() + self.text.capacity()
    }

    fn reserved_bytes(&self) -> usize {
        self.memory.as_ref().map_or(0, Reservation::bytes)
    }

    fn report_elsewhere(&mut self) {
        self.reported = None;
    }
}

/// Answers with a text, and the same as structured content. A long one is sent while the answer is written.
///
/// # Errors
/// When it is longer than an answer may be, or there is no room to send it.
pub(super) fn answer_text(
    text: String,
    space: AnswerSpace,
    held: &HeldMemory,
    kept_texts: &KeptBytes,
    call: &mut CallContext,
) -> Result<(), Stop> {
    if text.len() <= price::LARGE_BYTES || !call.may_stream() {
        call.text(&text);
    } else {
        let bytes = escaped_bytes(text.as_bytes());
        if bytes > space.text_bytes() {
            return Err(space.answer_too_large().into());
        }
        let memory = held.keep(text.capacity());
        let reported = kept_texts.count(text.capacity());
        call.stream_text(HeldText { text, memory, reported: Some(reported) }, bytes);
        if let Some(lack) = call.memory_lack() {
            return Err(FsError::OutOfMemory(lack).into());
        }
    }
    call.structured_from_text();
    Ok(())
}
