//! A limit that many clients share: a flood of one client never takes the last permits of the others.
//!
//! The rule is [`may_hold_one_more`]. A client that holds no permit gets any free one. A client that holds some gets
//! another one if it then holds at most `principal_share_percent` of the permits that no other client holds. So
//! one flood gets that part of all permits, and a second flood that part of the rest. The last sixteenth is only for
//! clients that hold fewer than four. This is the dynamic threshold of shared-memory switches (Choudhury and Hahne,
//! 1998). It does not depend on how many clients there are or will come; it takes some 160 of them to exhaust 10,000
//! permits.
//!
//! A key stands for a client: its principal, or its address until the principal is known. The permit then moves to the
//! other key by the same rule. A client that is rejected needs a moment to notice: its connection lingers without a
//! permit, under a limit of its own. Invariants: at most `max` permits are held; a key without a permit has no entry.

use crate::lock::lock;
use crate::server::state::give_back::give_back;
use mcpool_pools::lasting;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;

/// Limits below this are not shared: an operator who sets so few means them for one client.
const SHARED_FROM: usize = 4;

/// Clients that hold fewer permits than this may use the reserved ones: a client that is no flood holds no more.
const RESERVED_BELOW: usize = 4;
/// One in so many of all permits is reserved for clients that hold fewer than [`RESERVED_BELOW`].
const RESERVED_FRACTION: usize = 16;

/// Heap bytes of a holder, its entry in the table included.
pub(crate) const HOLDER_BYTES: usize = size_of::<Holder>() + 64;

/// Whether a client that holds `held` of `max` permits, of which `free` are free, may hold one more.
pub(crate) fn may_hold_one_more(held: usize, free: usize, max: usize, share_percent: usize) -> bool {
    if free == 0 {
        return false;
    }
    if held == 0 || max < SHARED_FROM {
        return true;
    }
    if share_percent >= 100 {
        return true;
    }
    // The client's part of what it would hold and what would be free is at most `share_percent`.
    let is_within_share = (held + 1) * (100 - share_percent) <= (free - 1) * share_percent;
    is_within_share && (held < RESERVED_BELOW || free > max / RESERVED_FRACTION)
}

/// A number of permits, and how many of them each key holds.
#[derive(Debug)]
pub(crate) struct FairLimit {
    max: usize,
    share_percent: usize,
    max_lingering: usize,
    table: Mutex<Table>,
    all_released: Notify,
}

#[derive(Debug, Default)]
struct Table {
    held: usize,
    lingering: usize,
    holders: HashMap<u128, (Arc<Holder>, usize)>,
}

/// A key, to which all of its permits point.
#[derive(Debug)]
struct Holder {
    /// `None` for connections that linger without a permit.
    key: Option<u128>,
    limit: Arc<FairLimit>,
}

impl Table {
    /// Counts one more permit of `key`, which the caller has checked.
    fn add(&mut self, key: u128, limit: &Arc<FairLimit>) -> Arc<Holder> {
        let new = || (Arc::new(Holder { key: Some(key), limit: Arc::clone(limit) }), 0);
        let (holder, held) = lasting(|| self.holders.entry(key).or_insert_with(new));
        *held += 1;
        self.held += 1;
        Arc::clone(holder)
    }

    /// Counts one permit less of `key`, or one lingering connection less. Returns whether no permit is held any more.
    fn remove(&mut self, key: Option<u128>) -> bool {
        let Some(key) = key else {
            self.lingering = self.lingering.saturating_sub(1);
            return false;
        };
        self.held = self.held.saturating_sub(1);
        if let Some((_, held)) = self.holders.get_mut(&key) {
            *held -= 1;
            if *held == 0 {
                self.holders.remove(&key);
                give_back(&mut self.holders);
            }
        }
        self.held == 0
    }
}

impl FairLimit {
    /// `max` permits. One key may hold `share_percent` of what the others leave.
    pub(crate) fn new(max: usize, share_percent: usize) -> Arc<Self> {
        Self::with_lingering(max, share_percent, 0)
    }

    /// The same, and `max_lingering` connections may linger without a permit.
    pub(crate) fn with_lingering(max: usize, share_percent: usize, max_lingering: usize) -> Arc<Self> {
        let (table, all_released) = (Mutex::default(), Notify::new());
        Arc::new(Self { max, share_percent, max_lingering, table, all_released })
    }

    pub(crate) fn max(&self) -> usize {
        self.max
    }

    /// A permit of `key`, if it may hold one more.
    pub(crate) fn acquire(self: &Arc<Self>, key: u128) -> Option<Permit> {
        let mut table = self.table();
        let free = self.max.saturating_sub(table.held);
        self.allows(&table, key, free).then(|| Permit { holder: table.add(key, self) })
    }

    /// Lets a connection linger that got no permit, if there is room.
    pub(crate) fn acquire_lingering(self: &Arc<Self>) -> Option<Permit> {
        let mut table = self.table();
        self.try_count_lingering(&mut table).then(|| Permit { holder: self.lingering_holder() })
    }

