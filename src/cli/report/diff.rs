//! The command `mcpool report diff`: what grew between two reports, with an exit code for scripts.

use super::super::error::CliError;
use super::source::{read, width};
use crate::report::difference;
use crate::visible;
use clap::ArgMatches;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

/// Prints the difference. The exit code is 1 when something grew beyond the tolerance.
pub(super) fn run(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    let source = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let percent = matches.get_one::<f64>("tolerance").copied().unwrap_or(10.0);
    let (before, after) = (read(source("before"))?, read(source("after"))?);
    let difference = difference(&before, &after, percent / 100.0);
    let stdout = io::stdout();
    let width = width(&stdout);
    let mut out = BufWriter::new(stdout.lock());
    if matches.get_flag("json") {
        visible::write_json(&mut out, &difference)?;
        writeln!(out)?;
    } else {
        difference.write(width, &mut out)?;
    }
    out.flush()?;
    Ok(if difference.is_within() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
