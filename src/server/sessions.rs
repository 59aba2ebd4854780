//! The sessions of HTTP clients of the legacy era, found by their secret ids.
//!
//! Ids are 128 random bits; knowing one is not enough, the principal must be the one that opened it.
//! Invariants: never more than `max_sessions`, the one unused for longest makes room; none unused for longer
//! than `session_timeout_ms` once [`Sessions::sweep`] has run. Each shard is a linked hash map in the order of
//! last use, so that finding, opening and expiring cost the same however many there are.

use super::session::Session;
use hashlink::LinkedHashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Sessions below which one shard is enough, so that a small limit holds exactly.
const SHARDED_FROM: usize = 1_024;
const SHARDS: usize = 16;
/// Sessions that are looked at to find one to evict on which no request runs.
const EVICTION_LOOKS: usize = 16;

/// All sessions of a server.
#[derive(Debug)]
pub(crate) struct Sessions {
    shards: Box<[Mutex<Shard>]>,
    max_per_shard: usize,
    timeout: Duration,
    numbers: AtomicU64,
}

type Shard = LinkedHashMap<u128, Entry>;

#[derive(Debug)]
struct Entry {
    session: Arc<Session>,
    last_used: Instant,
}

impl Sessions {
    pub(crate) fn new(max: usize, timeout: Duration) -> Self {
        let shards = if max < SHARDED_FROM { 1 } else { SHARDS };
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            max_per_shard: max.div_ceil(shards),
            timeout,
            numbers: AtomicU64::new(1),
        }
    }

    /// The number of a session that belongs to a connection and has no id.
    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes a session in under a new id; gives those that had to make room, to be closed.
    pub(crate) fn open(&self, id: u128, session: Arc<Session>) -> Vec<Arc<Session>> {
        let mut shard = self.shard(id);
        let mut evicted = Vec::new();
        while shard.len() >= self.max_per_shard {
            let idle = shard.iter().take(EVICTION_LOOKS).find(|(_, entry)| !entry.session.is_busy());
            let Some(oldest) = idle.or_else(|| shard.front()).map(|(id, _)| *id) else { break };
            evicted.extend(shard.remove(&oldest).map(|entry| entry.session));
        }
        shard.insert(id, Entry { session, last_used: Instant::now() });
        evicted
    }

    /// The session of that id, if `principal` opened it; it counts as used.
    pub(crate) fn find(&self, id: u128, principal: u128) -> Option<Arc<Session>> {
        let mut shard = self.shard(id);
        let entry = shard.get(&id).filter(|entry| entry.session.principal() == principal)?;
        let session = Arc::clone(&entry.session);
        if let Some(entry) = shard.to_back(&id) {
            entry.last_used = Instant::now();
        }
        Some(session)
    }

    /// Takes a session out, to be closed.
    pub(crate) fn remove(&self, id: u128, principal: u128) -> Option<Arc<Session>> {
        let mut shard = self.shard(id);
        shard.get(&id).filter(|entry| entry.session.principal() == principal)?;
        let removed = shard.remove(&id);
        give_back(&mut shard);
        removed.map(|entry| entry.session)
    }

    /// Takes out the sessions that nobody used for too long, to be closed.
    pub(crate) fn sweep(&self, now: Instant) -> Vec<Arc<Session>> {
        let mut expired = Vec::new();
        for shard in &self.shards {
            let mut shard = lock(shard);
            while let Some((&id, entry)) = shard.front()
                && now.saturating_duration_since(entry.last_used) >= self.timeout
            {
                if entry.session.is_busy() {
                    if let Some(entry) = shard.to_back(&id) {
                        entry.last_used = now;
                    }
                } else {
                    expired.extend(shard.remove(&id).map(|entry| entry.session));
                }
            }
            give_back(&mut shard);
        }
        expired
    }

    /// Takes out the sessions of principals that have to go, to be closed.
    pub(crate) fn remove_of(&self, must_go: impl Fn(u128) -> bool) -> Vec<Arc<Session>> {
        let mut removed = Vec::new();
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.retain(|_, entry| {
                let stays = !must_go(entry.session.principal());
                if !stays {
                    removed.push(Arc::clone(&entry.session));
                }
                stays
            });
            give_back(&mut shard);
        }
        removed
    }

    /// The number of each session, and for how many milliseconds nobody has used it.
    pub(crate) fn idle_times(&self, now: Instant) -> Vec<(u64, u64)> {
        let mut times = Vec::new();
        for shard in &self.shards {
            times.extend(lock(shard).values().map(|entry| {
                let idle = now.saturating_duration_since(entry.last_used);
                (entry.session.number(), idle.as_millis() as u64)
            }));
        }
        times
    }

    /// Heap bytes of what tools keep for all sessions.
    pub(crate) fn value_bytes(&self) -> usize {
        let of_shard = |shard: &Mutex<Shard>| {
            lock(shard).values().map(|entry| entry.session.values().bytes()).sum::<usize>()
        };
        self.shards.iter().map(of_shard).sum()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn shard(&self, id: u128) -> MutexGuard<'_, Shard> {
        // Ids are random: any bits spread them evenly.
        lock(&self.shards[(id >> 64) as usize % self.shards.len()])
    }
}

