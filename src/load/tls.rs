//! Encryption of connections to `https://` targets: how bytes pass on a socket that does not block.
//!
//! `no_tls.rs` stands here in builds without the feature `tls`. Nothing is kept between two connections, so each of
//! them makes its whole handshake, as those of so many clients do.

use crate::client::tls;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection};

/// Encrypts connections to one server.
#[derive(Clone)]
pub(super) struct Encryption {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Encryption {
    /// Connections to `host` are encrypted if its certificate is by an authority in `ca_file`, or by a public one where
    /// there is no such file.
    ///
    /// # Errors
    /// When the file has no certificates, or no certificate could name the host.
    pub(super) fn new(host: &str, ca_file: Option<&Path>) -> io::Result<Self> {
        let name = tls::server_name(host)?;
        let mut config = tls::client_config(ca_file)?;
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), name })
    }

    /// A connection over `stream`. Reading and writing make the handshake.
    ///
    /// # Errors
    /// When there is no random number to be had.
    pub(super) fn over<S: Read + Write>(&self, stream: S) -> io::Result<EncryptedStream<S>> {
        let session = ClientConnection::new(Arc::clone(&self.config), self.name.clone());
        Ok(EncryptedStream { stream, session: session.map_err(|error| invalid(error.to_string()))? })
    }
}

/// An encrypted connection over one that blocks, or over one that does not.
pub(super) struct EncryptedStream<S> {
    pub(super) stream: S,
    session: ClientConnection,
}

impl<S: Read + Write> EncryptedStream<S> {
    /// Goes on with the handshake, as far as the socket lets it; whether it is done.
    ///
    /// # Errors
    /// When the certificate is refused, and those of the socket.
    pub(super) fn shake_hands(&mut self) -> io::Result<bool> {
        self.send()?;
        while self.session.is_handshaking() {
            match self.receive() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Whether encrypted bytes wait until the socket takes them.
    pub(super) fn has_unsent(&self) -> bool {
        self.session.wants_write()
    }

    /// Sends encrypted bytes, as far as the socket takes them.
    fn send(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes what has come; the handshake and keys may have something to say to it.
    fn receive(&mut self) -> io::Result<()> {
        if self.session.read_tls(&mut self.stream)? == 0 {
            let why = "the server closed the connection without ending its encryption";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
        if let Err(error) = self.session.process_new_packets() {
            // The server is told why, if it listens.
            let _ = self.send();
            return Err(invalid(tls::why(&error)));
        }
        self.send()
    }
}

impl<S: Read + Write> Read for EncryptedStream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.receive()?,
                read => return read,
            }
        }
    }
}

impl<S: Read + Write> Write for EncryptedStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send()?;
        if self.has_unsent() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let written = self.session.writer().write(bytes)?;
        self.send()?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
