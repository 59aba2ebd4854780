//! [`PerformanceMonitor`]: compares each ten seconds with what is usual and with what is required.
//!
//! It is given figures and the time, and returns the alerts that are to be reported. Invariant: as long as nothing is
//! reported, what takes memory is a subject, once, and what is learnt of it in a band of load, once; of at most
//! [`MAX_SUBJECTS`].

use super::alert::{Alert, AlertKind, Severity};
use super::alerts::{Alerts, Key, Text};
use super::baseline::BandBaseline;
use super::burn::{OverLimit, Violation, violation};
use super::regression::{Detector, Regression, Window};
use serde::{Deserialize, Serialize};

/// Most methods, tools and sums that are compared; those that are used first.
const MAX_SUBJECTS: usize = 32;
/// What a baseline says of itself.
const BASELINE_SCHEMA: &str = "mcpool.baseline/1";

/// What one kind of latency was over the last ten seconds, the last minute and the last five.
#[derive(Debug, Clone, Copy, Default)]
pub struct Observation {
    /// How many there were in ten seconds.
    pub calls: u64,
    /// Their median, in nanoseconds.
    pub p50_ns: u64,
    /// Their 95th percentile, in nanoseconds.
    pub p95_ns: u64,
    /// What 95 % of them may take at most, in nanoseconds; 0 where nothing is required.
    pub limit_ns: u64,
    /// Those above the limit, in ten seconds, one minute and five.
    pub over_limit: [OverLimit; 3],
}

/// What is observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject<'a> {
    /// Its number, the same each time.
    pub number: usize,
    /// What it is, as an alert says it: `tool`, `messages`.
    pub kind: &'a str,
    /// The method or tool; empty for a sum of many.
    pub name: &'a str,
}

impl Subject<'_> {
    fn full_name(&self) -> String {
        if self.name.is_empty() { self.kind.to_owned() } else { format!("{} {}", self.kind, self.name) }
    }
}

/// Decides what has got worse than it was, and what is worse than it may be.
///
/// ```
/// use mcpool::monitor::{Observation, PerformanceMonitor, Subject};
///
/// let mut monitor = PerformanceMonitor::default();
/// let echo = Subject { number: 0, kind: "tool", name: "echo" };
/// let mut now_ms = 0;
/// let mut ten_seconds = |p50_ns| {
///     monitor.observe(echo, Observation { calls: 500, p50_ns, p95_ns: 2 * p50_ns, ..Observation::default() });
///     now_ms += 10_000;
///     monitor.end_span(now_ms)
/// };
/// for _ in 0..60 {
///     assert!(ten_seconds(20_000).is_empty());
/// }
/// let alerts: Vec<_> = (0..18).flat_map(|_| ten_seconds(26_000)).collect();
/// assert_eq!(alerts.len(), 1);
/// assert!(alerts[0].what.contains("30 % longer"));
/// ```
#[derive(Debug, Default)]
pub struct PerformanceMonitor {
    subjects: Vec<Observed>,
    alerts: Alerts,
    saved: Vec<SavedSubject>,
}

#[derive(Debug)]
struct Observed {
    number: usize,
    name: String,
    is_one: bool,
    detector: Detector,
    regression: Option<Regression>,
    violation: Option<(Violation, u64)>,
}

/// What was usual in an earlier run, or another version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedBaseline {
    /// `mcpool.baseline/1`.
    pub schema: String,
    /// The server's own version.
    pub version: String,
    /// What was usual, by subject.
    pub subjects: Vec<SavedSubject>,
}

/// What was usual for one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedSubject {
    /// Its name.
    pub name: String,
    /// By load.
    pub bands: Vec<BandBaseline>,
}

impl PerformanceMonitor {
    /// Makes the room for a subject that is used for the first time.
    pub(crate) fn make_room(&mut self, subject: Subject<'_>) {
        self.subject(subject, true);
    }

    /// Takes what one subject did in the last ten seconds.
    pub fn observe(&mut self, subject: Subject<'_>, seen: Observation) {
        let Some(at) = self.subject(subject, seen.calls > 0) else { return };
        let observed = &mut self.subjects[at];
        let window = Window { calls: seen.calls, p50_ns: seen.p50_ns, p95_ns: seen.p95_ns };
        observed.regression = observed.detector.observe(window);
        let violation = if seen.limit_ns > 0 { violation(seen.over_limit) } else { None };
        observed.violation = violation.map(|found| (found, seen.limit_ns));
    }

    /// The place of a subject; a new one has one if it is used and there is room.
    fn subject(&mut self, subject: Subject<'_>, is_used: bool) -> Option<usize> {
        let known = self.subjects.iter().position(|observed| observed.number == subject.number);
        if known.is_some() || !is_used || self.subjects.len() == MAX_SUBJECTS {
            return known;
        }
        let name = subject.full_name();
        let mut detector = Detector::default();
        if let Some(saved) = self.saved.iter().find(|saved| saved.name == name) {
            detector.baseline.read(&saved.bands);
        }
        if self.subjects.is_empty() {
            self.subjects.reserve_exact(MAX_SUBJECTS);
        }
        self.subjects.push(Observed {
            number: subject.number,
            name,
            is_one: !subject.name.is_empty(),
            detector,
            regression: None,
            violation: None,
        });
        Some(self.subjects.len() - 1)
    }

