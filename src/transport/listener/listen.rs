//! Listening sockets: TCP addresses and Unix paths, and why one cannot be opened.

use super::permissions;
use super::socket_file::{SocketFile, SocketFileError};
use super::stream::{Peer, Stream};
#[cfg(feature = "tls")]
use crate::transport::tls::Tls;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
#[cfg(feature = "tls")]
use std::sync::Arc;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, UnixListener};

/// Connections that the system may hold before they are accepted.
const BACKLOG: u32 = 1_024;

/// Why a socket cannot accept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The address cannot be used.
    #[error("cannot listen on {address}: {source}{}", remedy(source))]
    Tcp {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The path cannot be used.
    #[error(transparent)]
    Unix(#[from] SocketFileError),
    /// A socket of the service manager does not accept.
    #[error(
        "socket {index}{} of LISTEN_FDS cannot be used: {source} (a unit needs ListenStream= with an address, a port or a path)",
        shown_name(name.as_deref())
    )]
    Inherited {
        /// Its place, from 0.
        index: usize,
        /// Its name in `LISTEN_FDNAMES`.
        name: Option<String>,
        /// What is wrong.
        source: io::Error,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another program has it: stop that one, or choose another port",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        io::ErrorKind::PermissionDenied => "; ports below 1024 are for the system: choose a higher one",
        _ => "",
    }
}

fn shown_name(name: Option<&str>) -> String {
    name.map(|name| format!(" ({name})")).unwrap_or_default()
}

/// How a TCP address is listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpOptions {
    /// Whether several processes of the same user may listen on the address and share what comes
    /// (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// Connections that the system may hold before they are accepted.
    pub backlog: u32,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self { reuse_port: false, backlog: BACKLOG }
    }
}

/// Where a listener can be reached; shown as a URL without a path, or as `unix:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalAddress {
    /// An address and port.
    Tcp {
        /// The actual ones: never port 0.
        address: SocketAddr,
        /// Whether connections are encrypted.
        is_tls: bool,
    },
    /// A path in the file system.
    Unix(PathBuf),
    /// A Unix socket without a path, as a service manager may hand over.
    Unnamed,
}

impl fmt::Display for LocalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { address, is_tls: false } => write!(f, "http://{address}"),
            Self::Tcp { address, is_tls: true } => write!(f, "https://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Unnamed => f.write_str("unix:(unnamed)"),
        }
    }
}

/// A socket that accepts connections.
///
/// Made inside a runtime with IO. The file of a Unix socket goes when its listener is dropped.
///
/// ```
/// use mcpool::transport::{Listener, LocalAddress, TcpOptions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
/// # let _inside = runtime.enter();
/// let listener = Listener::tcp("127.0.0.1:0".parse()?, TcpOptions::default())?;
/// assert!(matches!(listener.local_addr(), LocalAddress::Tcp { address, .. } if address.port() != 0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Listener {
    pub(super) socket: Socket,
    /// Whether others hold the socket as well, and go on accepting what waits there.
    pub(super) is_shared: bool,
    pub(super) address: LocalAddress,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Arc<Tls>>,
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix {
        /// First, so that the file goes before the socket does: while it accepts, nobody replaces the file.
        file: Option<SocketFile>,
        listener: UnixListener,
    },
}

