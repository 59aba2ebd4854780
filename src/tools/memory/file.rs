//! The file of the graph: read, locked, appended to, and written anew.
//!
//! What a kill at any moment leaves:
//! - While lines are appended: those that were written whole, and perhaps the beginning of one. Lines that were there
//!   before are not touched, and a call is answered only when its lines are on the disk.
//! - While the file is written anew: the old file, and one under a temporary name that the next writer replaces. The new
//!   one gets the name when all of it is on the disk.
//!
//! Whoever writes holds a lock on the file that has the name. A file that lost its name to a new one is not written any
//! more: the lock is taken again then. Readers need no lock: they see whole lines only.

use super::access;
use super::error::GraphError;
use rustix::fs::{FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long another process may hold the lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);
/// How long the first and the longest pause between two attempts are.
const LOCK_PAUSES: [Duration; 2] = [Duration::from_micros(200), Duration::from_millis(8)];
/// Links that a path may lead over, as for the kernel.
const MAX_LINKS: usize = 40;
/// Bytes of the temporary buffer of a file that is written anew.
const BUFFER_BYTES: usize = 64 * 1024;

/// A state of the file, as far as it shows without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Version {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, u64),
    /// Who gives a file its old time again cannot give it this one.
    changed: (i64, u64),
}

impl Version {
    #[expect(clippy::unnecessary_cast, reason = "the types differ between systems")]
    fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            bytes: stat.st_size as u64,
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as u64),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as u64),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// What was read of the file.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The default is a file that is not there.
    pub(crate) version: Version,
    /// Bytes of whole lines. What comes behind them is the beginning of a line that was never finished.
    pub(crate) whole_bytes: u64,
    /// Lines in those bytes.
    pub(crate) lines: usize,
    /// Whether the last of them ends with a newline, as it need not.
    ends_line: bool,
    /// Of all those bytes: whether a longer file still begins with them shows only when they are looked at, as another
    /// program may have written into them.
    hash: DefaultHasher,
}

impl Seen {
    /// What has been read with `text`, which comes behind what is seen.
    pub(crate) fn note(&mut self, version: Version, text: &[u8]) {
        self.version = version;
        self.whole_bytes += text.len() as u64;
        self.lines += memchr::memchr_iter(b'\n', text).count();
        self.ends_line = text.last().map_or(self.ends_line, |byte| *byte == b'\n');
        self.hash.write(text);
    }

    /// Whether the file may be the same one with more behind.
    pub(crate) fn may_be_longer(&self, now: Version) -> bool {
        let same = (self.version.device, self.version.inode) == (now.device, now.inode);
        same && self.whole_bytes > 0 && now.bytes > self.whole_bytes && now.bytes != self.version.bytes
    }

    /// Whether the last line that was read has its newline.
    pub(crate) fn ends_line(&self) -> bool {
        self.ends_line || self.whole_bytes == 0
    }
}

/// The state of the file now; the default if it is not there. Follows links, and allocates nothing for a short path.
pub(crate) fn version(path: &Path) -> Result<Version, Errno> {
    match rustix::fs::stat(path) {
        Ok(stat) => Ok(Version::of(&stat)),
        Err(Errno::NOENT) => Ok(Version::default()),
        Err(errno) => Err(errno),
    }
}

/// An open file, and its path in messages.
#[derive(Debug)]
pub(crate) struct GraphFile<'p> {
    pub(crate) path: &'p Path,
    file: File,
}

/// Text of a file, and the state that it had before it was read.
#[derive(Debug)]
pub(crate) struct FileText {
    pub(crate) version: Version,
    pub(crate) bytes: Vec<u8>,
}

