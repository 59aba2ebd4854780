//! A batch of revision 2025-03-26: an array of messages, answered by one array.
//!
//! An answer that is written while it is sent comes that way in a batch too, once it is its turn in the array. So a batch
//! holds little, and what is large of it is never copied. What large answers it does hold, none of its messages waits for:
//! one that lacks memory beside them is refused at once.
//!
//! The messages are served one after the other, each in a slot like any other request, so that
//! cancellation and progress work in a batch as they do outside of it. All their ids are in use from the moment
//! at which the batch arrives until its answer is sent.

use crate::protocol::{Era, Id, ProtocolError, Revision};
use crate::server::answer::envelope::AnswerId;
use crate::server::answer::outcome::Outcome;
use crate::server::serving::batch_answers::{BatchAnswers, REFUSAL_BYTES};
use crate::server::shared::Shared;
use crate::server::state::answer_stream::{AnswerStream, StreamMeans};
use crate::server::state::call_state::InBatch;
use crate::server::state::fair_queue::SessionKey;
use crate::server::state::request_ids::{IdKey, RequestIds};
use crate::server::state::session::Session;
use crate::wire::{DecodeError, Frame, Kind, Lexer, ReplyError};
use bumpalo::Bump;
use mcpool_pools::BufferLease;
use std::ops::Range;
use std::sync::Arc;
use tokio::time::Instant;

/// Messages of batches served in one poll of a connection or task: a batch has up to a thousand, and others wait for the
/// thread.
const MESSAGES_A_POLL: u32 = 32;

/// How many messages of batches may still be served in one poll.
#[derive(Debug)]
pub(crate) struct BatchTurn {
    messages_left: u32,
}

impl BatchTurn {
    pub(crate) fn begin() -> Self {
        Self { messages_left: MESSAGES_A_POLL }
    }

    /// Counts a message that was served.
    pub(crate) fn note_served(&mut self) {
        self.messages_left = self.messages_left.saturating_sub(1);
    }

    /// Whether the thread is to be given back before the next message.
    pub(crate) fn is_over(&self) -> bool {
        self.messages_left == 0
    }
}

/// A batch that is being served.
#[derive(Debug)]
pub(crate) struct Batch {
    frame: Frame,
    elements: std::vec::IntoIter<Element>,
    /// Where the message lies that is being served.
    served: Range<usize>,
    answers: BatchAnswers,
    claimed: Claimed,
    /// Whose batch it is.
    principal: u128,
    /// Until when its messages may begin to wait for memory.
    waits_until: Instant,
}

/// A message of a batch that is still to be served.
#[derive(Debug)]
struct Element {
    range: Range<usize>,
    id: ElementId,
}

/// The id of a message of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ElementId {
    /// The message has no valid id, or is no request.
    None,
    /// The id is claimed for this message.
    Claimed(IdKey),
    /// An unanswered request has the same id.
    Repeated,
}

/// The ids of a batch. They are released when this is dropped.
#[derive(Debug)]
struct Claimed {
    ids: Arc<RequestIds>,
    keys: Vec<IdKey>,
}

impl Drop for Claimed {
    fn drop(&mut self) {
        for key in &self.keys {
            self.ids.release(*key);
        }
    }
}

/// A message of a batch, in a frame of its own.
#[derive(Debug)]
pub(crate) struct BatchMessage {
    pub(crate) frame: Frame,
    /// An unanswered request has the same id.
    pub(crate) repeats_id: bool,
}

impl Batch {
    /// Whether a frame is a batch: its first byte that is not white space opens an array.
    pub(crate) fn is_batch(frame: &Frame) -> bool {
        frame.bytes().iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
    }

    /// Checks a batch as a whole, and claims the ids of its requests among `ids`.
    ///
    /// # Errors
    /// The answer to a batch that must not be served.
    pub(crate) fn open(
        shared: &Shared,
        session: &Session,
        frame: Frame,
        ids: &Arc<RequestIds>,
        principal: u128,
    ) -> Result<Self, Outcome> {
        let refuse = |error: &ProtocolError<'_>| Err(shared.refusal_without_id(session, error));
        let limit = shared.limits.max_batch;
        let ranges = match split(frame.bytes(), limit) {
            Ok(ranges) => ranges,
            Err(error) => return refuse(&ProtocolError::Parse(error)),
        };
        if !session.revision().is_some_and(Revision::allows_batches) {
            return refuse(&ProtocolError::InvalidRequest("batches exist only in revision 2025-03-26"));
        }
        if ranges.is_empty() {
            return refuse(&ProtocolError::InvalidRequest("a batch must not be empty"));
        }
        if ranges.len() > limit {
            return refuse(&ProtocolError::BatchTooLong { limit });
        }
        let mut claimed = Claimed { ids: Arc::clone(ids), keys: Vec::new() };
        let mut elements = Vec::with_capacity(ranges.len());
        for range in ranges {
            let id = claimed.claim(&frame.bytes()[range.clone()]);
            elements.push(Element { range, id });
        }
        let elements = elements.into_iter();
        let answers = BatchAnswers::new(shared.reply());
        let waits_until = Instant::now() + shared.limits.write_timeout();
        Ok(Self { frame, elements, served: 0..0, answers, claimed, principal, waits_until })
    }

