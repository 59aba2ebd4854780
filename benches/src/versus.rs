//! What is measured of the peers, and how: one module a question, each giving sheets with a column for each peer.
//!
//! Fair by these rules: one driver for all; the rounds of all peers take turns, so that what else the machine does
//! falls on all alike; each round has a warm-up that does not count; figures are medians with their spread. Invariant:
//! a peer that fails is left out of the rest of that question with its reason, and never stops the others.

pub mod burst;
pub mod growth;
pub mod idle;
pub mod open_loop;
pub mod sessions;
pub mod start;
pub mod throughput;
pub mod track;

use crate::peers::{Peer, Peers, Site};
use crate::schedule::Span;
use crate::sheet::Sheet;
use std::cell::RefCell;
use std::io;
use std::time::{Duration, Instant};

/// The questions, in the order in which they are asked.
pub const QUESTIONS: [&str; 8] = ["start", "idle", "sessions", "stdio", "http", "open", "burst", "growth"];

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Extent {
    /// Rounds of what is repeated.
    pub rounds: usize,
    /// Length of a round.
    pub span: Span,
    /// How often each server is started.
    pub starts: usize,
    /// How often what rests is weighed, each time on a fresh server.
    pub weighings: usize,
    /// Until a server rests.
    pub settle: Duration,
    /// Connections over HTTP that are asked over.
    pub connections: Vec<usize>,
    /// Sessions that idle, ascending.
    pub sessions: Vec<usize>,
    /// Connections of the burst.
    pub burst_connections: usize,
    /// Requests of the burst over pipes.
    pub burst_frames: usize,
    /// Threads of the client over HTTP.
    pub client_threads: usize,
}

impl Extent {
    /// All that is promised: some twenty minutes.
    pub fn full() -> Self {
        Self {
            rounds: 3,
            span: span(150, 500),
            starts: 15,
            weighings: 3,
            settle: Duration::from_millis(1500),
            connections: vec![1, 16, 256, 1000],
            sessions: vec![100, 1000, 5000],
            burst_connections: 1000,
            burst_frames: 200,
            client_threads: 1,
        }
    }

    /// Enough to see where things stand: some minutes.
    pub fn quick() -> Self {
        Self {
            span: span(40, 120),
            starts: 3,
            weighings: 1,
            settle: Duration::from_millis(700),
            connections: vec![1, 16, 256],
            sessions: vec![100, 1000],
            burst_connections: 200,
            burst_frames: 50,
            ..Self::full()
        }
    }
}

impl Extent {
    /// The same in words.
    pub fn terms(&self, threads: usize) -> String {
        let Span { warm_up, measured } = self.span;
        format!(
            "{} rounds of {} ms after {} ms of warm-up, twice as long in the open loop; {} starts, {} weighings {} ms \
             after the last answer; {threads} threads a server over HTTP where that can be chosen, {} of the client",
            self.rounds,
            measured.as_millis(),
            warm_up.as_millis(),
            self.starts,
            self.weighings,
            self.settle.as_millis(),
            self.client_threads
        )
    }
}

fn span(warm_up_ms: u64, measured_ms: u64) -> Span {
    Span { warm_up: Duration::from_millis(warm_up_ms), measured: Duration::from_millis(measured_ms) }
}

/// Where the measuring happens.
#[derive(Debug)]
pub struct Stage<'a> {
    /// Who is measured.
    pub peers: &'a Peers,
    /// How much.
    pub extent: &'a Extent,
    begun: Instant,
    failures: RefCell<Vec<(Peer, String)>>,
}

impl<'a> Stage<'a> {
    /// A stage on which nothing has happened.
    pub fn new(peers: &'a Peers, extent: &'a Extent) -> Self {
        Self { peers, extent, begun: Instant::now(), failures: RefCell::default() }
    }

    /// Answers a question.
    ///
    /// # Errors
    /// When something fails that is no peer's fault.
    pub fn answer(&self, question: &str) -> io::Result<Vec<Sheet>> {
        match question {
            "start" => Ok(start::measure(self)),
            "idle" => Ok(idle::measure(self)),
            "sessions" => Ok(sessions::measure(self)),
            "stdio" => throughput::over_stdio(self),
            "http" => Ok(throughput::over_http(self)),
            "open" => Ok(open_loop::measure(self)),
            "burst" => Ok(burst::measure(self)),
            "growth" => Ok(growth::measure(self)),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no question `{question}`"))),
        }
    }

    /// Says on standard error how far it is.
    pub fn say(&self, text: &str) {
        eprintln!("[{:>5.0} s] {text}", self.begun.elapsed().as_secs_f64());
    }

    /// Those that serve a client on standard input and output.
    pub fn with_stdio(&self) -> Vec<Peer> {
        self.peers.present().filter(|peer| peer.has_stdio()).collect()
    }

    /// Those that serve HTTP.
    pub fn with_http(&self) -> Vec<Peer> {
        self.peers.present().filter(|peer| peer.has_http()).collect()
    }

    /// Starts all that serve HTTP.
    pub fn sites(&self) -> Vec<Site> {
        let start = |peer| self.attempt(peer, "start over HTTP", || self.peers.http(peer));
        self.with_http().into_iter().filter_map(start).collect()
    }

    /// What comes of something that a peer does, or `None` when it fails, which is told.
    pub fn attempt<T>(&self, peer: Peer, what: &str, act: impl FnOnce() -> io::Result<T>) -> Option<T> {
        match act() {
            Ok(outcome) => Some(outcome),
            Err(error) => {
                let failure = format!("{what}: {error}");
                self.say(&format!("{} failed at {failure}", peer.name()));
                self.failures.borrow_mut().push((peer, failure));
                None
            }
        }
    }

    /// All that failed.
    pub fn failures(&self) -> Vec<(Peer, String)> {
        self.failures.borrow().clone()
    }
}

/// KiB as MiB.
fn mib(kib: i64) -> f64 {
    kib as f64 / 1024.0
}
