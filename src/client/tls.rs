//! Encryption of connections to `https://` servers: whom to trust, and what to tell who is not.
//!
//! `no_tls.rs` stands here in builds without the feature `tls`.

use crate::watched_file;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, RootCertStore};

/// Encrypts connections to one server.
#[derive(Clone)]
pub(super) struct Encryption {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Encryption {
    /// Connections to `host` are encrypted if its certificate is by an authority in `ca_file`, or by a public one where
    /// there is no such file.
    ///
    /// # Errors
    /// When the file has no certificates, or no certificate could name the host.
    pub(super) fn new(host: &str, ca_file: Option<&Path>) -> io::Result<Self> {
        Ok(Self { connector: Arc::new(client_config(ca_file)?).into(), name: server_name(host)? })
    }

    /// Makes the handshake over a connection.
    ///
    /// # Errors
    /// When the certificate is refused, and those of the socket.
    pub(super) async fn over(
        &self,
        stream: TcpStream,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
        self.connector.connect(self.name.clone(), stream).await.map_err(|error| {
            let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
            cause.map(why).map_or(error, invalid)
        })
    }
}

/// How a client encrypts: it speaks HTTP/1.1, and trusts the authorities in `ca_file`, or the public ones.
///
/// # Errors
/// When the file has no certificates.
pub(crate) fn client_config(ca_file: Option<&Path>) -> io::Result<ClientConfig> {
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
    Ok(config)
}

/// The name that a server's certificate has to have.
///
/// # Errors
/// When no certificate could name the host.
pub(crate) fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    ServerName::try_from(host.to_owned())
        .map_err(|_| invalid(format!("{host:?} is no name that a certificate could have")))
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

/// What went wrong, and what to do about it.
pub(crate) fn why(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "nobody who is trusted has signed its certificate: name the file of its authority (--ca-file)"
                .to_owned()
        }
        Error::InvalidMessage(_) => format!("it does not encrypt ({error}): write http:// if that is meant"),
        _ => error.to_string(),
    }
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
