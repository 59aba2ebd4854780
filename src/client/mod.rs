//! A client of the protocol: starts a server, lists its tools, calls them and ends it.
//!
//! Used by the command line and by tests; does not know the server half. Text is decoded with `serde_json`: a client
//! spends its time waiting for its server, not decoding.

mod connection;
mod error;
mod line;
mod negotiate;
mod process;
#[cfg(unix)]
pub mod shim;
#[cfg(feature = "tls")]
pub(crate) mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
mod tool;
mod tool_list;
mod wire_http;

pub use connection::Progress;
pub use error::ClientError;
pub(crate) use negotiate::initialize_params;
#[cfg(feature = "load")]
pub(crate) use negotiate::{MODERN, answers_discover, modern_meta};
pub use process::ServerCommand;
pub use tool::{Answer, CallResult, Content, Resource, Tool};
pub(crate) use tool_list::ToolList;
#[cfg(all(test, feature = "cli"))]
pub(crate) use tool_list::UnreadableTool;

use connection::{Connection, End, Event, Pending};
use negotiate::{Dialect, Probe};
use process::ServerProcess;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// What builds without encryption say.
pub(crate) const NO_TLS: &str = concat!(
    "this mcpool was built without the feature `tls`, so that it speaks no https://; build one that does: cargo install \
     --git ",
    env!("CARGO_PKG_REPOSITORY"),
    " mcpool --features full"
);

/// The most pages of a tool list that are read; a longer list counts as endless.
const MAX_PAGES: usize = 1_000;
/// How long a server whose stdout has closed may take to end.
const EXIT_PATIENCE: Duration = Duration::from_secs(2);

/// The limits of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOptions {
    /// Longest message that a server may send, in bytes.
    pub max_message_bytes: usize,
    /// How long a newly started server may take to answer the first request. A server that does not answer in time gets
    /// an `initialize` of the older revisions, and as much time again.
    pub connect_timeout: Duration,
    /// How long a server may send nothing about a request; reports of progress count.
    pub silence_timeout: Duration,
    /// How long a server may take to end after its stdin was closed, and again after SIGTERM.
    pub close_timeout: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            max_message_bytes: 64 * 1024 * 1024,
            // The command may have to download the server from a package registry first.
            connect_timeout: Duration::from_secs(30),
            silence_timeout: Duration::from_mins(1),
            close_timeout: Duration::from_secs(2),
        }
    }
}

/// A connection to a server. Several calls may be in flight at once.
///
/// ```no_run
/// use mcpool::client::{Client, ClientOptions, ServerCommand};
///
/// # async fn example() -> Result<(), mcpool::client::ClientError> {
/// let command = ServerCommand { program: "mcpool".into(), arguments: vec!["serve".into(), ".".into()] };
/// let client = Client::start(&command, ClientOptions::default()).await?;
/// for tool in client.list_tools().await? {
///     println!("{}", tool.name);
/// }
/// let arguments = serde_json::json!({"path": "."}).as_object().cloned().unwrap_or_default();
/// let answer = client.call_tool("list_directory", arguments, |_progress| ()).await?;
/// println!("{}", answer.raw());
/// client.close().await;
/// # Ok(())
/// # }
/// ```
pub struct Client {
    connection: Connection,
    process: Option<Mutex<ServerProcess>>,
    dialect: Dialect,
    options: ClientOptions,
}

impl Client {
    /// Starts the server and agrees on a revision with it.
    ///
    /// # Errors
    /// When the server cannot be started, ends, stays silent, or speaks no revision that this client speaks.
    pub async fn start(command: &ServerCommand, options: ClientOptions) -> Result<Self, ClientError> {
        let mut client = Self::launch(command, options.clone())?;
        match client.negotiate().await {
            Ok(()) => Ok(client),
            // Some older servers end when their first message is not the one they expect.
            Err(ClientError::Exited { .. } | ClientError::Closed { .. }) => {
                client.close().await;
                let mut client = Self::launch(command, options)?;
                client.initialize().await?;
                Ok(client)
            }
            Err(error) => Err(error),
        }
    }

    /// Connects to a server over any pair of byte streams.
    ///
    /// # Errors
    /// As for [`Client::start`].
    pub async fn over(
        input: impl AsyncRead + Send + Unpin + 'static,
        output: impl AsyncWrite + Send + Unpin + 'static,
        options: ClientOptions,
    ) -> Result<Self, ClientError> {
        let connection = Connection::open(input, output, options.max_message_bytes);
        let mut client = Self { connection, process: None, dialect: Dialect::Modern, options };
        client.negotiate().await?;
        Ok(client)
    }

