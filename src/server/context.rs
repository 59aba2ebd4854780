//! What a tool is given: where its answer goes, how it reports progress, and how it learns that nobody
//! waits any more.
//!
//! The answer is written straight into a leased buffer, which is leased at the first write: a call that
//! waits before it has something to say holds no buffer. Methods that write do not fail: an answer that
//! grows beyond `max_reply_bytes` is remembered as such and becomes an error when the call ends.

use super::Shared;
use super::answer::{self, AnswerId};
use super::call_state::CallState;
use super::content::{Content, DataBlock, TextBlock};
use super::serve::Outcome;
use super::session::{LogLevel, Session};
use crate::protocol::{Era, OwnedMessage, ProtocolError};
use mcpool_pools::Lease;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// Why a tool has no answer.
///
/// Any error converts into [`ToolError::Failed`] with its message, so that `?` does what is wanted; this
/// is why the type itself is no [`std::error::Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToolError {
    /// The call failed in a way that the model may react to: a result with `isError` and this text.
    Failed(String),
    /// The parameters make no sense: JSON-RPC error -32602.
    InvalidParams(&'static str),
    /// The call was cancelled; nothing is answered.
    Cancelled,
}

impl ToolError {
    /// [`ToolError::Failed`] with what `message` prints.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::Failed(message.to_string())
    }
}

impl<E: std::error::Error> From<E> for ToolError {
    fn from(error: E) -> Self {
        Self::failed(error)
    }
}

/// The end of a call: made by [`CallContext::finish`] or [`ToolRequest`](super::ToolRequest)'s refusals.
#[derive(Debug)]
#[must_use = "dropping it loses the answer"]
pub struct Finished(pub(crate) Outcome);

/// One call of a tool, from the tool's side.
pub struct CallContext {
    shared: Arc<Shared>,
    session: Arc<Session>,
    call: Arc<CallState>,
    era: Era,
    /// Log messages from this level on go to the client.
    log_level: Option<LogLevel>,
    content: Option<Content>,
    last_progress: Option<(Instant, f64)>,
}

impl CallContext {
    pub(super) fn new(
        shared: Arc<Shared>,
        session: Arc<Session>,
        call: Arc<CallState>,
        era: Era,
        log_level: Option<LogLevel>,
    ) -> Self {
        Self { shared, session, call, era, log_level, content: None, last_progress: None }
    }

    /// Adds a text block.
    pub fn text(&mut self, text: &str) {
        self.text_with(|block| block.push_str(text));
    }

