//! [`LoadComparison`]: what changed between two reports beyond what each of them shows as noise.
//!
//! Each report has windows, whose figures differ by chance. A figure changed when the ranks of its windows differ by more
//! than chance would have it (`rank`), and by a least share as well: with enough windows any difference is no chance, and
//! most of those matter to nobody. A figure of which there are too few windows is told apart, never passed over.

use super::rank;
use super::report::{LoadOperationReport, LoadTestReport};
use super::table::{paragraph, time};
use crate::limits::units::bytes;
use crate::visible;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};

/// The version of a comparison's schema.
pub const COMPARISON_SCHEMA: &str = "mcpool.load-comparison/1";
/// Chance has to be less probable than this. There are a few figures for each operation, and a run has its own luck.
const MAX_PROBABILITY: f64 = 0.000_1;
/// Ranks of fewer windows cannot be that improbable.
const MIN_WINDOWS: usize = 12;
/// Fewer answers in a window say little of it.
const MIN_ANSWERS: u64 = 3;
/// So many median deviations from the median are a standard deviation, the noise of a window.
const DEVIATIONS: f64 = 1.482_6;
/// Memory is counted in pages that come and go.
const LEAST_MEMORY_SHARE: f64 = 0.1;
/// Errors that are fewer than one in a thousand more are no change.
const LEAST_ERRORS: f64 = 0.001;
/// So many standard deviations apart, shares of errors differ by more than chance.
const ERROR_DEVIATIONS: f64 = 3.3;

/// What changed from one report to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadComparison {
    /// [`COMPARISON_SCHEMA`].
    pub schema: String,
    /// The scenario that both are of.
    pub scenario: String,
    /// A smaller change is none, as a share.
    pub least_change: f64,
    /// What makes the two hard to compare, as another target or pattern.
    pub differences: Vec<String>,
    /// Each figure, whether it changed or not.
    pub figures: Vec<FigureChange>,
}

/// One figure before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FigureChange {
    /// The tool or method; absent for what all requests share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The figure.
    pub figure: ComparedFigure,
    /// It was so: the median of the windows.
    pub before: f64,
    /// It is so.
    pub after: f64,
    /// By what factor it grew: `after` by `before`.
    pub ratio: f64,
    /// How probable such a difference is by chance, 0 to 1.
    pub probability_of_chance: f64,
    /// What windows of one report differ by, as a share.
    pub noise: f64,
    /// What that means.
    pub verdict: Verdict,
}

/// A figure that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ComparedFigure {
    /// Median latency, in microseconds.
    P50,
    /// The latency of all but one in twenty, in microseconds.
    P95,
    /// Failed and dropped requests among all, 0 to 1.
    Errors,
    /// Resident memory of the server, in bytes.
    ServerMemory,
}

/// What became of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Worse, beyond the noise.
    Worse,
    /// Better, beyond the noise.
    Better,
    /// No more than noise.
    Same,
    /// There is too little to say.
    Unknown,
}

impl LoadComparison {
    /// Compares two reports of the same scenario. Changes of less than `least_change` (as 0.05) are none.
    pub fn of(before: &LoadTestReport, after: &LoadTestReport, least_change: f64) -> Self {
        let mut figures = Vec::new();
        for operation in &after.operations {
            let name = operation_name(operation);
            let was = before.operations.iter().find(|other| operation_name(other) == name);
            let Some(was) = was else { continue };
            for (figure, of) in [
                (ComparedFigure::P50, (|window| window.p50_us) as fn(&super::report::WindowReport) -> f64),
                (ComparedFigure::P95, |window| window.p95_us),
            ] {
                let values = |operation: &LoadOperationReport| -> Vec<f64> {
                    let windows = operation.windows.iter().filter(|window| window.answered >= MIN_ANSWERS);
                    windows.map(of).collect()
                };
                let change = windows(figure, &values(was), &values(operation), least_change);
                let change = change.or_whole(was, operation);
                figures.push(FigureChange { operation: Some(name.to_owned()), ..change });
            }
        }
        figures.push(errors(before, after));
        let memory = [before, after].map(|report| -> Vec<f64> {
            let counted = report.seconds.iter().filter(|second| second.at_s > 0.0);
            counted.filter_map(|second| second.server_rss_bytes).map(|bytes| bytes as f64).collect()
        });
        if memory.iter().all(|values| !values.is_empty()) {
            let least = least_change.max(LEAST_MEMORY_SHARE);
            figures.push(windows(ComparedFigure::ServerMemory, &memory[0], &memory[1], least));
        }
        Self {
            schema: COMPARISON_SCHEMA.to_owned(),
            scenario: after.scenario.name.clone(),
            least_change,
            differences: differences(before, after),
            figures,
        }
    }