    fn launch(command: &ServerCommand, options: ClientOptions) -> Result<Self, ClientError> {
        let (process, stdout, stdin) = ServerProcess::start(command)?;
        let connection = Connection::open(stdout, stdin, options.max_message_bytes);
        Ok(Self { connection, process: Some(Mutex::new(process)), dialect: Dialect::Modern, options })
    }

    async fn negotiate(&mut self) -> Result<(), ClientError> {
        const METHOD: &str = "server/discover";
        let pending = self.send(METHOD, Map::new(), false).await?;
        let probe = match timeout(self.options.connect_timeout, pending.answer()).await {
            Err(_) => Probe::Older,
            Ok(Err(end)) => return Err(self.explain(end).await),
            Ok(Ok(Ok(result))) => negotiate::after_discover(Ok(result.get())),
            Ok(Ok(Err(fault))) => negotiate::after_discover(Err(&fault)),
        };
        match probe {
            Probe::Modern => Ok(()),
            Probe::Older => self.initialize().await,
            Probe::Foreign(offered) => Err(ClientError::Revision { offered }),
        }
    }

    async fn initialize(&mut self) -> Result<(), ClientError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Initialized {
            protocol_version: String,
        }
        const METHOD: &str = "initialize";
        let id = self.connection.take_id();
        let sent = self.connection.request(id, METHOD, initialize_params()).await;
        let pending = match sent {
            Ok(pending) => pending,
            Err(end) => return Err(self.explain(end).await),
        };
        let answer = match timeout(self.options.connect_timeout, pending.answer()).await {
            Err(_) => return Err(self.timed_out(METHOD, self.options.connect_timeout).await),
            Ok(Err(end)) => return Err(self.explain(end).await),
            Ok(Ok(answer)) => answer.map_err(|fault| fault.into_error(METHOD))?,
        };
        let revision = decode::<Initialized>(METHOD, &answer)?.protocol_version;
        if !negotiate::supports(&revision) {
            return Err(ClientError::Revision { offered: revision });
        }
        self.dialect = Dialect::Handshake { revision };
        let greeted = self.connection.notify("notifications/initialized", Value::Null).await;
        match greeted {
            Ok(()) => Ok(()),
            Err(end) => Err(self.explain(end).await),
        }
    }

    /// The protocol revision agreed on.
    pub fn revision(&self) -> &str {
        self.dialect.revision()
    }

    /// All tools of the server, in its order.
    ///
    /// # Errors
    /// When the server refuses, stays silent, ends, lists without end or more than fits, or lists what is no tool.
    pub async fn list_tools(&self) -> Result<Vec<Tool>, ClientError> {
        self.list_entries().await?.all()
    }

    /// All that the server lists as its tools, in its order, and what is wrong with those that are none.
    ///
    /// # Errors
    /// As for [`Client::list_tools`], but for entries that are no tools.
    pub(crate) async fn list_entries(&self) -> Result<ToolList, ClientError> {
        const METHOD: &str = tool_list::METHOD;
        let (mut list, mut left_bytes) = (ToolList::default(), self.options.max_message_bytes);
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let params = cursor.take().map(|cursor| ("cursor".to_owned(), Value::from(cursor)));
            let mut pending = self.send(METHOD, params.into_iter().collect(), false).await?;
            let answer = loop {
                if let Event::Answer(answer) = self.next(METHOD, &mut pending).await? {
                    break answer.map_err(|fault| fault.into_error(METHOD))?;
                }
            };
            let limit_bytes = self.options.max_message_bytes;
            left_bytes =
                left_bytes.checked_sub(answer.get().len()).ok_or(ClientError::ListTooLong { limit_bytes })?;
            cursor = list.add(decode(METHOD, &answer)?);
            if cursor.is_none() {
                return Ok(list);
            }
        }
        Err(ClientError::EndlessList { pages: MAX_PAGES })
    }

    /// Calls a tool and waits for its answer; `on_progress` sees each report of progress.
    ///
    /// # Errors
    /// When the server refuses, ends, or sends nothing for too long; the call is then cancelled. A tool that fails
    /// gives an answer, not an error.
    pub async fn call_tool(
        &self,
        name: &str,
        arguments: Map<String, Value>,
        mut on_progress: impl FnMut(Progress),
    ) -> Result<Answer, ClientError> {
        let mut call = self.start_call(name, arguments).await?;
        loop {
            match call.next().await? {
                CallEvent::Progress(progress) => on_progress(progress),
                CallEvent::Answer(answer) => return Ok(answer),
            }
        }
    }

    /// Sends a call; its progress and answer are read from the handle.
    ///
    /// # Errors
    /// When the server has ended.
    pub async fn start_call(
        &self,
        name: &str,
        arguments: Map<String, Value>,
    ) -> Result<Call<'_>, ClientError> {
        let mut params = Map::new();
        params.insert("name".to_owned(), name.into());
        params.insert("arguments".to_owned(), Value::Object(arguments));
        let pending = self.send(Call::METHOD, params, true).await?;
        Ok(Call { client: self, pending })
    }

    /// Closes the stdin of the server and waits for it to end. If it does not, sends SIGTERM, then kills it.
    pub async fn close(self) {
        drop(self.connection);
        if let Some(process) = self.process {
            let status = process.into_inner().end(self.options.close_timeout).await;
            tracing::debug!(?status, "the server ended");
        }
    }

    async fn send(
        &self,
        method: &'static str,
        params: Map<String, Value>,
        with_progress: bool,
    ) -> Result<Pending, ClientError> {
        let id = self.connection.take_id();
        let params = self.dialect.params(params, with_progress.then_some(id));
        match self.connection.request(id, method, params).await {
            Ok(pending) => Ok(pending),
            Err(end) => Err(self.explain(end).await),
        }
    }

    /// Waits for the next event of a request; gives up when the server sends nothing for too long.
    async fn next(&self, method: &'static str, pending: &mut Pending) -> Result<Event, ClientError> {
        match timeout(self.options.silence_timeout, pending.next()).await {
            Ok(Ok(event)) => Ok(event),
            Ok(Err(end)) => Err(self.explain(end).await),
            Err(_) => {
                self.cancel(pending.id(), "no answer in time").await;
                Err(self.timed_out(method, self.options.silence_timeout).await)
            }
        }
    }

    async fn cancel(&self, id: u64, reason: &str) {
        let params = json!({"requestId": id, "reason": reason});
        // If the server has ended, or reads no more, there is nothing left to cancel.
        let _ = timeout(EXIT_PATIENCE, self.connection.notify("notifications/cancelled", params)).await;
    }

    async fn explain(&self, end: End) -> ClientError {
        if let End::TooLong { limit_bytes } = end {
            return ClientError::MessageTooLong { limit_bytes };
        }
        let Some(process) = &self.process else {
            return ClientError::Closed { stderr: Vec::new() };
        };
        let mut process = process.lock().await;
        match process.ended(EXIT_PATIENCE).await {
            Some(status) => ClientError::Exited { status, stderr: process.last_lines() },
            None => ClientError::Closed { stderr: process.last_lines() },
        }
    }

    async fn timed_out(&self, method: &str, after: Duration) -> ClientError {
        let stderr = match &self.process {
            Some(process) => process.lock().await.last_lines(),
            None => Vec::new(),
        };
        ClientError::TimedOut { method: method.to_owned(), after, stderr }
    }
}

