//! [`LoadTrace`]: the requests of a recorded trace, as they are to be made again.
//!
//! Read as a whole before the test, so that nothing is read or parsed while requests begin. Invariants: what is kept has
//! bounds, and a trace beyond them is refused; equal requests share what they ask for, which takes little more than its
//! text; requests stand in the order in which they came.

use super::request::{Era, TracedParams};
use super::step::LoadStep;
use super::template::{MAX_REQUEST_BYTES, Template};
use crate::protocol::Method;
use crate::traffic::{RecordedEra, RecordedRequest, TRAFFIC_SCHEMA, TrafficLine};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The longest line of a trace.
const MAX_LINE_BYTES: u64 = 1024 * 1024;
/// The most requests, different requests, tools and methods of a trace, and bytes of its parameters.
const MAX_REQUESTS: usize = 2_000_000;
const MAX_SHAPES: usize = 250_000;
const MAX_OPERATIONS: usize = 200;
const MAX_PARAMS_BYTES: usize = 64 * 1024 * 1024;
/// What a message has besides its parameters, at most.
const MAX_ENVELOPE_BYTES: u64 = 64 * 1024;
/// The longest name that stands for one that was not written down.
const MAX_FILLER_BYTES: usize = 128;

/// Why a trace cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A line is no line of a trace.
    #[error("{path}:{line}: {why}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The trace has more than is kept.
    #[error("{path}: it has more than {max} {what}: record a shorter time")]
    TooMuch {
        /// The file.
        path: PathBuf,
        /// The bound.
        max: usize,
        /// What it bounds.
        what: &'static str,
    },
    /// There is nothing to replay.
    #[error("{path}: there is no request in it that can be made again")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The speed is no factor.
    #[error("the speed of a replay is a number above 0, as 2 for twice as fast")]
    Speed,
}

/// A trace that `mcpool serve --record-traffic` has written.
///
/// ```
/// use mcpool::load::{LoadTarget, LoadTestScenario, LoadTrace};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("traffic.jsonl");
/// # let header = r#"{"header":{"schema":"mcpool.traffic/1","version":"1","started_unix_ms":0,"arguments":"redacted"}}"#;
/// # let request = r#"{"request":{"at_us":0,"peer":0,"era":"legacy","method":"ping","request_bytes":1,"answer_bytes":1,"took_us":1,"outcome":"ok"}}"#;
/// # std::fs::write(&path, format!("{header}\n{request}\n"))?;
/// let trace = LoadTrace::read(&path)?.speed(2.0)?;
/// assert_eq!((trace.requests(), trace.peers()), (1, 1));
/// let target = LoadTarget::parse("http://127.0.0.1:8000/mcp")?;
/// let scenario = LoadTestScenario::new("yesterday", target).connections(16).replay(trace);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LoadTrace {
    pub(super) path: PathBuf,
    pub(super) speed: f64,
    pub(super) requests: Vec<TracedRequest>,
    pub(super) operations: Vec<TracedOperation>,
    shapes: Vec<Shape>,
    /// The templates and URIs of the shapes.
    texts: Vec<u8>,
    peers: usize,
    /// The era of most requests.
    pub(super) era: Era,
    /// Requests that cannot be made again, by the reason.
    pub(super) skipped: BTreeMap<&'static str, u64>,
    pub(super) dropped: u64,
    pub(super) is_torn: bool,
    pub(super) stopped: Option<String>,
}

/// A request, when it came and from whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct TracedRequest {
    pub(super) at_us: u64,
    /// The number of its session or connection, in the order in which they came.
    pub(super) peer: u32,
    pub(super) shape: u32,
}

/// What is counted together: the calls of one tool, or the requests of a method.
#[derive(Debug)]
pub(super) struct TracedOperation {
    pub(super) step: LoadStep,
    pub(super) method: Method,
}

/// What one or more requests asked for: a template of its members, and behind it the URI of the head. In bytes of
/// [`LoadTrace::texts`].
#[derive(Debug, Clone, Copy)]
struct Shape {
    operation: u32,
    starts: u32,
    members_bytes: u32,
    uri_bytes: u32,
    /// A value or a name is not that of the trace.
    is_redacted: bool,
}

