//! Many connections that each ask again as soon as they are answered, on one event queue a thread.
//!
//! Knows bytes and answers, not what is asked. Invariant: between the end of the warm-up and the end of the
//! measurement nothing is allocated and each answer is judged whole; what is not as expected ends the run with
//! its text, so that no figure comes from errors. Latency is from the write of a request to the last byte of its
//! answer: with every connection busy at all times it tells of queueing as much as of work.

use crate::http_client::{AnswerReader, Expected, Verdict};
use crate::server_process::{ServerProcess, own_cpu};
use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of each body that are kept to be judged.
const KEEP_BYTES: usize = 64 * 1024;
/// Longest time without any answer.
const SILENCE: Duration = Duration::from_secs(30);
/// Longest latency that is told apart, in nanoseconds.
const MAX_LATENCY_NS: u64 = 60_000_000_000;

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

/// How long connections go on.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// Each asks once.
    Once,
    /// Each asks until the time is over, of which only the second part counts.
    Over {
        /// The part that does not count.
        warm_up: Duration,
        /// The part that counts.
        measured: Duration,
    },
}

/// What a run has shown.
#[derive(Debug)]
pub struct Figures {
    /// Right answers while it was measured.
    pub answers: u64,
    /// Answers 429 and 503.
    pub refused: u64,
    /// The time that was measured.
    pub elapsed: Duration,
    /// Latency of each right answer, in nanoseconds.
    pub latency: Histogram<u64>,
    /// CPU time of the server while it was measured.
    pub server_cpu: Duration,
    /// CPU time of this process in the same time.
    pub client_cpu: Duration,
    /// The most that was resident in the server, in KiB, where it was watched ([`Until::Once`]).
    pub watched_rss_kib: i64,
}

impl Figures {
    /// Right answers a second.
    pub fn rate(&self) -> f64 {
        self.answers as f64 / self.elapsed.as_secs_f64()
    }

    /// Seconds of CPU time that a million answers cost the server.
    pub fn server_cpu_per_million(&self) -> f64 {
        self.server_cpu.as_secs_f64() * 1e6 / self.answers.max(1) as f64
    }

    /// The part of the client's threads that was busy: near 1 the client is what is measured.
    pub fn client_load(&self, threads: usize) -> f64 {
        self.client_cpu.as_secs_f64() / self.elapsed.as_secs_f64() / threads as f64
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
    until: Until,
    threads: usize,
) -> io::Result<(Figures, Vec<TcpStream>)> {
    let mut shares: Vec<Vec<Line>> = (0..threads).map(|_| Vec::new()).collect();
    for (index, caller) in callers.into_iter().enumerate() {
        shares[index % threads].push(Line::new(caller)?);
    }
    let started = Instant::now();
    let (begins, ends) = match until {
        Until::Once => (started, None),
        Until::Over { warm_up, measured } => (started + warm_up, Some(started + warm_up + measured)),
    };
    thread::scope(|scope| {
        let workers: Vec<_> = shares
            .into_iter()
            .map(|lines| scope.spawn(move || Worker::new(lines, expected, begins, ends)?.run()))
            .collect();
        thread::sleep(begins.saturating_duration_since(Instant::now()));
        let before = (server.cpu()?, own_cpu());
        let mut watched_rss_kib = 0;
        if let Some(ends) = ends {
            thread::sleep(ends.saturating_duration_since(Instant::now()));
        } else {
            while workers.iter().any(|worker| !worker.is_finished()) {
                watched_rss_kib = watched_rss_kib.max(server.memory()?.rss_kib);
                thread::sleep(Duration::from_millis(5));
            }
        }
        let elapsed = begins.elapsed();
        let (server_cpu, client_cpu) =
            (server.cpu()?.saturating_sub(before.0), own_cpu().saturating_sub(before.1));
        let latency = histogram();
        let mut figures = Figures {
            answers: 0,
            refused: 0,
            elapsed: ends.map_or(elapsed, |ends| ends - begins),
            latency,
            server_cpu,
            client_cpu,
            watched_rss_kib,
        };
        let mut sockets = Vec::new();
        for worker in workers {
            let done = worker.join().map_err(|_| io::Error::other("a thread of the client panicked"))??;
            figures.answers += done.answers;
            figures.refused += done.refused;
            figures.latency += done.latency;
            for line in done.lines {
                sockets.push(line.into_socket()?);
            }
        }
        Ok((figures, sockets))
    })
}

/// An empty histogram of nanoseconds, up to a minute, to three digits.
pub fn histogram() -> Histogram<u64> {
    // invariant: the bounds are in order, and there are at most five digits.
    Histogram::new_with_bounds(1, MAX_LATENCY_NS, 3).expect("valid bounds")
}

/// One connection at work.
struct Line {
    socket: mio::net::TcpStream,
    request: Arc<[u8]>,
    written: usize,
    sent_at: Instant,
    answer: AnswerReader,
}

impl Line {
    fn new(caller: Caller) -> io::Result<Self> {
        caller.socket.set_nonblocking(true)?;
        Ok(Self {
            socket: mio::net::TcpStream::from_std(caller.socket),
            request: caller.request,
            written: 0,
            sent_at: Instant::now(),
            answer: AnswerReader::new(KEEP_BYTES),
        })
    }

