//! The ids of requests that have no answer yet, so that none is used twice at the same time.

use crate::lock::lock;
use crate::protocol::Id;
use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::{LazyLock, Mutex, MutexGuard};

/// Entries whose memory stays when no id is in use, so that a connection with one request at a time does not allocate
/// for each.
const KEPT_ENTRIES: usize = 4;

/// An id as a number that tells it from all others: two ids share one by chance alone, as nobody knows the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdKey(u64);

impl IdKey {
    /// The key of an id that is given as JSON text.
    pub(crate) fn of(id: &str) -> Self {
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(HASHER.hash_one(&*Id::value(id)))
    }
}

impl Hash for IdKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// Takes a key as it is: it is a hash already.
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

/// The ids of the requests of one connection, or of one session over HTTP, that have no answer yet: those that wait,
/// and all of a batch until its answer goes out. Of two requests with one id a client could not tell the answers
/// apart, nor which it cancels.
#[derive(Debug, Default)]
pub(crate) struct RequestIds {
    ids: Mutex<Ids>,
}

type Keys = HashSet<IdKey, BuildHasherDefault<AsItIs>>;

#[derive(Debug, Default)]
struct Ids {
    claimed: Keys,
    /// Of these, those that their client does not want any more.
    cancelled: Keys,
}

impl RequestIds {
    /// Takes an id into use; `false` if it is in use already.
    #[must_use]
    pub(crate) fn claim(&self, key: IdKey) -> bool {
        self.ids().claimed.insert(key)
    }

    /// Gives an id back.
    pub(crate) fn release(&self, key: IdKey) {
        let mut ids = self.ids();
        ids.claimed.remove(&key);
        ids.cancelled.remove(&key);
        if ids.claimed.is_empty() {
            ids.shrink();
        }
    }

    /// Marks a request that has not begun as cancelled; `false` if there is none, or it is marked already.
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

    /// Gives all ids back.
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
