//! The program `mcpool`: its command line, its configuration and its commands. Only this code prints or exits.

mod admin;
mod admission;
mod alerts;
mod allocator;
mod arguments;
mod assemble;
mod black_box;
mod call;
mod capacity;
mod choice;
mod clients;
mod clock;
mod command;
mod config;
mod connect;
mod cost;
mod doctor;
mod error;
mod load;
mod log;
mod named_file;
mod nearest;
mod parameters;
mod peer;
mod plan;
mod record;
mod render;
mod report;
mod serve;
mod terminal;
mod token_file;
mod tools;
mod toolsets;
mod top;
mod tune;
#[cfg(feature = "webhook")]
mod webhook;

use crate::limits::Limits;
use crate::memory::Ceiling;
use crate::server::BuildError;
use clap::ArgMatches;
use error::CliError;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use toolsets::{Enabled, ToolsetName};

/// Runs the program with the arguments and environment of the process; `heap_bytes` gives the bytes that its
/// allocator has handed out.
///
/// Exit codes: 0 success, 1 the tool that was called failed, the doctor found a problem or
/// a load test did, 2 wrong usage or
/// configuration, 3 the server failed.
pub fn run(heap_bytes: fn() -> usize) -> ExitCode {
    let matches = match command::command().try_get_matches() {
        Ok(matches) => matches,
        // Help and version are no failures and go to stdout; all else goes to stderr.
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(error::SERVER));
        }
    };
    log::start();
    match dispatch(matches, heap_bytes) {
        Ok(code) => code,
        Err(error) => {
            if !error.is_closed_pipe() {
                let _ = writeln!(io::stderr(), "mcpool: {}", log::shown(&error.to_string()));
            }
            error.exit_code()
        }
    }
}

fn dispatch(matches: ArgMatches, heap_bytes: fn() -> usize) -> Result<ExitCode, CliError> {
    match matches.subcommand() {
        Some(("serve", flags)) => {
            let options = serve::options(flags)?;
            // The server may run for weeks and does not need the command line any more.
            drop(matches);
            Ok(serve::run(options, heap_bytes))
        }
        Some(("connect", matches)) => connect::run(matches).map(|()| ExitCode::SUCCESS),
        Some(("tools", matches)) => tools::run(matches),
        Some(("call", matches)) => call::run(matches),
        Some(("report", matches)) => report::run(matches),
        Some(("doctor", matches)) => doctor::run(matches),
        Some(("tune", matches)) => tune::run(matches),
        Some(("top", matches)) => top::run(matches),
        Some(("load", matches)) => load::run(matches),
        Some(("capacity", matches)) => capacity::run(matches),
        Some(("plan", matches)) => plan::run(matches),
        Some(("config", matches)) => show_config(matches),
        Some(("install", matches)) => clients::install(matches),
        Some(("uninstall", matches)) => clients::uninstall(matches),
        Some(("clients", matches)) => clients::list(matches),
        _ => Err(CliError::Usage("no command was given: see `mcpool --help`".to_owned())),
    }
}

fn show_config(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    let mut config = config::Config::resolve(&command::Cli(matches), |name| std::env::var_os(name))?;
    // That of a server may be a MiB smaller, as more of its program is in memory.
    let enabled = Enabled::parse(&config.settings.tools)?;
    let kept = |limits: &Limits| enabled.then(ToolsetName::Memory, || limits.max_graph_bytes()).unwrap_or(0);
    let ceiling = Ceiling::of_process(&mut config.limits, kept).map_err(BuildError::from)?;
    let mut out = BufWriter::new(io::stdout().lock());
    writeln!(out, "# {ceiling}")?;
    config.write(&mut out)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
