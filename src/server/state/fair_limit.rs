//! Places that many clients share, so that a flood of one never takes the last place of the others.
//!
//! The rule is [`may_take`]: whoever holds none may take any free place; whoever holds some may hold so much of
//! what the others leave that a part of it stays free. One client alone fills `principal_share_percent` of the
//! places, a second one that floods gets the same part of the rest, down to the last sixteenth, which is for those
//! who hold a few. It is the dynamic threshold of shared-memory switches (Choudhury and Hahne, 1998); it needs to
//! know neither how many clients there are nor how many will come. To fill 10,000 places takes some 160 clients.
//!
//! Who a client is, is told by a key: its principal, or its address before anybody knows more; once they do, the
//! place moves to the other key, by the same rule. Who is turned away needs a moment to notice: it waits at the
//! exit, which takes nothing of the places and has a bound of its own. Invariants: never more than `max` places are
//! taken; a key without a place has no entry.

use crate::lock::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
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
    max_leaving: usize,
    table: Mutex<Table>,
    all_free: Notify,
}

#[derive(Debug, Default)]
struct Table {
    taken: usize,
    leaving: usize,
    holders: HashMap<u128, (Arc<Holder>, usize)>,
}

/// What all places of one key point to.
#[derive(Debug)]
struct Holder {
    /// `None`: at the exit.
    key: Option<u128>,
    shares: Arc<Shares>,
}

impl Table {
    /// One more place of that key, which may have it.
    fn add(&mut self, key: u128, shares: &Arc<Shares>) -> Arc<Holder> {
        let new = || (Arc::new(Holder { key: Some(key), shares: Arc::clone(shares) }), 0);
        let (holder, held) = self.holders.entry(key).or_insert_with(new);
        *held += 1;
        self.taken += 1;
        Arc::clone(holder)
    }

    /// One place of that key less, or one at the exit; whether no place is taken any more.
    fn remove(&mut self, key: Option<u128>) -> bool {
        let Some(key) = key else {
            self.leaving = self.leaving.saturating_sub(1);
            return false;
        };
        self.taken = self.taken.saturating_sub(1);
        if let Some((_, held)) = self.holders.get_mut(&key) {
            *held -= 1;
            if *held == 0 {
                self.holders.remove(&key);
                if self.holders.len() * 4 < self.holders.capacity() {
                    self.holders.shrink_to_fit();
                }
            }
        }
        self.taken == 0
    }
}

impl Shares {
    /// So many places, of which one key may hold that part of what the others leave.
    pub(crate) fn new(max: usize, share_percent: usize) -> Arc<Self> {
        Self::with_exit(max, share_percent, 0)
    }

    /// The same, where so many may wait at the exit.
    pub(crate) fn with_exit(max: usize, share_percent: usize, max_leaving: usize) -> Arc<Self> {
        let (table, all_free) = (Mutex::default(), Notify::new());
        Arc::new(Self { max, share_percent, max_leaving, table, all_free })
    }

    pub(crate) fn max(&self) -> usize {
        self.max
    }

    /// A place for that key, if it may have one more.
    pub(crate) fn take(self: &Arc<Self>, key: u128) -> Option<Place> {
        let mut table = self.table();
        let free = self.max.saturating_sub(table.taken);
        self.lets(&table, key, free).then(|| Place { holder: table.add(key, self) })
    }

    /// Room at the exit for one who was not let in, if there is some.
    pub(crate) fn turn_away(self: &Arc<Self>) -> Option<Place> {
        let mut table = self.table();
        self.has_exit(&mut table).then(|| Place { holder: self.leaver() })
    }

    fn lets(&self, table: &Table, key: u128, free: usize) -> bool {
        let held = table.holders.get(&key).map_or(0, |(_, held)| *held);
        may_take(held, free, self.max, self.share_percent)
    }

    fn has_exit(&self, table: &mut Table) -> bool {
        let has_room = table.leaving < self.max_leaving;
        table.leaving += usize::from(has_room);
        has_room
    }

    fn leaver(self: &Arc<Self>) -> Arc<Holder> {
        Arc::new(Holder { key: None, shares: Arc::clone(self) })
    }

    /// How many places are taken.
    pub(crate) fn taken(&self) -> usize {
        self.table().taken
    }

