//! The trait of resources, and the context that its handlers write to.

use crate::protocol::{Era, ProtocolError, Resource, ResourceTemplate};
use crate::server::answer::content::DataBlock;
#[cfg(feature = "memory")]
use crate::server::answer::content::TextBlock;
use crate::server::answer::envelope::{self, AnswerId};
use crate::server::answer::tool_error::ToolError;
use crate::server::handler::request_context::RequestContext;
use crate::server::incoming::handler_end::Finished;
use crate::wire::Reply;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;

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
/// use mcpool::{ReadContext, Resource, Resources, ToolError};
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

    /// The templates of the resources that are not listed one by one.
    fn templates(&self) -> Vec<ResourceTemplate> {
        Vec::new()
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
    fn templates(&self) -> Vec<ResourceTemplate>;
    fn read<'a>(&'a self, uri: &'a str, read: &'a mut ReadContext) -> BoxedFuture<'a, Result<(), ToolError>>;
}

impl<R: Resources> AnyResources for R {
    fn list(&self) -> Vec<Resource> {
        Resources::list(self)
    }

    fn templates(&self) -> Vec<ResourceTemplate> {
        Resources::templates(self)
    }

    fn read<'a>(&'a self, uri: &'a str, read: &'a mut ReadContext) -> BoxedFuture<'a, Result<(), ToolError>> {
        Box::pin(Resources::read(self, uri, read))
    }
}

/// One resource that is being read: a [`RequestContext`], and the contents written so far.
#[derive(Debug)]
pub struct ReadContext {
    request: RequestContext,
    reply: Reply,
    has_contents: bool,
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
        Self { request, reply, has_contents: false }
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

    fn open(&mut self, uri: &str, mime_type: Option<&str>) {
        if self.has_contents {
            self.reply.literal(",");
        } else {
            let request = &self.request;
            envelope::open_result(&mut self.reply, &request.call.details().id, request.era);
            self.reply.literal(r#""contents":["#);
        }
        self.has_contents = true;
        self.reply.literal(r#"{"uri":"#);
        self.reply.string(uri);
        if let Some(mime_type) = mime_type {
            self.reply.literal(r#","mimeType":"#);
            self.reply.string(mime_type);
        }
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
        if self.request.era == Era::Modern {
            envelope::caching(&mut self.reply, 0, "private");
        }
        envelope::close_tool_result(&mut self.reply, self.request.era, &self.request.shared.server_meta);
        let id = self.request.call.details();
        self.request.shared.answered(self.reply, AnswerId::Of(&id.id)).into()
    }
}
