//! Load over HTTP on one event queue a thread: connections that each have one request in flight.
//!
//! Knows bytes and answers, not what is asked. In a closed loop each connection asks again as soon as it is
//! answered; in an open one requests begin at their times, each on a connection that is free, and wait while none
//! is. Invariant: between the end of the warm-up and the end of the measurement nothing is allocated and each answer
//! is checked whole; what is not as expected ends the run with its text, so that no figure comes from errors.

use crate::figures::{Figures, LATE, Tally};
use crate::http_client::{AnswerReader, Expected, Verdict};
use crate::schedule::{Pace, Schedule};
use crate::server_process::{ServerProcess, own_cpu};
use mio::{Events, Interest, Poll, Token};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of each body that are kept to be checked.
const KEEP_BYTES: usize = 64 * 1024;
/// Longest time without any answer.
const SILENCE: Duration = Duration::from_secs(30);
/// A wait for the next request that is shorter than this is spent looking: the system's timer counts milliseconds.
const SHORT_WAIT: Duration = Duration::from_millis(2);

/// A connection that has been opened, and what it asks, over and over.
#[derive(Debug)]
pub struct Caller {
    /// The connection, blocking.
    pub socket: TcpStream,
    /// The whole request; those of many connections may be one.
    pub request: Arc<[u8]>,
}

impl Caller {
    /// Connects to a server.
    ///
    /// # Errors
    /// When the server does not accept.
    pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(SILENCE))?;
        Ok(socket)
    }
}

/// Runs `callers` on `threads` threads; gives the figures, and the connections to be used again or closed.
///
/// # Errors
/// When a connection breaks, an answer is wrong or none comes for 30 s.
pub fn run(
    server: &ServerProcess,
    callers: Vec<Caller>,
    expected: &Expected,
    pace: Pace,
    threads: usize,
) -> io::Result<(Figures, Vec<TcpStream>)> {
    let mut shares: Vec<Vec<Line>> = (0..threads).map(|_| Vec::new()).collect();
    for (index, caller) in callers.into_iter().enumerate() {
        shares[index % threads].push(Line::new(caller)?);
    }
    let started = Instant::now();
    let (begins, ends) = pace.window(started);
    thread::scope(|scope| {
        let start = |(index, lines): (usize, Vec<Line>)| {
            let schedule = match (pace, ends) {
                (Pace::Open { rate, .. }, Some(ends)) => {
                    Some(Schedule::new(started, ends, rate, index, threads))
                }
                _ => None,
            };
            scope.spawn(move || Worker::new(lines, expected, begins, ends, schedule)?.run())
        };
        let workers: Vec<_> = shares.into_iter().enumerate().map(start).collect();
        thread::sleep(begins.saturating_duration_since(Instant::now()));
        let before = (server.cpu()?, own_cpu());
        if let Some(ends) = ends {
            thread::sleep(ends.saturating_duration_since(Instant::now()));
        } else {
            while workers.iter().any(|worker| !worker.is_finished()) {
                thread::sleep(Duration::from_millis(1));
            }
        }
        let elapsed = begins.elapsed();
        let server_cpu = server.cpu()?.saturating_sub(before.0);
        let client_cpu = own_cpu().saturating_sub(before.1);
        let elapsed = ends.map_or(elapsed, |ends| ends - begins);
        let mut figures = Figures { tally: Tally::default(), elapsed, server_cpu, client_cpu };
        let mut sockets = Vec::new();
        for worker in workers {
            let done = worker.join().map_err(|_| io::Error::other("a thread of the client panicked"))??;
            figures.tally.add(&done.tally);
            for line in done.lines {
                sockets.push(line.into_socket()?);
            }
        }
        Ok((figures, sockets))
    })
}

/// One connection at work.
struct Line {
    socket: mio::net::TcpStream,
    request: Arc<[u8]>,
    /// All of it while nothing is to be written.
    written: usize,
    /// When its request began, or was to begin.
    since: Instant,
    answer: AnswerReader,
}

impl Line {
    fn new(caller: Caller) -> io::Result<Self> {
        caller.socket.set_nonblocking(true)?;
        Ok(Self {
            socket: mio::net::TcpStream::from_std(caller.socket),
            written: caller.request.len(),
            request: caller.request,
            since: Instant::now(),
            answer: AnswerReader::new(KEEP_BYTES),
        })
    }

    fn into_socket(self) -> io::Result<TcpStream> {
        let socket = TcpStream::from(std::os::fd::OwnedFd::from(self.socket));
        socket.set_nonblocking(false)?;
        Ok(socket)
    }

    fn send(&mut self, since: Instant) -> io::Result<()> {
        self.written = 0;
        self.since = since;
        self.answer.reset();
        self.write()
    }

