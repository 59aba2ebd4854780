//! The trait of resources, and the context that its handlers write to.

use crate::protocol::{Era, ProtocolError, Resource, ResourceTemplate};
use crate::server::answer::content::DataBlock;
#[cfg(any(feature = "filesystem", feature = "memory"))]
use crate::server::answer::content::TextBlock;
use crate::server::answer::envelope::{self, AnswerId};
use crate::server::answer::tool_error::ToolError;
use crate::server::handler::request_context::RequestContext;
use crate::server::handler::resource_page::ResourcePage;
use crate::server::incoming::handler_end::Finished;
use crate::server::state::resource_watch::ResourceWatch;
use crate::wire::Reply;
use std::ops::{Deref, DerefMut, Range};
use std::pin::Pin;
#[cfg(feature = "filesystem")]
use {
    crate::memory::lasting,
    crate::server::answer::outcome::Outcome,
    crate::server::handler::request_context::CancelOnDrop,
    crate::server::state::answer_stream::AnswerStream,
    crate::server::state::call_state::InBatch,
    crate::server::state::streamed::{BlockSource, Ending, Skeleton, StreamedAnswer, StreamedItem},
    crate::server::state::windows::Window,
    crate::wire::ReplyError,
    std::sync::Arc,
    tokio::time::timeout,
};

/// The URI of the memory report.
pub(crate) const REPORT_URI: &str = "mcpool://memory/report";
/// The resource of the monitor's alerts.
pub(crate) const ALERTS_URI: &str = "mcpool://alerts";

/// Whether a resource does not exist for this caller: the memory report and the alerts are for those who may see what
/// concerns the operator.
pub(crate) fn is_withheld(uri: &str, is_admin: bool) -> bool {
    [REPORT_URI, ALERTS_URI].contains(&uri) && !is_admin
}

/// A family of resources.
///
/// ```
/// use mcpool::ToolError;
/// use mcpool::resources::{ReadContext, Resource, Resources};
///
/// struct Motd;
///
/// impl Resources for Motd {
///     fn list(&self) -> Vec<Resource> {
///         vec![Resource::new("motd://today", "today").mime_type("text/plain")]
///     }
///
///     async fn read(&self, uri: &str, read: &mut ReadContext) -> Result<(), ToolError> {
///         match uri {
///             "motd://today" => read.text(uri, Some("text/plain"), "Be kind."),
///             _ => return Err(ToolError::NotFound),
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Resources: Send + Sync + 'static {
    /// The resources, in the order in which they are listed. The server asks when it is built and after each
    /// [`RequestContext::resources_changed`](crate::RequestContext::resources_changed).
    fn list(&self) -> Vec<Resource>;

    /// Whether there are resources beside those of [`Resources::list`]: [`Resources::list_page`] lists them, as there are
    /// too many to be held in memory, or other ones for each client.
    fn has_pages(&self) -> bool {
        false
    }

    /// Lists some of those resources, from where `page` says on. It runs on a thread that may block.
    ///
    /// # Errors
    /// [`ToolError::InvalidParams`] when `page` begins where none of its pages ended.
    fn list_page(&self, page: &mut ResourcePage<'_>) -> Result<(), ToolError> {
        let _ = page;
        Ok(())
    }

    /// The templates of the resources that are not listed one by one.
    fn templates(&self) -> Vec<ResourceTemplate> {
        Vec::new()
    }

    /// Whether [`Resources::watch`] looks for changes of the resource `uri` while somebody is subscribed to it. If not, it is
    /// [`RequestContext::resource_updated`](crate::RequestContext::resource_updated) that reports them.
    fn watches(&self, uri: &str) -> bool {
        let _ = uri;
        false
    }

    /// Looks for changes of the resource `uri`, which the client of `request` subscribes to, until what this returns is
    /// dropped. It runs on a thread that may block.
    ///
    /// # Errors
    /// [`ToolError::NotFound`] when the client cannot reach the resource; [`ToolError::Failed`] when it cannot be watched.
    fn watch(&self, uri: &str, request: &RequestContext) -> Result<ResourceWatch, ToolError> {
        let _ = (uri, request);
        Err(ToolError::NotFound)
    }

    /// Reads one resource. The future is dropped when the client cancels.
    ///
    /// # Errors
    /// [`ToolError::NotFound`] when no resource has that URI; [`ToolError::Failed`] becomes error -32603.
    fn read(&self, uri: &str, read: &mut ReadContext) -> impl Future<Output = Result<(), ToolError>> + Send;
}