    /// Adds a text block that `write` fills bit by bit; nothing is gathered in between.
    pub fn text_with<R>(&mut self, write: impl FnOnce(&mut TextBlock<'_>) -> R) -> R {
        self.content().text_block(write)
    }

    /// Adds an image whose bytes `write` gives bit by bit.
    pub fn image_with<R>(&mut self, mime_type: &str, write: impl FnOnce(&mut DataBlock<'_>) -> R) -> R {
        self.content().data_block("image", mime_type, write)
    }

    /// Adds an audio clip whose bytes `write` gives bit by bit.
    pub fn audio_with<R>(&mut self, mime_type: &str, write: impl FnOnce(&mut DataBlock<'_>) -> R) -> R {
        self.content().data_block("audio", mime_type, write)
    }

    /// Adds an embedded resource whose bytes `write` gives bit by bit.
    pub fn blob_with<R>(
        &mut self,
        uri: &str,
        mime_type: &str,
        write: impl FnOnce(&mut DataBlock<'_>) -> R,
    ) -> R {
        self.content().blob_block(uri, mime_type, write)
    }

    /// Sets the structured answer. A call without any content block also gets the value's JSON as text,
    /// for clients that read only that.
    ///
    /// # Errors
    /// When the value cannot be serialised: a map with keys that are no strings, say.
    pub fn structured<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ToolError> {
        self.content().structured(value).map_err(ToolError::from)
    }

    /// Sets the structured answer to `{"content": T}`, `T` being the text of the last text block.
    pub fn structured_from_text(&mut self) {
        self.content().structured_from_text();
    }

    /// Sets the structured answer to `{"content": [B]}`, `B` being the last block as a whole.
    pub fn structured_from_block(&mut self) {
        self.content().structured_from_block();
    }

    /// Whether the client has cancelled, or is gone. A call that runs long asks now and then.
    pub fn is_cancelled(&self) -> bool {
        self.call.is_cancelled()
    }

    /// Whether the client wants to be told of progress.
    pub fn wants_progress(&self) -> bool {
        !self.call.names().progress_token.is_empty()
    }

    /// Tells the client how far the call is, if it wants to know and the last notice is at least
    /// `progress_interval_ms` old. What does not grow is not sent: the protocol demands it.
    pub fn progress(&mut self, progress: f64, total: Option<f64>, message: Option<&str>) {
        let now = Instant::now();
        if let Some((at, last)) = self.last_progress
            && (progress <= last || now.duration_since(at) < self.shared.limits.progress_interval())
        {
            return;
        }
        if !self.wants_progress() || !progress.is_finite() {
            return;
        }
        self.last_progress = Some((now, progress));
        let mut notice = self.shared.reply();
        answer::progress(&mut notice, &self.call.names().progress_token, progress, total, message);
        self.notify(notice);
    }

    /// Sends the client a log message, if it wants messages of this level.
    pub fn log<T: Serialize + ?Sized>(&self, level: LogLevel, logger: &str, data: &T) {
        if self.log_level.is_none_or(|wanted| level < wanted) {
            return;
        }
        let mut notice = self.shared.reply();
        answer::log(&mut notice, level, logger, data);
        self.notify(notice);
    }

    /// Runs `work` on a thread that may block, with this call's context; the connection goes on
    /// meanwhile. When the call is cancelled, `work` is told through [`CallContext::is_cancelled`] and
    /// its answer is thrown away.
    ///
    /// # Errors
    /// [`ToolError::Failed`] when `work` panics.
    pub async fn offload<W>(&mut self, work: W) -> Result<(), ToolError>
    where
        W: FnOnce(&mut Self) -> Result<(), ToolError> + Send + 'static,
    {
        let mut moved = Self {
            content: self.content.take(),
            ..Self::new(
                Arc::clone(&self.shared),
                Arc::clone(&self.session),
                Arc::clone(&self.call),
                self.era,
                self.log_level,
            )
        };
        let mut guard = CancelOnDrop { call: Some(Arc::clone(&self.call)) };
        let thread = tokio::task::spawn_blocking(move || {
            if moved.is_cancelled() {
                return (moved, Err(ToolError::Cancelled));
            }
            let result = work(&mut moved);
            (moved, result)
        });
        let ended = thread.await;
        guard.call = None;
        let Ok((moved, result)) = ended else {
            return Err(ToolError::failed("the tool panicked"));
        };
        *self = moved;
        result
    }

    /// Copies arguments that must outlive their frame, as for [`CallContext::offload`], into a pooled
    /// message. The copy is counted.
    pub fn own_arguments(&self, json: &str) -> Lease<OwnedMessage> {
        let mut owned = self.shared.pools.owned_messages.acquire();
        owned.copy_arguments(json);
        self.shared.metrics.owned_messages.add(1);
        owned
    }

    /// Leases an arena for decoding [`OwnedMessage::arguments`].
    pub fn arena(&self) -> mcpool_pools::ArenaLease {
        self.shared.pools.arenas.acquire()
    }

    /// The bounds of this server.
    pub fn limits(&self) -> &crate::limits::Limits {
        &self.shared.limits
    }

    /// Ends the call with what it wrote, or with an error.
    pub fn finish(mut self, result: Result<(), ToolError>) -> Finished {
        let text = match result {
            Ok(()) => {
                let content = self.content.take().unwrap_or_else(|| self.open_content());
                match content.close(self.era, &self.shared.server_info_member, false) {
                    Some(reply) => return Finished(Outcome::Reply(reply)),
                    None => ProtocolError::ReplyTooLong { limit_bytes: self.shared.limits.max_reply_bytes }
                        .to_string(),
                }
            }
            Err(ToolError::Failed(text)) => text,
            Err(ToolError::InvalidParams(why)) => {
                return self.refuse(&ProtocolError::InvalidParams(why));
            }
            Err(ToolError::Cancelled) => return Finished(Outcome::Silent),
        };
        self.content = None;
        self.shared.metrics.tool_errors.add(1);
        let mut content = self.open_content();
        content.text_block(|block| block.push_str(&text));
        match content.close(self.era, &self.shared.server_info_member, true) {
            Some(reply) => Finished(Outcome::Reply(reply)),
            None => {
                self.refuse(&ProtocolError::ReplyTooLong { limit_bytes: self.shared.limits.max_reply_bytes })
            }
        }
    }

    /// Ends the call with a protocol error.
    pub(super) fn refuse(&self, error: &ProtocolError<'_>) -> Finished {
        Finished(self.shared.refusal(AnswerId::Of(&self.call.names().id), error))
    }

    fn content(&mut self) -> &mut Content {
        if self.content.is_none() {
            self.content = Some(self.open_content());
        }
        // invariant: set above.
        self.content.as_mut().expect("content was opened")
    }

    fn open_content(&self) -> Content {
        Content::open(self.shared.reply(), &self.call.names().id, self.era)
    }

    fn notify(&self, notice: crate::wire::Reply) {
        if notice.is_full() || !self.session.send(notice.into_lease()) {
            self.shared.metrics.dropped_notifications.add(1);
        }
    }
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext")
            .field("call", &self.call)
            .field("era", &self.era)
            .finish_non_exhaustive()
    }
}

/// Tells a thread to stop when the future that waits for it is dropped.
struct CancelOnDrop {
    call: Option<Arc<CallState>>,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(call) = &self.call {
            call.cancel();
        }
    }
}
