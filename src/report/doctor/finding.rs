//! What a rule finds: a problem with its cause, its figures and its remedy; and the words that all rules share.

use crate::limits::LimitOption;
use crate::limits::units::bytes;
use crate::memory::MemoryReport;
use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Everything works; it could cost less.
    Hint,
    /// It costs noticeable time or memory.
    Warning,
    /// Work is refused, or the kernel may kill the process.
    Critical,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Name of the rule, for scripts.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub problem: String,
    /// Why that happens.
    pub cause: String,
    /// The figures behind it.
    pub evidence: String,
    /// What to do.
    pub remedy: String,
    /// The setting to change, as a line of the configuration file.
    pub setting: Option<String>,
    /// What the remedy costs.
    pub cost: String,
    /// Bytes at stake.
    pub bytes: u64,
}

/// The result of one rule.
pub(super) enum Verdict {
    Fine,
    /// The report lacks what the rule needs.
    Unknown(&'static str),
    Found(Finding),
}

impl Verdict {
    pub(super) fn of(finding: Option<Finding>) -> Self {
        finding.map_or(Self::Fine, Self::Found)
    }
}

/// A finding without the name of its rule, which [`diagnose`](super::diagnose) adds.
pub(super) struct Draft {
    pub(super) severity: Severity,
    pub(super) problem: String,
    pub(super) cause: &'static str,
    pub(super) evidence: String,
    pub(super) remedy: String,
    pub(super) setting: Option<(&'static str, u64)>,
    pub(super) cost: String,
    pub(super) bytes: u64,
}

impl From<Draft> for Finding {
    fn from(draft: Draft) -> Self {
        Self {
            rule: "",
            severity: draft.severity,
            problem: draft.problem,
            cause: draft.cause.to_owned(),
            evidence: draft.evidence,
            remedy: draft.remedy,
            setting: draft.setting.map(|(name, value)| line(name, value)),
            cost: draft.cost,
            bytes: draft.bytes,
        }
    }
}

/// A line of the configuration file.
pub(super) fn line(setting: &str, value: u64) -> String {
    match LimitOption::named(setting) {
        Some(option) => format!("{setting} = {}", option.unit.to_toml(value as usize)),
        None => format!("{setting} = {value}"),
    }
}

/// How a limit is raised, by who sets it: as a sentence, and as a setting where one does it.
pub(super) fn raised_limit(report: &MemoryReport, wanted: u64) -> (String, Option<(&'static str, u64)>) {
    match report.pressure.limit_source.as_deref() {
        // A setting above the control group's limit would only have the kernel kill the process.
        Some("cgroup") => {
            let wanted = bytes(wanted);
            let text = format!(
                "Raise the limit of the control group to {wanted} (MemoryMax= of systemd, --memory of docker)"
            );
            (text, None)
        }
        _ => ("Raise the limit".to_owned(), Some(("memory_limit_bytes", wanted))),
    }
}

/// A setting, divided but not below its least useful value; `None` where that would not lower it.
pub(super) fn lowered(
    report: &MemoryReport,
    name: &'static str,
    divisor: u64,
    least: u64,
) -> Option<(&'static str, u64)> {
    let now = setting(report, name);
    let wanted = (now / divisor).max(least);
    (wanted < now).then_some((name, wanted))
}

/// A setting of the server that made the report; 0 where the report does not have it.
pub(super) fn setting(report: &MemoryReport, name: &str) -> u64 {
    report.settings.get(name).copied().unwrap_or_default()
}

/// `part` among `whole`, in percent.
pub(super) fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100).checked_div(whole).unwrap_or_default()
}

/// The sum of figures of a file, which may say anything.
pub(super) fn sum(figures: impl Iterator<Item = u64>) -> u64 {
    figures.fold(0, u64::saturating_add)
}

/// The next power of two from `wanted` on, at least a KiB.
pub(super) fn round_up(wanted: u64) -> u64 {
    const KIB: u64 = 1 << 10;
    wanted.max(KIB).checked_next_power_of_two().unwrap_or(1 << 63)
}

/// The cost of a remedy that takes up to `count` bytes.
pub(super) fn up_to(count: u64) -> String {
    format!("up to {} more memory.", bytes(count))
}
