//! The traits of prompts and completion, and the contexts that their handlers write to.

use crate::protocol::{Prompt, ProtocolError, Role};
use crate::server::answer::content::DataBlock;
use crate::server::answer::envelope::{self, AnswerId};
use crate::server::answer::tool_error::ToolError;
use crate::server::handler::request_context::RequestContext;
use crate::server::handler::resources::BoxedFuture;
use crate::server::incoming::handler_end::Finished;
use crate::wire::Reply;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

/// A family of prompts.
///
/// ```
/// use mcpool::{Role, ToolError};
/// use mcpool::prompts::{Prompt, PromptContext, Prompts};
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
    /// The prompts, in the order in which they are listed. The server asks when it is built and after each
    /// [`RequestContext::prompts_changed`](crate::RequestContext::prompts_changed).
    fn list(&self) -> Vec<Prompt>;

    /// Fills in one prompt of the list. The server has checked that its required arguments are present.
    ///
    /// # Errors
    /// [`ToolError::InvalidParams`] for arguments that are not valid; [`ToolError::Failed`] becomes error -32603.
    fn get(
        &self,
        name: &str,
        prompt: &mut PromptContext,
    ) -> impl Future<Output = Result<(), ToolError>> + Send;
}

/// [`Prompts`] as a trait object.
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

