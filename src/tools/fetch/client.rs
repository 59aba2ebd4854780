//! One request: sent to a checked address or through a proxy, within the time of its call.
//!
//! Redirects are not followed here: who asks checks each of them first (`page.rs`).

use super::address::{self, AddressRule};
use super::connection::Connect;
use super::error::PageError;
use super::forward::{self, Forward, ProxyResolver};
use super::job::Job;
use super::lookup::Lookups;
use super::proxy::Proxies;
use super::resolver::{CheckedResolver, Refusal};
use super::target;
use std::cell::OnceCell;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use ureq::config::Config;
use ureq::http::{HeaderMap, HeaderName, Uri, header};
use ureq::unversioned::resolver::{DefaultResolver, Resolver};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, NextTimeout, RustlsConnector};
use ureq::{Agent, BodyReader, Proxy, Timeout};
use url::Url;

/// Longest time for a connection, of which a host with several addresses has some for each: what is not there keeps a
/// thread from others so long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest head of a response.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Buffers of a connection, which exist while it is used. A head is read as a whole, so the longest has to fit, and one
/// that is longer has to be noticed.
const INPUT_BYTES: usize = MAX_HEAD_BYTES + 1024;
const OUTPUT_BYTES: usize = 16 * 1024;
/// What pages may be compressed with. Brotli is understood as well, but not asked for: its window takes 16 MiB.
const ACCEPT_ENCODING: &str = "gzip, deflate";

/// How requests leave this machine.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub(crate) lookups: Arc<Lookups>,
    pub(crate) may_ask: AddressRule,
    pub(crate) proxies: Proxies,
}

impl Network {
    /// That of this machine.
    pub(crate) fn new(may_ask: AddressRule) -> Self {
        Self { lookups: Lookups::new(DefaultResolver::default()), may_ask, proxies: Proxies::default() }
    }
}

/// The head of a response, and its body to read.
pub(crate) struct Response {
    pub(crate) status: u16,
    /// As it came; empty if there is none.
    pub(crate) content_type: String,
    /// As it came; empty if there is none.
    pub(crate) content_encoding: String,
    /// Bytes of the body as it is sent, if the server says so.
    pub(crate) length: Option<u64>,
    location: Option<String>,
    pub(crate) body: BodyReader<'static>,
}

impl Response {
    /// Where else the page is, if it is elsewhere.
    pub(crate) fn redirects_to(&self) -> Option<&str> {
        let location = self.location.as_deref()?;
        matches!(self.status, 301 | 302 | 303 | 307 | 308).then_some(location)
    }
}

/// The client of one call. Connections are reused within the call.
#[derive(Debug)]
pub(crate) struct Client<'j> {
    job: &'j Job,
    network: &'j Network,
    agent: &'j str,
    resolver: CheckedResolver,
    direct: OnceCell<Agent>,
    /// Through the proxy of plain pages.
    forwarded: OnceCell<Agent>,
    /// Through the proxy of encrypted pages.
    tunnelled: OnceCell<Agent>,
}

impl<'j> Client<'j> {
    /// A client that calls itself `agent`.
    pub(crate) fn new(job: &'j Job, network: &'j Network, agent: &'j str) -> Self {
        let lookups = Arc::clone(&network.lookups);
        let resolver = CheckedResolver::new(lookups, network.may_ask, job.cancellation.clone());
        let (direct, forwarded, tunnelled) = Default::default();
        Self { job, network, agent, resolver, direct, forwarded, tunnelled }
    }

