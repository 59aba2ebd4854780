//! What one run of `mcpool load` is made of.

use crate::load::{LoadExpectation, LoadTestScenario};
use std::path::PathBuf;

/// A load test and what it must show.
pub(super) struct Test {
    pub(super) scenario: LoadTestScenario,
    pub(super) expectations: Vec<LoadExpectation>,
    /// The saved report that relative expectations are beside.
    pub(super) baseline: Option<PathBuf>,
}
