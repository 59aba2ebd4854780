//! One frame served: bytes in, an outcome out. Knows no transport.
//!
//! The frame moves into the future that serves it, so every string borrowed from it lives in that
//! future, and the borrow needs no unsafe. What completes at once completes on the first poll.

use crate::server::answer::outcome::{Ended, Outcome};
use crate::server::handler::tool::Toolset;
use crate::server::incoming::facts::Incoming;
use crate::server::incoming::route::Route;
use crate::server::serving::complete::{DetachedCall, complete};
use crate::server::serving::core::Core;
use crate::server::serving::dispatch::dispatch;
use bumpalo::Bump;
use std::pin::pin;
use std::sync::Arc;

/// A frame that was served.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) outcome: Outcome,
    /// The call goes on as a task: the rest of it, for whoever can lease a slot.
    pub(crate) detached: Option<Box<DetachedCall>>,
}

impl From<Outcome> for Served {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, detached: None }
    }
}

/// Serves one frame to its end. The arena comes back for the slot's next request.
///
/// Not an `async fn`, and the dispatched call is pinned where it is made: either way of writing it shorter has
/// the compiler keep the largest part of the future twice, and a waiting request would not fit its kilobyte.
pub(crate) fn serve_frame<T: Toolset>(
    core: Arc<Core<T>>,
    incoming: Incoming,
) -> impl Future<Output = (Served, Bump)> + Send {
    let Incoming { frame, arena, call, session, origin } = incoming;
    async move {
        let route =
            Route { shared: &core.shared, session: &session, call: &call, origin: &origin, frame: &frame };
        let ended = pin!(dispatch(&core, route, &arena)).await;
        let served = match ended {
            Ended::Done(outcome) => Served::from(outcome),
            // Only the whole frame can answer these.
            unfinished => {
                let (outcome, detached) = complete(&core.shared, &session, &call, frame, unfinished);
                Served { outcome, detached }
            }
        };
        (served, arena)
    }
}
