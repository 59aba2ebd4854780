//! Every method but `tools/call`: one table from method to function, and the functions.

use crate::limits::price;
use crate::protocol::{Era, IdField, LogLevel, Method, ParamsField, ProtocolError};
use crate::server::answer::catalog::{List, Page};
use crate::server::answer::envelope::{self, AnswerId};
use crate::server::answer::outcome::Outcome;
use crate::server::answer::tool_error::ToolError;
use crate::server::handler::families::Families;
use crate::server::handler::prompts::{self, CompletionRequest, CompletionTarget, PromptContext};
use crate::server::handler::request_context::RequestContext;
use crate::server::handler::resources::{self, BoxedFuture, ReadContext};
use crate::server::handler::tool::Toolset;
use crate::server::incoming::checks::Checked;
use crate::server::incoming::frame_context::FrameContext;
use crate::server::incoming::handler_end::{Finished, HandlerEnd};
use crate::server::incoming::observed::ClientInfo;
use crate::server::serving::core::Core;
use crate::server::serving::dispatched::Dispatched;
use crate::server::serving::from_client::{initialize, take_notification, take_response};
use crate::server::serving::listen::{self, Wanted};
use crate::server::serving::watching;
use crate::server::serving::{session_task_methods, task_methods};
use crate::server::state::changes::{CannotSubscribe, Subscription};
use crate::wire::Raw;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An empty result.
const EMPTY: Raw<'static> = Raw::trusted("{}");

/// Serves every method but `tools/call`.
pub(crate) fn serve_method<'f, T: Toolset, F>(
    core: &'f Core<T>,
    checked: Checked<'_, 'f>,
) -> Dispatched<'f, F> {
    let Checked { context, message, era, .. } = checked;
    let families = &core.families;
    let Some(name) = message.method else {
        return take_response(&core.toolset, &checked).into();
    };
    let method = checked.method.filter(|method| match era {
        Era::Modern => method.is_modern(),
        Era::Legacy => method.is_legacy(),
    });
    let IdField::Valid(id) = message.id else {
        return take_notification(&core.toolset, method, &checked).into();
    };
    let id = id.as_json();
    let Some(method) = method.filter(|method| families.serves(*method)) else {
        return checked.refuse(&ProtocolError::MethodNotFound { method: name }).into();
    };
    match method {
        Method::Ping => result(context, id, EMPTY).into(),
        Method::Discover => discover(&checked, id).into(),
        Method::Initialize => initialize(&checked).into(),
        Method::SetLevel => set_level(&checked).into(),
        Method::ToolsList => list(&checked, List::Tools).into(),
        Method::ResourcesList => list_resources(families, checked).into(),
        Method::TemplatesList => list(&checked, List::Templates).into(),
        Method::PromptsList => list(&checked, List::Prompts).into(),
        Method::Subscribe | Method::Unsubscribe => subscribe(families, checked).into(),
        Method::ResourcesRead => read(families, checked).into(),
        Method::PromptsGet => prompt(families, checked).into(),
        Method::Complete => complete(families, checked).into(),
        Method::Listen => listen(families, &checked).into(),
        Method::TasksResult => session_task_methods::result(checked).into(),
        Method::TasksGet | Method::TasksCancel | Method::TasksList if era == Era::Legacy => {
            session_task_methods::serve(&checked).into()
        }
        Method::TasksGet | Method::TasksUpdate | Method::TasksCancel | Method::TasksList => {
            task_methods::serve(&checked).into()
        }
        // Calls of tools do not come here; and a notification's name is no request's.
        Method::ToolsCall | Method::Initialized | Method::Cancelled | Method::RootsListChanged => {
            checked.refuse(&ProtocolError::MethodNotFound { method: name }).into()
        }
    }
}

/// What the server is. A modern client asks for it where a legacy one shakes hands.
fn discover(checked: &Checked<'_, '_>, id: &str) -> Outcome {
    let Checked { context, message, arena, .. } = *checked;
    if tracing::enabled!(tracing::Level::DEBUG) {
        let client = ClientInfo::read(message.meta.client_info, arena);
        tracing::debug!(
            client = client.name,
            version = client.version,
            revision = message.meta.protocol_version,
            capabilities = message.meta.client_capabilities.map_or("none", Raw::as_str),
            "a client asks what this server is"
        );
    }
    result(context, id, context.shared.catalog.load().discover())
}

/// The answer with this result.
fn result(context: &FrameContext<'_>, id: &str, body: Raw<'_>) -> Outcome {
    let mut reply = context.shared.reply();
    envelope::result(&mut reply, id, body);
    context.shared.answered(reply, AnswerId::Of(id))
}

/// The cursor of a request for a page.
fn cursor<'m>(checked: &Checked<'m, 'm>) -> Result<Option<&'m str>, Outcome> {
    let cursor = checked.message.cursor.map(|raw| raw.decode::<&str>(checked.arena)).transpose();
    cursor.map_err(|_| checked.refuse(&ProtocolError::InvalidParams("cursor must be a string")))
}

