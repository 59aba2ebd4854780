//! [`AccessLog`]: a line of JSON for each request, in a file that tools of the system may rotate.
//!
//! Invariants: what serves never waits for the file; a line that is lost, as the file is full or slow, is counted and
//! reported; once warm, a request allocates nothing here.

use super::ended_request::{EndedRequest, thousandths};
use super::line_queue::{Batch, DropWarnings, touched};
use super::line_writer::{LineSink, LineThread, LineWriter};
use super::refused_lines::RefusedLines;
use crate::lock::lock;
use jiff::Timestamp;
use std::cell::RefCell;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bytes of the lines that wait; another such room is being written meanwhile.
const QUEUE_BYTES: usize = 64 * 1024;
/// Requests are nobody else's business.
const MODE: u32 = 0o600;
/// The thread that writes: a line waits no longer than that, and a report of an error has room on its stack.
const THREAD: LineThread =
    LineThread { name: "access-log", stack_bytes: 128 * 1024, interval: Duration::from_millis(100) };

/// What an access log holds: lines that wait and lines that are being written.
pub(crate) const MAX_ACCESS_LOG_BYTES: u64 = 2 * QUEUE_BYTES as u64;

/// Why there can be no access log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessLogError {
    /// The file cannot be opened.
    #[error("cannot open the access log {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The thread that writes cannot be started.
    #[error("cannot start the thread that writes the access log: {0}")]
    Thread(io::Error),
}

/// Writes a line of JSON for each request: who sent it, what it was, what became of it.
///
/// A thread of its own writes; what serves never waits for it. Lines that find no room, as the file is slower than the
/// requests or its disk is full, are left out, and a line `{"time":...,"dropped":N}` says how many. A clone is another
/// handle to the same log.
///
/// | member | |
/// | --- | --- |
/// | `time` | when the request ended (RFC 3339, UTC) |
/// | `client` | the name that the client gives itself; left out if it gives none |
/// | `principal` | the address, user or token that it comes from |
/// | `method`, `tool` | what is asked for; left out if this server has no such |
/// | `result`, `code` | `ok`, `tool_error`, `error` with its code, `cancelled`, `task`, or `refused` |
/// | `status` | of a request that was refused over HTTP, before it was read as a message, or of a connection too many |
/// | `bytes`, `ms` | of the answer, and from the first byte of the request to the answer |
/// | `left_out` | requests that were refused before this one and have no line: a second has twenty of these |
///
/// What is left out when a flood of refused requests is over, or the log ends, is told by a line
/// `{"time":...,"left_out":N}`.
///
/// ```
/// use mcpool::Server;
/// use mcpool::traffic::AccessLog;
/// use std::time::Duration;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("access.jsonl");
/// let log = AccessLog::open(&path)?;
/// let server = Server::builder("demo", "1.0.0").build()?;
/// server.report_requests_to({
///     let log = log.clone();
///     move |request| log.write(request)
/// });
/// // The server serves.
/// assert!(log.finish(Duration::from_secs(60)), "all is written");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AccessLog {
    handle: Arc<Handle>,
}

/// What the handles share: the last one ends the thread.
struct Handle {
    lines: LineWriter,
    warnings: Arc<Warnings>,
    refused: Arc<Mutex<RefusedLines>>,
}

/// Reports lines that are lost, now and then.
#[derive(Default)]
struct Warnings(Mutex<DropWarnings>);

impl Warnings {
    #[cold]
    fn note(&self, dropped: u64, is_last: bool, why: &dyn fmt::Display) {
        let due = lock(&self.0).due(dropped, is_last, Instant::now());
        if let Some(lines) = due {
            tracing::warn!(lines, "lines are missing in the access log: {why}");
        }
    }
}

