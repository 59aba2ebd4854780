//! Bytes that clients hold of one budget, and how many of them one client may hold.
//!
//! The rule is that of [`FairLimit`](super::fair_limit::FairLimit), in bytes: one more piece is for a client that then
//! holds at most `principal_share_percent` of what no other client holds, and the last sixteenth is for clients that hold
//! little. So one client cannot keep all others out, and no client is kept out that holds nothing while any is free.
//!
//! Invariant: each sum is that of the [`Share`]s of its client that live, and a sum of nothing has no entry.

use crate::lock::lock;
use crate::server::state::give_back::give_back;
use crate::server::state::room_news::RoomNews;
use mcpool_pools::BudgetSpent;
use mcpool_pools::lasting;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// One in so many of all bytes is reserved for clients that hold little.
const RESERVED_FRACTION: usize = 16;
/// A client holds little if there is so many times as much free: then each that comes takes a fifth of what is left.
const FREE_TIMES: usize = 4;

/// Whether a client that holds `held` of `max` bytes, of which `free` are free, may hold `more`.
pub(crate) fn may_hold(held: usize, more: usize, free: usize, max: usize, share_percent: usize) -> bool {
    let Some(left) = free.checked_sub(more) else { return false };
    if held == 0 || share_percent >= 100 {
        return true;
    }
    let holds = held.saturating_add(more);
    let percent_of = |bytes: usize, percent: usize| bytes as u128 * percent as u128;
    // The client's part of what it would hold and what would be free is at most `share_percent`.
    let is_within_share = percent_of(holds, 100 - share_percent) <= percent_of(left, share_percent);
    is_within_share && (left >= max / RESERVED_FRACTION || holds <= left / FREE_TIMES)
}

/// What all clients hold of `max_bytes`. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct FairBytes {
    of: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    max_bytes: usize,
    share_percent: usize,
    table: Mutex<Table>,
    /// Who is told that bytes were given back.
    news: Option<Arc<RoomNews>>,
}

#[derive(Debug, Default)]
struct Table {
    held: usize,
    clients: HashMap<u128, Held>,
}

/// What one client holds.
#[derive(Debug)]
struct Held {
    client: Arc<Client>,
    bytes: usize,
    shares: usize,
}

/// A client that holds something. Its shares name it in one word, as each session and subscription has one.
#[derive(Debug)]
struct Client {
    number: u128,
    of: Arc<Shared>,
}

/// What one holder has of its client's bytes, until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it gives the bytes back"]
pub(crate) struct Share {
    bytes: usize,
    client: Arc<Client>,
}

impl FairBytes {
    /// `max_bytes`, of which one client may hold `share_percent` of what the others leave.
    pub(crate) fn new(max_bytes: usize, share_percent: usize) -> Self {
        Self { of: Arc::new(Shared { max_bytes, share_percent, table: Mutex::default(), news: None }) }
    }

    /// As [`FairBytes::new`], with news of what is given back.
    pub(crate) fn with_news(max_bytes: usize, share_percent: usize, news: Arc<RoomNews>) -> Self {
        Self { of: Arc::new(Shared { max_bytes, share_percent, table: Mutex::default(), news: Some(news) }) }
    }

    /// Bytes that all clients hold.
    pub(crate) fn held_bytes(&self) -> usize {
        lock(&self.of.table).held
    }

    /// Bytes that all clients may hold together.
    pub(crate) fn max_bytes(&self) -> usize {
        self.of.max_bytes
    }

    /// Counts `bytes` of a client, if it may hold so many more.
    ///
    /// # Errors
    /// When it holds its share, or when all is held.
    pub(crate) fn try_hold(&self, client: u128, bytes: usize) -> Result<Share, BudgetSpent> {
        let mut table = lock(&self.of.table);
        self.of.check(&table, client, bytes)?;
        let held = lasting(|| {
            table.clients.entry(client).or_insert_with(|| Held {
                client: Arc::new(Client { number: client, of: Arc::clone(&self.of) }),
                bytes: 0,
                shares: 0,
            })
        });
        held.shares += 1;
        held.bytes += bytes;
        let client = Arc::clone(&held.client);
        table.held += bytes;
        Ok(Share { bytes, client })
    }

    /// Whether a client may hold `bytes` more.
    pub(crate) fn may_hold(&self, client: u128, bytes: usize) -> bool {
        self.of.allows(&lock(&self.of.table), client, bytes)
    }

    /// Each client and its bytes.
    pub(crate) fn of_clients(&self) -> Vec<(u128, usize)> {
        let table = lock(&self.of.table);
        table.clients.iter().map(|(client, held)| (*client, held.bytes)).collect()
    }
}

impl Shared {
    /// To be called without the lock: whoever is told may take the bytes at once.
    fn tell(&self) {
        if let Some(news) = &self.news {
            news.tell();
        }
    }

    fn allows(&self, table: &Table, client: u128, bytes: usize) -> bool {
        let held = table.clients.get(&client).map_or(0, |held| held.bytes);
        let free = self.max_bytes.saturating_sub(table.held);
        may_hold(held, bytes, free, self.max_bytes, self.share_percent)
    }

    fn check(&self, table: &Table, client: u128, bytes: usize) -> Result<(), BudgetSpent> {
        if !self.allows(table, client, bytes) {
            let (used_bytes, limit_bytes) = (table.held, self.max_bytes);
            return Err(BudgetSpent { requested_bytes: bytes, used_bytes, limit_bytes });
        }
        Ok(())
    }
}