    /// Whether nothing got worse, and enough was answered to say so of each tool and method.
    pub fn is_passed(&self) -> bool {
        self.figures.iter().all(|change| change.verdict != Verdict::Worse) && self.unknown().is_empty()
    }

    /// The tools and methods of whose latency nothing can be said.
    fn unknown(&self) -> Vec<&str> {
        let medians = self.figures.iter().filter(|change| change.figure == ComparedFigure::P50);
        let unknown = medians.filter(|change| change.verdict == Verdict::Unknown);
        unknown.filter_map(|change| change.operation.as_deref()).collect()
    }
}

fn operation_name(operation: &LoadOperationReport) -> &str {
    operation.tool.as_deref().unwrap_or(&operation.method)
}

impl FigureChange {
    /// Where no window has enough answers, shows the figures of the whole runs: nothing follows from them.
    fn or_whole(self, was: &LoadOperationReport, is: &LoadOperationReport) -> Self {
        if self.verdict != Verdict::Unknown {
            return self;
        }
        let whole = |operation: &LoadOperationReport| {
            let latency = operation.latency.as_ref();
            latency.map(|latency| match self.figure {
                ComparedFigure::P95 => latency.p95_us,
                _ => latency.p50_us,
            })
        };
        match (whole(was), whole(is)) {
            (Some(before), Some(after)) => {
                Self { before, after, ratio: after / before.max(f64::MIN_POSITIVE), ..self }
            }
            _ => self,
        }
    }
}

/// Compares the windows of a figure that is better when it is smaller.
fn windows(figure: ComparedFigure, before: &[f64], after: &[f64], least_change: f64) -> FigureChange {
    let probability_of_chance = rank::probability_of_chance(before, after);
    let noise = rank::spread(before).max(rank::spread(after)) * DEVIATIONS;
    let is_change = probability_of_chance < MAX_PROBABILITY;
    // Neighbours in time are alike, which ranks do not know: what is well within the noise of a window is no change.
    let least_change = least_change.max(noise / 2.0);
    let [was, is] = [before, after].map(|values| rank::median(&mut values.to_vec()));
    let ratio = is / was.max(f64::MIN_POSITIVE);
    let verdict = if before.len().min(after.len()) < MIN_WINDOWS {
        Verdict::Unknown
    } else if is_change && ratio >= 1.0 + least_change {
        Verdict::Worse
    } else if is_change && ratio <= 1.0 / (1.0 + least_change) {
        Verdict::Better
    } else {
        Verdict::Same
    };
    let operation = None;
    FigureChange { operation, figure, before: was, after: is, ratio, probability_of_chance, noise, verdict }
}

/// Compares shares of errors by the standard deviation of their difference.
fn errors(before: &LoadTestReport, after: &LoadTestReport) -> FigureChange {
    let [(a, n), (b, m)] = [before, after].map(|report| {
        let scheduled = report.requests.scheduled.max(1) as f64;
        (report.requests.error_ratio, scheduled)
    });
    let together = a.mul_add(n, b * m) / (n + m);
    let deviation = (together * (1.0 - together) * (1.0 / n + 1.0 / m)).sqrt();
    let is_change = (b - a).abs() > deviation * ERROR_DEVIATIONS && (b - a).abs() >= LEAST_ERRORS;
    FigureChange {
        operation: None,
        figure: ComparedFigure::Errors,
        before: a,
        after: b,
        ratio: b / a.max(f64::MIN_POSITIVE),
        probability_of_chance: rank::two_tails((b - a).abs() / deviation.max(f64::MIN_POSITIVE)),
        noise: deviation,
        verdict: match is_change {
            true if b > a => Verdict::Worse,
            true => Verdict::Better,
            false => Verdict::Same,
        },
    }
}

