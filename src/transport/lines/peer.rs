//! The peer of a connection that speaks lines, and why its connection ends badly.

use crate::server::{Server, Session};
use crate::transport::admission::{PeerAddress, Principal};
use std::io;
use std::sync::Arc;
use thiserror::Error;

/// Why a connection ended badly.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Reading failed.
    #[error("cannot read from the peer: {0}")]
    Read(#[source] io::Error),
    /// Writing failed, other than because the peer is gone.
    #[error("cannot write to the peer: {0}")]
    Write(#[source] io::Error),
}

/// The peer of a connection, and the session that its handshake opened: a peer of the modern era has none.
pub(super) struct Peer {
    pub(super) server: Server,
    pub(super) session: Option<Arc<Session>>,
    /// `None` for the owner: the client came without an address, over standard input and output or a stream given to
    /// `serve_lines`.
    pub(super) address: Option<PeerAddress>,
    /// The number of the connection.
    pub(super) connection: u32,
}

impl Peer {
    pub(super) fn new(server: &Server, address: Option<PeerAddress>) -> Self {
        // The owner is known by its session, so it has one before its handshake.
        let session = address.is_none().then(|| server.owner_session());
        Self { server: server.clone(), session, address, connection: server.next_connection() }
    }

    /// The key of the principal of its requests.
    pub(super) fn principal(&self) -> u128 {
        self.address.map_or(0, |address| Principal::of_peer(address).key())
    }

    /// The session, or the one that all peers without a handshake share.
    pub(super) fn session(&self) -> Arc<Session> {
        self.session.clone().unwrap_or_else(|| self.server.stateless_session())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(session) = &self.session {
            self.server.close_session(session);
        }
    }
}
