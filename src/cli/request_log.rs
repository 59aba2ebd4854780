//! A line for each request: in the file of `access_log`, and on stderr where that is asked for.

use super::config::Settings;
use super::error::CliError;
use super::log;
use crate::memory::{Account, Entries};
use crate::server::Server;
use crate::traffic::{AccessLog, EndedRequest, MAX_ACCESS_LOG_BYTES};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the lines about the requests of a server are written to.
#[derive(Debug, Clone)]
pub(super) struct RequestLog {
    file: Option<AccessLog>,
    /// In the ledger for as long as somebody has it.
    _rooms: Arc<Rooms>,
}

/// The lines that wait to be written.
#[derive(Debug)]
struct Rooms {
    bytes: usize,
}

impl Account for Rooms {
    fn enter(&self, entries: &mut Entries) {
        entries.enter("logs", self.bytes, 1);
    }
}

impl RequestLog {
    /// Has the requests of `server` written as the settings say.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(super) fn begin(server: &Server, settings: &Settings) -> Result<Self, CliError> {
        let path = settings.access_log.as_deref();
        let file =
            path.map(AccessLog::open).transpose().map_err(|error| CliError::Usage(error.to_string()))?;
        let is_shown = log::shows_requests();
        if file.is_some() || is_shown {
            let file = file.clone();
            server.report_requests_to(move |request: &EndedRequest<'_>| {
                if let Some(file) = &file {
                    file.write(request);
                }
                // What is refused has a warning already.
                if is_shown && !request.result.is_refused() {
                    log::request(request);
                }
            });
        }
        let of_file = file.as_ref().map_or(0, |_| MAX_ACCESS_LOG_BYTES as usize);
        let rooms = Arc::new(Rooms { bytes: of_file + if is_shown { log::MAX_THREAD_BYTES } else { 0 } });
        server.memory().open_account(&rooms);
        Ok(Self { file, _rooms: rooms })
    }

    /// Opens the file anew, if there is one.
    pub(super) fn reopen(&self) {
        if let Some(file) = &self.file {
            file.reopen();
        }
    }

    /// What opens the file anew at each SIGHUP, where nothing else receives that signal; `None` without a file.
    ///
    /// # Errors
    /// When signals cannot be received.
    pub(super) fn reopening(&self) -> Result<Option<impl Future<Output = ()> + use<>>, CliError> {
        let Some(file) = self.file.clone() else { return Ok(None) };
        let mut hang_up: Signal = signal(SignalKind::hangup()).map_err(CliError::Runtime)?;
        Ok(Some(async move {
            while hang_up.recv().await.is_some() {
                file.reopen();
            }
        }))
    }

    /// Has the rest written, and says so where that takes longer than `patience`.
    pub(super) fn finish(&self, patience: Duration) {
        if self.file.as_ref().is_some_and(|file| !file.finish(patience)) {
            tracing::error!("the end of the access log is not written: its file takes too long");
        }
    }
}
