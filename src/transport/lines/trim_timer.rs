//! Frees large buffers once a connection has been quiet for a while.

use crate::server::Server;
use crate::transport::purge::purge_allocator;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a connection is quiet before large buffers that it left idle are freed: longer than the pauses inside a
/// burst, shorter than the time until somebody looks at the memory.
const QUIET: Duration = Duration::from_secs(1);

/// Time between a trim and the purge of the allocator: longer than the second for which mimalloc 3 keeps freed pages
/// (its option `purge_delay`).
const PURGE_DELAY: Duration = Duration::from_millis(1_200);

/// When the next trim or purge is due.
#[derive(Default)]
pub(super) struct TrimTimer {
    /// A large message passed since the timer was set.
    was_large: bool,
    /// Made at the first large message of a burst, and only set forward by the others.
    timer: Option<Pin<Box<Sleep>>>,
}

impl TrimTimer {
    /// Notes that a message passed, which may be large.
    pub(super) fn note(&mut self, bytes: usize) {
        self.was_large |= Server::is_large(bytes);
    }

    /// Whether no trim and no purge is due.
    pub(super) fn is_idle(&self) -> bool {
        self.timer.is_none()
    }

    /// Trims and purges what is due. Call it when the connection goes to sleep.
    pub(super) fn poll(&mut self, server: &Server, cx: &mut Context<'_>) {
        if std::mem::take(&mut self.was_large) {
            let end = Instant::now() + QUIET;
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(end),
                None => self.timer = Some(Box::pin(sleep_until(end))),
            }
        }
        while let Some(timer) = &mut self.timer
            && timer.as_mut().poll(cx).is_ready()
        {
            if server.trim_large_buffers() > 0 {
                timer.as_mut().reset(Instant::now() + PURGE_DELAY);
            } else {
                purge_allocator(server);
                self.timer = None;
            }
        }
    }
}
