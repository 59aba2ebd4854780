//! Notifications of changes: the `subscriptions/listen` request of the modern era, and the notifications that legacy
//! clients get without a request.
//!
//! Changes are not queued one by one: each list and each resource waits at most once, and becomes a message when the
//! client has read the one before it. So a slow reader is notified late and once, and costs no more memory.

use crate::protocol::ProtocolError;
use crate::server::answer::envelope::{self, AnswerId};
use crate::server::answer::outcome::Outcome;
use crate::server::answer::tool_error::ToolError;
use crate::server::handler::families::Families;
use crate::server::handler::request_context::RequestContext;
use crate::server::handler::resources::{self, AnyResources};
use crate::server::serving::watching::{self, Watched};
use crate::server::shared::Shared;
use crate::server::state::call_state::CallState;
use crate::server::state::changes::{CannotSubscribe, Filter, Subscription};
use crate::server::state::outgoing::Outgoing;
use crate::server::state::resource_watch::ResourceWatch;
use crate::server::state::session::Session;
use mcpool_pools::BufferLease;
use serde::Deserialize;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The changes that a client subscribes to.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a member of its own")]
pub(crate) struct Wanted {
    tools_list_changed: bool,
    prompts_list_changed: bool,
    resources_list_changed: bool,
    resource_subscriptions: Vec<Box<str>>,
    /// The server has no resources: the URIs count against the limit, and are then dropped.
    #[serde(skip)]
    has_no_resources: bool,
}

impl Wanted {
    /// Only the changes that these families can make.
    pub(crate) fn limited_to(mut self, families: &Families) -> Self {
        self.prompts_list_changed &= families.has_prompts();
        self.resources_list_changed &= families.has_resource_list();
        self.has_no_resources = !families.has_resources();
        self
    }

    /// The resources.
    pub(crate) fn uris(&self) -> impl Iterator<Item = &str> + Clone {
        self.resource_subscriptions.iter().map(|uri| &**uri)
    }
}

/// Has changes of resources looked for, and serves the subscription to them, without those that are not there.
pub(crate) async fn listen_and_watch(
    mut request: RequestContext,
    mut wanted: Wanted,
    families: Vec<Arc<dyn AnyResources>>,
) -> Outcome {
    let RequestContext { shared, call, .. } = &request;
    let (shared, call) = (Arc::clone(shared), Arc::clone(call));
    if wanted.resource_subscriptions.len() > shared.limits.max_subscribed_uris {
        return listen(shared, call, wanted, Vec::new()).await;
    }
    let uris = std::mem::take(&mut wanted.resource_subscriptions);
    // Boxed, as it is done long before the subscription is.
    let found = Box::pin(watching::watch(families, uris, &mut request)).await;
    drop(request);
    match found {
        Ok(Watched { uris }) => {
            let mut watches = Vec::new();
            for (uri, watch) in uris {
                watches.extend(watch.map(|watch| (uri.clone(), watch)));
                wanted.resource_subscriptions.push(uri);
            }
            listen(shared, call, wanted, watches).await
        }
        Err(ToolError::Cancelled) => Outcome::Silent,
        Err(error) => {
            let told = match &error {
                ToolError::Failed(text) => ProtocolError::Failed(text),
                ToolError::InvalidParams(why) => ProtocolError::InvalidParams(why),
                _ => ProtocolError::Internal("a resource cannot be watched"),
            };
            shared.refusal(AnswerId::Of(&call.details().id), &told)
        }
    }
}