/// One prompt that is being filled in: a [`RequestContext`], the arguments, and the messages written so far.
///
/// ```
/// use mcpool::prompts::PromptContext;
/// use mcpool::{Role, ToolError};
///
/// fn write(prompt: &mut PromptContext) -> Result<(), ToolError> {
///     let diff = prompt.argument("diff").ok_or(ToolError::InvalidParams("diff is missing"))?.to_owned();
///     prompt.text(Role::User, &format!("Review this change:\n{diff}"));
///     Ok(())
/// }
/// ```
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

    /// Sets the description of the prompt as it is filled in.
    pub fn description(&mut self, text: impl Into<String>) {
        self.description = Some(text.into());
    }

    /// Adds a text message.
    pub fn text(&mut self, role: Role, text: &str) {
        self.open(role);
        self.messages.literal(r#"{"type":"text","text":"#);
        self.messages.string(text);
        self.messages.literal("}}");
    }

    /// Adds an image message.
    pub fn image(&mut self, role: Role, mime_type: &str, bytes: &[u8]) {
        self.open(role);
        self.messages.literal(r#"{"type":"image","data":""#);
        DataBlock::write(&mut self.messages, |block| block.push(bytes));
        self.messages.literal(r#"","mimeType":"#);
        self.messages.string(mime_type);
        self.messages.literal("}}");
    }

    /// Adds a message that embeds a text resource.
    pub fn resource(&mut self, role: Role, uri: &str, mime_type: &str, text: &str) {
        self.open(role);
        self.messages.literal(r#"{"type":"resource","resource":{"uri":"#);
        self.messages.string(uri);
        self.messages.literal(r#","mimeType":"#);
        self.messages.string(mime_type);
        self.messages.literal(r#","text":"#);
        self.messages.string(text);
        self.messages.literal("}}}");
    }

    /// Adds a message that embeds a resource of bytes.
    pub fn blob(&mut self, role: Role, uri: &str, mime_type: &str, bytes: &[u8]) {
        self.open(role);
        self.messages.literal(r#"{"type":"resource","resource":{"uri":"#);
        self.messages.string(uri);
        self.messages.literal(r#","mimeType":"#);
        self.messages.string(mime_type);
        self.messages.literal(r#","blob":""#);
        DataBlock::write(&mut self.messages, |block| block.push(bytes));
        self.messages.literal(r#""}}}"#);
    }

    fn open(&mut self, role: Role) {
        if self.has_messages {
            self.messages.literal(",");
        } else {
            let request = &self.request;
            envelope::open_result(&mut self.messages, &request.call.details().id, request.era);
            self.messages.literal(r#""messages":["#);
        }
        self.has_messages = true;
        self.messages.literal(r#"{"role":""#);
        self.messages.literal(role.as_str());
        self.messages.literal(r#"","content":"#);
    }

    /// Ends the answer for the prompt `name`.
    pub(crate) fn finish(mut self, name: &str, result: Result<(), ToolError>) -> Finished {
        match result {
            Ok(()) => {}
            Err(ToolError::NotFound) => return self.request.refuse(&ProtocolError::UnknownPrompt { name }),
            Err(error) => return self.request.end(&error),
        }
        if !self.has_messages {
            envelope::open_result(&mut self.messages, &self.request.call.details().id, self.request.era);
            self.messages.literal(r#""messages":["#);
        }
        self.messages.literal("]");
        if let Some(description) = &self.description {
            self.messages.literal(r#","description":"#);
            self.messages.string(description);
        }
        let request = &self.request;
        envelope::close_tool_result(&mut self.messages, request.era, &request.shared.server_meta);
        request.shared.answered(self.messages, AnswerId::Of(&request.call.details().id)).into()
    }
}

/// The prompt or the resource template whose argument or variable a client completes.
///
/// ```
/// use mcpool::prompts::CompletionTarget;
///
/// let target = CompletionTarget::Prompt("review".to_owned());
/// assert!(matches!(target, CompletionTarget::Prompt(name) if name == "review"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompletionTarget {
    /// The name of the prompt.
    Prompt(String),
    /// The URI of the resource template.
    Resource(String),
}

/// A request to complete a value that the user is typing.
///
/// ```
/// use mcpool::ToolError;
/// use mcpool::prompts::{CompletionRequest, CompletionTarget};
///
/// /// What begins as the user began, for one argument of one prompt.
/// fn wanted(request: &CompletionRequest) -> Result<&str, ToolError> {
///     match &request.target {
///         CompletionTarget::Prompt(name) if name == "review" && request.argument == "language" => Ok(&request.value),
///         _ => Err(ToolError::NotFound),
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletionRequest {
    /// The prompt or template.
    pub target: CompletionTarget,
    /// The name of the argument or variable.
    pub argument: String,
    /// The text that the user typed so far.
    pub value: String,
    /// The values of the other arguments, as far as they are known.
    pub context: BTreeMap<String, String>,
}

/// Proposals, best first. At most [`Completions::MAX_VALUES`] are sent.
///
/// ```
/// use mcpool::prompts::Completions;
///
/// let values: Vec<String> = ["rust", "ruby"].map(str::to_owned).into();
/// let completions = Completions { values, total: Some(2) };
/// assert!(completions.values.len() <= Completions::MAX_VALUES);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Completions {
    /// The proposals.
    pub values: Vec<String>,
    /// How many proposals exist, if more than `values` has.
    pub total: Option<u64>,
}

impl Completions {
    /// How many proposals the protocol allows in one answer.
    pub const MAX_VALUES: usize = 100;
}

/// Proposes values for arguments of prompts and variables of resource templates.
///
/// ```
/// use mcpool::{RequestContext, ToolError};
/// use mcpool::prompts::{Completer, CompletionRequest, Completions};
///
/// struct Languages;
///
/// impl Completer for Languages {
///     async fn complete(
///         &self,
///         request: &CompletionRequest,
///         _: &mut RequestContext,
///     ) -> Result<Completions, ToolError> {
///         let known = ["python", "rust"].into_iter();
///         let values = known.filter(|name| name.starts_with(&request.value)).map(str::to_owned).collect();
///         Ok(Completions { values, total: None })
///     }
/// }
/// ```
pub trait Completer: Send + Sync + 'static {
    /// Proposes values, best first.
    ///
    /// # Errors
    /// [`ToolError::NotFound`] when the prompt or template does not exist.
    fn complete(
        &self,
        request: &CompletionRequest,
        context: &mut RequestContext,
    ) -> impl Future<Output = Result<Completions, ToolError>> + Send;
}

/// A [`Completer`] as a trait object.
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

/// Writes the answer to a completion request.
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
    envelope::open_result(&mut reply, &request.call.details().id, request.era);
    reply.literal(r#""completion":{"values":["#);
    for (index, value) in completions.values[..shown].iter().enumerate() {
        reply.literal(if index == 0 { "" } else { "," });
        reply.string(value);
    }
    reply.literal(r#"],"total":"#);
    reply.integer(total);
    reply.literal(r#","hasMore":"#);
    reply.literal(if total > shown as u64 { "true" } else { "false" });
    reply.literal("}");
    envelope::close_tool_result(&mut reply, request.era, &request.shared.server_meta);
    request.shared.answered(reply, AnswerId::Of(&request.call.details().id)).into()
}
