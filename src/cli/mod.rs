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
mod config_file;
mod connect;
mod cost;
mod doctor;
mod error;
mod exposure;
mod find_servers;
mod lint;
mod load;
mod log;
mod media;
mod missing;
mod named_file;
mod nearest;
mod parameters;
mod peer;
mod plan;
mod ps;
mod record;
mod render;
mod report;
mod request_log;
mod serve;
mod serving;
mod terminal;
mod token_file;
mod tools;
mod toolsets;
mod top;
mod tune;
mod version;
#[cfg(feature = "webhook")]
mod webhook;
mod words;

use clap::ArgMatches;
use error::CliError;
use signal_hook::consts::SIGXFSZ;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

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
    // A file that may not grow further (`ulimit -f`) fails to be written: unheard, the signal would end the process.
    let unheard = signal_hook::flag::register(SIGXFSZ, Arc::default()).map_err(CliError::Runtime);
    match unheard.and_then(|_| dispatch(matches, heap_bytes)) {
        Ok(code) => code,
        Err(error) => {
            if !error.is_closed_pipe() {
                error.say();
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
        Some(("lint", matches)) => lint::run(matches),
        Some(("report", matches)) => report::run(matches),
        Some(("doctor", matches)) => doctor::run(matches),
        Some(("tune", matches)) => tune::run(matches),
        Some(("ps", matches)) => ps::run(matches),
        Some(("top", matches)) => top::run(matches),
        Some(("load", matches)) => load::run(matches),
        Some(("capacity", matches)) => capacity::run(matches),
        Some(("plan", matches)) => plan::run(matches),
        Some(("config", matches)) => config_file::run(matches),
        Some(("completions", matches)) => words::completions(matches),
        Some(("man", matches)) => words::man(matches),
        None if matches.get_flag("version") => show_version(matches.get_flag("verbose")),
        Some(("install", matches)) => clients::install(matches),
        Some(("uninstall", matches)) => clients::uninstall(matches),
        Some(("clients", matches)) => clients::list(matches),
        _ => Err(CliError::Usage("no command was given: see `mcpool --help`".to_owned())),
    }
}

fn show_version(is_verbose: bool) -> Result<ExitCode, CliError> {
    let mut out = io::stdout().lock();
    if is_verbose {
        write!(out, "{}", version::Verbose)?;
    } else {
        writeln!(out, "{}", version::SHORT)?;
    }
    Ok(ExitCode::SUCCESS)
}