/// Serves one subscription until it is cancelled or its connection drains. `watches` look for changes of some of its
/// resources.
pub(crate) async fn listen(
    shared: Arc<Shared>,
    call: Arc<CallState>,
    mut wanted: Wanted,
    watches: Vec<(Box<str>, ResourceWatch)>,
) -> Outcome {
    let (id, principal, outgoing, is_admin) = {
        let details = call.details();
        (details.id.clone(), details.principal(), details.outgoing.clone(), details.is_admin)
    };
    wanted.resource_subscriptions.retain(|uri| !resources::is_withheld(uri, is_admin));
    let refuse = |error: &ProtocolError<'_>| shared.refusal(AnswerId::Of(&id), error);
    let Some(outgoing) = outgoing else {
        return refuse(&ProtocolError::Internal("this connection cannot carry a subscription"));
    };
    if wanted.resource_subscriptions.len() > shared.limits.max_subscribed_uris {
        return refuse(&ProtocolError::InvalidParams("too many resources (setting max_subscribed_uris)"));
    }
    let filter = Filter {
        tools: wanted.tools_list_changed,
        prompts: wanted.prompts_list_changed,
        resources: wanted.resources_list_changed,
        uris: if wanted.has_no_resources { Vec::new() } else { wanted.resource_subscriptions },
    };
    let mut acknowledgement = shared.reply();
    envelope::acknowledged(&mut acknowledgement, &id, &filter);
    let subscription = match shared.changes.subscribe(principal, &filter) {
        Ok(subscription) => subscription,
        Err(CannotSubscribe::OutOfMemory) => return refuse(&ProtocolError::NoMemoryToWait),
        Err(CannotSubscribe::Full) => {
            return refuse(&ProtocolError::TooManySubscriptions { limit: shared.limits.max_subscriptions });
        }
    };
    // The subscription has the resources now.
    drop(filter);
    for (uri, watch) in watches {
        subscription.keep_watch(&uri, watch);
    }
    match acknowledgement.finish().map(|acknowledgement| outgoing.send(acknowledgement)) {
        Ok(true) => {}
        Ok(false) => return refuse(&ProtocolError::Internal("the client reads too slowly to subscribe")),
        Err(error) => return refuse(&error.into()),
    }
    let listener =
        Listener { shared: &shared, call: &call, subscription: &subscription, outgoing: &outgoing, id: &id };
    poll_fn(|cx| listener.poll_changes(cx)).await;
    let mut reply = shared.reply();
    envelope::subscription_ended(&mut reply, &id);
    shared.answered(reply, AnswerId::Of(&id))
}

/// A client that listens, and what its notifications need.
struct Listener<'l> {
    shared: &'l Shared,
    call: &'l CallState,
    subscription: &'l Subscription,
    outgoing: &'l Outgoing,
    /// The id of its request.
    id: &'l str,
}

impl Listener<'_> {
    /// Sends each change, until the request ends.
    fn poll_changes(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Self { shared, call, subscription, outgoing, id } = *self;
        call.register(cx.waker());
        if call.is_closing() {
            return Poll::Ready(());
        }
        loop {
            // One message at a time: a change of which the peer has not read yet is not written twice.
            if !outgoing.is_empty() {
                outgoing.wake_when_empty(cx.waker());
                if !outgoing.is_empty() {
                    return Poll::Pending;
                }
            }
            let Some(change) = subscription.next() else {
                return match subscription.poll_changed(cx) {
                    Poll::Ready(()) => continue,
                    Poll::Pending => Poll::Pending,
                };
            };
            let mut notice = shared.reply();
            envelope::change(&mut notice, &change, Some(id));
            // The queue is empty, so a single message fits. A notification whose URI is too long is dropped.
            if !notice.finish().is_ok_and(|notice| outgoing.send(notice)) {
                shared.metrics.dropped_notifications.add(1);
            }
        }
    }
}

/// Subscribes a legacy client to changes.
pub(crate) fn subscribe_legacy_client(shared: &Shared, session: &Session) {
    if session.subscription().is_some() {
        return;
    }
    let filter = Filter { tools: true, prompts: true, resources: true, uris: Vec::new() };
    match shared.changes.subscribe(session.principal(), &filter) {
        Ok(subscription) => session.subscribe(subscription),
        Err(error) => tracing::debug!(%error, "a client is not notified of changes"),
    }
}

/// The next message for a legacy client that belongs to no request.
pub(crate) fn next_notice(shared: &Shared, session: &Session, cx: &mut Context<'_>) -> Option<BufferLease> {
    session.register(cx.waker());
    if let Some(number) = session.take_roots_request() {
        let mut request = shared.reply();
        envelope::roots_request(&mut request, number);
        return request.finish().ok();
    }
    #[cfg(feature = "everything")]
    if let Some(notice) = session.take_notice() {
        return Some(notice);
    }
    if session.take_task_news() {
        let mut notice = shared.reply();
        if envelope::task_status(&mut notice, |notice| shared.tasks.write_news(session.number(), notice)) {
            // There may be others.
            session.note_task_news();
            match notice.finish() {
                Ok(notice) => return Some(notice),
                Err(_) => shared.metrics.dropped_notifications.add(1),
            }
        }
    }
    let subscription = session.subscription()?;
    while subscription.poll_changed(cx).is_ready() {
        let change = subscription.next()?;
        let mut notice = shared.reply();
        envelope::change(&mut notice, &change, None);
        match notice.finish() {
            Ok(notice) => return Some(notice),
            Err(_) => shared.metrics.dropped_notifications.add(1),
        }
    }
    None
}
