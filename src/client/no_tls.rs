//! What stands for `tls.rs` in builds without the feature `tls`: no connection is encrypted, which the types say.

use std::io;
use std::path::Path;
use tokio::net::TcpStream;

/// There is none.
#[derive(Clone)]
pub(super) enum Encryption {}

impl Encryption {
    /// # Errors
    /// Always.
    pub(super) fn new(_: &str, _: Option<&Path>) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, super::NO_TLS))
    }

    #[expect(clippy::unused_async, reason = "with the feature it waits")]
    pub(super) async fn over(&self, _: TcpStream) -> io::Result<TcpStream> {
        match *self {}
    }
}
