//! [`RateSearch`]: looks for the highest rate at which expectations hold, and says so with its evidence.
//!
//! Rates grow by doubling until one does not hold twice, then the gap is halved, and what is left is confirmed by a
//! longer run. [`Course`] decides without a clock and without a server.

use super::error::LoadTestError;
use super::expectation::{ExpectationError, LoadExpectation};
use super::pattern::LoadPattern;
use super::progress::LoadProgress;
use super::report::LoadTestReport;
use super::scenario::LoadTestScenario;
use super::search_report::{RateSearchReport, RateStep, SEARCH_SCHEMA, StepKind};
use super::suite::LoadTestSuite;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// From this ratio on between a rate that does not hold and one that does, nothing lies between them.
const CLOSE: f64 = 1.05;
const GROWTH: f64 = 2.0;
/// Rates that no generator here makes, and that nobody asks for.
const MAX_RATE: f64 = 1_000_000.0;
const MIN_RATE: f64 = 0.5;
/// How much less is tried, each time more, where the rate that was found does not hold for longer: a server that holds a
/// rate for seconds only may hold far less for good.
const RETREATS: [f64; 8] = [0.9, 0.85, 0.75, 0.6, 0.5, 0.5, 0.5, 0.5];
/// How often the step length the confirmation takes.
const CONFIRMATION_LENGTHS: u32 = 3;
/// The longest step, however few requests it has.
const MAX_STEP: Duration = Duration::from_secs(20);
const WARM_UP: Duration = Duration::from_millis(500);
const PROBE: Duration = Duration::from_secs(1);
/// Errors that are not spoken of may not be more.
const DEFAULT_ERRORS: &str = "0.1%";

/// A search for the highest rate at which expectations hold.
///
/// ```no_run
/// use mcpool::load::{LoadTarget, LoadTestScenario, LoadTestSuite, RateSearch};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let scenario = LoadTestScenario::new("knee", LoadTarget::parse("http://127.0.0.1:3000")?).connections(64);
/// let search = RateSearch::parse("p99=5ms,errors=0.1%")?;
/// let found = LoadTestSuite::new().find_max(&scenario, &search, |_step| (), |_progress| ())?;
/// println!("{:?} requests a second", found.max_rate);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct RateSearch {
    expectations: Vec<LoadExpectation>,
    first_rate: Option<f64>,
}

/// What is tried next.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Attempt {
    rate: f64,
    kind: StepKind,
}

/// What is known so far.
#[derive(Debug, Clone, Copy, Default)]
struct Course {
    first_rate: f64,
    /// The highest rate that held, the lowest that did not.
    held: Option<f64>,
    failed: Option<f64>,
    /// A rate that failed once, which may have been chance.
    doubted: Option<f64>,
    confirmations: usize,
    is_confirmed: bool,
}

impl RateSearch {
    /// A search for the highest rate at which a list holds, as `p99=5ms,errors=0.1%`. Without a bound for errors they may
    /// be 0.1 %.
    ///
    /// # Errors
    /// When an entry is no expectation, or one beside a saved run.
    pub fn parse(list: &str) -> Result<Self, ExpectationError> {
        let mut expectations = LoadExpectation::parse_list(list)?;
        if let Some(relative) = expectations.iter().find(|expectation| expectation.is_relative()) {
            return Err(relative.refused("a search has no saved run"));
        }
        if !expectations.iter().any(LoadExpectation::is_of_errors) {
            expectations.push(LoadExpectation::parse("errors", DEFAULT_ERRORS)?);
        }
        Ok(Self { expectations, first_rate: None })
    }

    /// Begins at this rate. Otherwise it begins at a quarter of what a closed loop shows.
    #[must_use]
    pub fn first_rate(mut self, rate: f64) -> Self {
        self.first_rate = Some(rate);
        self
    }

    /// How long a step takes: its quantiles are those of enough requests.
    fn step_length(&self, rate: f64, least: Duration) -> Duration {
        let requests = self.expectations.iter().map(LoadExpectation::requests_needed).fold(0.0, f64::max);
        Duration::try_from_secs_f64(requests / rate).unwrap_or(MAX_STEP).min(MAX_STEP).max(least)
    }
}

