//! Requests as the record of traffic sees them: what they ask for when they come, what became of them when they end.
//!
//! Only where traffic is recorded: their frames are decoded a second time here, as what serves them keeps nothing of
//! what is written down.

use crate::metrics::Moment;
use crate::protocol::{ArgumentsAt, Era, Message, MessageDecoder, Method, ParamsField};
use crate::server::answer::outcome::Outcome;
use crate::server::incoming::facts::Incoming;
use crate::server::shared::Shared;
use crate::server::state::call_state::{CallState, Failure};
use crate::traffic::{RecordedOutcome, RequestEnd, RequestFacts, RequestName, TrafficRecorder};
use bumpalo::Bump;

/// Begins to record a message with a method. What is none is an answer of the client, or no message.
pub(crate) fn begin(recorder: &TrafficRecorder, shared: &Shared, incoming: &Incoming, connection: u32) {
    let Incoming { frame, call, session, origin, .. } = incoming;
    // A call that continues as a task was written down when it came.
    if origin.in_task || !recorder.is_on() {
        return;
    }
    let arena = Bump::new();
    let Some(message) = decode(frame.bytes(), &arena) else { return };
    let Some(method) = message.method else { return };
    let version_header = origin.http.as_ref().and_then(|http| http.version?.of(frame.head()));
    let is_shared = session.number() == shared.stateless.number();
    let name = message.name.or(message.uri);
    let catalog = shared.catalog.load();
    call.details().recorded = recorder.begin(&RequestFacts {
        came: call.came().unwrap_or_else(Moment::now),
        // Sessions have odd numbers, connections even ones.
        peer: if is_shared { u64::from(connection) * 2 } else { session.number() * 2 + 1 },
        era: Era::of(&message, version_header),
        method: Method::parse(method),
        name: name.map(|text| RequestName { text, is_listed: catalog.names(text) }),
        request_bytes: frame.bytes().len(),
        params: match message.params {
            ParamsField::Object(params) => Some(params),
            ParamsField::Absent | ParamsField::Other => None,
        },
    });
}

/// The members of a message, if it is one.
fn decode<'f>(frame: &'f [u8], arena: &'f Bump) -> Option<Message<'f>> {
    let mut decoder = MessageDecoder::new(frame, arena).ok()?;
    if decoder.begin().ok()? == ArgumentsAt::Here {
        decoder.skip_arguments().ok()?;
    }
    Some(*decoder.message())
}

/// Writes down what became of the request, if it was begun.
pub(crate) fn end(call: &CallState, outcome: &Outcome, now: Moment) {
    let Some(recorded) = call.details().recorded.take() else { return };
    let (outcome_in_words, code) = match (call.failure(), outcome) {
        (Some(Failure::Tool), _) => (RecordedOutcome::ToolError, None),
        (Some(Failure::Code(code)), _) => (RecordedOutcome::Error, Some(code)),
        (None, Outcome::Refused { .. }) => (RecordedOutcome::Error, None),
        (None, _) if call.is_cancelled() => (RecordedOutcome::Cancelled, None),
        (None, _) => (RecordedOutcome::Ok, None),
    };
    recorded.end(&RequestEnd { now, answer_bytes: outcome.answer_bytes(), outcome: outcome_in_words, code });
}
