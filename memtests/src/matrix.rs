//! What each kind of request costs over each transport, measured.
//!
//! A request is a script: the bytes to send and the answers to wait for, made before anything is measured, so that
//! running it takes no heap of the client. A cell has a server of its own. It is warmed up and run many times for
//! what it allocates and leaves; then, with all pools emptied, once more for what it takes at most.

mod requests;

use crate::heap::Watch;
use crate::network::{Client, Host, Way, legacy, modern, open_session};
use crate::table::{COLUMNS, Cell, Figures};
use crate::tools::{NOTE, server_over};
use crate::{Figure, HANDSHAKE, META};
use mcpool::pools::PoolControl;
use mcpool::{Limits, Server};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use requests::REQUESTS;

/// How often the peak is measured, the highest counts: threads of client and server take turns in more than one way.
const PEAKS: usize = 2;
/// What a request may take at most, in percent of the bytes that are sent and received: a large buffer has the size of its
/// message.
pub const PEAK_PERCENT: u64 = 125;
/// What a line may take at most on its way in, in percent of it: its segments, and the buffer that they are copied to. What
/// is counted here is what is allocated: that buffer has no pages before it is written, and the segments go meanwhile.
pub const PEAK_LINE_PERCENT: u64 = 200;
/// And the segment that is filled.
pub const PEAK_SEGMENT: u64 = 64 * 1024;
/// The small buffers that a large message grew in, one of each class, may be as large as the message and this.
pub const PEAK_GROWING: u64 = (4 + 16 + 64) * 1024;
/// What a request may take besides: its slot, its exchange, its arena, and the smallest buffers.
pub const PEAK_BESIDE: u64 = 32 * 1024;

/// A column of the table: a transport and an era.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// How the bytes move.
    pub way: Way,
    /// The era 2026-07-28, or that of the handshake.
    pub is_modern: bool,
}

impl Column {
    /// The columns in the order of [`COLUMNS`].
    pub const ALL: [Self; COLUMNS.len()] = [
        Self { way: Way::Pipes, is_modern: true },
        Self { way: Way::Pipes, is_modern: false },
        Self { way: Way::Lines, is_modern: true },
        Self { way: Way::Lines, is_modern: false },
        Self { way: Way::Tcp, is_modern: true },
        Self { way: Way::Tcp, is_modern: false },
    ];

    fn is_http(self) -> bool {
        self.way == Way::Tcp
    }
}

/// And for each message that a stream of a session keeps, for its client to come back for: the smallest buffer and its
/// entry.
pub const PEAK_PER_EVENT: u64 = 1024 + 128;

/// One kind of request.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// What is asked, as the table has it.
    pub name: &'static str,
    /// How often it is asked while it is measured.
    pub measured: usize,
    /// Messages that its stream carries, where it has one.
    pub events: u64,
    /// The bounds that it needs to be other than usual.
    pub limits: fn(&mut Limits),
    /// What is said, or why there is no such request.
    pub script: fn(&Asker<'_>) -> Result<Vec<Step>, &'static str>,
}

/// One step of a script; the number is that of the client's connection.
#[derive(Debug, Clone)]
pub enum Step {
    /// Connects, unless that is so already.
    Connect(usize),
    /// Sends bytes.
    Send(usize, Vec<u8>),
    /// Reads one whole answer, which begins with something that contains this.
    Answer(usize, &'static str),
    /// Reads until this has come.
    Until(usize, &'static str),
    /// Changes the resource so often, and reads of each change.
    Changes(usize, u32),
    /// Closes the connection and waits until the server has let go of it.
    Close(usize),
}

/// Who asks: what makes the bytes of a request.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// Over which transport, in which era.
    pub column: Column,
    /// The session, over HTTP in the era that has them.
    pub session: &'a str,
    /// A folder with the file `one kilobyte.txt`.
    pub folder: &'a Path,
}

impl Asker<'_> {
    /// The bytes of a request; `name` is what is mirrored in a header.
    pub fn request(&self, method: &str, name: Option<&str>, params: &str) -> Vec<u8> {
        self.frame(method, name, &self.body(method, params))
    }

    /// The JSON of a request; `params` is the inside of an object.
    pub fn body(&self, method: &str, params: &str) -> String {
        let params = match (self.column.is_modern, params.is_empty()) {
            (true, true) => META.to_owned(),
            (true, false) => format!("{params},{META}"),
            (false, _) => params.to_owned(),
        };
        format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{method}","params":{{{params}}}}}"#)
    }

