//! Requests that wait, and where a cancelled one is dropped.
//!
//! They are the unfinished requests of one connection that speaks lines: at most `max_concurrent_requests`, with their
//! bytes counted. Over HTTP `Session::cancel` finds a request, and each is counted by itself ([`CountedRequest`]).

use crate::protocol::Id;
use crate::server::serving::serve::ServedFrame;
use crate::server::serving::slot::RequestSlot;
use crate::server::shared::Shared;
use mcpool_pools::Lease;
use std::sync::Arc;
use std::task::{Poll, Waker};

/// The requests that wait. `A` is the transport's own type for the destination of an answer.
pub(crate) struct InFlight<A> {
    requests: Vec<Waiting<A>>,
}

struct Waiting<A> {
    slot: Lease<RequestSlot>,
    answer_to: A,
    counted: CountedRequest,
}

impl<A> Waiting<A> {
    /// Heap bytes, its frame included.
    fn bytes(&self) -> usize {
        self.counted.bytes as usize + self.slot.frame_bytes()
    }
}

/// Entries whose memory an idle connection retains, so that a connection with one request at a time does not
/// allocate for each.
const KEPT_ENTRIES: usize = 4;

impl<A> Default for InFlight<A> {
    fn default() -> Self {
        Self { requests: Vec::new() }
    }
}

impl<A> InFlight<A> {
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Heap bytes of what waits, frames included.
    pub(crate) fn bytes(&self) -> usize {
        self.requests.iter().map(Waiting::bytes).sum()
    }

    /// Takes in a request that was polled once and is pending.
    pub(crate) fn park(&mut self, shared: &Arc<Shared>, slot: Lease<RequestSlot>, answer_to: A) {
        let bytes = slot.bytes() + size_of::<Waiting<A>>();
        let counted = CountedRequest::new(shared, bytes);
        if self.requests.len() == self.requests.capacity() {
            // It grows by a quarter: doubling would cost up to 48 bytes more for each waiting request.
            self.requests.reserve_exact((self.requests.len() / 4).max(KEPT_ENTRIES));
        }
        self.requests.push(Waiting { slot, answer_to, counted });
    }

    /// Polls the requests that were woken, and returns the first that is done.
    pub(crate) fn poll_next(&mut self, connection: &Waker) -> Poll<(ServedFrame, Lease<RequestSlot>, A)> {
        for index in 0..self.requests.len() {
            if let Poll::Ready(served) = self.requests[index].slot.poll(connection) {
                let (slot, answer_to) = self.remove(index);
                return Poll::Ready((served, slot, answer_to));
            }
        }
        Poll::Pending
    }

    /// Cancels the request with that id (as JSON text), and returns the destination of its answer.
    pub(crate) fn cancel(&mut self, id: &str) -> Option<A> {
        let is_meant = |waiting: &Waiting<A>| Id::same(&waiting.slot.call().details().id, id);
        let index = self.requests.iter().position(is_meant)?;
        let (mut slot, answer_to) = self.remove(index);
        slot.cancel();
        Some(answer_to)
    }

    /// Asks subscriptions to end with their answer; other requests end by themselves.
    pub(crate) fn begin_closing(&self) {
        for waiting in &self.requests {
            waiting.slot.call().begin_closing();
        }
    }

    /// Cancels all requests.
    pub(crate) fn cancel_all(&mut self) {
        for mut waiting in self.requests.drain(..) {
            waiting.slot.cancel();
        }
        self.shrink();
    }

    fn remove(&mut self, index: usize) -> (Lease<RequestSlot>, A) {
        let Waiting { slot, answer_to, counted } = self.requests.swap_remove(index);
        drop(counted);
        self.shrink();
        (slot, answer_to)
    }

    fn shrink(&mut self) {
        if self.requests.is_empty() && self.requests.capacity() > KEPT_ENTRIES {
            self.requests = Vec::new();
        }
    }
}

/// The share of a waiting request in the gauges, over whatever transport; it is subtracted on drop.
pub(crate) struct CountedRequest {
    shared: Arc<Shared>,
    bytes: u64,
}

impl CountedRequest {
    /// Counts a request of so many heap bytes, its frame left out.
    pub(crate) fn new(shared: &Arc<Shared>, bytes: usize) -> Self {
        let bytes = bytes as u64;
        shared.metrics.parked_requests.add(1);
        shared.metrics.requests_in_flight.add(1);
        shared.metrics.in_flight_bytes.add(bytes);
        Self { shared: Arc::clone(shared), bytes }
    }
}

impl Drop for CountedRequest {
    fn drop(&mut self) {
        self.shared.metrics.requests_in_flight.subtract(1);
        self.shared.metrics.in_flight_bytes.subtract(self.bytes);
    }
}
