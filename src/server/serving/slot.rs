//! The pooled place of one request: what it needs besides its frame and its answer.
//!
//! A slot owns the memory of the future that serves the request, the arena of its strings, its call state and its
//! waker. Filling a slot allocates nothing, so a request that waits costs no more than one that does not. The future
//! is that of `serve_frame`, of one type for all methods and tools, boxed once when the slot is made and replaced for
//! each request (`Pin<Box<Option<F>>>`), which needs no unsafe.

use crate::limits::Limits;
use crate::protocol::{Era, ProtocolError};
use crate::server::answer::envelope::AnswerId;
use crate::server::answer::outcome::Outcome;
use crate::server::handler::tool::Toolset;
use crate::server::incoming::facts::{FrameOrigin, Incoming};
use crate::server::incoming::observed;
#[cfg(feature = "otel")]
use crate::server::incoming::traced;
use crate::server::serving::core::Core;
use crate::server::serving::recorded;
use crate::server::serving::serve::{ServedFrame, serve_frame};
use crate::server::shared::Shared;
use crate::server::state::call_state::{CallState, Caller, Failure};
use crate::server::state::pools::Pools;
use crate::server::state::session::Session;
use crate::wire::Frame;
use atomic_waker::AtomicWaker;
use bumpalo::Bump;
use mcpool_pools::{NameTaken, ObjectPool, PoolConfig, Recycle, Verdict};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// The pooled place of one request.
pub(crate) struct RequestSlot {
    future: Box<dyn FrameFuture>,
    call: Arc<CallState>,
    arena: Bump,
    /// Bytes of the frame that the request borrows from.
    frame_bytes: usize,
    wake: Arc<SlotWake>,
    waker: Waker,
}

impl RequestSlot {
    /// Begins the request of a frame.
    pub(crate) fn fill(
        &mut self,
        caller: Caller<'_>,
        session: Arc<Session>,
        frame: Frame,
        origin: FrameOrigin,
    ) {
        let connection = caller.connection;
        self.call.begin(caller);
        self.frame_bytes = frame.held_bytes();
        let incoming = Incoming { frame, arena: Bump::new(), call: Arc::clone(&self.call), session, origin };
        self.future.start(incoming, connection, &mut self.arena);
        self.wake.ready.store(true, Ordering::Relaxed);
    }

    /// Polls the request. `connection` is woken when it can go on.
    pub(crate) fn poll(&mut self, connection: &Waker) -> Poll<ServedFrame> {
        self.wake.connection.register(connection);
        if !self.wake.ready.swap(false, Ordering::Acquire) {
            return Poll::Pending;
        }
        let cx = &mut Context::from_waker(&self.waker);
        self.future.poll(&self.call, cx, &mut self.arena)
    }

    /// Drops the request unanswered, and cancels the work that it started on another thread.
    pub(crate) fn cancel(&mut self) {
        self.call.cancel();
        self.future.clear();
    }

    /// The state of the request that others reach.
    pub(crate) fn call(&self) -> &CallState {
        &self.call
    }

    /// The request's state, for those who may cancel it.
    pub(crate) fn call_state(&self) -> &Arc<CallState> {
        &self.call
    }

    /// Heap bytes of the frame that the request came in.
    pub(crate) fn frame_bytes(&self) -> usize {
        if self.call.is_frame_released() { 0 } else { self.frame_bytes }
    }

    /// Heap bytes of the slot.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.future.bytes()
            + self.call.bytes()
            + size_of::<SlotWake>()
            + self.arena.allocated_bytes()
    }
}

