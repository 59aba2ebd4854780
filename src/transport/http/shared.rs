//! What all HTTP connections of a server share: the endpoint, and the pools of what busy connections need.

use super::endpoint::Endpoint;
use super::exchange::{Exchange, ExchangeFactory};
use crate::memory::lasting;
use crate::server::{Drain, Server};
use crate::transport::admission::Admission;
use crate::transport::lines::LineShared;
use mcpool_pools::{Lease, NameTaken, ObjectPool, PoolConfig};
use std::sync::{Arc, OnceLock};

/// What all HTTP connections of one server share.
pub(crate) struct HttpShared {
    pub(super) endpoint: Endpoint,
    exchanges: ObjectPool<Exchange>,
    /// Made for the first connection that speaks lines.
    lines: OnceLock<Arc<LineShared>>,
}

impl HttpShared {
    pub(crate) fn new(server: Server, admission: Admission, drain: Drain) -> Result<Self, NameTaken> {
        let limits = server.limits();
        let config = PoolConfig {
            setting: Some("message_capacity"),
            ..PoolConfig::new("exchanges", limits.message_capacity())
        };
        let factory = ExchangeFactory::new(&server);
        let exchanges = ObjectPool::with_config(config, factory);
        server.pools().register(exchanges.clone())?;
        let endpoint = Endpoint { server, admission, drain };
        Ok(Self { endpoint, exchanges, lines: OnceLock::new() })
    }

    /// An exchange for a connection that becomes busy.
    pub(super) fn exchange(&self) -> Lease<Exchange> {
        self.exchanges.acquire()
    }

    /// What the connections that speak lines share.
    pub(super) fn lines(&self) -> Arc<LineShared> {
        let Endpoint { server, drain, .. } = &self.endpoint;
        Arc::clone(self.lines.get_or_init(|| lasting(|| Arc::new(LineShared::new(server, drain)))))
    }
}