impl LoadTrace {
    /// Reads a trace.
    ///
    /// # Errors
    /// When the file cannot be read, a line of it cannot be understood, it has more than two million requests, 250,000
    /// different ones, 64 MiB of their parameters or 200 tools, or none that can be made again. A last line that was cut
    /// off is no error. What is kept takes up to a quarter of a gibibyte.
    pub fn read(path: &Path) -> Result<Self, TraceError> {
        let fault = |source| TraceError::Read { path: path.to_owned(), source };
        // A pipe without a writer would never open, a device never end.
        if !std::fs::metadata(path).map_err(fault)?.is_file() {
            return Err(fault(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file")));
        }
        let mut lines = BufReader::new(File::open(path).map_err(fault)?);
        let mut reading = Reading::new(path);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut lines).take(MAX_LINE_BYTES).read_until(b'\n', &mut line).map_err(fault)?;
            if read == 0 {
                return reading.finish();
            }
            let is_whole = line.last() == Some(&b'\n');
            reading.line(&line, is_whole)?;
        }
    }

    /// Replays so many times as fast.
    ///
    /// # Errors
    /// When it is no number above 0.
    pub fn speed(mut self, speed: f64) -> Result<Self, TraceError> {
        if !(speed.is_finite() && speed >= 1e-3) {
            return Err(TraceError::Speed);
        }
        self.speed = speed;
        Ok(self)
    }

    /// The number of the operation of a shape.
    pub(super) fn operation_of(&self, shape: u32) -> usize {
        self.shapes[shape as usize].operation as usize
    }

    pub(super) fn is_redacted(&self, shape: u32) -> bool {
        self.shapes[shape as usize].is_redacted
    }

    /// What a request of a shape asks for.
    pub(super) fn params(&self, shape: u32) -> TracedParams<'_> {
        let Shape { starts, members_bytes, uri_bytes, .. } = self.shapes[shape as usize];
        let (members, behind) = self.texts[starts as usize..].split_at(members_bytes as usize);
        let uri = std::str::from_utf8(&behind[..uri_bytes as usize]).ok();
        TracedParams { uri: uri.filter(|uri| !uri.is_empty()), members }
    }

    /// How many requests of it can be made again.
    pub fn requests(&self) -> usize {
        self.requests.len()
    }

    /// How many sessions, and connections without one, they came from.
    pub fn peers(&self) -> usize {
        self.peers
    }
}

/// A trace that is being read.
struct Reading<'p> {
    path: &'p Path,
    line: u64,
    has_header: bool,
    trace: LoadTrace,
    numbers: HashMap<u64, u32>,
    /// The number of each shape, by two hashes of what it asks for: `None` of what cannot be asked for.
    known: HashMap<[u64; 2], Result<u32, &'static str>>,
    hashers: [RandomState; 2],
    operations: HashMap<(Method, String), u32>,
    modern: usize,
}

/// The request of a line, as it is to be made.
struct Asked<'a> {
    method: Method,
    name: Option<Cow<'a, str>>,
    params: &'a str,
    /// Strings in `params` may be placeholders.
    has_placeholders: bool,
    is_redacted: bool,
}

impl<'a> Asked<'a> {
    fn of(request: &'a RecordedRequest<'_>, method: Method) -> Self {
        let is_carried = |name: &&str| name.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let name = request.name.as_deref().filter(is_carried);
        let length = request.name.as_ref().map(|name| name.len() as u64).or(request.name_bytes);
        let is_named = name.is_some() || length.is_none();
        let filler =
            |length| "x".repeat(usize::try_from(length).unwrap_or(usize::MAX).clamp(1, MAX_FILLER_BYTES));
        Self {
            method,
            name: name.map(Cow::Borrowed).or_else(|| length.map(filler).map(Cow::Owned)),
            params: request.params.map_or("{}", |params| params.get()),
            has_placeholders: request.redacted,
            is_redacted: request.redacted || !is_named,
        }
    }

