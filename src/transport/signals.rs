//! The signals that end a server: the first begins its drain, the second ends it without waiting.

use crate::server::Drain;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT.
pub(super) struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl EndSignals {
    /// Has the signals come here, from now on.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Awaits `serving`, and begins its drain at the first signal. `None` when a second one came.
    pub(super) async fn drain<T>(mut self, serving: impl Future<Output = T>, drain: &Drain) -> Option<T> {
        let mut serving = std::pin::pin!(serving);
        tokio::select! {
            ended = &mut serving => return Some(ended),
            () = self.next() => drain.begin(),
        }
        tokio::select! {
            ended = &mut serving => Some(ended),
            () = self.next() => None,
        }
    }
}
