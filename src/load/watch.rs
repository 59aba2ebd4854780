//! What the server takes while it is loaded: its resident memory, and its processor time.
//!
//! A thread reads the memory ten times a second, so that the generator does not wait for it.

use crate::memory::ProcessFamily;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const INTERVAL: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Seen {
    rss_bytes: AtomicU64,
    most_rss_bytes: AtomicU64,
    is_over: AtomicBool,
}

/// Watches some processes until it is dropped.
pub(super) struct ServerWatch {
    ids: Vec<u32>,
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

impl ServerWatch {
    /// Watches processes and their children; `None` when nothing can be seen of them.
    pub(super) fn start(ids: Vec<u32>) -> Option<Self> {
        let seen = Arc::new(Seen::default());
        let first = rss_bytes(&ids)?;
        seen.rss_bytes.store(first, Ordering::Relaxed);
        seen.most_rss_bytes.store(first, Ordering::Relaxed);
        let (own_ids, shared) = (ids.clone(), Arc::clone(&seen));
        let watch = move || {
            while !shared.is_over.load(Ordering::Relaxed) {
                if let Some(bytes) = rss_bytes(&own_ids) {
                    shared.rss_bytes.store(bytes, Ordering::Relaxed);
                    shared.most_rss_bytes.fetch_max(bytes, Ordering::Relaxed);
                }
                thread::sleep(INTERVAL);
            }
        };
        let thread = thread::Builder::new().name("server watch".to_owned()).spawn(watch).ok();
        Some(Self { ids, seen, thread })
    }

    /// Resident bytes, at most a tenth of a second ago.
    pub(super) fn rss_bytes(&self) -> u64 {
        self.seen.rss_bytes.load(Ordering::Relaxed)
    }

    /// The most resident bytes that were seen.
    pub(super) fn most_rss_bytes(&self) -> u64 {
        self.seen.most_rss_bytes.load(Ordering::Relaxed)
    }

    /// Resident bytes now.
    pub(super) fn rss_bytes_now(&self) -> Option<u64> {
        rss_bytes(&self.ids)
    }

    /// The most that has been resident since the processes began.
    pub(super) fn peak_rss_bytes(&self) -> Option<u64> {
        sum(&self.ids, ProcessFamily::peak_rss_bytes)
    }

    /// Processor time so far, in steps of 10 ms.
    pub(super) fn cpu_time(&self) -> Option<Duration> {
        let nanos = sum(&self.ids, |family| family.cpu_time().map(|time| time.as_nanos() as u64))?;
        Some(Duration::from_nanos(nanos))
    }

    /// The processors that the server may run on.
    pub(super) fn allowed_cpus(&self) -> Option<String> {
        ProcessFamily::of(*self.ids.first()?)?.allowed_cpus()
    }

    pub(super) fn ids(&self) -> &[u32] {
        &self.ids
    }
}

impl Drop for ServerWatch {
    fn drop(&mut self) {
        self.seen.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn rss_bytes(ids: &[u32]) -> Option<u64> {
    sum(ids, ProcessFamily::rss_bytes)
}

fn sum(ids: &[u32], of: impl Fn(&ProcessFamily) -> Option<u64>) -> Option<u64> {
    ids.iter().filter_map(|id| of(&ProcessFamily::of(*id)?)).reduce(|sum, one| sum + one)
}
