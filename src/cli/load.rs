//! The command `mcpool load`: loads a server and shows what came of it.

mod compare;
mod find_max;
mod flags;
mod load_test;
mod mcp_json;
mod output;
mod progress;
mod replay;
mod requirements;
mod scenario_file;

use super::error::{CliError, INTERRUPTED, TOOL_FAILED};
use super::named_file::{MAX_FILE_BYTES, read_text};
use crate::load::{
    LoadExpectation, LoadOutput, LoadTestReport, LoadTestReports, LoadTestSuite, write_junit,
    write_load_page, write_load_table,
};
use clap::ArgMatches;
use signal_hook::consts::SIGINT;
use signal_hook::flag;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use load_test::Test;
use output::{print_json, save};
use progress::ProgressLine;

pub(super) use flags::flags;

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
    let json = read_text(path, MAX_FILE_BYTES).map_err(|error| fault(error.to_string()))?;
    let reports = LoadTestReports::from_json(&json).map_err(|error| fault(error.to_string()))?;
    let name = test.scenario.name();
    let found = reports.of(name).cloned().ok_or_else(|| fault(format!("there is no report of {name:?}")))?;
    Ok(Some(found))
}
