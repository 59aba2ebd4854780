//! Places that many clients share, so that a flood of one never takes the last place of the others.
//!
//! The rule is [`may_take`]: whoever holds none may take any free place; whoever holds some may hold so much of
//! what the others leave that a part of it stays free. One client alone fills `principal_share_percent` of the
//! places, a second one that floods gets the same part of the rest, down to the last sixteenth, which is for those
//! who hold a few. It is the dynamic threshold of shared-memory switches (Choudhury and Hahne, 1998); it needs to
//! know neither how many clients there are nor how many will come. To fill 10,000 places takes some 160 clients.
//!
//! Who a client is, is told by a key: its principal, or its address before anybody knows more. Invariants: never
//! more than `max` places are taken; a key without a place has no entry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Tables below this have no shares: who sets so small a bound means it for one client.
const SHARED_FROM: usize = 4;

/// What a well-behaved client opens at once.
const FEW: usize = 4;
/// The part of a table that is for those who hold fewer: one in so many.
const FOR_FEW: usize = 16;

/// Heap bytes of a holder: its entry, and what its places point to.
const HOLDER_BYTES: usize = size_of::<Holder>() + 64;

/// Whether one that holds `held` of `max` places, of which `free` are free, may take one more.
pub(crate) fn may_take(held: usize, free: usize, max: usize, share_percent: usize) -> bool {
    if free == 0 {
        return false;
    }
    if held == 0 || max < SHARED_FROM {
        return true;
    }
    if share_percent >= 100 {
        return true;
    }
    // Of what it would hold and what would be free, its part is at most so many percent.
    let is_within_share = (held + 1) * (100 - share_percent) <= (free - 1) * share_percent;
    is_within_share && (held < FEW || free > max / FOR_FEW)
}

/// Places, and who holds how many.
#[derive(Debug)]
pub(crate) struct Shares {
    max: usize,
    share_percent: usize,
    table: Mutex<Table>,
    all_free: Notify,
}

#[derive(Debug, Default)]
struct Table {
    taken: usize,
    holders: HashMap<u128, (Arc<Holder>, usize)>,
}

/// What all places of one key point to.
#[derive(Debug)]
struct Holder {
    key: u128,
    shares: Arc<Shares>,
}

impl Shares {
    /// So many places, of which one key may hold that part of what the others leave.
    pub(crate) fn new(max: usize, share_percent: usize) -> Arc<Self> {
        Arc::new(Self { max, share_percent, table: Mutex::default(), all_free: Notify::new() })
    }

    pub(crate) fn max(&self) -> usize {
        self.max
    }

    /// A place for that key, if it may have one more.
    pub(crate) fn take(self: &Arc<Self>, key: u128) -> Option<Place> {
        let mut table = self.table();
        let held = table.holders.get(&key).map_or(0, |(_, held)| *held);
        if !may_take(held, self.max.saturating_sub(table.taken), self.max, self.share_percent) {
            return None;
        }
        table.taken += 1;
        let entry = table
            .holders
            .entry(key)
            .or_insert_with(|| (Arc::new(Holder { key, shares: Arc::clone(self) }), 0));
        entry.1 += 1;
        Some(Place { holder: Arc::clone(&entry.0) })
    }

    /// How many places are taken.
    pub(crate) fn taken(&self) -> usize {
        self.table().taken
    }

    /// Heap bytes of what is kept for those who hold a place.
    pub(crate) fn bytes(&self) -> usize {
        self.table().holders.len() * HOLDER_BYTES
    }

    /// Waits until no place is taken.
    pub(crate) async fn until_all_free(&self) {
        loop {
            // Listening begins before the look, so that the last one does not go unheard in between.
            let all_free = self.all_free.notified();
            if self.taken() == 0 {
                return;
            }
            all_free.await;
        }
    }