    /// How many messages are still to be served.
    pub(crate) fn len(&self) -> usize {
        self.elements.len()
    }

    /// The next message, without those that were cancelled before they were served.
    pub(crate) fn next_message(&mut self, shared: &Shared) -> Option<BatchMessage> {
        let ids = &self.claimed.ids;
        let is_cancelled = |id| matches!(id, ElementId::Claimed(key) if ids.is_cancelled(key));
        let element = self.elements.find(|element| !is_cancelled(element.id))?;
        self.served = element.range.clone();
        Some(BatchMessage {
            frame: Frame::copied(&shared.pools.buffers, &self.frame.bytes()[element.range]),
            repeats_id: element.id == ElementId::Repeated,
        })
    }

    /// Whether a message of it may wait for memory.
    pub(crate) fn memory_rule(&self) -> InBatch {
        let may_wait = self.answers.reserved_bytes() == 0 && Instant::now() < self.waits_until;
        if may_wait { InBatch::MayWait } else { InBatch::MustNotWait }
    }

    /// Whether the next answer may be one that is written while it is sent.
    pub(crate) fn takes_streams(&self) -> bool {
        self.answers.takes_streams()
    }

    /// Adds the answer to the message that was served last, or an error where it is too long beside the others: each message
    /// has an answer of its own.
    pub(crate) fn take_answer(&mut self, shared: &Shared, outcome: Outcome) {
        let left_bytes = self.elements.len() * REFUSAL_BYTES;
        let Err(error) = self.answers.add(outcome, left_bytes) else { return };
        if let Some(refusal) = self.refusal(shared, &error.into()) {
            self.answers.add_short(refusal);
        }
    }

    /// An error instead of the answer to the message that was served last.
    #[cold]
    fn refusal(&self, shared: &Shared, error: &ProtocolError<'_>) -> Option<BufferLease> {
        let arena = Bump::new();
        let id = request_id(&self.frame.bytes()[self.served.clone()], &arena).ok().flatten();
        let id = id.as_ref().map_or(AnswerId::Omitted, |id| AnswerId::Of(id.as_json()));
        shared.refusal_in(Era::Legacy, id, error).into_answer()
    }

    /// The answer to the batch: none if it consists of notifications only.
    pub(crate) fn close(self, shared: &Shared, session: &Session) -> Outcome {
        let limit_bytes = shared.limits.max_reply_bytes;
        if self.answers.total_bytes() > limit_bytes {
            return shared.refusal_without_id(session, &ReplyError::TooLong { limit_bytes }.into());
        }
        let means = || StreamMeans {
            threads: shared.thread_permits.clone(),
            key: SessionKey { principal: self.principal, session: session.number() },
            buffers: shared.pools.buffers.clone(),
            windows: shared.pools.windows.clone(),
            window: None,
        };
        self.answers.close(|answer| AnswerStream::new(answer, means()))
    }
}

impl Claimed {
    /// Claims the id of a message, if it is a request with a valid one.
    fn claim(&mut self, message: &[u8]) -> ElementId {
        let arena = Bump::new();
        match request_id(message, &arena) {
            Ok(Some(id)) => {
                let key = IdKey::of(id.as_json());
                if !self.ids.claim(key) {
                    return ElementId::Repeated;
                }
                self.keys.push(key);
                ElementId::Claimed(key)
            }
            // The checks of the message report the fault.
            Ok(None) | Err(_) => ElementId::None,
        }
    }
}

/// The id of a message with a method; `None` if there are two.
fn request_id<'f>(message: &'f [u8], arena: &'f Bump) -> Result<Option<Id<'f>>, DecodeError> {
    let mut lexer = Lexer::from_bytes(message)?;
    let (mut id, mut ids, mut has_method) = (None, 0, false);
    if lexer.kind()? != Kind::Object {
        return Ok(None);
    }
    lexer.enter_object()?;
    while let Some(key) = lexer.next_key(arena)? {
        has_method |= key == "method";
        let is_id = key == "id";
        let value = lexer.raw()?;
        if is_id {
            ids += 1;
            id = Id::from_raw(value, arena);
        }
    }
    Ok(id.filter(|_| ids == 1 && has_method))
}

/// The ranges of an array's elements; at most one more than `limit`.
fn split(frame: &[u8], limit: usize) -> Result<Vec<Range<usize>>, DecodeError> {
    let mut lexer = Lexer::from_bytes(frame)?;
    let mut elements = Vec::new();
    debug_assert_eq!(lexer.kind().ok(), Some(Kind::Array));
    lexer.enter_array()?;
    while lexer.next_element()? {
        lexer.kind()?;
        let start = lexer.offset();
        lexer.raw()?;
        if elements.len() <= limit {
            elements.push(start..lexer.offset());
        }
    }
    lexer.finish()?;
    Ok(elements)
}