impl Table {
    fn add(&mut self, client: u128, bytes: usize) {
        self.held += bytes;
        if let Some(held) = self.clients.get_mut(&client) {
            held.bytes += bytes;
        }
    }

    fn remove(&mut self, client: u128, bytes: usize) {
        self.held -= bytes;
        if let Some(held) = self.clients.get_mut(&client) {
            held.bytes -= bytes;
        }
    }
}

impl Share {
    /// Counts `bytes` more, if the client may hold them.
    ///
    /// # Errors
    /// When it holds its share, or when all is held; the share stays as it is.
    pub(crate) fn try_grow(&mut self, bytes: usize) -> Result<(), BudgetSpent> {
        let Client { number, of } = &*self.client;
        let mut table = lock(&of.table);
        of.check(&table, *number, bytes)?;
        table.add(*number, bytes);
        self.bytes += bytes;
        Ok(())
    }

    /// Gives all but `bytes` back.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if let Some(removed) = self.bytes.checked_sub(bytes) {
            lock(&self.client.of.table).remove(self.client.number, removed);
            self.bytes = bytes;
            self.client.of.tell();
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Client { number, of } = &*self.client;
        let mut table = lock(&of.table);
        table.remove(*number, self.bytes);
        if let Some(held) = table.clients.get_mut(number) {
            held.shares -= 1;
            if held.shares == 0 {
                table.clients.remove(number);
                give_back(&mut table.clients);
            }
        }
        drop(table);
        of.tell();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_rule_agrees_with_a_table() {
        for (held, more, free, max, percent, want) in [
            // Who holds nothing gets what there is, and no more.
            (0, 1_000, 1_000, 1_000, 75, true),
            (0, 1_001, 1_000, 1_000, 75, false),
            // One client alone gets three quarters.
            (700, 50, 300, 1_000, 75, true),
            (700, 51, 300, 1_000, 75, false),
            // The next client gets three quarters of the rest.
            (100, 80, 140, 1_000, 75, false),
            (100, 5, 140, 1_000, 75, true),
            // The last sixteenth is for clients that hold little.
            (10, 5, 67, 1_000, 75, true),
            (10, 6, 67, 1_000, 75, false),
            (8, 5, 60, 1_000, 75, true),
            (8, 6, 60, 1_000, 75, false),
            // A limit that is not shared.
            (900, 100, 100, 1_000, 100, true),
            (900, 101, 100, 1_000, 100, false),
            // No limit.
            (usize::MAX / 4, usize::MAX / 8, usize::MAX / 2, usize::MAX, 75, true),
        ] {
            let may = may_hold(held, more, free, max, percent);
            assert_eq!(may, want, "{held} {more} {free} {max} {percent}");
        }
    }

    proptest! {
        /// Any number of clients that hold all they can, in pieces of any size: the next one still finds room.
        #[test]
        fn whoever_comes_after_floods_finds_room(
            pieces in prop::collection::vec(500_usize..4_000, 1..6),
            percent in 1_usize..100,
        ) {
            let bytes = FairBytes::new(1_000_000, percent);
            let mut held = Vec::new();
            for (client, piece) in pieces.iter().enumerate() {
                held.extend(std::iter::from_fn(|| bytes.try_hold(client as u128, *piece).ok()));
            }
            for client in 0..2 {
                held.push(bytes.try_hold(100 + client, 5_000).expect("a client that holds nothing"));
            }
        }

        /// Any order of taking, growing, shrinking and giving back, against sums that are added up.
        #[test]
        fn sums_agree_with_what_is_held(
            max in 0_usize..2_000,
            percent in 1_usize..=100,
            steps in prop::collection::vec((0_u128..4, 0..4, 0_usize..400, any::<prop::sample::Index>()), 0..200),
        ) {
            let of = FairBytes::new(max, percent);
            let mut held: Vec<Share> = Vec::new();
            for (client, step, bytes, which) in steps {
                let own = |client| held.iter().filter(|share| share.client.number == client).map(|share| share.bytes).sum();
                let free = max - held.iter().map(|share| share.bytes).sum::<usize>();
                if step == 0 || held.is_empty() {
                    let may = may_hold(own(client), bytes, free, max, percent);
                    prop_assert_eq!(of.may_hold(client, bytes), may);
                    let share = of.try_hold(client, bytes);
                    prop_assert_eq!(share.is_ok(), may);
                    held.extend(share);
                } else {
                    let at = which.index(held.len());
                    let (client, before) = (held[at].client.number, held[at].bytes);
                    let may = may_hold(own(client), bytes, free, max, percent);
                    match step {
                        1 => {
                            prop_assert_eq!(held[at].try_grow(bytes).is_ok(), may);
                            prop_assert_eq!(held[at].bytes, if may { before + bytes } else { before });
                        }
                        2 => {
                            held[at].shrink_to(bytes);
                            prop_assert_eq!(held[at].bytes, before.min(bytes));
                        }
                        _ => drop(held.swap_remove(at)),
                    }
                }
                let table = lock(&of.of.table);
                prop_assert_eq!(table.held, held.iter().map(|share| share.bytes).sum::<usize>());
                for client in 0..4 {
                    let own: usize = held.iter().filter(|s| s.client.number == client).map(|s| s.bytes).sum();
                    let count = held.iter().filter(|s| s.client.number == client).count();
                    let entry = table.clients.get(&client).map(|held| (held.bytes, held.shares));
                    prop_assert_eq!(entry, Some((own, count)).filter(|(_, count)| *count > 0));
                }
            }
            drop(held);
            let table = lock(&of.of.table);
            prop_assert_eq!((table.held, table.clients.capacity()), (0, 0));
        }
    }
}
