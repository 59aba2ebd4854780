//! Who brings a message in to its end while there is not room for all that come.
//!
//! A message keeps what came of it, so several that come at once can fill all the room together, none of them whole. So one
//! leads, and goes on whatever others lack. All others have together what the longest message leaves of the room
//! ([`TurnRoom::shared_bytes`]); who would have more is not read until it leads, so that the one that leads finds room until
//! it is whole, and then the next one. Clients take turns, and the messages of one in the order in which they began to wait.
//!
//! A message that leads and brings next to nothing passes its turn on after [`super::turns::TURN`]; those that stop in the
//! middle wait in no queue, as they ask for nothing. One that lacks only what calls have that are served goes on to lead. Who
//! has waited for a second in which no message came whole, or for four seconds, waits for no turn any more but for what others
//! have, as [`super::claims`] says.

use super::claims::SOON;
use super::table::{Entry, SLOW, Table};
use super::turns::TurnRoom;
use std::task::Waker;
use tokio::time::Instant;

/// The most that a message takes at a time.
pub(super) const STEP_BYTES: usize = 128 * 1024;

impl Table {
    /// Whether a message may take [`STEP_BYTES`] more, as far as turns go. If not, it waits for its turn. `told` are to be
    /// woken, as it is theirs.
    pub(super) fn may_step(
        &mut self,
        key: usize,
        room: TurnRoom,
        now: Instant,
        told: &mut Vec<Waker>,
    ) -> bool {
        if !room.are_taken() || self.is_ending(key) {
            return true;
        }
        self.pass_turn(Some(key), now, told);
        let Some(leader) = self.turns.leader().filter(|leader| *leader != key) else { return true };
        let (held_bytes, others_bytes) = self.beside(leader, key);
        let leader_bytes = self.entries.get(leader).map_or(0, |leader| leader.most_bytes(room.longest_bytes));
        if others_bytes.saturating_add(STEP_BYTES) <= room.shared_bytes(leader_bytes) {
            // Before it has it, so that no two messages take the same room. What it has then is noted in its place.
            self.hold(key, held_bytes + STEP_BYTES, now);
            return true;
        }
        self.end_idle_turn(room, now);
        self.pass_turn(Some(key), now, told);
        if self.leads(key) {
            return true;
        }
        let is_patient = self.entries.get(key).is_some_and(|entry| self.is_patient(entry, room, now));
        if is_patient {
            self.turns.queue(key);
        } else {
            self.turns.leave(key);
        }
        !is_patient
    }

    /// Whether a message was told to end.
    pub(super) fn is_ending(&self, key: usize) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.is_ending)
    }

    /// Whether it is the turn of a message.
    pub(super) fn leads(&self, key: usize) -> bool {
        self.turns.leader() == Some(key)
    }

    /// Whether it is the turn of another message, for which this one waits.
    pub(super) fn has_no_turn(&self, key: usize, room: TurnRoom, now: Instant) -> bool {
        let is_patient = self.entries.get(key).is_some_and(|entry| self.is_patient(entry, room, now));
        is_patient && self.turns.leader().is_some_and(|leader| leader != key)
    }

    /// Has a message wait for its turn, or for who waits longer. Gives whether it may.
    pub(super) fn await_turn(&mut self, key: usize, room: TurnRoom, now: Instant) -> bool {
        let has_no_turn = self.has_no_turn(key, room, now);
        let may_wait = self.begin_wait(key, now);
        if may_wait && has_no_turn {
            self.turns.queue(key);
        }
        may_wait
    }

    /// Notes that a message is gone, and passes its turn on. `is_whole` says that it did not end for others.
    pub(super) fn note_end(&mut self, is_whole: bool, now: Instant, told: &mut Vec<Waker>) {
        if is_whole {
            self.turns.note_end(now);
        }
        self.pass_turn(None, now, told);
    }

    /// How many have a right to what becomes free, or wait for a turn or in theirs.
    pub(super) fn waiting(&self) -> usize {
        let leader = self.turns.leader().and_then(|leader| self.entries.get(leader));
        let is_leader_unread = leader.is_some_and(|leader| leader.unread.is_some());
        self.rights.len() + self.turns.waiting().count() + usize::from(is_leader_unread)
    }

    /// What a message has, and what all have but the one that leads.
    fn beside(&self, leader: usize, key: usize) -> (usize, usize) {
        let held = |key: usize| self.entries.get(key).map_or(0, |entry| entry.held_bytes);
        (held(key), self.held_bytes.saturating_sub(held(leader)))
    }

    /// Whether a message waits for its turn, if it has to.
    fn is_patient(&self, entry: &Entry, room: TurnRoom, now: Instant) -> bool {
        let Some(since) = entry.unread else { return true };
        entry.unread_for(now) < SOON
            && (self.turns.idle_for(since, now) < SLOW || self.does_leader_wait_for_calls(room))
    }

    /// Whether the message that leads lacks what others have that are whole: served ones, and answers.
    fn does_leader_wait_for_calls(&self, room: TurnRoom) -> bool {
        let leader = self.turns.leader().and_then(|leader| self.entries.get(leader));
        leader.is_some_and(|leader| {
            let missing_bytes = leader.most_bytes(room.longest_bytes).saturating_sub(leader.held_bytes);
            leader.unread.is_some() && !self.is_overfull(missing_bytes, room)
        })
    }

    /// Whether the messages on their way in have so much that there would be no room for so many bytes more, even if all
    /// else were gone.
    pub(super) fn is_overfull(&self, missing_bytes: usize, room: TurnRoom) -> bool {
        self.held_bytes.saturating_add(self.ending_bytes).saturating_add(missing_bytes) > room.limit_bytes
    }

    /// Ends the turn of a message that brings next to nothing.
    fn end_idle_turn(&mut self, room: TurnRoom, now: Instant) {
        if self.does_leader_wait_for_calls(room) {
            return;
        }
        let Some(leader) = self.turns.leader() else { return };
        let Some(entry) = self.entries.get_mut(leader) else { return };
        if self.turns.is_over(entry.held_bytes, now) {
            // One that finds no room cannot help it.
            entry.has_stalled |= entry.unread.is_none();
            self.turns.end();
        }
    }

    /// Has another message lead, if anybody's does not: one of those that wait, or `asking`. Those come last that had a turn
    /// in which they brought next to nothing; then, clients whose turn is longest ago come first.
    pub(super) fn pass_turn(&mut self, asking: Option<usize>, now: Instant, told: &mut Vec<Waker>) {
        if self.turns.leader().is_some() {
            return;
        }
        let order = |key: &usize| {
            let entry = self.entries.get(*key)?;
            let last_turn = self.clients.get(&entry.client).map_or(0, |of| of.last_turn);
            Some((entry.has_stalled, last_turn))
        };
        // One that asks and waits is there twice, in its place in the queue first.
        let Some(next) = self.turns.waiting().chain(asking).min_by_key(order) else { return };
        let Some(entry) = self.entries.get_mut(next) else { return };
        let turn = self.turns.begin(next, entry.held_bytes, now);
        if asking != Some(next) {
            told.extend(entry.connection.take());
        }
        if let Some(of) = self.clients.get_mut(&entry.client) {
            of.last_turn = turn;
        }
    }
}
