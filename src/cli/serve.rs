//! `mcpool serve`: the settings, resolved, go to the server.

use super::command::Given;
use super::config::Config;
use super::error::CliError;
use crate::limits::Limits;
use crate::server::Server;
use crate::tools::filesystem::Filesystem;
use clap::ArgMatches;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What `mcpool serve` was asked to do; everything is resolved and valid.
#[derive(Debug, Clone)]
pub(crate) struct ServeOptions {
    /// Directories given, in order, as given; may be empty.
    pub(crate) dirs: Vec<PathBuf>,
    /// Whether tools that change anything are left out.
    pub(crate) read_only: bool,
    /// Every bound; `Limits::validate` has passed.
    pub(crate) limits: Limits,
}

/// Resolves the options; greets a person who started the server by hand.
pub(super) fn options(matches: &ArgMatches) -> Result<ServeOptions, CliError> {
    let config = Config::resolve(&Given(matches), |name| std::env::var_os(name))?;
    let dirs = matches.get_many::<PathBuf>("dirs").into_iter().flatten().cloned().collect();
    if io::stdin().is_terminal() {
        // Nothing depends on whether this greeting can be written.
        let _ = io::stderr().write_all(GREETING.as_bytes());
    }
    Ok(ServeOptions { dirs, read_only: config.read_only, limits: config.limits })
}

const GREETING: &str = "\
mcpool waits for the messages of an MCP client on stdin; normally the client starts it.
To try it by hand, leave with Ctrl-D and run for example:
  mcpool tools .
  mcpool call list_directory path=.
";

/// Serves until stdin ends or the process is told to stop; the exit code is that of the process.
pub(crate) fn run(options: ServeOptions) -> ExitCode {
    match serve(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "mcpool: {error}");
            error.exit_code()
        }
    }
}

/// How long an idle blocking thread stays: its stack and its part of the allocator go with it.
const THREAD_KEEP_ALIVE: Duration = Duration::from_secs(1);

fn serve(options: ServeOptions) -> Result<(), CliError> {
    let ServeOptions { dirs, read_only, limits } = options;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(limits.max_blocking_threads)
        .thread_keep_alive(THREAD_KEEP_ALIVE)
        .build()
        .map_err(CliError::Runtime)?;
    tracing::info!(?dirs, read_only, "serving on standard input and output");
    let (filesystem, warnings) = Filesystem::new(&dirs, read_only)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let server = Server::builder("mcpool", env!("CARGO_PKG_VERSION"));
    let server = server.limits(limits).toolset(filesystem).build()?;
    let ended = runtime.block_on(server.serve_stdio());
    // A thread that waits for a terminal or a file cannot be told to stop.
    runtime.shutdown_background();
    Ok(ended?)
}
