//! Frees each second what expired, and large buffers that nobody used since the last round.

use super::shared::HttpShared;
use super::worker_watchdog::WorkerWatchdog;
use crate::transport::purge::purge_allocator;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

/// Time between two rounds.
const INTERVAL: Duration = Duration::from_secs(1);

/// The task that does the housekeeping, and the watchdog of the runtime. Both end when this is dropped.
#[must_use]
pub(crate) struct Housekeeper {
    task: AbortHandle,
    _watchdog: Option<WorkerWatchdog>,
}

impl Housekeeper {
    pub(super) fn start(shared: Arc<HttpShared>) -> Self {
        let task = tokio::spawn(run(shared)).abort_handle();
        Self { task, _watchdog: WorkerWatchdog::start() }
    }
}

impl Drop for Housekeeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is still to do since the last traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// Free the large buffers that the pools keep.
    Trim,
    /// Have the allocator return the freed pages, which it does a while after they were freed.
    Purge,
    Nothing,
}

async fn run(shared: Arc<HttpShared>) {
    let endpoint = &shared.endpoint;
    let server = &endpoint.server;
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut due = Due::Nothing;
    let mut frames_before = 0;
    let mut removals_before = 0;
    loop {
        ticks.tick().await;
        server.maintain();
        let removals = endpoint.admission.removals();
        if std::mem::replace(&mut removals_before, removals) != removals {
            server.end_sessions(|principal| !endpoint.admission.knows(principal));
        }
        let frames = server.metrics().frames.total();
        let was_busy = std::mem::replace(&mut frames_before, frames) != frames;
        due = match due {
            _ if shared.take_large() || was_busy => Due::Trim,
            Due::Trim => {
                server.trim_large_buffers();
                Due::Purge
            }
            Due::Purge => {
                purge_allocator(server);
                Due::Nothing
            }
            Due::Nothing => Due::Nothing,
        };
    }
}
