//! The command `mcpool capacity`: how many clients a budget is enough for.

use super::assemble;
use super::config::Config;
use super::config_file;
use super::error::CliError;
use super::named_file::{MAX_FILE_BYTES, read_text};
use super::plan;
use super::report;
use super::terminal;
use crate::report::{Capacity, ClientMix, capacity};
use crate::visible;
use clap::ArgMatches;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

/// Width of the output if stdout is no terminal.
const FILE_WIDTH: usize = 80;
/// The smallest width; narrower terminals wrap the lines.
const MIN_WIDTH: usize = 40;

/// Prints how many clients fit. The exit code is 1 when those that were asked for do not.
pub(super) fn run(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    let Config { settings, mut limits, .. } = config_file::in_force(matches)?;
    plan::set_limit(&mut limits, "--budget", matches.get_one::<String>("budget"))?;
    let mix = mix(matches.get_one::<String>("mix").map_or("editor", String::as_str))?;
    let clients = matches.get_one::<u64>("clients").copied().unwrap_or(100);
    let report = matches.get_one::<String>("report").map(|source| report::read(Some(source))).transpose()?;
    let dirs = config_file::directories(matches, &settings);
    let server = assemble::server(&dirs, &settings, limits)?;
    let found = capacity(&plan::basis(&server, &settings), &mix, clients, report.as_ref());
    let stdout = io::stdout();
    let width = terminal::width(&stdout, MIN_WIDTH, FILE_WIDTH);
    let mut out = BufWriter::new(stdout.lock());
    if matches.get_flag("json") {
        visible::write_json(&mut out, &found)?;
        writeln!(out)?;
    } else {
        Capacity::write(&found, width, &mut out)?;
        writeln!(out, "\n{}", report::WHERE_WORDS_ARE)?;
    }
    out.flush()?;
    Ok(if found.fits >= clients { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// A mix by its name, or the one of a file.
fn mix(text: &str) -> Result<ClientMix, CliError> {
    if let Some(mix) = ClientMix::preset(text) {
        return Ok(mix);
    }
    let fault = |why: &dyn std::fmt::Display| {
        let names = "write idle, editor or agent, or the name of a file";
        CliError::Usage(format!("--mix {text:?}: {why}; {names}"))
    };
    let file = read_text(Path::new(text), MAX_FILE_BYTES).map_err(|error| fault(&error))?;
    let mix: ClientMix = toml::from_str(&file).map_err(|error| fault(&error.message()))?;
    if !mix.is_sound() {
        return Err(fault(&"a client does something, and of each at most 1000"));
    }
    Ok(mix)
}
