//! Sends bytes to a server over TCP and tells what came back: statuses, and whether the connection ended.
//!
//! A probe follows what is sent. It is answered if the connection was kept, and then ends it; so a
//! connection that is refused gives one status and then its end, one that is kept gives one more.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A good request behind the one that is looked at.
const PROBE: &[u8] = b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/// A server that does neither answer nor close fails the test and does not hang it.
const PATIENCE: Duration = Duration::from_mins(1);

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answers {
    /// In their order, the probe's included.
    pub(crate) statuses: Vec<u16>,
    /// Whether the server ended the connection.
    pub(crate) is_closed: bool,
}

/// Sends `bytes` in pieces of `piece_bytes`, and the probe.
///
/// A server that stops reading makes writing fail; what it said before that is what counts.
pub(crate) fn exchange(server: SocketAddr, bytes: &[u8], piece_bytes: usize) -> io::Result<Answers> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let pieces = bytes.chunks(piece_bytes.max(1)).chain([PROBE]);
    for piece in pieces {
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer);
    let is_closed = match end {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    };
    Ok(Answers { statuses: statuses(&answer), is_closed })
}

/// The statuses of answers that tell their length.
fn statuses(mut bytes: &[u8]) -> Vec<u16> {
    let mut found = Vec::new();
    while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let status = head.strip_prefix("http/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        found.push(status.unwrap_or_else(|| panic!("not the head of an answer: {head}")));
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().expect("a length"));
        bytes = &bytes[end + 4..][length..];
    }
    assert!(bytes.is_empty(), "an answer ends early: {}", String::from_utf8_lossy(bytes));
    found
}