fn decode<T: DeserializeOwned>(method: &str, result: &RawValue) -> Result<T, ClientError> {
    serde_json::from_str(result.get())
        .map_err(|source| ClientError::Malformed { method: method.to_owned(), source })
}

/// A call in flight.
///
/// ```
/// use mcpool::client::{Call, CallEvent, ClientError};
///
/// async fn answered(mut call: Call<'_>) -> Result<(), ClientError> {
///     while let CallEvent::Progress(progress) = call.next().await? {
///         println!("{progress:?}");
///     }
///     Ok(())
/// }
/// ```
#[must_use = "a call's answer is read with `next`"]
pub struct Call<'c> {
    client: &'c Client,
    pending: Pending,
}

/// What happened to a [`Call`].
#[derive(Debug, Clone)]
pub enum CallEvent {
    /// The tool reported how far it is.
    Progress(Progress),
    /// The tool answered; nothing comes after this.
    Answer(Answer),
}

impl Call<'_> {
    const METHOD: &'static str = "tools/call";

    /// Waits for the next event.
    ///
    /// # Errors
    /// As for [`Client::call_tool`].
    pub async fn next(&mut self) -> Result<CallEvent, ClientError> {
        match self.client.next(Self::METHOD, &mut self.pending).await? {
            Event::Progress(progress) => Ok(CallEvent::Progress(progress)),
            Event::Answer(Ok(raw)) => Ok(CallEvent::Answer(Answer { raw })),
            Event::Answer(Err(fault)) => Err(fault.into_error(Self::METHOD)),
        }
    }

    /// Tells the server that the answer is not wanted any more.
    pub async fn cancel(self, reason: &str) {
        self.client.cancel(self.pending.id(), reason).await;
    }
}