    /// Heap bytes of what is kept for those who hold a place.
    pub(crate) fn bytes(&self) -> usize {
        let table = self.table();
        (table.holders.len() + table.leaving) * HOLDER_BYTES
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

    fn give_back(&self, key: Option<u128>) {
        // The table is free again before anybody is told.
        let is_last = self.table().remove(key);
        if is_last {
            self.all_free.notify_waiters();
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }
}

/// One place; it is free again when this is dropped. One pointer, as each idle connection holds one.
#[derive(Debug)]
#[must_use]
pub(crate) struct Place {
    holder: Arc<Holder>,
}

const _: () = assert!(size_of::<Place>() == size_of::<usize>(), "each idle connection holds one");

impl Place {
    /// Whether it is a place of that key.
    pub(crate) fn belongs_to(&self, key: u128) -> bool {
        self.holder.key == Some(key)
    }

    /// Makes it a place of that key, in one step, if the key may have one more where this one were free. Else it
    /// stays whose it is. Nobody comes back from the exit.
    pub(crate) fn move_to(&mut self, key: u128) -> bool {
        let (Some(from), shares) = (self.holder.key, Arc::clone(&self.holder.shares)) else { return false };
        if from == key {
            return true;
        }
        let mut table = shares.table();
        let free = shares.max.saturating_sub(table.taken) + 1;
        if !shares.lets(&table, key, free) {
            return false;
        }
        let holder = table.add(key, &shares);
        table.remove(Some(from));
        self.holder = holder;
        true
    }

    /// Gives the place back and waits at the exit instead, if there is room. Else it stays as it is.
    pub(crate) fn leave(&mut self) -> bool {
        let (Some(from), shares) = (self.holder.key, Arc::clone(&self.holder.shares)) else { return true };
        let has_exit = shares.has_exit(&mut shares.table());
        if has_exit {
            self.holder = shares.leaver();
            shares.give_back(Some(from));
        }
        has_exit
    }
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

    #[test]
    fn a_place_moves_by_the_rule_that_gives_one() {
        let shares = Shares::new(60, 75);
        let mut alice = Vec::new();
        let turned_away = std::iter::repeat_with(|| shares.take(0).expect("who comes holds none yet"))
            .take(120)
            .filter_map(|mut place| {
                if place.move_to(1) {
                    alice.push(place);
                    return None;
                }
                Some(place.belongs_to(0))
            });
        assert_eq!(turned_away.collect::<Vec<_>>(), [true; 75], "what stays, stays as it was");
        assert_eq!((alice.len(), shares.taken()), (45, 45));
        assert!(alice[0].move_to(1) && alice[0].belongs_to(1), "where it is already");
        let mut bob = shares.take(0).expect("a place");
        assert!(bob.move_to(2) && bob.belongs_to(2) && !bob.belongs_to(0));
        assert_eq!(shares.table().holders.len(), 2, "a key without a place has no entry");
        // In a full house as well: what it leaves is what it takes.
        let full = Shares::new(1, 75);
        let mut only = full.take(0).expect("a place");
        assert!(only.move_to(1) && only.belongs_to(1) && full.taken() == 1);
    }

    #[tokio::test]
    async fn who_waits_at_the_exit_takes_no_place() {
        let shares = Shares::with_exit(4, 75, 2);
        let mut first = shares.take(1).expect("a place");
        assert!(first.leave() && first.leave() && !first.belongs_to(1) && !first.move_to(1));
        assert_eq!(shares.taken(), 0);
        shares.until_all_free().await;
        let away = shares.turn_away().expect("room for two");
        assert!(shares.turn_away().is_none());
        let mut second = shares.take(1).expect("a place");
        assert!(!second.leave() && second.belongs_to(1), "it stays as it was");
        drop(away);
        assert!(second.leave());
        drop((first, second));
        assert_eq!((shares.taken(), shares.bytes()), (0, 0));
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
        /// Any order of taking, moving, leaving and giving back, by any number of clients, against counts that are
        /// kept one by one.
        #[test]
        fn shares_agree_with_a_naive_count(
            max in 0_usize..40,
            percent in 1_usize..=100,
            max_leaving in 0_usize..4,
            steps in prop::collection::vec((0_u128..6, 0..8, any::<prop::sample::Index>()), 0..300),
        ) {
            let shares = Shares::with_exit(max, percent, max_leaving);
            let mut held: Vec<(u128, Place)> = Vec::new();
            let mut leaving: Vec<Place> = Vec::new();
            for (key, step, which) in steps {
                let own = held.iter().filter(|(other, _)| *other == key).count();
                let free = max - held.len();
                if step < 4 {
                    let place = shares.take(key);
                    prop_assert_eq!(place.is_some(), may_take(own, free, max, percent));
                    prop_assert!(own > 0 || free == 0 || place.is_some(), "who holds none is let in");
                    held.extend(place.map(|place| (key, place)));
                } else if held.is_empty() {
                    leaving.pop();
                } else if step < 6 {
                    let (from, place) = held.get_mut(which.index(max - free)).expect("one of them");
                    let may_move = *from == key || may_take(own, free + 1, max, percent);
                    prop_assert_eq!(place.move_to(key), may_move);
                    if may_move {
                        *from = key;
                    }
                    prop_assert!(place.belongs_to(*from));
                } else {
                    let (from, mut place) = held.swap_remove(which.index(held.len()));
                    if step == 7 {
                        prop_assert_eq!(place.leave(), leaving.len() < max_leaving);
                        if !place.belongs_to(from) {
                            leaving.push(place);
                        }
                    }
                }
                let counted = |key| held.iter().filter(|(other, _)| *other == key).count();
                let table = shares.table();
                prop_assert_eq!((table.taken, table.leaving), (held.len(), leaving.len()));
                for key in 0..6 {
                    let in_table = table.holders.get(&key).map(|(_, held)| *held);
                    prop_assert_eq!(in_table, Some(counted(key)).filter(|held| *held > 0));
                    let is_shared = max >= SHARED_FROM && percent < 100;
                    prop_assert!(!is_shared || counted(key) < max.max(2), "nobody holds all");
                }
            }
            drop((held, leaving));
            prop_assert_eq!((shares.taken(), shares.bytes()), (0, 0));
        }
    }
}
