//! Serves MCP over HTTP/1.1: connections, their exchanges, the codec, and the service that accepts them.
//!
//! Sources: RFC 9110 (semantics), RFC 9112 (HTTP/1.1), the event stream chapter of the HTML standard.

mod answer;
pub(crate) mod codec;
mod connection;
mod endpoint;
mod exchange;
mod housekeeping;
mod input_end;
mod post;
mod protocol;
mod receiver;
mod room;
mod routing;
mod sender;
mod service;
mod shared;
mod stream;
mod worker_watchdog;

#[cfg(test)]
pub(crate) use connection::HttpConnection;
#[cfg(feature = "cli")]
pub(crate) use exchange::EXCHANGE_BYTES;
#[cfg(feature = "cli")]
pub(crate) use receiver::READ_BYTES;
#[cfg(feature = "cli")]
pub(crate) use service::HttpService;
pub use service::{HttpConfig, HttpError, serve_http};
#[cfg(test)]
pub(crate) use shared::HttpShared;
