//! A message that may be served by a handler, with all that the handler works on.

use crate::protocol::{Era, IdField, LogLevel, ProtocolError};
use crate::server::answer::outcome::Outcome;
use crate::server::incoming::checks::{Checked, parse_level};
use crate::server::incoming::inputs::Inputs;
use crate::server::shared::Shared;
use crate::server::state::call_state::CallState;
use crate::server::state::session::Session;
use std::sync::Arc;

/// A request that a handler may serve.
pub(crate) struct Admitted {
    pub(crate) shared: Arc<Shared>,
    pub(crate) session: Arc<Session>,
    pub(crate) call: Arc<CallState>,
    pub(crate) era: Era,
    /// Log messages from this level on go to the client.
    pub(crate) log_level: Option<LogLevel>,
    /// The call runs as a task: nobody waits at the other end of a stream.
    pub(crate) in_task: bool,
    /// What the client answered in earlier rounds.
    pub(crate) inputs: Option<Box<Inputs>>,
}

impl Checked<'_, '_> {
    /// Admits a call of a tool.
    ///
    /// # Errors
    /// What becomes of a call that must not be served.
    pub(crate) fn admit_call(self) -> Result<Admitted, Outcome> {
        let IdField::Valid(_) = self.message.id else {
            return Err(Outcome::Silent);
        };
        if self.era == Era::Modern {
            self.check_mirrored()?;
        }
        self.admit()
    }

    /// Admits a request that has a handler.
    ///
    /// # Errors
    /// What becomes of a request that must not be served.
    pub(crate) fn admit(self) -> Result<Admitted, Outcome> {
        let Self { route, message, .. } = self;
        self.refuse_if_saturated()?;
        if message.arguments.is_some_and(|raw| !raw.as_str().starts_with('{') && raw.as_str() != "null") {
            return Err(self.refuse(&ProtocolError::InvalidParams("arguments must be an object")));
        }
        let mut inputs = None;
        let log_level = match self.era {
            Era::Legacy => Some(route.session.log_level()),
            Era::Modern => {
                if message.request_state.is_some() || message.input_responses.is_some() {
                    let principal = route.call.names().principal();
                    match Inputs::of(route.shared, principal, message, self.arena) {
                        Ok(found) => inputs = Some(found),
                        Err(error) => return Err(self.refuse(&error)),
                    }
                }
                message.meta.log_level.and_then(parse_level)
            }
        };
        Ok(Admitted {
            shared: Arc::clone(route.shared),
            session: Arc::clone(route.session),
            call: Arc::clone(route.call),
            era: self.era,
            log_level,
            in_task: route.origin.in_task,
            inputs,
        })
    }

    /// Refuses a request that may have to wait, where as many wait as may.
    pub(crate) fn refuse_if_saturated(&self) -> Result<(), Outcome> {
        if self.route.origin.is_saturated {
            let limit = self.route.shared.limits.max_concurrent_requests;
            return Err(self.refuse(&ProtocolError::TooManyRequests { limit }));
        }
        Ok(())
    }
}
