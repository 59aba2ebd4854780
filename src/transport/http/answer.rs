//! Answers over HTTP: which status, headers and body stand for which outcome.

use super::codec::words::Status;
use crate::server::{AnswerStream, Outcome};
use crate::wire::HEX_DIGITS;
use mcpool_pools::BufferLease;
use std::fmt::Display;

/// Seconds after which a client that was refused for lack of room may try again.
const RETRY_SECONDS: u32 = 1;

/// An answer that is no stream.
pub(super) struct Answer<'a> {
    pub(super) status: Status,
    pub(super) body: AnswerBody<'a>,
    pub(super) session: Option<u128>,
    pub(super) allow: Option<&'static str>,
    pub(super) retry_after_seconds: Option<u32>,
    pub(super) challenge: Option<&'a str>,
    /// The headers that a preflight names.
    pub(super) preflight: Option<&'a [u8]>,
}

/// The body of an answer.
pub(super) enum AnswerBody<'a> {
    None,
    Text(&'a str),
    Html(&'static str),
    Json(&'a str),
    /// The JSON of a JSON-RPC error.
    Refusal(String),
    Message(BufferLease),
    Streamed(Box<AnswerStream>),
}

impl AnswerBody<'_> {
    /// Bytes of the text of a refusal.
    pub(super) fn refusal_bytes(&self) -> usize {
        match self {
            Self::Refusal(text) => text.len(),
            _ => 0,
        }
    }
}

impl<'a> Answer<'a> {
    pub(super) fn new(status: Status, body: AnswerBody<'a>) -> Self {
        let retry_after_seconds =
            matches!(status, Status::Unavailable | Status::TooManyRequests).then_some(RETRY_SECONDS);
        Self {
            status,
            body,
            session: None,
            allow: None,
            retry_after_seconds,
            challenge: None,
            preflight: None,
        }
    }

    pub(super) fn plain(status: Status) -> Self {
        Self::new(status, AnswerBody::None)
    }

    /// A refusal, as the JSON-RPC error that every client of MCP understands.
    pub(super) fn refusal(status: Status, why: &dyn Display) -> Self {
        let message = serde_json::Value::from(why.to_string());
        let json = format!(r#"{{"jsonrpc":"2.0","error":{{"code":-32600,"message":{message}}}}}"#);
        Self::new(status, AnswerBody::Refusal(json))
    }

    /// Whether it refuses a request that was not read as a message.
    pub(super) fn is_refusal(&self) -> bool {
        match self.body {
            AnswerBody::Refusal(_) => true,
            AnswerBody::None => self.status.code() >= 400,
            _ => false,
        }
    }

    /// The answer that stands for an outcome.
    pub(super) fn of(outcome: Outcome) -> Answer<'static> {
        match outcome {
            Outcome::Refused { answer, status } => {
                let status = Status::from_code(status).unwrap_or(Status::Ok);
                Answer::new(status, AnswerBody::Message(answer))
            }
            Outcome::Opened { answer, id, .. } => {
                Answer { session: id, ..Answer::new(Status::Ok, AnswerBody::Message(answer)) }
            }
            Outcome::Streamed(answer) => Answer::new(Status::Ok, AnswerBody::Streamed(answer)),
            outcome => match outcome.into_answer() {
                Some(answer) => Answer::new(Status::Ok, AnswerBody::Message(answer)),
                None => Answer::plain(Status::Accepted),
            },
        }
    }
}

/// A session id as clients see it: 32 hexadecimal digits.
pub(super) fn session_text(id: u128) -> [u8; 32] {
    std::array::from_fn(|index| HEX_DIGITS[(id >> ((31 - index) * 4)) as usize & 15])
}

/// The session id in a header.
pub(super) fn parse_session(text: &[u8]) -> Option<u128> {
    if text.len() != 32 {
        return None;
    }
    // `u128::from_str_radix` multiplies, with checks, for each digit: 900 instructions under callgrind.
    text.iter().try_fold(0_u128, |id, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(id << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_ids_read_as_they_are_written() {
        for id in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210] {
            assert_eq!(parse_session(&session_text(id)), Some(id));
        }
        for text in ["", "1", "0000000000000000000000000000000G", "+0000000000000000000000000000001"] {
            assert_eq!(parse_session(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_session(&[b'A'; 32]), None, "one spelling only");
    }
}
