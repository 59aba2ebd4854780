//! The answers of a batch until all are there.
//!
//! Short ones are copied into one buffer, and large ones stay where they are. Those that are written while they are sent are
//! kept as what they are written from.

use crate::limits::price;
use crate::memory::lasting;
use crate::server::answer::outcome::Outcome;
use crate::server::state::answer_stream::AnswerStream;
use crate::server::state::streamed::{AnswerItem, Skeleton, StreamedAnswer};
use crate::wire::{Raw, Reply, ReplyError};
use mcpool_pools::BufferLease;
use std::sync::Arc;

/// Most answers of a batch that are written while they are sent: each may hold a file open.
const MOST_STREAMED: usize = 32;

/// Most bytes of short answers in one buffer.
const GATHERED_BYTES: usize = 256 * 1024;

/// Room that is left for the answer of each message that is still to be served: an error with a short id fits.
pub(crate) const REFUSAL_BYTES: usize = 512;

/// The answers of a batch.
#[derive(Debug)]
pub(crate) struct BatchAnswers {
    /// What comes before the short answers that are gathered.
    items: Vec<AnswerItem>,
    gathered: Reply,
    has_answers: bool,
    /// Bytes of the whole answer so far.
    total_bytes: usize,
    /// What the items hold of the room for large messages.
    reserved_bytes: usize,
    streamed: usize,
}

impl BatchAnswers {
    /// No answers so far. Short ones are written to `gathered`.
    pub(crate) fn new(gathered: Reply) -> Self {
        Self {
            items: Vec::new(),
            gathered,
            has_answers: false,
            total_bytes: 0,
            reserved_bytes: 0,
            streamed: 0,
        }
    }

    /// What the answers hold of the room for large messages.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.reserved_bytes + self.gathered.reserved_bytes()
    }

    /// Whether the next answer may be one that is written while it is sent.
    pub(crate) fn takes_streams(&self) -> bool {
        self.streamed < MOST_STREAMED
    }

    /// Bytes of the whole answer, with its end.
    pub(crate) fn total_bytes(&self) -> usize {
        self.total_bytes + 1
    }

    /// Adds an answer, if there is one, unless the whole would be too long with `left_bytes` of others.
    ///
    /// # Errors
    /// When it is too long.
    pub(crate) fn add(&mut self, outcome: Outcome, left_bytes: usize) -> Result<(), ReplyError> {
        // A short one takes the room that is left for it.
        let most_bytes = self.gathered.max_bytes().saturating_sub(left_bytes);
        let fits = |bytes: usize| bytes <= REFUSAL_BYTES || self.total_bytes() + bytes < most_bytes;
        if !fits(outcome.answer_bytes()) {
            return Err(ReplyError::TooLong { limit_bytes: self.gathered.max_bytes() });
        }
        match outcome {
            Outcome::Streamed(stream) => self.add_streamed(*stream),
            outcome => {
                if let Some(answer) = outcome.into_answer() {
                    self.add_whole(answer);
                }
            }
        }
        Ok(())
    }

    fn add_streamed(&mut self, stream: AnswerStream) {
        // Nobody else has an answer of which nothing was sent.
        let items = stream.into_items().unwrap_or_default();
        debug_assert!(!items.is_empty(), "an answer that was begun is in no batch");
        if items.is_empty() {
            return;
        }
        self.streamed += 1;
        self.add_items(items);
    }

    fn add_whole(&mut self, answer: BufferLease) {
        let is_large = answer.len() > price::LARGE_BYTES;
        if is_large || !self.gather(&answer) {
            self.add_items(vec![AnswerItem::Whole(Skeleton::Leased(answer))]);
        }
    }

    /// Adds an answer for which there is always room, if only in a buffer of its own.
    pub(crate) fn add_short(&mut self, answer: BufferLease) {
        self.add_whole(answer);
    }

    /// Copies an answer behind the others. Returns whether there was room; if not, nothing is changed.
    fn gather(&mut self, answer: &BufferLease) -> bool {
        if self.gathered.len() + answer.len() > GATHERED_BYTES {
            return false;
        }
        let text = Raw::trusted(std::str::from_utf8(answer).unwrap_or_default());
        let separator = Raw::trusted(self.separator());
        // Room for both first, so that none is left without the other.
        if self.gathered.part(separator, answer.len() + 1).is_err() {
            return false;
        }
        if self.gathered.part(text, 0).is_err() {
            debug_assert!(false, "there was room for it");
            return false;
        }
        self.note_added(answer.len());
        true
    }

    /// Adds what is not copied, behind the others.
    fn add_items(&mut self, items: Vec<AnswerItem>) {
        self.end_gathered();
        let separator = AnswerItem::Whole(Skeleton::Literal(self.separator().as_bytes()));
        self.note_added(items.iter().map(AnswerItem::total_bytes).sum());
        self.reserved_bytes += items.iter().map(AnswerItem::reserved_bytes).sum::<usize>();
        self.items.push(separator);
        self.items.extend(items);
    }

    fn separator(&self) -> &'static str {
        if self.has_answers { "," } else { "[" }
    }

    fn note_added(&mut self, bytes: usize) {
        self.total_bytes += 1 + bytes;
        self.has_answers = true;
    }

    /// Makes an item of what was gathered.
    fn end_gathered(&mut self) {
        let next = self.gathered.sibling();
        if self.gathered.is_empty() {
            return;
        }
        let gathered = std::mem::replace(&mut self.gathered, next).finish();
        debug_assert!(gathered.is_ok(), "what had no room was not gathered");
        if let Ok(gathered) = gathered {
            self.reserved_bytes += gathered.charged_bytes();
            self.items.push(AnswerItem::Whole(Skeleton::Leased(gathered)));
        }
    }

    /// The answer to the batch: none if no message had one. `send` begins to send what is not in one buffer.
    pub(crate) fn close(mut self, send: impl FnOnce(Arc<StreamedAnswer>) -> AnswerStream) -> Outcome {
        if !self.has_answers {
            return Outcome::Silent;
        }
        if self.items.is_empty() && self.gathered.part(Raw::trusted("]"), 0).is_ok() {
            return self.gathered.finish().map_or(Outcome::Silent, Outcome::Reply);
        }
        self.end_gathered();
        self.items.push(AnswerItem::Whole(Skeleton::Literal(b"]")));
        let answer = lasting(|| Arc::new(StreamedAnswer::of_batch(self.items)));
        Outcome::Streamed(Box::new(send(answer)))
    }
}
