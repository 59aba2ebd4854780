//! How many threads a server of sockets has, by its settings.

use super::Limits;
use std::ops::RangeInclusive;

/// Threads for connections by default. Never a single one: a request that blocks its thread would block all others, and
/// the health checks.
const DEFAULT_WORKERS: RangeInclusive<usize> = 2..=4;

/// Blocking threads besides those of calls: for name lookups and terminals. Calls never hold more than
/// `max_blocking_threads`, so that one of these is always free soon.
const RUNTIME_THREADS: usize = 1;

/// The main thread, and the one that waits for signals. Those that write logs allocate nothing, and touch two pages.
const OTHER_THREADS: usize = 2;

impl Limits {
    /// Threads that serve connections.
    pub(crate) fn serving_threads(&self) -> usize {
        match self.worker_threads {
            0 => {
                let processors = std::thread::available_parallelism().map_or(1, usize::from);
                processors.clamp(*DEFAULT_WORKERS.start(), *DEFAULT_WORKERS.end())
            }
            set => set,
        }
    }

    /// Threads for work that blocks.
    pub(crate) fn blocking_threads(&self) -> usize {
        self.max_blocking_threads + RUNTIME_THREADS
    }

    /// Pages that are fetched at once, of which one principal gets all but one: by default half of the threads, and one more
    /// for the next principal. One thread is left to other calls, however slow the servers are.
    #[cfg(feature = "fetch")]
    pub(crate) fn fetches_at_once(&self) -> usize {
        let most = (self.max_blocking_threads - 1).max(1);
        match self.fetch_max_running {
            0 => (self.max_blocking_threads / 2 + 1).min(most),
            count => count.min(most),
        }
    }

    /// All threads at most.
    pub(crate) fn all_threads(&self) -> usize {
        self.serving_threads() + self.blocking_threads() + OTHER_THREADS
    }
}
