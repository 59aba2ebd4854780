//! The command `mcpool load`: loads a server and shows what came of it.

mod compare;
mod find_max;
mod flags;
mod load_test;
mod mcp_json;
mod requirements;
mod scenario_file;

use super::error::{CliError, INTERRUPTED, TOOL_FAILED};
use crate::limits::units::bytes;
use crate::load::{
    LoadExpectation, LoadOutput, LoadProgress, LoadTestReport, LoadTestReports, LoadTestSuite, RateStep,
    write_junit, write_load_page, write_load_table,
};
use clap::ArgMatches;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use signal_hook::consts::SIGINT;
use signal_hook::flag;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use load_test::Test;

pub(super) use flags::command;

/// The schema file; a test compares it with the type.
const SCHEMA_JSON: &str = include_str!("../load/report.schema.json");

/// Loads the server. The exit code says whether it showed what it had to.
pub(super) fn run(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    if let Some(("compare", matches)) = matches.subcommand() {
        return compare::run(matches);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    if matches.get_flag("schema") {
        out.write_all(SCHEMA_JSON.as_bytes())?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    let tests = flags::tests(matches)?;
    let saved = tests.iter().map(saved_report).collect::<Result<Vec<_>, _>>()?;
    let suite = LoadTestSuite::new();
    let stop = suite.stop_flag();
    // The second Ctrl-C ends the program at once.
    flag::register_conditional_shutdown(SIGINT, i32::from(INTERRUPTED), Arc::clone(&stop))
        .map_err(CliError::Runtime)?;
    flag::register(SIGINT, Arc::clone(&stop)).map_err(CliError::Runtime)?;
    if let (Some(search), [test]) = (find_max::search(matches)?, &tests[..]) {
        return find_max::run(&suite, test, &search, matches, &mut out);
    }
    let mut reports = Vec::new();
    for (test, saved) in tests.iter().zip(&saved) {
        let line = ProgressLine::new();
        let mut report = test.run(&suite, |progress| line.show(progress))?;
        drop(line);
        let checks = test.expectations.iter().map(|expectation| expectation.check(&report, saved.as_ref()));
        let checks: Vec<_> = checks.collect();
        report.expectations.extend(checks);
        if !matches.get_flag("json") {
            write_load_table(&report, &mut out)?;
            writeln!(out)?;
            out.flush()?;
        }
        reports.push(report);
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    save(matches, "html", |out| write_load_page(&reports, out))?;
    save(matches, "junit", |out| write_junit(&reports, out))?;
    let is_passed = reports.iter().all(LoadTestReport::is_passed);
    if matches.get_flag("json") {
        let output = match <[LoadTestReport; 1]>::try_from(reports) {
            Ok([report]) => LoadOutput::Report(Box::new(report)),
            Err(reports) => LoadOutput::Reports(reports),
        };
        print_json(&output, &mut out)?;
    }
    out.flush()?;
    Ok(if stop.load(Ordering::Relaxed) {
        ExitCode::from(INTERRUPTED)
    } else if is_passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(TOOL_FAILED)
    })
}

/// Writes the file that a flag names, if it is there.
fn save(
    matches: &ArgMatches,
    flag: &str,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), CliError> {
    let Some(path) = matches.get_one::<PathBuf>(flag) else { return Ok(()) };
    let save = || {
        let mut out = BufWriter::new(File::create(path)?);
        write(&mut out)?;
        out.flush()
    };
    save().map_err(|error| {
        CliError::Output(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    })
}

fn print_json(output: &LoadOutput, out: &mut impl Write) -> Result<(), CliError> {
    serde_json::to_writer_pretty(&mut *out, output).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}

/// The saved report of a test, which must be there before a minute is spent on another.
fn saved_report(test: &Test) -> Result<Option<LoadTestReport>, CliError> {
    let Some(path) = &test.baseline else {
        if test.expectations.iter().any(LoadExpectation::is_relative) {
            return Err(CliError::Usage(
                "an expectation is beside a saved run: name its report with --baseline".to_owned(),
            ));
        }
        return Ok(None);
    };
    let fault = |why: String| CliError::Usage(format!("{}: {why}", path.display()));
    let json = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    let reports = LoadTestReports::from_json(&json).map_err(|error| fault(error.to_string()))?;
    let name = test.scenario.name();
    let found = reports.of(name).cloned().ok_or_else(|| fault(format!("there is no report of {name:?}")))?;
    Ok(Some(found))
}

/// Shows on stderr how the test is doing, if that is a terminal.
struct ProgressLine {
    bar: ProgressBar,
}

impl ProgressLine {
    fn new() -> Self {
        let style = ProgressStyle::with_template("{bar:12} {msg}");
        // Hidden where stderr is no terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        Self { bar: style.map_or(bar.clone(), |style| bar.with_style(style)) }
    }

    fn show(&self, progress: &LoadProgress) {
        if let Some(duration) = progress.duration {
            self.bar.set_length(duration.as_millis() as u64);
            self.bar.set_position(progress.elapsed.as_millis() as u64);
        }
        self.bar.set_message(line(progress));
    }

    /// Shows a step of a search that is over.
    fn step(&self, step: &RateStep) {
        let verdict = if step.missed.is_empty() { "holds" } else { "does not hold" };
        if step.rate > 0.0 {
            self.bar.println(format!("{:.1} a second: {verdict}", step.rate));
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn line(progress: &LoadProgress) -> String {
    let elapsed = progress.elapsed.as_secs();
    let phase = match progress.duration {
        _ if progress.is_warm_up => "warm-up".to_owned(),
        Some(duration) => format!("{elapsed}/{} s", duration.as_secs()),
        None => format!("{elapsed} s"),
    };
    let [p50, p95, p99] = [progress.p50_us, progress.p95_us, progress.p99_us].map(|us| us / 1e3);
    let rss = progress.server_rss_bytes.map(|rss| format!("  rss {}", bytes(rss))).unwrap_or_default();
    let (rate, failed) = (progress.rate, progress.failed);
    format!("{phase}  {rate:.0}/s  p50 {p50:.2} p95 {p95:.2} p99 {p99:.2} ms  {failed} failed{rss}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_line_of_progress_fits_a_terminal() {
        let warm_up = LoadProgress { is_warm_up: true, ..LoadProgress::default() };
        assert!(line(&warm_up).starts_with("warm-up  0/s"));
        let progress = LoadProgress {
            elapsed: Duration::from_secs(3),
            duration: Some(Duration::from_secs(30)),
            rate: 123_456.0,
            p50_us: 1e5,
            p95_us: 2e5,
            p99_us: 3e5,
            failed: 1_000,
            server_rss_bytes: Some(123 << 20),
            ..LoadProgress::default()
        };
        let line = line(&progress);
        assert!(line.starts_with("3/30 s  123456/s  p50 100.00 p95 200.00"), "{line}");
        assert!(line.len() < 100, "{}", line.len());
    }
}
