//! What every handler is given, be it of a tool, a resource or a prompt: how it reports progress, how it
//! learns that nobody waits any more, and how it asks the client for something.

use crate::protocol::{
    Capability, ClientCapabilities, Elicited, Era, InputRequest, InputResponse, LogLevel, ProtocolError,
};
use crate::server::Shared;
use crate::server::answer::envelope::{self, AnswerId};
use crate::server::handler::call_context::{Finished, ToolError};
use crate::server::handler::inputs::Inputs;
use crate::server::serving::serve::Outcome;
use crate::server::state::call_state::{CallState, Failure};
use crate::server::state::changes::Kind;
use crate::server::state::session::{Session, SessionValues};
use crate::server::state::stopper::Stopper;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// One request, from its handler's side.
pub struct RequestContext {
    pub(crate) shared: Arc<Shared>,
    pub(crate) session: Arc<Session>,
    pub(crate) call: Arc<CallState>,
    pub(crate) era: Era,
    /// Log messages from this level on go to the client.
    pub(crate) log_level: Option<LogLevel>,
    /// The call runs as a task: nobody waits at the other end of a stream.
    pub(crate) in_task: bool,
    pub(crate) last_progress: Option<(Instant, f64)>,
    pub(crate) inputs: Option<Box<Inputs>>,
}

impl RequestContext {
    /// Whether the client has cancelled, or is gone. A call that runs long asks now and then.
    pub fn is_cancelled(&self) -> bool {
        self.call.is_cancelled()
    }

    /// Tells work that runs apart from this context whether it is still wanted.
    pub(crate) fn stopper(&self) -> Stopper {
        Stopper::new(Arc::clone(&self.call))
    }

    /// Whether the client wants to be told of progress.
    pub fn wants_progress(&self) -> bool {
        !self.in_task && !self.call.names().progress_token.is_empty()
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
        envelope::progress(&mut notice, &self.call.names().progress_token, progress, total, message);
        self.notify(notice);
    }

    /// Sends the client a log message, if it wants messages of this level.
    pub fn log<T: Serialize + ?Sized>(&self, level: LogLevel, logger: &str, data: &T) {
        if self.in_task || self.log_level.is_none_or(|wanted| level < wanted) {
            return;
        }
        let mut notice = self.shared.reply();
        if let Err(error) = envelope::log(&mut notice, level, logger, data) {
            tracing::warn!(%error, logger, "a log message cannot be JSON, and is not sent");
            self.shared.metrics.dropped_notifications.add(1);
            return;
        }
        self.notify(notice);
    }

    /// Where the bytes of this server are.
    pub fn memory(&self) -> &crate::memory::MemoryManager {
        &self.shared.memory
    }

    /// Whether who asks may see what concerns the operator: they are on this machine and the server is for this
    /// machine only, or their access token has the scope `admin`.
    pub fn is_admin(&self) -> bool {
        self.call.names().is_admin
    }

    /// The bounds of this server.
    pub fn limits(&self) -> &crate::limits::Limits {
        &self.shared.limits
    }

    /// What toolsets keep for the client's session. A modern client has none: nothing put there is found by
    /// its next request.
    pub fn session_values(&self) -> &SessionValues {
        self.session.values()
    }

    /// Offers a tool from now on, or no longer; all who listen are told.
    pub fn offer_tool(&self, name: &str, offered: bool) {
        self.shared.offer_tool(name, offered);
    }

    /// Tells all who listen that the list of tools is another one.
    pub fn tools_changed(&self) {
        self.shared.list_changed(Kind::Tools);
    }

    /// Tells all who listen that the list of prompts is another one.
    pub fn prompts_changed(&self) {
        self.shared.list_changed(Kind::Prompts);
    }

    /// Tells all who listen that the list of resources is another one.
    pub fn resources_changed(&self) {
        self.shared.list_changed(Kind::Resources);
    }

    /// Tells all who subscribed to it that a resource has new contents.
    pub fn resource_updated(&self, uri: &str) {
        self.shared.changes.updated(uri);
    }

    /// Whether the client can do something that not all clients can.
    pub fn client_can(&self, capability: Capability) -> bool {
        self.capabilities().has(capability)
    }

    /// Demands that the client can do something.
    ///
    /// # Errors
    /// [`ToolError::MissingCapability`], to be handed on with `?`: error -32021 for a modern client.
    pub fn require(&self, capability: Capability) -> Result<(), ToolError> {
        if self.client_can(capability) { Ok(()) } else { Err(ToolError::MissingCapability(capability)) }
    }

    fn capabilities(&self) -> ClientCapabilities {
        match self.era {
            Era::Modern => self.call.names().capabilities,
            Era::Legacy => self.session.capabilities(),
        }
    }

