//! Encrypts TCP connections: certificate and key come from files, which are read again when they change.
//!
//! Owns which certificate is used. Must not know which protocol is spoken inside. Invariant: a pair that cannot be used
//! never replaces one that can.

use crate::lock::lock;
use crate::watched_file::{self, FileStamp};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

/// Shortest time between two checks whether the files have changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why a certificate and its key cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the {role} {}: {source}", path.display())]
    Unreadable {
        /// `certificate` or `key`.
        role: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} holds no {role}{}: {expected}", path.display(), shown(source.as_ref()))]
    Missing {
        /// `certificate` or `key`.
        role: &'static str,
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What is wrong with the PEM, if it is that.
        source: Option<pem::Error>,
    },
    /// The key is of another certificate.
    #[error("the key {} is not of the certificate {}", key.display(), certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The pair cannot be used for another reason.
    #[error("cannot use the certificate {} with the key {}: {source}", certificate.display(), key.display())]
    Refused {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
}

fn shown(error: Option<&pem::Error>) -> String {
    error.map(|error| format!(" ({error})")).unwrap_or_default()
}

/// Why a connection was not encrypted.
#[derive(Debug, Error)]
pub(crate) enum HandshakeError {
    /// The handshake failed, or the client is gone.
    #[error("the handshake failed: {0}")]
    Failed(#[from] io::Error),
    /// The client takes too long.
    #[error("the handshake took longer than header_timeout_ms")]
    TimedOut,
    /// The server ends.
    #[error("the server ended before the handshake did")]
    Ending,
}

/// A certificate and its key, read again when either file changes.
///
/// ```no_run
/// use mcpool::transport::{Listener, TcpOptions, Tls};
/// use std::sync::Arc;
///
/// # async fn listen() -> Result<(), Box<dyn std::error::Error>> {
/// let tls = Tls::load("server.pem", "server.key")?;
/// let listener = Listener::tcp("127.0.0.1:8443".parse()?, TcpOptions::default())?.with_tls(Arc::new(tls));
/// println!("{}", listener.local_addr()); // https://127.0.0.1:8443
/// # Ok(())
/// # }
/// ```
pub struct Tls {
    files: Files,
    current: Mutex<Current>,
}

/// The configuration holds the key: nothing of it is shown.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

struct Current {
    pair: Pair,
    /// The files as they were when last read, whether that succeeded or not: a bad pair is reported once.
    stamps: Stamps,
    looked_at: Instant,
}

/// A certificate with its key, ready for use.
struct Pair {
    config: Arc<ServerConfig>,
    /// Of the content of both files.
    digest: [u8; 32],
}

/// What of the two files changes when they do.
type Stamps = [FileStamp; 2];

impl Tls {
    /// Reads a certificate chain (the server's own first) and its key, both PEM.
    ///
    /// # Errors
    /// When a file cannot be read or holds something else, or the two do not belong together.
    pub fn load(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, TlsError> {
        let files = Files { certificate: certificate.into(), key: key.into() };
        // Before they are read: what changes meanwhile shows as a change later.
        let stamps = files.stamps();
        let pair = files.read()?;
        let current = Mutex::new(Current { pair, stamps, looked_at: Instant::now() });
        Ok(Self { files, current })
    }

    /// Does the handshake with a client, within `limit`.
    pub(crate) fn accept(
        &self,
        stream: TcpStream,
        limit: Duration,
    ) -> impl Future<Output = Result<TlsStream<TcpStream>, HandshakeError>> + Send + 'static {
        let handshake = TlsAcceptor::from(self.config(Instant::now())).accept(stream);
        async move { Ok(timeout(limit, handshake).await.map_err(|_| HandshakeError::TimedOut)??) }
    }

    /// The configuration to accept with. Checks first whether the files have changed, if that is due.
    fn config(&self, now: Instant) -> Arc<ServerConfig> {
        let mut current = self.lock();
        if now.saturating_duration_since(current.looked_at) >= LOOK_EVERY {
            current.looked_at = now;
            current.follow(&self.files, false);
        }
        Arc::clone(&current.pair.config)
    }

