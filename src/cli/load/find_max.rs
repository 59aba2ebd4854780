//! `mcpool load --find-max`: shows the highest rate that holds, and each step that led there.

use super::load_test::Test;
use super::output::{print_json, save};
use super::progress::ProgressLine;
use crate::cli::error::{CliError, INTERRUPTED, TOOL_FAILED};
use crate::load::{LoadOutput, LoadTestSuite, RateSearch, write_load_page, write_search_table};
use clap::ArgMatches;
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
    matches: &ArgMatches,
    out: &mut impl Write,
) -> Result<ExitCode, CliError> {
    let line = ProgressLine::new();
    let report =
        suite.find_max(&test.scenario, search, |step| line.step(step), |progress| line.show(progress));
    drop(line);
    let report = report.map_err(|error| test.fault(error))?;
    let code = match report.max_rate {
        _ if report.is_interrupted => ExitCode::from(INTERRUPTED),
        Some(_) => ExitCode::SUCCESS,
        None => ExitCode::from(TOOL_FAILED),
    };
    save(matches, "html", |out| write_load_page(report.confirmation.as_slice(), out))?;
    if matches.get_flag("json") {
        print_json(&LoadOutput::Search(Box::new(report)), out)?;
    } else {
        write_search_table(&report, out)?;
    }
    out.flush()?;
    Ok(code)
}