impl<'p> GraphFile<'p> {
    /// Opens the file to read it; `None` if it is not there.
    pub(crate) fn open(path: &'p Path) -> Result<Option<Self>, GraphError> {
        match open(path, OFlags::RDONLY) {
            Ok(file) => Self::checked(path, file).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed(path, "read", errno)),
        }
    }

    fn checked(path: &'p Path, file: OwnedFd) -> Result<Self, GraphError> {
        let stat = rustix::fs::fstat(&file).map_err(|errno| failed(path, "read", errno))?;
        check_kind(path, &stat)?;
        Ok(Self { path, file: File::from(file) })
    }

    pub(crate) fn version(&self) -> Result<Version, GraphError> {
        let stat = rustix::fs::fstat(&self.file).map_err(|errno| failed(self.path, "read", errno))?;
        Ok(Version::of(&stat))
    }

    /// Reads what comes behind what was seen, if the file still begins with that; else `None`.
    pub(crate) fn read_more(&mut self, seen: &Seen) -> Result<Option<FileText>, GraphError> {
        let version = self.version()?;
        if !seen.may_be_longer(version) {
            return Ok(None);
        }
        if self.hash_to(seen.whole_bytes)? != Some(seen.hash.finish()) {
            return Ok(None);
        }
        let bytes = self.read_range(seen.whole_bytes, version.bytes)?;
        // Whoever goes on with the last line changes it.
        let goes_on = !seen.ends_line() && !matches!(bytes.first(), Some(b'\n' | b'\r'));
        if goes_on {
            return Ok(None);
        }
        Ok(Some(FileText { version, bytes }))
    }

    /// Reads all of it.
    pub(crate) fn read_all(&mut self) -> Result<FileText, GraphError> {
        let version = self.version()?;
        let bytes = self.read_range(0, version.bytes)?;
        Ok(FileText { version, bytes })
    }

    /// The hash of the first bytes; `None` if there are fewer.
    fn hash_to(&mut self, end: u64) -> Result<Option<u64>, GraphError> {
        let mut hash = DefaultHasher::new();
        let mut left = end;
        let hashed = self.file.seek(SeekFrom::Start(0)).and_then(|_| {
            let mut part = BufReader::with_capacity(BUFFER_BYTES, (&self.file).take(end));
            loop {
                let bytes = part.fill_buf()?;
                if bytes.is_empty() {
                    return Ok(());
                }
                hash.write(bytes);
                let read = bytes.len();
                left -= read as u64;
                part.consume(read);
            }
        });
        hashed.map_err(|source| GraphError::Io { path: self.path.into(), what: "read", source })?;
        Ok((left == 0).then(|| hash.finish()))
    }

    fn read_range(&mut self, start: u64, end: u64) -> Result<Vec<u8>, GraphError> {
        let mut bytes = Vec::new();
        bytes.reserve_exact((end - start) as usize);
        let read = self.file.seek(SeekFrom::Start(start)).and_then(|_| {
            let mut part = (&self.file).take(end - start);
            part.read_to_end(&mut bytes)
        });
        read.map_err(|source| GraphError::Io { path: self.path.into(), what: "read", source })?;
        Ok(bytes)
    }
}

/// The file, locked against other processes that write it, for as long as this lives.
#[derive(Debug)]
pub(crate) struct LockedFile<'p> {
    pub(crate) file: GraphFile<'p>,
    /// It was made for this, and is empty.
    is_new: bool,
}

