//! The sessions of legacy HTTP clients, which are found by their secret ids.
//!
//! This file finds and removes sessions; `Server::sweep` calls it each second, and `Shared::close_session` frees what
//! belongs to a removed one.
//!
//! Ids are 128 random bits, and only the principal that opened a session finds it. Invariants: at most `max_sessions`
//! are open; none is unused for longer than `session_timeout_ms` once [`Sessions::sweep`] has run; and a principal
//! that holds no more than its share, which is the table divided by the number of its principals, never loses a
//! session to another principal. So one principal alone may fill the table, a new one replaces a session of the
//! principal that holds most, and a flood replaces its own oldest sessions: [`must_replace_own`]. The sessions of a
//! principal are a linked hash map in the order of last use, so finding and expiring take constant time. Opening
//! visits each principal only if one with less than its share finds the table full.

use crate::lock::lock;
use crate::memory::lasting;
use crate::server::state::give_back::give_back;
use crate::server::state::lasting::Lasting;
use crate::server::state::request_observer::ClientNumber;
use crate::server::state::session::Session;
use hashlink::LinkedHashMap;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How many sessions are checked to find one to evict without running requests.
const EVICTION_LOOKS: usize = 16;

/// Whether a principal that holds `held` of `max` sessions has its share already, so that its own oldest session is
/// evicted for a new one. `principals` hold all sessions together, this one included.
fn must_replace_own(held: usize, principals: usize, max: usize) -> bool {
    held > 0 && held >= max / principals.max(1)
}

/// All sessions of a server.
#[derive(Debug)]
pub(crate) struct Sessions {
    table: Mutex<Table>,
    max: usize,
    timeout: Duration,
    numbers: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    /// The sessions of each principal, least recently used first. None of the maps is empty.
    held: HashMap<u128, Held>,
    open: usize,
}

type Held = LinkedHashMap<u128, Entry>;

#[derive(Debug)]
struct Entry {
    session: Arc<Session>,
    last_used: Instant,
    /// For the session and this entry.
    _memory: Lasting,
}

/// Heap of one session: itself with the two counters of its `Arc`, and its entry with the links of the list.
pub(crate) const SESSION_BYTES: usize =
    size_of::<Session>() + 2 * size_of::<usize>() + size_of::<(u128, Entry)>() + 2 * size_of::<usize>();

/// Heap of one place in the index of a map: a pointer and a byte, and an eighth of all places stays free.
const fn index_bytes(places: usize) -> usize {
    places * (size_of::<usize>() + 1) * 8 / 7
}

/// Heap of a session's part of the index at most: a map that has just grown has two places for each entry.
pub(crate) const MAX_INDEX_BYTES: usize = index_bytes(2);

impl Sessions {
    pub(crate) fn new(max: usize, timeout: Duration) -> Self {
        Self { table: Mutex::default(), max, timeout, numbers: AtomicU64::new(1) }
    }

    /// The number of a session that belongs to a connection and has no id.
    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Adds a session under a new id. Returns the evicted sessions, for the caller to close.
    pub(crate) fn open(&self, id: u128, session: Arc<Session>, memory: Lasting) -> Vec<Arc<Session>> {
        let principal = session.principal();
        let mut table = self.table();
        let mut evicted = Vec::new();
        while table.open >= self.max.max(1) {
            let Some(removed) = table.make_room(principal, self.max) else { break };
            evicted.push(removed);
        }
        table.open += 1;
        let entry = Entry { session, last_used: Instant::now(), _memory: memory };
        lasting(|| table.held.entry(principal).or_default().insert(id, entry));
        evicted
    }

    /// The session with this id, if `principal` opened it. This counts as a use.
    pub(crate) fn find(&self, id: u128, principal: u128) -> Option<Arc<Session>> {
        let mut table = self.table();
        let entry = table.held.get_mut(&principal)?.to_back(&id)?;
        entry.last_used = Instant::now();
        Some(Arc::clone(&entry.session))
    }

    /// Removes a session, for the caller to close.
    pub(crate) fn remove(&self, id: u128, principal: u128) -> Option<Arc<Session>> {
        self.table().remove(principal, id)
    }

    /// Removes the sessions that were unused for too long. The caller frees what belongs to them with
    /// `Shared::close_session`.
    pub(crate) fn sweep(&self, now: Instant) -> Vec<Arc<Session>> {
        let mut expired = Vec::new();
        let mut table = self.table();
        for held in table.held.values_mut() {
            while let Some((&id, entry)) = held.front()
                && now.saturating_duration_since(entry.last_used) >= self.timeout
            {
                if entry.session.is_busy() {
                    if let Some(entry) = held.to_back(&id) {
                        entry.last_used = now;
                    }
                } else {
                    expired.extend(held.remove(&id).map(|entry| entry.session));
                }
            }
            give_back(held);
        }
        table.open -= expired.len();
        table.held.retain(|_, held| !held.is_empty());
        give_back(&mut table.held);
        expired
    }

