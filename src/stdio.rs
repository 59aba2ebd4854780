//! Standard input and output as asynchronous streams.
//!
//! Pipes and sockets are polled for readiness, without a thread in between: a round trip through `tokio::io::stdin`
//! costs 25 times as much, as each read runs on a blocking thread. Files and terminals cannot be polled, so they do use
//! `tokio::io::stdin`. The flags of the descriptors are restored at the end, since other processes may share them.

use rustix::fs::{FileType, OFlags};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixStream, unix::pipe};

/// Bytes that a pipe holds, where the system allows it: four times the default moves large frames with fewer wake-ups,
/// and a few dozen servers stay below the 64 MiB that Linux grants all pipes of a user.
const PIPE_BYTES: usize = 256 * 1024;

/// Both streams, with the flags to restore.
pub(crate) struct StdioStreams {
    pub(crate) input: Input,
    pub(crate) output: Output,
    /// The last field, so that the flags are restored after the streams are dropped.
    pub(crate) flags: [RestoredFlags; 2],
}

/// A standard stream that cannot be used, and why.
#[derive(Debug)]
pub(crate) struct UnusableStream {
    pub(crate) name: &'static str,
    pub(crate) source: io::Error,
}

impl StdioStreams {
    /// Opens both streams. Must be called inside a runtime with IO.
    pub(crate) fn open() -> Result<Self, UnusableStream> {
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let unusable = |name| move |source| UnusableStream { name, source };
        let input_flags = RestoredFlags::of(stdin.as_fd()).map_err(unusable("input"))?;
        let output_flags = RestoredFlags::of(stdout.as_fd()).map_err(unusable("output"))?;
        Ok(Self {
            input: Input::open(stdin.as_fd()).map_err(unusable("input"))?,
            output: Output::open(stdout.as_fd()).map_err(unusable("output"))?,
            flags: [input_flags, output_flags],
        })
    }
}

/// Restores the status flags of a descriptor on drop: `O_NONBLOCK` belongs to the open file, which the parent shell or
/// a sibling process may share.
pub(crate) struct RestoredFlags {
    descriptor: OwnedFd,
    flags: OFlags,
}

impl RestoredFlags {
    fn of(descriptor: BorrowedFd<'_>) -> io::Result<Self> {
        let flags = rustix::fs::fcntl_getfl(descriptor)?;
        Ok(Self { descriptor: descriptor.try_clone_to_owned()?, flags })
    }
}

impl Drop for RestoredFlags {
    fn drop(&mut self) {
        // Nothing can be done about a failure here.
        let _ = rustix::fs::fcntl_setfl(&self.descriptor, self.flags);
    }
}

fn file_type(descriptor: BorrowedFd<'_>) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(descriptor)?.st_mode))
}

fn enlarge(pipe: BorrowedFd<'_>) {
    // Best effort: the default size works too.
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_BYTES);
    #[cfg(not(target_os = "linux"))]
    let _ = pipe;
}

fn socket(descriptor: BorrowedFd<'_>) -> io::Result<UnixStream> {
    let socket = StdUnixStream::from(descriptor.try_clone_to_owned()?);
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}

/// Standard input, whatever it is connected to.
pub(crate) enum Input {
    Pipe(pipe::Receiver),
    Socket(UnixStream),
    Other(tokio::io::Stdin),
}

impl Input {
    fn open(stdin: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(match file_type(stdin)? {
            FileType::Fifo => {
                enlarge(stdin);
                Self::Pipe(pipe::Receiver::from_owned_fd(stdin.try_clone_to_owned()?)?)
            }
            FileType::Socket => Self::Socket(socket(stdin)?),
            #[allow(
                clippy::disallowed_methods,
                reason = "the one place for files and terminals, which cannot be polled"
            )]
            _ => Self::Other(tokio::io::stdin()),
        })
    }
}

impl AsyncRead for Input {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_read(cx, buffer),
            Self::Socket(socket) => Pin::new(socket).poll_read(cx, buffer),
            Self::Other(stdin) => Pin::new(stdin).poll_read(cx, buffer),
        }
    }
}

/// Standard output, whatever it is connected to.
pub(crate) enum Output {
    Pipe(pipe::Sender),
    Socket(UnixStream),
    Other(tokio::io::Stdout),
}

impl Output {
    fn open(stdout: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(match file_type(stdout)? {
            FileType::Fifo => {
                enlarge(stdout);
                Self::Pipe(pipe::Sender::from_owned_fd(stdout.try_clone_to_owned()?)?)
            }
            FileType::Socket => Self::Socket(socket(stdout)?),
            _ => Self::Other(tokio::io::stdout()),
        })
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Pipe(pipe) => pipe.as_fd(),
            Self::Socket(socket) => socket.as_fd(),
            Self::Other(stdout) => stdout.as_fd(),
        }
    }
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_write(cx, bytes),
            Self::Socket(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Other(stdout) => Pin::new(stdout).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        segments: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_write_vectored(cx, segments),
            Self::Socket(socket) => Pin::new(socket).poll_write_vectored(cx, segments),
            Self::Other(stdout) => Pin::new(stdout).poll_write_vectored(cx, segments),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_flush(cx),
            Self::Socket(socket) => Pin::new(socket).poll_flush(cx),
            Self::Other(stdout) => Pin::new(stdout).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_shutdown(cx),
            Self::Socket(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Other(stdout) => Pin::new(stdout).poll_shutdown(cx),
        }
    }
}
