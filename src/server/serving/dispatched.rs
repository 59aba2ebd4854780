//! What is left to do of a frame once its method is known: nothing, a tool's call, or a handler of another kind.

use crate::server::answer::outcome::Outcome;
use crate::server::handler::resources::BoxedFuture;
use crate::server::incoming::handler_end::{Finished, HandlerEnd};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project! {
    /// The rest of serving a frame, as a future.
    #[project = DispatchedProjection]
    pub(crate) enum Dispatched<'f, F> {
        /// Nothing is left to do. Empty once it was polled.
        Done { ended: Option<HandlerEnd> },
        /// A tool goes to work.
        Call { #[pin] call: F },
        /// A handler of another kind goes to work.
        Handler { handler: BoxedFuture<'f, Finished> },
    }
}

impl<F> From<Outcome> for Dispatched<'_, F> {
    fn from(outcome: Outcome) -> Self {
        Self::Done { ended: Some(HandlerEnd::Done(outcome)) }
    }
}

impl<F> From<Finished> for Dispatched<'_, F> {
    fn from(finished: Finished) -> Self {
        Self::Done { ended: Some(finished.0) }
    }
}

/// A handler that may be called, or the refusal.
impl<'f, F> From<Result<BoxedFuture<'f, Finished>, Finished>> for Dispatched<'f, F> {
    fn from(admitted: Result<BoxedFuture<'f, Finished>, Finished>) -> Self {
        match admitted {
            Ok(handler) => Self::Handler { handler },
            Err(refusal) => Self::from(refusal),
        }
    }
}

impl<F: Future<Output = Finished>> Future for Dispatched<'_, F> {
    type Output = HandlerEnd;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<HandlerEnd> {
        match self.project() {
            DispatchedProjection::Done { ended } => {
                Poll::Ready(ended.take().unwrap_or(HandlerEnd::Done(Outcome::Silent)))
            }
            DispatchedProjection::Call { call } => call.poll(cx).map(|finished| finished.0),
            DispatchedProjection::Handler { handler } => handler.as_mut().poll(cx).map(|finished| finished.0),
        }
    }
}
