//! A report as text for a terminal.

use super::report::{
    GeneratorUse, LatencyReport, LoadOperationReport, LoadTestReport, ReplayReport, ServerUse,
};
use crate::limits::units::{bytes, grouped};
use crate::visible;
use std::fmt::Write as _;
use std::io::{self, Write};

/// The columns of a terminal that nobody widened.
const WIDTH: usize = 80;
/// The columns of the word that says what a line is about.
const INDENT: usize = 11;
/// A longer name has a line of its own.
const MAX_NAME: usize = 22;

/// Writes a report as text of at most 80 columns.
///
/// ```
/// use mcpool::load::{LoadTestReport, write_load_table};
///
/// fn show(found: &LoadTestReport) -> std::io::Result<()> {
///     write_load_table(found, &mut std::io::stdout())
/// }
/// ```
///
/// # Errors
/// When `out` refuses it.
pub fn write_load_table(report: &LoadTestReport, out: &mut impl Write) -> io::Result<()> {
    let facts = &report.scenario;
    let transport = format!("{}, {}", facts.transport, facts.revision);
    paragraph(
        out,
        "",
        &format!("{}: {} ({transport})", visible::line(&facts.name), visible::line(&facts.target)),
    )?;
    let in_flight =
        if facts.in_flight == 1 { String::new() } else { format!(", {} in flight each", facts.in_flight) };
    let connections = plural(facts.connections, "connection");
    let seconds = report.measured_ms / 1e3;
    paragraph(out, "", &format!("{}, {connections}{in_flight}, {seconds:.1} s", facts.pattern))?;
    if let Some(why) = &report.ended_early {
        paragraph(out, "", &format!("ENDED EARLY: {}", visible::line(why)))?;
    }
    writeln!(out)?;
    write_requests(report, out)?;
    if let Some(replay) = &report.replay {
        write_replay(replay, out)?;
    }
    write_latencies(report, out)?;
    write_failures(report, out)?;
    if let Some(recovery) = &report.recovery {
        let before = time(recovery.p90_before_us);
        let text = match recovery.recovered_ms {
            Some(ms) => format!("{} after the spike as fast as before it (p90 {before})", time(ms * 1e3)),
            None => format!("not until the end as fast as before the spike (p90 {before})"),
        };
        writeln!(out)?;
        paragraph(out, "recovery", &text)?;
    }
    if let Some(server) = &report.server {
        writeln!(out)?;
        write_server(server, out)?;
    }
    writeln!(out)?;
    write_generator(&report.generator, out)?;
    write_places(report, out)?;
    for (index, expectation) in report.expectations.iter().enumerate() {
        if index == 0 {
            writeln!(out)?;
        }
        let outcome = if expectation.is_met { "met   " } else { "MISSED" };
        let bound = expectation.bound.as_deref().map(|bound| format!(", bound {bound}")).unwrap_or_default();
        let (title, found) = (if index == 0 { "expected" } else { "" }, &expectation.found);
        writeln!(out, "{title:INDENT$}{outcome}  {} (found {found}{bound})", expectation.expected)?;
    }
    Ok(())
}

/// Writes a text behind its title, as many lines of it as are needed.
pub(super) fn paragraph(out: &mut impl Write, title: &str, text: &str) -> io::Result<()> {
    let indent = if title.is_empty() { 0 } else { INDENT };
    let mut line = if title.is_empty() { String::new() } else { format!("{title:INDENT$}") };
    let (mut columns, mut is_fresh) = (line.chars().count(), true);
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        if !is_fresh && columns + 1 + length > WIDTH {
            writeln!(out, "{line}")?;
            // Lines of a title stand below its text, others are indented a little.
            line = " ".repeat(if indent == 0 { 2 } else { indent });
            (columns, is_fresh) = (line.len(), true);
        }
        if !is_fresh {
            line.push(' ');
            columns += 1;
        }
        line.push_str(word);
        (columns, is_fresh) = (columns + length, false);
    }
    writeln!(out, "{line}")
}

