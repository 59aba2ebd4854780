//! What goes on in a session without a call: log messages, and updates of the resources that it is subscribed to.
//!
//! One task each, at most, which ends with the session. A message that the client has not read is replaced by the next.

use super::demo::{DemoResource, Kind};
use super::running::Running;
use super::session::{Kept, Nothing};
use crate::lock::lock;
use crate::protocol::LogLevel;
use crate::server::{CallContext, SessionNotices, ToolError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The dynamic resources that are updated have ids up to this. What a client subscribed to is known by a hash alone.
const UPDATED_IDS: u64 = 100;
/// The time between two messages.
const PACE: Duration = Duration::from_secs(5);
/// The messages, and how grave each is.
const MESSAGES: [(LogLevel, &str); 8] = [
    (LogLevel::Debug, "Debug-level message"),
    (LogLevel::Info, "Info-level message"),
    (LogLevel::Notice, "Notice-level message"),
    (LogLevel::Warning, "Warning-level message"),
    (LogLevel::Error, "Error-level message"),
    (LogLevel::Critical, "Critical-level message"),
    (LogLevel::Alert, "Alert level-message"),
    (LogLevel::Emergency, "Emergency-level message"),
];

/// Starts the log messages, or ends them.
pub(super) fn toggle_logging(_: Nothing, call: &mut CallContext) -> Result<(), ToolError> {
    let kept = kept(call)?;
    let session = name_of(call);
    let work = log_messages(SessionNotices::new(call), appendix(call));
    call.text(&if toggle(&kept.logging, work) {
        format!(
            "Started simulated, random-leveled logging for session {session} at a 5 second pace. Client's selected logging \
             level will be respected. If an interval elapses and the message to be sent is below the selected level, it \
             will not be sent. Thus at higher chosen logging levels, messages should arrive further apart. "
        )
    } else {
        format!("Stopped simulated logging for session {session}")
    });
    Ok(())
}

/// Starts the updates, or ends them.
pub(super) fn toggle_updates(_: Nothing, call: &mut CallContext) -> Result<(), ToolError> {
    let kept = kept(call)?;
    let session = name_of(call);
    let work = update_resources(SessionNotices::new(call));
    call.text(&if toggle(&kept.updates, work) {
        format!(
            "Started simulated resource updated notifications for session {session} at a 5 second pace. Client will receive \
             updates for any resources the it is subscribed to."
        )
    } else {
        format!("Stopped simulated resource updates for session {session}")
    });
    Ok(())
}

/// What the session of the call keeps.
fn kept(call: &CallContext) -> Result<Arc<Kept>, ToolError> {
    if !call.has_session() || call.is_modern() {
        return Err(ToolError::failed(
            "what is simulated goes on after the call: it needs the session of a client that begins with `initialize`",
        ));
    }
    Kept::of(call)
}

/// Ends what runs, or starts `work`; says which.
fn toggle(running: &Mutex<Option<Running>>, work: impl Future<Output = ()> + Send + 'static) -> bool {
    let mut running = lock(running);
    if running.take().is_some() {
        return false;
    }
    *running = Some(Running::start(work));
    true
}

/// The session as answers name it: the reference has no name for that of its standard input.
fn name_of(call: &CallContext) -> String {
    if call.session_values().owns_process() {
        "undefined".to_owned()
    } else {
        call.session.number().to_string()
    }
}

/// What stands behind each message.
fn appendix(call: &CallContext) -> String {
    if call.session_values().owns_process() {
        String::new()
    } else {
        format!(" - SessionId {}", name_of(call))
    }
}

async fn log_messages(notices: SessionNotices, appendix: String) {
    loop {
        let chosen = getrandom::u32().unwrap_or_default() as usize % MESSAGES.len();
        let (level, text) = MESSAGES[chosen];
        if notices.log(level, "everything-server", &format!("{text}{appendix}")).is_err() {
            return;
        }
        tokio::time::sleep(PACE).await;
    }
}

async fn update_resources(notices: SessionNotices) {
    let all = || {
        (1..=UPDATED_IDS).flat_map(|id| [Kind::Text, Kind::Blob].map(|kind| DemoResource { kind, id }.uri()))
    };
    while notices.updated(all()).is_ok() {
        tokio::time::sleep(PACE).await;
    }
}