/// The future that serves a frame, without its type.
trait FrameFuture: Send {
    /// Begins a request that came over the connection of that number, in the slot's arena or a larger one.
    fn start(&mut self, incoming: Incoming, connection: u32, arena: &mut Bump);
    fn poll(&mut self, call: &CallState, cx: &mut Context<'_>, arena: &mut Bump) -> Poll<ServedFrame>;
    fn clear(&mut self);
    fn bytes(&self) -> usize;
}

/// Room for one future of `serve`, which is `serve_frame::<T>`.
struct FrameFutureOf<T, S, F> {
    core: Arc<Core<T>>,
    serve: S,
    future: Pin<Box<Option<F>>>,
}

impl<T, S, F> FrameFuture for FrameFutureOf<T, S, F>
where
    T: Toolset,
    S: Fn(Arc<Core<T>>, Incoming) -> F + Send,
    F: Future<Output = (ServedFrame, Bump)> + Send,
{
    fn start(&mut self, mut incoming: Incoming, connection: u32, arena: &mut Bump) {
        incoming.arena = self.core.shared.pools.arena_for(&mut incoming.frame, arena);
        if let Some(recorder) = self.core.shared.traffic.get() {
            recorded::begin(recorder, &self.core.shared, &incoming, connection);
        }
        self.future.set(Some((self.serve)(Arc::clone(&self.core), incoming)));
    }

    fn poll(&mut self, call: &CallState, cx: &mut Context<'_>, arena: &mut Bump) -> Poll<ServedFrame> {
        let Some(future) = self.future.as_mut().as_pin_mut() else {
            debug_assert!(false, "an empty slot was polled");
            return Poll::Pending;
        };
        // A panic of a tool ends its own request, not the connection. The future is dropped at once, so its broken
        // state cannot be seen. Leases of the code that panicked were dropped by the panic, so their pools have
        // discarded the objects (`Core::give_back` in `pools/src/pool.rs`).
        let polled = catch_unwind(AssertUnwindSafe(|| future.poll(cx)));
        let done = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(done)) => done,
            Err(_) => (ServedFrame::from(refuse_panicked(&self.core.shared, call)), Bump::new()),
        };
        self.future.set(None);
        let (served, used) = done;
        self.core.shared.pools.return_arena(used, arena);
        Poll::Ready(served)
    }

    fn clear(&mut self) {
        self.future.set(None);
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + size_of::<Option<F>>()
    }
}

/// The answer to a request whose handler panicked.
#[cold]
fn refuse_panicked(shared: &Shared, call: &CallState) -> Outcome {
    let error = ProtocolError::Internal("the tool panicked");
    call.fail(Failure::Code(error.code(Era::Modern)));
    let details = call.details();
    tracing::error!(id = details.id, "a tool panicked");
    if details.id.is_empty() {
        return Outcome::Silent;
    }
    shared.refusal(AnswerId::Of(&details.id), &error)
}

/// The pool of a server's slots, in its registry and within its budget.
pub(crate) fn slot_pool(
    pools: &Pools,
    limits: &Limits,
    factory: impl Recycle<RequestSlot>,
) -> Result<ObjectPool<RequestSlot>, NameTaken> {
    let config = pools.within_budgets(PoolConfig {
        setting: Some("message_capacity"),
        ..PoolConfig::new("messages", limits.message_capacity())
    });
    let slots = ObjectPool::with_config(config, factory);
    pools.registry.register(slots.clone())?;
    Ok(slots)
}

/// Marks its slot as ready, and wakes the connection that holds it.
#[derive(Debug, Default)]
struct SlotWake {
    ready: AtomicBool,
    connection: AtomicWaker,
}

impl Wake for SlotWake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.store(true, Ordering::Release);
        self.connection.wake();
    }
}

/// Makes slots for the requests of one server, and cleans returned ones.
pub(crate) struct SlotFactory<T> {
    core: Arc<Core<T>>,
}

impl<T: Toolset> SlotFactory<T> {
    pub(crate) fn new(core: Arc<Core<T>>) -> Self {
        Self { core }
    }
}

impl<T: Toolset> Recycle<RequestSlot> for SlotFactory<T> {
    fn create(&self) -> RequestSlot {
        let wake = Arc::new(SlotWake::default());
        let core = Arc::clone(&self.core);
        RequestSlot {
            future: Box::new(FrameFutureOf { core, serve: serve_frame::<T>, future: Box::pin(None) }),
            call: Arc::default(),
            arena: Bump::new(),
            frame_bytes: 0,
            waker: Waker::from(Arc::clone(&wake)),
            wake,
        }
    }

    fn recycle(&self, slot: &mut RequestSlot) -> Verdict {
        slot.future.clear();
        observed::end_unanswered(&self.core.shared, &slot.call);
        #[cfg(feature = "otel")]
        traced::end_unanswered(&self.core.shared, &slot.call);
        // A thread that has not yet noticed its cancellation must not see the flag cleared.
        if Arc::strong_count(&slot.call) > 1 {
            slot.call = Arc::default();
        } else {
            slot.call.end();
        }
        // A late wake of the old request must not reach the next one.
        slot.wake.connection.take();
        Verdict::Keep
    }

    fn bytes(&self, slot: &RequestSlot) -> usize {
        slot.bytes()
    }
}
