//! Whether a peer is still there to read what is written.
//!
//! A peer that closed its side for writing may still wait for answers (`mcpool < requests > answers`), and a read
//! tells both apart no more than it tells a peer that is gone. The system knows: nobody has the other end of the
//! pipe or socket any more.

use std::os::fd::AsFd;
use tokio::io::{AsyncRead, AsyncWrite, Join};

/// Says of a stream whether its peer is gone.
pub(crate) trait Presence<S> {
    /// Whether nobody will read what is written.
    fn is_gone(stream: &S) -> bool;
}

/// Of any stream: the peer is there for all that is known.
#[derive(Debug)]
pub(crate) struct Unwatched;

impl<S> Presence<S> for Unwatched {
    fn is_gone(_: &S) -> bool {
        false
    }
}

/// Of a stream with a descriptor: the system is asked.
#[derive(Debug)]
pub(crate) struct Watched;

impl<S: AsFd> Presence<S> for Watched {
    fn is_gone(stream: &S) -> bool {
        is_gone(stream)
    }
}

/// Of two streams: the one that is written to counts.
#[derive(Debug)]
pub(crate) struct WatchedWriter;

impl<R: AsyncRead, W: AsyncWrite + AsFd> Presence<Join<R, W>> for WatchedWriter {
    fn is_gone(streams: &Join<R, W>) -> bool {
        is_gone(streams.writer())
    }
}

/// Whether the other end of a pipe or a socket was closed altogether.
#[cfg(target_os = "linux")]
fn is_gone(descriptor: impl AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut watched = [PollFd::new(&descriptor, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    // Where it cannot be told, the peer counts as there.
    poll(&mut watched, Some(&now)).is_ok_and(|ready| ready > 0)
        && watched[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

/// Other systems report the same of a peer that only closed its side for writing.
#[cfg(not(target_os = "linux"))]
fn is_gone(_: impl AsFd) -> bool {
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
        assert!(!is_gone(&ours));
        theirs.shutdown(Shutdown::Write).expect("half closed");
        assert!(!is_gone(&ours));
        drop(theirs);
        assert!(is_gone(&ours));
        let (reader, writer) = std::io::pipe().expect("a pipe");
        assert!(!is_gone(&writer));
        drop(reader);
        assert!(is_gone(&writer));
        let file = tempfile::tempfile().expect("a file");
        assert!(!is_gone(&file));
    }
}
