//! Sockets that a service manager opened beforehand (systemd socket activation: `LISTEN_FDS`, `LISTEN_PID`,
//! `LISTEN_FDNAMES`), so that clients can connect before the server runs, and while it restarts.
//!
//! Their files belong to the service manager: nothing is removed here, and their modes are whatever its units say
//! (open to all users by default). So the server checks the user of each peer, and warns at the start of a socket that
//! other users can reach.

use super::listen::{ListenError, Listener, LocalAddress, Socket};
use super::permissions;
use listenfd::ListenFd;
use std::io;
use std::net::TcpListener as StdTcpListener;
use std::os::unix::net::UnixListener as StdUnixListener;
use tokio::net::{TcpListener, UnixListener};

/// A socket from the service manager, not yet part of a runtime.
///
/// [`inherited`] has an example.
///
/// [`inherited`] has an example.
#[derive(Debug)]
pub struct Inherited {
    index: usize,
    name: Option<String>,
    socket: Handed,
}

#[derive(Debug)]
enum Handed {
    Tcp(StdTcpListener),
    Unix(StdUnixListener),
}

/// Takes the sockets that were handed to this process; none when there are none, or on a second call.
///
/// Takes `LISTEN_FDS` and `LISTEN_PID` out of the environment, so that child processes do not believe the sockets
/// to be theirs. Call it while the process has one thread: the environment is not for several.
///
/// ```no_run
/// use mcpool::transport::inherited;
///
/// // Nothing, where no service manager started this process.
/// for socket in inherited()? {
///     println!("{socket:?}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When one of them is no stream socket.
pub fn inherited() -> Result<Vec<Inherited>, ListenError> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(|name| Some(name.to_owned()).filter(|name| !name.is_empty()));
    let mut handed = ListenFd::from_env();
    let mut sockets = Vec::with_capacity(handed.len());
    for index in 0..handed.len() {
        let name = names.next().flatten();
        match take(&mut handed, index) {
            Ok(Some(socket)) => sockets.push(Inherited { index, name, socket }),
            Ok(None) => {}
            Err(source) => return Err(ListenError::Inherited { index, name, source }),
        }
    }
    Ok(sockets)
}

/// Asking for either kind finds out which it is: the wrong one refuses and leaves the descriptor in its place.
fn take(handed: &mut ListenFd, index: usize) -> io::Result<Option<Handed>> {
    match handed.take_unix_listener(index) {
        Ok(listener) => Ok(listener.map(Handed::Unix)),
        Err(_) => Ok(handed.take_tcp_listener(index)?.map(Handed::Tcp)),
    }
}

impl Inherited {
    /// Its name in `LISTEN_FDNAMES`: `FileDescriptorName=` of the socket unit.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Turns it into a listener of the runtime.
    ///
    /// # Errors
    /// When it does not accept.
    ///
    /// # Panics
    /// Outside a runtime with IO.
    pub fn listen(self) -> Result<Listener, ListenError> {
        let Self { index, name, socket } = self;
        let listener = socket.listen().map_err(|source| ListenError::Inherited { index, name, source })?;
        Ok(Listener { is_shared: true, ..listener })
    }
}

impl Handed {
    fn listen(self) -> io::Result<Listener> {
        match self {
            Self::Tcp(listener) => {
                refuse_unless_listening(&listener)?;
                listener.set_nonblocking(true)?;
                let address = LocalAddress::Tcp { address: listener.local_addr()?, is_tls: false };
                Ok(Listener::new(Socket::Tcp(TcpListener::from_std(listener)?), address))
            }
            Self::Unix(listener) => {
                refuse_unless_listening(&listener)?;
                listener.set_nonblocking(true)?;
                let address = listener.local_addr()?;
                permissions::warn_of_exposure(address.as_pathname());
                let address = address
                    .as_pathname()
                    .map_or(LocalAddress::Unnamed, |path| LocalAddress::Unix(path.into()));
                let listener = UnixListener::from_std(listener)?;
                Ok(Listener::new(Socket::Unix { file: None, listener }, address))
            }
        }
    }
}

/// `Accept=yes` in a socket unit hands over a connection in the place of a listener.
fn refuse_unless_listening(socket: impl std::os::fd::AsFd) -> io::Result<()> {
    // macOS cannot tell; there the first accept fails and says so.
    #[cfg(target_vendor = "apple")]
    let is_listening = {
        let _ = socket;
        true
    };
    #[cfg(not(target_vendor = "apple"))]
    let is_listening = rustix::net::sockopt::socket_acceptconn(socket)?;
    if is_listening {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen: set Accept=no in its unit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_kinds_become_listeners_and_their_files_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m.sock");
        let unix = StdUnixListener::bind(&path).expect("bound");
        let listener =
            Inherited { index: 0, name: None, socket: Handed::Unix(unix) }.listen().expect("listens");
        assert_eq!(*listener.local_addr(), LocalAddress::Unix(path.clone()));
        let _client = tokio::net::UnixStream::connect(&path).await.expect("connects");
        listener.accept().await.expect("accepts");
        drop(listener);
        assert!(path.exists());

        let tcp = StdTcpListener::bind("127.0.0.1:0").expect("bound");
        let address = tcp.local_addr().expect("an address");
        let listener =
            Inherited { index: 1, name: None, socket: Handed::Tcp(tcp) }.listen().expect("listens");
        let _client = tokio::net::TcpStream::connect(address).await.expect("connects");
        listener.accept().await.expect("accepts");
    }

    #[tokio::test]
    async fn a_connection_in_the_place_of_a_listener_is_explained() {
        let (connection, _other) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let socket = Handed::Unix(StdUnixListener::from(std::os::fd::OwnedFd::from(connection)));
        let inherited = Inherited { index: 2, name: Some("tools".to_owned()), socket };
        let error = inherited.listen().expect_err("refused").to_string();
        assert_eq!(
            error,
            "socket 2 (tools) of LISTEN_FDS cannot be used: it does not listen: set Accept=no in its unit \
             (a unit needs ListenStream= with an address, a port or a path)"
        );
    }
}
