//! What is left to do of a frame once its method is known: nothing, a tool's call, or a handler of another kind.

use crate::server::answer::outcome::{Ended, Finished, Outcome};
use crate::server::handler::resources::BoxedFuture;
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project! {
    /// The rest of serving a frame, as a future.
    #[project = RoutedProjection]
    pub(crate) enum Routed<'f, F> {
        /// Nothing is left to do. Empty once it was polled.
        Done { ended: Option<Ended> },
        /// A tool goes to work.
        Call { #[pin] call: F },
        /// A handler of another kind goes to work.
        Handler { handler: BoxedFuture<'f, Finished> },
    }
}

impl<F> From<Outcome> for Routed<'_, F> {
    fn from(outcome: Outcome) -> Self {
        Self::Done { ended: Some(Ended::Done(outcome)) }
    }
}

impl<F> From<Finished> for Routed<'_, F> {
    fn from(finished: Finished) -> Self {
        Self::Done { ended: Some(finished.0) }
    }
}

/// A handler that may be called, or the refusal.
impl<'f, F> From<Result<BoxedFuture<'f, Finished>, Finished>> for Routed<'f, F> {
    fn from(admitted: Result<BoxedFuture<'f, Finished>, Finished>) -> Self {
        match admitted {
            Ok(handler) => Self::Handler { handler },
            Err(refusal) => Self::from(refusal),
        }
    }
}

impl<F: Future<Output = Finished>> Future for Routed<'_, F> {
    type Output = Ended;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        match self.project() {
            RoutedProjection::Done { ended } => {
                Poll::Ready(ended.take().unwrap_or(Ended::Done(Outcome::Silent)))
            }
            RoutedProjection::Call { call } => call.poll(cx).map(|finished| finished.0),
            RoutedProjection::Handler { handler } => handler.as_mut().poll(cx).map(|finished| finished.0),
        }
    }
}
