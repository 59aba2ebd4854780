//! The program `mcpool-connect`: the shim to a Unix socket and nothing else, so that each client costs little.
//!
//! It is what `mcpool connect unix:PATH` does, without the rest of `mcpool`.

use mcpool::client::shim;
use std::ffi::OsString;
use std::fmt::Arguments;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
Connect stdin and stdout to a running server, for clients that can only start a command

Usage: mcpool-connect [--wait SECONDS] unix:PATH

Put it into an MCP client: command \"mcpool-connect\", arguments [\"unix:/path/to/mcpool.sock\"].
When the server restarts, the shim reconnects and opens the session again.
`mcpool connect` does the same, and connects to http:// and https:// too.

      --wait SECONDS  How long a server is waited for that was never there [default: 10]
  -h, --help          Print help
  -V, --version       Print version
";

/// The command line is wrong.
const USAGE: u8 = 2;
/// Standard input or output broke.
const FAILED: u8 = 3;
/// A day, as `mcpool connect` has it.
const MAX_WAIT_S: u64 = 86_400;

fn main() -> ExitCode {
    let (mut target, mut patience) = (None, Some(shim::PATIENCE));
    let mut arguments = std::env::args_os().skip(1);
    let mut is_one = true;
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("-h" | "--help") => return print(HELP),
            Some("-V" | "--version") => {
                return print(concat!("mcpool-connect ", env!("CARGO_PKG_VERSION"), "\n"));
            }
            Some("--wait") => patience = arguments.next().and_then(|seconds| seconds_of(&seconds)),
            _ => is_one &= target.replace(argument).is_none(),
        }
    }
    let Some(patience) = patience else {
        tell(format_args!("--wait takes a whole number of seconds, up to {MAX_WAIT_S}"));
        return ExitCode::from(USAGE);
    };
    let Some(target) = target.filter(|_| is_one) else {
        tell(format_args!("one argument is needed, unix:PATH: see `mcpool-connect --help`"));
        return ExitCode::from(USAGE);
    };
    let Some(path) = socket(&target) else {
        let target = target.display();
        tell(format_args!("{target} is not unix:PATH; `mcpool connect` speaks http://HOST:PORT/mcp"));
        return ExitCode::from(USAGE);
    };
    let ended = shim::termination()
        .map_err(shim::ShimError::Broken)
        .and_then(|stop| shim::run_unix(&path, patience, stop.as_fd(), &mut tell));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(format_args!("{error}"));
            ExitCode::from(FAILED)
        }
    }
}

fn seconds_of(text: &OsString) -> Option<Duration> {
    let seconds = text.to_str()?.parse().ok().filter(|seconds| *seconds <= MAX_WAIT_S)?;
    Some(Duration::from_secs(seconds))
}

fn socket(target: &OsString) -> Option<PathBuf> {
    let path = target.as_bytes().strip_prefix(b"unix:")?;
    let path = path.strip_prefix(b"//").unwrap_or(path);
    (!path.is_empty()).then(|| PathBuf::from(OsString::from_vec(path.to_vec())))
}

/// Writes a line to stderr, because stdout belongs to the protocol.
fn tell(text: Arguments<'_>) {
    // In one piece, beside what others write there. Nothing depends on whether it can be written.
    let _ = io::stderr().write_all(format!("mcpool-connect: {text}\n").as_bytes());
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(FAILED),
    }
}
