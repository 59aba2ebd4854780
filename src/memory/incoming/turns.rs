//! Whose turn it is among the messages on their way in: which one leads, and who waits to.
//!
//! Invariants: the message that leads is not in the queue; the queue has each message once.

use std::time::Duration;
use tokio::time::Instant;

/// How long a message leads which brings less than [`TURN_BYTES`] in that time, if another one wants its turn.
pub(super) const TURN: Duration = Duration::from_millis(500);
/// What a message brings in that time which goes on to lead: the longest one, 10 MiB, leads for 20 seconds at most.
const TURN_BYTES: usize = 256 * 1024;

/// What messages have together, and how long one may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TurnRoom {
    pub(super) limit_bytes: usize,
    /// What the longest message takes. Where it is 0 there are no turns.
    pub(super) longest_bytes: usize,
}

impl TurnRoom {
    /// What all messages but the one that leads may have, if that one is to have `leader_bytes` in the end. Where the longest
    /// message takes next to all there is, short ones have a part all the same.
    pub(super) fn shared_bytes(self, leader_bytes: usize) -> usize {
        self.limit_bytes.saturating_sub(leader_bytes).max(self.limit_bytes / 4)
    }

    /// Whether there are turns.
    pub(super) fn are_taken(self) -> bool {
        self.longest_bytes > 0
    }

    /// What may be in memory before anybody has to ask for a turn.
    pub(super) fn free_for_all_bytes(self) -> usize {
        if self.are_taken() { self.shared_bytes(self.longest_bytes) } else { usize::MAX }
    }
}

/// The message whose turn it is.
#[derive(Debug, Clone, Copy)]
struct Leader {
    key: usize,
    since: Instant,
    /// What it had at that time.
    bytes: usize,
}

/// The turns of the messages of one table.
#[derive(Debug, Default)]
pub(super) struct Turns {
    leader: Option<Leader>,
    /// Who waits for a turn, longest first.
    queue: Vec<usize>,
    given: u64,
    /// When a message was there whole, or was gone.
    last_end: Option<Instant>,
}

impl Turns {
    pub(super) fn leader(&self) -> Option<usize> {
        self.leader.map(|leader| leader.key)
    }

    /// Who waits for a turn, longest first.
    pub(super) fn waiting(&self) -> impl Iterator<Item = usize> {
        self.queue.iter().copied()
    }

    /// Bytes of the queue.
    pub(super) fn bytes(&self) -> usize {
        self.queue.capacity() * size_of::<usize>()
    }

    /// Whether the turn of the message that leads is over, which has `held_bytes`: it brought next to nothing.
    pub(super) fn is_over(&mut self, held_bytes: usize, now: Instant) -> bool {
        let Some(leader) = &mut self.leader else { return false };
        if now.saturating_duration_since(leader.since) < TURN {
            return false;
        }
        if held_bytes >= leader.bytes + TURN_BYTES {
            (leader.since, leader.bytes) = (now, held_bytes);
            return false;
        }
        true
    }

    pub(super) fn end(&mut self) {
        self.leader = None;
    }

    /// Has a message lead that has `held_bytes`. Gives the number of its turn.
    pub(super) fn begin(&mut self, key: usize, held_bytes: usize, now: Instant) -> u64 {
        self.leave(key);
        self.leader = Some(Leader { key, since: now, bytes: held_bytes });
        self.given += 1;
        self.given
    }

    pub(super) fn queue(&mut self, key: usize) {
        if !self.queue.contains(&key) {
            self.queue.push(key);
        }
    }

    /// A message waits for no turn any more, and has none.
    pub(super) fn leave(&mut self, key: usize) {
        if self.leader() == Some(key) {
            self.leader = None;
        }
        self.queue.retain(|waiting| *waiting != key);
    }

    pub(super) fn note_end(&mut self, now: Instant) {
        self.last_end = Some(now);
    }

    /// How long nobody's message was whole or gone, at least since then.
    pub(super) fn idle_for(&self, since: Instant, now: Instant) -> Duration {
        now.saturating_duration_since(self.last_end.map_or(since, |end| end.max(since)))
    }
}
