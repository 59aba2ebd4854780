//! Sockets that accept: TCP addresses, Unix paths, and those a service manager opened beforehand.
//!
//! Owns how a socket is made and what is removed when it closes. Must not know the protocol.
//! Invariant: a [`Listener`] that was bound here on a path accepts nobody but its own user, and nothing but a dead
//! socket is ever replaced by it.

mod accept;
mod descriptors;
#[cfg(feature = "socket-activation")]
mod inherited;
mod listen;
mod permissions;
mod socket_file;
mod stream;

#[cfg(feature = "socket-activation")]
pub use inherited::{Inherited, inherited};
pub use listen::{ListenError, Listener, LocalAddress, TcpOptions};
#[cfg(feature = "cli")]
pub(crate) use socket_file::SocketFile;
pub use socket_file::SocketFileError;

pub(crate) use accept::{Connections, Serve, serve_listeners};
#[cfg(feature = "cli")]
pub(crate) use accept::{HOLDER_BYTES, IDLE_BYTES};
#[cfg(feature = "cli")]
pub(crate) use descriptors::raise_descriptors;
pub(crate) use stream::{Peer, Stream};