    /// The member that has the name.
    fn name_key(&self) -> &'static str {
        if self.method.as_str().starts_with("resources/") { "uri" } else { "name" }
    }

    /// The requests that it is counted with, as a step without arguments.
    fn operation(&self) -> LoadStep {
        let name = self.name.as_deref().filter(|_| self.name_key() == "name");
        let name = name.map(|name| ("name".to_owned(), Value::from(name)));
        LoadStep::method(self.method.as_str(), name.into_iter().collect())
    }

    /// What the head says in the modern era and the operation does not.
    fn uri(&self) -> &str {
        self.name.as_deref().filter(|_| self.method == Method::ResourcesRead).unwrap_or_default()
    }
}

impl<'p> Reading<'p> {
    fn new(path: &'p Path) -> Self {
        Self {
            path,
            line: 0,
            has_header: false,
            trace: LoadTrace {
                path: path.to_owned(),
                speed: 1.0,
                requests: Vec::new(),
                operations: Vec::new(),
                shapes: Vec::new(),
                texts: Vec::new(),
                peers: 0,
                era: Era::Legacy,
                skipped: BTreeMap::new(),
                dropped: 0,
                is_torn: false,
                stopped: None,
            },
            numbers: HashMap::new(),
            known: HashMap::new(),
            hashers: [RandomState::new(), RandomState::new()],
            operations: HashMap::new(),
            modern: 0,
        }
    }

    fn fault(&self, why: impl Into<String>) -> TraceError {
        TraceError::Line { path: self.path.to_owned(), line: self.line, why: why.into() }
    }

    fn too_much(&self, max: usize, what: &'static str) -> TraceError {
        TraceError::TooMuch { path: self.path.to_owned(), max, what }
    }

