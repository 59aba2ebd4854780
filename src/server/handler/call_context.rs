//! What a tool is given: a [`RequestContext`], and where its answer goes.
//!
//! The answer is written straight into a leased buffer, which is leased at the first write: a call that
//! waits before it has something to say holds no buffer. Methods that write do not fail: an answer that
//! grows beyond `max_reply_bytes` is remembered as such and becomes an error when the call ends.

use crate::protocol::{Capability, Era, OwnedMessage, ProtocolError};
use crate::server::answer::content::{Content, DataBlock, TextBlock};
use crate::server::handler::request_context::RequestContext;
use crate::server::serving::serve::Outcome;
use crate::server::state::call_state::{CallState, Failure};
use crate::server::state::turns::{Party, Taking};
use crate::wire::TooLong;
use mcpool_pools::Lease;
use serde::Serialize;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

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
    /// What was asked for by name or URI does not exist: JSON-RPC error -32602.
    NotFound,
    /// The handler ends with this JSON-RPC error.
    Protocol {
        /// Its code; outside -32768 to -32000 for errors of your own.
        code: i32,
        /// One sentence.
        message: String,
    },
    /// The client lacks something that the call needs.
    MissingCapability(Capability),
    /// The client has to be asked first; made by [`RequestContext::ask`].
    InputRequired,
    /// The call goes on as a task; made by [`RequestContext::prefer_task`].
    NeedsTask,
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

/// One call of a tool, from the tool's side; everything that is not about its answer is in the
/// [`RequestContext`] that it derefs to.
pub struct CallContext {
    request: RequestContext,
    content: Option<Content>,
    /// The tool's place among all tools of the server, as a short number.
    tool: Option<u32>,
}

impl Deref for CallContext {
    type Target = RequestContext;

    fn deref(&self) -> &RequestContext {
        &self.request
    }
}

impl DerefMut for CallContext {
    fn deref_mut(&mut self) -> &mut RequestContext {
        &mut self.request
    }
}

impl CallContext {
    pub(crate) fn new(request: RequestContext, tool: Option<usize>) -> Self {
        Self { request, content: None, tool: tool.map(|tool| tool as u32) }
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

    /// Adds an embedded resource with its text.
    pub fn resource(&mut self, uri: &str, mime_type: &str, text: &str) {
        self.content().resource_block(uri, mime_type, text);
    }

    /// Sets the structured answer. A call without any content block also gets the value's JSON as text,
    /// for clients that read only that.
    ///
    /// # Errors
    /// When the value cannot be serialised: a map with keys that are no strings, say; or when it does not fit
    /// the schema that the tool gave as text.
    pub fn structured<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ToolError> {
        self.content().structured(value)?;
        // What is too long is no JSON to be checked: the call's end says so.
        let Some(written) = self.content.as_ref().and_then(Content::structured_json) else { return Ok(()) };
        let checked = self.request.shared.check_output(self.tool(), written);
        checked
            .map_err(|fault| ToolError::failed(format_args!("the answer does not fit its schema: {fault}")))
    }

    /// Sets the structured answer to `{"content": T}`, `T` being the text of the last text block.
    pub fn structured_from_text(&mut self) {
        self.content().structured_from_text();
    }

    /// Sets the structured answer to `{"content": [B]}`, `B` being the last block as a whole.
    pub fn structured_from_block(&mut self) {
        self.content().structured_from_block();
    }

    /// Runs `work` on a thread that may block, with this call's context; the connection goes on
    /// meanwhile. When the call is cancelled, `work` is told through [`RequestContext::is_cancelled`] and
    /// its answer is thrown away: **what may last asks in each of its loops**, as a thread cannot be stopped
    /// otherwise.
    ///
    /// At most `max_blocking_threads` run at once, and one less of the same principal, so that nobody waits for
    /// another's work alone.
    ///
    /// # Errors
    /// [`ToolError::Failed`] when `work` panics.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` keeps what it is given twice")]
    pub fn offload<W>(&mut self, work: W) -> impl Future<Output = Result<(), ToolError>> + Send
    where
        W: FnOnce(&mut Self) -> Result<(), ToolError> + Send + 'static,
    {
        async move {
            let turn = self.turn().await.ok_or(ToolError::Cancelled)?;
            let mut moved =
                Self { content: self.content.take(), request: self.request.moved(), tool: self.tool };
            let mut guard = CancelOnDrop { call: Some(Arc::clone(&self.call)) };
            let thread = tokio::task::spawn_blocking(move || {
                if moved.is_cancelled() {
                    return (moved, Err(ToolError::Cancelled));
                }
                let result = work(&mut moved);
                // Before the answer is told of: who is told may want the turn.
                drop(turn);
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
    }

    fn tool(&self) -> Option<usize> {
        self.tool.map(|tool| tool as usize)
    }

    /// The right to use a thread, as soon as there is one.
    fn turn(&self) -> Taking {
        let party = Party { principal: self.call.names().principal(), session: self.session.number() };
        self.shared.turns.wait(party)
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

    /// Forgets what was written: the call begins anew.
    pub(crate) fn discard(&mut self) {
        self.content = None;
    }

    /// Ends the call with what it wrote, or with an error.
    pub fn finish(mut self, result: Result<(), ToolError>) -> Finished {
        let text = match result {
            Ok(()) => {
                let content = self.content.take().unwrap_or_else(|| self.open_content());
                match content.close(self.era, &self.shared.server_meta, false) {
                    Ok(reply) => {
                        self.shared.tool_usage.note_reply(self.tool(), reply.len());
                        return Finished(Outcome::Reply(reply));
                    }
                    Err(TooLong { limit_bytes }) => ProtocolError::ReplyTooLong { limit_bytes }.to_string(),
                }
            }
            Err(ToolError::Failed(text)) => text,
            Err(ToolError::MissingCapability(capability)) if self.era == Era::Legacy => {
                format!("the client does not support {}", capability.name())
            }
            Err(error) => return self.request.end(&error),
        };
        self.content = None;
        self.shared.metrics.tool_errors.add(1);
        self.call.fail(Failure::Tool);
        let mut content = self.open_content();
        content.text_block(|block| block.push_str(&text));
        match content.close(self.era, &self.shared.server_meta, true) {
            Ok(reply) => Finished(Outcome::Reply(reply)),
            Err(TooLong { limit_bytes }) => self.request.refuse(&ProtocolError::ReplyTooLong { limit_bytes }),
        }
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
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext").field("request", &self.request).finish_non_exhaustive()
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
