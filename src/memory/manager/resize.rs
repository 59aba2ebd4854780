//! Sizes one pool because somebody asks for it, while the server runs.

use super::MemoryManager;
use crate::memory::AppliedChange;

impl MemoryManager {
    /// Sets how many objects of a pool may be idle, at most its maximum, and returns what that changed; `None` if no pool
    /// has that name. It lasts until the server ends, or until the pools are sized again.
    ///
    /// ```
    /// let server = mcpool::Server::builder("demo", "1.0.0").build()?;
    /// let change = server.memory().resize_pool("arenas", 3).expect("a pool");
    /// assert_eq!(change.after, 3);
    /// assert!(server.memory().resize_pool("no such pool", 3).is_none());
    /// # Ok::<(), mcpool::BuildError>(())
    /// ```
    pub fn resize_pool(&self, pool: &str, capacity: usize) -> Option<AppliedChange> {
        let control = self.shared.registry.find(pool)?;
        let before = control.snapshot().capacity as u64;
        let after = control.set_capacity(capacity) as u64;
        tracing::info!(pool, before, after, "a pool is resized because somebody asks for it");
        Some(AppliedChange {
            what: pool.to_owned(),
            before,
            after,
            reason: "somebody asked for it".to_owned(),
        })
    }
}
