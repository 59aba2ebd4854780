//! What all HTTP connections of a server share.

use super::codec::head::HeadLimits;
use super::exchange::{Exchange, ExchangeFactory};
use crate::server::{Drain, Server};
use crate::transport::admission::Admission;
use crate::transport::lines::LineHost;
use mcpool_pools::{Lease, NameTaken, ObjectPool, PoolConfig};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Paths of the one endpoint at which MCP is spoken: clients that join a base and a path leave a slash behind.
pub(super) const PATHS: [&[u8]; 2] = [b"/mcp", b"/mcp/"];

/// One server, as it is reached over HTTP.
pub(crate) struct Endpoint {
    pub(super) server: Server,
    pub(super) admission: Admission,
    pub(super) drain: Drain,
    exchanges: ObjectPool<Exchange>,
    /// Made for the first connection that speaks lines.
    lines: OnceLock<Arc<LineHost>>,
    /// A large message passed since the last look.
    was_large: AtomicBool,
}

impl Endpoint {
    pub(crate) fn new(server: Server, admission: Admission, drain: Drain) -> Result<Self, NameTaken> {
        let limits = server.limits();
        let config = PoolConfig {
            setting: Some("message_capacity"),
            ..PoolConfig::new("exchanges", limits.message_capacity())
        };
        let factory = ExchangeFactory::new(&server);
        let exchanges = ObjectPool::with_config(config, factory);
        server.pools().register(exchanges.clone())?;
        Ok(Self {
            server,
            admission,
            drain,
            exchanges,
            lines: OnceLock::new(),
            was_large: AtomicBool::new(false),
        })
    }

    /// A place for the requests of a connection that wakes up.
    pub(super) fn exchange(&self) -> Lease<Exchange> {
        self.exchanges.acquire()
    }

    /// What connections share that speak lines.
    pub(super) fn lines(&self) -> Arc<LineHost> {
        Arc::clone(self.lines.get_or_init(|| Arc::new(LineHost::new(&self.server, &self.drain))))
    }

    pub(super) fn head_limits(&self) -> HeadLimits {
        let limits = self.server.limits();
        HeadLimits { max_header_bytes: limits.max_header_bytes, max_headers: limits.max_headers }
    }

    /// Whether new work is welcome: what `/readyz` says.
    pub(super) fn is_ready(&self) -> bool {
        !self.drain.has_begun()
    }

    /// Takes note of a large message, whose buffers are to go when it is quiet.
    pub(super) fn note_large(&self) {
        self.was_large.store(true, Ordering::Relaxed);
    }

    /// Whether a large message passed since this was asked last.
    pub(super) fn take_large(&self) -> bool {
        self.was_large.swap(false, Ordering::Relaxed)
    }
}
