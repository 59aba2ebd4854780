//! The batches of one connection whose answers have not gone out.

use crate::server::{Batch, Outcome, Server};
use std::collections::VecDeque;
use std::num::NonZeroU64;

/// Batches that wait for one of their requests, or for their turn.
pub(super) struct Batches {
    /// Each of them waits for a request in flight or has its number in `due`, which bounds how many there are.
    waiting: Vec<(NonZeroU64, Batch)>,
    next_number: NonZeroU64,
    /// Batches that can go on, in this order. What one of them does to another is queued here and done later, so that
    /// none goes on inside of another.
    due: VecDeque<NonZeroU64>,
}

impl Default for Batches {
    fn default() -> Self {
        Self { waiting: Vec::new(), next_number: NonZeroU64::MIN, due: VecDeque::new() }
    }
}

impl Batches {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Drops all batches. Numbers go on, so that no batch has the number of an earlier one.
    pub(super) fn clear(&mut self) {
        self.waiting = Vec::new();
        self.due = VecDeque::new();
    }

    /// Takes in a new batch, which can go on.
    pub(super) fn open(&mut self, batch: Batch) {
        let number = self.next_number;
        self.next_number = number.saturating_add(1);
        self.wait(number, batch);
        self.mark_due(number);
    }

    /// Keeps a batch until it can go on.
    pub(super) fn wait(&mut self, number: NonZeroU64, batch: Batch) {
        self.waiting.push((number, batch));
    }

    /// Lets the batch of that number go on, once it is its turn.
    pub(super) fn mark_due(&mut self, number: NonZeroU64) {
        self.due.push_back(number);
    }

    /// Adds the answer of a request to the batch of that number.
    pub(super) fn take_answer(&mut self, server: &Server, number: NonZeroU64, answer: Outcome) {
        if let Some((_, batch)) = self.waiting.iter_mut().find(|(waiting, _)| *waiting == number) {
            batch.take_answer(&server.shared, answer);
        }
    }

    /// Whether one can go on.
    pub(super) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Takes out the next batch that can go on: what its messages do to the others cannot touch it.
    pub(super) fn next_due(&mut self) -> Option<(NonZeroU64, Batch)> {
        loop {
            let number = self.due.pop_front()?;
            if let Some(index) = self.waiting.iter().position(|(waiting, _)| *waiting == number) {
                return Some(self.waiting.swap_remove(index));
            }
        }
    }
}
