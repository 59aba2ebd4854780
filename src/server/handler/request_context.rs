//! The context of one request, which every handler gets: of a tool, a resource, a prompt or a completion.
//!
//! Through it a handler reports progress, logs, learns of its cancellation, asks the client, and becomes a task.

use crate::protocol::{
    Capability, ClientCapabilities, Elicited, Era, InputRequest, InputResponse, LogLevel, ProtocolError,
    WantedTask,
};
use crate::server::answer::envelope::{self, AnswerId};
use crate::server::answer::outcome::Outcome;
use crate::server::answer::tool_error::ToolError;
use crate::server::handler::question::Question;
use crate::server::incoming::checks::AdmittedRequest;
use crate::server::incoming::handler_end::{Finished, HandlerEnd};
use crate::server::incoming::inputs::Inputs;
use crate::server::shared::Shared;
use crate::server::state::answer_stream::StreamMeans;
use crate::server::state::blocking::cancellation::CancellationToken;
use crate::server::state::call_state::{CallState, Failure};
use crate::server::state::changes::Kind;
use crate::server::state::fair_permits::AcquirePermit;
use crate::server::state::fair_queue::SessionKey;
use crate::server::state::session::{Session, SessionValues};
use crate::server::state::task_store::TaskStore;
use crate::server::state::windows::Window;
use crate::wire::Reply;
use mcpool_pools::MemoryBudget;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// One request, as its handler sees it.
///
/// The contexts of tools, resources and prompts dereference to it.
///
/// ```
/// use mcpool::{CallContext, ToolError};
///
/// fn index_files(paths: &[&str], call: &mut CallContext) -> Result<(), ToolError> {
///     for (index, path) in paths.iter().enumerate() {
///         if call.is_cancelled() {
///             return Err(ToolError::Cancelled);
///         }
///         call.progress((index + 1) as f64, Some(paths.len() as f64), Some(path));
///     }
///     Ok(())
/// }
/// ```
pub struct RequestContext {
    pub(crate) shared: Arc<Shared>,
    pub(crate) session: Arc<Session>,
    pub(crate) call: Arc<CallState>,
    pub(crate) era: Era,
    /// The least grave level of log messages that the client wants; `None` if it wants none.
    pub(crate) log_level: Option<LogLevel>,
    /// Whether the call runs as a task. No stream leads to its client, so progress and logs are not sent.
    pub(crate) in_task: bool,
    pub(crate) last_progress: Option<(Instant, f64)>,
    pub(crate) inputs: Option<Box<Inputs>>,
}

impl RequestContext {
    pub(crate) fn new(admitted: AdmittedRequest) -> Self {
        let AdmittedRequest { shared, session, call, era, log_level, in_task, inputs } = admitted;
        Self { shared, session, call, era, log_level, in_task, last_progress: None, inputs }
    }

    /// The context of a `subscriptions/listen` request, which lasts longer than its frame.
    pub(crate) fn of_listener(shared: Arc<Shared>, session: Arc<Session>, call: Arc<CallState>) -> Self {
        let (era, log_level, in_task, inputs) = (Era::Modern, None, false, None);
        Self { shared, session, call, era, log_level, in_task, last_progress: None, inputs }
    }

    /// The context of a `tasks/result` request that has something to do, while it waits it needs none.
    pub(crate) fn of_waiter(shared: Arc<Shared>, session: Arc<Session>, call: Arc<CallState>) -> Self {
        let (era, log_level, in_task, inputs) = (Era::Legacy, None, false, None);
        Self { shared, session, call, era, log_level, in_task, last_progress: None, inputs }
    }

    /// Whether the client has cancelled the request or closed its connection. A handler that computes for long
    /// should check it regularly.
    pub fn is_cancelled(&self) -> bool {
        self.call.is_cancelled()
    }

    /// A handle that work on another thread checks to see whether the request was cancelled.
    pub(crate) fn cancellation(&self) -> CancellationToken {
        CancellationToken::new(Arc::clone(&self.call))
    }

