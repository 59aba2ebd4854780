//! Whose messages end for another one that lacks room, and who may take more while somebody waits.
//!
//! The rules are those at the top of [`super`]; the sums and lists that they are made of are in [`super::table`].

use super::table::{Client, Entry, NONE, Table};
use std::collections::BinaryHeap;
use std::task::Waker;
use std::time::Duration;
use tokio::time::Instant;

/// A message that lags by then ends soon enough for one that begins to wait, which has some time left then.
const SOON: Duration = Duration::from_secs(4);

/// What a message may ask of others.
#[derive(Debug, Clone, Copy)]
struct Claim {
    client: u128,
    /// An equal share of what all messages have and of what is free.
    share_bytes: usize,
    /// Its client has less.
    has_less: bool,
    /// Its client has no older message.
    is_first: bool,
    /// It comes as fast as those have to come that others wait for.
    keeps_pace: bool,
}

/// What a message lacks, and by which rules it is had.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lack {
    pub(super) missing_bytes: usize,
    /// Free all the same: less than it asks for.
    pub(super) free_bytes: usize,
    /// The pace of a message that does not end for that of another client which has nothing else.
    pub(super) least_bytes_per_s: usize,
    pub(super) now: Instant,
}

impl Lack {
    /// Whether a message comes as fast as it has to.
    fn has_pace(&self, entry: &Entry) -> bool {
        // It is not read while it waits.
        let until = entry.waited.unwrap_or(self.now);
        self.least_bytes_per_s > 0 && !entry.lags(until, self.least_bytes_per_s)
    }
}

/// Whether a message may take more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Growth {
    Allowed,
    /// Not before others have what they wait for.
    Delayed,
    /// Others lack what it has.
    Ended,
}

impl Table {
    /// An equal share of what all messages have and of what is free, with one for `client`.
    fn share_bytes(&self, client: u128, free_bytes: usize) -> usize {
        let is_counted = self.clients.get(&client).is_some_and(Client::shares);
        let clients = self.clients.values().filter(|of| of.shares()).count() + usize::from(!is_counted);
        self.held_bytes.saturating_add(free_bytes) / clients.max(1)
    }

    /// What a message of `client` may ask of others; `key` is the message, if it is there already.
    fn claim(&self, client: u128, key: usize, lack: Lack) -> Claim {
        let share_bytes = self.share_bytes(client, lack.free_bytes);
        let has_less = !self.has_more_than(client, share_bytes.saturating_sub(1));
        let keeps_pace = self.entries.get(key).is_none_or(|entry| lack.has_pace(entry));
        Claim { client, share_bytes, has_less, is_first: self.is_first(client, key), keeps_pace }
    }

    /// The message of a client that ends first for a claim, when it is slow. One that goes first itself does not; `spares`
    /// says that one which keeps pace does not either.
    fn first_to_end(
        &self,
        claim: &Claim,
        (client, of): (u128, &Client),
        lack: Lack,
        spares: bool,
    ) -> Option<usize> {
        let now = lack.now;
        let has_more = client != claim.client && of.held_bytes > claim.share_bytes;
        let first = self.entries.get(of.first)?;
        let makes_way = claim.has_less && has_more;
        if makes_way && !first.goes_first(now) && !(spares && lack.has_pace(first)) {
            return Some(of.first);
        }
        let second = self.entries.get(first.after)?;
        ((makes_way || claim.is_first) && !second.goes_first(now)).then_some(first.after)
    }

    /// The first message of another client, if that comes so slowly that it ends for a claim soon enough.
    fn slow_first(&self, claim: &Claim, client: u128, of: &Client, lack: Lack) -> Option<&Entry> {
        let may_ask = claim.is_first && claim.keeps_pace && client != claim.client;
        let first = self.entries.get(of.first).filter(|_| may_ask)?;
        (first.lags(lack.now + SOON, lack.least_bytes_per_s) && !first.goes_first(lack.now)).then_some(first)
    }

    /// Bytes that are about to be free for a client, or as soon as those that have them are slow.
    pub(super) fn displaceable_bytes(&self, client: u128, lack: Lack) -> usize {
        let claim = self.claim(client, NONE, lack);
        let of_client = |(other, of): (&u128, &Client)| {
            if self.slow_first(&claim, *other, of, lack).is_some() {
                return of.held_bytes;
            }
            match self.first_to_end(&claim, (*other, of), lack, false) {
                Some(first) if first == of.first => of.held_bytes,
                Some(_) => of.held_bytes - self.entries[of.first].held_bytes,
                None => 0,
            }
        };
        self.clients.iter().map(of_client).sum::<usize>() + self.ending_bytes
    }

