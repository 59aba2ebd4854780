//! The command `mcpool connect`: the shim for clients that can only start a command.

use super::error::{self, CliError};
use super::token_file;
use crate::client::shim::{self, HttpTarget, ShimError};
use clap::ArgMatches;
use std::fmt::Arguments;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::runtime::Builder;
use tokio::time::timeout;

/// How long a server may take to accept a connection that is only to see whether it is there.
const REACH_PATIENCE: Duration = Duration::from_secs(10);

/// Where the server is.
#[derive(Debug)]
pub(super) enum Target {
    Unix(PathBuf),
    Http(HttpTarget),
}

impl Target {
    /// Sees whether somebody listens there.
    ///
    /// # Errors
    /// When nobody does, in words that say where.
    pub(super) async fn reach(&self) -> Result<(), CliError> {
        let (at, reached) = match self {
            Self::Unix(path) => {
                (format!("unix:{}", path.display()), timeout(REACH_PATIENCE, reach_unix(path)).await)
            }
            Self::Http(target) => (target.url().to_owned(), timeout(REACH_PATIENCE, target.reach()).await),
        };
        let reached = reached.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        reached.map_err(|source| CliError::Unreachable(error::unreachable(&at, &source)))
    }
}

async fn reach_unix(path: &Path) -> io::Result<()> {
    match UnixStream::connect(path).await {
        // Somebody listens, who has much to accept.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        connected => connected.map(drop),
    }
}

/// Connects standard input and output to a server until standard input ends.
pub(super) fn run(matches: &ArgMatches) -> Result<(), CliError> {
    let stop = shim::termination().map_err(ShimError::Broken)?;
    let patience = matches.get_one::<u64>("wait").copied().map_or(shim::PATIENCE, Duration::from_secs);
    let text = matches.get_one::<String>("target").map(String::as_str).unwrap_or_default();
    match target(text, matches)? {
        Target::Unix(path) => {
            let mut say = |what: Arguments<'_>| tracing::warn!("{what}");
            Ok(shim::run_unix(&path, patience, stop.as_fd(), &mut say)?)
        }
        Target::Http(target) => {
            let runtime = Builder::new_current_thread().enable_all().build().map_err(CliError::Runtime)?;
            let ended = runtime.block_on(async {
                tokio::select! {
                    ended = shim::run_http(&target, patience) => ended,
                    told = is_told(stop) => Ok(told?),
                }
            });
            runtime.shutdown_background();
            Ok(ended?)
        }
    }
}

/// Waits for a signal that ends the program.
async fn is_told(stop: std::os::unix::net::UnixStream) -> io::Result<()> {
    stop.set_nonblocking(true)?;
    UnixStream::from_std(stop)?.readable().await
}

/// The server at an address, with the headers and files that the flags name.
pub(super) fn target(text: &str, matches: &ArgMatches) -> Result<Target, CliError> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return Ok(Target::Unix(PathBuf::from(path)));
    }
    let mut headers = Vec::new();
    for header in matches.get_many::<String>("header").into_iter().flatten() {
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| CliError::Usage(format!("--header {header:?} must look like 'Name: value'")))?;
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    if let Some(path) = matches.get_one::<PathBuf>("token_file") {
        headers.push(("Authorization".to_owned(), format!("Bearer {}", token_file::read(path)?)));
    }
    if text.contains("://") {
        let ca_file = matches.get_one::<PathBuf>("ca_file").map(PathBuf::as_path);
        return Ok(Target::Http(HttpTarget::new(text, &headers, ca_file)?));
    }
    Err(CliError::Usage(format!("{text:?} is neither unix:PATH nor http://HOST:PORT/mcp")))
}
