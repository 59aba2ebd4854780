//! What stands for `tls.rs` in builds without the feature `tls`: no connection is encrypted, which the types say.

use std::io::{self, Read, Write};
use std::path::Path;

/// There is none.
#[derive(Clone)]
pub(super) enum Encryption {}

impl Encryption {
    /// # Errors
    /// Always.
    pub(super) fn new(_: &str, _: Option<&Path>) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, crate::client::NO_TLS))
    }

    pub(super) fn over<S: Read + Write>(&self, _: S) -> io::Result<EncryptedStream<S>> {
        match *self {}
    }
}

/// There is none.
pub(super) struct EncryptedStream<S> {
    pub(super) stream: S,
    none: Encryption,
}

impl<S: Read + Write> EncryptedStream<S> {
    pub(super) fn shake_hands(&mut self) -> io::Result<bool> {
        match self.none {}
    }

    pub(super) fn has_unsent(&self) -> bool {
        match self.none {}
    }
}

impl<S: Read + Write> Read for EncryptedStream<S> {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match self.none {}
    }
}

impl<S: Read + Write> Write for EncryptedStream<S> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match self.none {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.none {}
    }
}
