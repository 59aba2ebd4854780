//! One server as it is reached over HTTP: who is admitted, and whether it drains.

use super::codec::words::HeadLimits;
use crate::server::{Drain, Server};
use crate::transport::admission::Admission;

/// What requests of all connections are served with.
pub(super) struct Endpoint {
    pub(super) server: Server,
    pub(super) admission: Admission,
    pub(super) drain: Drain,
}

impl Endpoint {
    pub(super) fn head_limits(&self) -> HeadLimits {
        let limits = self.server.limits();
        HeadLimits { max_header_bytes: limits.max_header_bytes, max_headers: limits.max_headers }
    }

    /// Whether new requests are accepted: what `/readyz` answers.
    pub(super) fn is_ready(&self) -> bool {
        !self.drain.has_begun()
    }
}