    /// Reads the files again now, changed or not.
    pub fn reload(&self) {
        self.lock().follow(&self.files, true);
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        // Each field is replaced whole: what a panic left behind is usable.
        lock(&self.current)
    }
}

impl Current {
    fn follow(&mut self, files: &Files, is_forced: bool) {
        let stamps = files.stamps();
        let is_read = |is_current: fn(&FileStamp, &FileStamp) -> bool| {
            self.stamps.iter().zip(&stamps).all(|(before, now)| is_current(before, now))
        };
        if !is_forced && is_read(FileStamp::is_current) {
            return;
        }
        let is_known = !is_forced && is_read(FileStamp::is_same_file);
        self.stamps = stamps;
        match files.read() {
            Ok(pair) if pair.digest == self.pair.digest => {}
            Ok(pair) => {
                self.pair = pair;
                tracing::info!(certificate = %files.certificate.display(), "the certificate was read again");
            }
            // It was reported when it was read first.
            Err(_) if is_known => {}
            Err(error) => {
                tracing::error!(%error, "the certificate changed and cannot be used; the one before stays");
            }
        }
    }
}

impl Files {
    fn stamps(&self) -> Stamps {
        [&self.certificate, &self.key].map(|path| FileStamp::of(path))
    }

    fn read(&self) -> Result<Pair, TlsError> {
        let certificate = read_bounded("certificate", &self.certificate)?;
        let key = read_bounded("key", &self.key)?;
        let mut digest = Sha256::new_with_prefix(certificate.len().to_be_bytes());
        digest.update(&certificate);
        digest.update(&key);
        let config = self.configure(self.chain(&certificate)?, self.private_key(&key)?)?;
        Ok(Pair { config, digest: digest.finalize().into() })
    }