    /// Waits for the right to use a thread.
    pub(crate) fn acquire_thread(&self) -> AcquirePermit {
        self.shared.thread_permits.acquire(self.session_key())
    }

    pub(crate) fn session_key(&self) -> SessionKey {
        SessionKey { principal: self.call.details().principal(), session: self.session.number() }
    }

    /// Whether the client asked for progress notifications.
    pub fn wants_progress(&self) -> bool {
        !self.in_task && !self.call.details().progress_token.is_empty()
    }

    /// The budget of large messages, for what a request holds before its answer is written.
    pub(crate) fn large_messages(&self) -> MemoryBudget {
        self.shared.pools.leased.clone()
    }

    /// Runs `work` on a thread that may block, as [`CallContext::offload`](crate::CallContext::offload) does for tools.
    ///
    /// # Errors
    /// [`ToolError::Cancelled`] when the request ends before, [`ToolError::Failed`] when `work` panics.
    pub(crate) async fn on_thread<R, W>(&mut self, work: W) -> Result<R, ToolError>
    where
        R: Send + 'static,
        W: FnOnce(&mut Self) -> R + Send + 'static,
    {
        let permit = self.acquire_thread().await.ok_or(ToolError::Cancelled)?;
        let mut moved = self.moved();
        let guard = CancelOnDrop::new(&self.call);
        let thread = tokio::task::spawn_blocking(move || {
            let result = work(&mut moved);
            // Dropped before the answer is sent: the client's next request may need it.
            drop(permit);
            (moved, result)
        });
        let ended = thread.await;
        guard.disarm();
        let Ok((moved, result)) = ended else {
            return Err(ToolError::failed("the handler panicked"));
        };
        *self = moved;
        Ok(result)
    }

    /// What an answer needs that is written while it is sent.
    pub(crate) fn stream_means(&self, window: Option<Window>) -> StreamMeans {
        let pools = &self.shared.pools;
        StreamMeans {
            threads: self.shared.thread_permits.clone(),
            key: self.session_key(),
            buffers: pools.buffers.clone(),
            windows: pools.windows.clone(),
            window,
        }
    }

    /// Sends a progress notification, if the client asked for them and the last one is at least
    /// `progress_interval_ms` old. A value that is not greater than the last one is not sent, as the protocol demands.
    ///
    /// Of a call that runs as a task, `message` becomes the status message of the task instead.
    pub fn progress(&mut self, progress: f64, total: Option<f64>, message: Option<&str>) {
        if self.in_task {
            if let (Some(message), Ok(task)) = (message, self.task()) {
                self.shared.tasks.note(&task, message, SystemTime::now());
            }
            return;
        }
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
        envelope::progress(&mut notice, &self.call.details().progress_token, progress, total, message);
        self.notify(notice);
    }

    /// Sends the client a log message, if the client wants messages of this level.
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

    /// The memory manager of this server, which makes the memory report.
    pub fn memory(&self) -> &crate::memory::MemoryManager {
        &self.shared.memory
    }

    /// Whether the client may see what concerns the operator, such as the memory report: either its access token has
    /// the scope `admin`, or it runs on this machine and the server accepts nobody from elsewhere.
    pub fn is_admin(&self) -> bool {
        self.call.details().is_admin
    }

    /// The limits of this server.
    pub fn limits(&self) -> &crate::limits::Limits {
        &self.shared.limits
    }

    /// The values that toolsets store for the client's session. A modern client has no session: its next request
    /// does not find what was put there.
    pub fn session_values(&self) -> &SessionValues {
        self.session.values()
    }

    /// Reserves memory for what is kept for the client's session, until it is dropped.
    ///
    /// # Errors
    /// When the client has its share of what lasts, or when there is no room.
    #[cfg(any(feature = "everything", feature = "filesystem", feature = "thinking"))]
    pub(crate) fn reserve_lasting(
        &self,
        bytes: usize,
    ) -> Result<crate::server::state::lasting::Lasting, mcpool_pools::BudgetSpent> {
        self.shared.pools.lasting.try_reserve(self.session.principal(), bytes)
    }

