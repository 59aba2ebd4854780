//! [`TrafficRecorder`]: writes down the requests of a server, from a thread of its own.

use super::format::{RecordedArguments, TRAFFIC_SCHEMA, TrafficHeader, TrafficLine};
use super::line_queue::{Batch, DropWarnings, touched};
use super::line_writer::{LineSink, LineThread, LineWriter};
use super::recording::{MAX_REQUESTS_BYTES, Recording, RequestFacts, RequestInProgress};
use super::trace_file::{TraceFile, create};
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bytes of the queue; another such room is being written meanwhile.
const QUEUE_BYTES: usize = 256 * 1024;
/// The thread that writes: a line waits no longer than that, and a report of an error has room on its stack.
const THREAD: LineThread =
    LineThread { name: "traffic", stack_bytes: 128 * 1024, interval: Duration::from_millis(100) };

/// What a recorder holds at most: lines that wait and lines that are being written, requests that have not ended, and
/// those that are kept for reuse.
pub(crate) const MAX_RECORDER_BYTES: u64 = (2 * QUEUE_BYTES + MAX_REQUESTS_BYTES) as u64;

/// Why traffic cannot be recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordTrafficError {
    /// The file cannot be made.
    #[error("cannot record traffic in {path}: {source}")]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The thread that writes cannot be started.
    #[error("cannot start the thread that records traffic: {0}")]
    Thread(io::Error),
}

impl RecordTrafficError {
    /// Whether another server records to the file.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Create { source, .. } if source.kind() == io::ErrorKind::ResourceBusy)
    }
}

/// Writes down the requests of a server, in a file that `mcpool load --replay` makes again.
///
/// A thread of its own writes; what serves never waits for it. Half a mebibyte waits to be written at most, and what
/// finds no room there is counted in the file. A clone is another handle to the same recorder.
///
/// ```
/// use mcpool::Server;
/// use mcpool::traffic::{RecordedArguments, TrafficRecorder};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("traffic.jsonl");
/// let recorder = TrafficRecorder::create(&path, 1024 * 1024, RecordedArguments::Redacted)?;
/// let server = Server::builder("demo", "1.0.0").build()?;
/// server.record_traffic_to(&recorder);
/// // The server serves.
/// assert!(recorder.finish(Duration::from_secs(60)), "all is written");
/// assert!(std::fs::read_to_string(&path)?.starts_with(r#"{"header":{"schema":"mcpool.traffic/1""#));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TrafficRecorder {
    recording: Arc<Recording>,
}

impl TrafficRecorder {
    /// Makes the file, for this user alone, and starts the thread that writes. It takes at most `max_bytes`. A trace
    /// that is there already becomes FILE.1.
    ///
    /// # Errors
    /// When the file cannot be made, is there and no trace, or another server records to it.
    pub fn create(
        path: &Path,
        max_bytes: u64,
        arguments: RecordedArguments,
    ) -> Result<Self, RecordTrafficError> {
        let file =
            create(path).map_err(|source| RecordTrafficError::Create { path: path.to_owned(), source })?;
        Self::start(file, max_bytes, arguments, QUEUE_BYTES).map_err(RecordTrafficError::Thread)
    }

    fn start(
        out: impl Write + Send + 'static,
        max_bytes: u64,
        arguments: RecordedArguments,
        queue_bytes: usize,
    ) -> io::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let header = TrafficHeader {
            schema: TRAFFIC_SCHEMA.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            started_unix_ms: now.as_millis() as u64,
            arguments,
        };
        let file = TraceFile::new(out, max_bytes);
        let sink = TraceSink { file, header: Some(header), warnings: DropWarnings::default() };
        let lines = LineWriter::start(sink, &THREAD, [touched(queue_bytes), touched(queue_bytes)])?;
        Ok(Self { recording: Arc::new(Recording::new(arguments, lines)) })
    }

    /// Ends the recording, and waits until all is written, for at most `patience`. Returns whether it is.
    pub fn finish(&self, patience: Duration) -> bool {
        self.recording.close(patience)
    }

    /// Bytes that it may hold at the moment.
    pub(crate) fn bytes(&self) -> usize {
        self.recording.bytes()
    }

    /// Whether requests are written down still.
    pub(crate) fn is_on(&self) -> bool {
        self.recording.is_on()
    }

    /// Begins a request; `None` if it is not recorded.
    pub(crate) fn begin(&self, facts: &RequestFacts<'_>) -> Option<Box<RequestInProgress>> {
        RequestInProgress::begin(&self.recording, facts)
    }
}

