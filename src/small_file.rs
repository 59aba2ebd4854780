//! Small files that somebody else writes: settings, tokens, keys, certificates.
//!
//! Owns how they are read and how a change is seen. Must not know what stands in them. Invariants: nothing that
//! stands at such a path holds the process up (a pipe without a writer, a terminal, a device without an end), and
//! none takes more memory than its bound.

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

/// Longest such file: a chain of certificates has some ten KiB, the keys of a large issuer about as much.
pub(crate) const MAX_BYTES: u64 = 1024 * 1024;

/// A file is read again within this time of its last change even if it looks the same: the clock of the file system
/// ticks every few milliseconds, and two changes within a tick show the same time.
const SETTLES_AFTER: Duration = Duration::from_millis(100);

/// Reads a plain file of at most `max_bytes`.
///
/// # Errors
/// What the system says, and when it is no plain file, or longer.
pub(crate) fn read(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    read_with_metadata(path, max_bytes).map(|(bytes, _)| bytes)
}

/// Reads a plain file of UTF-8.
///
/// # Errors
/// As for [`read`], and when it is no text.
#[cfg(feature = "cli")]
pub(crate) fn read_text(path: &Path, max_bytes: u64) -> io::Result<String> {
    text(read(path, max_bytes)?)
}

/// The text that the bytes of a file are.
///
/// # Errors
/// When they are no UTF-8.
pub(crate) fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8"))
}

/// What was read is of the file that the metadata tell of, whatever becomes of the path meanwhile.
pub(crate) fn read_with_metadata(path: &Path, max_bytes: u64) -> io::Result<(Vec<u8>, Metadata)> {
    // Without NONBLOCK, opening a pipe waits for its writer; with NOCTTY a terminal does not become ours.
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

/// What of a file changes when its content does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    /// Cannot be set back, unlike the time above.
    changed: (i64, i64),
}

/// A file as it was when it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// None where there is no file.
    identity: Option<Identity>,
    is_settled: bool,
}

impl Stamp {
    /// Looks at the file of a path. Take it before the content is read: what changes meanwhile shows later.
    pub(crate) fn of(path: &Path) -> Self {
        let Ok(metadata) = std::fs::metadata(path) else { return Self { identity: None, is_settled: true } };
        let changed = SystemTime::UNIX_EPOCH
            + Duration::new(
                u64::try_from(metadata.ctime()).unwrap_or_default(),
                metadata.ctime_nsec() as u32,
            );
        // A clock that was set back makes every file one of the future.
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

    /// Whether what was read when this was taken is what a reading would find now.
    pub(crate) fn holds(&self, now: &Self) -> bool {
        self.is_settled && self.identity == now.identity
    }

    /// Whether both are of the same content, as far as its time tells.
    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

/// What a file says, made anew when the file changes. What cannot be used changes nothing.
pub(crate) struct Followed<T> {
    path: PathBuf,
    current: ArcSwap<T>,
    /// As the file was at the last reading, whether that succeeded or not: a bad one is reported once.
    stamp: Mutex<Stamp>,
}

impl<T> Followed<T> {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// As `read` does.
    pub(crate) fn open<E>(path: &Path, read: impl FnOnce(&Path) -> Result<T, E>) -> Result<Self, E> {
        let stamp = Mutex::new(Stamp::of(path));
        let current = ArcSwap::from_pointee(read(path)?);
        Ok(Self { path: path.to_owned(), current, stamp })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the last good file said. Costs no allocation.
    pub(crate) fn current(&self) -> Guard<Arc<T>> {
        self.current.load()
    }

    /// Reads the file again if it is another one than before, or anyway if that `is_forced`.
    ///
    /// Gives what it said before where it says something new now. Costs one look at the file's times, and no
    /// allocation, as long as nothing changes.
    pub(crate) fn follow<E: Display>(
        &self,
        is_forced: bool,
        read: impl FnOnce(&Path) -> Result<T, E>,
    ) -> Option<Arc<T>>
    where
        T: PartialEq,
    {
        let now = Stamp::of(&self.path);
        // Held while the file is read: else an old content could replace a newer one.
        let mut stamp = lock(&self.stamp);
        if !is_forced && stamp.holds(&now) {
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
                    tracing::warn!(%error, %path, "a file changed and cannot be used; what it said before stays in force");
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

    /// Reads on a thread of its own: the test fails instead of hanging with it.
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
        let mut stamp = Stamp::of(&path);
        for round in 1..500_u32 {
            let text = (round % 7).to_string();
            if round % 3 == 0 {
                replace(&text);
            } else {
                write(&text);
            }
            let now = Stamp::of(&path);
            if !stamp.holds(&now) {
                read_as = std::fs::read_to_string(&path).expect("read");
                stamp = now;
            }
            assert_eq!(read_as, text, "round {round}");
        }
        std::fs::remove_file(&path).expect("removed");
        assert!(!stamp.holds(&Stamp::of(&path)));
    }
}