    fn give_back(&self, key: u128) {
        let mut table = self.table();
        table.taken = table.taken.saturating_sub(1);
        if let Some((_, held)) = table.holders.get_mut(&key) {
            *held -= 1;
            if *held == 0 {
                table.holders.remove(&key);
                if table.holders.len() * 4 < table.holders.capacity() {
                    table.holders.shrink_to_fit();
                }
            }
        }
        let is_last = table.taken == 0;
        drop(table);
        if is_last {
            self.all_free.notify_waiters();
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One place; it is free again when this is dropped. One pointer, as each idle connection holds one.
#[derive(Debug)]
#[must_use]
pub(crate) struct Place {
    holder: Arc<Holder>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.holder.shares.give_back(self.holder.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_rule_is_what_its_table_says() {
        for (held, free, max, percent, want) in [
            // Nothing is free, nothing is taken.
            (0, 0, 10, 75, false),
            // Who holds none takes the last one.
            (0, 1, 10, 75, true),
            (1, 1, 10, 75, false),
            // One alone fills three quarters.
            (74, 26, 100, 75, true),
            (75, 25, 100, 75, false),
            (7_499, 2_501, 10_000, 75, true),
            (7_500, 2_500, 10_000, 75, false),
            // The next gets three quarters of what is left.
            (17, 8, 100, 75, true),
            (18, 7, 100, 75, false),
            // The last sixteenth is for those who hold few.
            (4, 7, 100, 75, true),
            (4, 6, 100, 75, false),
            (3, 6, 100, 75, true),
            (3, 2, 100, 75, false),
            // Tables that are too small to share, and those that are not shared.
            (1, 1, 2, 75, true),
            (2, 1, 3, 75, true),
            (2, 2, 4, 75, true),
            (3, 1, 4, 75, false),
            (9, 1, 10, 100, true),
        ] {
            assert_eq!(may_take(held, free, max, percent), want, "{held} {free} {max} {percent}");
        }
    }

    #[test]
    fn a_flood_leaves_room_for_everybody_else() {
        let shares = Shares::new(1_000, 75);
        let floods: Vec<Vec<Place>> =
            (0..12).map(|key| std::iter::from_fn(|| shares.take(key)).collect()).collect();
        let held: Vec<_> = floods.iter().map(Vec::len).collect();
        assert_eq!(held, [750, 187, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4]);
        let few: Vec<_> =
            (0..4).map(|_| shares.take(99).expect("one who comes after twelve floods")).collect();
        drop(few);
        drop(floods);
        assert_eq!((shares.taken(), shares.bytes()), (0, 0));
        assert_eq!(shares.table().holders.capacity(), 0);
    }

    #[tokio::test]
    async fn who_waits_is_told_when_the_last_place_is_free() {
        let shares = Shares::new(4, 75);
        let place = shares.take(1).expect("a place");
        let waiting = tokio::spawn({
            let shares = Arc::clone(&shares);
            async move { shares.until_all_free().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(place);
        waiting.await.expect("told");
    }

    proptest! {
        /// Any order of taking and giving back, by any number of clients, against counts that are kept one by one.
        #[test]
        fn shares_agree_with_a_naive_count(
            max in 0_usize..40,
            percent in 1_usize..=100,
            steps in prop::collection::vec((0_u128..6, any::<bool>(), any::<prop::sample::Index>()), 0..300),
        ) {
            let shares = Shares::new(max, percent);
            let mut held: Vec<(u128, Place)> = Vec::new();
            for (key, takes, which) in steps {
                if takes {
                    let own = held.iter().filter(|(other, _)| *other == key).count();
                    let free = max - held.len();
                    let place = shares.take(key);
                    prop_assert_eq!(place.is_some(), may_take(own, free, max, percent));
                    prop_assert!(own > 0 || free == 0 || place.is_some(), "who holds none is let in");
                    held.extend(place.map(|place| (key, place)));
                    if max >= SHARED_FROM && percent < 100 {
                        let own = held.iter().filter(|(other, _)| *other == key).count();
                        prop_assert!(own <= 1 || own < max, "nobody holds all");
                    }
                } else if !held.is_empty() {
                    drop(held.swap_remove(which.index(held.len())));
                }
                prop_assert_eq!(shares.taken(), held.len());
            }
            drop(held);
            prop_assert_eq!((shares.taken(), shares.bytes()), (0, 0));
        }
    }
}
