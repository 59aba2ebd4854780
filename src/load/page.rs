//! A report as one HTML page with charts, without scripts and without other files.
//!
//! Pure function of a report. Invariant: the page loads nothing from anywhere, so that it can be kept and mailed.

use super::chart::{Chart, Line, Scale};
use super::markup::escape;
use super::report::{LoadTestReport, ReplayReport};
use super::table::{time, write_load_table};
use crate::limits::units::{bytes, grouped};
use std::fmt::Write as _;
use std::io;

const STYLE: &str = include_str!("page.css");

/// Writes reports as one HTML page: for each its table, latency over time, throughput against the schedule, the server's
/// memory and latency by quantile.
///
/// ```
/// use mcpool::load::{LoadTestReport, write_load_page};
///
/// fn show(found: &[LoadTestReport]) -> std::io::Result<()> {
///     write_load_page(found, &mut std::io::stdout())
/// }
/// ```
///
/// # Errors
/// When `out` refuses it.
pub fn write_load_page(reports: &[LoadTestReport], out: &mut impl io::Write) -> io::Result<()> {
    let title = reports.first().map_or("Load test", |report| report.scenario.name.as_str());
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         base-uri 'none'; form-action 'none'\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Load test: {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        escape(title)
    )?;
    for report in reports {
        section(report, out)?;
    }
    let json = serde_json::to_string(reports)?.replace('<', "\\u003c");
    write!(
        out,
        "</main>\n<script id=\"reports\" type=\"application/json\">{json}</script>\n</body>\n</html>\n"
    )
}

fn section(report: &LoadTestReport, out: &mut impl io::Write) -> io::Result<()> {
    let mut table = Vec::new();
    write_load_table(report, &mut table)?;
    let verdict = if report.is_passed() { "passed" } else { "failed" };
    write!(
        out,
        "<section>\n<h1>{} <span class=\"{verdict}\">{verdict}</span></h1>\n<pre>{}</pre>\n",
        escape(&report.scenario.name),
        escape(&String::from_utf8_lossy(&table))
    )?;
    if let Some(replay) = &report.replay {
        write_replay(replay, out)?;
    }
    writeln!(out, "<div class=\"charts\">")?;
    for (title, chart) in charts(report) {
        write!(out, "<figure>\n<figcaption>{title}</figcaption>\n{chart}</figure>\n")?;
    }
    writeln!(out, "</div>\n</section>")
}

/// What was replayed, and what of the trace was not.
fn write_replay(replay: &ReplayReport, out: &mut impl io::Write) -> io::Result<()> {
    let skipped: u64 = replay.skipped.iter().map(|skipped| skipped.count).sum();
    let reasons = replay.skipped.iter().map(|one| format!("{} {}", grouped(one.count), one.why));
    let reasons = reasons.collect::<Vec<_>>().join("; ");
    let made = replay.recorded.saturating_sub(skipped);
    let rows = [
        ("Trace", replay.trace.clone()),
        ("Speed", format!("{} times as fast as recorded", replay.speed)),
        ("Connections", grouped(replay.peers)),
        ("Requests", format!("{} of {} in the trace", grouped(made), grouped(replay.recorded))),
        ("Redacted", format!("{}, made with texts of the same lengths", grouped(replay.redacted))),
        ("Replaced", format!("{}, with arguments of this test", grouped(replay.replaced))),
        ("Skipped", if skipped == 0 { "none".to_owned() } else { reasons }),
        ("Not recorded", format!("{}, for lack of room", grouped(replay.dropped_in_recording))),
    ];
    writeln!(out, "<table class=\"facts\">\n<caption>Replay</caption>")?;
    for (name, value) in rows {
        writeln!(out, "<tr><th scope=\"row\">{name}</th><td>{}</td></tr>", escape(&value))?;
    }
    writeln!(out, "</table>")
}