impl AccessLog {
    /// Opens a file to append to it, and makes it, for this user alone, if it is not there.
    ///
    /// # Errors
    /// When the file cannot be opened, or is no plain file: a pipe or a device may make who opens it wait.
    pub fn open(path: &Path) -> Result<Self, AccessLogError> {
        let failed = |source| AccessLogError::Open { path: path.to_owned(), source };
        // The server may change its directory.
        let path = std::path::absolute(path).map_err(failed)?;
        let file = open_to_append(&path, MODE).map_err(failed)?;
        Self::start(file, move || open_to_append(&path, MODE), QUEUE_BYTES).map_err(AccessLogError::Thread)
    }

    fn start<W: Write + Send + 'static>(
        out: W,
        open: impl Fn() -> io::Result<W> + Send + 'static,
        queue_bytes: usize,
    ) -> io::Result<Self> {
        let warnings = Arc::<Warnings>::default();
        let refused = Arc::<Mutex<RefusedLines>>::default();
        let sink = FileSink {
            file: LogFile::new(out),
            open,
            warnings: Arc::clone(&warnings),
            refused: Arc::clone(&refused),
        };
        let lines = LineWriter::start(sink, &THREAD, [touched(queue_bytes), touched(queue_bytes)])?;
        Ok(Self { handle: Arc::new(Handle { lines, warnings, refused }) })
    }

    /// Writes the line of a request. Of those that are refused before they are read, a second has twenty lines.
    pub fn write(&self, request: &EndedRequest<'_>) {
        let Handle { lines, warnings, refused } = &*self.handle;
        let left_out =
            if request.result.is_refused() { lock(refused).count(Instant::now()) } else { Some(0) };
        let Some(left_out) = left_out else { return };
        let pushed = SCRATCH.try_with(|scratch| {
            let Scratch { line, clock } = &mut *scratch.borrow_mut();
            line.clear();
            request.write_json(clock.now(), left_out, line);
            lines.push(line)
        });
        let is_lost = match pushed {
            Ok(true) => false,
            Ok(false) => {
                warnings.note(1, false, &"its file takes them too slowly");
                true
            }
            // The thread is about to end.
            Err(_) => {
                lines.note_dropped();
                true
            }
        };
        if is_lost && left_out > 0 {
            lock(refused).note_lost(left_out);
        }
    }

    /// Opens the file anew, which somebody has renamed: what is written from now on is in a file of the old name.
    pub fn reopen(&self) {
        self.handle.lines.reopen();
    }

    /// Ends the log, and waits until all is written, for at most `patience`. Returns whether it is.
    pub fn finish(&self, patience: Duration) -> bool {
        self.handle.lines.close(patience)
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("AccessLog").finish_non_exhaustive()
    }
}

/// What a thread that serves writes its lines with.
struct Scratch {
    line: Vec<u8>,
    clock: Clock,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch { line: Vec::new(), clock: Clock::new() }) };
}

/// Writes the time of day; what lies before the milliseconds is written once a second.
struct Clock {
    second: u64,
    text: Vec<u8>,
}

impl Clock {
    const fn new() -> Self {
        Self { second: u64::MAX, text: Vec::new() }
    }

    /// The time to the millisecond (RFC 3339, UTC).
    fn now(&mut self) -> &[u8] {
        self.at(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    fn at(&mut self, since_1970: Duration) -> &[u8] {
        /// Bytes of what lies behind the seconds: a point, three digits, and the zone.
        const REST_BYTES: usize = 5;
        if self.second == since_1970.as_secs() {
            self.text.truncate(self.text.len().saturating_sub(REST_BYTES));
        } else {
            self.second = since_1970.as_secs();
            self.text.clear();
            let shown = Timestamp::new(self.second.cast_signed(), 0).unwrap_or_default();
            // Writing to a `Vec` does not fail.
            let _ = write!(self.text, "{shown}");
            // The zone, which is behind the milliseconds.
            self.text.pop();
        }
        self.text.push(b'.');
        self.text.extend_from_slice(&thousandths(u64::from(since_1970.subsec_millis())));
        self.text.push(b'Z');
        &self.text
    }
}

/// The time for a line about the log itself.
fn now() -> impl fmt::Display {
    struct Shown(Timestamp);
    impl fmt::Display for Shown {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{:.3}", self.0)
        }
    }
    Shown(Timestamp::now())
}

/// Opens a file that lines are added to, or makes it.
///
/// # Errors
/// Those of the system; and for what is no plain file. A pipe without a reader would make this wait, and `/dev/stdout` may be
/// where a client reads the protocol.
pub(crate) fn open_to_append(path: &Path, mode: u32) -> io::Result<File> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut options = OpenOptions::new();
    let file = options.append(true).create(true).mode(mode).custom_flags(nonblocking).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file"))
}