    /// Ends the ten seconds whose figures were given. Returns the alerts that began and ended, as far as they are worth a
    /// report.
    pub fn end_span(&mut self, now_unix_ms: u64) -> Vec<Alert> {
        let mut reported = Vec::new();
        let Self { subjects, alerts, .. } = self;
        for observed in subjects.iter() {
            if let Some(regression) = observed.regression {
                let severity = if regression.factor >= 2.0 { Severity::Critical } else { Severity::Warning };
                let key = Key(AlertKind::Regression, observed.number);
                reported.extend(
                    alerts.raise(key, severity, now_unix_ms, || {
                        regression_text(observed, regression, subjects)
                    }),
                );
            }
            if let Some((violation, limit_ns)) = observed.violation {
                let key = Key(AlertKind::Requirement, observed.number);
                reported.extend(alerts.raise(key, violation.severity, now_unix_ms, || {
                    violation_text(observed, violation, limit_ns, subjects)
                }));
            }
        }
        reported.extend(alerts.settle(now_unix_ms));
        reported
    }

    /// The alerts that last, and those that were over not long ago.
    pub fn alerts(&self) -> Vec<Alert> {
        self.alerts.all()
    }

    /// What is usual, to be compared with later.
    pub fn baseline(&self, version: &str) -> SavedBaseline {
        let subjects = self.subjects.iter().map(|observed| SavedSubject {
            name: observed.name.clone(),
            bands: observed.detector.baseline.to_saved(),
        });
        SavedBaseline {
            schema: BASELINE_SCHEMA.to_owned(),
            version: version.to_owned(),
            subjects: subjects.filter(|subject| !subject.bands.is_empty()).collect(),
        }
    }

    /// Compares with what was usual before, and not with what is learnt, where something is known of it.
    ///
    /// # Errors
    /// When the baseline is of another kind.
    pub fn compare_with(&mut self, baseline: SavedBaseline) -> Result<(), String> {
        if baseline.schema != BASELINE_SCHEMA {
            return Err(format!("its schema is {:?} and not {BASELINE_SCHEMA:?}", baseline.schema));
        }
        for observed in &mut self.subjects {
            let saved = baseline.subjects.iter().find(|saved| saved.name == observed.name);
            if let Some(saved) = saved {
                observed.detector.baseline.read(&saved.bands);
            }
        }
        self.saved = baseline.subjects;
        Ok(())
    }

    /// Heap bytes of what is observed, and of the alerts.
    pub fn bytes(&self) -> usize {
        let of = |observed: &Observed| observed.name.capacity() + observed.detector.bytes();
        let subjects = self.subjects.capacity() * size_of::<Observed>();
        subjects + self.subjects.iter().map(of).sum::<usize>() + self.alerts.bytes()
    }
}

