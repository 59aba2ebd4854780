//! The signals that end a program, as a descriptor that a loop around `poll` waits for.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use std::io;
use std::os::unix::net::UnixStream;

/// Becomes readable when the process gets SIGTERM or SIGINT, which end it no more by themselves.
///
/// # Errors
/// When the system has no descriptors left.
pub fn termination() -> io::Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    pipe::register(SIGTERM, theirs.try_clone()?)?;
    pipe::register(SIGINT, theirs)?;
    Ok(ours)
}
