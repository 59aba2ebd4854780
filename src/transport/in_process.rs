//! A connection to a server of the same process, without sockets: for tests of one's own tools.

use super::hang_up::Undetected;
use super::lines::{LineConnection, LineShared};
use crate::server::{Drain, Server};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{MissedTickBehavior, interval};

/// Bytes that each direction holds before who writes has to wait.
const HELD_BYTES: usize = 64 * 1024;
/// How often a server maintains itself.
const MAINTENANCE: Duration = Duration::from_secs(1);

/// Connects to a server in this process, and serves the connection on a task of the current runtime until both ends are
/// dropped: what the server writes is read from the first, what it reads is written to the second.
///
/// With the client of the feature `client` a test of one's own tools needs neither a process nor a socket:
///
/// ```
/// # #[cfg(all(feature = "client", feature = "macros"))]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use mcpool::client::{Client, ClientOptions};
/// use mcpool::transport::connect_in_process;
///
/// /// Says back what it is told.
/// #[mcpool::tool]
/// fn echo(text: &str) -> &str {
///     text
/// }
///
/// let server = mcpool::Server::builder("echo", "1.0.0").tool(Echo).build()?;
/// let (reader, writer) = connect_in_process(&server);
/// let client = Client::over(reader, writer, ClientOptions::default()).await?;
/// let arguments = serde_json::json!({"text": "hello"}).as_object().cloned().unwrap_or_default();
/// let answer = client.call_tool("echo", arguments, |_progress| ()).await?;
/// assert!(answer.raw().contains(r#""text":"hello""#));
/// # Ok(())
/// # }
/// # #[cfg(not(all(feature = "client", feature = "macros")))]
/// # fn main() {}
/// ```
///
/// # Panics
/// Outside a tokio runtime.
pub fn connect_in_process(
    server: &Server,
) -> (impl AsyncRead + Send + Unpin + 'static, impl AsyncWrite + Send + Unpin + 'static) {
    // Two, as a stream that is split ends only when both halves are dropped.
    let (requests, incoming) = tokio::io::duplex(HELD_BYTES);
    let (outgoing, answers) = tokio::io::duplex(HELD_BYTES);
    let server = server.clone();
    tokio::spawn(async move {
        let shared = Arc::new(LineShared::new(&server, &Drain::default()));
        let connection =
            LineConnection::<_, Undetected>::new(shared, None, tokio::io::join(incoming, outgoing));
        let maintenance = async {
            let mut ticks = interval(MAINTENANCE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                server.maintain();
            }
        };
        tokio::select! {
            ended = connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "the connection broke");
                }
            }
            () = maintenance => {}
        }
    });
    (answers, requests)
}