    fn into_socket(self) -> io::Result<TcpStream> {
        let socket = TcpStream::from(std::os::fd::OwnedFd::from(self.socket));
        socket.set_nonblocking(false)?;
        Ok(socket)
    }

    fn send(&mut self, now: Instant) -> io::Result<()> {
        self.written = 0;
        self.sent_at = now;
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
    expected: &'a Expected,
    begins: Instant,
    /// `None`: each asks once.
    ends: Option<Instant>,
    answers: u64,
    refused: u64,
    latency: Histogram<u64>,
}

/// What a worker leaves.
struct Done {
    lines: Vec<Line>,
    answers: u64,
    refused: u64,
    latency: Histogram<u64>,
}

impl<'a> Worker<'a> {
    fn new(
        mut lines: Vec<Line>,
        expected: &'a Expected,
        begins: Instant,
        ends: Option<Instant>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        for (index, line) in lines.iter_mut().enumerate() {
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut line.socket, Token(index), interest)?;
        }
        Ok(Self { poll, lines, expected, begins, ends, answers: 0, refused: 0, latency: histogram() })
    }

    fn run(mut self) -> io::Result<Done> {
        let mut events = Events::with_capacity(1024);
        let mut scratch = vec![0; 64 * 1024];
        let mut busy = self.lines.len();
        for line in &mut self.lines {
            line.send(Instant::now())?;
        }
        while busy > 0 {
            self.poll.poll(&mut events, Some(SILENCE))?;
            if events.is_empty() {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("{busy} requests have no answer"),
                ));
            }
            for event in &events {
                let line = &mut self.lines[event.token().0];
                if event.is_writable() {
                    line.write()?;
                }
                if event.is_readable() && !line.answer.is_complete() && line.read(&mut scratch)? {
                    let goes_on = self.answered(event.token().0)?;
                    busy -= usize::from(!goes_on);
                }
            }
        }
        for line in &mut self.lines {
            self.poll.registry().deregister(&mut line.socket)?;
        }
        Ok(Done { lines: self.lines, answers: self.answers, refused: self.refused, latency: self.latency })
    }

    /// Judges an answer and asks again; false when this connection has nothing more to do.
    fn answered(&mut self, index: usize) -> io::Result<bool> {
        let line = &mut self.lines[index];
        let now = Instant::now();
        let counts = now >= self.begins && self.ends.is_none_or(|ends| now < ends);
        match self.expected.judge(&line.answer) {
            Verdict::Right if counts => {
                self.answers += 1;
                self.latency.saturating_record((now - line.sent_at).as_nanos() as u64);
            }
            Verdict::Right => {}
            Verdict::Refused => {
                self.refused += 1;
                return Ok(false); // it may close the connection, and asking again at once would only heat it
            }
            Verdict::Wrong => return Err(wrong(&line.request, &line.answer)),
        }
        let goes_on = self.ends.is_some_and(|ends| now < ends);
        if goes_on {
            line.send(now)?;
        }
        Ok(goes_on)
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
            run(&server, callers(&server, 9, &request), &Expected::ok("pong"), Until::Once, 2)
                .expect("a run");
        assert_eq!((figures.answers, figures.refused, sockets.len()), (9, 0, 9));
        assert_eq!(figures.latency.len(), 9);

        let again = sockets.into_iter().map(|socket| Caller { socket, request: request.as_slice().into() });
        let until = Until::Over { warm_up: Duration::from_millis(20), measured: Duration::from_millis(200) };
        let (figures, _) =
            run(&server, again.collect(), &Expected::ok("pong"), until, 1).expect("connections are kept");
        assert!(figures.answers > 9, "{figures:?}");
        assert_eq!(figures.latency.len(), figures.answers);
        assert_eq!(figures.elapsed, Duration::from_millis(200));
    }

    #[test]
    fn a_refusal_is_counted_apart_and_a_wrong_answer_ends_the_run() {
        let server = served(4, b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
        let (figures, _) =
            run(&server, callers(&server, 3, b"ping"), &Expected::ok("pong"), Until::Once, 1).expect("a run");
        assert_eq!((figures.answers, figures.refused), (0, 3));

        let server = served(4, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nerror");
        let failed = run(&server, callers(&server, 1, b"ping"), &Expected::ok("pong"), Until::Once, 1);
        let message = failed.expect_err("a wrong answer").to_string();
        assert!(message.contains("error\nto: ping"), "{message}");
    }
}
