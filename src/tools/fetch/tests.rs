//! Pages of servers of this machine: hostile ones, and those that a page may not lead to.

mod hostile;
mod site;
mod who_is_asked;

use super::address::{AddressRule, is_public};
use super::client::Network;
use super::error::PageError;
use super::job::{HeldMemory, Job};
use super::page::{self, Manner, Page};
use super::proxy::Proxies;
use super::target;
use crate::server::CancellationToken;
use mcpool_pools::MemoryBudget;
use std::net::{IpAddr, Ipv4Addr};

/// Bytes of the longest page of these tests.
const MAX_PAGE_BYTES: usize = 64 * 1024;
const AGENT: &str = "Tester/1.0";

/// One call: what it may ask, and for how long.
struct Scene {
    network: Network,
    obeys_robots: bool,
    is_raw: bool,
    timeout_ms: usize,
    cancelled_after: u64,
}

impl Scene {
    /// May ask 127.0.0.1, as if it were public, and no other address of this machine.
    fn new() -> Self {
        Self {
            network: Network::new(|ip| ip == IpAddr::from(Ipv4Addr::LOCALHOST)),
            obeys_robots: false,
            is_raw: true,
            timeout_ms: 60_000,
            cancelled_after: u64::MAX,
        }
    }

    /// May ask what a server of the world may ask.
    fn strict() -> Self {
        let may_ask: AddressRule = is_public;
        Self { network: Network::new(may_ask), ..Self::new() }
    }

    fn simplified() -> Self {
        Self { is_raw: false, ..Self::new() }
    }

    fn polite() -> Self {
        Self { obeys_robots: true, ..Self::new() }
    }

    fn through(proxy: &str) -> Self {
        let mut scene = Self::strict();
        scene.network.proxies = Proxies::one(proxy).expect("a proxy");
        scene
    }

    fn fetch(&self, url: &str) -> Result<Page, PageError> {
        let memory = HeldMemory::new(MemoryBudget::new(64 << 20));
        let cancellation = CancellationToken::after(self.cancelled_after);
        let job = Job::new(cancellation, memory, self.timeout_ms, MAX_PAGE_BYTES);
        let manner = Manner { agent: AGENT, obeys_robots: self.obeys_robots, is_raw: self.is_raw };
        page::fetch(&target::parse(url)?, manner, &self.network, &job, &mut |_, _| {})
    }

    fn text(&self, url: &str) -> String {
        self.fetch(url).unwrap_or_else(|error| panic!("{url}: {error}")).text
    }

    fn error(&self, url: &str) -> PageError {
        match self.fetch(url) {
            Err(error) => error,
            Ok(page) => panic!("{url}: {page:?}"),
        }
    }
}