fn differences(before: &LoadTestReport, after: &LoadTestReport) -> Vec<String> {
    let (was, is) = (&before.scenario, &after.scenario);
    let facts = [
        ("scenario", &was.name, &is.name),
        ("transport", &was.transport, &is.transport),
        ("revision", &was.revision, &is.revision),
        ("pattern", &was.pattern, &is.pattern),
    ];
    let mut found: Vec<String> = facts
        .into_iter()
        .filter(|(_, was, is)| was != is)
        .map(|(what, was, is)| format!("the {what} was {was:?} and is {is:?}"))
        .collect();
    if (was.connections, was.in_flight) != (is.connections, is.in_flight) {
        let each =
            |facts: &super::report::ScenarioFacts| format!("{} x {}", facts.connections, facts.in_flight);
        found.push(format!("connections and requests in flight were {} and are {}", each(was), each(is)));
    }
    let names = |report: &LoadTestReport| -> Vec<String> {
        report.operations.iter().map(|operation| operation_name(operation).to_owned()).collect()
    };
    let (had, has) = (names(before), names(after));
    found.extend(
        had.iter().filter(|name| !has.contains(name)).map(|name| format!("{name} is no longer asked for")),
    );
    found.extend(
        has.iter().filter(|name| !had.contains(name)).map(|name| format!("{name} was not asked for")),
    );
    found
}

/// What the columns of a comparison are.
const ESTIMATES: &str = "before and after are medians of the windows of each run, errors are shares of all its requests; \
                         change is from the one to the other, noise what windows of one run differ by";

/// Writes a comparison as text of at most 80 columns.
///
/// ```
/// use mcpool::load::{LoadComparison, write_load_comparison};
///
/// fn show(found: &LoadComparison) -> std::io::Result<()> {
///     write_load_comparison(found, &mut std::io::stdout())
/// }
/// ```
///
/// # Errors
/// When `out` refuses it.
pub fn write_load_comparison(comparison: &LoadComparison, out: &mut impl Write) -> io::Result<()> {
    for difference in &comparison.differences {
        paragraph(out, "NOTE", &visible::line(difference))?;
    }
    writeln!(
        out,
        "{:26} {:>10} {:>10} {:>8} {:>8}",
        visible::line(&comparison.scenario),
        "before",
        "after",
        "change",
        "noise"
    )?;
    for change in &comparison.figures {
        write_change(change, out)?;
    }
    writeln!(out)?;
    paragraph(out, "figures", ESTIMATES)?;
    let worse: Vec<_> = comparison.figures.iter().filter(|change| change.verdict == Verdict::Worse).collect();
    let mut names: Vec<_> = worse
        .iter()
        .map(|change| change.operation.as_deref().unwrap_or_else(|| change.figure.name()))
        .collect();
    names.dedup();
    let unknown = comparison.unknown();
    let text = match (names.len(), unknown.len()) {
        (0, 0) => "nothing got worse beyond the noise".to_owned(),
        (0, _) => format!("nobody can tell: too few answers of {}; run for longer", unknown.join(", ")),
        _ => format!("{} got worse beyond the noise", names.join(", ")),
    };
    let text = visible::line(&text);
    paragraph(out, "verdict", &text)
}

fn write_change(change: &FigureChange, out: &mut impl Write) -> io::Result<()> {
    let name = match &change.operation {
        Some(operation) => format!("{} {}", visible::line(operation), change.figure.name()),
        None => change.figure.name().to_owned(),
    };
    if name.chars().count() > 26 {
        writeln!(out, "{name}")?;
    }
    let name = if name.chars().count() > 26 { "" } else { &name };
    let [before, after] = [change.before, change.after].map(|figure| change.figure.show(figure));
    let verdict = match change.verdict {
        Verdict::Worse => "  WORSE",
        Verdict::Better => "  better",
        Verdict::Same => "",
        Verdict::Unknown => "  too few",
    };
    let (grown, noise) = match change.figure {
        ComparedFigure::Errors => (String::new(), String::new()),
        _ => (format!("{:+.1} %", (change.ratio - 1.0) * 100.0), format!("{:.1} %", change.noise * 100.0)),
    };
    writeln!(out, "{name:26} {before:>10} {after:>10} {grown:>8} {noise:>8}{verdict}")
}

