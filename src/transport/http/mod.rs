//! HTTP/1.1: what MCP needs of it, and that completely.
//!
//! The codec is bytes in, bytes out: [`head`] reads the head of a request, [`body`] its body in place,
//! [`response`] writes answers and event streams. None of them does IO, allocates, or knows JSON.
//! Sources: RFC 9110 (semantics), RFC 9112 (HTTP/1.1), the event stream chapter of the HTML standard.

pub(crate) mod body;
mod connection;
mod driver_watch;
mod endpoint;
mod exchange;
mod field;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(fuzzing), allow(unreachable_pub))]
pub mod fuzz;
pub(crate) mod head;
mod head_end;
mod head_error;
mod reply;
pub(crate) mod response;
mod routing;
mod service;
mod stream;
#[cfg(test)]
mod tests;
mod work;

#[cfg(test)]
pub(crate) use connection::HttpConnection;
#[cfg(test)]
pub(crate) use endpoint::Endpoint;
#[cfg(feature = "cli")]
pub(crate) use service::HttpService;
pub use service::{HttpConfig, HttpError, serve_http};
