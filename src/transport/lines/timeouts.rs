//! How long a peer of newline-framed messages may take, and how slowly.
//!
//! As over HTTP: between two messages, from the first byte of a message to its last, and for taking what is written
//! to it. What is in flight takes as long as it takes. The peer that started the process is not timed at all.

use super::exchange::{Exchange, Progress};
use crate::limits::Limits;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// How often a peer that sends nothing any more, and waits for answers, is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Since when the connection waits for its peer. What for is kept by the exchange: without one it is idle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    since: Instant,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Watch {
    /// For the peer's next message.
    #[default]
    Idle,
    /// For nothing that the peer does.
    Nothing,
    /// For the rest of a message.
    Message,
    /// Until it takes what is written.
    Write,
    /// For the end of what is in flight: nothing more is read.
    End,
}

impl Patience {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now }
    }

    /// Ready when the peer has taken too long. A connection without an exchange is idle.
    pub(super) fn poll(
        &mut self,
        mut exchange: Option<&mut Exchange>,
        progress: Progress,
        has_session: bool,
        limits: &Limits,
        mut timer: Pin<&mut Sleep>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let watch = self.look(exchange.as_deref_mut(), progress);
        let Some(allowed) = allowed(watch, exchange.as_deref(), has_session, limits) else {
            return Poll::Pending;
        };
        loop {
            let deadline = self.since + allowed;
            // Set forward lazily: a connection at work does not touch it.
            if deadline < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
            if Instant::now() < deadline {
                continue;
            }
            match &mut exchange {
                Some(exchange) if watch == Watch::Write && exchange.keeps_pace(limits) => {
                    exchange.begin_pace();
                    self.since = Instant::now();
                }
                _ => return Poll::Ready(()),
            }
        }
    }

    /// Nothing more is read, and what is in flight may take so long.
    pub(super) fn begin_end(&mut self, allowed: Duration) -> Sleep {
        self.since = Instant::now();
        sleep_until(self.since + allowed.min(LOOK_EVERY))
    }

    /// Ready when what is in flight at the end has had its time, or nobody waits for it any more.
    pub(super) fn poll_end(
        &self,
        allowed: Duration,
        mut timer: Pin<&mut Sleep>,
        is_gone: impl Fn() -> bool,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let end = self.since + allowed;
        loop {
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if now >= end || is_gone() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(end.min(now + LOOK_EVERY));
        }
    }

    /// Finds out what is waited for. What goes on to be waited for keeps its time, else a slow peer could set it
    /// forward byte by byte.
    fn look(&mut self, exchange: Option<&mut Exchange>, progress: Progress) -> Watch {
        let Some(exchange) = exchange else {
            if progress.has_moved {
                self.since = Instant::now();
            }
            return Watch::Idle;
        };
        let watch = if exchange.is_writing() {
            Watch::Write
        } else if exchange.unfinished_bytes() > 0 {
            Watch::Message
        } else {
            Watch::Nothing
        };
        let was = std::mem::replace(&mut exchange.watch, watch);
        if watch != was || (watch == Watch::Message && progress.has_served) {
            self.since = Instant::now();
            exchange.begin_pace();
        }
        watch
    }
}

/// How long a peer may take.
fn allowed(
    watch: Watch,
    exchange: Option<&Exchange>,
    has_session: bool,
    limits: &Limits,
) -> Option<Duration> {
    match watch {
        Watch::Nothing | Watch::End => None,
        // Its session ends with the connection, and with it what a client may have built on it.
        Watch::Idle if has_session => Some(limits.session_timeout().max(limits.idle_timeout())),
        Watch::Idle => Some(limits.idle_timeout()),
        Watch::Message => {
            let is_long =
                exchange.is_some_and(|exchange| exchange.unfinished_bytes() > limits.max_header_bytes);
            Some(if is_long { limits.body_timeout() } else { limits.header_timeout() })
        }
        Watch::Write => Some(limits.write_timeout()),
    }
}