    /// Whether later requests of the client find what is stored with [`RequestContext::session_values`].
    pub(crate) fn has_session(&self) -> bool {
        !Arc::ptr_eq(&self.session, &self.shared.stateless)
    }

    /// Shows a tool in `tools/list` or hides it, and notifies the clients that listen for changes of the list.
    pub fn offer_tool(&self, name: &str, offered: bool) {
        self.shared.offer_tool(name, offered);
    }

    /// Lists the tools anew and notifies the clients that listen: the list changed.
    pub fn tools_changed(&self) {
        self.shared.list_changed(Kind::Tools);
    }

    /// Lists the prompts anew and notifies the clients that listen: the list changed.
    pub fn prompts_changed(&self) {
        self.shared.list_changed(Kind::Prompts);
    }

    /// Lists the resources anew and notifies the clients that listen: the list changed.
    pub fn resources_changed(&self) {
        self.shared.list_changed(Kind::Resources);
    }

    /// Notifies the clients that subscribed to the resource `uri`: its contents changed.
    pub fn resource_updated(&self, uri: &str) {
        self.shared.changes.updated(uri);
    }

    /// A way to notify subscribers after the request.
    #[cfg(feature = "filesystem")]
    pub(crate) fn change_notifier(&self) -> super::change_notifier::ChangeNotifier {
        super::change_notifier::ChangeNotifier::new(Arc::downgrade(&self.shared))
    }

    /// Whether the client declared this capability.
    pub fn client_can(&self, capability: Capability) -> bool {
        self.capabilities().has(capability)
    }

    /// Fails unless the client declared this capability.
    ///
    /// # Errors
    /// [`ToolError::MissingCapability`]. Return it with `?`: a modern client gets error -32021.
    pub fn require(&self, capability: Capability) -> Result<(), ToolError> {
        if self.client_can(capability) { Ok(()) } else { Err(ToolError::MissingCapability(capability)) }
    }

    /// Whether the client speaks the modern era, in which each request stands for itself.
    #[cfg(feature = "everything")]
    pub(crate) fn is_modern(&self) -> bool {
        self.era == Era::Modern
    }

    fn capabilities(&self) -> ClientCapabilities {
        match self.era {
            Era::Modern => self.call.details().capabilities,
            Era::Legacy => self.session.capabilities(),
        }
    }

    /// Asks the client's user to fill in a form. `schema` is the JSON of a flat object schema.
    ///
    /// This works in both eras. A modern client gets the form as the result of this call and calls again with the
    /// answer: **the handler then runs again from its start**, and what it asked before is answered at once. A legacy
    /// client gets the form over its stream while the handler waits. If the answer does not fit `T`, a modern client
    /// is asked again in the next round, and the call of a legacy client fails.
    ///
    /// ```
    /// use mcpool::{CallContext, Elicited, ToolError};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Answer {
    ///     branch: String,
    /// }
    ///
    /// async fn ask_for_branch(call: &mut CallContext) -> Result<(), ToolError> {
    ///     let schema = r#"{"type":"object","properties":{"branch":{"type":"string"}},"required":["branch"]}"#;
    ///     match call.elicit::<Answer>("branch", "Which branch is to be deleted?", schema).await? {
    ///         Elicited::Accepted(answer) => call.text(&answer.branch),
    ///         Elicited::Declined | Elicited::Cancelled => call.text("nothing was deleted"),
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// Return the error with `?`. It means that the client has to be asked first, cannot be asked, or did not answer.
    pub fn elicit<T: DeserializeOwned>(
        &mut self,
        key: &str,
        message: &str,
        schema: &str,
    ) -> impl Future<Output = Result<Elicited<T>, ToolError>> {
        self.elicit_by(key, InputRequest::elicitation(message, schema))
    }

