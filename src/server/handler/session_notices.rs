//! Messages to the client of a session that belong to none of its requests, for what goes on after a call.

use super::request_context::RequestContext;
use crate::protocol::LogLevel;
use crate::server::answer::envelope;
use crate::server::shared::Shared;
use crate::server::state::session::Session;
use serde::Serialize;
use std::sync::{Arc, Weak};

/// A way to the client of one session, which it does not keep open.
#[derive(Debug)]
pub(crate) struct SessionNotices {
    session: Weak<Session>,
    shared: Weak<Shared>,
}

/// The session is over.
#[derive(Debug)]
pub(crate) struct Ended;

impl SessionNotices {
    /// The way to the client of that request.
    pub(crate) fn new(request: &RequestContext) -> Self {
        Self { session: Arc::downgrade(&request.session), shared: Arc::downgrade(&request.shared) }
    }

    /// Sends a log message, if the client wants those of its level. It takes the place of one that still waits.
    ///
    /// # Errors
    /// When the session is over.
    pub(crate) fn log<T: Serialize + ?Sized>(
        &self,
        level: LogLevel,
        logger: &str,
        data: &T,
    ) -> Result<(), Ended> {
        let (session, shared) = self.open()?;
        if level < session.log_level() {
            return Ok(());
        }
        let mut notice = shared.reply();
        let is_written = envelope::log(&mut notice, level, logger, data).is_ok();
        match notice.finish() {
            Ok(notice) if is_written => session.post(notice),
            _ => shared.metrics.dropped_notifications.add(1),
        }
        Ok(())
    }

    /// Notifies the client of the updates of those resources that it is subscribed to.
    ///
    /// # Errors
    /// When the session is over.
    pub(crate) fn updated(&self, uris: impl Iterator<Item = String>) -> Result<(), Ended> {
        let (session, _shared) = self.open()?;
        if let Some(subscription) = session.subscription() {
            uris.for_each(|uri| subscription.updated(&uri));
        }
        Ok(())
    }

    fn open(&self) -> Result<(Arc<Session>, Arc<Shared>), Ended> {
        self.session.upgrade().zip(self.shared.upgrade()).ok_or(Ended)
    }
}