    /// Takes a line; one that is not whole is the last.
    fn line(&mut self, line: &[u8], is_whole: bool) -> Result<(), TraceError> {
        self.line += 1;
        if line.len() as u64 >= MAX_LINE_BYTES {
            return Err(self.fault(format!("the line has more than {MAX_LINE_BYTES} bytes")));
        }
        let read = match serde_json::from_slice::<TrafficLine<'_>>(line) {
            Ok(read) => read,
            // The recorder was killed, or its disk was full.
            Err(_) if !is_whole && self.has_header => {
                self.trace.is_torn = true;
                return Ok(());
            }
            Err(error) => return Err(self.fault(format!("this is no line of a trace: {error}"))),
        };
        match read {
            TrafficLine::Header(header) if header.schema != TRAFFIC_SCHEMA => {
                Err(self.fault(format!("the format is {:?}, and {TRAFFIC_SCHEMA} is read", header.schema)))
            }
            TrafficLine::Header(_) if !self.has_header => {
                self.has_header = true;
                Ok(())
            }
            TrafficLine::Header(_) => Err(self.fault("a second header: these are two traces")),
            _ if !self.has_header => Err(self.fault("a trace begins with its header")),
            TrafficLine::Request(request) => self.request(&request),
            TrafficLine::Dropped(count) => {
                self.trace.dropped = self.trace.dropped.saturating_add(count);
                Ok(())
            }
            TrafficLine::Stopped(why) => {
                self.trace.stopped = Some(why.into_owned());
                Ok(())
            }
        }
    }

    fn request(&mut self, request: &RecordedRequest<'_>) -> Result<(), TraceError> {
        let shape = match playable(request) {
            Ok(method) => self.shape(&Asked::of(request, method))?,
            Err(why) => Err(why),
        };
        let shape = match shape {
            Ok(shape) => shape,
            Err(why) => {
                *self.trace.skipped.entry(why).or_default() += 1;
                return Ok(());
            }
        };
        let next = self.numbers.len() as u32;
        let peer = *self.numbers.entry(request.peer).or_insert(next);
        if self.trace.requests.len() == MAX_REQUESTS {
            return Err(self.too_much(MAX_REQUESTS, "requests"));
        }
        self.modern += usize::from(request.era == RecordedEra::Modern);
        self.trace.requests.push(TracedRequest { at_us: request.at_us, peer, shape });
        Ok(())
    }

    /// The number of the shape of such a request, or why it cannot be made.
    fn shape(&mut self, asked: &Asked<'_>) -> Result<Result<u32, &'static str>, TraceError> {
        let key = (asked.method.as_str(), asked.name.as_deref(), asked.params, asked.has_placeholders);
        // Their seeds are secret, so that nobody makes two requests with the same pair.
        let key = [self.hashers[0].hash_one(key), self.hashers[1].hash_one(key)];
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        if self.known.len() == MAX_SHAPES {
            return Err(self.too_much(MAX_SHAPES, "different requests"));
        }
        if !asked.params.starts_with('{') {
            return Err(self.fault("its params are no object"));
        }
        let shape = match template(asked) {
            Ok(template) => Ok(self.keep(asked, &template)?),
            Err(why) => Err(why),
        };
        self.known.insert(key, shape);
        Ok(shape)
    }

    /// Keeps a shape; returns its number.
    fn keep(&mut self, asked: &Asked<'_>, template: &Template) -> Result<u32, TraceError> {
        let (members, uri) = (template.as_bytes(), asked.uri().as_bytes());
        let texts = &mut self.trace.texts;
        if texts.len() + members.len() + uri.len() > MAX_PARAMS_BYTES {
            return Err(self.too_much(MAX_PARAMS_BYTES, "bytes of parameters"));
        }
        let starts = texts.len() as u32;
        texts.extend_from_slice(members);
        texts.extend_from_slice(uri);
        let (members_bytes, uri_bytes) = (members.len() as u32, uri.len() as u32);
        let operation = self.operation(asked)?;
        let is_redacted = asked.is_redacted;
        self.trace.shapes.push(Shape { operation, starts, members_bytes, uri_bytes, is_redacted });
        Ok(self.trace.shapes.len() as u32 - 1)
    }

    /// The number of the operation of a request.
    fn operation(&mut self, asked: &Asked<'_>) -> Result<u32, TraceError> {
        let step = asked.operation();
        let key = (asked.method, step.name().to_owned());
        if let Some(known) = self.operations.get(&key) {
            return Ok(*known);
        }
        let number = self.trace.operations.len();
        if number == MAX_OPERATIONS {
            return Err(self.too_much(MAX_OPERATIONS, "different tools and methods"));
        }
        self.operations.insert(key, number as u32);
        self.trace.operations.push(TracedOperation { step, method: asked.method });
        Ok(number as u32)
    }

    fn finish(mut self) -> Result<LoadTrace, TraceError> {
        if !self.has_header {
            self.line += 1;
            return Err(self.fault("a trace begins with its header"));
        }
        if self.trace.requests.is_empty() {
            return Err(TraceError::Empty { path: self.path.to_owned() });
        }
        self.trace.texts.shrink_to_fit();
        self.trace.shapes.shrink_to_fit();
        // They were written when they ended.
        self.trace.requests.sort_by_key(|request| request.at_us);
        self.trace.peers = self.numbers.len();
        if self.modern * 2 > self.trace.requests.len() {
            self.trace.era = Era::Modern;
        }
        Ok(self.trace)
    }
}

/// Why requests are skipped whose parameters a server took and this does not.
const UNREADABLE: &str = "with parameters that cannot be read";
const TOO_LARGE: &str = "that would have more than 64 MiB";

