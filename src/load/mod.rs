//! Load tests of any MCP server: how fast it is, how it fails, and what it costs.
//!
//! Requests of an open loop begin at their times, whatever the server does, and latency counts from those times, so a
//! server that stands still shows it. Each answer is checked: its id, its shape, `isError`. Stands on `client`, never on
//! `server`: load is made from outside. The generator is one thread with an event queue of its own; it stores no latency
//! and, once warm, allocates nothing for a request.
//!
//! [`LoadTestSuite`] runs a [`LoadTestScenario`] and gives a [`LoadTestReport`].

mod answer;
mod channel;
mod chart;
mod child;
mod compare;
mod course;
mod error;
mod events;
mod examples;
mod expectation;
mod failure;
mod figures;
mod find_max;
mod http_answer;
mod junit;
mod line_buffer;
mod markup;
mod mix;
mod negotiation;
mod opening;
mod output;
mod pace;
mod page;
mod pattern;
mod pin;
mod progress;
mod quantity;
mod random;
mod rank;
mod recovery;
mod replay;
mod report;
mod request;
mod run;
#[cfg(test)]
mod sample;
mod scenario;
mod schedule;
mod search_report;
mod socket;
mod started;
mod step;
mod suite;
mod table;
mod tally;
mod target;
mod template;
mod timer;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
mod trace;
mod watch;
mod worker;

pub use compare::{
    COMPARISON_SCHEMA, ComparedFigure, FigureChange, LoadComparison, Verdict, write_load_comparison,
};
pub use error::LoadTestError;
pub use expectation::{ExpectationError, LoadExpectation};
pub use failure::FailureKind;
pub use find_max::RateSearch;
pub use junit::write_junit;
pub use output::{LoadOutput, LoadTestReports};
pub use page::write_load_page;
pub use pattern::LoadPattern;
pub use pin::LoadPin;
pub use progress::LoadProgress;
pub use quantity::parse_duration;
pub use report::{
    ExpectationReport, FailureReport, GeneratorUse, LatencyReport, LoadOperationReport, LoadTestReport,
    QuantilePoint, ReadLoadReportError, RecoveryReport, ReplayReport, RequestCounts, SCHEMA, ScenarioFacts,
    SecondReport, ServerUse, SkippedReport, WindowReport,
};
pub use request::Era;
pub use scenario::LoadTestScenario;
pub use search_report::{RateSearchReport, RateStep, SEARCH_SCHEMA, StepKind, write_search_table};
pub use started::StartedServer;
pub use step::LoadStep;
pub use suite::LoadTestSuite;
pub use table::write_load_table;
pub use target::{HttpUrl, LoadTarget, TargetError};
pub use template::TemplateError;
pub use trace::{LoadTrace, TraceError};
