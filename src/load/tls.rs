//! Encryption of connections to `https://` targets: whom to trust, and how bytes pass on a socket that does not block.
//!
//! `no_tls.rs` stands here in builds without the feature `tls`. Nothing is kept between two connections, so each of
//! them makes its whole handshake, as those of so many clients do.

use crate::watched_file;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{CertificateError, ClientConfig, ClientConnection, Error, RootCertStore};

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
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| invalid(format!("{host:?} is no name that a certificate could have")))?;
        let roots = match ca_file {
            Some(path) => authorities(path)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?,
            None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        };
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| invalid(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
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

/// The certificates of a file.
fn authorities(path: &Path) -> io::Result<RootCertStore> {
    let bytes = watched_file::read(path, watched_file::MAX_BYTES)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|error| invalid(error.to_string()))?;
        roots.add(certificate).map_err(|error| invalid(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(invalid("it has no PEM block that begins -----BEGIN CERTIFICATE-----".to_owned()));
    }
    Ok(roots)
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
            return Err(invalid(why(&error)));
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

/// What went wrong, and what to do about it.
fn why(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "nobody who is trusted has signed its certificate: name the file of its authority (--ca-file)"
                .to_owned()
        }
        Error::InvalidMessage(_) => format!("it does not encrypt ({error}): write http:// if that is meant"),
        _ => error.to_string(),
    }
}