    /// Ends the messages that make way for another one until it has what it lacks. Gives whether there is something to wait
    /// for, and whose turn it is then.
    pub(super) fn displace(&mut self, key: usize, lack: Lack, told: &mut Vec<Waker>) -> bool {
        let Some(entry) = self.entries.get_mut(key).filter(|entry| !entry.has_waited(lack.now)) else {
            return false;
        };
        entry.waited.get_or_insert(lack.now);
        let client = entry.client;
        let claim = self.claim(client, key, lack);
        let mut makes_way = lack.missing_bytes == 0 || self.ending_bytes > 0;
        // Messages that keep pace make room by themselves: they are the last to end.
        makes_way |= self.end_of_who_has_most(&claim, lack, true, told);
        makes_way |= self.end_slowest(&claim, lack, told);
        makes_way |= self.end_of_who_has_most(&claim, lack, false, told);
        if makes_way && (claim.has_less || claim.is_first) {
            self.claim_right(key, lack.now);
            return true;
        }
        !claim.is_first && self.await_own(key)
    }

    /// Ends messages of who has more than a share, and such that are not the first of their client: the oldest of who has
    /// most. Gives whether there are any.
    fn end_of_who_has_most(
        &mut self,
        claim: &Claim,
        lack: Lack,
        spares: bool,
        told: &mut Vec<Waker>,
    ) -> bool {
        if self.ending_bytes >= lack.missing_bytes {
            return false;
        }
        let may_end = |(other, of): (&u128, &Client)| {
            self.first_to_end(claim, (*other, of), lack, spares).map(|_| (of.held_bytes, *other))
        };
        let mut most: BinaryHeap<_> = self.clients.iter().filter_map(may_end).collect();
        let has_any = !most.is_empty();
        while self.ending_bytes < lack.missing_bytes
            && let Some((_, other)) = most.pop()
        {
            let Some(of) = self.clients.get(&other) else { continue };
            let Some(first) = self.first_to_end(claim, (other, of), lack, spares) else { continue };
            if self.entries.get(first).is_some_and(|entry| entry.is_slow(lack.now)) {
                told.extend(self.end(first));
                most.extend(self.clients.get(&other).map(|of| (of.held_bytes, other)));
            }
        }
        has_any
    }

    /// Ends first messages of other clients that come more slowly than they may, the slowest first. Gives whether there are
    /// any, now or soon.
    fn end_slowest(&mut self, claim: &Claim, lack: Lack, told: &mut Vec<Waker>) -> bool {
        if self.ending_bytes >= lack.missing_bytes {
            return false;
        }
        let slow = |(other, of): (&u128, &Client)| {
            self.slow_first(claim, *other, of, lack).map(|first| (first.pace(lack.now), of.first))
        };
        let mut slowest: Vec<_> = self.clients.iter().filter_map(slow).collect();
        slowest.sort_unstable();
        for (_, first) in &slowest {
            if self.ending_bytes >= lack.missing_bytes {
                break;
            }
            if self.entries.get(*first).is_some_and(|entry| entry.lags(lack.now, lack.least_bytes_per_s)) {
                told.extend(self.end(*first));
            }
        }
        !slowest.is_empty()
    }

    /// Whether a message may take more, as others wait.
    pub(super) fn growth(&self, key: usize, lack: Lack) -> Growth {
        let now = lack.now;
        let Some(entry) = self.entries.get(key) else { return Growth::Allowed };
        if entry.is_ending {
            return Growth::Ended;
        }
        // What somebody waits for is not for who has more, nor for a second message that began since. Who waited before is
        // first.
        let waiting = self.rights.iter().filter_map(|right| Some((*right, self.entries.get(*right)?)));
        let is_before = |waiting: &Entry| !entry.goes_first(now) || waiting.right < entry.right;
        let mut waiting = waiting
            .filter(|(_, waiting)| waiting.client != entry.client && waiting.goes_first(now))
            .filter(|(_, waiting)| is_before(waiting))
            .peekable();
        if waiting.peek().is_none() {
            return Growth::Allowed;
        }
        let is_first = self.is_first(entry.client, key);
        if self.has_more_than(entry.client, self.share_bytes(entry.client, lack.free_bytes)) {
            // The one large message that each client may have, if it keeps pace, ends only where its room is needed.
            return if is_first && lack.has_pace(entry) { Growth::Delayed } else { Growth::Ended };
        }
        let is_delayed = !is_first
            && waiting.any(|(right, waiting)| {
                self.is_first(waiting.client, right)
                    && waiting.right.is_some_and(|since| entry.began >= since)
            });
        if is_delayed { Growth::Delayed } else { Growth::Allowed }
    }
}
