//! Traffic of a server, in files: recorded, so that it can be made again, or a line a request for people and their tools.
//!
//! Below the server, which records, and the load generator, which replays; it knows neither. Arguments are redacted
//! where they are written down, unless they are asked for. Invariant: nothing here makes a thread wait that serves.

#[cfg(feature = "cli")]
mod access_log;
mod ended_request;
mod format;
mod line_queue;
mod line_writer;
mod recorder;
mod recording;
#[cfg(feature = "cli")]
mod refused_lines;
mod shape;
mod trace_file;

#[cfg(feature = "cli")]
pub use access_log::{AccessLog, AccessLogError};
#[cfg(feature = "cli")]
pub(crate) use access_log::{MAX_ACCESS_LOG_BYTES, open_to_append};
#[cfg(feature = "cli")]
pub(crate) use ended_request::Line;
pub use ended_request::{EndedRequest, RequestResult};
pub(crate) use format::RecordedOutcome;
pub use format::{RecordedArguments, TRAFFIC_SCHEMA};
#[cfg(feature = "load")]
pub(crate) use format::{RecordedEra, RecordedRequest, TrafficLine};
#[cfg(feature = "cli")]
pub(crate) use line_queue::Batch;
#[cfg(all(feature = "cli", test))]
pub(crate) use line_writer::testing;
#[cfg(feature = "cli")]
pub(crate) use line_writer::{LineSink, LineThread, LineWriter};
#[cfg(feature = "cli")]
pub(crate) use recorder::MAX_RECORDER_BYTES;
pub use recorder::{RecordTrafficError, TrafficRecorder};
pub(crate) use recording::{RequestEnd, RequestFacts, RequestInProgress, RequestName};
