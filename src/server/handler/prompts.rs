//! What a server offers to say: prompts, and how one is filled in; and what it knows to complete.

use crate::protocol::{Prompt, ProtocolError, Role};
use crate::server::answer::content::DataBlock;
use crate::server::answer::envelope;
use crate::server::handler::call_context::{Finished, ToolError};
use crate::server::handler::request_context::RequestContext;
use crate::server::handler::resources::BoxedFuture;
use crate::wire::Reply;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

/// A family of prompts.
///
/// ```
/// use mcpool::{Prompt, PromptContext, Prompts, Role, ToolError};
///
/// struct Review;
///
/// impl Prompts for Review {
///     fn list(&self) -> Vec<Prompt> {
///         vec![Prompt::new("review", "Reviews a change.")]
///     }
///
///     async fn get(&self, name: &str, prompt: &mut PromptContext) -> Result<(), ToolError> {
///         prompt.text(Role::User, "Review this change, worst fault first.");
///         Ok(())
///     }
/// }
/// ```
pub trait Prompts: Send + Sync + 'static {
    /// The prompts, in the order in which they are listed; asked when the server is built and after each
    /// [`RequestContext::prompts_changed`](super::RequestContext::prompts_changed).
    fn list(&self) -> Vec<Prompt>;

    /// Fills in one prompt of the list; its required arguments are there.
    ///
    /// # Errors
    /// [`ToolError::InvalidParams`] for arguments that make no sense; [`ToolError::Failed`] becomes -32603.
    fn get(
        &self,
        name: &str,
        prompt: &mut PromptContext,
    ) -> impl Future<Output = Result<(), ToolError>> + Send;
}

/// [`Prompts`] without their type.
pub(crate) trait AnyPrompts: Send + Sync {
    fn list(&self) -> Vec<Prompt>;
    fn get<'a>(
        &'a self,
        name: &'a str,
        prompt: &'a mut PromptContext,
    ) -> BoxedFuture<'a, Result<(), ToolError>>;
}

impl<P: Prompts> AnyPrompts for P {
    fn list(&self) -> Vec<Prompt> {
        Prompts::list(self)
    }

    fn get<'a>(
        &'a self,
        name: &'a str,
        prompt: &'a mut PromptContext,
    ) -> BoxedFuture<'a, Result<(), ToolError>> {
        Box::pin(Prompts::get(self, name, prompt))
    }
}

/// One prompt being filled in: a [`RequestContext`], the arguments, and where the messages go.
#[derive(Debug)]
pub struct PromptContext {
    request: RequestContext,
    arguments: BTreeMap<String, String>,
    description: Option<String>,
    messages: Reply,
    has_messages: bool,
}

impl Deref for PromptContext {
    type Target = RequestContext;

    fn deref(&self) -> &RequestContext {
        &self.request
    }
}

impl DerefMut for PromptContext {
    fn deref_mut(&mut self) -> &mut RequestContext {
        &mut self.request
    }
}

impl PromptContext {
    pub(crate) fn new(request: RequestContext, arguments: BTreeMap<String, String>) -> Self {
        let messages = request.shared.reply();
        Self { request, arguments, description: None, messages, has_messages: false }
    }

    /// The argument of that name.
    pub fn argument(&self, name: &str) -> Option<&str> {
        self.arguments.get(name).map(String::as_str)
    }

    /// Says what the prompt is for, as filled in.
    pub fn description(&mut self, text: impl Into<String>) {
        self.description = Some(text.into());
    }

