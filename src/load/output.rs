//! What `mcpool load --json` prints, and saved reports read back.

use super::compare::LoadComparison;
use super::report::{LoadTestReport, ReadLoadReportError};
use super::search_report::RateSearchReport;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

/// What `mcpool load --json` prints; its schema is checked in.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum LoadOutput {
    /// The report of a test.
    Report(Box<LoadTestReport>),
    /// Those of the scenarios of a file, in their order.
    Reports(Vec<LoadTestReport>),
    /// What a search for the highest rate has shown.
    Search(Box<RateSearchReport>),
    /// What changed between two saved files, by scenario.
    Comparisons(Vec<LoadComparison>),
}

/// The report of a test, or those of the scenarios of a file.
#[derive(Debug, Clone, PartialEq)]
pub enum LoadTestReports {
    /// A test.
    One(Box<LoadTestReport>),
    /// Several, in their order.
    Several(Vec<LoadTestReport>),
}

impl LoadTestReports {
    /// Reads what `mcpool load --json` wrote.
    ///
    /// # Errors
    /// When the text is no report, or one of another version.
    pub fn from_json(text: &str) -> Result<Self, ReadLoadReportError> {
        if !text.trim_start().starts_with('[') {
            return LoadTestReport::from_json(text).map(|report| Self::One(Box::new(report)));
        }
        let all: Vec<Box<RawValue>> = serde_json::from_str(text)?;
        let reports = all.iter().map(|one| LoadTestReport::from_json(one.get()));
        reports.collect::<Result<_, _>>().map(Self::Several)
    }

    /// All of them.
    pub fn reports(&self) -> &[LoadTestReport] {
        match self {
            Self::One(report) => std::slice::from_ref(report),
            Self::Several(reports) => reports,
        }
    }

    /// The report of that scenario. One report alone is found by any name.
    pub fn of(&self, scenario: &str) -> Option<&LoadTestReport> {
        match self.reports() {
            [report] => Some(report),
            reports => reports.iter().find(|report| report.scenario.name == scenario),
        }
    }
}