    /// `body` as it travels.
    pub fn frame(&self, method: &str, name: Option<&str>, body: &str) -> Vec<u8> {
        match (self.column.is_http(), self.column.is_modern) {
            (false, _) => format!("{body}\n").into_bytes(),
            (true, true) => modern(method, name, body),
            (true, false) => legacy(self.session, body),
        }
    }
}

/// A server and those who talk to it, for one cell.
struct Site {
    server: Server,
    host: Host,
    column: Column,
    clients: [Option<Client>; 2],
    /// Streams of sessions are kept for who comes back: the server looks for those that are over after each run.
    keeps_streams: bool,
    exchanges: Option<Arc<dyn PoolControl>>,
    steps: Vec<Step>,
    buffer: Vec<u8>,
    /// Bytes that went either way in the last run.
    moved: u64,
    /// Those of the longest message to the server.
    sent: u64,
    _folder: tempfile::TempDir,
}

/// The longest answer.
const BUFFER_BYTES: usize = 8 * 1024 * 1024;

impl Site {
    fn open(request: &Request, column: Column) -> Result<Self, &'static str> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("one kilobyte.txt"), "sixteen bytes \"\n".repeat(64))
            .expect("a file");
        let mut limits = Limits {
            drain_timeout_ms: 10,
            progress_interval_ms: 0,
            // Nothing is kept for those who come back, so that what is left is a leak.
            event_retention_ms: 0,
            ..Limits::default()
        };
        (request.limits)(&mut limits);
        let server = server_over(folder.path(), &limits);
        let host = Host::start_on(crate::steady_runtime, &server);
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut client = host.connect(column.way);
        let session = match (column.is_modern, column.is_http()) {
            (true, _) => String::new(),
            (false, true) => open_session(&mut client),
            (false, false) => {
                let [initialize, initialized] = HANDSHAKE;
                let elicits =
                    initialize.replace(r#""capabilities":{}"#, r#""capabilities":{"elicitation":{}}"#);
                client.exchange(format!("{elicits}\n").as_bytes(), &mut buffer);
                client.send(format!("{initialized}\n").as_bytes());
                String::new()
            }
        };
        let asker = Asker { column, session: &session, folder: folder.path() };
        let steps = (request.script)(&asker)?;
        // What each thread needs once for a list, and for the look that takes all figures down once a second.
        client.exchange(&asker.request("tools/list", None, ""), &mut buffer);
        let _ = server.memory().current_memory_usage();
        let exchanges = server.pools().find("exchanges");
        let clients = [Some(client), None];
        let keeps_streams = column.is_http() && !column.is_modern && request.events > 0;
        Ok(Self {
            server,
            host,
            column,
            clients,
            keeps_streams,
            exchanges,
            steps,
            buffer,
            moved: 0,
            sent: 0,
            _folder: folder,
        })
    }

    /// Asks so often.
    fn run(&mut self, times: usize) {
        for _ in 0..times {
            self.moved = 0;
            for index in 0..self.steps.len() {
                self.step(index);
            }
            if self.keeps_streams {
                self.server.maintain();
            }
        }
    }

    fn step(&mut self, index: usize) {
        let step = &self.steps[index];
        let (Step::Connect(at) | Step::Send(at, _) | Step::Answer(at, _) | Step::Until(at, _)) = step else {
            return self.change_or_close(index);
        };
        let client = self.clients[*at].get_or_insert_with(|| self.host.connect(self.column.way));
        let read = match step {
            Step::Send(_, bytes) => {
                client.send(bytes);
                self.sent = self.sent.max(bytes.len() as u64);
                bytes.len()
            }
            Step::Answer(_, part) => {
                let length = client.read_answer(&mut self.buffer);
                expect(&self.buffer[..length], part);
                length
            }
            Step::Until(_, part) => client.read_until(part, &mut self.buffer),
            _ => 0,
        };
        self.moved += read as u64;
    }

    fn change_or_close(&mut self, index: usize) {
        match self.steps[index] {
            Step::Changes(at, times) => {
                let client = self.clients[at].as_mut().expect("connected");
                for _ in 0..times {
                    self.server.resource_updated(NOTE);
                    let read = client.read_until("notifications/resources/updated", &mut self.buffer);
                    self.moved += read as u64;
                }
            }
            Step::Close(at) => {
                self.clients[at] = None;
                // A connection that is idle or gone holds no exchange.
                while self.exchanges.as_ref().is_some_and(|pool| pool.snapshot().in_use > 0) {
                    std::thread::sleep(Duration::from_micros(50));
                }
            }
            _ => {}
        }
    }