    fn allows(&self, table: &Table, key: u128, free: usize) -> bool {
        let held = table.holders.get(&key).map_or(0, |(_, held)| *held);
        may_hold_one_more(held, free, self.max, self.share_percent)
    }

    fn try_count_lingering(&self, table: &mut Table) -> bool {
        let has_room = table.lingering < self.max_lingering;
        table.lingering += usize::from(has_room);
        has_room
    }

    fn lingering_holder(self: &Arc<Self>) -> Arc<Holder> {
        Arc::new(Holder { key: None, limit: Arc::clone(self) })
    }

    /// Whether `key` holds a permit.
    pub(crate) fn is_held_by(&self, key: u128) -> bool {
        self.table().holders.contains_key(&key)
    }

    /// How many permits are held.
    pub(crate) fn held(&self) -> usize {
        self.table().held
    }

    /// Heap bytes of the holders.
    pub(crate) fn bytes(&self) -> usize {
        let table = self.table();
        (table.holders.len() + table.lingering) * HOLDER_BYTES
    }

    /// Waits until no permit is held.
    pub(crate) async fn until_all_released(&self) {
        loop {
            // Registered before the check, so that the release of the last permit is not missed in between.
            let all_released = self.all_released.notified();
            if self.held() == 0 {
                return;
            }
            all_released.await;
        }
    }

    fn release(&self, key: Option<u128>) {
        // Waiters are woken without the lock.
        let is_last = self.table().remove(key);
        if is_last {
            self.all_released.notify_waiters();
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }
}

/// A permit, or a connection that lingers without one. Dropping it releases it. It is one pointer, as each idle
/// connection holds one.
#[derive(Debug)]
#[must_use]
pub(crate) struct Permit {
    holder: Arc<Holder>,
}

const _: () = assert!(size_of::<Permit>() == size_of::<usize>(), "each idle connection holds one");

impl Permit {
    /// Whether this is a permit of `key`.
    pub(crate) fn belongs_to(&self, key: u128) -> bool {
        self.holder.key == Some(key)
    }

    /// Moves the permit to `key` in one step, if `key` could acquire it once it was released. Otherwise nothing
    /// changes, and `false` is returned. A lingering connection cannot get a permit again.
    pub(crate) fn move_to(&mut self, key: u128) -> bool {
        let (Some(from), limit) = (self.holder.key, Arc::clone(&self.holder.limit)) else { return false };
        if from == key {
            return true;
        }
        let mut table = limit.table();
        let free = limit.max.saturating_sub(table.held) + 1;
        if !limit.allows(&table, key, free) {
            return false;
        }
        let holder = table.add(key, &limit);
        table.remove(Some(from));
        self.holder = holder;
        true
    }