    fn configure(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let refused = |source| match source {
            rustls::Error::InconsistentKeys(_) => {
                TlsError::Mismatch { certificate: self.certificate.clone(), key: self.key.clone() }
            }
            source => {
                TlsError::Refused { certificate: self.certificate.clone(), key: self.key.clone(), source }
            }
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(refused)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // No session is kept for resumption: connections are long, and a resumed one saves little.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    fn chain(&self, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let path = &self.certificate;
        let missing = |source| TlsError::Missing {
            role: "certificate",
            path: path.clone(),
            expected: "it needs PEM blocks that begin -----BEGIN CERTIFICATE-----, the server's own first",
            source,
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
        match chain {
            Ok(chain) if chain.is_empty() => Err(missing(None)),
            Ok(chain) => Ok(chain),
            Err(error) => Err(missing(Some(error))),
        }
    }

    fn private_key(&self, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
        let path = &self.key;
        PrivateKeyDer::from_pem_slice(bytes).map_err(|error| TlsError::Missing {
            role: "key",
            path: path.clone(),
            expected: "it needs one PEM block, -----BEGIN PRIVATE KEY----- or the RSA or EC form of it, without a pass phrase",
            source: (!matches!(error, pem::Error::NoItemsFound)).then_some(error),
        })
    }
}

fn read_bounded(role: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { role, path: path.to_owned(), source };
    watched_file::read(path, watched_file::MAX_BYTES).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::server::{Drain, Permit};
    use crate::transport::admission::Principal;
    use crate::transport::listener::{Connections, Peer, Serve, Stream, serve_listeners};
    use crate::transport::{Listener, LocalAddress, TcpOptions};
    use std::future::poll_fn;
    use std::task::Poll;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client;
    use tokio_rustls::rustls::pki_types::ServerName;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    const MINUTE: Duration = Duration::from_mins(1);

    struct PairFiles {
        folder: tempfile::TempDir,
    }

    impl PairFiles {
        fn new() -> Self {
            let pair = Self { folder: tempfile::tempdir().expect("a folder") };
            pair.renew();
            pair
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// Another certificate with its key, and the certificate's bytes.
        fn renew(&self) -> Vec<u8> {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
            std::fs::write(self.path("c.pem"), made.cert.pem()).expect("written");
            std::fs::write(self.path("k.pem"), made.signing_key.serialize_pem()).expect("written");
            made.cert.der().to_vec()
        }

        fn load(&self) -> Result<Tls, TlsError> {
            Tls::load(self.path("c.pem"), self.path("k.pem"))
        }
    }

    fn connector(certificate: &[u8], protocols: &[&str]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.to_vec().into()).expect("a certificate");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    /// Both ends of an encrypted connection; the client trusts `certificate` alone.
    async fn meet(
        tls: &Tls,
        certificate: &[u8],
        protocols: &[&str],
    ) -> (Result<client::TlsStream<TcpStream>, io::Error>, Result<TlsStream<TcpStream>, HandshakeError>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("an address");
        let connect = async {
            let stream = TcpStream::connect(address).await.expect("connects");
            let name = ServerName::try_from("localhost").expect("a name");
            connector(certificate, protocols).connect(name, stream).await
        };
        let accept = async {
            let (stream, _) = listener.accept().await.expect("accepts");
            tls.accept(stream, MINUTE).await
        };
        tokio::join!(connect, accept)
    }

    #[tokio::test]
    async fn bytes_pass_and_the_protocol_is_agreed() {
        let pair = PairFiles::new();
        let certificate = pair.renew();
        let tls = pair.load().expect("loaded");
        let (client, server) = meet(&tls, &certificate, &["h2", "http/1.1"]).await;
        let (mut client, server) = (client.expect("connected"), server.expect("accepted"));
        assert_eq!(client.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let mut server = Stream::Tls(Box::new(server));
        let ready = poll_fn(|cx| Poll::Ready(server.poll_readable(cx).is_ready())).await;
        assert!(!ready, "nothing was sent");
        client.write_all(b"ping").await.expect("sent");
        client.flush().await.expect("sent");
        // Byte by byte: what was decrypted with the first is not on the socket any more.
        for want in b"ping" {
            server.readable().await.expect("readable");
            assert_eq!(server.read_u8().await.expect("read"), *want);
        }
        client.shutdown().await.expect("closed");
        server.readable().await.expect("readable");
        assert_eq!(server.read(&mut [0]).await.expect("the end"), 0);
    }

    #[tokio::test]
    async fn a_client_that_speaks_something_else_only_is_refused() {
        let pair = PairFiles::new();
        let certificate = pair.renew();
        let (client, server) = meet(&pair.load().expect("loaded"), &certificate, &["h2"]).await;
        assert!(client.is_err());
        assert!(server.is_err_and(|error| error.to_string().starts_with("the handshake failed: ")));
    }

    /// Answers with what its permit says: the handshake passes the permit on.
    #[derive(Clone)]
    struct ReportPermit;

    impl Serve for ReportPermit {
        async fn serve(self, mut stream: Stream, peer: Peer, mut permit: Permit) {
            let is_of_address = permit.belongs_to(Principal::of_peer(peer.address()).key());
            let answer =
                [u8::from(is_of_address), u8::from(permit.move_to(7)), u8::from(permit.belongs_to(7))];
            stream.write_all(&answer).await.expect("sent");
            stream.flush().await.expect("sent");
            assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
        }
    }

    #[tokio::test]
    async fn a_client_that_never_agrees_does_not_hold_up_the_end() {
        let pair = PairFiles::new();
        pair.renew();
        let listener = Listener::tcp("127.0.0.1:0".parse().expect("an address"), TcpOptions::default());
        let listener = listener.expect("listens").with_tls(Arc::new(pair.load().expect("loaded")));
        let LocalAddress::Tcp { address, .. } = *listener.local_addr() else { panic!("not TCP") };
        let hour_ms = 3_600_000;
        let limits = Limits { header_timeout_ms: hour_ms, drain_timeout_ms: hour_ms, ..Limits::default() };
        let (connections, drain) = (Connections::new(4, 75), Drain::default());
        let mut clients = Vec::new();
        for said in [&b""[..], b"\x16", b"\x16\x03\x01"] {
            let mut client = TcpStream::connect(address).await.expect("connects");
            client.write_all(said).await.expect("sent");
            clients.push(client);
        }
        drain.begin();
        let serving = serve_listeners(vec![listener], ReportPermit, &limits, &connections, &drain);
        timeout(MINUTE, serving).await.expect("it waits for a handshake");
        assert_eq!(connections.open(), 0);
    }

    #[tokio::test]
    async fn an_encrypted_connection_holds_its_permit_from_its_first_byte_to_its_last() {
        let pair = PairFiles::new();
        let certificate = pair.renew();
        let listener = Listener::tcp("127.0.0.1:0".parse().expect("an address"), TcpOptions::default());
        let listener = listener.expect("listens").with_tls(Arc::new(pair.load().expect("loaded")));
        let LocalAddress::Tcp { address, .. } = *listener.local_addr() else { panic!("not TCP") };
        let (connections, drain) = (Connections::new(4, 75), Drain::default());
        let serving = tokio::spawn({
            let (connections, drain) = (connections.clone(), drain.clone());
            async move {
                serve_listeners(vec![listener], ReportPermit, &Limits::default(), &connections, &drain).await;
            }
        });
        let until_open = async |want: usize| {
            while connections.open() != want {
                tokio::task::yield_now().await;
            }
        };
        let stream = TcpStream::connect(address).await.expect("connects");
        until_open(1).await;
        let name = ServerName::try_from("localhost").expect("a name");
        let mut client = connector(&certificate, &[]).connect(name, stream).await.expect("connected");
        let mut answer = [0; 3];
        client.read_exact(&mut answer).await.expect("an answer");
        assert_eq!((answer, connections.open()), ([1, 1, 1], 1));
        drop(client);
        until_open(0).await;
        // One that speaks something else never gets as far.
        let mut stream = TcpStream::connect(address).await.expect("connects");
        until_open(1).await;
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("sent");
        until_open(0).await;
        drain.begin();
        serving.await.expect("ended");
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_is_given_up() {
        let tls = PairFiles::new().load().expect("loaded");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let _silent = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("connects");
        let (stream, _) = listener.accept().await.expect("accepts");
        let error = tls.accept(stream, Duration::from_millis(1)).await.expect_err("given up");
        assert_eq!(error.to_string(), "the handshake took longer than header_timeout_ms");
    }

    #[tokio::test]
    async fn a_renewed_pair_is_shown_and_a_bad_one_is_not() {
        let pair = PairFiles::new();
        let first = pair.renew();
        let tls = pair.load().expect("loaded");
        let start = Instant::now();
        let look = |seconds| tls.config(start + Duration::from_secs(seconds));
        let before = look(0);

        // Half of a renewal: the key is of another certificate.
        let key = std::fs::read(pair.path("k.pem")).expect("read");
        let second = pair.renew();
        let next_key = std::fs::read(pair.path("k.pem")).expect("read");
        std::fs::write(pair.path("k.pem"), key).expect("written");
        assert!(Arc::ptr_eq(&before, &look(10)), "the old pair stays");
        assert!(meet(&tls, &first, &[]).await.0.is_ok());

        std::fs::write(pair.path("k.pem"), next_key).expect("written");
        assert!(Arc::ptr_eq(&before, &look(10)), "looked a moment ago");
        let after = look(20);
        assert!(!Arc::ptr_eq(&before, &after), "the new pair is whole");
        assert!(Arc::ptr_eq(&after, &look(30)), "nothing changed");
        assert!(meet(&tls, &second, &[]).await.0.is_ok());
        assert!(meet(&tls, &first, &[]).await.0.is_err());

        std::fs::remove_file(pair.path("c.pem")).expect("removed");
        assert!(Arc::ptr_eq(&after, &look(40)), "what is gone is kept");
    }

    /// At once, without the second that a look waits for.
    #[tokio::test]
    async fn a_pair_is_read_again_when_that_is_asked_for() {
        let pair = PairFiles::new();
        let tls = pair.load().expect("loaded");
        let renewed = pair.renew();
        tls.reload();
        assert!(meet(&tls, &renewed, &[]).await.0.is_ok());
        std::fs::write(pair.path("k.pem"), "no key").expect("written");
        tls.reload();
        assert!(meet(&tls, &renewed, &[]).await.0.is_ok(), "the pair that can be used stays");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let pair = PairFiles::new();
        let certificate = std::fs::read_to_string(pair.path("c.pem")).expect("read");
        let key = std::fs::read_to_string(pair.path("k.pem")).expect("read");
        pair.renew();
        let other_key = std::fs::read_to_string(pair.path("k.pem")).expect("read");
        let cut = &certificate[..certificate.len() / 2];
        for (certificate, key, want) in [
            (None, Some(key.as_str()), "cannot read the certificate "),
            (Some(certificate.as_str()), None, "cannot read the key "),
            (Some(&key), Some(&key), "c.pem holds no certificate: it needs PEM blocks that begin -----BEGIN"),
            (Some(cut), Some(&key), "c.pem holds no certificate ("),
            (Some(&certificate), Some(&certificate), "k.pem holds no key: it needs one PEM block"),
            (Some(&certificate), Some(&other_key), "k.pem is not of the certificate "),
        ] {
            for (name, text) in [("c.pem", certificate), ("k.pem", key)] {
                let _ = std::fs::remove_file(pair.path(name));
                if let Some(text) = text {
                    std::fs::write(pair.path(name), text).expect("written");
                }
            }
            let message = pair.load().expect_err(want).to_string();
            assert!(message.contains(want), "{message}");
        }
    }

    #[test]
    fn nothing_of_the_key_is_shown() {
        let shown = format!("{:?}", PairFiles::new().load().expect("loaded"));
        assert!(
            shown.starts_with("Tls { files: Files { certificate: ") && shown.ends_with(", .. }"),
            "{shown}"
        );
    }
}
