//! What a running request shares with the rest of the server: its names, where its messages go, and
//! whether it was cancelled.

use crate::lock::lock;
use crate::metrics::Moment;
use crate::protocol::{ClientCapabilities, Id, Method};
use crate::server::state::outgoing::Outgoing;
use atomic_waker::AtomicWaker;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;

/// No error answer has this code, which JSON-RPC leaves to nobody.
const TOOL_FAILED: i32 = i32::MIN;

/// The shared state of one request. It lives in the request's slot and is reused with it.
#[derive(Debug, Default)]
pub(crate) struct CallState {
    cancelled: AtomicBool,
    closing: AtomicBool,
    legacy: AtomicBool,
    /// Number of the [`Method`] plus one; 0 where the method is not known.
    method: AtomicU8,
    /// A [`Failure`] as a number, 0 for none (and for a tool's own error of code 0).
    failure: AtomicI32,
    /// The [`Moment`] at which the request came, 0 before. Short, as a waiting request is to fit its kilobyte.
    begun_ms: AtomicU32,
    /// Woken when the request is cancelled from elsewhere, or is to come to its end.
    driver: AtomicWaker,
    names: Mutex<Names>,
}

/// What became of a request that did not go well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// An error answer of that code.
    Code(i32),
    /// A result with `isError`.
    Tool,
}

impl fmt::Display for Failure {
    /// As OpenTelemetry has it in `error.type`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "{code}"),
            Self::Tool => f.write_str("tool_error"),
        }
    }
}

/// The names of a request, as JSON text, empty where there is none; and what belongs to them.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) id: String,
    pub(crate) progress_token: String,
    /// Where messages other than the answer go.
    pub(crate) outgoing: Option<Arc<Outgoing>>,
    pub(crate) capabilities: ClientCapabilities,
    /// In halves: the alignment of the whole would cost each request that waits 16 bytes.
    principal: [u64; 2],
    /// Who asks may see what concerns the operator.
    pub(crate) is_admin: bool,
    /// The task that the call runs as.
    pub(crate) task: Option<Box<str>>,
}

impl Names {
    /// Who asks.
    pub(crate) fn principal(&self) -> u128 {
        u128::from(self.principal[0]) << 64 | u128::from(self.principal[1])
    }

    /// Forgets the request, not where its messages go.
    fn clear(&mut self) {
        self.id.clear();
        self.progress_token.clear();
        self.capabilities = ClientCapabilities::default();
        self.principal = [0; 2];
        self.is_admin = false;
    }
}

/// Who sends a request, as its transport knows.
#[derive(Debug, Default)]
pub(crate) struct Caller<'c> {
    /// Where messages other than the answer go.
    pub(crate) outgoing: Option<&'c Arc<Outgoing>>,
    pub(crate) principal: u128,
    /// Who asks may see what concerns the operator.
    pub(crate) is_admin: bool,
    /// The task that the call runs as.
    pub(crate) task: Option<Box<str>>,
}

impl CallState {
    pub(crate) fn names(&self) -> MutexGuard<'_, Names> {
        lock(&self.names)
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.driver.wake();
    }

    /// Marks the request as cancelled if that is its id; whether it is. The caller wakes it, outside of its locks.
    pub(crate) fn mark_cancelled(&self, id: &str) -> bool {
        // A request begins under this lock too: the mark never falls on the one that comes next.
        let names = self.names();
        let is_meant = Id::same(&names.id, id);
        if is_meant {
            self.cancelled.store(true, Ordering::Release);
        }
        is_meant
    }

    /// Wakes who drives the request.
    pub(crate) fn wake(&self) {
        self.driver.wake();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Asks a request that lasts as long as its connection to come to its end.
    pub(crate) fn begin_closing(&self) {
        self.closing.store(true, Ordering::Release);
        self.driver.wake();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Marks the request as one of the legacy era, which outlives its connection.
    pub(crate) fn mark_legacy(&self) {
        self.legacy.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_legacy(&self) -> bool {
        self.legacy.load(Ordering::Relaxed)
    }

    /// A request has come: nothing of the one before it is left.
    pub(crate) fn begin(&self, caller: Caller<'_>) {
        let mut names = self.names();
        self.clear();
        self.begun_ms.store(Moment::now().to_ms(), Ordering::Relaxed);
        names.clear();
        names.principal = [(caller.principal >> 64) as u64, caller.principal as u64];
        names.is_admin = caller.is_admin;
        names.task = caller.task;
        // Most often it is the same connection again.
        let is_same = names.outgoing.as_ref().map(Arc::as_ptr) == caller.outgoing.map(Arc::as_ptr);
        let before =
            if is_same { None } else { std::mem::replace(&mut names.outgoing, caller.outgoing.cloned()) };
        drop(names);
        // It may be the last to hold the connection's queue, and with it wakers.
        drop(before);
    }

    /// For how long there has been the request, if there is one, in nanoseconds.
    pub(crate) fn age_ns(&self) -> Option<u64> {
        let begun = self.begun_ms.load(Ordering::Relaxed);
        (begun > 0).then(|| u64::from(Moment::now().to_ms().wrapping_sub(begun)) * 1_000_000)
    }

    pub(crate) fn note_method(&self, method: Option<Method>) {
        self.method.store(method.map_or(0, |method| method as u8 + 1), Ordering::Relaxed);
    }

    /// The number of the method plus one; 0 where the message was not decoded or names none of ours.
    pub(crate) fn method_number(&self) -> usize {
        usize::from(self.method.load(Ordering::Relaxed))
    }

    /// The request does not go well.
    pub(crate) fn fail(&self, failure: Failure) {
        let number = match failure {
            Failure::Tool => TOOL_FAILED,
            Failure::Code(code) => code,
        };
        self.failure.store(number, Ordering::Relaxed);
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        match self.failure.load(Ordering::Relaxed) {
            0 => None,
            TOOL_FAILED => Some(Failure::Tool),
            code => Some(Failure::Code(code)),
        }
    }

    /// Has `driver` woken by [`CallState::cancel`] and [`CallState::begin_closing`].
    pub(crate) fn register(&self, driver: &Waker) {
        self.driver.register(driver);
    }

    /// The request is over, and holds nobody else's memory any more.
    pub(crate) fn end(&self) {
        drop(self.driver.take());
        let mut names = self.names();
        self.clear();
        names.clear();
        names.task = None;
        let outgoing = names.outgoing.take();
        drop(names);
        drop(outgoing);
    }

    /// Forgets all but the names. Who drives the request stays: a batch has one driver for all of its requests.
    fn clear(&self) {
        self.cancelled.store(false, Ordering::Relaxed);
        self.closing.store(false, Ordering::Relaxed);
        self.legacy.store(false, Ordering::Relaxed);
        self.method.store(0, Ordering::Relaxed);
        self.failure.store(0, Ordering::Relaxed);
        self.begun_ms.store(0, Ordering::Relaxed);
    }

    pub(crate) fn bytes(&self) -> usize {
        let names = self.names();
        size_of::<Self>() + names.id.capacity() + names.progress_token.capacity()
    }
}
