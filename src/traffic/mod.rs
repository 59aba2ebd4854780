//! Traffic of a server, recorded in a file: which requests came when, and what became of them.
//!
//! Below the server, which records, and the load generator, which replays; it knows neither. Arguments are redacted
//! where they are written down, unless they are asked for. Invariant: nothing here makes a thread wait that serves.

mod format;
mod recorder;
mod recording;
mod shape;
mod trace_file;

pub(crate) use format::RecordedOutcome;
pub use format::{RecordedArguments, TRAFFIC_SCHEMA};
#[cfg(feature = "load")]
pub(crate) use format::{RecordedEra, RecordedRequest, TrafficLine};
#[cfg(feature = "cli")]
pub(crate) use recorder::MAX_RECORDER_BYTES;
pub use recorder::{RecordTrafficError, TrafficRecorder};
pub(crate) use recording::{RequestEnd, RequestFacts, RequestInProgress, RequestName};
