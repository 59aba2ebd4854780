//! A span for each request, sent to an OpenTelemetry collector over HTTP.
//!
//! Knows no server: what a span says comes as [`RequestSpan`]. Names and values are those of OpenTelemetry's semantic
//! conventions for MCP, which the metrics of a server follow as well.
//!
//! Invariant: no request waits for a collector. A span goes into a queue that is bounded in spans and in bytes; one that
//! finds it full is dropped and counted. One thread, that of the SDK, takes spans out and sends them.

mod client;
mod exporter;
mod parent;
mod queue;
mod settings;
mod span;

pub(crate) use exporter::TraceExporter;
pub(crate) use parent::ParentSpan;
pub use settings::{TraceExport, TraceExportError};
pub(crate) use span::{RequestSpan, SpanTarget};
