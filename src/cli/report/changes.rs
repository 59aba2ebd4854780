//! The command `mcpool report changes`: when memory and latencies changed in a record, with an exit code for scripts.

use super::super::error::CliError;
use super::source::{nothing_in, read_all, width};
use crate::monitor::ChangeTerms;
use crate::report::record_changes;
use crate::visible;
use clap::ArgMatches;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

/// Prints the changes. The exit code is 1 when something got worse.
pub(super) fn run(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    let mut reports = Vec::new();
    let records = || matches.get_many::<String>("records").into_iter().flatten();
    for source in records() {
        reports.extend(read_all(source)?);
    }
    if reports.is_empty() {
        return Err(nothing_in(records()));
    }
    reports.sort_by_key(|report| report.taken_unix_ms);
    let usual = ChangeTerms::default();
    let percent = matches.get_one::<f64>("magnitude").copied();
    let least_magnitude = percent.map_or(usual.least_magnitude, |percent| percent / 100.0);
    let found = record_changes(&reports, ChangeTerms { least_magnitude, ..usual });
    let stdout = io::stdout();
    let width = width(&stdout);
    let mut out = BufWriter::new(stdout.lock());
    if matches.get_flag("json") {
        visible::write_json(&mut out, &found)?;
        writeln!(out)?;
    } else {
        found.write(width, &mut out)?;
    }
    out.flush()?;
    Ok(if found.is_fine() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
