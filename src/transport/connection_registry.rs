//! Which connections hold memory at the moment, and who is at their other end.
//!
//! A connection that is idle, or whose request is served at once, is not on the roster: it enters itself when it goes
//! to sleep with something in its hands. Invariant: an entry goes when its exchange is given back.

use super::admission::PeerAddress;
use crate::lock::lock;
use crate::memory::{Account, ConnectionSpot, Entries};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// The places of all exchanges of one kind.
#[derive(Debug, Default)]
pub(super) struct Roster {
    /// A map gives its memory back as its entries go; a list would keep room for the most there ever were.
    places: Mutex<BTreeMap<u64, Arc<Mutex<Option<Holding>>>>>,
    next: AtomicU64,
}

/// What one connection holds beyond what an idle one does.
#[derive(Debug)]
struct Holding {
    number: u64,
    peer: Option<PeerAddress>,
    held: Held,
    /// Since when the peer has been taking nothing of what waits for it.
    stalled: Option<Instant>,
}

/// Bytes, all of them and those that wait for the peer to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) bytes: usize,
    pub(super) queued_bytes: usize,
}

/// The place of one exchange on the roster.
#[derive(Debug)]
pub(super) struct Place {
    roster: Arc<Roster>,
    key: u64,
    holding: Arc<Mutex<Option<Holding>>>,
    is_entered: bool,
}

impl Roster {
    /// A place for an exchange that is made.
    pub(super) fn place(self: &Arc<Self>) -> Place {
        let (key, holding) = (self.next.fetch_add(1, Ordering::Relaxed), Arc::default());
        lock(&self.places).insert(key, Arc::clone(&holding));
        Place { roster: Arc::clone(self), key, holding, is_entered: false }
    }
}

impl Place {
    /// The connection sleeps, and holds so much. Without an address the peer is the one on stdin.
    pub(super) fn enter(&mut self, peer: Option<PeerAddress>, held: Held) {
        let mut holding = lock(&self.holding);
        let before = holding.as_ref();
        let number =
            before.map_or_else(|| self.roster.next.fetch_add(1, Ordering::Relaxed), |before| before.number);
        let stalled = match before {
            _ if held.queued_bytes == 0 => None,
            Some(before) if before.stalled.is_some() && before.held.queued_bytes <= held.queued_bytes => {
                before.stalled
            }
            _ => Some(Instant::now()),
        };
        *holding = Some(Holding { number, peer, held, stalled });
        drop(holding);
        self.is_entered = true;
    }

    /// The connection holds nothing any more.
    pub(super) fn leave(&mut self) {
        if std::mem::take(&mut self.is_entered) {
            *lock(&self.holding) = None;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.roster.places).remove(&self.key);
    }
}

impl Account for Roster {
    fn enter(&self, entries: &mut Entries) {
        if !entries.is_detailed {
            return;
        }
        let now = Instant::now();
        let places = lock(&self.places);
        entries.connections.extend(places.values().filter_map(|place| {
            let holding = lock(place);
            let holding = holding.as_ref()?;
            let stalled = holding.stalled.map(|since| now.saturating_duration_since(since));
            Some(ConnectionSpot {
                number: holding.number,
                peer: shown(holding.peer),
                bytes: holding.held.bytes as u64,
                queued_bytes: holding.held.queued_bytes as u64,
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

    fn spots(roster: &Roster) -> Vec<ConnectionSpot> {
        let mut entries = Entries { is_detailed: true, ..Entries::default() };
        roster.enter(&mut entries);
        entries.connections
    }

    #[test]
    fn who_holds_something_is_named_until_it_lets_go() {
        let roster = Arc::new(Roster::default());
        let (mut first, mut second) = (roster.place(), roster.place());
        assert_eq!(spots(&roster), []);
        first.enter(Some(PeerAddress::Unix { uid: 7 }), Held { bytes: 10, queued_bytes: 0 });
        second.enter(None, Held { bytes: 30, queued_bytes: 20 });
        let found = spots(&roster);
        let told: Vec<_> = found.iter().map(|s| (s.peer.as_str(), s.bytes, s.queued_bytes)).collect();
        assert_eq!(told, [("unix, user 7", 10, 0), ("stdio", 30, 20)]);
        first.leave();
        assert_eq!(spots(&roster).len(), 1);
        drop(second);
        assert_eq!(spots(&roster), []);
        drop(first);
        assert!(lock(&roster.places).is_empty());
    }

    #[test]
    fn a_peer_stalls_while_it_takes_nothing() {
        let roster = Arc::new(Roster::default());
        let mut place = roster.place();
        let since = |place: &Place| lock(&place.holding).as_ref().and_then(|holding| holding.stalled);
        let queue = |place: &mut Place, queued_bytes| {
            place.enter(None, Held { bytes: 0, queued_bytes });
        };
        queue(&mut place, 50);
        let begun = since(&place).expect("stalled");
        queue(&mut place, 80);
        assert_eq!(since(&place), Some(begun), "more waits, nothing was taken");
        std::thread::sleep(std::time::Duration::from_millis(2));
        queue(&mut place, 60);
        assert!(since(&place) > Some(begun), "something was taken");
        queue(&mut place, 0);
        assert_eq!(since(&place), None);
    }
}
