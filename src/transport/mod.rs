//! Moves bytes between peers and the server: listeners, HTTP, newline framing, standard input and output.

#[cfg(feature = "cli")]
pub(crate) mod admin;
pub mod admission;
mod connection_registry;
mod hang_up;
pub(crate) mod http;
#[cfg(test)]
mod interleavings;
mod lines;
pub(crate) mod listener;
mod outbox;
mod purge;
mod stack_read;
mod stdio;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;

#[cfg(fuzzing)]
pub use http::codec::fuzz as http_fuzz;
pub use http::{HttpConfig, HttpError, serve_http};
pub use lines::ServeError;
#[cfg(feature = "socket-activation")]
pub use listener::{Inherited, inherited};
pub use listener::{ListenError, Listener, LocalAddress, SocketFileError, TcpOptions};
pub use stdio::{StdioError, serve_stdio};
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsError};

use crate::server::{Drain, Server};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// Serves one peer that speaks newline-framed messages over any pair of streams, until it closes its
/// side or `drain` begins.
///
/// What is in flight then gets `drain_timeout_ms` to finish. An idle connection holds no buffer.
///
/// The caller calls [`Server::maintain`] once a second, which frees what expired.
///
/// # Errors
/// When reading or writing fails. A peer that stops reading (a broken pipe) is a normal end.
pub async fn serve_lines<R, W>(server: &Server, reader: R, writer: W, drain: &Drain) -> Result<(), ServeError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let host = Arc::new(lines::LineShared::new(server, drain));
    lines::LineConnection::<_, hang_up::Undetected>::new(host, None, tokio::io::join(reader, writer)).await
}