    /// Adds a message that is text.
    pub fn text(&mut self, role: Role, text: &str) {
        self.open(role);
        self.messages.raw(r#"{"type":"text","text":"#);
        self.messages.string(text);
        self.messages.raw("}}");
    }

    /// Adds a message that is an image.
    pub fn image(&mut self, role: Role, mime_type: &str, bytes: &[u8]) {
        self.open(role);
        self.messages.raw(r#"{"type":"image","data":""#);
        DataBlock::write(&mut self.messages, |block| block.push(bytes));
        self.messages.raw(r#"","mimeType":"#);
        self.messages.string(mime_type);
        self.messages.raw("}}");
    }

    /// Adds a message that is a resource with its text.
    pub fn resource(&mut self, role: Role, uri: &str, mime_type: &str, text: &str) {
        self.open(role);
        self.messages.raw(r#"{"type":"resource","resource":{"uri":"#);
        self.messages.string(uri);
        self.messages.raw(r#","mimeType":"#);
        self.messages.string(mime_type);
        self.messages.raw(r#","text":"#);
        self.messages.string(text);
        self.messages.raw("}}}");
    }

    fn open(&mut self, role: Role) {
        if self.has_messages {
            self.messages.raw(",");
        } else {
            let request = &self.request;
            envelope::open_result(&mut self.messages, &request.call.names().id, request.era);
            self.messages.raw(r#""messages":["#);
        }
        self.has_messages = true;
        self.messages.raw(r#"{"role":""#);
        self.messages.raw(role.as_str());
        self.messages.raw(r#"","content":"#);
    }

    /// Ends the filling in of `name`.
    pub(crate) fn finish(mut self, name: &str, result: Result<(), ToolError>) -> Finished {
        match result {
            Ok(()) => {}
            Err(ToolError::NotFound) => return self.request.refuse(&ProtocolError::UnknownPrompt { name }),
            Err(error) => return self.request.end(&error),
        }
        if !self.has_messages {
            envelope::open_result(&mut self.messages, &self.request.call.names().id, self.request.era);
            self.messages.raw(r#""messages":["#);
        }
        self.messages.raw("]");
        if let Some(description) = &self.description {
            self.messages.raw(r#","description":"#);
            self.messages.string(description);
        }
        let request = &self.request;
        envelope::close_tool_result(&mut self.messages, request.era, &request.shared.server_meta);
        Finished(request.shared.answered(self.messages, envelope::AnswerId::Of(&request.call.names().id)))
    }
}

/// What is to be completed: the value of an argument of a prompt, or of a variable of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompletionTarget {
    /// An argument of the prompt of that name.
    Prompt(String),
    /// A variable of the resource template of that URI.
    Resource(String),
}

/// What a client wants completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletionRequest {
    /// Of what.
    pub target: CompletionTarget,
    /// Name of the argument or variable.
    pub argument: String,
    /// What was typed so far.
    pub value: String,
    /// Arguments that have values already.
    pub context: BTreeMap<String, String>,
}

/// Proposals, best first. At most [`Completions::MAX_VALUES`] are sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Completions {
    /// The proposals.
    pub values: Vec<String>,
    /// How many there are in all, if more than these.
    pub total: Option<u64>,
}

impl Completions {
    /// The most proposals that the protocol allows in one answer.
    pub const MAX_VALUES: usize = 100;
}

/// Proposes values.
pub trait Completer: Send + Sync + 'static {
    /// Proposals for one value.
    ///
    /// # Errors
    /// [`ToolError::NotFound`] when there is no such prompt or template.
    fn complete(
        &self,
        request: &CompletionRequest,
        context: &mut RequestContext,
    ) -> impl Future<Output = Result<Completions, ToolError>> + Send;
}

/// A [`Completer`] without its type.
pub(crate) trait AnyCompleter: Send + Sync {
    fn complete<'a>(
        &'a self,
        request: &'a CompletionRequest,
        context: &'a mut RequestContext,
    ) -> BoxedFuture<'a, Result<Completions, ToolError>>;
}

impl<C: Completer> AnyCompleter for C {
    fn complete<'a>(
        &'a self,
        request: &'a CompletionRequest,
        context: &'a mut RequestContext,
    ) -> BoxedFuture<'a, Result<Completions, ToolError>> {
        Box::pin(Completer::complete(self, request, context))
    }
}

/// Writes the answer to a completion.
pub(crate) fn finish_completion(
    mut request: RequestContext,
    result: Result<Completions, ToolError>,
) -> Finished {
    let completions = match result {
        Ok(completions) => completions,
        Err(ToolError::NotFound) => {
            return request
                .refuse(&ProtocolError::InvalidParams("ref names no prompt or template of this server"));
        }
        Err(error) => return request.end(&error),
    };
    let shown = completions.values.len().min(Completions::MAX_VALUES);
    let total = completions.total.unwrap_or(completions.values.len() as u64);
    let mut reply = request.shared.reply();
    envelope::open_result(&mut reply, &request.call.names().id, request.era);
    reply.raw(r#""completion":{"values":["#);
    for (index, value) in completions.values[..shown].iter().enumerate() {
        reply.raw(if index == 0 { "" } else { "," });
        reply.string(value);
    }
    reply.raw(r#"],"total":"#);
    reply.integer(total);
    reply.raw(r#","hasMore":"#);
    reply.raw(if total > shown as u64 { "true" } else { "false" });
    reply.raw("}");
    envelope::close_tool_result(&mut reply, request.era, &request.shared.server_meta);
    Finished(request.shared.answered(reply, envelope::AnswerId::Of(&request.call.names().id)))
}
