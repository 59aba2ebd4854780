//! A client that does all that [`Action`] lists, over kept connections and sessions, and checks each answer.
//!
//! Lives in one thread. Knows what must come of each action, not when to do it. Invariant: an action gives
//! `Ok` only if all that it should have been answered came and was right.

use crate::calls::{self, Call, Era, PATH, SMALL_BYTES};
use crate::http_client::{AnswerReader, Expected, Verdict, head};
use crate::mix::Action;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

/// Connections that are kept for later actions.
const MAX_IDLE: usize = 64;
/// Sessions that go on.
const SESSIONS: usize = 32;
/// Bytes of each answer that are kept to be checked.
const KEEP_BYTES: usize = 64 * 1024;
const LARGE_BYTES: usize = 1024 * 1024;
/// More than the limit `max_frame_bytes` has been set to by default.
const OVERSIZED_BYTES: usize = 11 * 1024 * 1024;
/// How long those who stall do so.
const STALL: Duration = Duration::from_secs(8);
/// How long the stream of a session stays open.
const STREAM: Duration = Duration::from_secs(2);
/// The receive buffer of those who stall: what the system would take for them hides what the server holds.
const STALLED_RECEIVE_BYTES: u32 = 4096;

/// Why an action is not as it should be.
#[derive(Debug, Error)]
pub enum Fault {
    /// An answer that is not the right one.
    #[error("{0}")]
    Wrong(String),
    /// The server has too much to do.
    #[error("refused with {0}")]
    Refused(u16),
    /// No answer where one is due.
    #[error("no answer: {0}")]
    Broken(#[from] io::Error),
}

/// The client.
#[derive(Debug)]
pub struct SoakClient {
    address: SocketAddr,
    read_file: Call,
    echo: Vec<u8>,
    large: Vec<u8>,
    idle: RefCell<Vec<Connection>>,
    sessions: RefCell<Vec<Rc<str>>>,
    turn: Cell<usize>,
    reconnected: Cell<u64>,
}

impl SoakClient {
    /// A client of the server at `address`, which has the tools of `mcpool_echo` and a file to read.
    pub fn new(address: SocketAddr, read_file: Call) -> Self {
        Self {
            address,
            read_file,
            echo: Call::Echo(SMALL_BYTES).modern(),
            large: Call::Length(LARGE_BYTES).modern(),
            idle: RefCell::default(),
            sessions: RefCell::default(),
            turn: Cell::default(),
            reconnected: Cell::default(),
        }
    }

    /// How often a kept connection had been closed by the server when it was to be used again.
    pub fn reconnected(&self) -> u64 {
        self.reconnected.get()
    }

