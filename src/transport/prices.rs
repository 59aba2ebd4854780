//! What the objects of a server cost: the figures that the ledger enters, for plans of its memory.

use super::{http, listener};
use crate::memory::ObjectPrices;
use crate::server::Server;

/// The prices of a server whose answers carry a text so many times.
pub(crate) fn object_prices(server: &Server, text_copies: usize) -> ObjectPrices {
    let small = Server::small_buffer_bytes();
    ObjectPrices {
        connection_bytes: (listener::IDLE_BYTES + listener::HOLDER_BYTES) as u64,
        session_bytes: Server::session_bytes() as u64,
        stream_bytes: Server::subscription_bytes() as u64,
        resource_bytes: Server::resource_bytes() as u64,
        request_bytes: (server.slot().bytes() + http::EXCHANGE_BYTES) as u64,
        // One is read into, and one is written to.
        frame_bytes: (http::READ_BYTES + small.iter().min().copied().unwrap_or_default()) as u64,
        small_buffers_bytes: small.iter().sum::<usize>() as u64,
        text_copies: text_copies as u64,
    }
}
