//! `mcpool load --find-max`: shows the highest rate that holds, and each step that led there.

use super::load_test::Test;
use super::{ProgressLine, print_json};
use crate::cli::error::{CliError, INTERRUPTED, TOOL_FAILED};
use crate::load::{LoadOutput, LoadTestSuite, RateSearch, write_search_table};
use clap::ArgMatches;
use std::cell::RefCell;
use std::io::Write;
use std::process::ExitCode;

/// What is expected where nobody says.
pub(super) const DEFAULT_SLO: &str = "p99=50ms,errors=0.1%";

/// The search that the flags describe, if they ask for one.
pub(super) fn search(matches: &ArgMatches) -> Result<Option<RateSearch>, CliError> {
    if !matches.get_flag("find_max") {
        return Ok(None);
    }
    let slo = matches.get_one::<String>("slo").map_or(DEFAULT_SLO, String::as_str);
    let search = RateSearch::parse(slo).map_err(|error| CliError::Usage(error.to_string()))?;
    Ok(Some(match matches.get_one::<f64>("rate") {
        Some(rate) => search.first_rate(*rate),
        None => search,
    }))
}

/// Searches; the exit code says whether a rate was found.
pub(super) fn run(
    suite: &LoadTestSuite,
    test: &Test,
    search: &RateSearch,
    is_json: bool,
    out: &mut impl Write,
) -> Result<ExitCode, CliError> {
    let line = RefCell::new(ProgressLine::new());
    let report = suite.find_max(
        &test.scenario,
        search,
        |step| line.borrow_mut().step(step),
        |progress| line.borrow_mut().show(progress),
    );
    drop(line);
    let report = report.map_err(|error| test.fault(error))?;
    let code = match report.max_rate {
        _ if report.is_interrupted => ExitCode::from(INTERRUPTED),
        Some(_) => ExitCode::SUCCESS,
        None => ExitCode::from(TOOL_FAILED),
    };
    if is_json {
        print_json(&LoadOutput::Search(Box::new(report)), out)?;
    } else {
        write_search_table(&report, out)?;
    }
    out.flush()?;
    Ok(code)
}
