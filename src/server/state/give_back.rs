//! Collections that grow with the load give their room back: one rule for all of them.
//!
//! A map keeps the room for as many entries as it ever had. What lasts longer than a burst calls [`give_back`] whenever
//! entries were removed.

use hashlink::LinkedHashMap;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, Hash};

/// Room for so many entries is kept, as long as there is one: a client more or less moves nothing.
const KEPT_ENTRIES: usize = 64;

/// A collection with room for more entries than it has.
pub(crate) trait Roomy {
    fn entries(&self) -> usize;
    fn room(&self) -> usize;
    fn shrink(&mut self);
}

/// Frees the room of a collection that is empty, or once held more than four times as many entries.
///
/// The entries that stay may move, but only when three times as many were removed.
pub(crate) fn give_back(collection: &mut impl Roomy) {
    let (entries, room) = (collection.entries(), collection.room());
    if entries == 0 || room > KEPT_ENTRIES && entries * 4 < room {
        collection.shrink();
    }
}

/// All of these have the three functions under the same names.
macro_rules! roomy {
    ($([$($bounds:tt)*] $collection:ty;)*) => {$(
        impl<$($bounds)*> Roomy for $collection {
            fn entries(&self) -> usize {
                self.len()
            }

            fn room(&self) -> usize {
                self.capacity()
            }

            fn shrink(&mut self) {
                self.shrink_to_fit();
            }
        }
    )*};
}

roomy! {
    [T] Vec<T>;
    [T] VecDeque<T>;
    [K: Eq + Hash, V, S: BuildHasher] HashMap<K, V, S>;
    [K: Eq + Hash, S: BuildHasher] HashSet<K, S>;
    [K: Eq + Hash, V, S: BuildHasher] LinkedHashMap<K, V, S>;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries that come and go one by one, and the room that is left with none, one and many of them.
    fn check<C: Roomy, A, R>(
        mut collection: C,
        add: impl Fn(&mut C, u32) -> A,
        remove: impl Fn(&mut C, u32) -> R,
    ) {
        const MOST: u32 = 10_000;
        for entry in 0..MOST {
            add(&mut collection, entry);
        }
        let (mut moves, mut room) = (0, collection.room());
        for entry in 0..MOST {
            remove(&mut collection, entry);
            give_back(&mut collection);
            let left = (MOST - 1 - entry) as usize;
            assert_eq!(collection.entries(), left);
            // Maps round up to a power of two, and an eighth stays free.
            assert!(
                collection.room() <= (left * 8).max(2 * KEPT_ENTRIES),
                "{} for {left}",
                collection.room()
            );
            // A map has a little less room by itself where it keeps a mark for an entry that was removed.
            moves += u32::from(collection.room() * 2 <= std::mem::replace(&mut room, collection.room()));
        }
        assert_eq!(collection.room(), 0);
        assert!(moves < 12, "moved {moves} times");
        // One entry that comes and goes beside another moves nothing.
        add(&mut collection, 1);
        let room = collection.room();
        for _ in 0..3 {
            add(&mut collection, 2);
            remove(&mut collection, 2);
            give_back(&mut collection);
            assert!(collection.room() >= room);
        }
    }

    #[test]
    fn room_goes_with_the_entries_and_in_few_moves() {
        check(Vec::new(), Vec::push, |list, _| list.pop());
        check(VecDeque::new(), VecDeque::push_back, |list, _| list.pop_front());
        check(HashMap::new(), |map, key| map.insert(key, 0_u8), |map, key| map.remove(&key));
        check(HashSet::new(), HashSet::insert, |set, key| set.remove(&key));
        check(LinkedHashMap::new(), |map, key| map.insert(key, 0_u8), |map, key| map.remove(&key));
    }
}