    /// Does one thing.
    ///
    /// # Errors
    /// When what came of it is not what should have.
    pub async fn act(&self, action: Action) -> Result<(), Fault> {
        match action {
            Action::Echo => self.ask(&self.echo, &Call::Echo(SMALL_BYTES).expected()).await,
            Action::List => self.call(&Call::ListTools).await,
            Action::Discover => self.call(&Call::Discover).await,
            Action::ReadFile => self.call(&self.read_file).await,
            Action::LargeBody => self.ask(&self.large, &Call::Length(LARGE_BYTES).expected()).await,
            Action::SessionEcho => self.call_in_session(&Call::Echo(SMALL_BYTES)).await,
            Action::SessionPing => self.call_in_session(&Call::Ping).await,
            Action::Progress => self.progress().await,
            Action::ProgressLeft => self.progress_left().await,
            Action::SessionEnded => self.session_ended().await,
            Action::SessionForgotten => self.open_session().await.map(drop),
            Action::SessionStream => self.session_stream().await,
            Action::OneCall => {
                self.connect().await?.ask(&self.echo, &Call::Echo(SMALL_BYTES).expected()).await
            }
            Action::HalfClosed => self.half_closed().await,
            Action::CutHead => self.cut(&self.echo[..40]).await,
            Action::CutBody => self.cut(&self.echo[..self.echo.len() - 40]).await,
            Action::ResetBody => self.reset().await,
            Action::Malformed => {
                let request = calls::modern("tools/list", None, r#"{"jsonrpc":"2.0","id":7,"method":"#);
                self.ask(&request, &Expected::status(400, "-32700")).await
            }
            Action::Oversized => self.oversized().await,
            Action::UnknownMethod => {
                let body = Call::ListTools.body(Era::Modern).replace("tools/list", "tools/none");
                let request = calls::modern("tools/none", None, &body);
                self.ask(&request, &Expected::status(404, "-32601")).await
            }
            Action::UnknownTool => {
                let body = Call::Echo(SMALL_BYTES).body(Era::Modern).replace("\"echo\"", "\"none\"");
                let request = calls::modern("tools/call", Some("none"), &body);
                self.ask(&request, &Expected::ok("-32602")).await
            }
            Action::Change => {
                let request = calls::with_progress("change", "");
                self.ask(&request, &Expected::ok("changed")).await
            }
            Action::StalledListener => self.stalled_listener().await,
            Action::StalledAnswer => self.stalled_answer().await,
        }
    }

    async fn call(&self, call: &Call) -> Result<(), Fault> {
        self.ask(&call.modern(), &call.expected()).await
    }

    async fn call_in_session(&self, call: &Call) -> Result<(), Fault> {
        let session = self.session().await?;
        self.ask(&call.legacy(&session), &call.expected()).await
    }

    /// Asks on a kept connection, or on a new one where the server has closed the kept one meanwhile.
    async fn ask(&self, request: &[u8], expected: &Expected) -> Result<(), Fault> {
        let kept = self.idle.borrow_mut().pop();
        if let Some(mut connection) = kept {
            match connection.ask(request, expected).await {
                Err(Fault::Broken(_)) if !connection.answer.has_head() => {
                    self.reconnected.set(self.reconnected.get() + 1);
                }
                outcome => return self.keep(connection, outcome),
            }
        }
        let mut connection = self.connect().await?;
        let outcome = connection.ask(request, expected).await;
        self.keep(connection, outcome)
    }

    fn keep(&self, connection: Connection, outcome: Result<(), Fault>) -> Result<(), Fault> {
        let closes = connection.answer.header("connection").is_some_and(|value| value == "close");
        let mut idle = self.idle.borrow_mut();
        if outcome.is_ok() && !closes && idle.len() < MAX_IDLE {
            idle.push(connection);
        }
        outcome
    }

    async fn connect(&self) -> Result<Connection, Fault> {
        Ok(Connection::new(TcpStream::connect(self.address).await?)?)
    }

    /// One of the sessions that go on.
    async fn session(&self) -> Result<Rc<str>, Fault> {
        let turn = self.turn.get();
        self.turn.set((turn + 1) % SESSIONS);
        if let Some(session) = self.sessions.borrow().get(turn) {
            return Ok(Rc::clone(session));
        }
        let session: Rc<str> = self.open_session().await?.into();
        let mut sessions = self.sessions.borrow_mut();
        if sessions.len() < SESSIONS {
            sessions.push(Rc::clone(&session));
        }
        Ok(session)
    }

    /// Opens a session and uses it once, on a connection of its own.
    async fn open_session(&self) -> Result<String, Fault> {
        let mut connection = self.connect().await?;
        connection.ask(&calls::initialize(), &Expected::ok("serverInfo")).await?;
        let session = connection.answer.header("mcp-session-id").map(str::to_owned);
        let session = session.ok_or_else(|| Fault::Wrong("`initialize` opened no session".to_owned()))?;
        connection.ask(&calls::initialized(&session), &Expected::status(202, "")).await?;
        connection
            .ask(&Call::Echo(SMALL_BYTES).legacy(&session), &Call::Echo(SMALL_BYTES).expected())
            .await?;
        Ok(session)
    }

    async fn session_ended(&self) -> Result<(), Fault> {
        let session = self.open_session().await?;
        let mut connection = self.connect().await?;
        connection.send(&calls::delete(&session)).await?;
        connection.read_to_end().await?;
        if connection.answer.status() / 100 != 2 {
            return Err(connection.wrong("a DELETE"));
        }
        connection.ask(&Call::Ping.legacy(&session), &Expected::status(404, "")).await
    }

    async fn session_stream(&self) -> Result<(), Fault> {
        let session = self.open_session().await?;
        let mut connection = self.connect().await?;
        connection.send(&calls::session_stream(&session)).await?;
        connection.read_until(b"").await?;
        if connection.answer.status() != 200 {
            return Err(connection.wrong("the stream of a session"));
        }
        sleep(STREAM).await;
        Ok(())
    }

    async fn progress(&self) -> Result<(), Fault> {
        let mut connection = self.connect().await?;
        connection.ask(&count(), &Expected::ok("counted")).await?;
        if memchr::memmem::find(connection.answer.body(), b"notifications/progress").is_none() {
            return Err(connection.wrong("a call with progress"));
        }
        Ok(())
    }

    async fn progress_left(&self) -> Result<(), Fault> {
        let mut connection = self.connect().await?;
        connection.send(&count()).await?;
        connection.read_until(b"notifications/progress").await
    }

    async fn half_closed(&self) -> Result<(), Fault> {
        let mut connection = self.connect().await?;
        connection.send(&self.echo).await?;
        connection.socket.shutdown().await?;
        connection.read_to_end().await?;
        connection.check(&self.echo, &Call::Echo(SMALL_BYTES).expected())
    }

    async fn cut(&self, part: &[u8]) -> Result<(), Fault> {
        self.connect().await?.send(part).await
    }

    async fn reset(&self) -> Result<(), Fault> {
        let mut connection = self.connect().await?;
        connection.socket.set_zero_linger()?;
        connection.send(&self.large[..LARGE_BYTES / 8]).await
    }

    async fn oversized(&self) -> Result<(), Fault> {
        let headers = [
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
            ("MCP-Protocol-Version", "2026-07-28"),
            ("Mcp-Method", "tools/list"),
        ];
        let head = head("POST", PATH, &headers, OVERSIZED_BYTES);
        let mut connection = self.connect().await?;
        connection.ask(head.as_bytes(), &Expected::status(413, "")).await
    }

    async fn stalled_listener(&self) -> Result<(), Fault> {
        let mut connection = self.connect_stalling().await?;
        connection.send(&calls::listen()).await?;
        connection.read_until(b"subscriptions/acknowledged").await?;
        sleep(STALL).await;
        Ok(())
    }

    async fn stalled_answer(&self) -> Result<(), Fault> {
        let text = "y".repeat(LARGE_BYTES);
        let request = calls::with_progress("echo", &format!(r#""text":"{text}""#));
        let mut connection = self.connect_stalling().await?;
        connection.send(&request).await?;
        sleep(STALL).await;
        Ok(())
    }

    async fn connect_stalling(&self) -> Result<Connection, Fault> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_recv_buffer_size(STALLED_RECEIVE_BYTES)?;
        Ok(Connection::new(socket.connect(self.address).await?)?)
    }
}

/// A call that takes 160 ms and reports twice: more often than that is not sent.
fn count() -> Vec<u8> {
    calls::with_progress("count", r#""steps":2,"interval_ms":80"#)
}

#[derive(Debug)]
struct Connection {
    socket: TcpStream,
    answer: AnswerReader,
}

impl Connection {
    fn new(socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        Ok(Self { socket, answer: AnswerReader::new(KEEP_BYTES) })
    }

    async fn ask(&mut self, request: &[u8], expected: &Expected) -> Result<(), Fault> {
        self.send(request).await?;
        self.read_to_end().await?;
        self.check(request, expected)
    }

    async fn send(&mut self, request: &[u8]) -> Result<(), Fault> {
        self.answer.reset();
        Ok(self.socket.write_all(request).await?)
    }

    async fn read_to_end(&mut self) -> Result<(), Fault> {
        while !self.answer.is_complete() {
            if !self.read().await? {
                return if self.answer.ends_with_connection() { Ok(()) } else { Err(closed()) };
            }
        }
        Ok(())
    }

    /// Reads until the head is there and the body contains `marker`.
    async fn read_until(&mut self, marker: &[u8]) -> Result<(), Fault> {
        while !self.answer.has_head() || memchr::memmem::find(self.answer.body(), marker).is_none() {
            if self.answer.is_complete() {
                return Err(self.wrong("a request for a stream"));
            }
            if !self.read().await? {
                return Err(closed());
            }
        }
        Ok(())
    }

    /// Reads what has come; false at the end of the connection.
    async fn read(&mut self) -> Result<bool, Fault> {
        let mut buffer = [0; 8 * 1024];
        let read = self.socket.read(&mut buffer).await?;
        let taken = self.answer.feed(&buffer[..read]).map_err(|error| Fault::Wrong(error.to_string()))?;
        if taken < read {
            return Err(Fault::Wrong("bytes follow the answer that nobody asked for".to_owned()));
        }
        Ok(read > 0)
    }

    fn check(&self, request: &[u8], expected: &Expected) -> Result<(), Fault> {
        match expected.check(&self.answer) {
            Verdict::Right => Ok(()),
            Verdict::Refused => Err(Fault::Refused(self.answer.status())),
            Verdict::Wrong => Err(self.wrong(&String::from_utf8_lossy(&request[..request.len().min(400)]))),
        }
    }

    fn wrong(&self, to: &str) -> Fault {
        let body = self.answer.body();
        let body = String::from_utf8_lossy(&body[..body.len().min(400)]);
        Fault::Wrong(format!("status {}: {body}\n  to {to}", self.answer.status()))
    }
}

fn closed() -> Fault {
    Fault::Broken(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// A server that says `answer` to whatever comes, and closes.
    async fn served(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut buffer = vec![0; 2 * LARGE_BYTES];
                    let _ = socket.read(&mut buffer).await;
                    let _ = socket.write_all(answer.as_bytes()).await;
                    // Not before all has been read: closing would reset what was answered.
                    let _ = socket.shutdown().await;
                    while socket.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
                });
            }
        });
        address
    }

