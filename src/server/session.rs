//! What the server knows of one peer: the outcome of its handshake, the level of its log, and the
//! notifications that wait for their turn on its connection.
//!
//! A modern peer leaves nothing here. Invariant: the queue never holds more than
//! [`Session::MAX_OUTGOING`] messages; what does not fit is dropped and counted, since only progress and
//! log messages are queued and a slow reader must not cost memory.

use crate::protocol::Revision;
use atomic_waker::AtomicWaker;
use mcpool_pools::BufferLease;
use serde::Deserialize;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// How grave a log message is, as in RFC 5424.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are the specification's own")]
pub enum LogLevel {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
}

impl LogLevel {
    const ALL: [Self; 8] = [
        Self::Debug,
        Self::Info,
        Self::Notice,
        Self::Warning,
        Self::Error,
        Self::Critical,
        Self::Alert,
        Self::Emergency,
    ];

    /// The name as it stands in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Alert => "alert",
            Self::Emergency => "emergency",
        }
    }

    /// The level of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == name)
    }
}

/// The state of one peer.
#[derive(Debug)]
pub(crate) struct Session {
    /// Index into `Revision::ALL` plus one; 0 before a handshake.
    revision: AtomicU8,
    log_level: AtomicU8,
    client_has_roots: AtomicBool,
    roots_requests: AtomicU64,
    outgoing: Mutex<VecDeque<BufferLease>>,
    connection: AtomicWaker,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            revision: AtomicU8::new(0),
            log_level: AtomicU8::new(LogLevel::Info as u8),
            client_has_roots: AtomicBool::new(false),
            roots_requests: AtomicU64::new(0),
            outgoing: Mutex::new(VecDeque::new()),
            connection: AtomicWaker::new(),
        }
    }
}

impl Session {
    /// Notifications that may wait at once: several for each request that a connection may have.
    const MAX_OUTGOING: usize = 256;

    /// Places in the queue whose memory an idle session may keep.
    const KEPT_OUTGOING: usize = 4;

    /// The revision that the handshake agreed on.
    pub(crate) fn revision(&self) -> Option<Revision> {
        let index = usize::from(self.revision.load(Ordering::Relaxed)).checked_sub(1)?;
        Revision::ALL.get(index).copied()
    }

    /// Records the outcome of a handshake.
    pub(crate) fn agree(&self, revision: Revision, client_has_roots: bool) {
        self.client_has_roots.store(client_has_roots, Ordering::Relaxed);
        self.revision.store(revision as u8 + 1, Ordering::Relaxed);
    }

    /// Log messages below this level are not sent to a legacy peer.
    pub(crate) fn log_level(&self) -> LogLevel {
        LogLevel::ALL[usize::from(self.log_level.load(Ordering::Relaxed)) % LogLevel::ALL.len()]
    }

    pub(crate) fn set_log_level(&self, level: LogLevel) {
        self.log_level.store(level as u8, Ordering::Relaxed);
    }

    pub(crate) fn client_has_roots(&self) -> bool {
        self.client_has_roots.load(Ordering::Relaxed)
    }

    /// The number of the next `roots/list` request; only the answer to the latest one counts.
    pub(crate) fn next_roots_request(&self) -> u64 {
        self.roots_requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn latest_roots_request(&self) -> u64 {
        self.roots_requests.load(Ordering::Relaxed)
    }

    /// Queues a message for the peer and wakes its connection; `false` if the queue is full and the
    /// message was dropped.
    #[must_use]
    pub(crate) fn send(&self, message: BufferLease) -> bool {
        let mut outgoing = self.outgoing();
        if outgoing.len() >= Self::MAX_OUTGOING {
            return false;
        }
        outgoing.push_back(message);
        drop(outgoing);
        self.connection.wake();
        true
    }

    /// The oldest queued message.
    pub(crate) fn next_outgoing(&self) -> Option<BufferLease> {
        let mut outgoing = self.outgoing();
        let message = outgoing.pop_front();
        if message.is_none() && outgoing.capacity() > Self::KEPT_OUTGOING {
            *outgoing = VecDeque::new();
        }
        message
    }

    /// Has the connection woken when a message is queued.
    pub(crate) fn register(&self, connection: &Waker) {
        self.connection.register(connection);
    }

    fn outgoing(&self) -> MutexGuard<'_, VecDeque<BufferLease>> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
