//! What one run of `mcpool load` is made of, and how it is run.

use crate::cli::error::CliError;
use crate::client::ServerCommand;
use crate::load::{
    ExpectationReport, LoadExpectation, LoadProgress, LoadTestError, LoadTestReport, LoadTestScenario,
    LoadTestSuite, StartedServer,
};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long a server may take until it listens.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// A load test and what it must show.
pub(super) struct Test {
    pub(super) scenario: LoadTestScenario,
    pub(super) expectations: Vec<LoadExpectation>,
    /// The saved report that relative expectations are beside.
    pub(super) baseline: Option<PathBuf>,
    /// The server to start for it, where it does not run already.
    pub(super) server: Option<TestServer>,
    /// The file that it was read from.
    pub(super) file: Option<PathBuf>,
}

/// A server that runs for one test.
pub(super) struct TestServer {
    pub(super) command: ServerCommand,
    pub(super) terminate: Option<Terminate>,
}

/// The server is asked to end while it is loaded.
pub(super) struct Terminate {
    /// How long it is loaded before.
    pub(super) after: Duration,
    /// How long it may take.
    pub(super) within: Duration,
}

impl Test {
    /// Runs the test, with its own server if it has one.
    pub(super) fn run(
        &self,
        suite: &LoadTestSuite,
        mut on_progress: impl FnMut(&LoadProgress),
    ) -> Result<LoadTestReport, CliError> {
        let Some(TestServer { command, terminate }) = &self.server else {
            return suite.run(&self.scenario, on_progress).map_err(|error| self.fault(error));
        };
        let started = StartedServer::start(command, self.scenario.target(), START_PATIENCE);
        let mut server = started.map_err(|error| self.fault(error))?;
        let scenario = self.scenario.clone().pid(server.id());
        let Some(terminate) = terminate else {
            return suite.run(&scenario, on_progress).map_err(|error| self.fault(error));
        };
        let (mut since, mut ended) = (None, None);
        let stop = suite.stop_flag();
        let report = suite.run(&scenario, |progress| {
            on_progress(progress);
            if !progress.is_warm_up && progress.elapsed >= terminate.after {
                server.terminate();
                since.get_or_insert_with(Instant::now);
                ended = server.ended_within(Duration::ZERO);
                // There is nobody left to load.
                stop.fetch_or(ended.is_some(), Ordering::Relaxed);
            }
        });
        let mut report = report.map_err(|error| self.fault(error))?;
        if ended.is_some() {
            // The next test is to run.
            stop.store(false, Ordering::Relaxed);
        }
        server.terminate();
        let since = since.unwrap_or_else(Instant::now);
        let ended = ended.or_else(|| server.ended_within(terminate.within));
        // Nobody answers any more, which is what was asked for.
        report.ended_early = None;
        report.expectations.push(ExpectationReport {
            expected: format!("ended by SIGTERM with exit code 0 <= {:?}", terminate.within),
            found: match ended {
                Some(status) => format!("{status} within {:.1} s", since.elapsed().as_secs_f64()),
                None => "it still runs".to_owned(),
            },
            bound: None,
            is_met: ended.is_some_and(|status| status.success()),
        });
        Ok(report)
    }

    /// An error, with where the test was described.
    pub(super) fn fault(&self, source: LoadTestError) -> CliError {
        match &self.file {
            Some(file) => {
                let place = format!("{}: scenario {:?}", file.display(), self.scenario.name());
                CliError::LoadScenario { place, source }
            }
            None => CliError::Load(source),
        }
    }
}
