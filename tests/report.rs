//! What is shown of a memory report: to people, to Prometheus, to those who read its JSON, and by the program.
//!
//! The schema of reports is checked in; `MCPOOL_WRITE_SCHEMA=1 cargo test --test suite the_schema_is` rewrites it.

#[cfg(feature = "cli")]
#[path = "report/applied.rs"]
mod applied;
#[cfg(feature = "cli")]
#[path = "report/capacity.rs"]
mod capacity;
#[cfg(feature = "cli")]
#[path = "report/changes.rs"]
mod changes;
#[cfg(feature = "cli")]
#[path = "report/difference.rs"]
mod difference;
#[path = "report/extremes.rs"]
mod extremes;
#[path = "report/history.rs"]
mod history;
#[path = "report/html.rs"]
mod html;
#[path = "report/legend.rs"]
mod legend;
#[cfg(feature = "cli")]
#[path = "report/program.rs"]
mod program;
#[path = "report/prometheus.rs"]
mod prometheus;
#[path = "report/sample.rs"]
mod sample;
#[path = "report/schema.rs"]
mod schema;
#[path = "report/text.rs"]
mod text;
#[cfg(feature = "cli")]
#[path = "report/top.rs"]
mod top;
#[path = "report/trial.rs"]
mod trial;
#[path = "report/width.rs"]
mod width;
