//! How bytes move: reading, writing, and nothing of what they mean.

mod connection;
mod outbox;
mod stdio;

pub use connection::ServeError;
pub use stdio::{StdioError, serve_stdio};

use crate::server::{Drain, Server};
use tokio::io::{AsyncRead, AsyncWrite};

/// Serves one peer that speaks newline-framed messages over any pair of streams, until it closes its
/// side or `drain` begins.
///
/// What is in flight then gets `drain_timeout_ms` to finish. An idle connection holds no buffer.
///
/// # Errors
/// When reading or writing fails. A peer that stops reading (a broken pipe) is a normal end.
pub async fn serve_lines<R, W>(server: &Server, reader: R, writer: W, drain: &Drain) -> Result<(), ServeError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut connection = connection::Connection::new(server.clone(), reader, writer);
    connection.run(drain).await
}
