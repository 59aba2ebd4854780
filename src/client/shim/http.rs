//! The shim to Streamable HTTP: sends each line as a POST, and writes each message that comes back as a line.
//!
//! Requests run concurrently, each on its own connection; connections are kept for later requests. Cancelling a modern
//! request closes its connection, as the protocol asks. Answers go to one writer through a bounded queue, so that no
//! more is read from the server while the client does not read.

use super::error::ShimError;
use super::lines::{next_line, write_line};
use super::message::{Handshake, Summary, lost};
use super::outage::{Outage, trying_again};
use super::refusal::Refusal;
use super::target::HttpTarget;
use crate::client::line::LineReader;
use crate::client::wire_http::{Answer, Body, HttpConnection, Request};
use crate::limits::Limits;
use crate::lock::lock;
use crate::protocol::{Method, Revision, mirror, mirrored};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

/// The most messages that wait for the client.
const MAX_WAITING: usize = 64;
/// The most requests at once; at this limit, no more is read from the client until one is done.
const MAX_AT_ONCE: usize = 100;
/// The most idle connections that are kept for later requests.
const MAX_IDLE: usize = 8;

/// How long a connection may take to stand.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// What all requests share.
struct Shared {
    target: HttpTarget,
    /// When nobody is waited for any more, if the server was never reached.
    reached_by: Instant,
    /// Somebody was told that it was not.
    given_up: Notify,
    max_answer_bytes: usize,
    state: Mutex<State>,
    answers: Sender<Vec<u8>>,
}

#[derive(Default)]
struct State {
    /// The server was there once.
    is_reached: bool,
    /// Why it never was, when nobody is waited for any more.
    no_server: Option<String>,
    idle: Vec<HttpConnection>,
    handshake: Handshake,
    session: Option<String>,
    version: Option<String>,
    /// Headers of arguments, by tool: header and path of names.
    mirrored: HashMap<String, Vec<(String, Vec<String>)>>,
    running: HashMap<String, AbortHandle>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    async fn send_to_client(&self, line: Vec<u8>) {
        // The writer ends only with the shim.
        let _ = self.answers.send(line).await;
    }

    /// Pauses after a failed attempt to reach the server, and logs the first one. `false` where nobody was ever reached,
    /// and it is time to give up.
    async fn wait(&self, outage: &mut Outage, error: &io::Error) -> bool {
        let is_reached = self.state().is_reached;
        let left = self.reached_by.saturating_duration_since(Instant::now());
        if !outage.is_on() {
            let how = trying_again((!is_reached).then_some(left));
            tracing::warn!("cannot reach the server at {}: {error}; {how}", self.target.url);
        }
        let pause = outage.prolong();
        if is_reached {
            tokio::time::sleep(pause).await;
            return true;
        }
        if left.is_zero() {
            return false;
        }
        tokio::time::sleep(pause.min(left)).await;
        true
    }

    /// Tells who waits for an answer that nobody is there, and has the shim end.
    async fn give_up(&self, summary: &Summary, error: &io::Error) {
        // Without a request, nobody would hear of it.
        let Some(id) = summary.id.as_ref().filter(|_| summary.is_request()) else { return };
        let why = error.to_string();
        self.send_to_client(lost(id, &self.no_server(why.clone()).to_string())).await;
        self.state().no_server = Some(why);
        self.given_up.notify_one();
    }

    fn no_server(&self, why: String) -> ShimError {
        ShimError::NoServer { target: self.target.url.clone(), why }
    }

    /// Tells the client why its request was refused; what nobody waits for is logged.
    async fn tell_refusal(&self, summary: &Summary, refusal: &Refusal) {
        if let Some(id) = summary.id.as_ref().filter(|_| summary.is_request()) {
            self.send_to_client(refusal.answer(id, &self.target.url)).await;
        } else {
            tracing::warn!("{}", refusal.sentence(&self.target.url));
        }
    }

    fn note_reached(&self, outage: &mut Outage) {
        self.state().is_reached = true;
        if outage.end() {
            tracing::warn!("the server at {} is back", self.target.url);
        }
    }
}

