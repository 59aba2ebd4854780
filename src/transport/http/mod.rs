//! HTTP/1.1: what MCP needs of it, and that completely.
//!
//! Sources: RFC 9110 (semantics), RFC 9112 (HTTP/1.1), the event stream chapter of the HTML standard.

pub(crate) mod codec;
mod connection;
mod endpoint;
mod exchange;
mod reply;
mod routing;
mod service;
mod stream;
mod work;
mod worker_watchdog;

#[cfg(test)]
pub(crate) use connection::HttpConnection;
#[cfg(test)]
pub(crate) use endpoint::Endpoint;
#[cfg(feature = "cli")]
pub(crate) use service::HttpService;
pub use service::{HttpConfig, HttpError, serve_http};