/// The file of the log, and how it is opened.
struct FileSink<W, O> {
    file: LogFile<W>,
    open: O,
    warnings: Arc<Warnings>,
    refused: Arc<Mutex<RefusedLines>>,
}

impl<W: Write, O> FileSink<W, O> {
    /// Writes how many requests have no line, although there is none that could say so.
    fn write_left_out(&mut self, left_out: u64, is_last: bool) {
        let line = format!("{{\"time\":\"{}\",\"left_out\":{left_out}}}\n", now());
        if let Err(lost) = self.file.write(line.as_bytes()) {
            // It is about no request of its own, and said later.
            self.file.missing = self.file.missing.saturating_sub(lost.lines);
            lock(&self.refused).note_lost(left_out);
            self.warnings.note(lost.lines, is_last, &lost.error);
        }
    }
}

impl<W, O> LineSink for FileSink<W, O>
where
    W: Write + Send + 'static,
    O: Fn() -> io::Result<W> + Send + 'static,
{
    fn write(&mut self, lines: &[u8], batch: &Batch) {
        self.file.missing += batch.dropped;
        if let Err(lost) = self.file.write(lines) {
            self.warnings.note(lost.lines, batch.is_last, &lost.error);
        }
        // Nothing is written after the last lines.
        let left_out = if batch.is_last { lock(&self.refused).left() } else { None };
        if let Some(left_out) = left_out {
            self.write_left_out(left_out, true);
        }
    }

    fn rest(&mut self) -> Option<Duration> {
        let (overdue, asks_in) = {
            let mut refused = lock(&self.refused);
            let now = Instant::now();
            (refused.overdue(now), refused.asks_in(now))
        };
        if let Some(left_out) = overdue {
            self.write_left_out(left_out, false);
        }
        asks_in
    }

    fn reopen(&mut self) {
        match (self.open)() {
            Ok(out) => self.file = LogFile { missing: self.file.missing, ..LogFile::new(out) },
            Err(error) => {
                tracing::error!(%error, "the access log cannot be opened anew: the file before stays");
            }
        }
    }
}

/// The file, and what it lacks.
struct LogFile<W> {
    out: W,
    /// The last line was not written to its end.
    is_cut: bool,
    /// Lines that are not in it, and about which no line says so.
    missing: u64,
}

/// Lines that could not be written.
#[derive(Debug)]
struct LostLines {
    lines: u64,
    error: io::Error,
}

impl<W: Write> LogFile<W> {
    fn new(out: W) -> Self {
        Self { out, is_cut: false, missing: 0 }
    }

    /// Writes whole lines, behind one that says how many are missing, if some are.
    fn write(&mut self, lines: &[u8]) -> Result<(), LostLines> {
        let written = self.write_missing().map_err(|error| (lines, error));
        let Err((rest, error)) = written.and_then(|()| self.write_all(lines)) else { return Ok(()) };
        let lines = memchr::memchr_iter(b'\n', rest).count() as u64;
        self.missing += lines;
        Err(LostLines { lines, error })
    }

    fn write_missing(&mut self) -> io::Result<()> {
        if self.missing == 0 {
            return Ok(());
        }
        let line = format!("{{\"time\":\"{}\",\"dropped\":{}}}\n", now(), self.missing);
        self.write_all(line.as_bytes()).map_err(|(_, error)| error)?;
        self.missing = 0;
        Ok(())
    }

