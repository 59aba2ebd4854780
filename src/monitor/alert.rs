//! What an alert says, as data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that got worse, or is not as it is required to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Alert {
    /// How urgent it is.
    pub severity: Severity,
    /// What it is about: `regression` or `requirement`.
    pub kind: AlertKind,
    /// Of what: `tool read_text_file`, `round trips`.
    pub subject: String,
    /// What happened, with its figures.
    pub what: String,
    /// What it was compared with.
    pub against: String,
    /// What changed most, where something did.
    pub cause: String,
    /// The command that shows more.
    pub command: String,
    /// Since when it lasts, in milliseconds since 1970 (UTC).
    pub since_unix_ms: u64,
    /// When it was over; absent while it lasts.
    pub resolved_unix_ms: Option<u64>,
    /// How often it came, with little time between: above 1, it comes and goes.
    pub times: u32,
}

/// How urgent an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Somebody should have a look.
    Warning,
    /// Somebody should act now.
    Critical,
}

impl Severity {
    /// The severity as a report spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// It takes longer than it usually does.
    Regression,
    /// It takes longer than it may.
    Requirement,
}

impl AlertKind {
    /// The kind as a report spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Regression => "regression",
            Self::Requirement => "requirement",
        }
    }
}

impl Alert {
    /// Whether it still lasts.
    pub fn is_active(&self) -> bool {
        self.resolved_unix_ms.is_none()
    }
}
