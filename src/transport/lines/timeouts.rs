//! How long a peer of newline-framed messages may take, and how slowly it may read.
//!
//! As over HTTP, time-outs apply between two messages, from the first byte of a message to its last, and while the
//! peer reads what is written. Requests in flight have no time-out. The owner has none at all.

use crate::limits::Limits;
use crate::transport::outbox::Outbox;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// How often it is checked whether a peer has hung up that sends nothing more and waits for answers.
const HANG_UP_INTERVAL: Duration = Duration::from_millis(250);

/// The time-out that applies to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Timeout {
    /// For the next message of the peer.
    #[default]
    Idle,
    /// No time-out: nothing is expected of the peer.
    Off,
    /// For the rest of a message.
    Message,
    /// For the peer to read what is written.
    Write,
    /// For the end of what is in flight: nothing more is read.
    End,
}

/// What happened since the connection went to sleep last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// Something was read, served or written.
    pub(super) has_progressed: bool,
    /// A message had come whole.
    pub(super) has_served: bool,
}

/// The parts of an exchange that time-outs depend on.
pub(super) struct Waiting<'e> {
    /// The time-out that applied last.
    pub(super) timeout: &'e mut Timeout,
    pub(super) outbox: &'e mut Outbox,
    /// Bytes of a message that has not come whole.
    pub(super) unfinished_bytes: usize,
    /// The rest of it is not read before there is room: the peer cannot help it.
    pub(super) awaits_room: bool,
    /// How long it was not read for that reason.
    pub(super) unread: Duration,
}

/// What a connection looks like when it goes to sleep.
pub(super) struct Observed<'e> {
    /// `None` for an idle connection, which has no exchange.
    pub(super) waiting: Option<Waiting<'e>>,
    pub(super) progress: Progress,
    pub(super) has_session: bool,
}

/// Since when the time-out of a connection runs. The exchange stores which time-out that is; a connection without an
/// exchange has [`Timeout::Idle`].
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeoutClock {
    since: Instant,
}

impl TimeoutClock {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now }
    }

    /// Ready when the peer has taken too long.
    pub(super) fn poll(
        &mut self,
        mut observed: Observed<'_>,
        limits: &Limits,
        mut timer: Pin<&mut Sleep>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let timeout = self.update(&mut observed);
        let Some(allowed) = allowed(timeout, &observed, limits) else { return Poll::Pending };
        loop {
            let deadline = self.since + allowed;
            // Set forward lazily: a busy connection does not touch the timer.
            if deadline < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
            if Instant::now() < deadline {
                continue;
            }
            let outbox = observed.waiting.as_mut().map(|waiting| &mut *waiting.outbox);
            let outbox = outbox.filter(|_| timeout == Timeout::Write);
            if !outbox.is_some_and(|outbox| outbox.keeps_pace(limits.least_write_bytes())) {
                return Poll::Ready(());
            }
            self.since = Instant::now();
        }
    }

    /// Starts the time-out for the end of what is in flight.
    pub(super) fn begin_end(&mut self, allowed: Duration) -> Sleep {
        self.since = Instant::now();
        sleep_until(self.since + allowed.min(HANG_UP_INTERVAL))
    }

    /// Ready when what is in flight at the end has had its time, or nobody waits for it any more.
    pub(super) fn poll_end(
        &self,
        allowed: Duration,
        mut timer: Pin<&mut Sleep>,
        has_hung_up: impl Fn() -> bool,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let end = self.since + allowed;
        loop {
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if now >= end || has_hung_up() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(end.min(now + HANG_UP_INTERVAL));
        }
    }

    /// Finds out which time-out applies. One that still applies goes on, else a slow peer could set it forward byte by
    /// byte.
    fn update(&mut self, observed: &mut Observed<'_>) -> Timeout {
        let progress = observed.progress;
        let Some(waiting) = &mut observed.waiting else {
            if progress.has_progressed {
                self.since = Instant::now();
            }
            return Timeout::Idle;
        };
        let timeout = if !waiting.outbox.is_empty() {
            Timeout::Write
        } else if waiting.unfinished_bytes > 0 {
            Timeout::Message
        } else {
            Timeout::Off
        };
        let before = std::mem::replace(waiting.timeout, timeout);
        if timeout != before || (timeout == Timeout::Message && progress.has_served) {
            self.since = Instant::now();
            waiting.outbox.begin_pace();
        }
        timeout
    }
}

/// How long a message may take of which so many bytes have come, and the setting that says so.
pub(super) fn message_timeout(limits: &Limits, bytes: usize) -> (&'static str, Duration) {
    if bytes > limits.max_header_bytes {
        ("body_timeout_ms", limits.body_timeout())
    } else {
        ("header_timeout_ms", limits.header_timeout())
    }
}

/// How long a peer may take.
fn allowed(timeout: Timeout, observed: &Observed<'_>, limits: &Limits) -> Option<Duration> {
    match timeout {
        Timeout::Off | Timeout::End => None,
        // The session ends with its connection, so the client gets the longer time of a session.
        Timeout::Idle if observed.has_session => Some(limits.session_timeout().max(limits.idle_timeout())),
        Timeout::Idle => Some(limits.idle_timeout()),
        // It wakes by itself to look for room.
        Timeout::Message if observed.waiting.as_ref().is_some_and(|waiting| waiting.awaits_room) => None,
        Timeout::Message => {
            let waiting = observed.waiting.as_ref();
            let unread = waiting.map_or(Duration::ZERO, |waiting| waiting.unread);
            let bytes = waiting.map_or(0, |waiting| waiting.unfinished_bytes);
            Some(message_timeout(limits, bytes).1 + unread)
        }
        Timeout::Write => Some(limits.write_timeout() / u32::from(Outbox::LOOKS)),
    }
}
