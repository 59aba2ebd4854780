//! The rules that find what is wrong with a server's memory, and say why and what to do.
//!
//! A pure function of a report, so a saved report and a running server are checked alike. [`RULES`] is the table of all
//! rules. A rule that lacks a figure says so instead of passing. Invariant: findings are sorted by severity, then by
//! bytes.

mod finding;
mod history;
mod performance;
mod pools;
mod process;
mod traffic;

use super::layout::{cut, wrap};
use crate::limits::units::grouped;
use crate::memory::{History, MemoryReport};
use crate::visible;
use finding::Verdict;
use history::Window;
use serde::Serialize;
use std::io::{self, Write};

pub use finding::{Finding, Severity};

/// A rule that could not be checked, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Unchecked {
    /// Name of the rule.
    pub rule: &'static str,
    /// The figure that is missing.
    pub reason: &'static str,
}

/// The results of all rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// What is wrong, worst first.
    pub findings: Vec<Finding>,
    /// Rules that found nothing.
    pub passed: Vec<&'static str>,
    /// Rules that could not be checked.
    pub unchecked: Vec<Unchecked>,
}

struct Rule {
    name: &'static str,
    check: fn(&MemoryReport) -> Verdict,
}

/// A rule about what the black box recorded.
type HistoryRule = (&'static str, fn(&Window<'_>) -> Verdict);

const fn rule(name: &'static str, check: fn(&MemoryReport) -> Verdict) -> Rule {
    Rule { name, check }
}

/// Every rule.
const RULES: [Rule; 26] = [
    rule("under-pressure", process::under_pressure),
    rule("limit-exceeded", process::limit_exceeded),
    rule("work-refused", process::work_refused),
    rule("limit-above-cgroup", process::limit_above_cgroup),
    rule("pools-may-fill-the-limit", process::pools_may_fill_the_limit),
    rule("events-may-fill-the-limit", process::events_may_fill_the_limit),
    rule("machine-short-of-memory", process::machine_short_of_memory),
    rule("huge-pages", process::huge_pages),
    rule("fragmentation", process::fragmentation),
    rule("ledger-wrong", process::ledger_wrong),
    rule("thrashing-pool", pools::thrashing_pool),
    rule("budget-spent", pools::budget_spent),
    rule("oversized-arenas", pools::oversized_arenas),
    rule("arenas-retained", pools::arenas_retained),
    rule("pools-too-large", pools::too_large),
    rule("large-buffers-kept", pools::large_buffers_kept),
    rule("few-clients-hold-most", traffic::few_clients_hold_most),
    rule("one-client-keeps-most", traffic::one_client_keeps_most),
    rule("slow-readers", traffic::slow_readers),
    rule("answers-nobody-reads", traffic::answers_nobody_reads),
    rule("session-leak", traffic::session_leak),
    rule("sessions-full", traffic::sessions_full),
    rule("connections-full", traffic::connections_full),
    rule("two-pass-decoding", traffic::two_pass_decoding),
    rule("slower-than-usual", performance::slower_than_usual),
    rule("slower-than-required", performance::slower_than_required),
];

/// Every rule about the last hour.
const HISTORY_RULES: [HistoryRule; 7] = [
    ("peak-near-limit", history::peak_near_limit),
    ("work-was-refused", history::work_was_refused),
    ("pressure-was-high", history::pressure_was_high),
    ("group-was-short", history::group_was_short),
    ("machine-was-short", history::machine_was_short),
    ("requests-spiked", history::requests_spiked),
    ("memory-grew", history::memory_grew),
];

/// Checks a report against every rule.
///
/// ```
/// use mcpool::Server;
/// use mcpool::report::diagnose;
///
/// let report = Server::builder("demo", "1.0.0").build()?.memory().report();
/// for finding in diagnose(&report).findings {
///     println!("{finding:?}");
/// }
/// # Ok::<(), mcpool::BuildError>(())
/// ```
pub fn diagnose(report: &MemoryReport) -> Diagnosis {
    diagnosis(RULES.iter().map(|rule| (rule.name, (rule.check)(report))))
}