pub(super) async fn run<R, W>(
    target: &HttpTarget,
    mut client: LineReader<R>,
    output: W,
    limits: &Limits,
    patience: Duration,
) -> Result<(), ShimError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (answers, lines) = channel(MAX_WAITING);
    let shared = Arc::new(Shared {
        target: target.clone(),
        reached_by: Instant::now() + patience,
        given_up: Notify::new(),
        max_answer_bytes: limits.max_reply_bytes,
        state: Mutex::default(),
        answers,
    });
    let (ended, written) = tokio::join!(read(shared, &mut client), write(lines, output));
    ended?;
    Ok(written?)
}

/// Sends what the client says until it ends, or until the server is given up.
async fn read<R: AsyncRead + Unpin>(
    shared: Arc<Shared>,
    client: &mut LineReader<R>,
) -> Result<(), ShimError> {
    let mut requests = JoinSet::new();
    let mut listening: Option<AbortHandle> = None;
    loop {
        let line = tokio::select! {
            line = next_line(client) => line?,
            () = shared.given_up.notified() => None,
        };
        let Some(line) = line else { break };
        while requests.len() >= MAX_AT_ONCE {
            requests.join_next().await;
        }
        while requests.try_join_next().is_some() {}
        let summary = Summary::of(&line);
        if let Some(id) = summary.cancels.as_deref().filter(|_| summary.version.is_some()) {
            if let Some(running) = shared.state().running.remove(id) {
                running.abort();
            }
            continue;
        }
        shared.state().handshake.watch(&summary, &line);
        // The handshake decides how all later messages are sent.
        let is_first = summary.is(Method::Initialize) || summary.is(Method::Initialized);
        let id = summary.id.clone().filter(|_| summary.is_request());
        let work = serve(Arc::clone(&shared), summary.clone(), line);
        if is_first {
            work.await;
            if summary.is(Method::Initialized) && shared.state().session.is_some() {
                listening.take().inspect(AbortHandle::abort);
                listening = Some(tokio::spawn(listen(Arc::clone(&shared))).abort_handle());
            }
            continue;
        }
        let running = requests.spawn(work);
        if let Some(id) = id {
            shared.state().running.insert(id, running);
        }
    }
    while requests.join_next().await.is_some() {}
    listening.inspect(AbortHandle::abort);
    end_session(&shared).await;
    let no_server = shared.state().no_server.take();
    no_server.map_or(Ok(()), |why| Err(shared.no_server(why)))
}

async fn write<W: AsyncWrite + Unpin>(mut lines: Receiver<Vec<u8>>, mut output: W) -> io::Result<()> {
    while let Some(line) = lines.recv().await {
        write_line(&mut output, &line).await?;
    }
    Ok(())
}

/// Sends one message and passes on what comes back; retries while the server is down.
async fn serve(shared: Arc<Shared>, summary: Summary, line: Vec<u8>) {
    let mut outage = Outage::default();
    let mut has_renewed = false;
    loop {
        let request = shared.request(&summary, &line);
        let (connection, answer) = match exchange(&shared, &request).await {
            Ok(exchanged) => exchanged,
            Err(Failure::Unreachable(error)) if shared.wait(&mut outage, &error).await => continue,
            Err(Failure::Unreachable(error)) => return shared.give_up(&summary, &error).await,
            Err(Failure::Broken(error)) => {
                if let Some(id) = summary.id.filter(|_| summary.method.is_some()) {
                    shared
                        .send_to_client(lost(&id, &format!("the connection to the server broke: {error}")))
                        .await;
                }
                return;
            }
        };
        shared.note_reached(&mut outage);
        let has_session = request.session.is_some() && !summary.is(Method::Initialize);
        if answer.status == 404
            && has_session
            && !std::mem::replace(&mut has_renewed, true)
            && renew(&shared).await
        {
            continue;
        }
        if summary.is(Method::Initialize) {
            let mut state = shared.state();
            state.session.clone_from(&answer.session);
        }
        let handed = forward(&shared, &summary, connection, answer).await;
        if let (Err(error), Some(id)) = (handed, summary.id.filter(|_| summary.method.is_some())) {
            shared.send_to_client(lost(&id, &format!("the connection to the server broke: {error}"))).await;
        }
        return;
    }
}