fn write_requests(report: &LoadTestReport, out: &mut impl Write) -> io::Result<()> {
    let counts = &report.requests;
    let text = format!(
        "{} answered ({:.1} a second), {} failed, {} dropped, {} late: {:.3} % errors",
        grouped(counts.answered),
        counts.rate,
        grouped(counts.failed),
        grouped(counts.dropped),
        grouped(counts.late),
        counts.error_ratio * 100.0
    );
    paragraph(out, "requests", &text)?;
    if report.operations.iter().any(|operation| operation.batch > 1) {
        let messages: u64 = report.operations.iter().map(|one| one.answered * one.batch).sum();
        let rate = messages as f64 * 1e3 / report.measured_ms.max(1e-6);
        let text = format!(
            "{} answered ({rate:.1} a second), where a batch is one request",
            plural(messages, "message")
        );
        paragraph(out, " ", &text)?;
    }
    if counts.unanswered > 0 {
        let text = format!("{} still without an answer at the end", plural(counts.unanswered, "request"));
        paragraph(out, " ", &text)?;
    }
    if counts.warm_up_failed > 0 {
        let mut text =
            format!("{} of the warm-up failed or had no answer", plural(counts.warm_up_failed, "request"));
        if let Some(example) = &report.warm_up_example {
            text.extend([", the first: ", &visible::line(example)]);
        }
        paragraph(out, " ", &text)?;
    }
    if counts.unexpected > 0 {
        let example = report.unexpected_example.as_deref().unwrap_or_default();
        let text = format!("{} answered nothing that was asked", plural(counts.unexpected, "message"));
        paragraph(out, " ", &format!("{text}, the first: {}", visible::line(example)))?;
    }
    if counts.broken_connections > 0 {
        let text = format!("{} broke or were refused", plural(counts.broken_connections, "connection"));
        paragraph(out, " ", &text)?;
    }
    Ok(())
}

fn write_replay(replay: &ReplayReport, out: &mut impl Write) -> io::Result<()> {
    let recorded = plural(replay.recorded, "request");
    let mut text = format!("{recorded} of {} in the trace", plural(replay.peers, "connection"));
    for skipped in &replay.skipped {
        let _ = write!(text, "; skipped {} {}", grouped(skipped.count), skipped.why);
    }
    paragraph(out, "replay", &text)?;
    if replay.redacted > 0 {
        let text = format!(
            "{} had redacted arguments or names, and were made with others of the same lengths: a server may answer \
             with isError",
            grouped(replay.redacted)
        );
        paragraph(out, " ", &text)?;
    }
    if replay.replaced > 0 {
        paragraph(out, " ", &format!("{} with arguments of this test", plural(replay.replaced, "request")))?;
    }
    if replay.dropped_in_recording > 0 {
        let text = format!("{} are missing: the recorder had no room", grouped(replay.dropped_in_recording));
        paragraph(out, " ", &text)?;
    }
    if let Some(why) = &replay.stopped {
        paragraph(out, " ", &format!("the recorder stopped before the server: {}", visible::line(why)))?;
    }
    if replay.is_torn {
        paragraph(out, " ", "the trace ends amid a line, which was left out")?;
    }
    Ok(())
}

fn write_latencies(report: &LoadTestReport, out: &mut impl Write) -> io::Result<()> {
    let name = |operation: &LoadOperationReport| {
        let name = visible::line(operation.tool.as_deref().unwrap_or(&operation.method));
        if operation.batch > 1 { format!("{name} x{}", operation.batch) } else { name }
    };
    let mut rows: Vec<(String, u64, Option<&LatencyReport>)> = report
        .operations
        .iter()
        .map(|operation| (name(operation), operation.answered, operation.latency.as_ref()))
        .collect();
    if rows.len() > 1 {
        rows.push(("all".to_owned(), report.requests.answered, report.latency.as_ref()));
    }
    if let Some(all) = &report.latency_with_time_outs {
        rows.push(("with time-outs".to_owned(), all.count, Some(all)));
    }
    let lengths = rows.iter().map(|(name, ..)| name.chars().count());
    let widest = lengths.filter(|length| *length <= MAX_NAME).max().unwrap_or_default().max(9);
    let titles = ["p50", "p95", "p99", "p99.9", "max"];
    write!(out, "\n{:widest$}  {:>11}", "latency", "answered")?;
    titles.iter().try_for_each(|title| write!(out, "  {title:>7}"))?;
    for (name, answered, latency) in rows {
        write!(out, "\n{name:widest$}")?;
        if name.chars().count() > widest {
            write!(out, "\n{:widest$}", "")?;
        }
        write!(out, "  {:>11}", grouped(answered))?;
        let Some(latency) = latency else { continue };
        let LatencyReport { p50_us, p95_us, p99_us, p999_us, max_us, .. } = *latency;
        for us in [p50_us, p95_us, p99_us, p999_us, max_us] {
            write!(out, "  {:>7}", time(us))?;
        }
    }
    writeln!(out)
}

fn write_failures(report: &LoadTestReport, out: &mut impl Write) -> io::Result<()> {
    for (index, failure) in report.failures.iter().enumerate() {
        if index == 0 {
            writeln!(out)?;
        }
        let mut text = format!("{} {}", grouped(failure.count), failure.kind.name());
        if let Some(example) = &failure.example {
            text.extend([", the first: ", &visible::line(example)]);
        }
        paragraph(out, if index == 0 { "failures" } else { " " }, &text)?;
    }
    Ok(())
}

