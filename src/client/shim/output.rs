//! Standard output of the shim: written to as far as it takes bytes, without changing its flags.

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::{Errno, write};
use rustix::net::{SendFlags, send};
use rustix::stdio::stdout;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What any pipe that is ready to be written to takes without blocking: `PIPE_BUF` of Linux.
const SURE_BYTES: usize = 4096;

/// Standard output, whatever it is connected to.
pub(super) enum Output {
    /// A pipe opened once more: `O_NONBLOCK` belongs to the open file, which other processes may share.
    Reopened(OwnedFd),
    Socket,
    /// Writes block, so they are short and wait until the descriptor is ready.
    Blocking,
}

impl Output {
    pub(super) fn open() -> io::Result<Self> {
        let kind = FileType::from_raw_mode(fstat(stdout())?.st_mode);
        let reopened = || open("/proc/self/fd/1", OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty());
        Ok(match kind {
            FileType::Socket => Self::Socket,
            FileType::Fifo => reopened().map_or(Self::Blocking, Self::Reopened),
            _ => Self::Blocking,
        })
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        match self {
            Self::Reopened(pipe) => pipe.as_fd(),
            Self::Socket | Self::Blocking => stdout(),
        }
    }

    /// Whether it may be written to only when it is ready.
    pub(super) fn blocks(&self) -> bool {
        matches!(self, Self::Blocking)
    }

    /// Writes what it takes now, which may be nothing.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let written = match self {
            Self::Reopened(pipe) => write(pipe, bytes),
            Self::Socket => send(stdout(), bytes, SendFlags::DONTWAIT),
            Self::Blocking => write(stdout(), &bytes[..bytes.len().min(SURE_BYTES)]),
        };
        or_later(written)
    }
}

/// Nothing was written if the peer takes nothing now.
pub(super) fn or_later(written: Result<usize, Errno>) -> io::Result<usize> {
    match written {
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        written => Ok(written?),
    }
}