/// Why there is no answer.
enum Failure {
    /// The server did not get the request.
    Unreachable(io::Error),
    /// It may have got it.
    Broken(io::Error),
}

async fn exchange(shared: &Shared, request: &Request) -> Result<(HttpConnection, Answer), Failure> {
    // An idle connection may have been closed meanwhile; then the server has not seen the request.
    loop {
        let idle = shared.state().idle.pop();
        let Some(mut link) = idle else { break };
        if let Ok(answer) = link.exchange(request).await {
            return Ok((link, answer));
        }
        if !link.is_untouched() {
            return Err(Failure::Broken(io::ErrorKind::ConnectionReset.into()));
        }
    }
    let HttpTarget { address, encryption, .. } = &shared.target;
    let opening = timeout(CONNECT_PATIENCE, HttpConnection::open(address, encryption.as_ref()));
    let opened = opening.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let mut link = opened.map_err(Failure::Unreachable)?;
    let answer = link.exchange(request).await.map_err(Failure::Broken)?;
    Ok((link, answer))
}

/// Passes the messages of an answer on to the client.
async fn forward(
    shared: &Shared,
    summary: &Summary,
    mut link: HttpConnection,
    answer: Answer,
) -> io::Result<()> {
    let mut has_answered = false;
    let is_refused = !(200..300).contains(&answer.status);
    let mut body = Body::of(&answer, shared.max_answer_bytes);
    while let Some(message) = body.next(&mut link).await? {
        let of = Summary::of(&message);
        if is_refused && !(of.is_answer() && of.id == summary.id) {
            shared.tell_refusal(summary, &Refusal::read(answer.status, &message)).await;
            has_answered = true;
            continue;
        }
        has_answered |= of.is_answer();
        shared.learn(summary, &message);
        shared.send_to_client(message).await;
    }
    if is_refused && !has_answered {
        shared.tell_refusal(summary, &Refusal::read(answer.status, b"")).await;
    } else if let Some(id) = summary.id.as_ref().filter(|_| summary.method.is_some() && !has_answered) {
        let why = format!("the server answered {} without a message", answer.status);
        shared.send_to_client(lost(id, &why)).await;
    }
    if let Some(id) = &summary.id {
        shared.state().running.remove(id);
    }
    if link.is_reusable() {
        let mut state = shared.state();
        if state.idle.len() < MAX_IDLE {
            state.idle.push(link);
        }
    }
    Ok(())
}

/// Opens a new session when the server does not know the old one any more.
async fn renew(shared: &Arc<Shared>) -> bool {
    let remembered = {
        let state = shared.state();
        state.handshake.complete().map(|(_, request, initialized)| (request.to_vec(), initialized.to_vec()))
    };
    let Some((request, initialized)) = remembered else { return false };
    tracing::warn!("the server at {} does not know the session any more; opening another", shared.target.url);
    shared.state().session = None;
    for line in [request, initialized] {
        let summary = Summary::of(&line);
        let Ok((mut link, answer)) = exchange(shared, &shared.request(&summary, &line)).await else {
            return false;
        };
        if summary.is(Method::Initialize) {
            shared.state().session.clone_from(&answer.session);
        }
        let mut body = Body::of(&answer, shared.max_answer_bytes);
        // The client got this answer long ago.
        while let Ok(Some(_)) = body.next(&mut link).await {}
    }
    shared.state().session.is_some()
}

/// Passes on what the server sends without a request, as long as there is a session.
async fn listen(shared: Arc<Shared>) {
    let mut outage = Outage::default();
    loop {
        let request = shared.bare("GET", "Accept: text/event-stream\r\n");
        match exchange(&shared, &request).await {
            Ok((mut link, answer)) if answer.status == 200 => {
                shared.note_reached(&mut outage);
                let mut body = Body::of(&answer, shared.max_answer_bytes);
                while let Ok(Some(message)) = body.next(&mut link).await {
                    shared.send_to_client(message).await;
                }
            }
            // The server has no such stream.
            Ok(_) => return,
            Err(Failure::Unreachable(error) | Failure::Broken(error)) => {
                if !shared.wait(&mut outage, &error).await {
                    return;
                }
            }
        }
    }
}

