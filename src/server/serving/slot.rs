//! A reusable home for one request: the pooled message struct.
//!
//! A slot owns what a request needs besides its frame and its answer: the memory of the future that
//! serves it, the arena of its strings, its call state and its waker. Filling a slot allocates nothing,
//! so a request that waits costs no more than one that does not. The future is of one type for all
//! methods and tools (`serve_frame`), boxed once when the slot is made and set anew for each request
//! (`Pin<Box<Option<F>>>`), which needs no unsafe.

use crate::limits::Limits;
use crate::server::serving::serve::{Incoming, Outcome};
use crate::server::state::call_state::{CallState, Caller};
use crate::server::state::pools::Pools;
use atomic_waker::AtomicWaker;
use bumpalo::Bump;
use mcpool_pools::{Discard, NameTaken, ObjectPool, PoolConfig, Recycle, Verdict};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Where one request is served.
pub(crate) struct RequestSlot {
    home: Box<dyn Home>,
    call: Arc<CallState>,
    arena: Bump,
    /// Bytes of the frame that the request borrows from.
    frame_bytes: usize,
    wake: Arc<SlotWake>,
    waker: Waker,
}

impl RequestSlot {
    /// Puts a request in: `make` gets the slot's own arena and call state.
    pub(crate) fn fill(&mut self, caller: Caller<'_>, make: impl FnOnce(Bump, Arc<CallState>) -> Incoming) {
        self.call.begin(caller);
        let arena = std::mem::take(&mut self.arena);
        let incoming = make(arena, Arc::clone(&self.call));
        self.frame_bytes = incoming.frame.held_bytes();
        self.home.fill(incoming);
        self.wake.ready.store(true, Ordering::Relaxed);
    }

    /// Polls the request. `connection` is woken when it can go on.
    pub(crate) fn poll(&mut self, connection: &Waker) -> Poll<Outcome> {
        self.wake.connection.register(connection);
        if !self.wake.ready.swap(false, Ordering::Acquire) {
            return Poll::Pending;
        }
        let (outcome, arena) = std::task::ready!(self.home.poll(&mut Context::from_waker(&self.waker)));
        self.arena = arena;
        self.arena.reset();
        Poll::Ready(outcome)
    }

    /// Drops the request unanswered; what it started on another thread is told to stop.
    pub(crate) fn cancel(&mut self) {
        self.call.cancel();
        self.home.clear();
    }

    /// The request's names and whether it was cancelled.
    pub(crate) fn call(&self) -> &CallState {
        &self.call
    }

    /// The request's state, to be shared with who may cancel it.
    pub(crate) fn call_state(&self) -> &Arc<CallState> {
        &self.call
    }

    /// Heap bytes of the frame that the request came in.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// Heap bytes of the slot.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.home.bytes()
            + self.call.bytes()
            + size_of::<SlotWake>()
            + self.arena.allocated_bytes()
    }
}

/// A home for the one future type, seen without naming it.
trait Home: Send {
    fn fill(&mut self, incoming: Incoming);
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Outcome, Bump)>;
    fn clear(&mut self);
    fn bytes(&self) -> usize;
}

struct HomeOf<M, F> {
    serve: M,
    future: Pin<Box<Option<F>>>,
}

impl<M, F> Home for HomeOf<M, F>
where
    M: Fn(Incoming) -> F + Send + Sync,
    F: Future<Output = (Outcome, Bump)> + Send,
{
    fn fill(&mut self, incoming: Incoming) {
        self.future.set(Some((self.serve)(incoming)));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Outcome, Bump)> {
        let Some(future) = self.future.as_mut().as_pin_mut() else {
            debug_assert!(false, "an empty slot was polled");
            return Poll::Pending;
        };
        // A tool that panics costs its own request, not the connection. The future is dropped right away,
        // so nobody sees what the panic left behind.
        let polled = catch_unwind(AssertUnwindSafe(|| future.poll(cx)));
        let done = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(done)) => done,
            Err(_) => (Outcome::Panicked, Bump::new()),
        };
        self.future.set(None);
        Poll::Ready(done)
    }

    fn clear(&mut self) {
        self.future.set(None);
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + size_of::<Option<F>>()
    }
}

/// The pool of a server's slots, in its registry and within its budget.
pub(crate) fn slot_pool(
    pools: &Pools,
    limits: &Limits,
    factory: impl Recycle<RequestSlot>,
) -> Result<ObjectPool<RequestSlot>, NameTaken> {
    let config = PoolConfig {
        setting: Some("message_capacity"),
        budget: Some(pools.budget.clone()),
        ..PoolConfig::new("messages", limits.message_capacity())
    };
    let slots = ObjectPool::with_config(config, factory);
    pools.registry.register(slots.clone())?;
    Ok(slots)
}

/// Marks its slot as able to go on, and wakes the connection that holds it.
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

/// Makes slots around `serve` and cleans returned ones.
pub(crate) struct SlotFactory<M> {
    serve: M,
    arena_retain_bytes: usize,
}

impl<M> SlotFactory<M> {
    pub(crate) fn new(serve: M, arena_retain_bytes: usize) -> Self {
        Self { serve, arena_retain_bytes }
    }
}

impl<M, F> Recycle<RequestSlot> for SlotFactory<M>
where
    M: Fn(Incoming) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = (Outcome, Bump)> + Send + 'static,
{
    fn create(&self) -> RequestSlot {
        let wake = Arc::new(SlotWake::default());
        RequestSlot {
            home: Box::new(HomeOf { serve: self.serve.clone(), future: Box::pin(None) }),
            call: Arc::default(),
            arena: Bump::new(),
            frame_bytes: 0,
            waker: Waker::from(Arc::clone(&wake)),
            wake,
        }
    }

    fn recycle(&self, slot: &mut RequestSlot) -> Verdict {
        slot.home.clear();
        if slot.arena.allocated_bytes() > self.arena_retain_bytes {
            return Verdict::Discard(Discard::Oversized);
        }
        slot.arena.reset();
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
