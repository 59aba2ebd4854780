//! The lines of a recorded trace, as they are written and read.
//!
//! Each line is a JSON object with one member, whose key says what the line is. The first is the header.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The version of the format; a reader refuses others.
pub const TRAFFIC_SCHEMA: &str = "mcpool.traffic/1";
/// The method of requests whose method the server does not know: such a name is a text of the client.
pub(crate) const OTHER_METHOD: &str = "_OTHER";

/// What a trace keeps of the arguments of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordedArguments {
    /// Keys, kinds and the lengths of strings, and no value.
    Redacted,
    /// All of them, as they came. Whoever reads the trace reads what the clients sent.
    Whole,
}

/// A line.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TrafficLine<'a> {
    Header(TrafficHeader<'a>),
    #[serde(borrow)]
    Request(RecordedRequest<'a>),
    /// How many requests before this line were not written down.
    Dropped(u64),
    /// Why nothing follows, though the server went on.
    Stopped(Cow<'a, str>),
}

/// The first line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TrafficHeader<'a> {
    /// [`TRAFFIC_SCHEMA`].
    pub(crate) schema: Cow<'a, str>,
    /// The program that recorded.
    pub(crate) version: Cow<'a, str>,
    /// When the recording began, in milliseconds since 1970 (UTC).
    pub(crate) started_unix_ms: u64,
    pub(crate) arguments: RecordedArguments,
}

/// A message with a method. The lines stand in the order in which requests ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RecordedRequest<'a> {
    /// When it came, in microseconds since the recording began.
    pub(crate) at_us: u64,
    /// A number for its session, or for its connection where it has none.
    pub(crate) peer: u64,
    pub(crate) era: RecordedEra,
    #[serde(borrow)]
    pub(crate) method: Cow<'a, str>,
    /// The tool, prompt or URI, if the server lists it or arguments are recorded whole.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<Cow<'a, str>>,
    /// The length of a name that is not written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name_bytes: Option<u64>,
    pub(crate) request_bytes: u64,
    pub(crate) answer_bytes: u64,
    pub(crate) took_us: u64,
    pub(crate) outcome: RecordedOutcome,
    /// The code of an error answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<i32>,
    /// The parameters without name, URI and `_meta`. In redacted ones a string is `{{text N}}`, as in the templates of
    /// a load test, where N is its length in bytes.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) params: Option<&'a RawValue>,
    /// A value in `params` was redacted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) redacted: bool,
    /// The parameters were too long to be written down.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) too_long: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl PartialEq for RecordedRequest<'_> {
    fn eq(&self, other: &Self) -> bool {
        serde_json::to_string(self).ok() == serde_json::to_string(other).ok()
    }
}

/// The era of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RecordedEra {
    Modern,
    Legacy,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RecordedOutcome {
    #[serde(rename = "ok")]
    Ok,
    /// An error answer.
    #[serde(rename = "error")]
    Error,
    /// A result with `isError`.
    #[serde(rename = "isError")]
    ToolError,
    /// It had no answer: its client cancelled it or left.
    #[serde(rename = "cancelled")]
    Cancelled,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_back_as_they_were_written() {
        let params =
            serde_json::from_str::<&RawValue>(r#"{"arguments":{"path":"{{text 9}}"}}"#).expect("JSON");
        let request = RecordedRequest {
            at_us: 5,
            peer: 3,
            era: RecordedEra::Legacy,
            method: "tools/call".into(),
            name: Some("a \"quoted\" \u{e9}".into()),
            name_bytes: None,
            request_bytes: 100,
            answer_bytes: 200,
            took_us: 7,
            outcome: RecordedOutcome::ToolError,
            code: None,
            params: Some(params),
            redacted: true,
            too_long: false,
        };
        let header = TrafficHeader {
            schema: TRAFFIC_SCHEMA.into(),
            version: "1".into(),
            started_unix_ms: 9,
            arguments: RecordedArguments::Redacted,
        };
        for line in [
            TrafficLine::Header(header),
            TrafficLine::Request(request),
            TrafficLine::Dropped(4),
            TrafficLine::Stopped("full".into()),
        ] {
            let text = serde_json::to_string(&line).expect("written");
            assert_eq!(serde_json::from_str::<TrafficLine<'_>>(&text).expect(&text), line);
        }
    }
}
