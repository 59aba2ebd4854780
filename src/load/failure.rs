//! The ways in which a request can fail.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a request has no right answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The connection could not be opened, or broke.
    Transport,
    /// No answer came in time.
    TimeOut,
    /// The server has too much to do: HTTP status 429 or 503.
    Refused,
    /// A JSON-RPC error, or another HTTP status than 200.
    Protocol,
    /// The tool answered that it failed (`isError`).
    ToolError,
    /// What came is no answer to this request: no JSON, another shape, an id that nobody asked with.
    WrongAnswer,
}

impl FailureKind {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 6] =
        [Self::Transport, Self::TimeOut, Self::Refused, Self::Protocol, Self::ToolError, Self::WrongAnswer];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transport => "transport",
            Self::TimeOut => "time-out",
            Self::Refused => "refused",
            Self::Protocol => "protocol error",
            Self::ToolError => "tool error",
            Self::WrongAnswer => "wrong answer",
        }
    }
}