impl ComparedFigure {
    fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P95 => "p95",
            Self::Errors => "errors",
            Self::ServerMemory => "server memory",
        }
    }

    fn show(self, figure: f64) -> String {
        match self {
            Self::P50 | Self::P95 => time(figure),
            Self::Errors => format!("{:.3} %", figure * 100.0),
            Self::ServerMemory => bytes(figure as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::super::report::WindowReport;
    use super::super::sample;
    use super::*;

    /// A report with two tools whose windows lie around these medians, and differ by a tenth.
    fn report(random: &mut Random, windows: usize, medians: [f64; 2]) -> LoadTestReport {
        let mut report = sample::report(1_000.0, 100.0, 0.0);
        report.operations = ["fast", "slow"]
            .into_iter()
            .zip(medians)
            .map(|(tool, median)| {
                let mut window = || {
                    let p50_us = median * (0.95 + random.below(1_000) as f64 / 10_000.0);
                    WindowReport {
                        answered: 50,
                        p50_us,
                        p95_us: p50_us * (1.5 + random.below(100) as f64 / 500.0),
                    }
                };
                LoadOperationReport {
                    method: "tools/call".to_owned(),
                    tool: Some(tool.to_owned()),
                    batch: 1,
                    answered: 1_000,
                    failed: 0,
                    timed_out: 0,
                    latency: None,
                    windows: (0..windows).map(|_| window()).collect(),
                }
            })
            .collect();
        report
    }

    fn worse(comparison: &LoadComparison) -> Vec<(Option<&str>, ComparedFigure)> {
        let worse = comparison.figures.iter().filter(|change| change.verdict == Verdict::Worse);
        worse.map(|change| (change.operation.as_deref(), change.figure)).collect()
    }

    #[test]
    fn the_tool_that_got_slower_is_named_and_no_other() {
        let mut random = Random(3);
        for _ in 0..200 {
            let before = report(&mut random, 20, [100.0, 1_000.0]);
            let after = report(&mut random, 20, [100.0, 1_200.0]);
            let comparison = LoadComparison::of(&before, &after, 0.05);
            let found = worse(&comparison);
            assert_eq!(found, [(Some("slow"), ComparedFigure::P50), (Some("slow"), ComparedFigure::P95)]);
            assert!(!comparison.is_passed());
            assert!(LoadComparison::of(&after, &before, 0.05).is_passed(), "faster is not worse");
            let again = report(&mut random, 20, [100.0, 1_000.0]);
            assert!(LoadComparison::of(&before, &again, 0.05).is_passed());
        }
    }

    #[test]
    fn too_few_windows_say_nothing() {
        let mut random = Random(5);
        let before = report(&mut random, MIN_WINDOWS - 1, [100.0, 1_000.0]);
        let after = report(&mut random, 20, [1_000.0, 9_000.0]);
        let comparison = LoadComparison::of(&before, &after, 0.05);
        let of_tools = comparison.figures.iter().filter(|change| change.operation.is_some());
        assert!(
            of_tools.clone().count() == 4
                && of_tools.into_iter().all(|change| change.verdict == Verdict::Unknown)
        );
        assert!(!comparison.is_passed(), "nobody knows whether it is worse");
        let mut text = Vec::new();
        write_load_comparison(&comparison, &mut text).expect("written");
        let text = String::from_utf8(text).expect("text");
        assert!(text.contains("nobody can tell: too few answers of fast, slow"), "{text}");
    }

    #[test]
    fn names_of_others_do_not_steer_the_terminal() {
        let mut random = Random(7);
        let mut before = report(&mut random, 20, [100.0, 1_000.0]);
        before.operations[0].tool = Some("a\u{1b}[2J\u{202e}".to_owned());
        before.scenario.name = "b\u{7}\u{9b}".to_owned();
        let mut after = before.clone();
        for window in &mut after.operations[0].windows {
            window.p50_us *= 2.0;
        }
        let mut text = Vec::new();
        write_load_comparison(&LoadComparison::of(&before, &after, 0.05), &mut text).expect("written");
        let text = String::from_utf8(text).expect("text");
        assert!(text.contains("WORSE") && !text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        assert!(!text.contains('\u{202e}'), "{text:?}");
    }

    #[test]
    fn more_errors_and_more_memory_are_worse() {
        let before = sample::report(1_000.0, 1_000.0, 0.000_1);
        let after = sample::report(1_000.0, 1_000.0, 0.01);
        assert_eq!(worse(&LoadComparison::of(&before, &after, 0.05)), [(None, ComparedFigure::Errors)]);
        let slightly = sample::report(1_000.0, 1_000.0, 0.000_4);
        assert!(LoadComparison::of(&before, &slightly, 0.05).is_passed());
    }

    #[test]
    fn a_comparison_fits_a_terminal() {
        let mut random = Random(9);
        let before = report(&mut random, 20, [100.0, 1_000.0]);
        let mut after = report(&mut random, 20, [100.0, 2_000.0]);
        after.scenario.pattern = "another one ".repeat(10);
        after.operations[0].tool = Some("a_tool_with_a_very_long_name_indeed".to_owned());
        let mut text = Vec::new();
        write_load_comparison(&LoadComparison::of(&before, &after, 0.05), &mut text).expect("written");
        let text = String::from_utf8(text).expect("text");
        assert!(text.contains("slow got worse beyond the noise") && text.contains("WORSE"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
