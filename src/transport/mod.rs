//! Moves bytes between peers and the server: over HTTP, over lines, and over standard input and output.

#[cfg(feature = "cli")]
pub(crate) mod admin;
pub mod admission;
#[cfg(test)]
mod charges;
mod connection_registry;
mod hang_up;
pub(crate) mod http;
mod in_process;
#[cfg(test)]
mod interleavings;
mod lines;
pub(crate) mod listener;
mod local_http;
mod outbox;
#[cfg(feature = "cli")]
mod prices;
mod reclaim;
mod round_trips;
mod signals;
mod stack_read;
mod stdio;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;

pub(crate) use hang_up::Undetected;
#[cfg(fuzzing)]
pub use http::codec::fuzz as http_fuzz;
pub use http::{HttpConfig, HttpError, serve_http};
pub use in_process::connect_in_process;
pub use lines::ServeError;
#[cfg(feature = "socket-activation")]
pub use listener::{Inherited, inherited};
pub use listener::{ListenError, Listener, LocalAddress, SocketFileError, TcpOptions};
pub use local_http::LocalHttpError;
#[cfg(feature = "cli")]
pub(crate) use prices::object_prices;
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
/// The peer is treated as the owner of this process, like the client on standard input and output: it is an
/// administrator ([`RequestContext::is_admin`](crate::RequestContext::is_admin)), and the roots that it lists replace
/// the allowed directories of the filesystem tools for its session, unless their `ClientRoots` says otherwise. So give
/// it **trusted streams only**.
///
/// The caller calls [`Server::maintain`] once a second, which frees what expired; its documentation has an example.
///
/// ```
/// use mcpool::transport::serve_lines;
/// use mcpool::{Drain, Server};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder("demo", "1.0.0").build()?;
/// let (mut client, stream) = tokio::io::duplex(4096);
/// let (reader, writer) = tokio::io::split(stream);
/// client.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n").await?;
/// client.shutdown().await?;
/// serve_lines(&server, reader, writer, &Drain::default()).await?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer).await?;
/// assert_eq!(answer, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When reading or writing fails. A peer that stops reading (a broken pipe) is a normal end.
pub async fn serve_lines<R, W>(server: &Server, reader: R, writer: W, drain: &Drain) -> Result<(), ServeError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let shared = Arc::new(lines::LineShared::new(server, drain));
    lines::LineConnection::<_, Undetected>::new(shared, None, tokio::io::join(reader, writer)).await
}
