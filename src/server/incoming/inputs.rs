//! Requests of a handler to its client, and the rounds in which a modern client answers them.
//!
//! In the modern era a server sends no requests. Its answer to a call lists what it needs, and the client repeats the
//! call with the answers and with the `requestState` that it got. The sealed state contains the answers of all earlier
//! rounds. So a handler can be written as if it waited: it runs again from its start, and what it asked before is
//! answered at once. The server stores nothing between rounds.

use crate::protocol::{InputKind, InputRequest, InputResponse, Message, ProtocolError};
use crate::server::shared::Shared;
use crate::server::state::request_state::{Binding, StateFault};
use bumpalo::Bump;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

/// What a call asked its client and what the client answered, over all rounds of the call.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    answers: BTreeMap<Box<str>, Box<RawValue>>,
    /// Keys of the answers that the handler used. Only these go into the next state.
    taken: BTreeSet<Box<str>>,
    asked: Vec<(Box<str>, InputRequest)>,
    state_of_last_round: Option<Box<str>>,
    state_for_next_round: Option<Box<str>>,
}

/// What a client is asked for, by key.
pub(crate) type Asked = Vec<(Box<str>, InputRequest)>;

/// The payload of a `requestState`.
#[derive(Serialize, Deserialize, Default)]
struct Sealed {
    #[serde(default, rename = "a", skip_serializing_if = "BTreeMap::is_empty")]
    answers: BTreeMap<Box<str>, Box<RawValue>>,
    #[serde(default, rename = "s", skip_serializing_if = "Option::is_none")]
    state: Option<Box<str>>,
}

impl Inputs {
    /// Reads the answers and the state that came with a request.
    ///
    /// # Errors
    /// When the responses are malformed, or the state is not one that this server gave for this request.
    #[cold]
    pub(crate) fn of<'f>(
        shared: &Shared,
        principal: u128,
        message: &Message<'f>,
        arena: &'f Bump,
    ) -> Result<Box<Self>, ProtocolError<'f>> {
        let mut inputs = Self::default();
        if let Some(raw) = message.request_state {
            let text: &str = raw
                .decode(arena)
                .map_err(|_| ProtocolError::InvalidParams("requestState must be a string"))?;
            let sealed = shared
                .sealer
                .open(text, &binding(principal, message), SystemTime::now())
                .map_err(|fault: StateFault| ProtocolError::RequestState(fault.explain()))?;
            let sealed: Sealed = serde_json::from_slice(&sealed).unwrap_or_default();
            inputs.answers = sealed.answers;
            inputs.state_of_last_round = sealed.state;
        }
        if let Some(raw) = message.input_responses {
            let responses: BTreeMap<Box<str>, Box<RawValue>> = serde_json::from_str(raw.as_str())
                .map_err(|_| ProtocolError::InvalidParams("inputResponses must be an object"))?;
            inputs.answers.extend(responses);
        }
        Ok(Box::new(inputs))
    }

    pub(crate) fn answer(&mut self, key: &str, kind: InputKind) -> Option<InputResponse> {
        let response = InputResponse::new(self.answers.get(key)?.get());
        if !response.fits(kind) {
            return None;
        }
        self.taken.insert(key.into());
        Some(response)
    }

    pub(crate) fn ask(&mut self, key: &str, request: InputRequest) {
        if self.asked.iter().all(|(asked, _)| **asked != *key) {
            self.asked.push((key.into(), request));
        }
    }

    pub(crate) fn set_state_for_next_round(&mut self, state: &str) {
        self.state_for_next_round = Some(state.into());
    }

    pub(crate) fn state_of_last_round(&self) -> Option<&str> {
        self.state_of_last_round.as_deref()
    }

    /// Begins the next round of a call that was not repeated, because the client answered while it ran.
    pub(crate) fn begin_round(&mut self) {
        if let Some(state) = self.state_for_next_round.take() {
            self.state_of_last_round = Some(state);
        }
    }

    /// The requests that the client must answer, and what the next round must know, if anything.
    pub(crate) fn into_asked(self) -> (Asked, Option<Vec<u8>>) {
        let asked = |key: &str| self.asked.iter().any(|(asked, _)| **asked == *key);
        let answers: BTreeMap<_, _> = self
            .answers
            .iter()
            .filter(|(key, _)| self.taken.contains(*key) && !asked(key))
            .map(|(key, answer)| (key.clone(), answer.clone()))
            .collect();
        let state = self.state_for_next_round.or(self.state_of_last_round);
        let is_needed = !answers.is_empty() || state.is_some();
        let round = is_needed.then(|| serde_json::to_vec(&Sealed { answers, state }).unwrap_or_default());
        (self.asked, round)
    }
}

/// Seals what the next round must know, for the client to hand back with a repetition of `message`.
///
/// # Errors
/// When it is too long.
pub(crate) fn seal(
    shared: &Shared,
    principal: u128,
    message: &Message<'_>,
    round: Option<&[u8]>,
) -> Result<Option<String>, ProtocolError<'static>> {
    let Some(round) = round else { return Ok(None) };
    let sealed = shared.sealer.seal(&binding(principal, message), round, SystemTime::now());
    sealed.map(Some).map_err(|_| ProtocolError::RequestState("it is longer than max_request_state_bytes"))
}

/// The request for which a state is valid: the same principal, method, name and arguments.
fn binding<'f>(principal: u128, message: &Message<'f>) -> Binding<'f> {
    let arguments = message.arguments.map_or("{}", |raw| raw.as_str());
    Binding {
        principal,
        method: message.method.unwrap_or_default(),
        name: message.name.or(message.uri).unwrap_or_default(),
        arguments_digest: Sha256::digest(arguments).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::Inputs;

    #[test]
    fn the_state_of_a_round_can_be_read_once_the_next_round_begins() {
        let mut inputs = Inputs::default();
        inputs.set_state_for_next_round("first");
        assert_eq!(inputs.state_of_last_round(), None, "the round has not begun");
        inputs.begin_round();
        assert_eq!(inputs.state_of_last_round(), Some("first"));
        inputs.begin_round();
        assert_eq!(
            inputs.state_of_last_round(),
            Some("first"),
            "a round without a new state keeps the old one"
        );
        inputs.set_state_for_next_round("second");
        assert_eq!(inputs.state_of_last_round(), Some("first"));
        inputs.begin_round();
        assert_eq!(inputs.state_of_last_round(), Some("second"));
    }
}