/// Checks what a black box recorded since a moment, in milliseconds since 1970, against the rules about time; `clock`
/// writes a moment for people.
///
/// ```
/// use mcpool::Server;
/// use mcpool::memory::HistoryReason;
/// use mcpool::report::diagnose_history;
///
/// let history = Server::builder("demo", "1.0.0").build()?.memory().history(HistoryReason::Asked);
/// for finding in diagnose_history(&history, 0, &|unix_ms| format!("{unix_ms} ms")).findings {
///     println!("{finding:?}");
/// }
/// # Ok::<(), mcpool::BuildError>(())
/// ```
pub fn diagnose_history(history: &History, since_unix_ms: u64, clock: &dyn Fn(u64) -> String) -> Diagnosis {
    let older = history.samples.iter().take_while(|sample| sample.at_unix_ms < since_unix_ms).count();
    let samples = history.samples.get(older..).unwrap_or_default();
    let window = Window { history, samples, clock };
    diagnosis(HISTORY_RULES.iter().map(|(name, check)| (*name, check(&window))))
}

fn diagnosis(verdicts: impl Iterator<Item = (&'static str, Verdict)>) -> Diagnosis {
    let mut diagnosis = Diagnosis { findings: Vec::new(), passed: Vec::new(), unchecked: Vec::new() };
    for (rule, verdict) in verdicts {
        match verdict {
            Verdict::Fine => diagnosis.passed.push(rule),
            Verdict::Unknown(reason) => diagnosis.unchecked.push(Unchecked { rule, reason }),
            Verdict::Found(finding) => diagnosis.findings.push(Finding { rule, ..finding }),
        }
    }
    diagnosis.findings.sort_by_key(|finding| std::cmp::Reverse((finding.severity, finding.bytes)));
    diagnosis
}

impl Diagnosis {
    /// The severity of the worst finding.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.first().map(|finding| finding.severity)
    }

    /// Writes it as sentences, in lines of at most `width` columns.
    ///
    /// ```
    /// # fn shown(report: &mcpool::memory::MemoryReport) -> std::io::Result<()> {
    /// mcpool::report::diagnose(report).write(80, &mut std::io::stdout())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When `out` cannot be written to.
    pub fn write(&self, width: usize, out: &mut impl Write) -> io::Result<()> {
        for finding in &self.findings {
            let severity = match finding.severity {
                Severity::Critical => "CRITICAL",
                Severity::Warning => "warning",
                Severity::Hint => "hint",
            };
            paragraph(&format!("{severity}: {} [{}]", finding.problem, finding.rule), width, out)?;
            let told = [
                ("Why:", Some(&finding.cause)),
                ("Seen:", Some(&finding.evidence)),
                ("Do:", Some(&finding.remedy)),
                ("Setting:", finding.setting.as_ref()),
                ("Cost:", Some(&finding.cost)),
            ];
            for (label, text) in told {
                let Some(text) = text else { continue };
                hanging(label, text, width, out)?;
            }
            writeln!(out)?;
        }
        let checked = self.passed.len() + self.findings.len();
        if self.findings.is_empty() {
            paragraph(&format!("No issues: {} rules were checked.", grouped(checked as u64)), width, out)?;
        } else {
            paragraph(&format!("{} of {checked} rules found something.", self.findings.len()), width, out)?;
        }
        for unchecked in &self.unchecked {
            paragraph(&format!("Not checked: {} ({}).", unchecked.rule, unchecked.reason), width, out)?;
        }
        Ok(())
    }
}

/// Columns before the text of a finding, its label included.
const LABEL_COLUMNS: usize = 12;

fn paragraph(text: &str, width: usize, out: &mut impl Write) -> io::Result<()> {
    wrap(&visible::line(text), width, 0).iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// A label, and the text beside it.
fn hanging(label: &str, text: &str, width: usize, out: &mut impl Write) -> io::Result<()> {
    let lines = wrap(&visible::line(text), width.saturating_sub(LABEL_COLUMNS), 0);
    for (at, line) in lines.iter().enumerate() {
        let label = if at == 0 { format!("  {label}") } else { String::new() };
        writeln!(out, "{}", cut(&format!("{label:<LABEL_COLUMNS$}{line}"), width))?;
    }
    Ok(())
}
