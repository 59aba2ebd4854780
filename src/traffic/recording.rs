//! What threads that serve hand to the one that writes, and the requests among it that have not ended.
//!
//! Invariants: the queue and the requests in progress have bounds in bytes, and what finds no room is counted; a
//! request that was begun ends once, as cancelled if nobody ends it; once warm, a request allocates nothing here.

use super::format::{
    OTHER_METHOD, RecordedArguments, RecordedEra, RecordedOutcome, RecordedRequest, TrafficLine,
};
use super::line_writer::LineWriter;
use super::shape::write_shape;
use crate::lock::lock;
use crate::metrics::Moment;
use crate::protocol::{Era, Method};
use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The longest name that is written down.
const MAX_NAME_BYTES: usize = 256;
/// Room for what requests that have not ended say, all together.
const MAX_PROGRESS_BYTES: usize = 1024 * 1024;
/// How many requests are kept for reuse, and how long a text in them may be.
const KEPT_REQUESTS: usize = 64;
const KEPT_TEXT_BYTES: usize = 1024;
/// The most that one of them has.
const KEPT_BYTES: usize = size_of::<RequestInProgress>() + KEPT_TEXT_BYTES * 3;
/// What requests take at most, those that are kept too.
pub(super) const MAX_REQUESTS_BYTES: usize = MAX_PROGRESS_BYTES + KEPT_REQUESTS * KEPT_BYTES;

/// The part of a recorder that threads share.
pub(super) struct Recording {
    begun: Moment,
    arguments: RecordedArguments,
    lines: LineWriter,
    #[expect(clippy::vec_box, reason = "each is handed out in its box, without an allocation")]
    kept: Mutex<Vec<Box<RequestInProgress>>>,
    progress_bytes: AtomicUsize,
}

impl Recording {
    pub(super) fn new(arguments: RecordedArguments, lines: LineWriter) -> Self {
        Self {
            begun: Moment::now(),
            arguments,
            lines,
            kept: Mutex::default(),
            progress_bytes: AtomicUsize::new(0),
        }
    }

    /// Bytes that it may hold at the moment, with those that are being written.
    pub(super) fn bytes(&self) -> usize {
        let kept: usize = lock(&self.kept).iter().map(|request| request.bytes()).sum();
        self.lines.bytes() + self.progress_bytes.load(Ordering::Relaxed) + kept
    }

    pub(super) fn is_on(&self) -> bool {
        self.lines.is_open()
    }

    /// Has the rest written; waits for that for at most `patience`. Returns whether it is.
    pub(super) fn close(&self, patience: Duration) -> bool {
        self.lines.close(patience)
    }

    fn keep(&self, mut request: Box<RequestInProgress>) {
        request.name.clear();
        request.params.clear();
        let mut kept = lock(&self.kept);
        if kept.len() < KEPT_REQUESTS && request.bytes() <= KEPT_BYTES {
            kept.push(request);
        }
    }
}

/// What is known of a request when it comes.
#[derive(Debug)]
pub(crate) struct RequestFacts<'a> {
    pub(crate) came: Moment,
    /// A number for its session or connection.
    pub(crate) peer: u64,
    pub(crate) era: Era,
    pub(crate) method: Option<Method>,
    pub(crate) name: Option<RequestName<'a>>,
    pub(crate) request_bytes: usize,
    /// The parameters as JSON that was decoded before.
    pub(crate) params: Option<&'a str>,
}

/// The tool, prompt or URI that a request names.
#[derive(Debug)]
pub(crate) struct RequestName<'a> {
    pub(crate) text: &'a str,
    /// Whether the server lists it: any other is a text of the client.
    pub(crate) is_listed: bool,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) struct RequestEnd {
    pub(crate) now: Moment,
    pub(crate) answer_bytes: usize,
    pub(crate) outcome: RecordedOutcome,
    pub(crate) code: Option<i32>,
}

/// A request that is to be written down when it ends. Dropped, it ends as cancelled.
#[derive(Default)]
pub(crate) struct RequestInProgress {
    /// `None` between requests.
    recording: Option<Arc<Recording>>,
    came: Moment,
    peer: u64,
    era: Option<RecordedEra>,
    method: Option<Method>,
    name: String,
    name_bytes: Option<usize>,
    request_bytes: usize,
    params: Vec<u8>,
    is_redacted: bool,
    is_too_long: bool,
    line: Vec<u8>,
}