    /// Removes the sessions of the principals for which `must_go` holds, for the caller to close.
    pub(crate) fn remove_of(&self, must_go: impl Fn(u128) -> bool) -> Vec<Arc<Session>> {
        let mut table = self.table();
        let gone = table.held.extract_if(|principal, _| must_go(*principal));
        let removed: Vec<_> =
            gone.flat_map(|(_, held)| held).map(|(_, entry): (u128, Entry)| entry.session).collect();
        table.open -= removed.len();
        give_back(&mut table.held);
        removed
    }

    /// The number of each session, the milliseconds since its last use, and the client that has it.
    pub(crate) fn idle_times(&self, now: Instant) -> Vec<(u64, u64, ClientNumber)> {
        let table = self.table();
        let entries = table.held.values().flat_map(Held::values);
        let of_entry = |entry: &Entry| {
            let idle = now.saturating_duration_since(entry.last_used);
            (entry.session.number(), idle.as_millis() as u64, entry.session.client())
        };
        entries.map(of_entry).collect()
    }

    /// Heap bytes of the values of all sessions.
    pub(crate) fn value_bytes(&self) -> usize {
        let table = self.table();
        table.held.values().flat_map(Held::values).map(|entry| entry.session.values().bytes()).sum()
    }

    /// Heap of all sessions, without what toolsets keep in them. Counted by
    /// `a_session_is_told_as_large_as_it_is`.
    pub(crate) fn bytes(&self) -> usize {
        let table = self.table();
        let index: usize = table.held.values().map(|held| index_bytes(held.capacity())).sum();
        table.open * SESSION_BYTES + index
    }

    /// How many sessions are open.
    pub(crate) fn len(&self) -> usize {
        self.table().open
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }
}

impl Table {
    /// Removes a session to make room for one of `principal`.
    fn make_room(&mut self, principal: u128, max: usize) -> Option<Arc<Session>> {
        let own = self.held.get(&principal).map_or(0, LinkedHashMap::len);
        let principals = self.held.len() + usize::from(own == 0);
        let loser = if must_replace_own(own, principals, max) { principal } else { self.largest_holder()? };
        let held = self.held.get(&loser)?;
        let idle = held.iter().take(EVICTION_LOOKS).find(|(_, entry)| !entry.session.is_busy());
        let id = *idle.or_else(|| held.front())?.0;
        self.remove(loser, id)
    }

    /// The principal that holds most sessions; of several, the one with the least recently used session.
    fn largest_holder(&self) -> Option<u128> {
        let rank =
            |held: &Held| (held.len(), held.front().map(|(_, entry)| std::cmp::Reverse(entry.last_used)));
        self.held.iter().max_by_key(|(_, held)| rank(held)).map(|(principal, _)| *principal)
    }