    /// Asks the client's user to fill in a form. `schema` is the JSON of a flat object schema.
    ///
    /// Serves both eras: a modern client gets the request as the result of this call and calls again with the
    /// answer, so that **the handler runs again from its start** (what it asked before is answered at
    /// once); a legacy client is asked over its stream while the handler waits. An answer that does not fit
    /// `T` is asked for again by a modern client's next round, and an error for a legacy one.
    ///
    /// # Errors
    /// To be handed on with `?`: the client has to be asked, cannot be asked, or did not answer.
    pub async fn elicit<T: DeserializeOwned>(
        &mut self,
        key: &str,
        message: &str,
        schema: &str,
    ) -> Result<Elicited<T>, ToolError> {
        let request = InputRequest::elicitation(message, schema);
        let response = self.ask(key, request.clone()).await?;
        match response.elicited() {
            Some(elicited) => Ok(elicited),
            None if self.asks_in_rounds() => {
                self.inputs().ask(key, request);
                Err(ToolError::InputRequired)
            }
            None => {
                Err(ToolError::failed("the client's answer does not fit the form it was asked to fill in"))
            }
        }
    }

    /// Asks the client for something; see [`RequestContext::elicit`] for what that means in each era. `key`
    /// names the request among those of this call.
    ///
    /// # Errors
    /// As for [`RequestContext::elicit`].
    pub async fn ask(&mut self, key: &str, request: InputRequest) -> Result<InputResponse, ToolError> {
        let mut responses = self.ask_all(vec![(key.to_owned(), request)]).await?;
        responses.pop().ok_or(ToolError::Cancelled)
    }

    /// Asks the client for several things at once; the responses come in the order of the requests.
    ///
    /// # Errors
    /// As for [`RequestContext::elicit`].
    pub async fn ask_all(
        &mut self,
        requests: Vec<(String, InputRequest)>,
    ) -> Result<Vec<InputResponse>, ToolError> {
        for (key, request) in &requests {
            self.require(request.capability())?;
            if let Some(fault) = request.fault() {
                return Err(ToolError::failed(format_args!(
                    "the request {key:?} to the client cannot be sent: {fault}"
                )));
            }
        }
        if self.asks_in_rounds() {
            return self.answers_of_earlier_rounds(requests);
        }
        let mut responses = Vec::with_capacity(requests.len());
        for (key, request) in &requests {
            // What was answered before the call became a task need not be asked again.
            let known = self.inputs.as_mut().and_then(|inputs| inputs.answer(key, request.kind()));
            if self.in_task && known.is_none() {
                crate::server::serving::tasks::begin_asking(self, key, request)?;
            }
            responses.push(known);
        }
        let mut answers = Vec::with_capacity(requests.len());
        for ((key, request), known) in requests.iter().zip(responses) {
            let response = match known {
                Some(known) => known,
                None if self.in_task => crate::server::serving::tasks::wait_for_answer(self, key).await?,
                None => self.ask_over_stream(request).await?,
            };
            if !response.fits(request.kind()) {
                return Err(ToolError::failed(format_args!(
                    "the client's answer is no {:?}",
                    request.kind()
                )));
            }
            answers.push(response);
        }
        if let Some(inputs) = &mut self.inputs {
            inputs.begin_round();
        }
        Ok(answers)
    }

    /// Keeps `state` for the next round of this call: a modern client hands it back, sealed. Where the client is
    /// asked in the middle of the call (the legacy era, tasks) its answer begins the next round.
    pub fn carry(&mut self, state: &str) {
        self.inputs().carry(state);
    }

    /// What the round before this one kept.
    pub fn carried(&self) -> Option<&str> {
        self.inputs.as_ref()?.carried()
    }

    /// Ends the stream on which a legacy client waits for the answer over HTTP, while the call goes on; the
    /// client comes back for the answer (`Last-Event-ID`). Does nothing elsewhere.
    pub fn release_stream(&self) {
        if self.era == Era::Legacy
            && let Some(outgoing) = &self.call.names().outgoing
        {
            outgoing.ask_for_release();
        }
    }

    /// Goes on as a task, if the client knows tasks: it gets the task's id at once and asks for the result
    /// later. The handler then runs **again from its start**, in the background, where this gives `true`.
    /// With a client that knows none this gives `false`, and the call goes on as it is.
    ///
    /// # Errors
    /// To be handed on with `?`: that is how the call leaves its client.
    pub fn prefer_task(&self) -> Result<bool, ToolError> {
        if self.in_task {
            return Ok(true);
        }
        if self.era == Era::Modern && self.client_can(Capability::Tasks) {
            return Err(ToolError::NeedsTask);
        }
        Ok(false)
    }

