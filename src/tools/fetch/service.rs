//! What the tool and the prompt share: settings, pages that are kept, and how many calls fetch at once.

use super::address;
use super::cache::{self, PageCache};
use super::client::Network;
use super::error::PageError;
use super::job::{HeldMemory, Job};
use super::page::{self, Manner, Page};
use super::target;
use crate::limits::Limits;
use crate::server::state::fair_permits::{FairPermit, FairPermits};
use crate::server::{RequestContext, SessionKey};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use url::Url;

/// The agents by which the reference calls itself, for a model and for a user.
const AUTONOMOUS: &str =
    "ModelContextProtocol/1.0 (Autonomous; +https://github.com/modelcontextprotocol/servers)";
const MANUAL: &str =
    "ModelContextProtocol/1.0 (User-Specified; +https://github.com/modelcontextprotocol/servers)";

/// Who wants a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    Model,
    User,
}

/// How pages are fetched, as the operator wants it.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) user_agent: Option<String>,
    pub(crate) ignores_robots: bool,
    pub(crate) network: Network,
}

impl Default for Settings {
    fn default() -> Self {
        Self { user_agent: None, ignores_robots: false, network: Network::new(address::is_public) }
    }
}

/// The settings, and what outlives a call.
#[derive(Debug, Default)]
pub(crate) struct Service {
    pub(crate) settings: Settings,
    pub(crate) pages: Arc<PageCache>,
    /// Made by the first call, as the limits of its server say how many there are.
    slots: OnceLock<Slots>,
}

#[derive(Debug)]
struct Slots {
    permits: FairPermits,
    count: usize,
}

impl Service {
    /// A service that keeps no page yet.
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Waits until a call of `key` may fetch: a slot is left to other principals, and some threads that may block to other
    /// calls, however slow the servers are.
    ///
    /// # Errors
    /// When that takes longer than a call may.
    pub(crate) async fn slot(&self, key: SessionKey, limits: &Limits) -> Result<FairPermit, PageError> {
        let slots = self.slots.get_or_init(|| {
            let count = limits.fetches_at_once();
            Slots { permits: FairPermits::of_principals(count), count }
        });
        let waiting = slots.permits.acquire(key);
        let limit_ms = limits.fetch_timeout_ms;
        match tokio::time::timeout(Duration::from_millis(limit_ms as u64), waiting).await {
            Ok(Some(slot)) => Ok(slot),
            Ok(None) | Err(_) => Err(PageError::Busy { running: slots.count, limit_ms }),
        }
    }

    /// Fetches a page, on a thread that may block.
    ///
    /// # Errors
    /// As [`page::fetch`].
    pub(crate) fn fetch(
        &self,
        url: &Url,
        asker: Asker,
        is_raw: bool,
        request: &mut RequestContext,
    ) -> Result<Arc<Page>, PageError> {
        let limits = request.limits();
        let lifetime = Duration::from_millis(limits.fetch_cache_ttl_ms as u64);
        let kept = (limits.fetch_cache_bytes, lifetime);
        let memory = HeldMemory::new(request.large_messages());
        let (timeout_ms, max_bytes) = (limits.fetch_timeout_ms, limits.fetch_max_page_bytes);
        let job = Job::new(request.cancellation(), memory, timeout_ms, max_bytes);
        let manner = Manner {
            agent: self.agent(asker),
            obeys_robots: asker == Asker::Model && !self.settings.ignores_robots,
            is_raw,
        };
        let message = format!("Reading {}", target::host(url));
        let mut progress = |bytes: usize, length: Option<u64>| {
            request.progress(bytes as f64, length.map(|length| length as f64), Some(&message));
        };
        let page = Arc::new(page::fetch(url, manner, &self.settings.network, &job, &mut progress)?);
        if asker == Asker::Model {
            let reserved = job.memory.keep(cache::bytes_of(&page));
            self.pages.put((url.as_str(), is_raw), &page, reserved, kept);
        }
        Ok(page)
    }

    pub(crate) fn agent(&self, asker: Asker) -> &str {
        let default = match asker {
            Asker::Model => AUTONOMOUS,
            Asker::User => MANUAL,
        };
        self.settings.user_agent.as_deref().unwrap_or(default)
    }

    /// Heap bytes, for the memory report.
    pub(crate) fn heap_bytes(&self) -> usize {
        let agent = self.settings.user_agent.as_ref().map_or(0, String::capacity);
        agent + self.settings.network.proxies.heap_bytes() + self.pages.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_too_long_is_told_so() {
        let limits = Limits { fetch_max_running: 1, fetch_timeout_ms: 100, ..Limits::default() };
        let service = Service::default();
        let key = SessionKey::default();
        let slot = service.slot(key, &limits).await.expect("the first");
        let refused = service.slot(key, &limits).await.err().expect("one too many").to_string();
        assert!(
            refused.contains("1 pages may be fetched at once") && refused.contains("fetch_max_running"),
            "{refused}"
        );
        drop(slot);
        drop(service.slot(key, &limits).await.expect("free again"));
    }

    #[tokio::test]
    async fn one_slot_is_left_to_the_next_client() {
        let limits = Limits { max_blocking_threads: 4, fetch_timeout_ms: 100, ..Limits::default() };
        let service = Service::default();
        let [one, other] = [1, 2].map(|principal| SessionKey { principal, session: principal as u64 });
        let held = [service.slot(one, &limits).await, service.slot(one, &limits).await];
        assert!(held.iter().all(Result::is_ok));
        assert!(matches!(service.slot(one, &limits).await, Err(PageError::Busy { running: 3, .. })));
        drop(service.slot(other, &limits).await.expect("the one that is left"));
        drop(held);
        drop(service.slot(one, &limits).await.expect("free again"));
    }

    #[test]
    fn some_threads_are_left_to_others() {
        for (threads, wanted, want) in [
            (1, 0, 1),
            (2, 0, 1),
            (3, 0, 2),
            (4, 0, 3),
            (16, 0, 9),
            (4, 4, 3),
            (4, 1, 1),
            (16, 100, 15),
            (1, 5, 1),
        ] {
            let limits =
                Limits { max_blocking_threads: threads, fetch_max_running: wanted, ..Limits::default() };
            assert_eq!(limits.fetches_at_once(), want, "{threads} {wanted}");
        }
    }
}
