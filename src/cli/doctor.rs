//! The command `mcpool doctor`: prints what is wrong with a server's memory, and what to do about it.

use super::error::CliError;
use super::report;
use crate::report::{Severity, diagnose};
use clap::ArgMatches;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

/// Prints the findings. The exit code is 1 when one of them is worse than a hint.
pub(super) fn run(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    let report = report::read(matches.get_one::<String>("source").map(String::as_str))?;
    let diagnosis = diagnose(&report);
    let mut out = BufWriter::new(io::stdout().lock());
    if matches.get_flag("json") {
        serde_json::to_writer_pretty(&mut out, &diagnosis).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        diagnosis.write(&mut out)?;
    }
    out.flush()?;
    let needs_attention = diagnosis.worst() >= Some(Severity::Warning);
    Ok(if needs_attention { ExitCode::from(1) } else { ExitCode::SUCCESS })
}
