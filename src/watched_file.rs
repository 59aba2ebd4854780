//! Reads the files that others write for this process (settings, tokens, keys, certificates), and notices their
//! changes.
//!
//! Does not know what the files contain. Invariants: no file at such a path blocks the process (a pipe without a
//! writer, a terminal, a device without an end), and none takes more memory than its bound.

use crate::lock::lock;
use arc_swap::{ArcSwap, Guard};
use rustix::fs::{Mode, OFlags};
use std::fmt::Display;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// Bytes of the longest such file: a chain of certificates has some ten KiB, the keys of a large issuer about as much.
pub(crate) const MAX_BYTES: u64 = 1024 * 1024;

/// A file is read again within this time of its last change even if it looks the same: the clock of the file system
/// ticks every few milliseconds, and two changes within a tick show the same time.
const SETTLES_AFTER: Duration = Duration::from_millis(100);

/// Reads a plain file of at most `max_bytes`.
///
/// # Errors
/// Those of the system; and when the file is no plain file, or longer.
pub(crate) fn read(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    read_with_metadata(path, max_bytes).map(|(bytes, _)| bytes)
}

/// Reads a plain file of UTF-8.
///
/// # Errors
/// As for [`read`], and when the file is no UTF-8.
#[cfg(feature = "cli")]
pub(crate) fn read_text(path: &Path, max_bytes: u64) -> io::Result<String> {
    text(read(path, max_bytes)?)
}

/// Takes the bytes of a file for text.
///
/// # Errors
/// When they are no UTF-8.
pub(crate) fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8"))
}

/// Reads a plain file with its metadata. Both are of the same file, even if the path is replaced meanwhile.
pub(crate) fn read_with_metadata(path: &Path, max_bytes: u64) -> io::Result<(Vec<u8>, Metadata)> {
    // Without NONBLOCK, opening a pipe waits for its writer; with NOCTTY, a terminal does not become that of this
    // process.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    if !metadata.is_file() {
        return Err(invalid("it is no plain file, and a pipe or a device may never end"));
    }
    let too_long = || {
        let message = format!("it is longer than {max_bytes} bytes");
        io::Error::new(io::ErrorKind::FileTooLarge, message)
    };
    if metadata.len() > max_bytes {
        return Err(too_long());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default() + 1);
    // A file may grow while it is read, and those of `/proc` say that they are empty.
    file.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(too_long());
    }
    Ok((bytes, metadata))
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// The metadata of a file that change when its content does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    /// Unlike the time above, no program can set it back.
    changed: (i64, i64),
}

/// The state of a file at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileStamp {
    /// `None` where there is no file.
    identity: Option<Identity>,
    is_settled: bool,
}

impl FileStamp {
    /// Looks at the file of a path. Take the stamp before reading the content: then a change during the reading is
    /// noticed later.
    pub(crate) fn of(path: &Path) -> Self {
        let Ok(metadata) = std::fs::metadata(path) else { return Self { identity: None, is_settled: true } };
        let changed = SystemTime::UNIX_EPOCH
            + Duration::new(
                u64::try_from(metadata.ctime()).unwrap_or_default(),
                metadata.ctime_nsec() as u32,
            );
        // If the clock was set back, every file seems to be from the future.
        let is_settled = SystemTime::now().duration_since(changed).is_ok_and(|age| age > SETTLES_AFTER);
        let identity = Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        };
        Self { identity: Some(identity), is_settled }
    }

    /// Tells whether the content that was read at this stamp is still that of the file.
    pub(crate) fn is_current(&self, now: &Self) -> bool {
        self.is_settled && self.identity == now.identity
    }

    /// Tells whether both stamps are of the same content, as far as its time shows.
    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

/// The parsed content of a file, which is read again when the file changes. A content that cannot be used changes
/// nothing.
pub(crate) struct WatchedFile<T> {
    path: PathBuf,
    current: ArcSwap<T>,
    /// The stamp of the last reading, whether it succeeded or not: a bad file is reported once.
    stamp: Mutex<FileStamp>,
}