fn write_server(server: &ServerUse, out: &mut impl Write) -> io::Result<()> {
    let (before, peak) = (bytes(server.rss_before_bytes), bytes(server.rss_peak_bytes));
    let mut text = format!("{before} resident before, {peak} at most");
    if let Some(after) = server.rss_after_bytes {
        let _ = write!(text, ", {} after {:.1} s", bytes(after), server.settle_ms as f64 / 1e3);
    }
    paragraph(out, "server", &text)?;
    if let (Some(load), Some(each)) = (server.cpu_load, server.cpu_per_request_us) {
        let text = format!("{:.0} % of a processor, {} for each answer", load * 100.0, time(each));
        paragraph(out, " ", &text)?;
    }
    if let Some(each) = server.bytes_per_connection {
        paragraph(out, " ", &format!("{} for each connection", bytes(each as u64)))?;
    }
    Ok(())
}

/// Says where both ran: one request in flight takes several times as long between two processors as on one.
fn write_places(report: &LoadTestReport, out: &mut impl Write) -> io::Result<()> {
    let server = report.server.as_ref().and_then(|server| server.allowed_cpus.as_deref());
    let places = [("generator", report.generator.allowed_cpus.as_deref()), ("server", server)];
    let known = places.into_iter().filter_map(|(who, cpus)| Some(format!("{who} on {}", cpus?)));
    let known: Vec<_> = known.collect();
    if known.is_empty() { Ok(()) } else { paragraph(out, "processors", &known.join(", ")) }
}

fn write_generator(generator: &GeneratorUse, out: &mut impl Write) -> io::Result<()> {
    let mut text = format!("{:.0} % of a processor", generator.cpu_load * 100.0);
    if generator.lag_max_us > 0.0 {
        let (p99, max) = (time(generator.lag_p99_us), time(generator.lag_max_us));
        let _ = write!(text, "; began requests at most {p99} (p99), {max} (max) later than it could");
    }
    paragraph(out, "generator", &text)?;
    match &generator.bottleneck {
        Some(why) => paragraph(out, " ", &format!("THE GENERATOR IS THE BOTTLENECK: {why}")),
        None => Ok(()),
    }
}

/// Microseconds with three digits and their unit.
pub(super) fn time(us: f64) -> String {
    let (figure, unit) = match us {
        _ if us >= 1e6 => (us / 1e6, "s"),
        _ if us >= 1e3 => (us / 1e3, "ms"),
        _ => (us, "us"),
    };
    let digits = if figure >= 100.0 {
        0
    } else if figure >= 10.0 {
        1
    } else {
        2
    };
    format!("{figure:.digits$} {unit}")
}

fn plural(count: u64, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", grouped(count))
}

#[cfg(test)]
mod tests {
    use super::super::failure::FailureKind;
    use super::super::report::{FailureReport, LoadOperationReport};
    use super::super::sample;
    use super::*;

    #[test]
    fn a_table_fits_a_terminal_whatever_a_server_says() {
        let mut report = sample::report(123_456.0, 12_345.6, 0.001);
        report.scenario.target = "word ".repeat(40);
        report.ended_early = Some("the server ended ".repeat(10));
        report.latency_with_time_outs.clone_from(&report.latency);
        report.generator.lag_max_us = 1.0;
        report.generator.bottleneck = Some("it is slow ".repeat(20));
        (report.requests.unexpected, report.unexpected_example) = (3, Some("what else ".repeat(20)));
        let example = Some("oh no ".repeat(50));
        report.failures = vec![FailureReport { kind: FailureKind::WrongAnswer, count: 12_345_678, example }];
        for name in ["echo", "a_tool_with_a_name_that_is_much_longer_than_others_are"] {
            report.operations.push(LoadOperationReport {
                method: "tools/call".to_owned(),
                tool: Some(name.to_owned()),
                batch: 1,
                answered: 123_456_789,
                failed: 0,
                timed_out: 0,
                latency: report.latency.clone(),
                windows: Vec::new(),
            });
        }
        let mut text = Vec::new();
        write_load_table(&report, &mut text).expect("written");
        let text = String::from_utf8(text).expect("text");
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{} columns: {line}", line.chars().count());
        }
        assert!(
            text.contains("with time-outs") && text.contains("\nfailures   12,345,678 wrong answer"),
            "{text}"
        );
    }

    #[test]
    fn times_have_three_digits_and_a_unit() {
        for (us, want) in [
            (0.5, "0.50 us"),
            (12.34, "12.3 us"),
            (999.0, "999 us"),
            (1_234.0, "1.23 ms"),
            (61_000_000.0, "61.0 s"),
        ] {
            assert_eq!(time(us), want);
        }
    }
}
