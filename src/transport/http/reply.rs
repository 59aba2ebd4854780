//! Answers on their way into the outbox: which head goes with which outcome.

use super::codec::head::{RequestHead, Verb};
use super::codec::response::{Cors, Payload, Persistence, ResponseHead, Status};
use super::endpoint::Endpoint;
use super::exchange::{Exchange, State};
use crate::server::Outcome;
use crate::wire::HEX_DIGITS;
use mcpool_pools::BufferLease;
use std::fmt::Display;

/// Room for a head: status, length, session, and a challenge or an origin of usual length.
const HEAD_BYTES: usize = 768;
/// Seconds after which a client that was turned away for lack of room may come back.
const RETRY_SECONDS: u32 = 1;

/// An answer that is no stream.
pub(super) struct Answer<'a> {
    pub(super) status: Status,
    pub(super) body: AnswerBody<'a>,
    pub(super) session: Option<u128>,
    pub(super) allow: Option<&'static str>,
    pub(super) retry_after_seconds: Option<u32>,
    pub(super) challenge: Option<&'a str>,
    /// The headers that a preflight asks for.
    pub(super) preflight: Option<&'a [u8]>,
}

/// What an answer carries.
pub(super) enum AnswerBody<'a> {
    None,
    Text(&'a str),
    Json(&'a str),
    Message(BufferLease),
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

    /// A refusal in words, as the JSON-RPC error that every client of MCP understands.
    pub(super) fn fault(status: Status, error: &dyn Display) -> FaultAnswer {
        let message = serde_json::Value::from(error.to_string());
        FaultAnswer {
            status,
            json: format!(r#"{{"jsonrpc":"2.0","error":{{"code":-32600,"message":{message}}}}}"#),
        }
    }

    /// What an outcome is over HTTP.
    pub(super) fn of(outcome: Outcome) -> Answer<'static> {
        match outcome {
            Outcome::Refused { answer, status } => {
                let status = Status::from_code(status).unwrap_or(Status::Ok);
                Answer::new(status, AnswerBody::Message(answer))
            }
            Outcome::Opened { answer, id, .. } => {
                Answer { session: id, ..Answer::new(Status::Ok, AnswerBody::Message(answer)) }
            }
            outcome => match outcome.into_answer() {
                Some(answer) => Answer::new(Status::Ok, AnswerBody::Message(answer)),
                None => Answer::plain(Status::Accepted),
            },
        }
    }
}

/// A refusal in words, which owns them.
pub(super) struct FaultAnswer {
    status: Status,
    json: String,
}

impl FaultAnswer {
    pub(super) fn answer(&self) -> Answer<'_> {
        Answer::new(self.status, AnswerBody::Json(&self.json))
    }
}

impl Exchange {
    /// Queues a refusal after which the connection ends.
    pub(super) fn refuse_and_close(
        &mut self,
        endpoint: &Endpoint,
        status: Status,
        error: &dyn Display,
        head: Option<&RequestHead>,
    ) {
        let fault = Answer::fault(status, error);
        self.answer(endpoint, fault.answer(), head, Persistence::Close);
    }

    /// Queues an answer; `head` is the request's, if it could be read.
    pub(super) fn answer(
        &mut self,
        endpoint: &Endpoint,
        answer: Answer<'_>,
        head: Option<&RequestHead>,
        persistence: Persistence,
    ) {
        let persistence = if endpoint.drain.has_begun() { Persistence::Close } else { persistence };
        let buffers = endpoint.server.buffers();
        let payload = match &answer.body {
            AnswerBody::None => Payload::Empty,
            AnswerBody::Text(text) => Payload::Text { bytes: text.len() },
            AnswerBody::Json(json) => Payload::Json { bytes: json.len() },
            AnswerBody::Message(message) => Payload::Json { bytes: message.len() },
        };
        let session = answer.session.map(session_text);
        let origin = self.cors.take();
        let cors = origin.as_deref().map(|origin| Cors { origin, preflight: answer.preflight });
        let response = ResponseHead {
            session_id: session.as_ref().map(<[u8; 32]>::as_slice),
            allow: answer.allow,
            retry_after_seconds: answer.retry_after_seconds,
            challenge: answer.challenge.map(str::as_bytes),
            cors,
            ..ResponseHead::new(answer.status, persistence, payload)
        };
        let extra = answer.challenge.map_or(0, str::len)
            + origin.as_ref().map_or(0, |origin| origin.len())
            + answer.preflight.map_or(0, <[u8]>::len);
        self.outbox.append(buffers, HEAD_BYTES + extra, |out| response.write(out));
        if head.is_none_or(|head| head.verb != Verb::Head) {
            match answer.body {
                AnswerBody::None => {}
                AnswerBody::Text(text) | AnswerBody::Json(text) => {
                    self.outbox.append(buffers, text.len(), |out| out.extend_from_slice(text.as_bytes()));
                }
                AnswerBody::Message(message) => self.outbox.push(message),
            }
        }
        self.state = if persistence == Persistence::Close { State::Closing } else { State::Head };
    }
}

/// A session id as clients see it: 32 hexadecimal digits.
pub(super) fn session_text(id: u128) -> [u8; 32] {
    std::array::from_fn(|place| HEX_DIGITS[(id >> ((31 - place) * 4)) as usize & 15])
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
