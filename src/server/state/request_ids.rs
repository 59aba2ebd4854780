//! The ids of requests that have no answer yet, so that none is used twice at the same time.

use crate::lock::lock;
use crate::memory::lasting;
use crate::protocol::Id;
use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::{LazyLock, Mutex, MutexGuard};

/// Entries whose memory stays when no id is in use, so that a connection with one request at a time does not allocate
/// for each.
const KEPT_ENTRIES: usize = 4;

/// A keyed hash of an id. Two ids share a hash only by chance, as no client knows the key of the hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdKey(u64);

impl IdKey {
    /// The hash of an id that is given as JSON text.
    pub(crate) fn of(id: &str) -> Self {
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(HASHER.hash_one(&*Id::canonical(id)))
    }
}

impl Hash for IdKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// A hasher that returns the key itself, which is a hash already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.is_empty(), "keys are numbers");
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// The ids of the requests of one connection, or of one HTTP session, that have no answer yet: those that wait, and all
/// of a batch until its answer is sent. If two requests had the same id, the client could not tell their answers apart,
/// nor which of them it cancels.
#[derive(Debug, Default)]
pub(crate) struct RequestIds {
    ids: Mutex<Ids>,
}

type Keys = HashSet<IdKey, BuildHasherDefault<AsItIs>>;

#[derive(Debug, Default)]
struct Ids {
    claimed: Keys,
    /// Those of them that the client cancelled.
    cancelled: Keys,
}

impl RequestIds {
    /// Marks an id as used; `false` if it is used already.
    #[must_use]
    pub(crate) fn claim(&self, key: IdKey) -> bool {
        let mut ids = self.ids();
        // The first entries of a session stay with it.
        if ids.claimed.capacity() == 0 {
            lasting(|| ids.claimed.insert(key))
        } else {
            ids.claimed.insert(key)
        }
    }

    /// Marks an id as unused.
    pub(crate) fn release(&self, key: IdKey) {
        let mut ids = self.ids();
        ids.claimed.remove(&key);
        ids.cancelled.remove(&key);
        if ids.claimed.is_empty() {
            ids.shrink();
        }
    }

    /// Marks a request that has not begun as cancelled; `false` if there is none, or it was marked before.
    pub(crate) fn cancel(&self, key: IdKey) -> bool {
        let mut ids = self.ids();
        ids.claimed.contains(&key) && ids.cancelled.insert(key)
    }

    /// Whether a request was cancelled before it began.
    pub(crate) fn is_cancelled(&self, key: IdKey) -> bool {
        self.ids().cancelled.contains(&key)
    }

    /// Whether a request with that id, as JSON text, has no answer yet.
    pub(crate) fn contains(&self, id: &str) -> bool {
        let ids = self.ids();
        !ids.claimed.is_empty() && ids.claimed.contains(&IdKey::of(id))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ids().claimed.is_empty()
    }

    /// Marks all ids as unused.
    pub(crate) fn clear(&self) {
        let mut ids = self.ids();
        ids.claimed.clear();
        ids.cancelled.clear();
        ids.shrink();
    }

    fn ids(&self) -> MutexGuard<'_, Ids> {
        lock(&self.ids)
    }
}

impl Ids {
    fn shrink(&mut self) {
        self.claimed.shrink_to(KEPT_ENTRIES);
        self.cancelled.shrink_to(0);
    }
}
