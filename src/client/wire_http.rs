//! An HTTP/1.1 client: a connection that sends one request at a time and reads the messages of its answer.

use super::tls::Encryption;
use memchr::memmem;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest head of an answer.
const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 64;
const READ_BYTES: usize = 4 * 1024;

/// A request, ready to be sent.
pub(super) struct Request {
    pub(super) verb: &'static str,
    pub(super) host: String,
    pub(super) path: String,
    /// Header lines, each with its line end.
    pub(super) headers: String,
    /// The session that the request belongs to.
    pub(super) session: Option<String>,
    pub(super) body: Vec<u8>,
}

/// The head of an answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) session: Option<String>,
    is_stream: bool,
    framing: Framing,
}

#[derive(Clone, Copy)]
enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// What carries the bytes of a connection, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection.
pub(super) struct HttpConnection {
    stream: Box<dyn Stream>,
    /// Bytes that were read and not used yet.
    input: Vec<u8>,
    /// Whether no byte of an answer came since the last request was sent.
    is_untouched: bool,
    is_whole: bool,
    keeps_alive: bool,
}

impl HttpConnection {
    /// Connects to `address`, a host with its port.
    pub(super) async fn open(address: &str, encryption: Option<&Encryption>) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match encryption {
            Some(encryption) => Box::new(encryption.over(stream).await?),
            None => Box::new(stream),
        };
        Ok(Self { stream, input: Vec::new(), is_untouched: true, is_whole: true, keeps_alive: true })
    }

    /// Sends a request and reads the head of its answer.
    pub(super) async fn exchange(&mut self, request: &Request) -> io::Result<Answer> {
        self.is_untouched = true;
        self.is_whole = false;
        let Request { verb, host, path, headers, body, .. } = request;
        let length = body.len();
        let head =
            format!("{verb} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\n\r\n");
        self.stream.write_all(&[head.as_bytes(), body].concat()).await?;
        self.stream.flush().await?;
        loop {
            if let Some(answer) = self.head()? {
                // A 1xx status only announces the answer.
                if answer.status >= 200 {
                    return Ok(answer);
                }
                continue;
            }
            self.fill().await?;
        }
    }

    fn head(&mut self) -> io::Result<Option<Answer>> {
        let broken = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(&self.input).map_err(|error| broken(error.to_string()))?;
        let httparse::Status::Complete(bytes) = parsed else {
            if self.input.len() > MAX_HEAD_BYTES {
                return Err(broken("the head of the answer is too long".to_owned()));
            }
            return Ok(None);
        };
        let find = |name: &str| {
            let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(header.value).ok().map(str::trim)
        };
        let has = |name: &str, word: &str| {
            find(name).is_some_and(|value| value.to_ascii_lowercase().contains(word))
        };
        let status = response.code.unwrap_or_default();
        let framing = if status == 204 || status < 200 {
            Framing::Length(0)
        } else if has("transfer-encoding", "chunked") {
            Framing::Chunked
        } else {
            match find("content-length").map(str::parse) {
                Some(Ok(length)) => Framing::Length(length),
                Some(Err(_)) => return Err(broken("the length of the answer is no number".to_owned())),
                None => Framing::UntilClose,
            }
        };
        let answer = Answer {
            status,
            session: find("mcp-session-id").map(str::to_owned),
            is_stream: has("content-type", "text/event-stream"),
            framing,
        };
        self.keeps_alive = !has("connection", "close") && !matches!(framing, Framing::UntilClose);
        self.input.drain(..bytes);
        Ok(Some(answer))
    }

    /// Reads more bytes; the end of the stream is an error.
    async fn fill(&mut self) -> io::Result<()> {
        self.input.reserve(READ_BYTES);
        if self.stream.read_buf(&mut self.input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.is_untouched = false;
        Ok(())
    }

    /// Tells whether no byte of an answer to the last request has come.
    pub(super) fn is_untouched(&self) -> bool {
        self.is_untouched
    }

    /// Tells whether the connection can carry another request.
    pub(super) fn is_reusable(&self) -> bool {
        self.keeps_alive && self.is_whole && self.input.is_empty()
    }
}