/// A page of resources, of those that are held in memory or of the others.
fn list_resources<'f>(
    families: &Families,
    checked: Checked<'_, 'f>,
) -> Result<BoxedFuture<'f, Finished>, Finished> {
    let position = families.list_position(cursor(&checked)?);
    let Some(position) = position else {
        return Err(list(&checked, List::Resources).into());
    };
    let request = RequestContext::new(checked.admit()?);
    Ok(Box::pin(position.list(request)))
}

/// One page of a list.
fn list(checked: &Checked<'_, '_>, list: List) -> Outcome {
    let Checked { context, message, era, .. } = *checked;
    let cursor = match cursor(checked) {
        Ok(cursor) => cursor,
        Err(refusal) => return refusal,
    };
    let IdField::Valid(id) = message.id else { return Outcome::Silent };
    let id = id.as_json();
    let catalog = context.shared.catalog.load();
    match catalog.page(list, era, checked.capabilities(), cursor) {
        Some(Page::Same(page)) => result(context, id, page),
        Some(Page::Chosen(page)) => {
            let mut reply = context.shared.reply();
            envelope::open_result(&mut reply, id, era);
            page.write(&mut reply);
            envelope::close_result(&mut reply);
            context.shared.answered(reply, AnswerId::Of(id))
        }
        None => checked.refuse(&ProtocolError::InvalidParams(
            "this cursor was not given out here, or the list has changed",
        )),
    }
}

/// `resources/read`.
fn read<'f>(families: &'f Families, checked: Checked<'_, 'f>) -> Result<BoxedFuture<'f, Finished>, Finished> {
    let Some(uri) = checked.message.uri else {
        return Err(checked.refuse(&ProtocolError::InvalidParams("uri must be a string")).into());
    };
    let request = RequestContext::new(checked.admit()?);
    Ok(Box::pin(async move {
        let mut read = ReadContext::new(request);
        let mut result = Err(ToolError::NotFound);
        for family in &families.resources {
            result = family.read(uri, &mut read).await;
            if result != Err(ToolError::NotFound) {
                break;
            }
        }
        read.finish(uri, result)
    }))
}

/// `prompts/get`.
fn prompt<'f>(
    families: &'f Families,
    checked: Checked<'_, 'f>,
) -> Result<BoxedFuture<'f, Finished>, Finished> {
    let Checked { message, arena, .. } = checked;
    let Some(name) = message.name else {
        return Err(checked.refuse(&ProtocolError::InvalidParams("name must be a string")).into());
    };
    let mut request = RequestContext::new(checked.admit()?);
    let Some((family, prompt)) = families.prompt(name) else {
        return Err(request.refuse(&ProtocolError::UnknownPrompt { name }));
    };
    let arguments: BTreeMap<String, String> = match message.arguments {
        Some(raw) if raw.as_str() != "null" => {
            if let Ok(arguments) = raw.decode(arena) {
                arguments
            } else {
                let error = ProtocolError::InvalidParams("arguments of a prompt must be strings");
                return Err(request.refuse(&error));
            }
        }
        _ => BTreeMap::new(),
    };
    if prompt.missing_argument(|argument| arguments.contains_key(argument)).is_some() {
        let error = ToolError::InvalidParams("a required argument of the prompt is missing");
        return Err(request.end(&error));
    }
    Ok(Box::pin(async move {
        let mut prompt = PromptContext::new(request, arguments);
        let result = family.get(name, &mut prompt).await;
        prompt.finish(name, result)
    }))
}

/// The longest parameters of `completion/complete`: what a person types, and other arguments that are known.
const MAX_COMPLETE_BYTES: usize = price::LARGE_BYTES;
const COMPLETE_TOO_LONG: ProtocolError<'static> = ProtocolError::InvalidParams(
    "params of completion/complete may have 65536 bytes: send less of the value, or fewer arguments in context",
);
const _: () = assert!(MAX_COMPLETE_BYTES == 65_536);

/// `completion/complete`. Its texts are copied for its completers, and nothing is charged for them: so they are short.
fn complete<'f>(
    families: &'f Families,
    checked: Checked<'_, 'f>,
) -> Result<BoxedFuture<'f, Finished>, Finished> {
    if let ParamsField::Object(params) = checked.message.params
        && params.len() > MAX_COMPLETE_BYTES
    {
        return Err(checked.refuse(&COMPLETE_TOO_LONG).into());
    }
    let Some(asked) = checked.decode_params::<Complete<'_>>()?.into_request() else {
        let error =
            ProtocolError::InvalidParams("ref must be a ref/prompt with name or a ref/resource with uri");
        return Err(checked.refuse(&error).into());
    };
    let mut request = RequestContext::new(checked.admit()?);
    Ok(Box::pin(async move {
        let mut result = Err(ToolError::NotFound);
        for completer in &families.completers {
            result = completer.complete(&asked, &mut request).await;
            if result != Err(ToolError::NotFound) {
                break;
            }
        }
        prompts::finish_completion(request, result)
    }))
}