/// A boxed future. Resources and prompts are requested rarely, so a box is cheap enough.
pub(crate) type BoxedFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// [`Resources`] as a trait object.
pub(crate) trait AnyResources: Send + Sync {
    fn list(&self) -> Vec<Resource>;
    fn has_pages(&self) -> bool;
    fn list_page(&self, page: &mut ResourcePage<'_>) -> Result<(), ToolError>;
    fn templates(&self) -> Vec<ResourceTemplate>;
    fn watches(&self, uri: &str) -> bool;
    fn watch(&self, uri: &str, request: &RequestContext) -> Result<ResourceWatch, ToolError>;
    fn read<'a>(&'a self, uri: &'a str, read: &'a mut ReadContext) -> BoxedFuture<'a, Result<(), ToolError>>;
}

impl<R: Resources> AnyResources for R {
    fn list(&self) -> Vec<Resource> {
        Resources::list(self)
    }

    fn has_pages(&self) -> bool {
        Resources::has_pages(self)
    }

    fn list_page(&self, page: &mut ResourcePage<'_>) -> Result<(), ToolError> {
        Resources::list_page(self, page)
    }

    fn templates(&self) -> Vec<ResourceTemplate> {
        Resources::templates(self)
    }

    fn watches(&self, uri: &str) -> bool {
        Resources::watches(self, uri)
    }

    fn watch(&self, uri: &str, request: &RequestContext) -> Result<ResourceWatch, ToolError> {
        Resources::watch(self, uri, request)
    }

    fn read<'a>(&'a self, uri: &'a str, read: &'a mut ReadContext) -> BoxedFuture<'a, Result<(), ToolError>> {
        Box::pin(Resources::read(self, uri, read))
    }
}

/// What contents are.
#[cfg(feature = "filesystem")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentsKind {
    Text,
    /// Base64.
    Blob,
}

/// One resource that is being read: a [`RequestContext`], and the contents written so far.
///
/// ```
/// use mcpool::resources::ReadContext;
///
/// fn write(read: &mut ReadContext) {
///     read.text("note://1", Some("text/plain"), "the contents");
/// }
/// ```
#[derive(Debug)]
pub struct ReadContext {
    request: RequestContext,
    reply: Reply,
    has_contents: bool,
    /// The contents that come while the answer is sent.
    #[cfg(feature = "filesystem")]
    streamed: Option<Box<StreamedContents>>,
}

/// Contents that are not written here: a source gives their bytes while the answer is sent.
#[cfg(feature = "filesystem")]
#[derive(Debug)]
struct StreamedContents {
    source: Box<dyn BlockSource>,
    /// Bytes of them, as they are written in JSON.
    bytes: usize,
    /// Where they belong in the answer, and where the member ends that carries them.
    place: Range<usize>,
    /// Where the answer says whose contents they are.
    begin: Range<usize>,
    window: Option<Window>,
}

impl Deref for ReadContext {
    type Target = RequestContext;

    fn deref(&self) -> &RequestContext {
        &self.request
    }
}

impl DerefMut for ReadContext {
    fn deref_mut(&mut self) -> &mut RequestContext {
        &mut self.request
    }
}

impl ReadContext {
    pub(crate) fn new(request: RequestContext) -> Self {
        let reply = request.shared.reply();
        Self {
            request,
            reply,
            has_contents: false,
            #[cfg(feature = "filesystem")]
            streamed: None,
        }
    }

