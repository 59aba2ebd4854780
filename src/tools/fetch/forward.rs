//! Plain pages through a proxy: it is given the whole URL (RFC 9112, section 3.2.2).
//!
//! Many proxies open tunnels to the port of encrypted pages only, so plain ones are not tunnelled.

use super::resolver::CheckedResolver;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::io;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::uri::Authority;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, NextTimeout, RustlsConnector, Transport,
};
use ureq::{Error, Proxy};

/// Gives the addresses of a proxy, whatever is asked for: the proxy looks up what it is asked for.
#[derive(Debug)]
pub(crate) struct ProxyResolver {
    pub(crate) names: CheckedResolver,
    pub(crate) proxy: Uri,
}

impl Resolver for ProxyResolver {
    fn resolve(&self, _: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        self.names.resolve(&self.proxy, config, timeout)
    }
}

/// The header by which a proxy knows who asks, if it wants to.
pub(crate) fn authorization(proxy: &Proxy) -> Option<String> {
    if proxy.username().is_none() && proxy.password().is_none() {
        return None;
    }
    let (user, password) = (proxy.username().unwrap_or_default(), proxy.password().unwrap_or_default());
    Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
}

/// Makes a connection to the proxy one on which requests name what they are for.
#[derive(Debug)]
pub(crate) struct Forward {
    proxy: Uri,
    tls: RustlsConnector,
}

impl Forward {
    /// Through the proxy at `proxy`, to which the connection may be encrypted.
    pub(crate) fn new(proxy: Uri) -> Self {
        Self { proxy, tls: RustlsConnector::default() }
    }
}

impl<In: Transport> Connector<In> for Forward {
    type Out = Forwarded;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let to_proxy = ConnectionDetails {
            uri: &self.proxy,
            addrs: details.addrs.clone(),
            config: details.config,
            request_level: details.request_level,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        let authority = details.uri.authority().map(Authority::as_str).unwrap_or_default();
        let origin = format!("http://{authority}");
        let connected = self.tls.connect(&to_proxy, chained)?;
        Ok(connected.map(|inner| Forwarded { inner: inner.boxed(), origin, is_sending: false }))
    }
}

/// A connection to a proxy, for requests of one origin.
#[derive(Debug)]
pub(crate) struct Forwarded {
    inner: Box<dyn Transport>,
    origin: String,
    /// Whether a part of a request was sent, and no answer is waited for yet.
    is_sending: bool,
}

impl Transport for Forwarded {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, mut amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if !std::mem::replace(&mut self.is_sending, true) {
            amount = name_origin(self.inner.buffers().output(), amount, &self.origin)?;
        }
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.is_sending = false;
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

/// Puts `origin` before the path of the request that the first `amount` bytes of `output` begin. Gives how many they are
/// then.
fn name_origin(output: &mut [u8], amount: usize, origin: &str) -> Result<usize, Error> {
    let named = amount + origin.len();
    let path = output[..amount].iter().position(|byte| *byte == b' ').map(|space| space + 1);
    let (Some(path), true) = (path, named <= output.len()) else {
        return Err(Error::Io(io::Error::other("the head of the request is too long for a proxy")));
    };
    output.copy_within(path..amount, path + origin.len());
    output[path..path + origin.len()].copy_from_slice(origin.as_bytes());
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_its_origin_where_there_is_room_for_it() {
        let head = b"GET /a?b HTTP/1.1\r\n\r\n";
        let mut output = [0; 64];
        output[..head.len()].copy_from_slice(head);
        let named = name_origin(&mut output, head.len(), "http://h:8").expect("room");
        assert_eq!(&output[..named], b"GET http://h:8/a?b HTTP/1.1\r\n\r\n");
        assert!(name_origin(&mut output[..head.len() + 3], head.len(), "http://h:8").is_err());
        assert!(name_origin(&mut [b'x'; 64], 20, "http://h:8").is_err());
    }

    #[test]
    fn a_proxy_is_told_who_asks_if_its_name_says_so() {
        let header = |url: &str| authorization(&Proxy::new(url).expect("a proxy"));
        assert_eq!(header("http://p.example:1"), None);
        assert_eq!(header("http://user:word@p.example:1").as_deref(), Some("Basic dXNlcjp3b3Jk"));
    }
}
