//! Standard input and output as a connection.

use super::ServeError;
use super::hang_up::WriterHangUp;
use super::lines::{LineConnection, LineShared};
use super::signals::EndSignals;
use crate::server::{Drain, Server};
use crate::stdio::{StdioStreams, UnusableStream};
use std::io;
use std::sync::Arc;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

/// Why standard input and output cannot be served.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StdioError {
    /// A descriptor cannot be used: it is closed, say.
    #[error("cannot use standard {name}")]
    Open {
        /// `input` or `output`.
        name: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Signals cannot be waited for.
    #[error("cannot wait for signals")]
    Signal(#[source] io::Error),
    /// The connection broke.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Serves the peer on standard input and output until it closes its side, or SIGTERM or SIGINT arrives, or
/// `drain` begins; then finishes what is in flight, within `drain_timeout_ms`. A second signal ends the process
/// without waiting for running requests.
///
/// [`Server::serve_stdio`] does the same, with a drain of its own.
///
/// ```no_run
/// use mcpool::transport::serve_stdio;
/// use mcpool::{Drain, Server};
///
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder("demo", "1.0.0").build()?;
/// let drain = Drain::default(); // `drain.begin()` ends it from elsewhere
/// serve_stdio(&server, &drain).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When a descriptor cannot be used or reading fails.
pub async fn serve_stdio(server: &Server, drain: &Drain) -> Result<(), StdioError> {
    let open = |UnusableStream { name, source }| StdioError::Open { name, source };
    let StdioStreams { input, output, flags: _restored } = StdioStreams::open().map_err(open)?;
    let signals = EndSignals::listen().map_err(StdioError::Signal)?;
    let shared = Arc::new(LineShared::new(server, drain));
    let streams = tokio::io::join(input, output);
    let connection = LineConnection::<_, WriterHangUp>::new(shared, None, streams);
    match signals.drain(server.with_tasks(drain, connection), drain).await {
        Some(ended) => Ok(ended?),
        None => Ok(()),
    }
}

impl Server {
    /// Serves one peer on standard input and output; see [`serve_stdio`]. SIGHUP, which says that the terminal is gone,
    /// begins the drain as well.
    ///
    /// # Errors
    /// As for [`serve_stdio`].
    pub async fn serve_stdio(&self) -> Result<(), StdioError> {
        let mut hang_up = signal(SignalKind::hangup()).map_err(StdioError::Signal)?;
        let drain = Drain::default();
        let mut serving = std::pin::pin!(serve_stdio(self, &drain));
        tokio::select! {
            ended = &mut serving => return ended,
            _ = hang_up.recv() => drain.begin(),
        }
        serving.await
    }
}