impl RequestInProgress {
    /// Begins a request; `None` if it is not recorded.
    pub(super) fn begin(recording: &Arc<Recording>, facts: &RequestFacts<'_>) -> Option<Box<Self>> {
        if !recording.is_on() {
            return None;
        }
        let keeps_all = recording.arguments == RecordedArguments::Whole;
        let mut request = lock(&recording.kept).pop().unwrap_or_default();
        request.came = facts.came;
        request.peer = facts.peer;
        request.era = Some(match facts.era {
            Era::Modern => RecordedEra::Modern,
            Era::Legacy => RecordedEra::Legacy,
        });
        request.method = facts.method;
        request.request_bytes = facts.request_bytes;
        request.name_bytes = None;
        (request.is_redacted, request.is_too_long) = (false, false);
        if let Some(RequestName { text, is_listed }) = facts.name {
            if (is_listed || keeps_all) && text.len() <= MAX_NAME_BYTES {
                request.name.push_str(text);
            } else {
                request.name_bytes = Some(text.len());
            }
        }
        if let Some(params) = facts.params {
            if let Ok(is_redacted) = write_shape(params, !keeps_all, &mut request.params) {
                request.is_redacted = is_redacted;
                if request.params.len() > KEPT_TEXT_BYTES {
                    request.params.shrink_to_fit();
                }
            } else {
                // As long as it waits, it would hold what is of no use.
                request.params = Vec::new();
                request.is_too_long = true;
            }
        }
        let bytes = request.text_bytes();
        if recording.progress_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > MAX_PROGRESS_BYTES {
            recording.progress_bytes.fetch_sub(bytes, Ordering::Relaxed);
            recording.lines.note_dropped();
            recording.keep(request);
            return None;
        }
        request.recording = Some(Arc::clone(recording));
        Some(request)
    }

    /// Writes the request down.
    pub(crate) fn end(mut self: Box<Self>, end: &RequestEnd) {
        if let Some(recording) = self.recording.take() {
            self.write(&recording, end);
            recording.keep(self);
        }
    }

    fn write(&mut self, recording: &Recording, end: &RequestEnd) {
        recording.progress_bytes.fetch_sub(self.text_bytes(), Ordering::Relaxed);
        let Self { name, params, line, .. } = self;
        // What a client calls a method is not written down.
        let method = self.method.map_or(OTHER_METHOD, Method::as_str);
        let request = TrafficLine::Request(RecordedRequest {
            at_us: self.came.ns_since(recording.begun) / 1_000,
            peer: self.peer,
            era: self.era.unwrap_or(RecordedEra::Legacy),
            method: Cow::Borrowed(method),
            name: (!name.is_empty()).then_some(Cow::Borrowed(name.as_str())),
            name_bytes: self.name_bytes.map(|bytes| bytes as u64),
            request_bytes: self.request_bytes as u64,
            answer_bytes: end.answer_bytes as u64,
            took_us: end.now.ns_since(self.came) / 1_000,
            outcome: end.outcome,
            code: end.code,
            // Written behind it: to make it a `RawValue` would be to read it again, which allocates.
            params: None,
            redacted: self.is_redacted,
            too_long: self.is_too_long,
        });
        line.clear();
        match serde_json::to_writer(&mut *line, &request) {
            Ok(()) => {
                if !params.is_empty() {
                    line.truncate(line.len().saturating_sub(b"}}".len()));
                    line.extend_from_slice(br#","params":"#);
                    line.extend_from_slice(params);
                    line.extend_from_slice(b"}}");
                }
                line.push(b'\n');
                recording.lines.push(line);
            }
            // Nothing in it can fail; if it does, the line is missing and is counted.
            Err(_) => recording.lines.note_dropped(),
        }
    }

    fn text_bytes(&self) -> usize {
        size_of::<Self>() + self.name.capacity() + self.params.capacity()
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.name.capacity() + self.params.capacity() + self.line.capacity()
    }
}

impl Drop for RequestInProgress {
    fn drop(&mut self) {
        if let Some(recording) = self.recording.take() {
            let outcome = RecordedOutcome::Cancelled;
            self.write(&recording, &RequestEnd { now: Moment::now(), answer_bytes: 0, outcome, code: None });
        }
    }
}

impl fmt::Debug for RequestInProgress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RequestInProgress").field("method", &self.method).finish_non_exhaustive()
    }
}
