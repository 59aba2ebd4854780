//! A report as text for a terminal.

use super::report::{LatencyReport, LoadTestReport, ServerUse};
use crate::limits::units::{bytes, grouped};
use std::io::{self, Write};

/// Writes a report as text.
///
/// # Errors
/// When `out` refuses it.
pub fn write_load_table(report: &LoadTestReport, out: &mut impl Write) -> io::Result<()> {
    let facts = &report.scenario;
    writeln!(out, "{}: {} ({}, {})", facts.name, shown(&facts.target), facts.transport, facts.revision)?;
    let in_flight =
        if facts.in_flight == 1 { String::new() } else { format!(", {} in flight each", facts.in_flight) };
    let connections = plural(facts.connections, "connection");
    let seconds = report.measured_ms / 1e3;
    writeln!(out, "{}, {connections}{in_flight}, {seconds:.1} s", facts.pattern)?;
    if let Some(why) = &report.ended_early {
        writeln!(out, "ENDED EARLY: {}", shown(why))?;
    }
    writeln!(out)?;
    write_requests(report, out)?;
    write_latencies(report, out)?;
    write_failures(report, out)?;
    if let Some(server) = &report.server {
        write_server(server, out)?;
    }
    let generator = &report.generator;
    write!(out, "\ngenerator  {:.0} % of a processor", generator.cpu_load * 100.0)?;
    if generator.lag_max_us > 0.0 {
        let (p99, max) = (time(generator.lag_p99_us), time(generator.lag_max_us));
        write!(out, "; began requests at most {p99} (p99), {max} (max) later than it could")?;
    }
    writeln!(out)?;
    if let Some(why) = &generator.bottleneck {
        writeln!(out, "           THE GENERATOR IS THE BOTTLENECK: {why}")?;
    }
    for (index, expectation) in report.expectations.iter().enumerate() {
        let title = if index == 0 { "\nexpected " } else { "         " };
        let outcome = if expectation.is_met { "met" } else { "MISSED" };
        let bound = expectation.bound.as_deref().map(|bound| format!(", bound {bound}")).unwrap_or_default();
        writeln!(out, "{title}  {outcome:6}  {} (found {}{bound})", expectation.expected, expectation.found)?;
    }
    Ok(())
}

fn write_requests(report: &LoadTestReport, out: &mut impl Write) -> io::Result<()> {
    let counts = &report.requests;
    writeln!(
        out,
        "requests   {} answered ({:.1} a second), {} failed, {} dropped, {} late: {:.3} % errors",
        grouped(counts.answered),
        counts.rate,
        grouped(counts.failed),
        grouped(counts.dropped),
        grouped(counts.late),
        counts.error_ratio * 100.0
    )?;
    if counts.unexpected > 0 {
        writeln!(out, "           {} answered nothing that was asked", plural(counts.unexpected, "message"))?;
    }
    if counts.broken_connections > 0 {
        writeln!(
            out,
            "           {} broke or were refused",
            plural(counts.broken_connections, "connection")
        )?;
    }
    Ok(())
}

fn write_latencies(report: &LoadTestReport, out: &mut impl Write) -> io::Result<()> {
    let names =
        report.operations.iter().map(|operation| operation.tool.as_deref().unwrap_or(&operation.method));
    let mut rows: Vec<(String, u64, Option<&LatencyReport>)> = names
        .map(shown)
        .zip(&report.operations)
        .map(|(name, operation)| (name, operation.answered, operation.latency.as_ref()))
        .collect();
    if rows.len() > 1 {
        rows.push(("all".to_owned(), report.requests.answered, report.latency.as_ref()));
    }
    let widest = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or_default().max(9);
    let titles = ["answered", "p50", "p90", "p95", "p99", "p99.9", "max"];
    write!(out, "\n{:widest$}", "latency")?;
    titles.iter().try_for_each(|title| write!(out, "  {title:>10}"))?;
    for (name, answered, latency) in rows {
        write!(out, "\n{name:widest$}  {:>10}", grouped(answered))?;
        let Some(latency) = latency else { continue };
        let LatencyReport { p50_us, p90_us, p95_us, p99_us, p999_us, max_us, .. } = *latency;
        for us in [p50_us, p90_us, p95_us, p99_us, p999_us, max_us] {
            write!(out, "  {:>10}", time(us))?;
        }
    }
    writeln!(out)
}

fn write_failures(report: &LoadTestReport, out: &mut impl Write) -> io::Result<()> {
    for (index, failure) in report.failures.iter().enumerate() {
        let title = if index == 0 { "\nfailures " } else { "         " };
        write!(out, "{title}  {} {}", grouped(failure.count), failure.kind.name())?;
        if let Some(example) = &failure.example {
            write!(out, ", the first: {}", shown(example))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn write_server(server: &ServerUse, out: &mut impl Write) -> io::Result<()> {
    let (before, peak) = (bytes(server.rss_before_bytes), bytes(server.rss_peak_bytes));
    write!(out, "\nserver     {before} resident before, {peak} at most")?;
    if let Some(after) = server.rss_after_bytes {
        write!(out, ", {} after {:.1} s", bytes(after), server.settle_ms as f64 / 1e3)?;
    }
    writeln!(out)?;
    if let (Some(load), Some(each)) = (server.cpu_load, server.cpu_per_request_us) {
        writeln!(out, "           {:.0} % of a processor, {} for each answer", load * 100.0, time(each))?;
    }
    if let Some(each) = server.bytes_per_connection {
        writeln!(out, "           {} for each connection", bytes(each as u64))?;
    }
    Ok(())
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

/// A text of others, without what would steer a terminal.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