impl<'p> LockedFile<'p> {
    /// Opens and locks the file at `path`, which is no link; makes it if it is not there.
    ///
    /// # Errors
    /// When it cannot be written, when another process does not let go of it, and when nobody waits any more.
    pub(crate) fn open(path: &'p Path, is_cancelled: &dyn Fn() -> bool) -> Result<Self, GraphError> {
        let deadline = Instant::now() + LOCK_PATIENCE;
        let mut pause = LOCK_PAUSES[0];
        loop {
            let (file, is_new) = open_or_make(path).map_err(|errno| failed(path, "written", errno))?;
            let file = GraphFile::checked(path, file)?;
            match rustix::fs::flock(&file.file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::NOSYS | Errno::NOTSUP | Errno::NOLCK) => {
                    tracing::warn!(path = %path.display(), "this file system has no locks: let one process write the graph");
                    return Ok(Self { file, is_new });
                }
                Err(errno) => return Err(failed(path, "locked", errno)),
                Ok(()) if has_name(&file, path) => return Ok(Self { file, is_new }),
                // The one who had the lock gave the name to another file.
                Ok(()) => continue,
            }
            if is_cancelled() {
                return Err(GraphError::Cancelled);
            }
            if Instant::now() >= deadline {
                return Err(GraphError::Locked { path: path.into(), seconds: LOCK_PATIENCE.as_secs() });
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LOCK_PAUSES[1]);
        }
    }

    /// Removes the file again, if it was made for a call that fails.
    pub(crate) fn give_up(self) {
        let is_empty = self.file.version().is_ok_and(|version| version.bytes == 0);
        if self.is_new && is_empty {
            // It is an empty graph, whether it is there or not.
            let _ = rustix::fs::unlink(self.file.path);
        }
    }

    /// Puts the beginning of a line that was never finished aside, into a file of its own, and cuts it off.
    pub(crate) fn cut_unfinished(&mut self, seen: &Seen) -> Result<(), GraphError> {
        let path = self.file.path;
        let end = self.file.version()?.bytes;
        if end <= seen.whole_bytes {
            return Ok(());
        }
        let mut unfinished = self.file.read_range(seen.whole_bytes, end)?;
        let aside = beside(path, ".unfinished");
        unfinished.push(b'\n');
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::NOFOLLOW;
        let opened = open(&aside, flags).map_err(|errno| failed(&aside, "written", errno))?;
        let mut put = GraphFile::checked(&aside, opened)?.file;
        put.write_all(&unfinished).and_then(|()| put.sync_all()).map_err(|source| GraphError::Io {
            path: aside.clone(),
            what: "written",
            source,
        })?;
        rustix::fs::ftruncate(&self.file.file, seen.whole_bytes)
            .map_err(|errno| failed(path, "written", errno))?;
        tracing::warn!(path = %path.display(), aside = %aside.display(), "the last line was never finished, and is aside now");
        Ok(())
    }

    /// Appends lines, and makes them durable. Gives what was written, with the state of the file then.
    ///
    /// # Errors
    /// The file is as it was then.
    pub(crate) fn append(&mut self, lines: &str, seen: &Seen) -> Result<FileText, GraphError> {
        let mut bytes = Vec::with_capacity(lines.len() + 1);
        if !seen.ends_line() {
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(lines.as_bytes());
        let file = &mut self.file.file;
        let written = file.write_all(&bytes).and_then(|()| file.sync_data());
        if let Err(source) = written {
            // If this fails too, it is the beginning of a line that the next call cuts off.
            let _ = rustix::fs::ftruncate(&self.file.file, seen.whole_bytes);
            return Err(GraphError::Io { path: self.file.path.into(), what: "written", source });
        }
        if self.is_new {
            make_durable(self.file.path)?;
        }
        Ok(FileText { version: self.file.version()?, bytes })
    }

    /// Replaces the file by one with those lines, which get their newlines here. Gives the state of that one.
    ///
    /// # Errors
    /// The file is as it was then.
    pub(crate) fn replace<'t>(&self, lines: impl Iterator<Item = &'t str>) -> Result<Seen, GraphError> {
        let path = self.file.path;
        let temporary = beside(path, ".mcpool-tmp");
        let written = self.write_anew(&temporary, lines);
        let replaced = written.and_then(|(mut seen, file)| {
            rustix::fs::rename(&temporary, path)?;
            // The new name counts as a change. If its time cannot be told, the next call reads the file.
            seen.version = rustix::fs::fstat(&file).map(|stat| Version::of(&stat)).unwrap_or_default();
            Ok(seen)
        });
        match replaced {
            Ok(seen) => {
                make_durable(path)?;
                Ok(seen)
            }
            Err(source) => {
                // The next writer replaces it.
                let _ = rustix::fs::unlink(&temporary);
                Err(GraphError::Io { path: path.into(), what: "written", source })
            }
        }
    }

    fn write_anew<'t>(
        &self,
        temporary: &Path,
        lines: impl Iterator<Item = &'t str>,
    ) -> std::io::Result<(Seen, File)> {
        // Only who has the lock writes a file of this name, so one that is there is of a process that was killed.
        match rustix::fs::unlink(temporary) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let file = open(temporary, flags)?;
        let mut writer = BufWriter::with_capacity(BUFFER_BYTES, File::from(file));
        let mut seen = Seen::default();
        for line in lines {
            for part in [line, "\n"] {
                writer.write_all(part.as_bytes())?;
                seen.note(Version::default(), part.as_bytes());
            }
        }
        let file = writer.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        access::copy(&self.file.file, &file)?;
        file.sync_all()?;
        Ok((seen, file))
    }
}

