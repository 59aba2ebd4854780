//! The command `mcpool config`: shows the settings in force, or writes a file to begin with.

use super::command::Cli;
use super::config::{self, Config, Flags, Settings};
use super::error::CliError;
use super::terminal;
use super::toolsets::{Enabled, ToolsetName};
use crate::limits::Limits;
use crate::memory::Ceiling;
use crate::server::BuildError;
use clap::ArgMatches;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Columns of what is written as a file.
const FILE_WIDTH: usize = 80;

/// The settings that a command line, the environment and the file make together; what was meant as one is logged.
///
/// # Errors
/// When one cannot be used.
pub(super) fn in_force(matches: &ArgMatches) -> Result<Config, CliError> {
    for sentence in config::misspelt(std::env::vars_os().map(|(name, _)| name)) {
        tracing::warn!("{sentence}");
    }
    Ok(Config::resolve(&Cli(matches), |name| std::env::var_os(name))?)
}

/// The directories of the command line, or else those of the settings. Where no toolset works in any, those of the
/// settings are for other servers.
pub(super) fn directories(matches: &ArgMatches, settings: &Settings) -> Vec<PathBuf> {
    let named: Vec<PathBuf> = matches.get_many("dirs").into_iter().flatten().cloned().collect();
    let are_of_use = || Enabled::parse(&settings.tools).is_ok_and(Enabled::takes_directories);
    if named.is_empty() && are_of_use() { settings.directories.clone() } else { named }
}

pub(super) fn run(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    if matches.get_flag("init") { init(matches) } else { show(matches) }
}

fn show(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    let mut config = in_force(matches)?;
    // That of a server may be a MiB smaller, as more of its program is in memory.
    let enabled = Enabled::parse(&config.settings.tools)?;
    let kept = |limits: &Limits| enabled.then(ToolsetName::Memory, || limits.max_graph_bytes()).unwrap_or(0);
    let ceiling = Ceiling::of_process(&mut config.limits, kept).map_err(BuildError::from)?;
    let mut out = BufWriter::new(io::stdout().lock());
    terminal::write_wrapped("# ", &ceiling.to_string(), FILE_WIDTH, &mut out)?;
    config.write(&mut out)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn init(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    let variable = |name: &str| std::env::var_os(name);
    let Some(path) = config::new_file(Cli(matches).config(), variable) else {
        let remedy = "this user has no home: name the file, as in --config mcpool.toml --init";
        return Err(CliError::Usage(remedy.to_owned()));
    };
    let mut text = String::new();
    config::write_template(&mut text).map_err(io::Error::other)?;
    let written =
        create(&path, matches.get_flag("force")).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let remedy = if error.kind() == ErrorKind::AlreadyExists { " (--force replaces it)" } else { "" };
        CliError::Usage(format!("cannot write {}: {error}{remedy}", path.display()))
    })?;
    writeln!(io::stdout().lock(), "{}", path.display())?;
    Ok(ExitCode::SUCCESS)
}

fn create(path: &Path, replaces: bool) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).truncate(replaces);
    if replaces {
        options.create(true)
    } else {
        options.create_new(true)
    };
    options.open(path)
}