    /// Writes what is left of the request, as far as it goes.
    fn write(&mut self) -> io::Result<()> {
        while self.written < self.request.len() {
            match self.socket.write(&self.request[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A server may answer before it has read all; what it says is worth more than that it closed.
                Err(error) if is_closed(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads until the answer is complete (true) or nothing more has come.
    fn read(&mut self, scratch: &mut [u8]) -> io::Result<bool> {
        loop {
            match self.socket.read(scratch) {
                Ok(0) if self.answer.ends_with_connection() => return Ok(true),
                Ok(0) => {
                    return Err(io::Error::other("the server closed the connection before its answer ended"));
                }
                Ok(read) => {
                    let taken = self.answer.feed(&scratch[..read]).map_err(io::Error::other)?;
                    if taken < read {
                        return Err(io::Error::other("bytes follow the answer that nobody asked for"));
                    }
                    if self.answer.is_complete() {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

struct Worker<'a> {
    poll: Poll,
    lines: Vec<Line>,
    /// Connections without a request, in an open loop.
    free: Vec<usize>,
    /// Requests that have no answer yet.
    in_flight: usize,
    expected: &'a Expected,
    begins: Instant,
    /// `None`: each asks once.
    ends: Option<Instant>,
    is_open: bool,
    /// What is still to begin, in an open loop.
    schedule: Option<Schedule>,
    tally: Tally,
}

/// What a worker leaves.
struct Done {
    lines: Vec<Line>,
    tally: Tally,
}

impl<'a> Worker<'a> {
    fn new(
        mut lines: Vec<Line>,
        expected: &'a Expected,
        begins: Instant,
        ends: Option<Instant>,
        schedule: Option<Schedule>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        for (index, line) in lines.iter_mut().enumerate() {
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut line.socket, Token(index), interest)?;
        }
        let free = (0..lines.len()).rev().collect();
        let (is_open, tally) = (schedule.is_some(), Tally::default());
        Ok(Self { poll, lines, free, in_flight: 0, expected, begins, ends, is_open, schedule, tally })
    }

    fn run(mut self) -> io::Result<Done> {
        let mut events = Events::with_capacity(1024);
        let mut scratch = vec![0; 64 * 1024];
        if !self.is_open {
            self.free.clear();
            for line in &mut self.lines {
                line.send(Instant::now())?;
                self.in_flight += 1;
            }
        }
        let mut heard = Instant::now();
        loop {
            let wait = self.begin_due()?;
            if self.in_flight == 0 && wait.is_none() {
                break;
            }
            self.poll.poll(&mut events, Some(wait.unwrap_or(SILENCE)))?;
            if !events.is_empty() || self.in_flight == 0 {
                heard = Instant::now();
            } else if heard.elapsed() >= SILENCE {
                let message = format!("{} requests have no answer", self.in_flight);
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            for event in &events {
                let line = &mut self.lines[event.token().0];
                if event.is_writable() {
                    line.write()?;
                }
                if event.is_readable() && !line.answer.is_complete() && line.read(&mut scratch)? {
                    self.answered(event.token().0)?;
                }
            }
        }
        for line in &mut self.lines {
            self.poll.registry().deregister(&mut line.socket)?;
        }
        Ok(Done { lines: self.lines, tally: self.tally })
    }

    /// Begins what is due on connections that are free; gives how long to wait for the next, `None` without one.
    fn begin_due(&mut self) -> io::Result<Option<Duration>> {
        let (Some(schedule), Some(ends)) = (&mut self.schedule, self.ends) else { return Ok(None) };
        let mut now = Instant::now();
        if now >= ends {
            self.tally.unsent += schedule.overdue(now).saturating_sub(schedule.overdue(self.begins));
            self.schedule = None;
            return Ok(None);
        }
        while let Some(&index) = self.free.last() {
            let Some(due) = schedule.take_due(now) else { break };
            self.free.pop();
            self.in_flight += 1;
            self.tally.late += u64::from(due >= self.begins && now - due > LATE);
            self.lines[index].send(due)?;
            now = Instant::now();
        }
        let wait = match schedule.until_next(now) {
            Some(wait) if self.free.is_empty() => wait.max(SHORT_WAIT), // the next begins with an answer
            Some(wait) if wait < SHORT_WAIT => Duration::ZERO,
            Some(wait) => wait.saturating_sub(Duration::from_millis(1)),
            None => ends.saturating_duration_since(now) + Duration::from_millis(1),
        };
        Ok(Some(wait))
    }

    /// Checks an answer, and in a closed loop asks again.
    fn answered(&mut self, index: usize) -> io::Result<()> {
        let line = &self.lines[index];
        let now = Instant::now();
        self.in_flight -= 1;
        // In an open loop the time of the request decides whether it counts: what is slow must not fall out.
        let counted = if self.is_open { line.since } else { now };
        let counts = counted >= self.begins && self.ends.is_none_or(|ends| counted < ends);
        match self.expected.check(&line.answer) {
            Verdict::Right if counts => self.tally.answered(now - line.since),
            Verdict::Right => {}
            Verdict::Refused => {
                self.tally.refused += 1;
                return Ok(()); // it may close the connection, and asking again at once would only heat it
            }
            Verdict::Wrong => return Err(wrong(&line.request, &line.answer)),
        }
        if self.is_open {
            self.free.push(index);
        } else if self.ends.is_some_and(|ends| now < ends) {
            self.in_flight += 1;
            self.lines[index].send(now)?;
        }
        Ok(())
    }
}

/// An error with the beginning of a request and of the answer that was not expected.
fn wrong(request: &[u8], answer: &AnswerReader) -> io::Error {
    let short = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(600)]).into_owned();
    let (status, bytes) = (answer.status(), answer.body_bytes());
    let (request, body) = (short(request), short(answer.body()));
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a wrong answer: status {status}, {bytes} bytes: {body}\nto: {request}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Span;
    use std::net::TcpListener;
    use std::process::Command;

    /// A server in a thread that answers each request of `request_bytes` with `answer`; and a process to weigh.
    fn served(request_bytes: usize, answer: &'static [u8]) -> ServerProcess {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.expect("accepted");
                thread::spawn(move || {
                    let mut request = vec![0; request_bytes];
                    while socket.read_exact(&mut request).is_ok() {
                        // In two pieces, so that an answer is not always there at once.
                        let (one, two) = answer.split_at(answer.len() / 2);
                        let _ = socket.write_all(one).and_then(|()| socket.write_all(two));
                    }
                });
            }
        });
        let script = format!("echo listening on http://{address} >&2; exec sleep 60");
        ServerProcess::start(Command::new("sh").args(["-c", &script])).expect("started")
    }

    fn callers(server: &ServerProcess, count: usize, request: &[u8]) -> Vec<Caller> {
        let request: Arc<[u8]> = request.into();
        let caller = |_| Caller {
            socket: Caller::connect(server.address()).expect("accepted"),
            request: Arc::clone(&request),
        };
        (0..count).map(caller).collect()
    }

    #[test]
    fn each_answer_is_counted_once() {
        let request = vec![b'x'; 300_000];
        let server = served(request.len(), b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong");
        let (figures, sockets) =
            run(&server, callers(&server, 9, &request), &Expected::ok("pong"), Pace::Once, 2).expect("a run");
        assert_eq!((figures.tally.answers, figures.tally.refused, sockets.len()), (9, 0, 9));
        assert_eq!(figures.tally.latency.len(), 9);

        let again = sockets.into_iter().map(|socket| Caller { socket, request: request.as_slice().into() });
        let span = Span { warm_up: Duration::from_millis(20), measured: Duration::from_millis(200) };
        let (figures, _) = run(&server, again.collect(), &Expected::ok("pong"), Pace::Closed(span), 1)
            .expect("connections are kept");
        assert!(figures.tally.answers > 9, "{figures:?}");
        assert_eq!(figures.tally.latency.len(), figures.tally.answers);
        assert_eq!(figures.elapsed, Duration::from_millis(200));
    }

    #[test]
    fn an_open_loop_asks_at_its_rate_and_says_what_it_could_not() {
        let server = served(4, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong");
        let span = Span { warm_up: Duration::from_millis(50), measured: Duration::from_millis(500) };
        let expected = Expected::ok("pong");
        let pace = Pace::Open { rate: 200.0, span };
        let (figures, _) = run(&server, callers(&server, 4, b"ping"), &expected, pace, 2).expect("a run");
        let tally = &figures.tally;
        assert_eq!(tally.answers + tally.unsent, 100, "what was due while it was measured: {tally:?}");
        assert_eq!(tally.latency.len(), tally.answers);

        // More than one connection can: most of it is late, and latency grows from the time that was meant.
        let span = Span { warm_up: Duration::ZERO, ..span };
        let pace = Pace::Open { rate: 1e7, span };
        let (figures, _) = run(&server, callers(&server, 1, b"ping"), &expected, pace, 1).expect("a run");
        let tally = &figures.tally;
        assert!(tally.unsent > tally.answers && tally.late > 0, "{tally:?}");
        assert!(tally.latency.max() > 50_000_000, "{}", tally.latency.max());
    }

    #[test]
    fn a_refusal_is_counted_apart_and_a_wrong_answer_ends_the_run() {
        let server = served(4, b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
        let (figures, _) =
            run(&server, callers(&server, 3, b"ping"), &Expected::ok("pong"), Pace::Once, 1).expect("a run");
        assert_eq!((figures.tally.answers, figures.tally.refused), (0, 3));

        let server = served(4, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nerror");
        let failed = run(&server, callers(&server, 1, b"ping"), &Expected::ok("pong"), Pace::Once, 1);
        let message = failed.expect_err("a wrong answer").to_string();
        assert!(message.contains("error\nto: ping"), "{message}");
    }
}