    /// Releases the permit, and lets its connection linger without it if there is room. Otherwise nothing changes, and
    /// `false` is returned.
    pub(crate) fn linger(&mut self) -> bool {
        let (Some(from), limit) = (self.holder.key, Arc::clone(&self.holder.limit)) else { return true };
        let may_linger = limit.try_count_lingering(&mut limit.table());
        if may_linger {
            self.holder = limit.lingering_holder();
            limit.release(Some(from));
        }
        may_linger
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.holder.limit.release(self.holder.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_rule_agrees_with_a_table() {
        for (held, free, max, percent, want) in [
            // No permit is free.
            (0, 0, 10, 75, false),
            // A client without a permit gets the last one.
            (0, 1, 10, 75, true),
            (1, 1, 10, 75, false),
            // One client alone gets three quarters.
            (74, 26, 100, 75, true),
            (75, 25, 100, 75, false),
            (7_499, 2_501, 10_000, 75, true),
            (7_500, 2_500, 10_000, 75, false),
            // The next client gets three quarters of the rest.
            (17, 8, 100, 75, true),
            (18, 7, 100, 75, false),
            // The last sixteenth is for clients that hold few.
            (4, 7, 100, 75, true),
            (4, 6, 100, 75, false),
            (3, 6, 100, 75, true),
            (3, 2, 100, 75, false),
            // Limits that are too small to share, and limits that are not shared.
            (1, 1, 2, 75, true),
            (2, 1, 3, 75, true),
            (2, 2, 4, 75, true),
            (3, 1, 4, 75, false),
            (9, 1, 10, 100, true),
        ] {
            assert_eq!(may_hold_one_more(held, free, max, percent), want, "{held} {free} {max} {percent}");
        }
    }

    #[test]
    fn a_flood_leaves_room_for_everybody_else() {
        let limit = FairLimit::new(1_000, 75);
        let floods: Vec<Vec<Permit>> =
            (0..12).map(|key| std::iter::from_fn(|| limit.acquire(key)).collect()).collect();
        let held: Vec<_> = floods.iter().map(Vec::len).collect();
        assert_eq!(held, [750, 187, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4]);
        let few: Vec<_> =
            (0..4).map(|_| limit.acquire(99).expect("a client after twelve floods gets some")).collect();
        drop(few);
        drop(floods);
        assert_eq!((limit.held(), limit.bytes()), (0, 0));
        assert_eq!(limit.table().holders.capacity(), 0);
    }

    #[test]
    fn a_permit_moves_by_the_rule_by_which_it_is_acquired() {
        let limit = FairLimit::new(60, 75);
        let mut alice = Vec::new();
        let rejected =
            std::iter::repeat_with(|| limit.acquire(0).expect("a client without a permit gets one"))
                .take(120)
                .filter_map(|mut permit| {
                    if permit.move_to(1) {
                        alice.push(permit);
                        return None;
                    }
                    Some(permit.belongs_to(0))
                });
        assert_eq!(rejected.collect::<Vec<_>>(), [true; 75], "a permit that cannot move stays as it was");
        assert_eq!((alice.len(), limit.held()), (45, 45));
        assert!(alice[0].move_to(1) && alice[0].belongs_to(1), "where it is already");
        let mut bob = limit.acquire(0).expect("a permit");
        assert!(bob.move_to(2) && bob.belongs_to(2) && !bob.belongs_to(0));
        assert_eq!(limit.table().holders.len(), 2, "a key without a permit has no entry");
        // A permit can move even if no other is free.
        let full = FairLimit::new(1, 75);
        let mut only = full.acquire(0).expect("a permit");
        assert!(only.move_to(1) && only.belongs_to(1) && full.held() == 1);
    }

    #[tokio::test]
    async fn a_lingering_connection_holds_no_permit() {
        let limit = FairLimit::with_lingering(4, 75, 2);
        let mut first = limit.acquire(1).expect("a permit");
        assert!(first.linger() && first.linger() && !first.belongs_to(1) && !first.move_to(1));
        assert_eq!(limit.held(), 0);
        limit.until_all_released().await;
        let away = limit.acquire_lingering().expect("room for two");
        assert!(limit.acquire_lingering().is_none());
        let mut second = limit.acquire(1).expect("a permit");
        assert!(!second.linger() && second.belongs_to(1), "it stays as it was");
        drop(away);
        assert!(second.linger());
        drop((first, second));
        assert_eq!((limit.held(), limit.bytes()), (0, 0));
    }

    #[tokio::test]
    async fn the_release_of_the_last_permit_wakes_who_waits_for_it() {
        let limit = FairLimit::new(4, 75);
        let permit = limit.acquire(1).expect("a permit");
        let waiting = tokio::spawn({
            let limit = Arc::clone(&limit);
            async move { limit.until_all_released().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(permit);
        waiting.await.expect("told");
    }

    proptest! {
        /// Any order of taking, moving, lingering and giving back, by any number of clients, against counts that are
        /// kept one by one.
        #[test]
        fn permits_agree_with_a_naive_count(
            max in 0_usize..40,
            percent in 1_usize..=100,
            max_lingering in 0_usize..4,
            steps in prop::collection::vec((0_u128..6, 0..8, any::<prop::sample::Index>()), 0..300),
        ) {
            let limit = FairLimit::with_lingering(max, percent, max_lingering);
            let mut held: Vec<(u128, Permit)> = Vec::new();
            let mut lingering: Vec<Permit> = Vec::new();
            for (key, step, which) in steps {
                let own = held.iter().filter(|(other, _)| *other == key).count();
                let free = max - held.len();
                if step < 4 {
                    let permit = limit.acquire(key);
                    prop_assert_eq!(permit.is_some(), may_hold_one_more(own, free, max, percent));
                    prop_assert!(own > 0 || free == 0 || permit.is_some(), "who holds none is let in");
                    held.extend(permit.map(|permit| (key, permit)));
                } else if held.is_empty() {
                    lingering.pop();
                } else if step < 6 {
                    let (from, permit) = held.get_mut(which.index(max - free)).expect("one of them");
                    let may_move = *from == key || may_hold_one_more(own, free + 1, max, percent);
                    prop_assert_eq!(permit.move_to(key), may_move);
                    if may_move {
                        *from = key;
                    }
                    prop_assert!(permit.belongs_to(*from));
                } else {
                    let (from, mut permit) = held.swap_remove(which.index(held.len()));
                    if step == 7 {
                        prop_assert_eq!(permit.linger(), lingering.len() < max_lingering);
                        if !permit.belongs_to(from) {
                            lingering.push(permit);
                        }
                    }
                }
                let counted = |key| held.iter().filter(|(other, _)| *other == key).count();
                let table = limit.table();
                prop_assert_eq!((table.held, table.lingering), (held.len(), lingering.len()));
                for key in 0..6 {
                    let in_table = table.holders.get(&key).map(|(_, held)| *held);
                    prop_assert_eq!(in_table, Some(counted(key)).filter(|held| *held > 0));
                    let is_shared = max >= SHARED_FROM && percent < 100;
                    prop_assert!(!is_shared || counted(key) < max.max(2), "nobody holds all");
                }
            }
            drop((held, lingering));
            prop_assert_eq!((limit.held(), limit.bytes()), (0, 0));
        }
    }
}
