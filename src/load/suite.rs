//! [`LoadTestSuite`]: runs load tests, one after the other, and can be stopped.

use super::error::LoadTestError;
use super::progress::LoadProgress;
use super::report::LoadTestReport;
use super::run::Run;
use super::scenario::LoadTestScenario;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs load tests. A test runs in the thread that asks for it, which nothing else should use meanwhile.
///
/// ```
/// use mcpool::load::LoadTestSuite;
/// use std::sync::atomic::Ordering;
///
/// let suite = LoadTestSuite::new();
/// // From another thread, to end the test that runs; `LoadTestScenario` says what one is.
/// suite.stop_flag().store(true, Ordering::Relaxed);
/// ```
#[derive(Debug, Clone, Default)]
pub struct LoadTestSuite {
    stop: Arc<AtomicBool>,
}

impl LoadTestSuite {
    /// A suite that nobody has stopped.
    pub fn new() -> Self {
        Self::default()
    }

    /// Setting this ends the test that runs, which then reports what it has seen so far.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Runs one test. `on_progress` is called each second.
    ///
    /// # Errors
    /// When the scenario is impossible, or the server cannot be reached or greeted. A server that fails later gives a
    /// report.
    pub fn run(
        &self,
        scenario: &LoadTestScenario,
        mut on_progress: impl FnMut(&LoadProgress),
    ) -> Result<LoadTestReport, LoadTestError> {
        if let Some(fault) = scenario.fault() {
            return Err(LoadTestError::Scenario(fault));
        }
        let stop = || self.stop.load(Ordering::Relaxed);
        Run::prepare(scenario, &stop)?.report(&stop, &mut on_progress)
    }
}
