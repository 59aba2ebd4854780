//! The pauses between attempts to reach a server that is down.

use std::io;
use std::time::Duration;

/// Shortest and longest pause between two attempts to reach a server.
const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Waits longer after each failed attempt, and logs the first one.
pub(super) struct Outage<'a> {
    what: &'a str,
    pause: Option<Duration>,
}

impl<'a> Outage<'a> {
    pub(super) fn new(what: &'a str) -> Self {
        Self { what, pause: None }
    }

    pub(super) async fn wait(&mut self, error: &io::Error) {
        let pause = match self.pause {
            None => {
                tracing::warn!("cannot reach the server at {}: {error}; trying again", self.what);
                MIN_PAUSE
            }
            Some(pause) => (pause * 2).min(MAX_PAUSE),
        };
        self.pause = Some(pause);
        tokio::time::sleep(pause).await;
    }

    pub(super) fn end(&mut self) {
        if self.pause.take().is_some() {
            tracing::warn!("the server at {} is back", self.what);
        }
    }
}
