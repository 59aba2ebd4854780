//! Which connections hold memory at the moment, and who is at their other end.
//!
//! A connection that is idle, or whose request is served at once, has no entry: it sets one when it goes to sleep and
//! holds something. Invariant: an entry is removed when its exchange returns to the pool.

use super::admission::PeerAddress;
use crate::lock::lock;
use crate::memory::{Account, ConnectionSpot, Entries};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// The entries of all exchanges of one kind.
#[derive(Debug, Default)]
pub(super) struct ConnectionRegistry {
    /// A map gives its memory back as its entries go; a list would keep room for the most there ever were.
    by_key: Mutex<BTreeMap<u64, Arc<Mutex<Option<BusyConnection>>>>>,
    next: AtomicU64,
}

/// What one connection holds beyond what an idle one does.
#[derive(Debug)]
struct BusyConnection {
    number: u64,
    peer: Option<PeerAddress>,
    held: HeldBytes,
    /// Since when the peer has read nothing of what waits for it.
    stalled: Option<Instant>,
}

/// Bytes, all of them and those that wait for the peer to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct HeldBytes {
    pub(super) bytes: usize,
    pub(super) queued_bytes: usize,
}

/// The entry of one exchange. It is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Registration {
    registry: Arc<ConnectionRegistry>,
    key: u64,
    entry: Arc<Mutex<Option<BusyConnection>>>,
    is_set: bool,
}

impl ConnectionRegistry {
    /// Registers a new exchange, which holds nothing yet.
    pub(super) fn register(self: &Arc<Self>) -> Registration {
        let (key, entry) = (self.next.fetch_add(1, Ordering::Relaxed), Arc::default());
        lock(&self.by_key).insert(key, Arc::clone(&entry));
        Registration { registry: Arc::clone(self), key, entry, is_set: false }
    }
}

impl Registration {
    /// Sets what the connection holds while it sleeps. A peer without an address is the owner.
    pub(super) fn update(&mut self, peer: Option<PeerAddress>, held: HeldBytes) {
        let mut entry = lock(&self.entry);
        let before = entry.as_ref();
        let number =
            before.map_or_else(|| self.registry.next.fetch_add(1, Ordering::Relaxed), |before| before.number);
        let stalled = match before {
            _ if held.queued_bytes == 0 => None,
            Some(before) if before.stalled.is_some() && before.held.queued_bytes <= held.queued_bytes => {
                before.stalled
            }
            _ => Some(Instant::now()),
        };
        *entry = Some(BusyConnection { number, peer, held, stalled });
        drop(entry);
        self.is_set = true;
    }

    /// Removes what the connection held: its exchange returns to the pool.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.is_set) {
            *lock(&self.entry) = None;
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.registry.by_key).remove(&self.key);
    }
}

impl Account for ConnectionRegistry {
    fn enter(&self, entries: &mut Entries) {
        if !entries.is_detailed {
            return;
        }
        let now = Instant::now();
        let by_key = lock(&self.by_key);
        entries.connections.extend(by_key.values().filter_map(|entry| {
            let entry = lock(entry);
            let entry = entry.as_ref()?;
            let stalled = entry.stalled.map(|since| now.saturating_duration_since(since));
            Some(ConnectionSpot {
                number: entry.number,
                peer: shown(entry.peer),
                bytes: entry.held.bytes as u64,
                queued_bytes: entry.held.queued_bytes as u64,
                stalled_ms: stalled.map_or(0, |stalled| stalled.as_millis() as u64),
            })
        }));
    }
}

fn shown(peer: Option<PeerAddress>) -> String {
    match peer {
        None => "stdio".to_owned(),
        Some(PeerAddress::Ip(address)) => address.to_string(),
        Some(PeerAddress::Unix { uid }) => format!("unix, user {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spots(registry: &ConnectionRegistry) -> Vec<ConnectionSpot> {
        let mut entries = Entries { is_detailed: true, ..Entries::default() };
        registry.enter(&mut entries);
        entries.connections
    }

    #[test]
    fn who_holds_something_is_named_until_it_lets_go() {
        let registry = Arc::new(ConnectionRegistry::default());
        let (mut first, mut second) = (registry.register(), registry.register());
        assert_eq!(spots(&registry), []);
        first.update(Some(PeerAddress::Unix { uid: 7 }), HeldBytes { bytes: 10, queued_bytes: 0 });
        second.update(None, HeldBytes { bytes: 30, queued_bytes: 20 });
        let found = spots(&registry);
        let told: Vec<_> = found.iter().map(|s| (s.peer.as_str(), s.bytes, s.queued_bytes)).collect();
        assert_eq!(told, [("unix, user 7", 10, 0), ("stdio", 30, 20)]);
        first.clear();
        assert_eq!(spots(&registry).len(), 1);
        drop(second);
        assert_eq!(spots(&registry), []);
        drop(first);
        assert!(lock(&registry.by_key).is_empty());
    }

    #[test]
    fn a_peer_stalls_while_it_takes_nothing() {
        let registry = Arc::new(ConnectionRegistry::default());
        let mut registration = registry.register();
        let since =
            |registration: &Registration| lock(&registration.entry).as_ref().and_then(|entry| entry.stalled);
        let queue = |registration: &mut Registration, queued_bytes| {
            registration.update(None, HeldBytes { bytes: 0, queued_bytes });
        };
        queue(&mut registration, 50);
        let begun = since(&registration).expect("stalled");
        queue(&mut registration, 80);
        assert_eq!(since(&registration), Some(begun), "more waits, nothing was taken");
        std::thread::sleep(std::time::Duration::from_millis(2));
        queue(&mut registration, 60);
        assert!(since(&registration) > Some(begun), "something was taken");
        queue(&mut registration, 0);
        assert_eq!(since(&registration), None);
    }
}