impl Listener {
    /// Listens on an address; with port 0 the system chooses a free one.
    ///
    /// # Errors
    /// When the address is taken, not of this machine, or not for this user.
    ///
    /// # Panics
    /// Outside a runtime with IO.
    pub fn tcp(address: SocketAddr, options: TcpOptions) -> Result<Self, ListenError> {
        let open = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // A server that restarts must not wait for the last packets of the one before.
            socket.set_reuseaddr(true)?;
            if options.reuse_port {
                socket.set_reuseport(true)?;
            }
            socket.bind(address)?;
            let listener = socket.listen(options.backlog)?;
            let address = listener.local_addr()?;
            Ok(Self::new(Socket::Tcp(listener), LocalAddress::Tcp { address, is_tls: false }))
        };
        open().map_err(|source| ListenError::Tcp { address, source })
    }

    /// Listens on a path, for this user only (mode 0600). A socket that nobody listens on is replaced.
    ///
    /// # Errors
    /// When another server listens on the path, something else is there, the folder does not exist, or the
    /// path is too long for a socket.
    ///
    /// # Panics
    /// Outside a runtime with IO.
    pub fn unix(path: impl AsRef<Path>) -> Result<Self, ListenError> {
        let (file, listener) = SocketFile::listen(path.as_ref(), BACKLOG)?;
        permissions::warn_of_exposure(Some(path.as_ref()));
        let address = LocalAddress::Unix(path.as_ref().to_owned());
        Ok(Self::new(Socket::Unix { file: Some(file), listener }, address))
    }

    pub(super) fn new(socket: Socket, address: LocalAddress) -> Self {
        Self {
            socket,
            is_shared: false,
            address,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Encrypts what is accepted. A Unix socket stays as it is: nobody else can read it.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(mut self, tls: Arc<Tls>) -> Self {
        if let LocalAddress::Tcp { is_tls, .. } = &mut self.address {
            *is_tls = true;
            self.tls = Some(tls);
        }
        self
    }

    /// Where it can be reached.
    pub fn local_addr(&self) -> &LocalAddress {
        &self.address
    }

    /// Removes the file of a Unix socket when it is dropped, even if the listener is still there then. A task that has the
    /// listener may outlive a server that ends.
    pub(crate) fn file_guard(&self) -> Option<SocketFile> {
        match &self.socket {
            Socket::Unix { file, .. } => file.as_ref().map(SocketFile::another),
            Socket::Tcp(_) => None,
        }
    }

    /// Lets nobody connect any more, where the system has a way, so that soon nobody waits to be accepted. Returns
    /// whether those who wait are this listener's to accept: a service manager keeps its sockets, and hands them to the
    /// next process.
    pub(super) fn stop_connecting(&mut self) -> bool {
        if self.is_shared {
            return false;
        }
        match &mut self.socket {
            Socket::Unix { file, .. } => *file = None,
            Socket::Tcp(listener) => {
                if let Err(error) = ignore_connects(listener) {
                    tracing::debug!(%error, "clients can connect until the socket closes");
                }
            }
        }
        true
    }

    /// The next connection, and who it is from; not yet decrypted.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Answers are written whole: holding a short one back for more costs 40 ms and gains nothing.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, %address, "a connection is gone already: its first read will show it");
                }
                Ok((Stream::Tcp(stream), Peer::Ip(address)))
            }
            Socket::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                let peer = stream.peer_cred()?;
                Ok((Stream::Unix(stream), Peer::Unix { uid: peer.uid(), pid: peer.pid() }))
            }
        }
    }
}

/// Has the system ignore requests to connect. Clients repeat theirs a second later, and are refused by then; the socket
/// accepts whoever has connected.
#[cfg(target_os = "linux")]
fn ignore_connects(listener: &TcpListener) -> io::Result<()> {
    use socket2::{SockFilter, SockRef};
    // Classic BPF over the TCP header (Documentation/networking/filter.rst of Linux), whose byte 13 holds the flags: a
    // packet with SYN and without ACK is dropped, all others pass.
    const SYN_AND_ACK: u32 = 0x12;
    const SYN: u32 = 0x02;
    const FILTER: [SockFilter; 5] = [
        SockFilter::new(0x30, 0, 0, 13),          // A = flags
        SockFilter::new(0x54, 0, 0, SYN_AND_ACK), // A &= SYN | ACK
        SockFilter::new(0x15, 0, 1, SYN),         // if A == SYN
        SockFilter::new(0x06, 0, 0, 0),           //   drop
        SockFilter::new(0x06, 0, 0, u32::MAX),    // pass
    ];
    SockRef::from(listener).attach_filter(&FILTER)
}

#[cfg(not(target_os = "linux"))]
fn ignore_connects(_listener: &TcpListener) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_free_port_is_told_and_a_taken_one_is_explained() {
        let any = "127.0.0.1:0".parse().expect("an address");
        let listener = Listener::tcp(any, TcpOptions::default()).expect("listens");
        let LocalAddress::Tcp { address, is_tls: false } = *listener.local_addr() else {
            panic!("{}", listener.local_addr())
        };
        assert_eq!(listener.local_addr().to_string(), format!("http://127.0.0.1:{}", address.port()));
        let error = Listener::tcp(address, TcpOptions::default()).expect_err("taken").to_string();
        assert!(error.starts_with(&format!("cannot listen on {address}: ")), "{error}");
        assert!(error.ends_with("another program has it: stop that one, or choose another port"), "{error}");
    }

    #[tokio::test]
    async fn a_port_is_shared_by_those_who_say_so() {
        let options = TcpOptions { reuse_port: true, ..TcpOptions::default() };
        let first = Listener::tcp("127.0.0.1:0".parse().expect("an address"), options).expect("listens");
        let LocalAddress::Tcp { address, .. } = *first.local_addr() else { panic!("not TCP") };
        let _second = Listener::tcp(address, options).expect("shares");
        Listener::tcp(address, TcpOptions::default()).expect_err("did not say so");
    }

    #[tokio::test]
    async fn addresses_are_shown_as_clients_write_them() {
        let tcp = |text: &str, is_tls| LocalAddress::Tcp { address: text.parse().expect("address"), is_tls };
        for (address, want) in [
            (tcp("127.0.0.1:80", false), "http://127.0.0.1:80"),
            (tcp("[::1]:8000", true), "https://[::1]:8000"),
            (LocalAddress::Unix("/run/x.sock".into()), "unix:/run/x.sock"),
            (LocalAddress::Unnamed, "unix:(unnamed)"),
        ] {
            assert_eq!(address.to_string(), want);
        }
    }
}
