//! What large bodies will take that clients have announced and not sent yet, by client.
//!
//! An announcement costs a client nothing, so it keeps nobody else waiting: each client is let in as if it were alone with
//! what is in memory. Invariant: each sum is that of its client's [`Announced`] that live, and a sum of none has no entry.

use crate::lock::lock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The announcements of all clients.
#[derive(Debug, Clone, Default)]
pub(crate) struct Announcements {
    /// Bytes, and how many announcements they are of.
    by_client: Arc<Mutex<BTreeMap<u128, (usize, usize)>>>,
}

/// A body that is to come, until this is dropped.
#[derive(Debug)]
#[must_use = "dropping it takes the announcement back"]
pub(crate) struct Announced {
    announcements: Announcements,
    client: u128,
    bytes: usize,
}

impl Announcements {
    /// Notes that a client will send `bytes`, unless all that it has announced would be more than `room_bytes`.
    pub(crate) fn announce(&self, client: u128, bytes: usize, room_bytes: usize) -> Option<Announced> {
        let mut by_client = lock(&self.by_client);
        let announced_bytes = by_client.get(&client).map_or(0, |(bytes, _)| *bytes);
        if announced_bytes.saturating_add(bytes) > room_bytes {
            return None;
        }
        let (sum, count) = by_client.entry(client).or_default();
        *sum += bytes;
        *count += 1;
        drop(by_client);
        Some(Announced { announcements: self.clone(), client, bytes })
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        let mut by_client = lock(&self.announcements.by_client);
        if let Some((sum, count)) = by_client.get_mut(&self.client) {
            *sum -= self.bytes;
            *count -= 1;
            if *count == 0 {
                by_client.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever others announce, a client is let in by what it announced itself.
        #[test]
        fn a_client_waits_for_its_own_announcements_only(
            steps in prop::collection::vec((0..3_u128, 0..500_usize, 0..800_usize, any::<bool>()), 0..60),
        ) {
            let announcements = Announcements::default();
            let mut held: Vec<Announced> = Vec::new();
            for (client, bytes, room_bytes, leaves) in steps {
                if leaves && !held.is_empty() {
                    drop(held.swap_remove(bytes % held.len()));
                }
                let own: usize = held.iter().filter(|held| held.client == client).map(|held| held.bytes).sum();
                let announced = announcements.announce(client, bytes, room_bytes);
                prop_assert_eq!(announced.is_some(), own + bytes <= room_bytes);
                held.extend(announced);
            }
            drop(held);
            prop_assert!(lock(&announcements.by_client).is_empty());
        }
    }
}