impl Course {
    /// What is tried next; `None` when the search is over.
    fn next(&self) -> Option<Attempt> {
        let attempt = |rate, kind| Some(Attempt { rate, kind });
        if self.is_confirmed || self.confirmations >= RETREATS.len() {
            return None;
        }
        if let Some(rate) = self.doubted {
            return attempt(rate, StepKind::Again);
        }
        match (self.held, self.failed) {
            (None, None) => attempt(self.first_rate, StepKind::Growth),
            (Some(held), None) if held * GROWTH <= MAX_RATE => attempt(held * GROWTH, StepKind::Growth),
            (None, Some(failed)) if failed / 4.0 >= MIN_RATE => attempt(failed / 4.0, StepKind::Growth),
            (None, Some(_)) => None,
            (Some(held), Some(failed)) if self.confirmations == 0 && failed / held > CLOSE => {
                attempt((held * failed).sqrt(), StepKind::Bisection)
            }
            (Some(held), _) => attempt(held, StepKind::Confirmation),
        }
    }

    fn note(&mut self, Attempt { rate, kind }: Attempt, holds: bool) {
        match kind {
            StepKind::Probe => {}
            StepKind::Confirmation if holds => self.is_confirmed = true,
            StepKind::Confirmation => {
                self.failed = Some(rate);
                self.held = RETREATS.get(self.confirmations).map(|retreat| rate * retreat);
                self.confirmations += 1;
            }
            _ if holds => (self.held, self.doubted) = (Some(rate), None),
            StepKind::Again => (self.failed, self.doubted) = (Some(rate), None),
            StepKind::Growth | StepKind::Bisection => self.doubted = Some(rate),
        }
    }
}

impl LoadTestSuite {
    /// Looks for the highest rate at which the server holds what is expected of it. The scenario's duration is that of a
    /// step at least; its pattern and count do not matter. `on_step` learns of each step that is over.
    ///
    /// # Errors
    /// When the scenario is impossible, or the server cannot be reached or greeted.
    pub fn find_max(
        &self,
        scenario: &LoadTestScenario,
        search: &RateSearch,
        mut on_step: impl FnMut(&RateStep),
        mut on_progress: impl FnMut(&LoadProgress),
    ) -> Result<RateSearchReport, LoadTestError> {
        if scenario.trace.is_some() {
            return Err(LoadTestError::Scenario("a replay has its own times: there is no rate to search"));
        }
        let mut steps = Vec::new();
        let mut run = |attempt: Attempt| {
            let report = self.run(&step_scenario(scenario, search, attempt), &mut on_progress)?;
            let step = check_step(search, attempt, &report);
            on_step(&step);
            steps.push(step.clone());
            Ok::<_, LoadTestError>((step, report))
        };
        let is_stopped = || self.stop_flag().load(Ordering::Relaxed);
        let first_rate = match search.first_rate {
            Some(rate) => rate,
            None => (run(Attempt { rate: 0.0, kind: StepKind::Probe })?.0.answered_rate / 4.0).max(1.0),
        };
        let mut course = Course { first_rate, ..Course::default() };
        let (mut confirmation, mut is_generator_the_limit) = (None, false);
        while let Some(attempt) = course.next().filter(|_| !is_stopped()) {
            let (step, report) = run(attempt)?;
            course.note(attempt, step.missed.is_empty());
            is_generator_the_limit |= !step.missed.is_empty() && report.generator.bottleneck.is_some();
            if attempt.kind == StepKind::Confirmation {
                confirmation = Some(report);
            }
        }
        Ok(RateSearchReport {
            schema: SEARCH_SCHEMA.to_owned(),
            expectations: search.expectations.iter().map(LoadExpectation::describe).collect(),
            max_rate: course.held.filter(|_| course.is_confirmed),
            failing_rate: course.failed,
            is_generator_the_limit,
            is_interrupted: is_stopped(),
            steps,
            confirmation,
        })
    }
}

fn step_scenario(scenario: &LoadTestScenario, search: &RateSearch, attempt: Attempt) -> LoadTestScenario {
    let mut scenario = scenario.clone().warm_up(WARM_UP);
    scenario.count = None;
    let length = search.step_length(attempt.rate, scenario.duration);
    match attempt.kind {
        StepKind::Probe => scenario.pattern(LoadPattern::Closed).duration(PROBE).settle(Duration::ZERO),
        StepKind::Confirmation => scenario
            .pattern(LoadPattern::Constant { rate: attempt.rate })
            .duration(length * CONFIRMATION_LENGTHS),
        _ => scenario
            .pattern(LoadPattern::Constant { rate: attempt.rate })
            .duration(length)
            .settle(Duration::ZERO),
    }
}