    /// Asks the client's user to fill in a form with the fields of `T`: texts, numbers, truth values and enums without
    /// data; what is an `Option` may be left out. What this does in each era is said at [`RequestContext::elicit`].
    ///
    /// ```
    /// use mcpool::{CallContext, ToolError};
    /// use schemars::JsonSchema;
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// struct Deletion {
    ///     /// Which branch is to be deleted?
    ///     branch: String,
    ///     /// Also where it is not merged?
    ///     force: Option<bool>,
    /// }
    ///
    /// async fn delete(call: &mut CallContext) -> Result<(), ToolError> {
    ///     let form = call.elicit_form::<Deletion>("branch", "What is to be deleted?").await?;
    ///     match form.accepted() {
    ///         Some(deletion) => call.text(&deletion.branch),
    ///         None => call.text("nothing was deleted"),
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// As for [`RequestContext::elicit`]; also when a field of `T` is of a kind that forms do not have.
    pub fn elicit_form<T: DeserializeOwned + JsonSchema>(
        &mut self,
        key: &str,
        message: &str,
    ) -> impl Future<Output = Result<Elicited<T>, ToolError>> {
        self.elicit_by(key, InputRequest::form::<T>(message))
    }

    /// A function that is not `async` returns the future of this one: what waits for a client should be small.
    async fn elicit_by<T: DeserializeOwned>(
        &mut self,
        key: &str,
        request: InputRequest,
    ) -> Result<Elicited<T>, ToolError> {
        // Kept only where it is asked again: elsewhere the call waits, and what it holds is there all that time.
        let again = self.asks_in_rounds().then(|| request.clone());
        let response = self.ask(key, request).await?;
        match (response.elicited(), again) {
            (Some(elicited), _) => Ok(elicited),
            (None, Some(request)) => {
                self.inputs().ask(key, request);
                Err(ToolError::InputRequired)
            }
            (None, None) => {
                Err(ToolError::failed("the client's answer does not fit the form it was asked to fill in"))
            }
        }
    }

    /// Has the client's model write a message. `params` are those of `sampling/createMessage`.
    /// [`InputResponse::sampled_text`] gives its text. What this does in each era is said at [`RequestContext::elicit`].
    ///
    /// ```
    /// use mcpool::{CallContext, ToolError};
    /// use serde_json::json;
    ///
    /// async fn sum_up(page: &str, call: &mut CallContext) -> Result<(), ToolError> {
    ///     let question = json!({"role": "user", "content": {"type": "text", "text": format!("Sum this up: {page}")}});
    ///     let answer = call.sample("sum", &json!({"messages": [question], "maxTokens": 200})).await?;
    ///     call.text(answer.sampled_text().as_deref().unwrap_or("no text"));
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// As for [`RequestContext::elicit`].
    pub fn sample<P: Serialize + ?Sized>(
        &mut self,
        key: &str,
        params: &P,
    ) -> impl Future<Output = Result<InputResponse, ToolError>> {
        self.ask(key, InputRequest::sampling_of(params))
    }