/// The method of a request that can be made again, or why it cannot.
fn playable(request: &RecordedRequest<'_>) -> Result<Method, &'static str> {
    let Some(method) = Method::parse(&request.method) else { return Err("of methods that are not known") };
    match method {
        _ if method.is_notification() => Err("notifications"),
        Method::Initialize => Err("handshakes, which each connection makes anyway"),
        Method::Listen => Err("subscriptions, which last"),
        Method::TasksGet
        | Method::TasksUpdate
        | Method::TasksCancel
        | Method::TasksList
        | Method::TasksResult => Err("about tasks of another run"),
        _ if request.too_long => Err("with parameters too long to be recorded"),
        _ => Ok(method),
    }
}

/// The parameters of a request as a template of members, or why there is none: they are no object that `serde_json`
/// takes, as with half a surrogate pair in a key, which a client may have sent; or lengths of texts add up to more than a
/// request may have.
fn template(asked: &Asked<'_>) -> Result<Template, &'static str> {
    let mut members = serde_json::from_str::<Map<String, Value>>(asked.params).map_err(|_| UNREADABLE)?;
    members.remove("_meta");
    if let Some(name) = &asked.name {
        members.insert(asked.name_key().to_owned(), name.as_ref().into());
    }
    let mut template = Template::default();
    template.push_members(&members, !asked.has_placeholders).map_err(|_| UNREADABLE)?;
    if template.most_bytes() > MAX_REQUEST_BYTES - MAX_ENVELOPE_BYTES {
        return Err(TOO_LARGE);
    }
    Ok(template)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"header":{"schema":"mcpool.traffic/1","version":"0","started_unix_ms":1,"arguments":"redacted"}}"#;

    fn read(text: &str) -> Result<LoadTrace, TraceError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t");
        std::fs::write(&path, text).expect("written");
        LoadTrace::read(&path)
    }

    fn request(at_us: u64, peer: u64, more: &str) -> String {
        format!(
            r#"{{"request":{{"at_us":{at_us},"peer":{peer},"era":"legacy","request_bytes":1,"answer_bytes":1,"took_us":1,"outcome":"ok",{more}}}}}"#
        )
    }

    const CALL: &str =
        r#""method":"tools/call","name":"echo","params":{"arguments":{"text":"{{text 3}}"}},"redacted":true"#;

    #[test]
    fn requests_are_ordered_by_when_they_came_and_equal_ones_share_a_step() {
        let lines = [
            HEADER.to_owned(),
            request(30, 9, CALL),
            request(10, 4, r#""method":"ping""#),
            "{\"dropped\":3}".to_owned(),
            request(20, 9, CALL),
            request(5, 4, r#""method":"notifications/initialized""#),
            request(1, 4, r#""method":"initialize""#),
            request(2, 4, r#""method":"tools/call","name":"x","too_long":true"#),
            request(2, 4, r#""method":"tools/call","name_bytes":500"#),
            "{\"stopped\":\"full\"}".to_owned(),
            r#"{"request":{"at_us":9"#.to_owned(),
        ];
        let trace = read(&lines.join("\n")).expect("a trace");
        let found: Vec<_> = trace.requests.iter().map(|r| (r.at_us, r.peer, r.shape)).collect();
        assert_eq!(found, [(2, 1, 2), (10, 1, 1), (20, 0, 0), (30, 0, 0)]);
        assert_eq!((trace.peers(), trace.dropped, trace.is_torn), (2, 3, true));
        assert_eq!(trace.stopped.as_deref(), Some("full"));
        assert_eq!(trace.skipped.values().copied().collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(trace.operations[trace.operation_of(0)].step.name(), "echo");
        assert_eq!(trace.operations[trace.operation_of(2)].step.name().len(), MAX_FILLER_BYTES);
        let redacted: Vec<_> = (0..3).map(|shape| trace.is_redacted(shape)).collect();
        assert_eq!(redacted, [true, false, true]);
    }

    #[test]
    fn a_line_that_cannot_be_understood_is_named() {
        for (text, want) in [
            (
                format!("{HEADER}\n{{\"request\":\n{}\n", request(1, 1, CALL)),
                "t:2: this is no line of a trace",
            ),
            (request(1, 1, CALL) + "\n", "t:1: a trace begins with its header"),
            (String::new(), "t:1: a trace begins with its header"),
            (format!("{HEADER}\n{HEADER}\n"), "t:2: a second header"),
            (HEADER.replace("/1", "/9") + "\n", "t:1: the format is \"mcpool.traffic/9\""),
            (format!("{HEADER}\n"), "no request in it"),
            (format!("{HEADER}\n{}\n", request(1, 1, r#""method":"ping","params":[1]"#)), "t:2: its params"),
            (format!("{HEADER}\n{}", " ".repeat(2 * MAX_LINE_BYTES as usize)), "t:2: the line has more than"),
        ] {
            let error = read(&text).expect_err(want).to_string();
            assert!(error.contains(want), "{error} without {want}");
        }
        let error = LoadTrace::read(Path::new("/dev/null")).expect_err("a device");
        assert!(error.to_string().contains("no plain file"), "{error}");
    }

    /// A server takes keys and numbers that `serde_json` does not: one client's must not cost the trace.
    #[test]
    fn parameters_that_cannot_be_read_are_skipped_and_counted() {
        let arguments = [r#"{"\ud800k":1}"#, r#"{"path":"\ud800"}"#, r#"{"n":1e999}"#].map(|arguments| {
            request(
                1,
                1,
                &format!(r#""method":"tools/call","name":"x","params":{{"arguments":{arguments}}}"#),
            )
        });
        let most = format!("{{\"dropped\":{}}}", u64::MAX);
        let lines =
            [&[HEADER.to_owned()][..], &arguments, &[most.clone(), most, request(2, 1, CALL)]].concat();
        let trace = read(&(lines.join("\n") + "\n")).expect("a trace");
        assert_eq!((trace.requests(), trace.dropped), (1, u64::MAX));
        assert_eq!(trace.skipped.get(UNREADABLE), Some(&3));
    }

    /// A line of 3 KB stands for more than a gibibyte.
    #[test]
    fn a_request_that_would_be_too_large_is_skipped_and_counted() {
        let text = r#""{{text 1000000}}""#;
        let texts = vec![text; 100].join(",");
        let large = format!(
            r#""method":"tools/call","name":"x","params":{{"arguments":{{"all":[{texts}]}}}},"redacted":true"#
        );
        let lines = [HEADER.to_owned(), request(1, 1, &large), request(2, 1, CALL), request(3, 1, &large)];
        let trace = read(&lines.join("\n")).expect("a trace");
        assert_eq!((trace.requests(), trace.skipped.get(TOO_LARGE)), (1, Some(&2)));
    }

    #[test]
    fn different_requests_take_little_more_than_their_text() {
        let calls = (0..5_000).map(|n| {
            let more = format!(
                r#""method":"tools/call","name":"read","params":{{"arguments":{{"path":"{{{{text {n}}}}}","head":0}}}},"redacted":true"#
            );
            request(n, n % 7, &more)
        });
        let lines: Vec<_> = std::iter::once(HEADER.to_owned()).chain(calls).collect();
        let trace = read(&lines.join("\n")).expect("a trace");
        assert_eq!((trace.shapes.len(), trace.operations.len()), (5_000, 1));
        let each = trace.texts.len() / 5_000 + size_of::<Shape>() + size_of::<TracedRequest>();
        assert!(each <= 128, "{each} bytes for each different request");
        let asked = String::from_utf8_lossy(trace.params(3).members).into_owned();
        assert!(asked.starts_with(r#""name":"read","arguments":{"#), "{asked}");
    }

    #[test]
    fn a_resource_has_its_uri_in_head_and_body() {
        let read_of = |uri: &str| request(1, 1, &format!(r#""method":"resources/read","name":"{uri}""#));
        let lines = [HEADER.to_owned(), read_of("a://1"), read_of("a://2")];
        let trace = read(&lines.join("\n")).expect("a trace");
        assert_eq!((trace.operations.len(), trace.params(1).uri), (1, Some("a://2")));
        assert_eq!(trace.params(1).members, br#""uri":"a://2""#);
    }

    #[test]
    fn too_many_tools_are_refused() {
        let calls =
            (0..=MAX_OPERATIONS).map(|n| request(1, 1, &format!(r#""method":"tools/call","name":"t{n}""#)));
        let lines: Vec<_> = std::iter::once(HEADER.to_owned()).chain(calls).collect();
        let error = read(&lines.join("\n")).expect_err("too many");
        assert!(error.to_string().contains("more than 200 different tools"), "{error}");
    }

    #[test]
    fn a_speed_is_a_factor() {
        let text = format!("{HEADER}\n{}\n", request(1, 1, CALL));
        for speed in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(read(&text).expect("a trace").speed(speed), Err(TraceError::Speed)), "{speed}");
        }
    }
}