/// Whether a file still has the name that it was opened by.
fn has_name(file: &GraphFile<'_>, path: &Path) -> bool {
    let (Ok(own), Ok(named)) = (file.version(), version(path)) else { return false };
    (own.device, own.inode) == (named.device, named.inode)
}

fn open(path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    // A pipe in place of the file keeps nobody waiting.
    let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    loop {
        match rustix::fs::open(path, flags, Mode::from_raw_mode(0o600)) {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// Opens a file to append to it; says whether it was made.
fn open_or_make(path: &Path) -> Result<(OwnedFd, bool), Errno> {
    let flags = OFlags::RDWR | OFlags::APPEND;
    loop {
        match open(path, flags) {
            Err(Errno::NOENT) => {}
            result => return result.map(|file| (file, false)),
        }
        match open(path, flags | OFlags::CREATE | OFlags::EXCL) {
            Err(Errno::EXIST) => {}
            result => return result.map(|file| (file, true)),
        }
    }
}

/// The file that a path leads to over symbolic links, which need not be there: so the links stay when it is replaced.
pub(crate) fn behind_links(path: &Path) -> Result<PathBuf, GraphError> {
    let mut target = path.to_owned();
    for _ in 0..MAX_LINKS {
        match rustix::fs::readlink(&target, Vec::new()) {
            Ok(link) => {
                let link = PathBuf::from(OsString::from_vec(link.into_bytes()));
                target = target.parent().map_or_else(|| link.clone(), |parent| parent.join(&link));
            }
            // No link, or nothing: what is wrong with it shows when it is opened.
            Err(_) => return Ok(target),
        }
    }
    Err(GraphError::Links { path: path.into() })
}

/// A name in the same directory.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

fn check_kind(path: &Path, stat: &Stat) -> Result<(), GraphError> {
    use rustix::fs::FileType;
    let what = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => "a directory",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        _ => "a device",
    };
    Err(GraphError::NoFile { path: path.into(), what })
}

/// Makes the name of a file durable. File systems that cannot do that are left to themselves.
fn make_durable(path: &Path) -> Result<(), GraphError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced =
        open(parent, OFlags::RDONLY | OFlags::DIRECTORY).and_then(|directory| rustix::fs::fsync(&directory));
    match synced {
        Ok(()) | Err(Errno::INVAL | Errno::BADF | Errno::NOTSUP | Errno::ROFS | Errno::ACCESS) => Ok(()),
        Err(errno) => Err(failed(path, "made durable", errno)),
    }
}

pub(crate) fn failed(path: &Path, what: &'static str, errno: Errno) -> GraphError {
    match errno {
        Errno::ISDIR => GraphError::NoFile { path: path.into(), what: "a directory" },
        Errno::NXIO => GraphError::NoFile { path: path.into(), what: "a pipe or a socket" },
        errno => GraphError::Io { path: path.into(), what, source: errno.into() },
    }
}

/// Makes the directory of a file, and those above it.
pub(crate) fn make_directory(path: &Path) -> Result<(), GraphError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else { return Ok(()) };
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent);
    made.map_err(|source| GraphError::Io { path: path.into(), what: "written", source })
}