    /// Live bytes once nothing moves, what expired is gone and pools keep nothing.
    fn bytes_at_rest(&self, watch: &Watch) -> usize {
        watch.settle();
        self.server.maintain();
        self.empty_pools();
        watch.settle();
        watch.stats().curr_bytes
    }

    fn empty_pools(&self) {
        for pool in self.server.pools().pools() {
            pool.trim(0);
        }
    }

    /// What one run takes at most, in bytes, where no pool has anything to give.
    fn peak(&mut self, watch: &Watch) -> u64 {
        self.empty_pools();
        watch.settle();
        let before = watch.stats().curr_bytes;
        self.run(1);
        watch.settle();
        watch.stats().max_bytes.saturating_sub(before) as u64
    }
}

/// The part is looked for where an answer begins: looking through a megabyte would be what takes the time.
#[track_caller]
fn expect(answer: &[u8], part: &str) {
    let start = &answer[..answer.len().min(1024)];
    let is_there = start.windows(part.len()).any(|window| window == part.as_bytes());
    assert!(is_there, "{part} is not in {}", String::from_utf8_lossy(start));
}

/// What a cell was measured to be, the rounding aside.
struct Measured {
    blocks: u64,
    bytes: u64,
    peak: u64,
    moved: u64,
    sent: u64,
}

fn measure(request: &Request, site: &mut Site) -> Measured {
    let warm_up = request.measured.div_ceil(2);
    site.run(warm_up);
    // Pools are watched from the first sample that follows their first use.
    site.server.maintain();
    site.run(warm_up);
    let watch = Watch::begin();
    // Once more, so that what is replaced from here on is known and does not count as left.
    site.run(warm_up.div_ceil(2));
    let bytes_before = site.bytes_at_rest(&watch);
    site.run(warm_up);
    let blocks_before = watch.stats().total_blocks;
    site.run(request.measured);
    watch.settle();
    let blocks = watch.stats().total_blocks - blocks_before;
    let bytes = site.bytes_at_rest(&watch).saturating_sub(bytes_before) as u64;
    drop(watch);
    let peaks = (0..PEAKS).map(|_| site.peak(&Watch::begin()));
    let peak = peaks.max().unwrap_or_default();
    Measured { blocks, bytes, peak, moved: site.moved, sent: site.sent }
}

/// Measures one cell.
///
/// # Panics
/// When it takes more at its peak than [`PEAK_PERCENT`] and its neighbours allow.
pub fn cell(request: &Request, column: Column) -> Cell {
    let mut site = match Site::open(request, column) {
        Ok(site) => site,
        Err(reason) => return Cell::Missing(reason.to_owned()),
    };
    let Measured { blocks, bytes, peak, moved, sent } = measure(request, &mut site);
    let kept = if column.is_http() && !column.is_modern { request.events } else { 0 };
    let line = if column.is_http() { 0 } else { sent * PEAK_LINE_PERCENT / 100 + PEAK_SEGMENT };
    let most = (moved * PEAK_PERCENT / 100).max(line);
    let allowed = PEAK_BESIDE + most + moved.min(PEAK_GROWING) + PEAK_PER_EVENT * kept;
    if peak > allowed {
        let watch = Watch::begin();
        site.peak(&watch);
        let name = request.name;
        watch.fail(
            Figure::Peak,
            format_args!(
                "{name} over {column:?} takes {peak} B for {moved} B moved: {allowed} B are allowed"
            ),
        );
    }
    let each = |total: u64| total.div_ceil(request.measured as u64);
    Cell::Figures(Figures {
        allocations: each(blocks * 100),
        retained: each(bytes),
        peak: peak.div_ceil(1024),
    })
}

/// Ends the test with `message` and who asked for the blocks of a cell: for those that it allocates, that it leaves, or
/// that there are at its peak.
///
/// # Panics
/// Always.
pub fn explain(request: &Request, column: Column, figure: Figure, message: &str) -> ! {
    let Ok(mut site) = Site::open(request, column) else { panic!("{message}") };
    site.run(request.measured);
    site.server.maintain();
    site.run(request.measured);
    let watch = Watch::begin();
    if figure == Figure::Peak {
        site.peak(&watch);
    } else {
        site.run(request.measured);
        site.bytes_at_rest(&watch);
    }
    watch.fail(figure, format_args!("{message}"))
}