    fn remove(&mut self, principal: u128, id: u128) -> Option<Arc<Session>> {
        let held = self.held.get_mut(&principal)?;
        let removed = held.remove(&id)?;
        give_back(held);
        self.open -= 1;
        if held.is_empty() {
            self.held.remove(&principal);
            give_back(&mut self.held);
        }
        Some(removed.session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::state::lasting::LastingBudget;
    use mcpool_pools::MemoryBudget;
    use proptest::prelude::*;

    fn memory() -> Lasting {
        let budget = LastingBudget::new(MemoryBudget::new(4 * SESSION_BYTES), 75);
        budget.try_reserve(1, SESSION_BYTES).expect("room")
    }

    fn session(sessions: &Sessions, principal: u128) -> Arc<Session> {
        Arc::new(Session::new(sessions.next_number(), principal))
    }

    #[test]
    fn a_session_is_found_by_its_principal_only() {
        let sessions = Sessions::new(8, Duration::from_mins(1));
        let opened = session(&sessions, 1);
        assert!(sessions.open(77, Arc::clone(&opened), memory()).is_empty());
        assert!(Arc::ptr_eq(&sessions.find(77, 1).expect("found"), &opened));
        assert!(sessions.find(77, 2).is_none());
        assert!(sessions.find(78, 1).is_none());
        assert!(sessions.remove(77, 2).is_none());
        assert!(sessions.remove(77, 1).is_some());
        assert!(sessions.find(77, 1).is_none());
    }

    #[test]
    fn the_sessions_of_a_principal_are_removed_together() {
        let sessions = Sessions::new(100_000, Duration::from_mins(1));
        for id in 0..1_000_u128 {
            sessions.open(id << 64, session(&sessions, id % 3), memory());
        }
        assert_eq!(sessions.remove_of(|principal| principal == 1).len(), 333);
        assert_eq!(sessions.len(), 667);
        assert!(sessions.find(1 << 64, 1).is_none() && sessions.find(2 << 64, 2).is_some());
    }

    #[test]
    fn the_least_recently_used_session_is_evicted() {
        let sessions = Sessions::new(3, Duration::from_mins(1));
        for id in 0..3 {
            assert!(sessions.open(id, session(&sessions, 0), memory()).is_empty());
        }
        assert!(sessions.find(0, 0).is_some());
        let evicted = sessions.open(3, session(&sessions, 0), memory());
        assert_eq!(evicted.len(), 1);
        assert!(sessions.find(1, 0).is_none());
        assert!([0, 2, 3].iter().all(|id| sessions.find(*id, 0).is_some()));
        assert_eq!(sessions.len(), 3);
    }

    #[test]
    fn unused_sessions_expire_and_their_memory_is_freed() {
        let timeout = Duration::from_mins(1);
        let sessions = Sessions::new(100_000, timeout);
        for id in 0..10_000_u128 {
            sessions.open(id, session(&sessions, id % 7), memory());
        }
        assert!(sessions.sweep(Instant::now()).is_empty());
        assert_eq!(sessions.sweep(Instant::now() + timeout).len(), 10_000);
        assert_eq!(sessions.len(), 0);
        assert_eq!(sessions.table().held.capacity(), 0);
    }

    #[test]
    fn a_flood_replaces_its_own_sessions_and_a_new_principal_one_of_the_largest_holder() {
        let sessions = Sessions::new(100, Duration::from_mins(1));
        for id in 0..20 {
            sessions.open(id, session(&sessions, 1), memory());
        }
        for id in 1_000..3_000 {
            sessions.open(id, session(&sessions, 2), memory());
        }
        assert!((0..20).all(|id| sessions.find(id, 1).is_some()), "within its share");
        assert!((2_920..3_000).all(|id| sessions.find(id, 2).is_some()), "all that is left is the flood's");
        assert_eq!(sessions.len(), 100);
        let evicted = sessions.open(5_000, session(&sessions, 3), memory());
        assert_eq!(evicted.iter().map(|session| session.principal()).collect::<Vec<_>>(), [2]);
        assert!(sessions.find(2_920, 2).is_none() && sessions.find(2_921, 2).is_some());
    }

    #[test]
    fn if_each_principal_holds_one_the_least_recently_used_is_evicted() {
        let sessions = Sessions::new(8, Duration::from_mins(1));
        for id in 0..8 {
            sessions.open(id, session(&sessions, id + 100), memory());
        }
        assert!(sessions.find(0, 100).is_some(), "used again");
        let evicted = sessions.open(8, session(&sessions, 108), memory());
        assert_eq!(evicted[0].principal(), 101);
    }

    /// The model: principal and id of each session, in the order of last use.
    type Model = Vec<(u128, u128)>;

    /// The session that the model evicts for one of `principal`.
    fn model_loser(model: &Model, principal: u128, max: usize) -> (u128, u128) {
        let count = |who: u128| model.iter().filter(|(other, _)| *other == who).count();
        let mut principals: Vec<_> = model.iter().map(|(who, _)| *who).chain([principal]).collect();
        principals.sort_unstable();
        principals.dedup();
        let own = count(principal);
        let most = principals.iter().map(|who| count(*who)).max().unwrap_or_default();
        let is_meant = |who: u128| {
            if own > 0 && own >= max / principals.len() { who == principal } else { count(who) == most }
        };
        *model.iter().find(|(who, _)| is_meant(*who)).expect("somebody holds one")
    }

    proptest! {
        /// Any operations of many principals, against a list that is searched from its start.
        #[test]
        fn sessions_agree_with_a_naive_list(
            max in 1_usize..24,
            steps in prop::collection::vec((0_u8..8, 0_u128..5, any::<prop::sample::Index>()), 0..300),
        ) {
            let sessions = Sessions::new(max, Duration::from_mins(1));
            let mut model = Model::new();
            for (next_id, (what, principal, which)) in (0_u128..).zip(steps) {
                match what {
                    // Opening is what a flood does.
                    0..=4 => {
                        let shared = 1 + model.iter().map(|(who, _)| *who).filter(|who| *who != principal)
                            .collect::<std::collections::BTreeSet<_>>().len();
                        let evicted = sessions.open(next_id, session(&sessions, principal), memory());
                        prop_assert_eq!(evicted.len(), usize::from(model.len() == max));
                        if model.len() == max {
                            let loser = model_loser(&model, principal, max);
                            let held = model.iter().filter(|(who, _)| *who == loser.0).count();
                            prop_assert!(loser.0 == principal || held > max / shared, "taken within a share");
                            prop_assert_eq!(evicted[0].principal(), loser.0);
                            prop_assert!(sessions.find(loser.1, loser.0).is_none());
                            model.retain(|other| *other != loser);
                        }
                        model.push((principal, next_id));
                    }
                    _ if model.is_empty() => {}
                    5 | 6 => {
                        let found = model.remove(which.index(model.len()));
                        prop_assert!(sessions.find(found.1, found.0).is_some());
                        prop_assert!(sessions.find(found.1, found.0 + 1).is_none());
                        model.push(found);
                    }
                    _ => {
                        let gone = model.remove(which.index(model.len()));
                        prop_assert!(sessions.remove(gone.1, gone.0).is_some());
                        prop_assert!(sessions.find(gone.1, gone.0).is_none());
                    }
                }
                prop_assert_eq!(sessions.len(), model.len());
            }
            for (principal, id) in model {
                prop_assert!(sessions.find(id, principal).is_some());
            }
        }
    }
}