fn check_step(search: &RateSearch, attempt: Attempt, report: &LoadTestReport) -> RateStep {
    let checks = search.expectations.iter().map(|expectation| expectation.check(report, None));
    let missed = checks.filter(|check| !check.is_met);
    let missed = missed.map(|check| format!("{}: {}", check.expected, check.found));
    let mut missed: Vec<_> = if attempt.kind == StepKind::Probe { Vec::new() } else { missed.collect() };
    missed.extend(report.ended_early.clone());
    let latency = report.latency_with_time_outs.as_ref().or(report.latency.as_ref());
    RateStep {
        kind: attempt.kind,
        rate: attempt.rate,
        seconds: report.measured_ms / 1e3,
        answered: report.requests.answered,
        answered_rate: report.requests.rate,
        error_ratio: report.requests.error_ratio,
        p50_us: latency.map(|latency| latency.p50_us),
        p95_us: latency.map(|latency| latency.p95_us),
        p99_us: latency.map(|latency| latency.p99_us),
        missed,
        bottleneck: report.generator.bottleneck.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Where a search ends against a server that holds up to `knee` a second; `is_unlucky` makes a step fail by chance.
    fn search(first_rate: f64, knee: f64, mut is_unlucky: impl FnMut(usize) -> bool) -> (Course, usize) {
        let (mut course, mut steps) = (Course { first_rate, ..Course::default() }, 0);
        while let Some(attempt) = course.next() {
            course.note(attempt, attempt.rate <= knee && !is_unlucky(steps));
            steps += 1;
        }
        (course, steps)
    }

    proptest! {
        #[test]
        fn the_highest_rate_that_holds_is_found(first in 1.0..5_000.0_f64, knee in 5.0..100_000.0_f64) {
            let (course, steps) = search(first, knee, |_| false);
            let found = course.held.expect("a rate holds");
            prop_assert!(course.is_confirmed && found <= knee && found * CLOSE >= knee, "{found} for {knee}");
            prop_assert!(steps < 40, "{steps}");
        }

        #[test]
        fn one_step_that_fails_by_chance_changes_little(knee in 100.0..50_000.0_f64, unlucky in 0..20_usize) {
            let (course, _) = search(knee / 4.0, knee, |step| step == unlucky);
            let found = course.held.expect("a rate holds");
            prop_assert!(course.is_confirmed && found <= knee && found >= knee * RETREATS[0] / CLOSE, "{found} for {knee}");
        }
    }

    proptest! {
        /// A server that holds a rate for a step, and only a part of it for longer.
        #[test]
        fn what_does_not_hold_for_longer_is_tried_lower(knee in 100.0..50_000.0_f64, part in 0.05..1.0_f64) {
            let mut course = Course { first_rate: knee / 4.0, ..Course::default() };
            while let Some(attempt) = course.next() {
                let knee = if attempt.kind == StepKind::Confirmation { knee * part } else { knee };
                course.note(attempt, attempt.rate <= knee);
            }
            let found = course.held.expect("a rate holds");
            prop_assert!(course.is_confirmed && found <= knee * part && found >= knee * part / 2.2, "{found}");
        }
    }

    #[test]
    fn a_server_that_never_holds_ends_the_search() {
        let (course, steps) = search(1_000.0, 0.0, |_| false);
        assert_eq!((course.held, course.is_confirmed), (None, false));
        assert!(steps < 20, "{steps}");
    }

    #[test]
    fn a_step_is_as_long_as_its_quantiles_need() {
        let search = RateSearch::parse("p99=5ms").expect("a search");
        let seconds = |rate, least| search.step_length(rate, Duration::from_secs(least)).as_secs_f64();
        assert!((seconds(100.0, 2) - 10.0).abs() < 1e-9, "1,000 requests for a p99");
        assert!((seconds(100_000.0, 2) - 2.0).abs() < 1e-9 && (seconds(1.0, 2) - 20.0).abs() < 1e-9);
        assert!(RateSearch::parse("p99=+5%").is_err());
    }
}
