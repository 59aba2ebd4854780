//! The file of a Unix socket: how it appears, whom it may replace, when it goes.
//!
//! Invariant: the path never names a socket that others can open. The socket is bound inside a folder of its own
//! that only this user can enter, gets its mode there, and is renamed to its place; setting the umask instead
//! would change it for every thread. Servers that start at the same time take turns by a lock on the folder of
//! the path, which leaves no file behind.

use crate::lock::lock;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use std::fs::{DirBuilder, Metadata, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use thiserror::Error;
use tokio::net::{UnixListener, UnixSocket};

/// Longest path of a socket, the least of the systems that we run on (macOS; Linux has 107).
const MAX_PATH_BYTES: usize = 103;
/// How often and how long the lock of the folder is waited for: others hold it for a millisecond.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Why a path cannot be listened on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SocketFileError {
    /// A server accepts there.
    #[error("another server is listening on {}: connect to it, stop it, or choose another path", path.display())]
    Live {
        /// The path.
        path: PathBuf,
    },
    /// Something that is no socket is there.
    #[error("{} is there and is no socket: remove it, or choose another path", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The folder cannot be used.
    #[error("cannot use the folder {} of the socket: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody keeps the folder locked.
    #[error("another program keeps {} locked; try again", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The system takes no such path for a socket.
    #[error("{} is too long for a socket: its folder may have {max_bytes} bytes, the whole path {MAX_PATH_BYTES}", path.display())]
    TooLong {
        /// The path.
        path: PathBuf,
        /// Longest folder.
        max_bytes: usize,
    },
    /// Any other refusal of the system.
    #[error("cannot listen on {}: {source}", path.display())]
    Refused {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The file of a socket of ours. The first drop of this or of another handle removes it, if it still is ours.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: Arc<Path>,
    /// None once it was removed: the system may give its number to a file of others.
    identity: Arc<Mutex<Option<Identity>>>,
}

/// Which file it is, whatever its name.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl From<Metadata> for Identity {
    fn from(metadata: Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

impl SocketFile {
    /// Listens on `path`, in the place of a socket that nobody listens on if there is one.
    pub(super) fn listen(path: &Path, backlog: u32) -> Result<(Self, UnixListener), SocketFileError> {
        let refused = |source| SocketFileError::Refused { path: path.to_owned(), source };
        let folder = match path.parent() {
            Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
            Some(folder) => folder,
            None => return Err(SocketFileError::NotASocket { path: path.to_owned() }),
        };
        let _lock = FolderLock::take(folder)?;
        refuse_unless_replaceable(path)?;
        let private = PrivateFolder::new(folder, path)?;
        let socket = UnixSocket::new_stream().map_err(refused)?;
        socket.bind(&private.socket).map_err(refused)?;
        let listener = socket.listen(backlog).map_err(refused)?;
        std::fs::set_permissions(&private.socket, Permissions::from_mode(0o600)).map_err(refused)?;
        let identity = std::fs::symlink_metadata(&private.socket).map_err(refused)?.into();
        std::fs::rename(&private.socket, path).map_err(refused)?;
        Ok((Self { path: path.into(), identity: Arc::new(Mutex::new(Some(identity))) }, listener))
    }

    /// Another handle of the file, for who ends at another time than the listener.
    pub(super) fn another(&self) -> Self {
        Self { path: Arc::clone(&self.path), identity: Arc::clone(&self.identity) }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let mut identity = lock(&self.identity);
        let Some(identity) = identity.take() else { return };
        let is_ours = std::fs::symlink_metadata(&self.path).is_ok_and(|now| identity == now.into());
        if is_ours && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket; the next server replaces it");
        }
    }
}

/// Nothing there, or a socket that nobody listens on.
fn refuse_unless_replaceable(path: &Path) -> Result<(), SocketFileError> {
    let refused = |source| SocketFileError::Refused { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(SocketFileError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    match probe(path) {
        // Refused: nobody listens. Not found: it went meanwhile.
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(()),
        // Again: its backlog is full, so that it is alive though busy. Another type: somebody's datagram socket.
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS | Errno::PROTOTYPE) => {
            Err(SocketFileError::Live { path: path.to_owned() })
        }
        Err(error) => Err(refused(error.into())),
    }
}

/// Connects without waiting: a server that is stopped, or whose backlog is full, must not hold us up.
fn probe(path: &Path) -> Result<(), Errno> {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
}

/// An advisory lock on a folder, for as long as it is held.
struct FolderLock {
    _descriptor: OwnedFd,
}

impl FolderLock {
    fn take(folder: &Path) -> Result<Self, SocketFileError> {
        let failed =
            |source: Errno| SocketFileError::Folder { path: folder.to_owned(), source: source.into() };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = rustix::fs::open(folder, flags, Mode::empty()).map_err(failed)?;
        for _ in 0..LOCK_TRIES {
            match rustix::fs::flock(&descriptor, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _descriptor: descriptor }),
                Err(Errno::WOULDBLOCK) => std::thread::sleep(LOCK_PAUSE),
                Err(error) => return Err(failed(error)),
            }
        }
        Err(SocketFileError::Locked { path: folder.to_owned() })
    }
}