/// Returns the memory of a shard that held many more sessions once, or holds none: the map keeps the nodes of
/// removed entries.
fn give_back(shard: &mut Shard) {
    if shard.is_empty() || shard.capacity() > 64 && shard.len() * 4 < shard.capacity() {
        shard.shrink_to_fit();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(sessions: &Sessions, principal: u128) -> Arc<Session> {
        Arc::new(Session::new(sessions.next_number(), principal))
    }

    #[test]
    fn a_session_is_found_by_its_principal_only() {
        let sessions = Sessions::new(8, Duration::from_mins(1));
        let opened = session(&sessions, 1);
        assert!(sessions.open(77, Arc::clone(&opened)).is_empty());
        assert!(Arc::ptr_eq(&sessions.find(77, 1).expect("found"), &opened));
        assert!(sessions.find(77, 2).is_none());
        assert!(sessions.find(78, 1).is_none());
        assert!(sessions.remove(77, 2).is_none());
        assert!(sessions.remove(77, 1).is_some());
        assert!(sessions.find(77, 1).is_none());
    }

    #[test]
    fn sessions_go_with_their_principal() {
        let sessions = Sessions::new(100_000, Duration::from_mins(1));
        for id in 0..1_000_u128 {
            sessions.open(id << 64, session(&sessions, id % 3));
        }
        assert_eq!(sessions.remove_of(|principal| principal == 1).len(), 333);
        assert_eq!(sessions.len(), 667);
        assert!(sessions.find(1 << 64, 1).is_none() && sessions.find(2 << 64, 2).is_some());
    }

    #[test]
    fn the_one_unused_for_longest_makes_room() {
        let sessions = Sessions::new(3, Duration::from_mins(1));
        for id in 0..3 {
            assert!(sessions.open(id, session(&sessions, 0)).is_empty());
        }
        assert!(sessions.find(0, 0).is_some());
        let evicted = sessions.open(3, session(&sessions, 0));
        assert_eq!(evicted.len(), 1);
        assert!(sessions.find(1, 0).is_none());
        assert!([0, 2, 3].iter().all(|id| sessions.find(*id, 0).is_some()));
        assert_eq!(sessions.len(), 3);
    }

    #[test]
    fn unused_sessions_expire_and_their_places_go() {
        let timeout = Duration::from_mins(1);
        let sessions = Sessions::new(100_000, timeout);
        for id in 0..10_000_u128 {
            sessions.open(id << 64 | id, session(&sessions, 0));
        }
        assert!(sessions.sweep(Instant::now()).is_empty());
        assert_eq!(sessions.sweep(Instant::now() + timeout).len(), 10_000);
        assert_eq!(sessions.len(), 0);
        assert!(sessions.shards.iter().all(|shard| lock(shard).capacity() == 0));
    }
}