async fn end_session(shared: &Shared) {
    if shared.state().session.is_some() {
        let request = shared.bare("DELETE", "");
        // If this fails, the session expires.
        let _ = exchange(shared, &request).await;
    }
}

impl Shared {
    fn bare(&self, verb: &'static str, headers: &str) -> Request {
        let state = self.state();
        Request {
            verb,
            host: self.target.host.clone(),
            path: self.target.path.clone(),
            headers: format!("{}{headers}{}", self.target.headers, state.session_headers()),
            session: state.session.clone(),
            body: Vec::new(),
        }
    }

    fn request(&self, summary: &Summary, line: &[u8]) -> Request {
        let state = self.state();
        let mut headers = self.target.headers.clone();
        headers.push_str("Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n");
        let mut session = None;
        match &summary.version {
            Some(version) => state.modern_headers(summary, version, &mut headers),
            None if summary.is(Method::Initialize) => {}
            None => {
                headers.push_str(&state.session_headers());
                session.clone_from(&state.session);
            }
        }
        Request {
            verb: "POST",
            host: self.target.host.clone(),
            path: self.target.path.clone(),
            headers,
            session,
            body: line.to_vec(),
        }
    }

    /// Remembers what later requests need from an answer: the revision, and which arguments go into headers.
    fn learn(&self, summary: &Summary, message: &[u8]) {
        if summary.is(Method::Initialize) {
            #[derive(serde::Deserialize)]
            struct Agreed {
                result: Version,
            }
            #[derive(serde::Deserialize)]
            struct Version {
                #[serde(rename = "protocolVersion")]
                version: String,
            }
            if let Ok(agreed) = serde_json::from_slice::<Agreed>(message) {
                self.state().version = Revision::parse(&agreed.result.version).map(|r| r.as_str().to_owned());
            }
        }
        if summary.is(Method::ToolsList) && memchr::memmem::find(message, b"x-mcp-header").is_some() {
            self.learn_tools(message);
        }
    }

    fn learn_tools(&self, message: &[u8]) {
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(message) else { return };
        for tool in value["result"]["tools"].as_array().into_iter().flatten() {
            let Some(name) = tool["name"].as_str() else { continue };
            // A tool with invalid annotations is skipped.
            let Ok(params) = mirrored::mirrored(&tool["inputSchema"]) else { continue };
            let params = params.into_iter().map(|param| {
                (param.header.into_string(), param.path.iter().map(ToString::to_string).collect())
            });
            self.state().mirrored.insert(name.to_owned(), params.collect());
        }
    }
}

impl State {
    fn session_headers(&self) -> String {
        let mut headers = String::new();
        if let Some(session) = &self.session {
            let _ = write!(headers, "Mcp-Session-Id: {session}\r\n");
        }
        if let Some(version) = &self.version {
            let _ = write!(headers, "MCP-Protocol-Version: {version}\r\n");
        }
        headers
    }

    fn modern_headers(&self, summary: &Summary, version: &str, headers: &mut String) {
        let mut add = |name: &str, value: &str| {
            let _ = write!(headers, "{name}: {}\r\n", mirror::encode(value));
        };
        add(mirror::VERSION, version);
        let Some(method) = &summary.method else { return };
        add(mirror::METHOD, method);
        if let Some(name) = &summary.name {
            add(mirror::NAME, name);
        }
        let (Some(tool), Some(arguments)) = (&summary.name, &summary.arguments) else { return };
        let Some(params) = self.mirrored.get(tool).filter(|_| summary.is(Method::ToolsCall)) else { return };
        let Ok(arguments) = serde_json::from_str::<serde_json::Value>(arguments) else { return };
        for (header, path) in params {
            let value = path.iter().fold(&arguments, |value, name| &value[name.as_str()]);
            let text = match value {
                serde_json::Value::String(text) => text.clone(),
                serde_json::Value::Bool(_) | serde_json::Value::Number(_) => value.to_string(),
                _ => continue,
            };
            add(&format!("{}{header}", mirror::PARAM_PREFIX), &text);
        }
    }
}