/// The messages of an answer, in the order in which they arrive.
pub(super) struct Body {
    is_stream: bool,
    framing: Framing,
    /// Bytes without their framing that are not a whole message yet.
    text: Vec<u8>,
    max_bytes: usize,
    is_over: bool,
}

impl Body {
    pub(super) fn of(answer: &Answer, max_bytes: usize) -> Self {
        Self {
            is_stream: answer.is_stream,
            framing: answer.framing,
            text: Vec::new(),
            max_bytes,
            is_over: false,
        }
    }

    /// The next message; `None` when there is none.
    pub(super) async fn next(&mut self, connection: &mut HttpConnection) -> io::Result<Option<Vec<u8>>> {
        loop {
            if self.is_stream
                && let Some(message) = self.event()
            {
                return Ok(Some(message));
            }
            if self.is_over {
                connection.is_whole = true;
                let rest = std::mem::take(&mut self.text);
                let is_message = !self.is_stream && rest.iter().any(|byte| !byte.is_ascii_whitespace());
                // A message is one line, whatever white space the server puts between its parts.
                return Ok(is_message.then(|| one_line(rest)));
            }
            if self.text.len() > self.max_bytes {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is too long"));
            }
            self.read(connection).await?;
        }
    }

    /// Reads the next part and removes its framing.
    async fn read(&mut self, connection: &mut HttpConnection) -> io::Result<()> {
        match self.framing {
            Framing::Length(0) => self.is_over = true,
            Framing::Length(left) => {
                if connection.input.is_empty() {
                    connection.fill().await?;
                }
                let taken = connection.input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                self.text.extend(connection.input.drain(..taken));
                self.framing = Framing::Length(left - taken as u64);
            }
            Framing::UntilClose => match connection.fill().await {
                Ok(()) => self.text.append(&mut connection.input),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.is_over = true,
                Err(error) => return Err(error),
            },
            Framing::Chunked => {
                let broken = || io::Error::new(io::ErrorKind::InvalidData, "a chunk is malformed");
                let (digits, size) =
                    match httparse::parse_chunk_size(&connection.input).map_err(|_| broken())? {
                        httparse::Status::Complete(found) => found,
                        httparse::Status::Partial => return connection.fill().await,
                    };
                let size =
                    usize::try_from(size).ok().filter(|size| *size <= self.max_bytes).ok_or_else(broken)?;
                // With the line end behind it; the server has no trailers.
                let end = digits + size + 2;
                if connection.input.len() < end {
                    return connection.fill().await;
                }
                self.text.extend_from_slice(&connection.input[digits..digits + size]);
                connection.input.drain(..end);
                self.is_over = size == 0;
            }
        }
        Ok(())
    }

    /// The data of the next event that has any.
    fn event(&mut self) -> Option<Vec<u8>> {
        loop {
            let end = memmem::find(&self.text, b"\n\n").map(|at| (at, 2));
            let carriage = memmem::find(&self.text, b"\r\n\r\n").map(|at| (at, 4));
            let (at, separator) = [end, carriage].into_iter().flatten().min()?;
            let event: Vec<u8> = self.text.drain(..at + separator).collect();
            let mut data: Vec<u8> = Vec::new();
            for line in event.split(|byte| *byte == b'\n') {
                if let Some(value) = line.strip_prefix(b"data:") {
                    data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
                }
            }
            if !data.is_empty() {
                return Some(one_line(data));
            }
        }
    }
}

/// Line ends in JSON are white space between its parts.
fn one_line(mut json: Vec<u8>) -> Vec<u8> {
    for byte in &mut json {
        if matches!(*byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    json
}
