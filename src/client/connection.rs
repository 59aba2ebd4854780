//! One connection to a server: sends requests, and matches answers to them by id.
//!
//! Owns a reading task, a writing task and the table of pending requests; does not know what the methods mean, nor that
//! there is a process. Invariants: the writing task gets whole lines only, so that a caller that gives up never leaves
//! half a message; every queue is bounded; the entry of a request leaves the table when its [`Pending`] is dropped.

use super::error::ClientError;
use super::line::{LineError, LineReader};
use crate::lock::lock;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

/// The most lines that wait while the server does not read.
const QUEUED_LINES: usize = 16;
/// The most progress notifications that wait for the caller; more are dropped.
const QUEUED_PROGRESS: usize = 16;

/// A report of progress of a long call.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Progress {
    /// How much is done; grows with each report.
    pub progress: f64,
    /// How much there is in total, if the server knows.
    pub total: Option<f64>,
    /// What is being done.
    pub message: Option<String>,
}

/// Why the connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The server closed its side, or reading failed.
    Closed,
    /// The server sent a line beyond the limit.
    TooLong { limit_bytes: usize },
}

/// A JSON-RPC error object.
#[derive(Debug, Deserialize)]
pub(super) struct Fault {
    pub(super) code: i64,
    #[serde(default)]
    pub(super) message: String,
    pub(super) data: Option<Box<RawValue>>,
}

impl Fault {
    pub(super) fn into_error(self, method: &str) -> ClientError {
        ClientError::Protocol {
            method: method.to_owned(),
            code: self.code,
            message: self.message,
            data: self.data.map(|data| data.get().to_owned()),
        }
    }
}

/// What a server sends: an answer, a request or a notification.
#[derive(Deserialize)]
struct Incoming {
    id: Option<Value>,
    method: Option<String>,
    params: Option<Box<RawValue>>,
    result: Option<Box<RawValue>>,
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct ProgressParams {
    #[serde(rename = "progressToken")]
    token: u64,
    #[serde(flatten)]
    progress: Progress,
}

#[derive(Serialize)]
struct Outgoing<'a> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    method: &'a str,
    #[serde(skip_serializing_if = "Value::is_null", serialize_with = "name_first")]
    params: Value,
}

/// Writes the name of a tool before its arguments, so that a server can decode those as they come.
fn name_first<S: Serializer>(params: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    let Value::Object(members) = params else { return params.serialize(serializer) };
    let name = members.get_key_value("name");
    let others = members.iter().filter(|(key, _)| *key != "name");
    serializer.collect_map(name.into_iter().chain(others))
}

type Answer = Result<Box<RawValue>, Fault>;

struct Waiter {
    answer: oneshot::Sender<Answer>,
    progress: mpsc::Sender<Progress>,
}

#[derive(Default)]
struct Table {
    waiters: HashMap<u64, Waiter>,
    end: Option<End>,
}

#[derive(Default)]
struct Shared {
    table: Mutex<Table>,
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }
}

/// A connection; dropping it closes the server's stdin.
pub(super) struct Connection {
    shared: Arc<Shared>,
    lines: mpsc::Sender<Vec<u8>>,
    next_id: AtomicU64,
}

impl Connection {
    /// Starts the two tasks; needs a running tokio runtime.
    pub(super) fn open(
        input: impl AsyncRead + Send + Unpin + 'static,
        output: impl AsyncWrite + Send + Unpin + 'static,
        max_line_bytes: usize,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let (lines, queue) = mpsc::channel(QUEUED_LINES);
        tokio::spawn(write_lines(output, queue));
        let replies = lines.downgrade();
        tokio::spawn(read_lines(LineReader::new(input, max_line_bytes), Arc::clone(&shared), replies));
        Self { shared, lines, next_id: AtomicU64::new(1) }
    }

    /// The id that the next request will have: it is its progress token too.
    pub(super) fn take_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a request and gives the handle that receives its answer.
    pub(super) async fn request(&self, id: u64, method: &str, params: Value) -> Result<Pending, End> {
        let (answer, answered) = oneshot::channel();
        let (progress, progressed) = mpsc::channel(QUEUED_PROGRESS);
        {
            let mut table = self.shared.table();
            if let Some(end) = table.end {
                return Err(end);
            }
            table.waiters.insert(id, Waiter { answer, progress });
        }
        let pending = Pending { id, shared: Arc::clone(&self.shared), answered, progressed };
        self.send(Outgoing { jsonrpc: "2.0", id: Some(id), method, params }).await?;
        Ok(pending)
    }

    /// Sends a notification.
    pub(super) async fn notify(&self, method: &str, params: Value) -> Result<(), End> {
        self.send(Outgoing { jsonrpc: "2.0", id: None, method, params }).await
    }

    async fn send(&self, message: Outgoing<'_>) -> Result<(), End> {
        // invariant: `Outgoing` holds strings, numbers and a `Value`, all of which have a JSON form.
        let mut line = serde_json::to_vec(&message).expect("a message has a JSON form");
        line.push(b'\n');
        match self.lines.send(line).await {
            Ok(()) => Ok(()),
            // The writing task has ended: the reading task tells why, or will soon.
            Err(_) => Err(self.shared.table().end.unwrap_or(End::Closed)),
        }
    }
}

