//! The section of alerts: what lasts, and what was over not long ago.

use super::layout::{Cell, Column, Section, Sentence};
use crate::limits::units::duration;
use crate::memory::MemoryReport;
use crate::monitor::Alert;

pub(super) fn alerts(report: &MemoryReport) -> Option<Section> {
    let rows = report.alerts.iter().map(|alert| {
        let ago = |unix_ms: u64| duration(report.taken_unix_ms.saturating_sub(unix_ms));
        let (state, since_unix_ms) = match alert.resolved_unix_ms {
            None => (alert.severity.name(), alert.since_unix_ms),
            Some(resolved_unix_ms) => ("over", resolved_unix_ms),
        };
        vec![
            Cell::name(&alert.subject),
            Cell::text(alert.kind.name()),
            Cell::text(state),
            Cell::text(ago(since_unix_ms)),
            Cell::text(alert.times.to_string()),
        ]
    });
    let columns = vec![
        Column::name("alert"),
        Column::figure("kind", 1),
        Column::figure("state", 0),
        Column::figure("since", 0),
        Column::figure("times", 2),
    ];
    let lasting = report.alerts.iter().filter(|alert| alert.is_active());
    let title = format!("Alerts: {} now", lasting.clone().count());
    Section { title, columns, rows: rows.collect(), notes: lasting.map(note).collect() }.unless_empty()
}

fn note(alert: &Alert) -> Sentence {
    vec![
        Cell::name(&alert.subject),
        Cell::text(format!(" {}; {}. Likely cause: ", alert.what, alert.against)),
        Cell::name(&alert.cause),
        Cell::text(format!(". More: {}", alert.command)),
    ]
}
