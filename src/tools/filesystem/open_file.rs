//! Opens and reads regular files.
//!
//! Pipes, sockets and devices are refused: they could make a call wait for ever. Before each piece, the call is asked
//! whether anybody still waits for its answer.

use super::context::Context;
use super::error::{FsError, Stop, shown};
use super::sandbox::access::Sandbox;
use super::sandbox::target::Target;
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;

/// Bytes read at a time.
pub(crate) const CHUNK: usize = 16 * 1024;

/// Opens a file for reading without waiting, for example for the writer of a pipe.
pub(crate) const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK);

/// What the system reports of a file that changes when it is written to.
#[derive(Debug)]
pub(crate) struct Stamp(Stat);

impl Stamp {
    fn is(&self, now: &Stat) -> bool {
        let Self(then) = self;
        then.st_size == now.st_size
            && (then.st_mtime, then.st_mtime_nsec) == (now.st_mtime, now.st_mtime_nsec)
            && (then.st_ctime, then.st_ctime_nsec) == (now.st_ctime, now.st_ctime_nsec)
    }
}

/// An open regular file.
#[derive(Debug)]
pub(crate) struct OpenFile {
    handle: OwnedFd,
    /// Its length when it was opened.
    pub(crate) bytes: u64,
}

impl OpenFile {
    /// Opens the file that a request names. Errors name the call `verb`.
    ///
    /// # Errors
    /// In the words of the reference.
    pub(crate) fn open(sandbox: &Sandbox, request: &str, verb: &'static str) -> Result<Self, FsError> {
        let handle = match sandbox.open(request, READ)? {
            Ok(handle) => handle,
            Err(_) => sandbox.open_to_read(request, READ, verb)?.0,
        };
        Self::regular(handle, || Ok(shown(sandbox.resolve_to_read(request)?.path())))
    }

    /// Opens the file that a request names, and tells where it is.
    pub(crate) fn open_with_target(sandbox: &Sandbox, request: &str) -> Result<(Self, Target), FsError> {
        let (handle, target) = sandbox.open_to_read(request, READ, "open")?;
        let file = Self::regular(handle, || Ok(shown(target.path())))?;
        Ok((file, target))
    }

    /// Opens the file that a request was resolved to.
    pub(crate) fn at(target: &Target) -> Result<Self, FsError> {
        let handle = target.open(READ).map_err(|errno| FsError::os(errno, "open", target.path()))?;
        Self::regular(handle, || Ok(shown(target.path())))
    }

    /// Takes a handle if it is that of a regular file. Errors name `path`.
    pub(crate) fn regular(
        handle: OwnedFd,
        path: impl FnOnce() -> Result<String, FsError>,
    ) -> Result<Self, FsError> {
        let stat = rustix::fs::fstat(&handle).map_err(FsError::read)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(Self { handle, bytes: u64::try_from(stat.st_size).unwrap_or(0) }),
            FileType::Directory => Err(FsError::read(Errno::ISDIR)),
            kind => Err(FsError::NotRegular { path: path()?, kind: kind_name(kind) }),
        }
    }

    /// Reads from the current position; the empty slice at the end.
    fn read<'b>(&self, buffer: &'b mut [u8; CHUNK]) -> Result<&'b [u8], FsError> {
        loop {
            match rustix::io::read(&self.handle, &mut buffer[..]) {
                Ok(len) => return Ok(&buffer[..len]),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(FsError::read(errno)),
            }
        }
    }

    /// What tells whether it is written to from now on.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        rustix::fs::fstat(&self.handle).ok().map(Stamp)
    }

    /// Whether it may have been written to since; without a doubt only where it was not.
    pub(crate) fn may_have_changed(&self, since: Option<&Stamp>) -> bool {
        let now = rustix::fs::fstat(&self.handle);
        !since.is_some_and(|since| now.is_ok_and(|now| since.is(&now)))
    }

    /// Reads up to `len` bytes at `offset`.
    pub(crate) fn read_at<'b>(&self, buffer: &'b mut [u8], offset: u64) -> Result<&'b [u8], FsError> {
        loop {
            match rustix::io::pread(&self.handle, &mut buffer[..], offset) {
                Ok(len) => return Ok(&buffer[..len]),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(FsError::read(errno)),
            }
        }
    }

    /// Calls `each` with the whole file, piece by piece, until it returns `false`.
    ///
    /// # Errors
    /// Those of reading; when nobody waits for the answer any more; when the file grew too long to read at once.
    pub(crate) fn each_chunk(
        &self,
        context: &Context<'_>,
        mut each: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), Stop> {
        let mut buffer = [0; CHUNK];
        let mut seen_bytes = 0;
        loop {
            context.cancellation.check()?;
            let chunk = self.read(&mut buffer)?;
            seen_bytes += chunk.len() as u64;
            context.check_inline(seen_bytes)?;
            // It left room in the buffer, and ends where the file ended when it was opened.
            let is_end = chunk.len() < CHUNK && seen_bytes == self.bytes;
            if chunk.is_empty() || !each(chunk) || is_end {
                return Ok(());
            }
        }
    }

    /// Reads the whole file, up to a little more than `limit_bytes`.
    pub(crate) fn read_all(&self, limit_bytes: usize) -> Result<Vec<u8>, FsError> {
        let mut bytes = Vec::with_capacity((self.bytes as usize).min(limit_bytes));
        let mut buffer = [0; CHUNK];
        while bytes.len() <= limit_bytes {
            let chunk = self.read(&mut buffer)?;
            if chunk.is_empty() {
                break;
            }
            bytes.extend_from_slice(chunk);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
impl OpenFile {
    /// A file of a tebibyte without contents.
    pub(crate) fn sparse() -> Self {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(1 << 40).expect("a sparse file");
        Self::regular(file.into(), || Ok(String::new())).expect("a regular file")
    }
}

/// The name of a kind of file, for errors.
pub(crate) fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "named pipe (FIFO)",
        FileType::Socket => "socket",
        FileType::CharacterDevice => "character device",
        FileType::BlockDevice => "block device",
        FileType::Directory => "directory",
        _ => "special file",
    }
}