/// A request without an answer yet.
pub(super) struct Pending {
    id: u64,
    shared: Arc<Shared>,
    answered: oneshot::Receiver<Answer>,
    progressed: mpsc::Receiver<Progress>,
}

/// What happened to a pending request.
pub(super) enum Event {
    Progress(Progress),
    Answer(Answer),
}

impl Pending {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Waits for the next report of progress, or the answer. Reports that came before the answer come first.
    pub(super) async fn next(&mut self) -> Result<Event, End> {
        tokio::select! {
            biased;
            Some(progress) = self.progressed.recv() => Ok(Event::Progress(progress)),
            answer = &mut self.answered => match answer {
                Ok(answer) => Ok(Event::Answer(answer)),
                Err(_) => Err(self.shared.table().end.unwrap_or(End::Closed)),
            },
        }
    }

    /// Waits for the answer, and skips reports of progress.
    pub(super) async fn answer(mut self) -> Result<Answer, End> {
        loop {
            if let Event::Answer(answer) = self.next().await? {
                return Ok(answer);
            }
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.shared.table().waiters.remove(&self.id);
    }
}

async fn write_lines(mut output: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = queue.recv().await {
        let written = async {
            output.write_all(&line).await?;
            output.flush().await
        };
        if let Err(error) = written.await {
            tracing::debug!(%error, "the server reads no more");
            return;
        }
    }
}

async fn read_lines(
    mut reader: LineReader<impl AsyncRead + Unpin>,
    shared: Arc<Shared>,
    replies: mpsc::WeakSender<Vec<u8>>,
) {
    let end = loop {
        match reader.next_line().await {
            Ok(Some(line)) => receive(line, &shared, &replies),
            Ok(None) => break End::Closed,
            Err(LineError::TooLong) => break End::TooLong { limit_bytes: reader.max_bytes() },
            Err(LineError::Io(error)) => {
                tracing::debug!(%error, "cannot read from the server");
                break End::Closed;
            }
        }
    };
    let mut table = shared.table();
    table.end = Some(end);
    // Dropping the waiters wakes all who wait.
    table.waiters.clear();
}

fn receive(line: &[u8], shared: &Shared, replies: &mpsc::WeakSender<Vec<u8>>) {
    if line.trim_ascii().is_empty() {
        return;
    }
    let message: Incoming = match serde_json::from_slice(line) {
        Ok(message) => message,
        Err(error) => {
            let shown = String::from_utf8_lossy(&line[..line.len().min(200)]);
            tracing::warn!(%error, line = ?shown, "the server wrote a line to stdout that is no message; skipped");
            return;
        }
    };
    match (message.id, message.method) {
        (Some(id), Some(method)) => refuse(&id, &method, replies),
        (None, Some(method)) => notified(&method, message.params.as_deref(), shared),
        (Some(id), None) => {
            let waiter = id.as_u64().and_then(|id| shared.table().waiters.remove(&id));
            let Some(waiter) = waiter else {
                tracing::debug!(%id, "an answer to nothing that waits");
                return;
            };
            let answer = match (message.error, message.result) {
                (Some(fault), _) => Err(fault),
                (None, Some(result)) => Ok(result),
                // `null` is no object; the decoder of the method refuses it.
                (None, None) => Ok(RawValue::NULL.to_owned()),
            };
            let _ = waiter.answer.send(answer);
        }
        (None, None) => {
            let fault = message.error.map(|fault| fault.message).unwrap_or_default();
            tracing::warn!(error = fault, "the server could not read a message");
        }
    }
}

fn notified(method: &str, params: Option<&RawValue>, shared: &Shared) {
    match (method, params) {
        ("notifications/progress", Some(params)) => {
            let Ok(params) = serde_json::from_str::<ProgressParams>(params.get()) else { return };
            if let Some(waiter) = shared.table().waiters.get(&params.token) {
                // A caller that does not read misses reports; waiting for it would delay every other answer.
                let _ = waiter.progress.try_send(params.progress);
            }
        }
        (_, Some(params)) => tracing::debug!(method, params = params.get(), "notification"),
        (_, None) => tracing::debug!(method, "notification"),
    }
}

/// Answers the request of a server of an older revision. This client declares no capability, so only a ping is valid.
fn refuse(id: &Value, method: &str, replies: &mpsc::WeakSender<Vec<u8>>) {
    let reply = if method == "ping" {
        json!({"jsonrpc": "2.0", "id": id, "result": {}})
    } else {
        let message = format!("this client does not answer {method}");
        json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": message}})
    };
    if let Some(lines) = replies.upgrade() {
        // It never waits: a server that sends requests without reading must not stop the reading of its answers.
        let _ = lines.try_send(format!("{reply}\n").into_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_tool_comes_before_its_arguments() {
        let params = json!({"_meta": {}, "arguments": {"name": "x"}, "name": "echo"});
        let message = Outgoing { jsonrpc: "2.0", id: Some(7), method: "tools/call", params };
        let text = serde_json::to_string(&message).expect("JSON");
        assert!(text.contains(r#""params":{"name":"echo","#), "{text}");
        assert_eq!(text.matches(r#""name":"echo""#).count(), 1, "{text}");
    }
}
