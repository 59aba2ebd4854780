//! The part of a running request that others reach: its id, where its messages go, and whether it was cancelled.

use crate::lock::lock;
use crate::metrics::Moment;
use crate::protocol::{ClientCapabilities, Id, Method};
use crate::server::state::outgoing::Outgoing;
use crate::server::state::request_observer::ClientNumber;
#[cfg(feature = "otel")]
use crate::server::state::traced::TracedRequest;
use crate::traffic::RequestInProgress;
use atomic_waker::AtomicWaker;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;

/// Stands for [`Failure::Tool`] among error codes. JSON-RPC reserves this code, so no error answer has it.
const TOOL_FAILED: i32 = i32::MIN;

/// The shared state of one request. It lives in the request's slot and is reused with it.
#[derive(Debug, Default)]
pub(crate) struct CallState {
    cancelled: AtomicBool,
    closing: AtomicBool,
    legacy: AtomicBool,
    has_all_memory: AtomicBool,
    /// The request goes on, and its frame does not.
    frame_released: AtomicBool,
    /// Number of the [`Method`] plus one; 0 where the method is not known.
    method: AtomicU8,
    /// A [`ClientNumber`]; none where nobody is given the request when it ends.
    client: AtomicU8,
    /// Number of the tool plus one; 0 where none is called, or one of a higher number.
    tool: AtomicU16,
    /// A [`Failure`] as a number, 0 for none (and for a tool's own error of code 0).
    failure: AtomicI32,
    /// The [`Moment`] at which the request came, as a number; 0 before.
    begun_ns: AtomicU64,
    /// Polls the request. Woken when the request is cancelled from elsewhere, or asked to end.
    driver: AtomicWaker,
    details: Mutex<CallDetails>,
}

/// How a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// An error answer with this code.
    Code(i32),
    /// A result with `isError`.
    Tool,
}

impl fmt::Display for Failure {
    /// The value of OpenTelemetry's `error.type`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "{code}"),
            Self::Tool => f.write_str("tool_error"),
        }
    }
}

/// What the batch of a request means for the memory that the request lacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum InBatch {
    /// It is in no batch.
    #[default]
    No,
    /// It may wait for room.
    MayWait,
    /// It must not: what its batch holds may be what there is no room for, or its batch has waited for as long as a request
    /// may.
    MustNotWait,
}

/// What is known of a request. Its id and its progress token are JSON text, empty if it has none.
#[derive(Debug, Default)]
pub(crate) struct CallDetails {
    pub(crate) id: String,
    pub(crate) progress_token: String,
    /// The queue for messages other than the answer.
    pub(crate) outgoing: Option<Arc<Outgoing>>,
    pub(crate) capabilities: ClientCapabilities,
    /// In two halves: the alignment of a `u128` would cost each waiting request 16 bytes.
    principal: [u64; 2],
    /// Whether the caller may see what concerns the operator.
    pub(crate) is_admin: bool,
    /// Whether who sends the answer can send one that is written meanwhile.
    pub(crate) takes_streams: bool,
    pub(crate) in_batch: InBatch,
    /// The id of the task that the call runs as.
    pub(crate) task: Option<Box<str>>,
    /// What its span will say, where spans are exported.
    #[cfg(feature = "otel")]
    pub(crate) traced: Option<Box<TracedRequest>>,
    /// The request as it is written down when it ends, where traffic is recorded.
    pub(crate) recorded: Option<Box<RequestInProgress>>,
}

impl CallDetails {
    /// The principal that sent the request.
    pub(crate) fn principal(&self) -> u128 {
        u128::from(self.principal[0]) << 64 | u128::from(self.principal[1])
    }

    /// Clears all but the queue.
    fn clear(&mut self) {
        self.id.clear();
        self.progress_token.clear();
        self.capabilities = ClientCapabilities::default();
        self.principal = [0; 2];
        self.is_admin = false;
        self.takes_streams = false;
        self.in_batch = InBatch::No;
        #[cfg(feature = "otel")]
        {
            self.traced = None;
        }
        // One that nobody ended was cancelled.
        self.recorded = None;
    }
}

/// The sender of a request, as the transport knows it.
#[derive(Debug, Default)]
pub(crate) struct Caller<'c> {
    /// The number of its connection.
    pub(crate) connection: u32,
    /// When the request came; the default if that is to be found out.
    pub(crate) came: Moment,
    /// The queue for messages other than the answer.
    pub(crate) outgoing: Option<&'c Arc<Outgoing>>,
    pub(crate) principal: u128,
    /// Whether the sender may see what concerns the operator.
    pub(crate) is_admin: bool,
    /// Whether who sends the answer can send one that is written meanwhile.
    pub(crate) takes_streams: bool,
    pub(crate) in_batch: InBatch,
    /// The id of the task that the call runs as.
    pub(crate) task: Option<Box<str>>,
}

