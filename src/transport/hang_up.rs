//! Detects that a peer has hung up: nobody is left to read what is written.
//!
//! A peer that closed its side for writing may still wait for answers (`mcpool < requests > answers`), and a read
//! ends in the same way for both. The system tells them apart: after a hang-up, no process has the other end of the
//! pipe or socket open. Over TCP it learns of that by the reset with which such a peer answers what is written to it.

use std::os::fd::AsFd;
use tokio::io::{AsyncRead, AsyncWrite, Join};

/// Whether the system tells a peer that closed its side for writing from one that closed altogether.
pub(crate) const TELLS_HALVES: bool = cfg!(target_os = "linux");

/// Detects the hang-up of the peer of a stream.
pub(crate) trait HangUp<S> {
    /// Whether nobody will read what is written.
    fn has_hung_up(stream: &S) -> bool;
}

/// For any stream: a hang-up is not detected.
#[derive(Debug)]
pub(crate) struct Undetected;

impl<S> HangUp<S> for Undetected {
    fn has_hung_up(_: &S) -> bool {
        false
    }
}

/// For a stream with a descriptor: the system tells.
#[derive(Debug)]
pub(crate) struct SocketHangUp;

impl<S: AsFd> HangUp<S> for SocketHangUp {
    fn has_hung_up(stream: &S) -> bool {
        has_hung_up(stream)
    }
}

/// For two streams: the one that is written to counts.
#[derive(Debug)]
pub(crate) struct WriterHangUp;

impl<R: AsyncRead, W: AsyncWrite + AsFd> HangUp<Join<R, W>> for WriterHangUp {
    fn has_hung_up(streams: &Join<R, W>) -> bool {
        has_hung_up(streams.writer())
    }
}

/// Whether the other end of a pipe or a socket was closed altogether.
#[cfg(target_os = "linux")]
fn has_hung_up(descriptor: impl AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut watched = [PollFd::new(&descriptor, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    // An error tells nothing: the peer counts as there.
    poll(&mut watched, Some(&now)).is_ok_and(|ready| ready > 0)
        && watched[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

/// Other systems report the same of a peer that only closed its side for writing.
#[cfg(not(target_os = "linux"))]
fn has_hung_up(_: impl AsFd) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;

    #[test]
    fn half_a_close_is_no_close() {
        let (ours, theirs) = UnixStream::pair().expect("sockets");
        assert!(!has_hung_up(&ours));
        theirs.shutdown(Shutdown::Write).expect("half closed");
        assert!(!has_hung_up(&ours));
        drop(theirs);
        assert!(has_hung_up(&ours));
        let (reader, writer) = std::io::pipe().expect("a pipe");
        assert!(!has_hung_up(&writer));
        drop(reader);
        assert!(has_hung_up(&writer));
        let file = tempfile::tempfile().expect("a file");
        assert!(!has_hung_up(&file));
    }
}
