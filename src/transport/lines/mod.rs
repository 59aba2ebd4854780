//! Peers that speak newline-framed messages, over pipes or a socket.
//!
//! As over HTTP, a connection is small while it is idle and leases an exchange while there is something to do.

mod batches;
mod connection;
mod exchange;
mod peer;
mod room;
mod timeouts;

pub use peer::ServeError;

pub(crate) use connection::{LineConnection, LineShared};
