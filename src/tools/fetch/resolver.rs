//! Looks names up, and gives only addresses that may be asked.
//!
//! The client connects to the addresses that this gives and looks nothing up again, so a name that has another address a
//! moment later (DNS rebinding) leads nowhere.

use super::address::AddressRule;
use super::lookup::Lookups;
use crate::server::CancellationToken;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use thiserror::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// A name has an address that may not be asked.
#[derive(Debug, Error)]
#[error("{host} resolves to {address}, which is not a public address")]
pub(crate) struct Refusal {
    pub(crate) host: String,
    pub(crate) address: IpAddr,
}

/// Gives the addresses of a name if all of them may be asked, for one call.
#[derive(Debug, Clone)]
pub(crate) struct CheckedResolver {
    lookups: Arc<Lookups>,
    may_ask: AddressRule,
    cancellation: CancellationToken,
}

impl CheckedResolver {
    /// Checks what `lookups` find.
    pub(crate) fn new(lookups: Arc<Lookups>, may_ask: AddressRule, cancellation: CancellationToken) -> Self {
        Self { lookups, may_ask, cancellation }
    }

    /// Looks up without a check: for a proxy, which the operator chose.
    pub(crate) fn unchecked(&self) -> Self {
        Self { may_ask: |_| true, ..self.clone() }
    }
}

impl Resolver for CheckedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let addresses = match (host.parse(), port(uri)) {
            (Ok(address), Some(port)) => {
                let mut addresses = self.lookups.none();
                addresses.push(SocketAddr::new(address, port));
                addresses
            }
            _ => self.lookups.addresses(uri, timeout, &self.cancellation)?,
        };
        match addresses.iter().find(|address| !(self.may_ask)(address.ip())) {
            None => Ok(addresses),
            Some(address) => {
                let refusal = Refusal { host: host.to_owned(), address: address.ip() };
                Err(ureq::Error::Other(Box::new(refusal)))
            }
        }
    }
}

fn port(uri: &Uri) -> Option<u16> {
    uri.port_u16().or(match uri.scheme_str() {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    })
}
