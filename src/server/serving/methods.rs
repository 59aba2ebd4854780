//! Every method but `tools/call`: which handler, and what is answered at once.

use crate::protocol::{
    ClientCapabilities, Era, Id, IdField, LogLevel, Message, Method, ProtocolError, Revision,
};
use crate::server::answer::catalog::List;
use crate::server::answer::envelope::{self, AnswerId};
use crate::server::handler::call_context::ToolError;
use crate::server::handler::prompts::{self, CompletionRequest, CompletionTarget, PromptContext};
use crate::server::handler::resources::{self, ReadContext};
use crate::server::handler::tool::Toolset;
use crate::server::serving::dispatch::{Route, Served};
use crate::server::serving::listen::{self, Wanted};
use crate::server::serving::serve::Outcome;
use crate::server::state::session::Session;
use crate::wire::{Kind, Raw};
use bumpalo::Bump;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A result that says nothing.
const EMPTY: Raw<'static> = Raw::trusted("{}");

impl<'f> Route<'f> {
    /// Serves every method but `tools/call`.
    pub(crate) fn serve_method<T: Toolset>(
        &self,
        toolset: &T,
        message: &Message<'f>,
        arena: &'f Bump,
    ) -> Served<'f> {
        let (era, method) = match self.judge(message, arena) {
            Ok(judged) => judged,
            Err(outcome) => return Served::Now(outcome),
        };
        let Some(name) = message.method else {
            return Served::Now(self.take_response(toolset, message, arena));
        };
        let offers = &self.shared.offers;
        let method = method.filter(|method| match era {
            Era::Modern => method.is_modern(),
            Era::Legacy => method.is_legacy(),
        });
        let IdField::Valid(id) = message.id else {
            return Served::Now(self.take_notification(toolset, method, message, arena));
        };
        let id = id.as_json();
        match method.filter(|method| offers.serves(*method)) {
            Some(Method::Ping) => Served::Now(self.result(id, EMPTY)),
            Some(Method::Discover) => Served::Now(self.result(id, self.shared.catalog.load().discover())),
            Some(Method::Initialize) => Served::Now(self.initialize(message, arena)),
            Some(Method::SetLevel) => Served::Now(self.set_level(message, arena)),
            Some(Method::ToolsList) => Served::Now(self.list(List::Tools, era, message, arena)),
            Some(Method::ResourcesList) => Served::Now(self.list(List::Resources, era, message, arena)),
            Some(Method::TemplatesList) => Served::Now(self.list(List::Templates, era, message, arena)),
            Some(Method::PromptsList) => Served::Now(self.list(List::Prompts, era, message, arena)),
            Some(Method::Subscribe | Method::Unsubscribe) => Served::Now(self.watch(message)),
            Some(Method::ResourcesRead) => self.read(message, era, arena).unwrap_or_else(Served::Now),
            Some(Method::PromptsGet) => self.prompt(message, era, arena).unwrap_or_else(Served::Now),
            Some(Method::Complete) => self.complete(message, era, arena).unwrap_or_else(Served::Now),
            Some(Method::Listen) => self.listen(message, arena).unwrap_or_else(Served::Now),
            Some(Method::TasksGet | Method::TasksUpdate | Method::TasksCancel) => {
                Served::Now(crate::server::serving::tasks::serve(self, message, arena))
            }
            _ => Served::Now(self.refuse(message, &ProtocolError::MethodNotFound { method: name })),
        }
    }

    fn list(&self, list: List, era: Era, message: &Message<'f>, arena: &'f Bump) -> Outcome {
        let cursor = match message.cursor.map(|raw| raw.decode::<&str>(arena)) {
            None => None,
            Some(Ok(cursor)) => Some(cursor),
            Some(Err(_)) => {
                return self.refuse(message, &ProtocolError::InvalidParams("cursor must be a string"));
            }
        };
        let IdField::Valid(id) = message.id else { return Outcome::Silent };
        let catalog = self.shared.catalog.load();
        match catalog.page(list, era, cursor) {
            Some(page) => self.result(id.as_json(), page),
            None => self.refuse(
                message,
                &ProtocolError::InvalidParams("this cursor was not given out here, or the list has changed"),
            ),
        }
    }

    fn read(&self, message: &Message<'f>, era: Era, arena: &'f Bump) -> Result<Served<'f>, Outcome> {
        let Some(uri) = message.uri else {
            return Err(self.refuse(message, &ProtocolError::InvalidParams("uri must be a string")));
        };
        let request = self.admit_judged(message, era, arena)?;
        let families = &self.shared.offers.resources;
        Ok(Served::Later(Box::pin(async move {
            let mut read = ReadContext::new(request);
            let mut result = Err(ToolError::NotFound);
            for family in families {
                result = family.read(uri, &mut read).await;
                if result != Err(ToolError::NotFound) {
                    break;
                }
            }
            read.finish(uri, result)
        })))
    }

    fn prompt(&self, message: &Message<'f>, era: Era, arena: &'f Bump) -> Result<Served<'f>, Outcome> {
        let Some(name) = message.name else {
            return Err(self.refuse(message, &ProtocolError::InvalidParams("name must be a string")));
        };
        let mut request = self.admit_judged(message, era, arena)?;
        let Some((family, prompt)) = self.shared.offers.prompt(name) else {
            return Err(request.refuse(&ProtocolError::UnknownPrompt { name }).0);
        };
        let arguments: BTreeMap<String, String> = match message.arguments {
            Some(raw) if raw.as_str() != "null" => {
                if let Ok(arguments) = raw.decode(arena) {
                    arguments
                } else {
                    let error = ProtocolError::InvalidParams("arguments of a prompt must be strings");
                    return Err(request.refuse(&error).0);
                }
            }
            _ => BTreeMap::new(),
        };
        if prompt.missing_argument(|argument| arguments.contains_key(argument)).is_some() {
            let error = ToolError::InvalidParams("a required argument of the prompt is missing");
            return Err(request.end(&error).0);
        }
        Ok(Served::Later(Box::pin(async move {
            let mut prompt = PromptContext::new(request, arguments);
            let result = family.get(name, &mut prompt).await;
            prompt.finish(name, result)
        })))
    }

    fn complete(&self, message: &Message<'f>, era: Era, arena: &'f Bump) -> Result<Served<'f>, Outcome> {
        let asked = match message.decode_params::<Complete<'_>>(arena).map(Complete::into_request) {
            Ok(Some(asked)) => asked,
            Ok(None) => {
                let error = ProtocolError::InvalidParams(
                    "ref must be a ref/prompt with name or a ref/resource with uri",
                );
                return Err(self.refuse(message, &error));
            }
            Err(error) => return Err(self.refuse(message, &ProtocolError::UndecodableParams(error))),
        };
        let mut request = self.admit_judged(message, era, arena)?;
        let completer = self.shared.offers.completer.as_ref();
        Ok(Served::Later(Box::pin(async move {
            let result = match completer {
                Some(completer) => completer.complete(&asked, &mut request).await,
                None => Err(ToolError::NotFound),
            };
            prompts::finish_completion(request, result)
        })))
    }

    fn listen(&self, message: &Message<'f>, arena: &'f Bump) -> Result<Served<'f>, Outcome> {
        #[derive(Deserialize)]
        struct Listen {
            notifications: Wanted,
        }
        let wanted = match message.decode_params::<Listen>(arena) {
            Ok(Listen { notifications }) => notifications,
            Err(error) => return Err(self.refuse(message, &ProtocolError::UndecodableParams(error))),
        };
        if self.surroundings.is_saturated {
            let limit = self.shared.limits.max_concurrent_requests;
            return Err(self.refuse(message, &ProtocolError::TooManyRequests { limit }));
        }
        let (shared, call) = (Arc::clone(self.shared), Arc::clone(self.call));
        Ok(Served::Later(Box::pin(listen::listen(shared, call, wanted))))
    }

    fn initialize(&self, message: &Message<'f>, arena: &'f Bump) -> Outcome {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Initialize<'a> {
            protocol_version: &'a str,
            #[serde(default, borrow)]
            capabilities: Option<Raw<'a>>,
        }
        if self.surroundings.in_batch {
            let error = ProtocolError::InvalidRequest("initialize must not be part of a batch");
            return self.refuse(message, &error);
        }
        let asked = match message.decode_params::<Initialize<'_>>(arena) {
            Ok(asked) => asked,
            Err(error) => return self.refuse(message, &ProtocolError::UndecodableParams(error)),
        };
        if asked.capabilities.is_some_and(|raw| raw.kind() != Kind::Object) {
            return self.refuse(message, &ProtocolError::InvalidParams("capabilities must be an object"));
        }
        let revision = Revision::negotiate(asked.protocol_version);
        let capabilities = asked
            .capabilities
            .map_or_else(ClientCapabilities::default, |raw| ClientCapabilities::decode(raw, arena));
        let (id, principal) = {
            let names = self.call.names();
            (names.id.clone(), names.principal())
        };
        let mut reply = self.shared.reply();
        envelope::initialize(&mut reply, &id, revision, self.shared.catalog.load().handshake());
        let outcome = self.shared.answered(reply, AnswerId::Of(&id));
        let is_on_connection = self.surroundings.http.is_none();
        if is_on_connection && self.has_session() {
            self.session.agree(revision, capabilities);
            return outcome;
        }
        let Some(answer) = outcome.into_answer() else { return Outcome::Silent };
        let session = Arc::new(Session::new(self.shared.sessions.next_number(), principal));
        session.agree(revision, capabilities);
        if is_on_connection {
            return Outcome::Opened { answer, session, id: None };
        }
        match self.shared.open_session(&session) {
            Ok(id) => Outcome::Opened { answer, session, id: Some(id) },
            Err(error) => self.refuse(message, &error),
        }
    }

    /// Whether the peer has a session of its own.
    fn has_session(&self) -> bool {
        !Arc::ptr_eq(self.session, &self.shared.stateless)
    }

    fn set_level(&self, message: &Message<'f>, arena: &'f Bump) -> Outcome {
        #[derive(Deserialize)]
        struct SetLevel {
            level: LogLevel,
        }
        match message.decode_params::<SetLevel>(arena) {
            Ok(SetLevel { level }) => {
                self.session.set_log_level(level);
                self.result(&self.call.names().id, EMPTY)
            }
            Err(error) => self.refuse(message, &ProtocolError::UndecodableParams(error)),
        }
    }

    /// `resources/subscribe` and `resources/unsubscribe` of the legacy era.
    fn watch(&self, message: &Message<'f>) -> Outcome {
        let (Some(uri), IdField::Valid(id)) = (message.uri, message.id) else {
            return self.refuse(message, &ProtocolError::InvalidParams("uri must be a string"));
        };
        listen::tell_of_changes(self.shared, self.session);
        let Some(subscription) = self.session.subscription() else {
            let limit = self.shared.limits.max_subscriptions;
            return self.refuse(message, &ProtocolError::TooManySubscriptions { limit });
        };
        let is_withheld = resources::is_withheld(uri, self.call.names().is_admin);
        if message.method == Some(Method::Unsubscribe.as_str()) {
            subscription.unsubscribe(uri);
        } else if !is_withheld && subscription.subscribe(uri).is_err() {
            let limit = self.shared.limits.max_subscribed_uris;
            return self.refuse(message, &ProtocolError::TooManySubscriptions { limit });
        }
        self.result(id.as_json(), EMPTY)
    }

    fn take_notification<T: Toolset>(
        &self,
        toolset: &T,
        method: Option<Method>,
        message: &Message<'f>,
        arena: &'f Bump,
    ) -> Outcome {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Cancelled<'a> {
            #[serde(borrow)]
            request_id: Raw<'a>,
        }
        match method {
            Some(Method::Cancelled) => match message.decode_params::<Cancelled<'_>>(arena) {
                Ok(cancelled) => match Id::from_raw(cancelled.request_id, arena) {
                    Some(id) => {
                        id.as_json().clone_into(&mut self.call.names().id);
                        Outcome::Cancel
                    }
                    None => Outcome::Silent,
                },
                Err(_) => Outcome::Silent,
            },
            Some(Method::Initialized | Method::RootsListChanged) => {
                let knows_roots = self.session.capabilities().has(crate::protocol::Capability::Roots);
                if toolset.wants_roots() && knows_roots {
                    self.session.ask_for_roots();
                }
                let is_on_connection = self.surroundings.http.is_none() && self.has_session();
                if is_on_connection && method == Some(Method::Initialized) {
                    listen::tell_of_changes(self.shared, self.session);
                }
                Outcome::Silent
            }
            _ => Outcome::Silent,
        }
    }

    /// Takes the client's answer to a request of ours; answers to anything else are ignored.
    fn take_response<T: Toolset>(&self, toolset: &T, message: &Message<'f>, arena: &'f Bump) -> Outcome {
        #[derive(Deserialize)]
        struct Roots<'a> {
            #[serde(borrow)]
            roots: Vec<Root<'a>>,
        }
        #[derive(Deserialize)]
        struct Root<'a> {
            uri: &'a str,
        }
        let IdField::Valid(id) = message.id else { return Outcome::Silent };
        if !self.has_session() {
            // Nothing was asked. What all who have no session share must not keep what one of them says.
            return Outcome::Silent;
        }
        if envelope::is_roots_request(id.as_json(), self.session.latest_roots_request()) {
            if let Some(result) = message.result
                && let Ok(Roots { roots }) = result.decode::<Roots<'_>>(arena)
            {
                let most = self.shared.limits.max_client_roots;
                if roots.len() > most {
                    tracing::info!(roots = roots.len(), most, "a client has more roots than are used");
                }
                let uris: Vec<_> = roots.iter().take(most).map(|root| root.uri).collect();
                toolset.take_roots(&uris, self.session.values());
            }
            return Outcome::Silent;
        }
        let (is_error, body) = match (message.result, message.error) {
            (_, Some(error)) => (true, error),
            (Some(result), None) => (false, result),
            (None, None) => return Outcome::Silent,
        };
        self.shared.take_answer(self.session, id.as_json(), is_error, body.as_str());
        Outcome::Silent
    }
}

/// The parameters of `completion/complete`.
#[derive(Deserialize)]
struct Complete<'a> {
    #[serde(rename = "ref", borrow)]
    reference: Reference<'a>,
    #[serde(borrow)]
    argument: Argument<'a>,
    #[serde(default)]
    context: Option<Given>,
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
struct Given {
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
            context: self.context.map(|given| given.arguments).unwrap_or_default(),
        })
    }
}