impl CallState {
    pub(crate) fn details(&self) -> MutexGuard<'_, CallDetails> {
        lock(&self.details)
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.driver.wake();
    }

    /// Marks the request as cancelled if its id is `id`, and returns whether it is. The caller wakes it without locks.
    pub(crate) fn mark_cancelled(&self, id: &str) -> bool {
        // `begin` takes this lock too, so the mark cannot reach the next request in the same slot.
        let details = self.details();
        let is_meant = Id::same(&details.id, id);
        if is_meant {
            self.cancelled.store(true, Ordering::Release);
        }
        is_meant
    }

    /// Wakes the task that polls the request.
    pub(crate) fn wake(&self) {
        self.driver.wake();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Asks a request that lasts as long as its connection to end.
    pub(crate) fn begin_closing(&self) {
        self.closing.store(true, Ordering::Release);
        self.driver.wake();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Marks the request as one of the legacy era. Over HTTP such a request goes on when its
    /// connection closes.
    pub(crate) fn mark_legacy(&self) {
        self.legacy.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_legacy(&self) -> bool {
        self.legacy.load(Ordering::Relaxed)
    }

    /// Notes that the call runs again with all the memory of large messages: what it lacks now, it lacks always.
    pub(crate) fn note_all_memory(&self) {
        self.has_all_memory.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_all_memory(&self) -> bool {
        self.has_all_memory.load(Ordering::Relaxed)
    }

    /// Notes that the request goes on without its frame.
    pub(crate) fn note_frame_released(&self) {
        self.frame_released.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_frame_released(&self) -> bool {
        self.frame_released.load(Ordering::Relaxed)
    }

    /// Begins a request, and clears what the one before it left.
    pub(crate) fn begin(&self, caller: Caller<'_>) {
        let mut details = self.details();
        self.clear();
        self.begun_ns.store(caller.came.or_else(Moment::now).to_ns(), Ordering::Relaxed);
        details.clear();
        details.principal = [(caller.principal >> 64) as u64, caller.principal as u64];
        details.is_admin = caller.is_admin;
        details.takes_streams = caller.takes_streams;
        details.in_batch = caller.in_batch;
        details.task = caller.task;
        // Most often it is the same connection again.
        let is_same = details.outgoing.as_ref().map(Arc::as_ptr) == caller.outgoing.map(Arc::as_ptr);
        let before =
            if is_same { None } else { std::mem::replace(&mut details.outgoing, caller.outgoing.cloned()) };
        drop(details);
        // Dropped without the lock: the queue of the previous connection may hold wakers.
        drop(before);
    }

    /// When the request came; `None` between requests.
    pub(crate) fn came(&self) -> Option<Moment> {
        Moment::from_ns(self.begun_ns.load(Ordering::Relaxed))
    }

    pub(crate) fn note_tool(&self, tool: Option<usize>) {
        let number = tool.and_then(|tool| u16::try_from(tool + 1).ok());
        self.tool.store(number.unwrap_or(0), Ordering::Relaxed);
    }

    /// The number of the tool that is called.
    pub(crate) fn tool(&self) -> Option<usize> {
        usize::from(self.tool.load(Ordering::Relaxed)).checked_sub(1)
    }

    pub(crate) fn note_method(&self, method: Option<Method>) {
        self.method.store(method.map_or(0, |method| method as u8 + 1), Ordering::Relaxed);
    }

    /// Notes who sent the request, for who is given it when it ends.
    pub(crate) fn note_client(&self, client: ClientNumber) {
        self.client.store(client.to_u8(), Ordering::Relaxed);
    }

    /// Who sent the request, the first time that it ends.
    pub(crate) fn take_client(&self) -> ClientNumber {
        let client = self.client.load(Ordering::Relaxed);
        self.client.store(0, Ordering::Relaxed);
        ClientNumber::of_u8(client)
    }

    /// The method, if it is known.
    pub(crate) fn method(&self) -> Option<Method> {
        let number = self.method_number();
        Method::ALL.into_iter().find(|method| *method as usize + 1 == number)
    }

    /// The number of the method plus one; 0 if the message was not decoded or its method is unknown.
    pub(crate) fn method_number(&self) -> usize {
        usize::from(self.method.load(Ordering::Relaxed))
    }

    /// Records that the request failed.
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

    /// Registers the waker that [`CallState::cancel`] and [`CallState::begin_closing`] wake.
    pub(crate) fn register(&self, driver: &Waker) {
        self.driver.register(driver);
    }

    /// Ends the request, and drops what it shared with others.
    pub(crate) fn end(&self) {
        drop(self.driver.take());
        let mut details = self.details();
        self.clear();
        details.clear();
        details.task = None;
        let outgoing = details.outgoing.take();
        drop(details);
        drop(outgoing);
    }

    /// Resets the flags and numbers. The waker stays: one task polls all requests of a batch.
    fn clear(&self) {
        self.cancelled.store(false, Ordering::Relaxed);
        self.closing.store(false, Ordering::Relaxed);
        self.has_all_memory.store(false, Ordering::Relaxed);
        self.legacy.store(false, Ordering::Relaxed);
        self.frame_released.store(false, Ordering::Relaxed);
        self.method.store(0, Ordering::Relaxed);
        self.failure.store(0, Ordering::Relaxed);
        self.tool.store(0, Ordering::Relaxed);
        self.client.store(0, Ordering::Relaxed);
        self.begun_ns.store(0, Ordering::Relaxed);
    }

    pub(crate) fn bytes(&self) -> usize {
        let details = self.details();
        #[cfg(feature = "otel")]
        let traced = details.traced.as_ref().map_or(0, |traced| traced.heap_bytes());
        #[cfg(not(feature = "otel"))]
        let traced = 0;
        size_of::<Self>() + details.id.capacity() + details.progress_token.capacity() + traced
    }
}
