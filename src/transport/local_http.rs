//! HTTP for the programs of one machine, in one call.

use super::signals::EndSignals;
use super::{HttpConfig, HttpError, ListenError, Listener, TcpOptions, serve_http};
use crate::server::{Drain, Server};
use std::io;
use std::net::SocketAddr;
use thiserror::Error;

/// Why a server cannot be reached at an address of this machine.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LocalHttpError {
    /// The text is no address.
    #[error("{address:?} is no address such as 127.0.0.1:8000 or localhost:8000")]
    Address {
        /// The text.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others would reach the address, and nobody is asked for a token.
    #[error(
        "{address} is reached from other machines: serve it with `transport::serve_http`, and an `AdmissionConfig` that asks for tokens"
    )]
    NotLocal {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Signals cannot be waited for.
    #[error("cannot wait for signals")]
    Signal(#[source] io::Error),
    /// HTTP cannot be served.
    #[error(transparent)]
    Http(#[from] HttpError),
}

impl Server {
    /// Serves Streamable HTTP at `http://ADDRESS/mcp` to the programs of this machine, until SIGTERM or SIGINT; then
    /// finishes what is in flight, within `drain_timeout_ms`. A second signal does not wait for that.
    ///
    /// For more addresses, Unix sockets, TLS, tokens, or other machines there is
    /// [`serve_http`](crate::transport::serve_http).
    ///
    /// ```no_run
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = mcpool::Server::builder("demo", "1.0.0").build()?;
    /// server.serve_local_http("127.0.0.1:8000").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the text is no address of this machine alone, the address is taken, or the server is served over HTTP already.
    pub async fn serve_local_http(&self, address: &str) -> Result<(), LocalHttpError> {
        let address = local(address).await?;
        let signals = EndSignals::listen().map_err(LocalHttpError::Signal)?;
        let listener = Listener::tcp(address, TcpOptions::default())?;
        tracing::info!(address = %listener.local_addr(), "listening");
        let drain = Drain::default();
        let serving = serve_http(self, vec![listener], HttpConfig::default(), &drain);
        match signals.drain(serving, &drain).await {
            Some(ended) => Ok(ended?),
            None => Ok(()),
        }
    }
}

/// The address that a text means, if only this machine reaches it.
async fn local(text: &str) -> Result<SocketAddr, LocalHttpError> {
    let unknown = |source| LocalHttpError::Address { address: text.to_owned(), source };
    let mut found = tokio::net::lookup_host(text).await.map_err(unknown)?;
    let Some(address) = found.next() else {
        return Err(unknown(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    };
    if address.ip().is_loopback() { Ok(address) } else { Err(LocalHttpError::NotLocal { address }) }
}

#[cfg(test)]
mod tests {
    use super::{LocalHttpError, local};
    use crate::server::Server;

    #[tokio::test]
    async fn only_addresses_of_this_machine_are_taken() {
        assert_eq!(local("127.0.0.1:80").await.expect("an address").to_string(), "127.0.0.1:80");
        assert_eq!(local("[::1]:80").await.expect("an address").to_string(), "[::1]:80");
        for text in ["0.0.0.0:80", "192.0.2.1:80", "[::]:80"] {
            assert!(matches!(local(text).await, Err(LocalHttpError::NotLocal { .. })), "{text}");
        }
        for text in ["", "127.0.0.1", "80", "127.0.0.1:http-"] {
            assert!(matches!(local(text).await, Err(LocalHttpError::Address { .. })), "{text}");
        }
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_an_error() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
        let server = Server::builder("taken", "1").build().expect("a server");
        let address = taken.local_addr().expect("an address").to_string();
        let error = server.serve_local_http(&address).await.expect_err("it is taken").to_string();
        assert!(error.contains("another program has it"), "{error}");
    }
}
