//! [`RateSearchReport`]: the highest rate that was found to hold, with each step that led there.

use super::report::LoadTestReport;
use super::table::time;
use crate::limits::units::grouped;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};

/// The version of the report's schema.
pub const SEARCH_SCHEMA: &str = "mcpool.load-search/1";

/// What a search for the highest rate has shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RateSearchReport {
    /// [`SEARCH_SCHEMA`].
    pub schema: String,
    /// What had to hold.
    pub expectations: Vec<String>,
    /// The highest rate that held, in a longer run at the end, too; absent where none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rate: Option<f64>,
    /// The lowest rate that did not hold, twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_rate: Option<f64>,
    /// Whether a rate did not hold because of the generator: the server may hold more.
    pub is_generator_the_limit: bool,
    /// Whether somebody stopped the search.
    pub is_interrupted: bool,
    /// The steps, in their order.
    pub steps: Vec<RateStep>,
    /// The last of the longer runs at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<LoadTestReport>,
}

/// What a step of a search is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// A closed loop, to know where to begin.
    Probe,
    /// Twice the rate before, or a quarter of it while none has held.
    Growth,
    /// Between a rate that held and one that did not.
    Bisection,
    /// A rate that had failed once.
    Again,
    /// A longer run at the rate that was found.
    Confirmation,
}

/// One step of a search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RateStep {
    /// What it is for.
    pub kind: StepKind,
    /// Requests a second; 0 in a closed loop.
    pub rate: f64,
    /// How long it took.
    pub seconds: f64,
    /// Right answers.
    pub answered: u64,
    /// Right answers a second.
    pub answered_rate: f64,
    /// Failed and dropped requests among all that were scheduled, 0 to 1.
    pub error_ratio: f64,
    /// Median latency in microseconds, with the requests that timed out.
    pub p50_us: Option<f64>,
    /// All but one in twenty.
    pub p95_us: Option<f64>,
    /// All but one in a hundred.
    pub p99_us: Option<f64>,
    /// What did not hold; empty where all did.
    pub missed: Vec<String>,
    /// Why the step says more about the generator than about the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bottleneck: Option<String>,
}

impl RateSearchReport {
    /// The highest rate that held for a step.
    fn highest_held(&self) -> Option<f64> {
        let held = self.steps.iter().filter(|step| step.kind != StepKind::Probe && step.missed.is_empty());
        held.map(|step| step.rate).reduce(f64::max)
    }

    /// In words, what was found.
    pub fn conclusion(&self) -> String {
        let expected = self.expectations.join(", ");
        let limit = if self.is_generator_the_limit {
            "; the generator was the limit above that, the server may hold more"
        } else {
            ""
        };
        match (self.max_rate, self.failing_rate) {
            _ if self.is_interrupted => match self.highest_held() {
                Some(rate) => format!("interrupted; {} a second held for a step ({expected})", rounded(rate)),
                None => "interrupted before a rate held".to_owned(),
            },
            (Some(rate), Some(failing)) => format!(
                "{} a second is the highest rate that holds ({expected}); {} does not{limit}",
                rounded(rate),
                rounded(failing)
            ),
            (Some(rate), None) => {
                format!("{} a second holds ({expected}); more was not tried", rounded(rate))
            }
            (None, _) => match self.highest_held() {
                Some(rate) => format!(
                    "none that holds for long ({expected}); {} a second held for a step{limit}",
                    rounded(rate)
                ),
                None => format!("none that holds ({expected}){limit}"),
            },
        }
    }
}

/// Writes the steps as a table of at most 80 columns.
///
/// ```
/// use mcpool::load::{RateSearchReport, write_search_table};
///
/// fn show(found: &RateSearchReport) -> std::io::Result<()> {
///     write_search_table(found, &mut std::io::stdout())
/// }
/// ```
///
/// # Errors
/// When `out` refuses it.
pub fn write_search_table(report: &RateSearchReport, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "step          a second    answered      p50      p95      p99   errors")?;
    for step in &report.steps {
        write_step(step, out)?;
    }
    writeln!(out)?;
    super::table::paragraph(out, "found", &report.conclusion())
}

/// Writes one step.
fn write_step(step: &RateStep, out: &mut impl Write) -> io::Result<()> {
    let kind = match step.kind {
        StepKind::Probe => "closed loop",
        StepKind::Growth => "growth",
        StepKind::Bisection => "bisection",
        StepKind::Again => "once more",
        StepKind::Confirmation => "confirmation",
    };
    let rate = if step.kind == StepKind::Probe { String::new() } else { rounded(step.rate) };
    let [p50, p95, p99] =
        [step.p50_us, step.p95_us, step.p99_us].map(|us| us.map_or_else(|| "-".to_owned(), time));
    let verdict = match (step.kind, step.missed.is_empty()) {
        (StepKind::Probe, true) => "",
        _ if step.missed == ["interrupted"] => "  cut off",
        (_, true) => "  holds",
        (_, false) => "  no",
    };
    let (answered, errors) = (rounded(step.answered_rate), step.error_ratio * 100.0);
    writeln!(out, "{kind:12} {rate:>9} {answered:>11} {p50:>8} {p95:>8} {p99:>8} {errors:>6.2} %{verdict}")
}

/// A rate with three digits or more.
fn rounded(rate: f64) -> String {
    if rate < 100.0 { format!("{rate:.1}") } else { grouped(rate.round() as u64) }
}