    /// Sends a GET and waits for the head of its response.
    ///
    /// # Errors
    /// When an address may not be asked, nothing can be reached, the time is over, or the call was cancelled.
    pub(crate) fn get(&self, url: &Url) -> Result<Response, PageError> {
        let left = self.job.left(url.as_str())?;
        self.check_name(url)?;
        let mut without_fragment = url.clone();
        without_fragment.set_fragment(None);
        let uri: Uri =
            without_fragment.as_str().parse().map_err(|error| self.job.failed(url.as_str(), &error))?;
        let proxy =
            self.network.proxies.of(url, &uri).map_err(|error| self.job.failed(url.as_str(), &error))?;
        let agent = match proxy {
            None => self.direct.get_or_init(|| self.connected(self.resolver.clone(), None)),
            Some(proxy) => self.through(proxy, url, &uri, left)?,
        };
        let mut request = agent.get(&uri).config().timeout_global(Some(left)).build();
        // A tunnel is asked for with it by the library.
        if let Some(authorization) = proxy.filter(|_| url.scheme() == "http").and_then(forward::authorization)
        {
            request = request.header(header::PROXY_AUTHORIZATION, authorization);
        }
        let response = request.call().map_err(|error| self.explain(url, &error))?;
        let (head, body) = response.into_parts();
        Ok(Response {
            status: head.status.as_u16(),
            content_type: text_of(&head.headers, &header::CONTENT_TYPE).unwrap_or_default(),
            content_encoding: text_of(&head.headers, &header::CONTENT_ENCODING).unwrap_or_default(),
            length: body.content_length(),
            location: text_of(&head.headers, &header::LOCATION),
            body: body.into_reader(),
        })
    }

    /// Names of this machine are refused where its addresses are: only the proxy could see what they lead to.
    fn check_name(&self, url: &Url) -> Result<(), PageError> {
        let host = target::host(url);
        if address::is_private_name(host) && !(self.network.may_ask)(Ipv4Addr::LOCALHOST.into()) {
            return Err(PageError::RefusedName { url: url.to_string(), host: host.to_owned() });
        }
        Ok(())
    }

    /// The agent that goes through `proxy`, once what is asked for is checked as far as that is possible here: the
    /// proxy looks the name up again, and connects to what it finds.
    fn through(&self, proxy: &Proxy, url: &Url, uri: &Uri, left: Duration) -> Result<&Agent, PageError> {
        let timeout = NextTimeout { after: left.into(), reason: Timeout::Resolve, ..NextTimeout::default() };
        // Names that only the proxy knows are for the proxy to refuse.
        if let Err(ureq::Error::Other(refusal)) = self.resolver.resolve(uri, &Config::default(), timeout) {
            return Err(self.explain(url, &ureq::Error::Other(refusal)));
        }
        let unchecked = || self.resolver.unchecked();
        Ok(match url.scheme() {
            "http" => self.forwarded.get_or_init(|| self.forwarding(unchecked(), proxy)),
            _ => self.tunnelled.get_or_init(|| self.connected(unchecked(), Some(proxy.clone()))),
        })
    }

    /// An agent that connects by itself, or through a tunnel of `proxy`.
    fn connected(&self, resolver: CheckedResolver, proxy: Option<Proxy>) -> Agent {
        let connector =
            ().chain(ConnectProxyConnector::default())
                .chain(Connect(self.job.cancellation.clone()))
                .chain(RustlsConnector::default());
        Agent::with_parts(self.config(proxy), connector, resolver)
    }

    /// An agent that gives its requests to `proxy`.
    fn forwarding(&self, names: CheckedResolver, proxy: &Proxy) -> Agent {
        let proxy = proxy.uri().clone();
        let connector = ().chain(Connect(self.job.cancellation.clone())).chain(Forward::new(proxy.clone()));
        Agent::with_parts(self.config(None), connector, ProxyResolver { names, proxy })
    }

    fn config(&self, proxy: Option<Proxy>) -> Config {
        Agent::config_builder()
            .proxy(proxy)
            .user_agent(self.agent)
            .accept_encoding(ACCEPT_ENCODING)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_response_header_size(MAX_HEAD_BYTES)
            .input_buffer_size(INPUT_BYTES)
            .output_buffer_size(OUTPUT_BYTES)
            .max_idle_connections(2)
            .build()
    }

    fn explain(&self, url: &Url, error: &ureq::Error) -> PageError {
        if let ureq::Error::Other(other) = error
            && let Some(Refusal { host, address }) = other.downcast_ref()
        {
            return PageError::Refused { url: url.to_string(), host: host.clone(), address: *address };
        }
        if let ureq::Error::LargeResponseHeader(..) = error {
            let why = format!("the head of its response is longer than {MAX_HEAD_BYTES} bytes");
            return self.job.failed(url.as_str(), &why);
        }
        self.job.failed(url.as_str(), error)
    }
}

fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}