    /// What each action gives that waits for an answer.
    async fn faults(answer: &'static str) -> Vec<(Action, Fault)> {
        let read_file = Call::ReadFile { path: "/note".to_owned(), bytes: 10 };
        let client = SoakClient::new(served(answer).await, read_file);
        let mut faults = Vec::new();
        for (action, ..) in Action::ALL {
            let leaves = matches!(
                action,
                Action::CutHead | Action::CutBody | Action::ResetBody | Action::StalledAnswer
            );
            if !leaves {
                faults.push((action, client.act(action).await.expect_err("nothing of it is right")));
            }
        }
        faults
    }

    #[tokio::test]
    async fn an_answer_that_says_something_else_is_wrong() {
        for (action, fault) in faults("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await {
            assert!(matches!(fault, Fault::Wrong(_)), "{action:?}: {fault:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_cut_off_is_none() {
        for (action, fault) in faults("HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{}").await {
            assert!(matches!(fault, Fault::Broken(_)), "{action:?}: {fault:?}");
        }
        for (action, fault) in faults("").await {
            assert!(matches!(fault, Fault::Broken(_)), "{action:?}: {fault:?}");
        }
    }

    #[tokio::test]
    async fn a_refusal_is_no_wrong_answer() {
        let client =
            SoakClient::new(served("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").await, Call::Ping);
        let refused = client.act(Action::Echo).await.expect_err("refused");
        assert!(matches!(refused, Fault::Refused(503)), "{refused:?}");
    }
}