    /// Adds text contents.
    pub fn text(&mut self, uri: &str, mime_type: Option<&str>, text: &str) {
        self.open(uri, mime_type);
        self.reply.literal(r#","text":"#);
        self.reply.string(text);
        self.reply.literal("}");
    }

    /// Adds text contents that `write` fills on a thread that may block.
    ///
    /// # Errors
    /// Those of `write`, and when it panics.
    #[cfg(feature = "memory")]
    pub(crate) async fn text_on_thread(
        &mut self,
        uri: &str,
        mime_type: Option<&str>,
        write: impl FnOnce(&mut TextBlock<'_>) -> Result<(), ToolError> + Send + 'static,
    ) -> Result<(), ToolError> {
        let permit = self.acquire_thread().await.ok_or(ToolError::Cancelled)?;
        self.open(uri, mime_type);
        self.reply.literal(r#","text":""#);
        let sibling = self.reply.sibling();
        let mut reply = std::mem::replace(&mut self.reply, sibling);
        let thread = tokio::task::spawn_blocking(move || {
            let written = TextBlock::write(&mut reply, write);
            drop(permit);
            (reply, written)
        });
        let Ok((reply, written)) = thread.await else {
            return Err(ToolError::failed("the resource panicked"));
        };
        self.reply = reply;
        self.reply.literal(r#""}"#);
        written
    }

    /// Goes on on a thread that may block. What is streamed has its memory once this returns.
    ///
    /// # Errors
    /// Those of `work`, when it panics, and when there is no memory to stream.
    #[cfg(feature = "filesystem")]
    pub(crate) async fn write_on_thread(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<(), ToolError> + Send + 'static,
    ) -> Result<(), ToolError> {
        let permit = self.acquire_thread().await.ok_or(ToolError::Cancelled)?;
        let sibling = self.reply.sibling();
        let mut moved = Self {
            request: self.request.moved(),
            reply: std::mem::replace(&mut self.reply, sibling),
            has_contents: self.has_contents,
            streamed: None,
        };
        let guard = CancelOnDrop::new(&self.call);
        let thread = tokio::task::spawn_blocking(move || {
            let result = if moved.is_cancelled() { Err(ToolError::Cancelled) } else { work(&mut moved) };
            // Dropped before the answer is sent: the client's next request may need it.
            drop(permit);
            (moved, result)
        });
        let ended = thread.await;
        guard.disarm();
        let Ok((moved, result)) = ended else {
            return Err(ToolError::failed("the resource panicked"));
        };
        *self = moved;
        result?;
        // The answers of a batch are sent through one window.
        let in_batch = self.call.details().in_batch != InBatch::No;
        if let Some(mut streamed) = self.streamed.take_if(|_| !in_batch) {
            streamed.window = Some(self.wait_for_window().await.ok_or_else(no_memory)?);
            self.streamed = Some(streamed);
        }
        Ok(())
    }

    /// The memory of an answer that is written while it is sent. `None` if that did not come as long as a peer may take
    /// to read.
    #[cfg(feature = "filesystem")]
    async fn wait_for_window(&self) -> Option<Window> {
        let (key, shared) = (self.session_key(), &self.request.shared);
        let windows = &shared.pools.windows;
        match windows.try_reserve(key.principal) {
            Ok(window) => Some(window),
            Err(_) => timeout(shared.limits.write_timeout(), windows.wait(key, None)).await.ok().flatten(),
        }
    }

    /// Whether contents may be written while the answer is sent.
    #[cfg(feature = "filesystem")]
    pub(crate) fn may_stream(&self) -> bool {
        self.call.details().takes_streams
    }

    /// Adds contents that `source` gives while the answer is sent: `bytes` of them, as they are written in JSON. An
    /// answer has one of that kind at most, and to be called by the work of [`ReadContext::write_on_thread`].
    #[cfg(feature = "filesystem")]
    pub(crate) fn stream(
        &mut self,
        uri: &str,
        mime_type: Option<&str>,
        kind: ContentsKind,
        source: impl BlockSource + 'static,
        bytes: usize,
    ) {
        debug_assert!(self.streamed.is_none(), "one is streamed");
        let begin = self.open(uri, mime_type);
        self.reply.literal(match kind {
            ContentsKind::Text => r#","text":""#,
            ContentsKind::Blob => r#","blob":""#,
        });
        let at = self.reply.len();
        self.reply.literal(r#""}"#);
        // A slow reader has it for long, and a session keeps it for a client that comes back.
        let source = lasting(|| Box::new(source));
        let place = at..self.reply.len();
        self.streamed = Some(Box::new(StreamedContents { source, bytes, place, begin, window: None }));
    }

    /// Adds text contents that `write` fills. Bytes that are no UTF-8 become U+FFFD.
    #[cfg(feature = "filesystem")]
    pub(crate) fn text_with<R>(
        &mut self,
        uri: &str,
        mime_type: Option<&str>,
        write: impl FnOnce(&mut TextBlock<'_>) -> R,
    ) -> R {
        self.open(uri, mime_type);
        self.reply.literal(r#","text":""#);
        let result = TextBlock::write(&mut self.reply, write);
        self.reply.literal(r#""}"#);
        result
    }

    /// Adds binary contents whose bytes `write` pushes piece by piece.
    pub fn blob_with<R>(
        &mut self,
        uri: &str,
        mime_type: Option<&str>,
        write: impl FnOnce(&mut DataBlock<'_>) -> R,
    ) -> R {
        self.open(uri, mime_type);
        self.reply.literal(r#","blob":""#);
        let result = DataBlock::write(&mut self.reply, write);
        self.reply.literal(r#""}"#);
        result
    }

    /// Adds binary contents.
    pub fn blob(&mut self, uri: &str, mime_type: Option<&str>, bytes: &[u8]) {
        self.blob_with(uri, mime_type, |block| block.push(bytes));
    }

    /// Begins contents, and says where their URI is in the answer.
    fn open(&mut self, uri: &str, mime_type: Option<&str>) -> Range<usize> {
        if self.has_contents {
            self.reply.literal(",");
        } else {
            let request = &self.request;
            envelope::open_result(&mut self.reply, &request.call.details().id, request.era);
            self.reply.literal(r#""contents":["#);
        }
        self.has_contents = true;
        let begin = self.reply.len();
        self.reply.literal(r#"{"uri":"#);
        self.reply.string(uri);
        let end = self.reply.len();
        if let Some(mime_type) = mime_type {
            self.reply.literal(r#","mimeType":"#);
            self.reply.string(mime_type);
        }
        begin..end
    }

    /// Ends the answer for the resource `uri`.
    pub(crate) fn finish(mut self, uri: &str, result: Result<(), ToolError>) -> Finished {
        match result {
            Ok(()) if self.has_contents => {}
            // An answer with empty contents would mean that the resource exists.
            Ok(()) | Err(ToolError::NotFound) => {
                return self.request.refuse(&ProtocolError::ResourceNotFound { uri });
            }
            Err(error) => return self.request.end(&error),
        }
        self.reply.literal("]");
        #[cfg(feature = "filesystem")]
        let tail_at = self.reply.len();
        if self.request.era == Era::Modern {
            envelope::caching(&mut self.reply, 0, "private");
        }
        envelope::close_tool_result(&mut self.reply, self.request.era, &self.request.shared.server_meta);
        #[cfg(feature = "filesystem")]
        if let Some(streamed) = self.streamed.take() {
            return self.finish_streamed(*streamed, tail_at);
        }
        let id = self.request.call.details();
        self.request.shared.answered(self.reply, AnswerId::Of(&id.id)).into()
    }

    /// Ends an answer with contents that come while it is sent; its last members begin at `tail_at`.
    #[cfg(feature = "filesystem")]
    fn finish_streamed(self, streamed: StreamedContents, tail_at: usize) -> Finished {
        let Self { request, reply, .. } = self;
        let StreamedContents { source, bytes, place, begin, window } = streamed;
        let limit_bytes = reply.max_bytes();
        let skeleton = match reply.finish() {
            Ok(skeleton) => Skeleton::Leased(skeleton),
            Err(error) => return request.refuse(&error.into()),
        };
        let answer = StreamedAnswer::from(StreamedItem {
            skeleton,
            cuts: (place.start, None),
            block_end: place.end,
            ending: Ending::Resource(begin),
            tail_at,
            source,
            block_bytes: bytes,
        });
        if answer.total_bytes() > limit_bytes {
            return request.refuse(&ReplyError::TooLong { limit_bytes }.into());
        }
        let answer = lasting(|| Arc::new(answer));
        let stream = AnswerStream::new(answer, request.stream_means(window));
        Outcome::Streamed(Box::new(stream)).into()
    }
}

#[cfg(feature = "filesystem")]
fn no_memory() -> ToolError {
    ToolError::failed(
        "There is no memory for this at the moment: try again later (setting max_inflight_bytes)",
    )
}
