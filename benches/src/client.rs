//! A client that blocks, for requests that are given as bytes and timed or counted one exchange at a time.
//!
//! Over lines it sends a request as it is, over HTTP it puts a head before it. It allocates nothing once it knows how
//! long an answer is, so that what a server allocates can be told. Load is made by `mcpool::load`, not by this.

use crate::in_process::HANDSHAKE;
use crate::requests::NamedRequest;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

const JSON: &str = "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n";
const LEGACY: &str = "MCP-Protocol-Version: 2025-11-25\r\n";
/// The head lines of a call of `echo` in the modern era, the only request of that era that is asked over HTTP here.
const MODERN: &str = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\n";

/// What a client speaks over.
#[derive(Debug)]
pub enum Socket {
    /// The client's ends of two pipes.
    Pipes {
        /// Where requests go.
        requests: io::PipeWriter,
        /// Where answers come from.
        answers: io::PipeReader,
    },
    /// Newline-framed messages over a Unix socket.
    Unix(UnixStream),
    /// HTTP.
    Tcp(TcpStream),
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Pipes { answers, .. } => answers.read(buffer),
            Self::Unix(socket) => socket.read(buffer),
            Self::Tcp(socket) => socket.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Pipes { requests, .. } => requests.write(bytes),
            Self::Unix(socket) => socket.write(bytes),
            Self::Tcp(socket) => socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The client.
#[derive(Debug)]
pub struct Client {
    socket: Socket,
    /// The head lines that name the session, over HTTP.
    session: Option<String>,
}

/// A request as its client sends it, once its answer is known.
#[derive(Debug)]
pub struct Prepared {
    bytes: Vec<u8>,
    answer: Vec<u8>,
}

impl Prepared {
    /// Bytes of the request, with all that its way puts around it.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl Client {
    /// Opens a connection of the legacy era, over HTTP a session.
    ///
    /// # Errors
    /// When the connection breaks or the server opens no session.
    pub fn shake_hands(socket: Socket) -> io::Result<Self> {
        let is_http = matches!(socket, Socket::Tcp(_));
        let mut client = Self { socket, session: is_http.then(String::new) };
        if is_http {
            client.open_session()?;
        } else {
            client.socket.write_all(HANDSHAKE.as_bytes())?;
            client.read_answer()?;
        }
        Ok(client)
    }

    fn open_session(&mut self) -> io::Result<()> {
        let (initialize, initialized) = HANDSHAKE.trim_end().split_once('\n').unwrap_or_default();
        self.socket.write_all(&post("", initialize))?;
        let answer = self.read_answer()?;
        let text = String::from_utf8_lossy(&answer);
        let is_session = |line: &&str| line.to_ascii_lowercase().starts_with("mcp-session-id:");
        let Some(session) = text.lines().find(is_session) else {
            let message = format!("`initialize` opened no session: {text:.300}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        };
        let session = format!("{LEGACY}{session}\r\n");
        self.socket.write_all(&post(&session, initialized))?;
        self.session = Some(session);
        self.read_answer().map(drop)
    }

    /// Sends a request once, so many times in a row, and keeps what is answered.
    ///
    /// # Errors
    /// When the connection breaks or the answer differs.
    pub fn prepare(&mut self, request: &NamedRequest, at_once: usize) -> io::Result<Prepared> {
        let text = String::from_utf8_lossy(&request.line);
        let bytes = match &self.session {
            None => request.line.to_vec(),
            Some(_) if request.is_modern() => post(MODERN, text.trim_end()),
            Some(session) => post(session, text.trim_end()),
        };
        self.socket.write_all(&bytes)?;
        let answer = self.read_answer()?;
        if !String::from_utf8_lossy(&answer).contains(&request.expected) {
            let message = format!("{}: {:.300}", request.name, String::from_utf8_lossy(&answer));
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(Prepared { bytes: bytes.repeat(at_once), answer: answer.repeat(at_once) })
    }

    /// Reads one answer, however long it is.
    fn read_answer(&mut self) -> io::Result<Vec<u8>> {
        let mut answer = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        while !self.is_whole(&answer) {
            match self.socket.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => answer.extend_from_slice(&buffer[..read]),
            }
        }
        Ok(answer)
    }

    fn is_whole(&self, answer: &[u8]) -> bool {
        if self.session.is_none() {
            return answer.ends_with(b"\n");
        }
        let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
        let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
        let length =
            text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        // No JSON has the line ends of the last chunk.
        length.map_or_else(|| answer.ends_with(b"\r\n0\r\n\r\n"), |length| answer.len() >= head + 4 + length)
    }

    /// Sends a request and reads its answer into `buffer`; gives the bytes of the answer.
    ///
    /// # Errors
    /// When the connection breaks.
    ///
    /// # Panics
    /// When the answer ends otherwise than it did at first.
    pub fn exchange(&mut self, request: &Prepared, buffer: &mut Vec<u8>) -> io::Result<usize> {
        buffer.resize(request.answer.len(), 0);
        self.socket.write_all(&request.bytes)?;
        self.socket.read_exact(buffer)?;
        let tail = request.answer.len().saturating_sub(64);
        assert_eq!(buffer[tail..], request.answer[tail..], "all answers are alike");
        Ok(buffer.len())
    }
}

/// A POST with these head lines.
fn post(lines: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n{JSON}{lines}Content-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}