/// A folder that only this user can enter, with the name of a socket in it; goes on drop.
struct PrivateFolder {
    path: PathBuf,
    socket: PathBuf,
}

impl PrivateFolder {
    fn new(folder: &Path, socket_path: &Path) -> Result<Self, SocketFileError> {
        // The lock of the folder is held, so the name is free unless a server was killed in this very moment.
        let path = folder.join(format!(".mcpool-{}", std::process::id()));
        let socket = path.join("s");
        let bytes = |path: &Path| path.as_os_str().as_bytes().len();
        if bytes(&socket).max(bytes(socket_path)) > MAX_PATH_BYTES {
            let max_bytes = MAX_PATH_BYTES - (bytes(&socket) - bytes(folder));
            return Err(SocketFileError::TooLong { path: socket_path.to_owned(), max_bytes });
        }
        let create = || DirBuilder::new().mode(0o700).create(&path);
        let created = create().or_else(|error| {
            // Only what a server of this user left: a link planted there would have us remove another's file.
            let is_left = std::fs::symlink_metadata(&path)
                .is_ok_and(|found| found.is_dir() && found.uid() == rustix::process::geteuid().as_raw());
            if error.kind() != io::ErrorKind::AlreadyExists || !is_left {
                return Err(error);
            }
            let _ = std::fs::remove_file(&socket);
            std::fs::remove_dir(&path)?;
            create()
        });
        match created {
            Ok(()) => Ok(Self { path, socket }),
            Err(source) => Err(SocketFileError::Folder { path: folder.to_owned(), source }),
        }
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        // The socket is there only if it could not be renamed.
        let _ = std::fs::remove_file(&self.socket);
        let _ = std::fs::remove_dir(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("listed");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    #[tokio::test]
    async fn the_file_is_private_accepts_and_goes_with_its_owner() {
        let folder = folder();
        let path = folder.path().join("m.sock");
        let (file, listener) = SocketFile::listen(&path, 8).expect("listens");
        assert_eq!(names(folder.path()), ["m.sock"]);
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let client = StdUnixStream::connect(&path).expect("connects");
        listener.accept().await.expect("accepts");
        drop((client, file));
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[tokio::test]
    async fn the_first_handle_that_goes_takes_the_file_with_it() {
        let folder = folder();
        let path = folder.path().join("m.sock");
        let (file, _listener) = SocketFile::listen(&path, 8).expect("listens");
        let other = file.another();
        drop(file);
        assert!(!path.exists());
        let _anew = StdUnixListener::bind(&path).expect("bound by another, perhaps with the same number");
        drop(other);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_live_socket_is_kept_and_a_dead_one_is_replaced() {
        let folder = folder();
        let path = folder.path().join("m.sock");
        let (file, listener) = SocketFile::listen(&path, 8).expect("listens");
        let error = SocketFile::listen(&path, 8).expect_err("alive").to_string();
        assert!(error.starts_with("another server is listening on /"), "{error}");
        assert!(path.exists());
        // As a killed server leaves it: the file without anybody behind it.
        std::mem::forget(file);
        drop(listener);
        assert!(path.exists());
        let (_file, listener) = SocketFile::listen(&path, 8).expect("replaces");
        StdUnixStream::connect(&path).expect("connects");
        listener.accept().await.expect("accepts");
        assert_eq!(names(folder.path()), ["m.sock"]);
    }

    /// A server whose queue is full does not accept at the moment, and must not lose its socket for it.
    #[tokio::test]
    async fn a_busy_socket_is_alive() {
        let folder = folder();
        let path = folder.path().join("m.sock");
        let (_file, _listener) = SocketFile::listen(&path, 0).expect("listens");
        let _queued = StdUnixStream::connect(&path).expect("the one that fits the queue");
        assert!(matches!(SocketFile::listen(&path, 8), Err(SocketFileError::Live { .. })));
    }

    #[tokio::test]
    async fn a_file_that_is_no_longer_ours_stays() {
        let folder = folder();
        let path = folder.path().join("m.sock");
        let (file, _listener) = SocketFile::listen(&path, 8).expect("listens");
        std::fs::remove_file(&path).expect("removed");
        let _other = StdUnixListener::bind(&path).expect("bound by another");
        drop(file);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_named() {
        let folder = folder();
        let plain = folder.path().join("notes.txt");
        std::fs::write(&plain, "kept").expect("written");
        let long = folder.path().join("x".repeat(120));
        for (path, want) in [
            (plain.clone(), "is there and is no socket: remove it, or choose another path"),
            (folder.path().join("none/m.sock"), "of the socket: No such file or directory"),
            (long, "is too long for a socket: its folder may have "),
            (PathBuf::from("/"), "/ is there and is no socket"),
        ] {
            let error = SocketFile::listen(&path, 8).expect_err(want).to_string();
            assert!(error.contains(want), "{error}");
        }
        assert_eq!(std::fs::read_to_string(&plain).expect("read"), "kept");
        assert_eq!(names(folder.path()), ["notes.txt"]);
    }

    #[tokio::test]
    async fn what_a_killed_server_left_half_made_is_no_obstacle() {
        let folder = folder();
        let half = folder.path().join(format!(".mcpool-{}", std::process::id()));
        std::fs::create_dir(&half).expect("made");
        let _dead = StdUnixListener::bind(half.join("s")).expect("bound");
        let _listening = SocketFile::listen(&folder.path().join("m.sock"), 8).expect("listens");
        assert_eq!(names(folder.path()), ["m.sock"]);
    }

    #[tokio::test]
    async fn what_others_planted_is_not_followed() {
        let target = folder();
        let folder = folder();
        std::fs::write(target.path().join("s"), "kept").expect("written");
        let planted = folder.path().join(format!(".mcpool-{}", std::process::id()));
        std::os::unix::fs::symlink(target.path(), &planted).expect("planted");
        let error = SocketFile::listen(&folder.path().join("m.sock"), 8).expect_err("refused").to_string();
        assert!(error.contains("File exists"), "{error}");
        assert_eq!(names(target.path()), ["s"]);
    }

    /// However many start at once, one of them listens, and it is the one that clients reach.
    #[test]
    fn of_several_that_start_at_once_one_listens() {
        let folder = folder();
        let path = folder.path().join("m.sock");
        drop(StdUnixListener::bind(&path).expect("bound"));
        let outcomes = std::thread::scope(|scope| {
            let start = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
                let runtime = runtime.expect("a runtime");
                let _inside = runtime.enter();
                let outcome = SocketFile::listen(&path, 8);
                (runtime, outcome)
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
        });
        assert_eq!(outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).count(), 1);
        StdUnixStream::connect(&path).expect("the one is reached");
    }
}
