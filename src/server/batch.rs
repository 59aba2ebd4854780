//! A batch of revision 2025-03-26: an array of messages, answered by one array.
//!
//! The messages are served one after the other, each in a slot like any other request, so that
//! cancellation and progress work in a batch as they do outside of it.

use super::{Outcome, Server, Session};
use crate::protocol::ProtocolError;
use crate::wire::{DecodeError, Frame, Kind, Lexer, Raw, Reply, TooLong};
use mcpool_pools::BufferLease;
use std::ops::Range;

/// A batch under way.
#[derive(Debug)]
pub(crate) struct Batch {
    frame: Frame,
    elements: std::vec::IntoIter<Range<usize>>,
    answers: Reply,
    has_answers: bool,
}

impl Batch {
    /// Whether a frame is a batch: its first byte that is not white space opens an array.
    pub(crate) fn is_batch(frame: &Frame) -> bool {
        frame.bytes().iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
    }

    /// Checks a batch as a whole.
    ///
    /// # Errors
    /// The answer to a batch that must not be served.
    pub(crate) fn open(server: &Server, session: &Session, frame: Frame) -> Result<Self, Outcome> {
        let refuse = |error: &ProtocolError<'_>| Err(server.refusal_without_id(session, error));
        let limit = server.limits().max_batch;
        let elements = match split(frame.bytes(), limit) {
            Ok(elements) => elements,
            Err(error) => return refuse(&ProtocolError::Parse(error)),
        };
        if !session.revision().is_some_and(crate::protocol::Revision::allows_batches) {
            return refuse(&ProtocolError::InvalidRequest("batches exist only in revision 2025-03-26"));
        }
        if elements.is_empty() {
            return refuse(&ProtocolError::InvalidRequest("a batch must not be empty"));
        }
        if elements.len() > limit {
            return refuse(&ProtocolError::BatchTooLong { limit });
        }
        Ok(Self { frame, elements: elements.into_iter(), answers: server.shared.reply(), has_answers: false })
    }

    /// The next message, in a frame of its own.
    pub(crate) fn next_frame(&mut self, server: &Server) -> Option<Frame> {
        let range = self.elements.next()?;
        Some(Frame::copied(server.buffers(), &self.frame.bytes()[range]))
    }

    /// Takes the answer to a message.
    pub(crate) fn take_answer(&mut self, answer: &BufferLease) {
        self.answers.raw(if self.has_answers { "," } else { "[" });
        self.answers.json(Raw::trusted(std::str::from_utf8(answer).unwrap_or_default()));
        self.has_answers = true;
    }

    /// The answer to the batch: none when it held nothing but notifications.
    pub(crate) fn close(mut self, server: &Server, session: &Session) -> Outcome {
        if !self.has_answers {
            return Outcome::Silent;
        }
        self.answers.raw("]");
        match self.answers.finish() {
            Ok(answers) => Outcome::Reply(answers),
            Err(TooLong { limit_bytes }) => {
                server.refusal_without_id(session, &ProtocolError::ReplyTooLong { limit_bytes })
            }
        }
    }
}

/// The places of an array's elements; at most one more than `limit`.
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