impl<T> WatchedFile<T> {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// Those of `read`.
    pub(crate) fn open<E>(path: &Path, read: impl FnOnce(&Path) -> Result<T, E>) -> Result<Self, E> {
        let stamp = Mutex::new(FileStamp::of(path));
        let current = ArcSwap::from_pointee(read(path)?);
        Ok(Self { path: path.to_owned(), current, stamp })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The content of the last good file. Does not allocate.
    pub(crate) fn current(&self) -> Guard<Arc<T>> {
        self.current.load()
    }

    /// Reads the file again if it changed, or in any case if `is_forced`.
    ///
    /// Gives the old content if there is a new one. As long as nothing changes, this costs one system call and does not
    /// allocate.
    pub(crate) fn reload<E: Display>(
        &self,
        is_forced: bool,
        read: impl FnOnce(&Path) -> Result<T, E>,
    ) -> Option<Arc<T>>
    where
        T: PartialEq,
    {
        let now = FileStamp::of(&self.path);
        // The lock is held while the file is read: otherwise an old content could replace a newer one.
        let mut stamp = lock(&self.stamp);
        if !is_forced && stamp.is_current(&now) {
            return None;
        }
        let is_known = stamp.is_same_file(&now) && !is_forced;
        *stamp = now;
        match read(&self.path) {
            Ok(read) if read == **self.current.load() => None,
            Ok(read) => Some(self.current.swap(Arc::new(read))),
            Err(error) => {
                if !is_known {
                    let path = self.path.display();
                    tracing::warn!(%error, %path, "a file changed and cannot be used; its former content stays in force");
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, mknodat};
    use std::sync::mpsc::sync_channel;

    /// Reads on a separate thread, so that the test fails instead of hanging.
    fn read_in_time(path: &Path) -> io::Result<Vec<u8>> {
        let (told, done) = sync_channel(1);
        let path = path.to_owned();
        std::thread::spawn(move || told.send(read(&path, 10)));
        done.recv_timeout(Duration::from_mins(1)).expect("reading ends")
    }

    #[test]
    fn nothing_but_a_short_plain_file_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("short"), "0123456789").expect("written");
        std::fs::write(path("long"), "0123456789a").expect("written");
        File::create(path("huge")).and_then(|file| file.set_len(1 << 40)).expect("a sparse file");
        mknodat(CWD, path("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).expect("bound");
        std::os::unix::fs::symlink(path("short"), path("link")).expect("linked");
        std::os::unix::fs::symlink(path("pipe"), path("link-to-pipe")).expect("linked");
        std::os::unix::fs::symlink(path("loop"), path("loop")).expect("linked");
        for (name, want) in [
            ("short", Ok(())),
            ("link", Ok(())),
            ("long", Err("it is longer than 10 bytes")),
            ("huge", Err("it is longer than 10 bytes")),
            ("pipe", Err("it is no plain file")),
            ("link-to-pipe", Err("it is no plain file")),
            ("socket", Err("No such device")),
            ("loop", Err("symbolic link")),
            (".", Err("directory")),
            ("none", Err("No such file")),
            ("/dev/zero", Err("it is no plain file")),
            ("/dev/tty", Err("")),
            ("/proc/self/maps", Err("it is longer than 10 bytes")),
        ] {
            match (read_in_time(&path(name)), want) {
                (Ok(bytes), Ok(())) => assert_eq!(bytes, b"0123456789"),
                (Err(error), Err(want)) => assert!(error.to_string().contains(want), "{name}: {error}"),
                (found, _) => panic!("{name}: {found:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_text_is_said_to_be_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("latin");
        std::fs::write(&path, b"caf\xe9").expect("written");
        assert_eq!(text(read(&path, 10).expect("read")).expect_err("refused").to_string(), "it is not UTF-8");
    }

    /// However a file is changed and however fast, a stamp that holds was taken after the change.
    #[test]
    fn no_change_goes_unseen() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, next) = (folder.path().join("f"), folder.path().join("next"));
        let write = |text: &str| std::fs::write(&path, text).expect("written");
        let replace = |text: &str| {
            std::fs::write(&next, text).and_then(|()| std::fs::rename(&next, &path)).expect("replaced");
        };
        write("0");
        let mut read_as = "0".to_owned();
        let mut stamp = FileStamp::of(&path);
        for round in 1..500_u32 {
            let text = (round % 7).to_string();
            if round % 3 == 0 {
                replace(&text);
            } else {
                write(&text);
            }
            let now = FileStamp::of(&path);
            if !stamp.is_current(&now) {
                read_as = std::fs::read_to_string(&path).expect("read");
                stamp = now;
            }
            assert_eq!(read_as, text, "round {round}");
        }
        std::fs::remove_file(&path).expect("removed");
        assert!(!stamp.is_current(&FileStamp::of(&path)));
    }
}
