//! Writes what came of a load test: as JSON, and into the files that flags name.

use crate::cli::error::CliError;
use crate::load::LoadOutput;
use crate::visible;
use clap::ArgMatches;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

/// Writes the file that a flag names, if it is there.
pub(super) fn save(
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

/// Prints an output as JSON.
pub(super) fn print_json(output: &LoadOutput, out: &mut impl Write) -> Result<(), CliError> {
    visible::write_json(&mut *out, output)?;
    Ok(writeln!(out)?)
}