/// `subscriptions/listen`. It lasts, and owns what it was given: its frame, of up to 64 KiB, is free meanwhile.
fn listen(families: &Families, checked: &Checked<'_, '_>) -> Finished {
    #[derive(Deserialize)]
    struct Listen {
        notifications: Wanted,
    }
    let context = checked.context;
    let wanted = match checked.decode_params::<Listen>() {
        Ok(Listen { notifications }) => notifications,
        Err(refusal) => return refusal.into(),
    };
    if let Err(refusal) = checked.refuse_if_saturated() {
        return refusal.into();
    }
    let wanted = wanted.limited_to(families);
    let watchers = watching::watchers(families, &wanted.uris());
    let (shared, call) = (Arc::clone(context.shared), Arc::clone(context.call));
    if watchers.is_empty() {
        return Finished(HandlerEnd::Lasting(Box::pin(listen::listen(shared, call, wanted, Vec::new()))));
    }
    let session = Arc::clone(context.session);
    let request = RequestContext::of_listener(shared, session, call);
    Finished(HandlerEnd::Lasting(Box::pin(listen::listen_and_watch(request, wanted, watchers))))
}

/// `logging/setLevel` of the legacy era.
fn set_level(checked: &Checked<'_, '_>) -> Outcome {
    #[derive(Deserialize)]
    struct SetLevel {
        level: LogLevel,
    }
    let context = checked.context;
    match checked.decode_params::<SetLevel>() {
        Ok(SetLevel { level }) => {
            context.session.set_log_level(level);
            result(context, &context.call.details().id, EMPTY)
        }
        Err(refusal) => refusal,
    }
}

/// `resources/subscribe` and `resources/unsubscribe` of the legacy era.
fn subscribe<'f>(
    families: &Families,
    checked: Checked<'_, 'f>,
) -> Result<BoxedFuture<'f, Finished>, Finished> {
    let Checked { context, message, .. } = checked;
    let (Some(uri), IdField::Valid(_)) = (message.uri, message.id) else {
        return Err(checked.refuse(&ProtocolError::InvalidParams("uri must be a string")).into());
    };
    listen::subscribe_legacy_client(context.shared, context.session);
    let Some(subscription) = context.session.subscription() else {
        let limit = context.shared.limits.max_subscriptions;
        return Err(checked.refuse(&ProtocolError::TooManySubscriptions { limit }).into());
    };
    let watchers = watching::watchers(families, &std::iter::once(uri));
    if checked.method == Some(Method::Subscribe) && !watchers.is_empty() {
        let request = RequestContext::new(checked.admit()?);
        return Ok(watching::subscribe(watchers, uri, request));
    }
    Err(subscribe_to(&checked, &subscription, uri).into())
}

/// Subscribes to a resource whose changes are told by who makes them, or ends the subscription to any.
fn subscribe_to(checked: &Checked<'_, '_>, subscription: &Subscription, uri: &str) -> Outcome {
    let context = checked.context;
    let is_withheld = resources::is_withheld(uri, context.call.details().is_admin);
    if checked.method == Some(Method::Unsubscribe) {
        subscription.unsubscribe(uri);
    } else if !is_withheld && let Err(error) = subscription.subscribe(uri) {
        let limit = context.shared.limits.max_subscribed_uris;
        return checked.refuse(&match error {
            CannotSubscribe::Full => ProtocolError::TooManySubscriptions { limit },
            CannotSubscribe::OutOfMemory => ProtocolError::NoMemoryToWait,
        });
    }
    result(context, &context.call.details().id, EMPTY)
}

/// The parameters of `completion/complete`.
#[derive(Deserialize)]
struct Complete<'a> {
    #[serde(rename = "ref", borrow)]
    reference: Reference<'a>,
    #[serde(borrow)]
    argument: Argument<'a>,
    #[serde(default)]
    context: Option<CompletionContext>,
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    name: Option<&'a str>,
    uri: Option<&'a str>,
}

#[derive(Deserialize)]
struct Argument<'a> {
    name: &'a str,
    value: &'a str,
}

#[derive(Deserialize)]
struct CompletionContext {
    #[serde(default)]
    arguments: BTreeMap<String, String>,
}

impl Complete<'_> {
    fn into_request(self) -> Option<CompletionRequest> {
        let target = match (self.reference.kind, self.reference.name, self.reference.uri) {
            ("ref/prompt", Some(name), _) => CompletionTarget::Prompt(name.to_owned()),
            ("ref/resource", _, Some(uri)) => CompletionTarget::Resource(uri.to_owned()),
            _ => return None,
        };
        Some(CompletionRequest {
            target,
            argument: self.argument.name.to_owned(),
            value: self.argument.value.to_owned(),
            context: self.context.map(|context| context.arguments).unwrap_or_default(),
        })
    }
}
