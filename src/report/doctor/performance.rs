//! Rules about time: the alerts of the monitor that last.

use super::finding::{Draft, Finding, Severity, Verdict};
use crate::limits::units::duration;
use crate::memory::MemoryReport;
use crate::monitor::{self, Alert, AlertKind};

/// What takes longer than it usually does.
pub(super) fn slower_than_usual(report: &MemoryReport) -> Verdict {
    found(report, AlertKind::Regression, |alert| {
        Draft {
        severity: severity(alert),
        problem: format!("{} takes longer than usual.", alert.subject),
        cause: "",
        evidence: evidence(report, alert),
        remedy: "See what changed at that time: a version, a disk, a client. Compare `mcpool report` with a saved one."
            .to_owned(),
        setting: None,
        cost: "nothing.".to_owned(),
        bytes: 0,
    }
    })
}

/// What takes longer than is required.
pub(super) fn slower_than_required(report: &MemoryReport) -> Verdict {
    found(report, AlertKind::Requirement, |alert| {
        Draft {
        severity: severity(alert),
        problem: format!("{} take longer than is required of them.", alert.subject),
        cause: "",
        evidence: evidence(report, alert),
        remedy: "Look for the method or tool that takes most time in `mcpool report`; where the requirement asks too \
                 much of this machine, raise it (max_message_p95_us, max_round_trip_p95_us, max_correlation_p95_us, \
                 max_negotiation_p95_ms)."
            .to_owned(),
        setting: None,
        cost: "a higher requirement is noticed later.".to_owned(),
        bytes: 0,
    }
    })
}

/// The worst alert of a kind that lasts; the report has it first.
fn found(report: &MemoryReport, kind: AlertKind, draft: impl Fn(&Alert) -> Draft) -> Verdict {
    let lasting = report.alerts.iter().find(|alert| alert.is_active() && alert.kind == kind);
    Verdict::of(lasting.map(|alert| Finding { cause: format!("{}.", alert.cause), ..draft(alert).into() }))
}

fn severity(alert: &Alert) -> Severity {
    match alert.severity {
        monitor::Severity::Warning => Severity::Warning,
        monitor::Severity::Critical => Severity::Critical,
    }
}

fn evidence(report: &MemoryReport, alert: &Alert) -> String {
    let since = duration(report.taken_unix_ms.saturating_sub(alert.since_unix_ms));
    let times = if alert.times > 1 { format!(", {} times by now", alert.times) } else { String::new() };
    format!("for {since}{times}: {}; {}.", alert.what, alert.against)
}