fn us(ns: f64) -> String {
    if ns < 1e6 { format!("{:.1} us", ns / 1e3) } else { format!("{:.2} ms", ns / 1e6) }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn regression_text(observed: &Observed, found: Regression, all: &[Observed]) -> Text {
    let Regression { factor, ns, usual_ns, quantile } = found;
    Text {
        subject: observed.name.clone(),
        what: format!("takes {} longer than usual: p{quantile} is {}", percent(factor - 1.0), us(ns)),
        against: format!("p{quantile} is usually {} at this load", us(usual_ns)),
        cause: cause(observed, all),
        command: "mcpool report".to_owned(),
    }
}

fn violation_text(observed: &Observed, found: Violation, limit_ns: u64, all: &[Observed]) -> Text {
    let Violation { above, window_s, .. } = found;
    let limit = us(limit_ns as f64);
    Text {
        subject: observed.name.clone(),
        what: format!("{} took more than {limit} in the last {window_s} s", percent(above)),
        against: format!("95 % are required to take at most {limit}"),
        cause: cause(observed, all),
        command: "mcpool doctor".to_owned(),
    }
}

/// What changed most, of what there is more than one of.
fn cause(observed: &Observed, all: &[Observed]) -> String {
    let others = || all.iter().filter(|other| other.is_one);
    let slower = others().filter(|other| other.regression.is_some()).count();
    let total = others().count();
    if slower >= 2 && 2 * slower >= total {
        return format!(
            "{slower} of {total} methods and tools are slower: the machine, rather than one of them"
        );
    }
    let excess_ns = |other: &&Observed| other.detector.excess_ns();
    let most = others().max_by(|one, other| excess_ns(one).total_cmp(&excess_ns(other)));
    match most {
        Some(most) if excess_ns(&most) <= 0.0 => "no method or tool takes longer than usual".to_owned(),
        Some(most) if most.number == observed.number => format!("{} itself; others are as usual", most.name),
        Some(most) => format!("{} took most of the time beyond the usual", most.name),
        None => "no method or tool was used often enough to say".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Subject<'static> = Subject { number: 1, kind: "tool", name: "fast" };
    const SLOW: Subject<'static> = Subject { number: 2, kind: "tool", name: "slow" };
    /// The values of one band of load, and the list of bands.
    const LEARNT_BYTES: usize = 1_024 + 4 * 256;
    const ALL: Subject<'static> = Subject { number: 0, kind: "messages", name: "" };

    fn seen(p50_ns: u64) -> Observation {
        Observation { calls: 500, p50_ns, p95_ns: p50_ns * 2, ..Observation::default() }
    }

    /// Runs spans in which the slow tool takes so long, and returns what is reported.
    fn run(monitor: &mut PerformanceMonitor, spans: std::ops::Range<u64>, slow_ns: u64) -> Vec<Alert> {
        let mut reported = Vec::new();
        for span in spans {
            monitor.observe(ALL, seen(10_000 + slow_ns / 2));
            monitor.observe(FAST, seen(20_000 + span % 7 * 10));
            monitor.observe(SLOW, seen(slow_ns + span % 5 * 10));
            reported.extend(monitor.end_span(span * 10_000));
        }
        reported
    }

    #[test]
    fn a_slower_tool_is_named_as_the_cause_of_all_that_is_slower() {
        let mut monitor = PerformanceMonitor::default();
        assert_eq!(run(&mut monitor, 0..100, 100_000), []);
        let reported = run(&mut monitor, 100..118, 130_000);
        let told: Vec<_> =
            reported.iter().map(|alert| (alert.subject.as_str(), alert.cause.as_str())).collect();
        let want = [
            ("messages", "tool slow took most of the time beyond the usual"),
            ("tool slow", "tool slow itself; others are as usual"),
        ];
        assert_eq!(told, want);
        assert!(reported[1].what.contains("takes 30 % longer"), "{reported:?}");
        assert!(reported.iter().all(|alert| alert.severity == Severity::Warning && alert.is_active()));
        let over = run(&mut monitor, 118..150, 100_000);
        assert_eq!(over.len(), 2);
        assert!(over.iter().all(|alert| alert.resolved_unix_ms.is_some()));
        assert_eq!(monitor.alerts().len(), 2);
    }

    #[test]
    fn a_requirement_is_violated_whatever_is_usual() {
        let mut monitor = PerformanceMonitor::default();
        let over = |above| [OverLimit { count: 500, above }; 3];
        for (span, above, want) in [(0, 10, 0), (1, 100, 1), (2, 100, 0), (3, 400, 1)] {
            let seen = Observation { limit_ns: 1_000_000, over_limit: over(above), ..seen(900_000) };
            monitor.observe(ALL, seen);
            let reported = monitor.end_span(span * 10_000);
            assert_eq!(reported.len(), want, "{span}: {reported:?}");
        }
        let alert = &monitor.alerts()[0];
        assert_eq!((alert.severity, alert.kind), (Severity::Critical, AlertKind::Requirement));
        assert_eq!(alert.what, "80 % took more than 1.00 ms in the last 60 s");
    }

    #[test]
    fn a_saved_baseline_is_compared_with_from_the_first_minute() {
        let mut before = PerformanceMonitor::default();
        run(&mut before, 0..100, 100_000);
        let json = serde_json::to_string(&before.baseline("1.0.0")).expect("JSON");
        let saved: SavedBaseline = serde_json::from_str(&json).expect("a baseline");
        let mut monitor = PerformanceMonitor::default();
        let wrong = SavedBaseline { schema: "other".to_owned(), ..saved.clone() };
        assert!(monitor.compare_with(wrong).is_err());
        monitor.compare_with(saved).expect("of this kind");
        let reported = run(&mut monitor, 0..12, 130_000);
        assert!(reported.iter().any(|alert| alert.subject == "tool slow"), "{reported:?}");
        assert!(monitor.bytes() > 0);
    }

    /// What a subject takes in an hour at one load is made with it, but for what is learnt.
    #[test]
    fn a_subject_takes_its_room_when_it_is_expected_and_once_more_when_something_is_learnt() {
        let mut monitor = PerformanceMonitor::default();
        monitor.make_room(FAST);
        let (expected, mut changes, mut before) = (monitor.bytes(), 0, monitor.bytes());
        for span in 0..360 {
            monitor.observe(FAST, seen(20_000));
            monitor.end_span(span * 10_000);
            changes += u32::from(std::mem::replace(&mut before, monitor.bytes()) != before);
        }
        assert!(
            changes <= 1 && before - expected <= LEARNT_BYTES,
            "{expected} B, {before} B, {changes} changes"
        );
        monitor.make_room(SLOW);
        let second = monitor.bytes() - before;
        assert!(second < 1024, "{second} B: the room for all subjects is made with the first");
    }

    #[test]
    fn many_subjects_take_bounded_room() {
        let mut monitor = PerformanceMonitor::default();
        for span in 0..200 {
            for number in 0..1_000 {
                monitor.observe(Subject { number, kind: "tool", name: "one" }, seen(1_000 + span));
            }
            monitor.end_span(span);
        }
        assert!(monitor.bytes() < 128 * 1024, "{}", monitor.bytes());
    }
}