    /// Like [`RequestContext::prefer_task`], for a call that cannot run otherwise.
    ///
    /// # Errors
    /// As for [`RequestContext::prefer_task`]; [`ToolError::MissingCapability`] for other clients.
    pub fn require_task(&self) -> Result<(), ToolError> {
        if self.prefer_task()? { Ok(()) } else { Err(ToolError::MissingCapability(Capability::Tasks)) }
    }

    /// Whether the client is asked by the result of the call, to be called again.
    fn asks_in_rounds(&self) -> bool {
        self.era == Era::Modern && !self.in_task
    }

    fn answers_of_earlier_rounds(
        &mut self,
        requests: Vec<(String, InputRequest)>,
    ) -> Result<Vec<InputResponse>, ToolError> {
        let inputs = self.inputs();
        let answered: Option<Vec<InputResponse>> =
            requests.iter().map(|(key, request)| inputs.answer(key, request.kind())).collect();
        if let Some(answers) = answered {
            return Ok(answers);
        }
        for (key, request) in requests {
            if inputs.answer(&key, request.kind()).is_none() {
                inputs.ask(&key, request);
            }
        }
        Err(ToolError::InputRequired)
    }

    /// Sends a request to a legacy client and waits for what it answers.
    async fn ask_over_stream(&self, request: &InputRequest) -> Result<InputResponse, ToolError> {
        let ticket = self.shared.correlation.open(self.session.number()).map_err(|_| {
            ToolError::failed("too many requests wait for clients (setting max_client_requests)")
        })?;
        let mut message = self.shared.reply();
        envelope::client_request(&mut message, ticket.id(), request);
        let message = message.finish().map_err(|error| {
            ToolError::failed(format_args!("{}: {error} (setting max_reply_bytes)", request.method()))
        })?;
        let outgoing = self.call.names().outgoing.clone();
        if !outgoing.is_some_and(|outgoing| outgoing.send(message)) {
            return Err(ToolError::failed("the client reads too slowly to be asked"));
        }
        let answered = ticket.wait(self.shared.limits.client_request_timeout()).await;
        match answered {
            Ok(answer) if answer.is_error() => Err(ToolError::failed(format_args!(
                "the client refused {}: {}",
                request.method(),
                answer.body()
            ))),
            Ok(answer) => Ok(InputResponse::new(answer.body())),
            Err(error) => Err(ToolError::failed(format_args!("{}: {error}", request.method()))),
        }
    }

    /// Ends the request with an error that is no text for a model.
    pub(crate) fn end(&mut self, error: &ToolError) -> Finished {
        match error {
            ToolError::Cancelled => Finished(Outcome::Silent),
            ToolError::NeedsTask => Finished(Outcome::NeedsTask),
            ToolError::InputRequired => {
                let inputs = self.inputs.take().unwrap_or_default();
                Finished(Outcome::NeedsInput(inputs))
            }
            ToolError::InvalidParams(why) => self.refuse(&ProtocolError::InvalidParams(why)),
            ToolError::NotFound => self.refuse(&ProtocolError::InvalidParams("there is no such thing")),
            ToolError::MissingCapability(capability) => {
                self.refuse(&ProtocolError::MissingCapability { required: *capability })
            }
            ToolError::Protocol { code, message } => {
                self.refuse(&ProtocolError::Custom { code: *code, message })
            }
            ToolError::Failed(text) => self.refuse(&ProtocolError::Failed(text)),
        }
    }

    /// Ends the request with a protocol error.
    pub(crate) fn refuse(&self, error: &ProtocolError<'_>) -> Finished {
        self.call.fail(Failure::Code(error.code(self.era)));
        Finished(self.shared.refusal_in(self.era, AnswerId::Of(&self.call.names().id), error))
    }

    pub(crate) fn inputs(&mut self) -> &mut Inputs {
        self.inputs.get_or_insert_default()
    }

    pub(crate) fn notify(&self, notice: crate::wire::Reply) {
        let outgoing = self.call.names().outgoing.clone();
        let sent = notice.finish().is_ok_and(|notice| outgoing.is_some_and(|outgoing| outgoing.send(notice)));
        if !sent {
            self.shared.metrics.dropped_notifications.add(1);
        }
    }

    /// Another handle to the same request, for a thread; the inputs move over.
    pub(crate) fn moved(&mut self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            session: Arc::clone(&self.session),
            call: Arc::clone(&self.call),
            era: self.era,
            log_level: self.log_level,
            in_task: self.in_task,
            last_progress: self.last_progress,
            inputs: self.inputs.take(),
        }
    }
}

impl fmt::Debug for RequestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestContext")
            .field("call", &self.call)
            .field("era", &self.era)
            .finish_non_exhaustive()
    }
}