    /// Asks the client for something. [`RequestContext::elicit`] says what this does in each era. `key` must be unique
    /// among the requests of this call.
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
        let mut questions = self.begin_questions(requests)?;
        let mut answers = Vec::with_capacity(questions.len());
        for question in &mut questions {
            let response = match question.known.take() {
                Some(known) => known,
                None if self.in_task => {
                    wait_for_answer(&self.shared.tasks, &self.task()?, &question.key).await?
                }
                None => self.ask_over_stream(question).await?,
            };
            let kind = question.request.kind();
            if !response.fits(kind) {
                return Err(ToolError::failed(format_args!("the client's answer is no {kind:?}")));
            }
            answers.push(response);
        }
        if let Some(inputs) = &mut self.inputs {
            inputs.begin_round();
        }
        Ok(answers)
    }

    /// Carries `state` over to the next round of this call, which reads it with [`RequestContext::carried`]. A modern
    /// client gets it sealed and sends it back. In the legacy era and in tasks the client answers while the call runs,
    /// and each answer begins the next round.
    pub fn carry(&mut self, state: &str) {
        self.inputs().set_state_for_next_round(state);
    }

    /// The state that an earlier round stored with [`RequestContext::carry`]; `None` in the first round.
    pub fn carried(&self) -> Option<&str> {
        self.inputs.as_ref()?.state_of_last_round()
    }

    /// Ends the HTTP stream on which a legacy client waits for the answer, while the call goes on. The client
    /// reconnects with `Last-Event-ID` to get the answer. On other transports this does nothing.
    pub fn release_stream(&self) {
        if self.era == Era::Legacy
            && let Some(outgoing) = &self.call.details().outgoing
        {
            outgoing.ask_for_release();
        }
    }

    /// Continues as a task, if the client supports tasks: the client gets the id of the task at once and asks for the
    /// result later. The handler then runs **again from its start** in the background, and this returns `true` there.
    /// With other clients this returns `false`, and the call continues as it is.
    ///
    /// ```
    /// use mcpool::{CallContext, ToolError};
    ///
    /// async fn build(call: &mut CallContext) -> Result<(), ToolError> {
    ///     call.prefer_task()?;
    ///     // From here on the call may take minutes.
    ///     call.text("built");
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// Return the error with `?`: it ends the call, so that its task can begin.
    pub fn prefer_task(&self) -> Result<bool, ToolError> {
        if self.in_task {
            return Ok(true);
        }
        if self.era == Era::Modern && self.client_can(Capability::Tasks) {
            return Err(ToolError::NeedsTask);
        }
        Ok(false)
    }

    /// Like [`RequestContext::prefer_task`], for a call that can only run as a task.
    ///
    /// # Errors
    /// As for [`RequestContext::prefer_task`]; [`ToolError::MissingCapability`] if the client does not support tasks.
    pub fn require_task(&self) -> Result<(), ToolError> {
        if self.prefer_task()? { Ok(()) } else { Err(ToolError::MissingCapability(Capability::Tasks)) }
    }

    /// Whether a request to the client is the result of this call, which the client then repeats.
    fn asks_in_rounds(&self) -> bool {
        self.era == Era::Modern && !self.in_task
    }

    /// The task that the call runs as.
    fn task(&self) -> Result<Box<str>, ToolError> {
        self.call.details().task.clone().ok_or(ToolError::Cancelled)
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

    /// Puts the questions of a task where its client sees them all. A client of the legacy era is asked for one after the
    /// other, so all but the first wait, and what they take is reserved before the client is asked for anything.
    fn begin_questions(&mut self, requests: Vec<(String, InputRequest)>) -> Result<Vec<Question>, ToolError> {
        let mut questions = Vec::with_capacity(requests.len());
        let mut waits_for_others = false;
        for (key, request) in requests {
            // An answer from before the call became a task is still valid.
            let known = self.inputs.as_mut().and_then(|inputs| inputs.answer(&key, request.kind()));
            let mut question = Question::new(key, request, known);
            if question.known.is_some() {
                question.give_up_text();
            } else if self.in_task {
                begin_asking(&self.shared.tasks, &self.task()?, &question.key, &question.request)?;
                // The task has it and counts it.
                question.give_up_text();
            } else if std::mem::replace(&mut waits_for_others, true) {
                let (principal, bytes) = (self.session.principal(), question.waiting_bytes());
                question.room = Some(self.shared.tasks.keep_question(principal, bytes)?);
            }
            questions.push(question);
        }
        Ok(questions)
    }

    /// Sends a request to a legacy client and waits for what it answers.
    async fn ask_over_stream(&self, question: &mut Question) -> Result<InputResponse, ToolError> {
        let pending = self.session.client_requests().open(&self.shared.client_requests).map_err(|_| {
            ToolError::failed("too many requests wait for clients (setting max_client_requests)")
        })?;
        let mut message = self.shared.reply();
        envelope::client_request(&mut message, pending.id(), &question.request);
        question.give_up_text();
        let request = &question.request;
        let message = message.finish().map_err(|error| {
            ToolError::failed(format_args!("{}: {error} (setting max_reply_bytes)", request.method()))
        })?;
        let outgoing = self.call.details().outgoing.clone();
        if !outgoing.is_some_and(|outgoing| outgoing.send(message)) {
            return Err(ToolError::failed("the client reads too slowly to be asked"));
        }
        let answered = pending.wait(self.shared.limits.client_request_timeout()).await;
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

    /// Asks a legacy client, on the stream of this request, what a task of its session asks for.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub(crate) async fn ask_for_task(&self, request: InputRequest) -> Result<InputResponse, ToolError> {
        self.ask_over_stream(&mut Question::new(String::new(), request, None)).await
    }

    /// Ends the request with an error other than one that the model reads.
    pub(crate) fn end(&mut self, error: &ToolError) -> Finished {
        match error {
            ToolError::Cancelled => Outcome::Silent.into(),
            ToolError::NeedsTask => Finished(HandlerEnd::NeedsTask(WantedTask::default())),
            ToolError::InputRequired => {
                let (requests, round) = self.inputs.take().unwrap_or_default().into_asked();
                Finished(HandlerEnd::NeedsInput { requests, round })
            }
            ToolError::InvalidParams(why) => self.refuse(&ProtocolError::InvalidParams(why)),
            ToolError::NotFound => self.refuse(&ProtocolError::InvalidParams("nothing has this name or URI")),
            ToolError::MissingCapability(capability) => {
                self.refuse(&ProtocolError::MissingCapability { required: *capability })
            }
            ToolError::Protocol { code, message } => {
                self.refuse(&ProtocolError::Custom { code: *code, message })
            }
            ToolError::ProtocolWithData(error) => self.refuse(&error.as_protocol_error()),
            ToolError::Failed(text) => self.refuse(&ProtocolError::Failed(text)),
        }
    }

    /// Ends the request with a protocol error.
    pub(crate) fn refuse(&self, error: &ProtocolError<'_>) -> Finished {
        self.call.fail(Failure::Code(error.code(self.era)));
        self.shared.refusal_in(self.era, AnswerId::Of(&self.call.details().id), error).into()
    }

    pub(crate) fn inputs(&mut self) -> &mut Inputs {
        self.inputs.get_or_insert_default()
    }

    pub(crate) fn notify(&self, notice: Reply) {
        let outgoing = self.call.details().outgoing.clone();
        let sent = notice.finish().is_ok_and(|notice| outgoing.is_some_and(|outgoing| outgoing.send(notice)));
        if !sent {
            self.shared.metrics.dropped_notifications.add(1);
        }
    }

    /// What the context was made of, for a call that begins anew elsewhere.
    #[cfg(any(feature = "filesystem", feature = "memory"))]
    pub(crate) fn into_admitted(self) -> AdmittedRequest {
        let Self { shared, session, call, era, log_level, in_task, inputs, .. } = self;
        AdmittedRequest { shared, session, call, era, log_level, in_task, inputs }
    }

    /// A second context of the same request, for another thread. It takes the inputs along.
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

/// Cancels the call when the future that waits for its thread is dropped.
pub(crate) struct CancelOnDrop {
    call: Option<Arc<CallState>>,
}

impl CancelOnDrop {
    pub(crate) fn new(call: &Arc<CallState>) -> Self {
        Self { call: Some(Arc::clone(call)) }
    }

    /// The thread is done: there is nothing to cancel.
    pub(crate) fn disarm(mut self) {
        self.call = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(call) = &self.call {
            call.cancel();
        }
    }
}

/// Puts a request of a task's call where its client sees it.
fn begin_asking(tasks: &TaskStore, task: &str, key: &str, request: &InputRequest) -> Result<(), ToolError> {
    Ok(tasks.ask(task, key, request, SystemTime::now())?)
}

/// Waits for what the client answers to a request of a task's call.
async fn wait_for_answer(tasks: &TaskStore, task: &str, key: &str) -> Result<InputResponse, ToolError> {
    poll_fn(|cx| tasks.poll_answer(task, key, cx)).await.map(InputResponse::new).ok_or(ToolError::Cancelled)
}

impl fmt::Debug for RequestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestContext")
            .field("call", &self.call)
            .field("era", &self.era)
            .finish_non_exhaustive()
    }
}
