//! Resources whose changes are looked for while somebody is subscribed to them.

use crate::protocol::ProtocolError;
use crate::server::answer::envelope::{self, AnswerId};
use crate::server::answer::tool_error::ToolError;
use crate::server::handler::families::Families;
use crate::server::handler::request_context::RequestContext;
use crate::server::handler::resources::{AnyResources, BoxedFuture};
use crate::server::incoming::handler_end::Finished;
use crate::server::state::changes::CannotSubscribe;
use crate::server::state::resource_watch::ResourceWatch;
use crate::wire::Raw;
use std::sync::Arc;

/// The families that look for changes of some of these resources.
pub(crate) fn watchers<'u>(
    families: &Families,
    uris: &(impl Iterator<Item = &'u str> + Clone),
) -> Vec<Arc<dyn AnyResources>> {
    let watches = |family: &&Arc<dyn AnyResources>| uris.clone().any(|uri| family.watches(uri));
    families.resources.iter().filter(watches).cloned().collect()
}

/// What is watched of some resources.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    /// All of them but those that are not there, each with what looks for its changes.
    pub(crate) uris: Vec<(Box<str>, Option<ResourceWatch>)>,
}

/// Has changes of those resources looked for, on a thread that may block.
///
/// # Errors
/// When that is not possible for one of them, other than because it is not there.
pub(crate) async fn watch(
    families: Vec<Arc<dyn AnyResources>>,
    uris: Vec<Box<str>>,
    request: &mut RequestContext,
) -> Result<Watched, ToolError> {
    let work = move |request: &mut RequestContext| {
        let mut watched = Watched::default();
        for uri in uris {
            let watch = match families.iter().find(|family| family.watches(&uri)) {
                None => None,
                Some(family) => match family.watch(&uri, request) {
                    Ok(watch) => Some(watch),
                    Err(ToolError::NotFound) => continue,
                    Err(error) => return Err(error),
                },
            };
            watched.uris.push((uri, watch));
        }
        Ok(watched)
    };
    request.on_thread(work).await?
}

/// `resources/subscribe` to a resource whose changes are looked for. The session has its subscription.
pub(crate) fn subscribe<'f>(
    families: Vec<Arc<dyn AnyResources>>,
    uri: &str,
    mut request: RequestContext,
) -> BoxedFuture<'f, Finished> {
    let uri = Box::<str>::from(uri);
    Box::pin(async move {
        let watched = match watch(families, vec![uri.clone()], &mut request).await {
            Ok(watched) => watched,
            Err(error) => return request.end(&error),
        };
        let Some((uri, watch)) = watched.uris.into_iter().next() else {
            return request.refuse(&ProtocolError::ResourceNotFound { uri: &uri });
        };
        let shared = &request.shared;
        let limit = shared.limits.max_subscribed_uris;
        let full = ProtocolError::TooManySubscriptions { limit };
        let Some(subscription) = request.session.subscription() else { return request.refuse(&full) };
        match subscription.subscribe(&uri) {
            Ok(()) => {}
            Err(CannotSubscribe::Full) => return request.refuse(&full),
            Err(CannotSubscribe::OutOfMemory) => return request.refuse(&ProtocolError::NoMemoryToWait),
        }
        if let Some(watch) = watch {
            subscription.keep_watch(&uri, watch);
        }
        let mut reply = shared.reply();
        let id = request.call.details();
        envelope::result(&mut reply, &id.id, Raw::trusted("{}"));
        shared.answered(reply, AnswerId::Of(&id.id)).into()
    })
}
