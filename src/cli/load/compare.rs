//! `mcpool load compare`: tells what changed between two saved reports beyond the noise.

use super::output::print_json;
use crate::cli::error::{CliError, TOOL_FAILED};
use crate::cli::named_file::{MAX_FILE_BYTES, read_text};
use crate::load::{LoadComparison, LoadOutput, LoadTestReport, LoadTestReports, write_load_comparison};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const AFTER: &str = "Each report has windows, whose figures differ by chance. A figure has changed
where their ranks differ by more than chance would have it (Mann and Whitney),
and the figure by --least and by half of the noise at least.

Exit codes: 0 nothing got worse, 1 something did or nobody can tell, 2 wrong
usage.";

/// The command with its flags.
pub(super) fn command() -> Command {
    let file = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).value_name(value).required(true).value_parser(value_parser!(PathBuf)).help(help)
    };
    Command::new("compare")
        .about("Tell what changed between two saved reports (--json) beyond the noise, tool by tool")
        .after_help(AFTER)
        .arg(file("before", "BEFORE", "The report of the run before"))
        .arg(file("after", "AFTER", "The report of the run after"))
        .arg(
            Arg::new("least")
                .long("least")
                .value_name("PERCENT")
                .default_value("5%")
                .value_parser(percent)
                .help("A smaller change is none"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print the comparison as JSON"))
}

fn percent(text: &str) -> Result<f64, String> {
    let percent = text.trim().strip_suffix('%').and_then(|text| text.trim().parse::<f64>().ok());
    match percent {
        Some(percent) if percent > 0.0 && percent.is_finite() => Ok(percent / 100.0),
        _ => Err("write a share, as 5%".to_owned()),
    }
}

/// Compares; the exit code says whether anything got worse.
pub(super) fn run(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    let file = |name: &str| matches.get_one::<PathBuf>(name).map(|path| read(path)).transpose();
    let (Some(before), Some(after)) = (file("before")?, file("after")?) else {
        return Err(CliError::Usage("two reports are compared".to_owned()));
    };
    let least = matches.get_one::<f64>("least").copied().unwrap_or_default();
    let is_missing = |name: &str| after.of(name).is_none();
    if let Some(gone) = before.reports().iter().find(|report| is_missing(&report.scenario.name)) {
        let name = &gone.scenario.name;
        return Err(CliError::Usage(format!("the report after has no scenario {name:?}")));
    }
    let mut comparisons = Vec::new();
    for report in after.reports() {
        let name = &report.scenario.name;
        let was: Option<&LoadTestReport> = before.of(name);
        let was =
            was.ok_or_else(|| CliError::Usage(format!("the report before has no scenario {name:?}")))?;
        comparisons.push(LoadComparison::of(was, report, least));
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let is_passed = comparisons.iter().all(LoadComparison::is_passed);
    if matches.get_flag("json") {
        print_json(&LoadOutput::Comparisons(comparisons), &mut out)?;
    } else {
        comparisons.iter().try_for_each(|comparison| write_load_comparison(comparison, &mut out))?;
    }
    out.flush()?;
    Ok(if is_passed { ExitCode::SUCCESS } else { ExitCode::from(TOOL_FAILED) })
}

fn read(path: &Path) -> Result<LoadTestReports, CliError> {
    let fault = |why: String| CliError::Usage(format!("{}: {why}", path.display()));
    let json = read_text(path, MAX_FILE_BYTES).map_err(|error| fault(error.to_string()))?;
    let reports = LoadTestReports::from_json(&json).map_err(|error| fault(error.to_string()))?;
    if reports.reports().is_empty() {
        return Err(fault("there is no report in it".to_owned()));
    }
    Ok(reports)
}