/// The charts that the report has figures for.
fn charts(report: &LoadTestReport) -> Vec<(&'static str, String)> {
    let over_time = |of: &dyn Fn(&super::report::SecondReport) -> Option<f64>| -> Vec<(f64, f64)> {
        report.seconds.iter().filter_map(|second| Some((second.at_s, of(second)?))).collect()
    };
    let answered = |us: f64| (us > 0.0).then_some(us);
    let seconds = |s: f64| format!("{s:.0} s");
    let rate = |rate: f64| format!("{rate:.0}");
    let mut charts = vec![
        (
            "Latency over time",
            Chart { x: Scale::Linear, y: Scale::Log, x_label: &seconds, y_label: &time }.draw(&[
                Line { name: "p99", class: "c", points: over_time(&|second| answered(second.p99_us)) },
                Line { name: "p95", class: "b", points: over_time(&|second| answered(second.p95_us)) },
                Line { name: "p50", class: "a", points: over_time(&|second| answered(second.p50_us)) },
            ]),
        ),
        (
            "Answers a second, against the schedule",
            Chart { x: Scale::Linear, y: Scale::Linear, x_label: &seconds, y_label: &rate }.draw(&[
                Line { name: "scheduled", class: "d", points: over_time(&|second| second.scheduled) },
                Line {
                    name: "answered",
                    class: "a",
                    points: over_time(&|second| Some(second.answered as f64)),
                },
                Line { name: "failed", class: "c", points: over_time(&|second| Some(second.failed as f64)) },
            ]),
        ),
    ];
    let memory = over_time(&|second| second.server_rss_bytes.map(|bytes| bytes as f64));
    if !memory.is_empty() {
        let size = |size: f64| bytes(size as u64);
        let chart = Chart { x: Scale::Linear, y: Scale::Linear, x_label: &seconds, y_label: &size };
        charts.push((
            "Resident memory of the server",
            chart.draw(&[Line { name: "resident", class: "b", points: memory }]),
        ));
    }
    if let Some(latency) = &report.latency {
        // 1 in so many takes longer: the axis of Gil Tene's HdrHistogram plots.
        let points = latency.quantiles.iter().filter(|point| point.quantile < 1.0);
        let points = points.map(|point| (1.0 / (1.0 - point.quantile), point.us)).collect();
        let share = |one_in: f64| {
            let mut text = String::new();
            let digits = (one_in.log10().round() as usize).saturating_sub(2);
            let _ = write!(text, "{:.digits$} %", (1.0 - 1.0 / one_in) * 100.0);
            text
        };
        let chart = Chart { x: Scale::Log, y: Scale::Log, x_label: &share, y_label: &time };
        charts
            .push(("Latency by quantile", chart.draw(&[Line { name: "all requests", class: "a", points }])));
    }
    charts
}

#[cfg(test)]
mod tests {
    use super::super::report::{SecondReport, SkippedReport};
    use super::super::sample;
    use super::*;

    #[test]
    fn a_page_stands_alone_whatever_a_server_says() {
        let mut report = sample::report(4_000.0, 100.0, 0.0);
        report.scenario.name = "<script>alert('x')</script>".to_owned();
        report.ended_early = Some("</script><img src=http://x>\u{1b}[31m".to_owned());
        for at_s in [1.0, 2.0, 3.0] {
            report.seconds.push(SecondReport {
                at_s,
                scheduled: Some(100.0),
                begun: 100,
                answered: 90,
                failed: 1,
                p50_us: 100.0 * at_s,
                p95_us: 2_000.0,
                p99_us: 30_000.0,
                max_us: 40_000.0,
                server_rss_bytes: Some(30 << 20),
            });
        }
        let mut page = Vec::new();
        write_load_page(&[report], &mut page).expect("written");
        let page = String::from_utf8(page).expect("text");
        assert_eq!(page.matches("<svg").count(), 4, "{page}");
        assert_eq!(page.matches("<script").count(), 1, "only the report itself: {page}");
        assert!(!page.contains("<img") && !page.contains('\u{1b}') && !page.contains("NaN"), "{page}");
        for part in ["prefers-color-scheme: dark", "default-src 'none'", "Latency by quantile"] {
            assert!(page.contains(part), "{part} is missing");
        }
    }

    #[test]
    fn the_page_of_a_replay_says_what_was_replayed() {
        let mut report = sample::report(4_000.0, 100.0, 0.0);
        let skipped = SkippedReport { why: "notifications".to_owned(), count: 2_000 };
        report.replay = Some(ReplayReport {
            trace: "<traffic>.jsonl".to_owned(),
            speed: 2.5,
            peers: 3,
            recorded: 12_000,
            skipped: vec![skipped],
            redacted: 70,
            replaced: 5,
            dropped_in_recording: 0,
            is_torn: false,
            stopped: None,
        });
        let mut page = Vec::new();
        write_load_page(&[report], &mut page).expect("written");
        let page = String::from_utf8(page).expect("text");
        for part in [
            "&lt;traffic&gt;.jsonl",
            "2.5 times as fast",
            "10,000 of 12,000 in the trace",
            "<td>70, made with",
            "<td>5, with",
            "<td>2,000 notifications</td>",
        ] {
            assert!(page.contains(part), "{part} is missing in {page}");
        }
    }

    #[test]
    fn a_report_of_nothing_has_a_page_too() {
        let mut report = sample::report(0.0, 0.0, 0.0);
        report.latency = None;
        let mut page = Vec::new();
        write_load_page(&[report], &mut page).expect("written");
        assert!(String::from_utf8(page).expect("text").contains("no figures"));
    }
}