    /// Gives what is not written, from the line on that was cut.
    fn write_all<'l>(&mut self, mut bytes: &'l [u8]) -> Result<(), (&'l [u8], io::Error)> {
        if self.is_cut && !bytes.is_empty() {
            self.out.write_all(b"\n").map_err(|error| (bytes, error))?;
            self.is_cut = false;
        }
        while !bytes.is_empty() {
            match self.out.write(bytes) {
                Ok(0) => return Err((bytes, io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    self.is_cut = bytes[count - 1] != b'\n';
                    bytes = &bytes[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((bytes, error)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::ended_request::RequestResult;
    use super::super::line_writer::testing::{Gated, Gone, PATIENCE};
    use super::*;
    use std::thread;

    fn request(answer_bytes: usize) -> EndedRequest<'static> {
        EndedRequest {
            client: Some("tester"),
            principal: 0,
            method: Some("tools/call"),
            tool: Some("echo"),
            result: RequestResult::Ok,
            answer_bytes,
            took: Duration::from_micros(1_500),
        }
    }

    fn read(text: &str) -> Vec<serde_json::Value> {
        text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    #[test]
    fn the_clock_goes_on() {
        let mut clock = Clock::new();
        for (ms, want) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (7, "1970-01-01T00:00:00.007Z"),
            (1_234, "1970-01-01T00:00:01.234Z"),
            (1_764_511_400_999, "2025-11-30T14:03:20.999Z"),
            (1_764_511_400_010, "2025-11-30T14:03:20.010Z"),
        ] {
            assert_eq!(std::str::from_utf8(clock.at(Duration::from_millis(ms))), Ok(want));
        }
    }

    fn start(out: &Gated, queue_bytes: usize) -> AccessLog {
        let again = out.clone();
        AccessLog::start(out.clone(), move || Ok(again.clone()), queue_bytes).expect("starts")
    }

    /// Requests are neither held up nor refused, and the file says how many it lacks.
    #[test]
    fn a_file_that_stands_still_costs_lines_and_no_time() {
        let out = Gated::default();
        let closed = out.close();
        let log = start(&out, 2_000);
        (0..1_000).for_each(|bytes| log.write(&request(bytes)));
        assert!(!log.finish(Duration::ZERO), "nothing can be written");
        drop(closed);
        assert!(log.finish(PATIENCE));
        let lines = out.json();
        let written = lines.iter().filter(|line| line.get("ms").is_some()).count() as u64;
        let dropped: u64 = lines.iter().filter_map(|line| line["dropped"].as_u64()).sum();
        assert_eq!(written + dropped, 1_000);
        assert!((1..=40).contains(&written), "{written} lines in two rooms of 2,000 bytes");
    }

    /// A disk of `room` bytes, which somebody enlarges.
    #[derive(Clone, Default)]
    struct Disk {
        written: Arc<Mutex<Vec<u8>>>,
        room: Arc<Mutex<usize>>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut room = lock(&self.room);
            let count = bytes.len().min(*room);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *room -= count;
            lock(&self.written).extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_costs_lines_until_it_has_room_again() {
        let disk = Disk::default();
        *lock(&disk.room) = 8;
        let mut file = LogFile::new(disk.clone());
        file.write(b"1234\n5678\n").expect_err("half of the second line");
        assert_eq!(file.missing, 1);
        file.write(b"9\n").expect_err("nothing");
        file.write(b"9\n9\n").expect_err("nothing");
        *lock(&disk.room) = 1_000;
        file.write(b"{}\n").expect("written");
        let written = lock(&disk.written).clone();
        let text = String::from_utf8(written).expect("text");
        let rest = text.strip_prefix("1234\n567\n").unwrap_or_else(|| panic!("the cut line ends: {text}"));
        let lines = read(rest);
        assert_eq!((&lines[0]["dropped"], lines.len()), (&4.into(), 2), "{text}");
    }

    /// Lines of requests, and requests of which one says that they have none.
    fn counted(out: &Gated) -> (u64, u64) {
        let lines = out.json();
        let written = lines.iter().filter(|line| line.get("ms").is_some()).count() as u64;
        (written, lines.iter().filter_map(|line| line["left_out"].as_u64()).sum())
    }

    #[test]
    fn each_request_of_a_flood_that_is_refused_is_told_when_it_is_over() {
        let refused = EndedRequest { result: RequestResult::Refused(403), ..request(7) };
        let out = Gated::default();
        let log = start(&out, 64 * 1024);
        (0..5_000).for_each(|_| log.write(&refused));
        let begun = Instant::now();
        while counted(&out).0 + counted(&out).1 < 5_000 {
            assert!(begun.elapsed() < PATIENCE, "{:?} of 5,000 without another request", counted(&out));
            thread::sleep(Duration::from_millis(5));
        }
        (0..1_000).for_each(|_| log.write(&refused));
        assert!(log.finish(PATIENCE));
        let (written, left_out) = counted(&out);
        assert_eq!(written + left_out, 6_000, "the end tells the rest");
        assert!(left_out > 0, "{written} lines");
    }

    #[test]
    fn a_file_that_stands_still_loses_no_count_of_what_is_refused() {
        let refused = EndedRequest { result: RequestResult::Refused(403), ..request(7) };
        let out = Gated::default();
        let closed = out.close();
        let log = start(&out, 500);
        (0..1_000).for_each(|_| log.write(&refused));
        drop(closed);
        assert!(log.finish(PATIENCE));
        let dropped: u64 = out.json().iter().filter_map(|line| line["dropped"].as_u64()).sum();
        let (written, left_out) = counted(&out);
        assert_eq!(written + left_out + dropped, 1_000);
    }

    #[test]
    fn a_file_is_appended_to_and_opened_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, renamed) = (folder.path().join("log"), folder.path().join("log.1"));
        std::fs::write(&path, "{}\n").expect("an older log");
        let log = AccessLog::open(&path).expect("opens");
        log.write(&request(1));
        // The line is in the file before it is renamed, as the log has no other end than this one.
        let wait_for = |path: &Path, lines: usize| {
            let begun = Instant::now();
            while std::fs::read_to_string(path).unwrap_or_default().lines().count() < lines {
                assert!(begun.elapsed() < PATIENCE, "{} has no {lines} lines", path.display());
                thread::sleep(Duration::from_millis(5));
            }
        };
        wait_for(&path, 2);
        std::fs::rename(&path, &renamed).expect("renamed");
        log.reopen();
        let begun = Instant::now();
        while !path.exists() {
            assert!(begun.elapsed() < PATIENCE, "it is not opened anew");
            thread::sleep(Duration::from_millis(5));
        }
        log.write(&request(2));
        assert!(log.finish(PATIENCE));
        let bytes = |path: &Path| {
            let lines = read(&std::fs::read_to_string(path).expect("there"));
            lines.iter().filter_map(|line| line["bytes"].as_u64()).collect::<Vec<_>>()
        };
        assert_eq!((bytes(&renamed), bytes(&path)), (vec![1], vec![2]));
    }

    #[test]
    fn only_a_plain_file_is_written_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
        for path in [&pipe, &folder.path().to_owned(), &folder.path().join("none").join("log")] {
            let error = AccessLog::open(path).expect_err("refused").to_string();
            assert!(error.starts_with("cannot open the access log /"), "{error}");
        }
    }

    #[test]
    fn the_thread_ends_with_the_last_handle() {
        let (gone, is_gone) = Gone::new();
        let closed = || Err(io::ErrorKind::NotFound.into());
        let log = AccessLog::start(gone, closed, 1_000).expect("starts");
        drop(log.clone());
        log.write(&request(1));
        drop(log);
        is_gone.recv_timeout(PATIENCE).expect("the thread ends");
    }
}
