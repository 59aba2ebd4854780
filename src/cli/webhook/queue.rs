//! What waits to be sent to a webhook: at most [`MAX_QUEUED`] deliveries, in the order in which they came.
//!
//! Invariants: adding never waits; when there is no room, the oldest delivery of an alert that is over goes first, else the
//! oldest one, and it is counted.

use crate::lock::lock;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most deliveries that wait.
pub(super) const MAX_QUEUED: usize = 64;

/// One alert on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delivery {
    /// The same in each attempt, so that the receiver knows what it has already.
    pub(super) id: String,
    pub(super) subject: String,
    pub(super) is_over: bool,
    pub(super) body: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Delivery>,
    dropped: u64,
    is_closed: bool,
}

impl Queue {
    /// Adds a delivery. Returns the subject of the one that had to go for it, if one had to.
    pub(super) fn push(&self, delivery: Delivery) -> Option<String> {
        let mut state = lock(&self.state);
        let mut gone = None;
        if state.waiting.len() >= MAX_QUEUED {
            let oldest = state.waiting.iter().position(|waiting| waiting.is_over).unwrap_or(0);
            gone = state.waiting.remove(oldest).map(|gone| gone.subject);
            state.dropped += 1;
        }
        state.waiting.push_back(delivery);
        self.changed.notify_all();
        gone
    }

    /// Waits for the next delivery; `None` once the queue is closed.
    pub(super) fn next(&self) -> Option<Delivery> {
        let mut state = lock(&self.state);
        loop {
            if state.is_closed {
                return None;
            }
            if let Some(delivery) = state.waiting.pop_front() {
                return Some(delivery);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits so long, or until the queue is closed; returns whether it is.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut state = lock(&self.state);
        while !state.is_closed {
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
            else {
                return false;
            };
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// How many deliveries were dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        lock(&self.state).dropped
    }

    /// Ends the waiting; what waits is not sent.
    pub(super) fn close(&self) {
        lock(&self.state).is_closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(number: usize, is_over: bool) -> Delivery {
        Delivery { id: format!("msg_{number}"), subject: format!("tool {number}"), is_over, body: Vec::new() }
    }

    #[test]
    fn what_has_no_room_drops_what_is_over_before_what_lasts() {
        let queue = Queue::default();
        for number in 0..MAX_QUEUED {
            assert_eq!(queue.push(delivery(number, number == 5 || number == 9)), None);
        }
        let gone = [100, 101, 102].map(|number| queue.push(delivery(number, false)));
        assert_eq!(gone, ["tool 5", "tool 9", "tool 0"].map(|subject| Some(subject.to_owned())));
        assert_eq!(queue.dropped(), 3);
        let mut left = Vec::new();
        for _ in 0..MAX_QUEUED {
            left.push(queue.next().expect("as many as fit").id);
        }
        assert_eq!((left[0].as_str(), left[MAX_QUEUED - 1].as_str()), ("msg_1", "msg_102"));
        queue.close();
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn closing_ends_each_wait() {
        let queue = Queue::default();
        std::thread::scope(|scope| {
            let next = scope.spawn(|| queue.next());
            let pause = scope.spawn(|| queue.pause(Duration::from_hours(1)));
            queue.close();
            assert_eq!(next.join().expect("no panic"), None);
            assert!(pause.join().expect("no panic"));
        });
        assert!(!Queue::default().pause(Duration::from_millis(1)), "and so does time");
    }
}
