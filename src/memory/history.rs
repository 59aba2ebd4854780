//! [`History`]: the last hour of a server as data, from a running server or a file that it wrote.
//!
//! Invariant: a history that is written and read again is the same history.

use super::report::ServerFacts;
use super::sample::Sample;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of the schema; a reader refuses others.
pub const HISTORY_SCHEMA: &str = "mcpool.black-box/1";

/// What the black box of a server recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// [`HISTORY_SCHEMA`].
    pub schema: String,
    /// When it was taken, in milliseconds since 1970 (UTC).
    pub taken_unix_ms: u64,
    /// Why.
    pub reason: HistoryReason,
    /// How long the process had been running.
    pub uptime_ms: u64,
    /// The server.
    pub server: ServerFacts,
    /// The limit of its resident memory.
    pub limit_bytes: Option<u64>,
    /// Names of the parts of the ledger, in the order of [`Sample::parts_kib`].
    pub parts: Vec<String>,
    /// The samples, oldest first: those of ten seconds, and then those of a second.
    pub samples: Vec<Sample>,
}

/// Why a history was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HistoryReason {
    /// Work was refused because memory was short.
    Refused,
    /// An alert began.
    Alert,
    /// Somebody asked for it.
    Asked,
}

impl HistoryReason {
    /// The reason as a history spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Alert => "alert",
            Self::Asked => "asked",
        }
    }
}

impl History {
    /// Reads a history back.
    ///
    /// # Errors
    /// When the text is no history, or one of another version.
    pub fn from_json(text: &str) -> Result<Self, ReadHistoryError> {
        #[derive(Deserialize)]
        struct Head {
            schema: String,
        }
        let head: Head = serde_json::from_str(text).map_err(ReadHistoryError::Unreadable)?;
        if head.schema != HISTORY_SCHEMA {
            return Err(ReadHistoryError::OtherSchema { found: head.schema });
        }
        serde_json::from_str(text).map_err(ReadHistoryError::Unreadable)
    }

    /// The sample nearest to a moment, in milliseconds since 1970, if one covers it or ended within `reach_ms` of it.
    pub fn at(&self, unix_ms: u64, reach_ms: u64) -> Option<&Sample> {
        let away_ms = |sample: &&Sample| {
            let begun = sample.at_unix_ms.saturating_sub(sample.span_ms);
            // The moment at which a sample begins is the one before it.
            if begun < unix_ms && unix_ms <= sample.at_unix_ms {
                0
            } else {
                sample.at_unix_ms.abs_diff(unix_ms)
            }
        };
        self.samples.iter().min_by_key(away_ms).filter(|sample| away_ms(sample) <= reach_ms)
    }

    /// KiB of each part in a sample, with its name.
    pub fn parts_of<'h>(&'h self, sample: &'h Sample) -> impl Iterator<Item = (&'h str, u32)> {
        self.parts.iter().map(String::as_str).zip(sample.parts_kib.iter().copied())
    }
}

/// Why a text is not a history.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadHistoryError {
    /// It is not JSON of this shape.
    #[error("this is no black box of mcpool: {0}")]
    Unreadable(serde_json::Error),
    /// It is of another version.
    #[error(
        "the black box has schema {found:?} and this program reads {HISTORY_SCHEMA:?}: use the mcpool that wrote it"
    )]
    OtherSchema {
        /// What the text says.
        found: String,
    },
}
