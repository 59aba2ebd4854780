//! What can go wrong, in words that a model or an operator can act on.

use crate::server::{Cancelled, ToolError};
use std::net::IpAddr;
use thiserror::Error;

/// Why the fetch tool cannot be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The user agent cannot stand in a header.
    #[error(
        "the user agent {0:?} cannot be sent: it must be printable ASCII and not empty (setting user_agent)"
    )]
    UserAgent(String),
    /// The URL of the proxy cannot be used.
    #[error(
        "the proxy {url:?} cannot be used: {why} (setting proxy_url, or the variables HTTP_PROXY, HTTPS_PROXY and ALL_PROXY)"
    )]
    Proxy {
        /// The URL as it was given, without user and password.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Why a page was not fetched.
#[derive(Debug, Error)]
pub(crate) enum PageError {
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    #[error("{url:?} cannot be fetched: {why}")]
    Url { url: String, why: String },
    #[error("`{name}` must be {range}")]
    Argument { name: &'static str, range: &'static str },
    #[error(
        "Refused to fetch {url}: {host} resolves to {address}, which is not a public address. Start the server with \
         --allow-private-ips to allow private, loopback and link-local addresses."
    )]
    Refused { url: String, host: String, address: IpAddr },
    #[error(
        "Refused to fetch {url}: {host} is a name of this machine, its network or its cloud. Start the server with \
         --allow-private-ips to allow private, loopback and link-local addresses."
    )]
    RefusedName { url: String, host: String },
    #[error("Failed to fetch {url}: {why}")]
    Failed { url: String, why: String },
    #[error("Failed to fetch {url} - status code {status}")]
    Status { url: String, status: u16 },
    #[error(
        "Failed to fetch {url}: the call may take {limit_ms} ms in all, and they are over (setting fetch_timeout_ms)"
    )]
    TimedOut { url: String, limit_ms: usize },
    #[error("Failed to fetch {url}: more than {limit} redirects")]
    Redirects { url: String, limit: usize },
    #[error("Failed to fetch robots.txt {url} due to a connection issue: {why}")]
    RobotsUnreachable { url: String, why: String },
    #[error(
        "When fetching robots.txt ({url}), received status {status} so assuming that autonomous fetching is not allowed, \
         the user can try manually fetching by using the fetch prompt"
    )]
    RobotsStatus { url: String, status: u16 },
    #[error(
        "The sites robots.txt ({robots_url}), specifies that autonomous fetching of this page is not allowed, \
         <useragent>{agent}</useragent>\n<url>{url}</url><robots>\n{robots}\n</robots>\n\
         The assistant must let the user know that it failed to view the page. The assistant may provide further guidance \
         based on the above information.\nThe assistant can tell the user that they can try manually fetching the page by \
         using the fetch prompt within their UI."
    )]
    Disallowed { robots_url: String, agent: String, url: String, robots: String },
    #[error(
        "{running} pages may be fetched at once, from two on all but one of them by one client, and it was nobody's turn in \
         {limit_ms} ms (settings fetch_max_running and fetch_timeout_ms); try again later"
    )]
    Busy { running: usize, limit_ms: usize },
    #[error(
        "there is no memory for this page now (settings max_inflight_bytes and memory_limit_bytes); try again later"
    )]
    OutOfMemory,
    #[error(
        "the page is too large: it needs {needed} bytes of memory, and there are never more than {most} (settings \
         max_inflight_bytes and memory_limit_bytes)"
    )]
    TooLarge { needed: usize, most: usize },
}

impl PageError {
    /// The error of the tool, in the form of the reference server, which puts the tool's name in front.
    pub(crate) fn of_tool(self) -> ToolError {
        match self {
            Self::Cancelled(_) => ToolError::Cancelled,
            error => ToolError::failed(format_args!("Error executing tool fetch: {error}")),
        }
    }
}
