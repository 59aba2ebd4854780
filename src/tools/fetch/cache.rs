//! Pages of which a part was answered, so that the next part need not be fetched.
//!
//! They are shared by all clients: nothing that is sent for a page says who wanted it. They go after some minutes, when
//! there are newer ones, and when the memory report is made after their time.

use super::page::Page;
use crate::lock::lock;
use mcpool_pools::{GiveUp, Reservation};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What an entry takes beside its texts.
const ENTRY_BYTES: usize = 256;

/// The pages, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct PageCache {
    entries: Mutex<VecDeque<Entry>>,
}

#[derive(Debug)]
struct Entry {
    url: Box<str>,
    is_raw: bool,
    page: Arc<Page>,
    until: Instant,
    bytes: usize,
    /// The room among the large messages that the page has had since it was fetched.
    _reserved: Option<Reservation>,
}

impl PageCache {
    /// The page of `url`, if it is here and not too old.
    pub(crate) fn find(&self, url: &str, is_raw: bool) -> Option<Arc<Page>> {
        let mut entries = lock(&self.entries);
        drop_old(&mut entries);
        let found = entries.iter().find(|entry| entry.is_raw == is_raw && *entry.url == *url);
        found.map(|entry| Arc::clone(&entry.page))
    }

    /// Keeps a page in the place of the one that was here, and of the oldest ones that leave it no room in `max_bytes`.
    /// All of them go when somebody lacks the room that they have.
    pub(crate) fn put(
        self: &Arc<Self>,
        (url, is_raw): (&str, bool),
        page: &Arc<Page>,
        reserved: Option<Reservation>,
        (max_bytes, lifetime): (usize, Duration),
    ) {
        let bytes = ENTRY_BYTES + url.len() + bytes_of(page);
        let mut entries = lock(&self.entries);
        drop_old(&mut entries);
        entries.retain(|entry| entry.is_raw != is_raw || *entry.url != *url);
        if bytes > max_bytes || lifetime.is_zero() {
            return;
        }
        let mut held: usize = entries.iter().map(|entry| entry.bytes).sum();
        while held + bytes > max_bytes {
            let Some(oldest) = entries.pop_front() else { break };
            held -= oldest.bytes;
        }
        // One that cannot be had go for others would keep them out until its time is over.
        if reserved.as_ref().is_some_and(|reserved| !reserved.budget().reclaim_from(self)) {
            return;
        }
        let until = Instant::now() + lifetime;
        let page = Arc::clone(page);
        entries.push_back(Entry { url: url.into(), is_raw, page, until, bytes, _reserved: reserved });
    }

    /// Heap bytes of the pages whose time is not over; the others are dropped.
    pub(crate) fn heap_bytes(&self) -> usize {
        let mut entries = lock(&self.entries);
        drop_old(&mut entries);
        if entries.is_empty() {
            *entries = VecDeque::new();
        }
        entries.capacity() * size_of::<Entry>() + entries.iter().map(|entry| entry.bytes).sum::<usize>()
    }
}

impl GiveUp for PageCache {
    fn give_up(&self) -> bool {
        // Dropped without the lock.
        let entries = std::mem::take(&mut *lock(&self.entries));
        !entries.is_empty()
    }
}

/// Heap bytes of a page.
pub(crate) fn bytes_of(page: &Page) -> usize {
    page.text.capacity() + page.prefix.capacity() + page.suffix.capacity()
}

fn drop_old(entries: &mut VecDeque<Entry>) {
    let now = Instant::now();
    entries.retain(|entry| entry.until > now);
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcpool_pools::MemoryBudget;

    const LONG: Duration = Duration::from_hours(1);

    fn page(bytes: usize) -> Arc<Page> {
        Arc::new(Page { text: "x".repeat(bytes), prefix: String::new(), suffix: String::new() })
    }

    #[test]
    fn the_oldest_pages_make_room() {
        let cache = Arc::new(PageCache::default());
        let budget = MemoryBudget::new(1 << 20);
        for number in 0..5 {
            let reserved = budget.try_reserve(1_000).ok();
            cache.put((&format!("u{number}"), false), &page(1_000), reserved, (3_000, LONG));
        }
        let found: Vec<bool> =
            (0..5).map(|number| cache.find(&format!("u{number}"), false).is_some()).collect();
        assert_eq!(found, [false, false, false, true, true]);
        assert_eq!(budget.used_bytes(), 2_000);
        assert!(cache.heap_bytes() > 2_000);
        assert!(cache.find("u4", true).is_none());
        cache.put(("u4", false), &page(5_000), None, (3_000, LONG));
        assert!(cache.find("u4", false).is_none(), "the older text stayed");
        assert!(budget.try_reserve(budget.limit_bytes()).is_ok(), "the pages went for it");
        assert!(!cache.give_up());
        assert_eq!((cache.heap_bytes(), budget.used_bytes()), (0, 0));
    }

    #[test]
    fn a_page_goes_when_its_time_is_over() {
        let cache = Arc::new(PageCache::default());
        cache.put(("a", false), &page(10), None, (1_000, Duration::ZERO));
        assert!(cache.find("a", false).is_none());
        cache.put(("a", false), &page(10), None, (1_000, Duration::from_millis(1)));
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(cache.heap_bytes(), 0);
        cache.put(("b", true), &page(10), None, (1_000, LONG));
        assert!(cache.find("b", true).is_some());
    }
}