impl fmt::Debug for TrafficRecorder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TrafficRecorder").field("is_on", &self.is_on()).finish_non_exhaustive()
    }
}

/// The file, and who hears of what it lacks.
struct TraceSink<W> {
    file: TraceFile<W>,
    /// Until it is written.
    header: Option<TrafficHeader<'static>>,
    warnings: DropWarnings,
}

impl<W: Write + Send + 'static> LineSink for TraceSink<W> {
    fn begin(&mut self) {
        if let Some(header) = self.header.take() {
            self.file.write_line(&TrafficLine::Header(header));
        }
    }

    fn write(&mut self, lines: &[u8], batch: &Batch) {
        self.file.write(lines);
        if batch.dropped > 0 {
            self.file.write_line(&TrafficLine::Dropped(batch.dropped));
        }
        if let Some(dropped) = self.warnings.due(batch.dropped, batch.is_last, Instant::now()) {
            tracing::warn!(
                dropped,
                "requests are missing in the record of traffic: its file takes them too slowly"
            );
        }
    }

    fn is_full(&self) -> bool {
        self.file.is_stopped()
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::RecordedOutcome;
    use super::super::line_writer::testing::{Gated, Gone, PATIENCE};
    use super::super::recording::{RequestEnd, RequestName};
    use super::*;
    use crate::metrics::Moment;
    use crate::protocol::{Era, Method};

    fn facts<'a>(name: &'a str, params: &'a str) -> RequestFacts<'a> {
        RequestFacts {
            came: Moment::now(),
            peer: 4,
            era: Era::Modern,
            method: Some(Method::ToolsCall),
            name: Some(RequestName { text: name, is_listed: name == "echo" }),
            request_bytes: params.len(),
            params: Some(params),
        }
    }

    fn ended(outcome: RecordedOutcome) -> RequestEnd {
        RequestEnd { now: Moment::now(), answer_bytes: 11, outcome, code: None }
    }

    fn start(out: &Gated, arguments: RecordedArguments, queue_bytes: usize) -> TrafficRecorder {
        TrafficRecorder::start(out.clone(), u64::MAX, arguments, queue_bytes).expect("starts")
    }

    #[test]
    fn requests_are_written_with_what_became_of_them() {
        let out = Gated::default();
        let recorder = start(&out, RecordedArguments::Redacted, QUEUE_BYTES);
        let echo = recorder.begin(&facts("echo", r#"{"arguments":{"text":"canary"}}"#)).expect("recorded");
        echo.end(&ended(RecordedOutcome::Ok));
        drop(recorder.begin(&facts("canary tool", r#"{"arguments":{"n":1}}"#)).expect("recorded"));
        assert!(recorder.finish(PATIENCE));
        assert!(recorder.begin(&facts("echo", "{}")).is_none(), "it is over");
        let lines = out.json();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["header"]["arguments"], "redacted");
        let (first, second) = (&lines[1]["request"], &lines[2]["request"]);
        assert_eq!(
            (&first["name"], &first["outcome"], &first["redacted"]),
            (&"echo".into(), &"ok".into(), &true.into())
        );
        assert_eq!(first["params"]["arguments"]["text"], "{{text 6}}");
        assert_eq!((&first["answer_bytes"], &first["peer"]), (&11.into(), &4.into()));
        assert_eq!((&second["name_bytes"], &second["outcome"]), (&11.into(), &"cancelled".into()));
        assert!(second.get("name").is_none());
        let text = out.text();
        assert!(!text.contains("canary"), "{text}");
    }

    #[test]
    fn whole_arguments_are_written_only_when_they_are_asked_for() {
        let out = Gated::default();
        let recorder = start(&out, RecordedArguments::Whole, QUEUE_BYTES);
        let echo =
            recorder.begin(&facts("another", "{\n\"arguments\":{\"text\":\"kept\"}}")).expect("recorded");
        echo.end(&ended(RecordedOutcome::ToolError));
        let long = "x".repeat(1_000);
        recorder.begin(&facts(&long, "{}")).expect("recorded").end(&ended(RecordedOutcome::Ok));
        assert!(recorder.finish(PATIENCE));
        let lines = out.json();
        assert_eq!(lines[0]["header"]["arguments"], "whole");
        let request = &lines[1]["request"];
        assert_eq!((&request["name"], &request["outcome"]), (&"another".into(), &"isError".into()));
        assert_eq!(
            (&request["params"]["arguments"]["text"], request.get("redacted")),
            (&"kept".into(), None)
        );
        assert_eq!(lines[2]["request"]["name_bytes"], 1_000, "a name is bounded all the same");
    }

    /// The thread that writes stands still; nobody waits for it, and what finds no room is counted.
    #[test]
    fn a_stalled_writer_costs_lines_and_no_time() {
        let out = Gated::default();
        let closed = out.close();
        let recorder = start(&out, RecordedArguments::Redacted, 2_000);
        for _ in 0..1_000 {
            recorder.begin(&facts("echo", "{}")).expect("recorded").end(&ended(RecordedOutcome::Ok));
        }
        assert!(!recorder.finish(Duration::ZERO), "nothing can be written");
        drop(closed);
        assert!(recorder.finish(PATIENCE));
        let lines = out.json();
        let written = lines.iter().filter(|line| line.get("request").is_some()).count() as u64;
        let dropped: u64 = lines.iter().filter_map(|line| line["dropped"].as_u64()).sum();
        assert_eq!(written + dropped, 1_000);
        assert!((1..=40).contains(&written), "{written} lines in two rooms of 2,000 bytes");
    }

    #[test]
    fn requests_that_never_end_have_a_bound_together() {
        let out = Gated::default();
        let recorder = start(&out, RecordedArguments::Whole, QUEUE_BYTES);
        let params = format!(r#"{{"arguments":{{"text":"{}"}}}}"#, "x".repeat(60_000));
        let waiting: Vec<_> = (0..100).map(|_| recorder.begin(&facts("echo", &params))).collect();
        let begun = waiting.iter().flatten().count();
        assert!((10..18).contains(&begun), "{begun}");
        drop(waiting);
        recorder
            .begin(&facts("echo", &params))
            .expect("there is room again")
            .end(&ended(RecordedOutcome::Ok));
        assert!(recorder.finish(PATIENCE));
        let dropped: u64 = out.json().iter().filter_map(|line| line["dropped"].as_u64()).sum();
        assert!(dropped >= 100 - begun as u64, "{dropped}");
    }

    #[test]
    fn a_recorder_holds_no_more_than_a_plan_says() {
        let out = Gated::default();
        let closed = out.close();
        let recorder = start(&out, RecordedArguments::Whole, QUEUE_BYTES);
        let params = format!(r#"{{"arguments":{{"text":"{}"}}}}"#, "x".repeat(900));
        let waiting: Vec<_> = (0..5_000).map(|_| recorder.begin(&facts("echo", &params))).collect();
        for request in waiting.into_iter().flatten() {
            request.end(&ended(RecordedOutcome::Ok));
        }
        let waiting: Vec<_> = (0..5_000).map(|_| recorder.begin(&facts("echo", &params))).collect();
        let bytes = recorder.bytes() as u64;
        assert!(bytes > 1 << 20 && bytes <= MAX_RECORDER_BYTES, "{bytes} of {MAX_RECORDER_BYTES}");
        drop(waiting);
        drop(closed);
        assert!(recorder.finish(PATIENCE));
    }

    #[test]
    fn the_thread_ends_with_the_last_who_could_add_something() {
        let (gone, is_gone) = Gone::new();
        let recorder =
            TrafficRecorder::start(gone, u64::MAX, RecordedArguments::Redacted, 1_000).expect("starts");
        drop(recorder);
        is_gone.recv_timeout(PATIENCE).expect("the thread ends");
    }
}
