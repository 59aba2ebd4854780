//! The command `mcpool doctor`: prints what is wrong with a server's memory, and what to do about it.

use super::clock;
use super::error::CliError;
use super::report;
use super::terminal;
use crate::report::{Diagnosis, Severity, diagnose, diagnose_history};
use crate::visible;
use clap::ArgMatches;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

/// Width of the output if stdout is no terminal.
const FILE_WIDTH: usize = 80;
/// The smallest width; narrower terminals wrap the lines.
const MIN_WIDTH: usize = 40;

/// Prints the findings. The exit code is 1 when one of them is worse than a hint.
pub(super) fn run(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    let source = matches.get_one::<String>("source").map(String::as_str);
    let diagnosis = match matches.get_one::<String>("since") {
        Some(since) => since_then(source, since)?,
        None => diagnose(&report::read(source)?),
    };
    let stdout = io::stdout();
    let width = terminal::width(&stdout, MIN_WIDTH, FILE_WIDTH);
    let mut out = BufWriter::new(stdout.lock());
    if matches.get_flag("json") {
        visible::write_json(&mut out, &diagnosis)?;
        writeln!(out)?;
    } else {
        diagnosis.write(width, &mut out)?;
    }
    out.flush()?;
    let needs_attention = diagnosis.worst() >= Some(Severity::Warning);
    Ok(if needs_attention { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// What the black box recorded since then, checked.
fn since_then(source: Option<&str>, since: &str) -> Result<Diagnosis, CliError> {
    let ms = clock::parse_duration_ms(since)
        .ok_or_else(|| CliError::Usage(format!("{since:?} is no duration: write 1h, 30m or 90s")))?;
    let history = report::read_history(source)?;
    let since_unix_ms = history.taken_unix_ms.saturating_sub(ms);
    if !history.samples.iter().any(|sample| sample.at_unix_ms >= since_unix_ms) {
        return Err(CliError::Usage(format!("the black box has nothing of the last {since}")));
    }
    Ok(diagnose_history(&history, since_unix_ms, &clock::clock))
}
