//! Frees each second what expired, and large buffers that nobody needed since the last round.

use super::shared::HttpShared;
use super::worker_watchdog::WorkerWatchdog;
use crate::memory::lasting;
use crate::transport::reclaim::{ROUND, Reclaim};
use std::sync::Arc;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

/// The task that does the housekeeping, and the watchdog of the runtime. Both end when this is dropped.
#[must_use]
pub(crate) struct Housekeeper {
    task: AbortHandle,
    _watchdog: Option<WorkerWatchdog>,
}

impl Housekeeper {
    pub(super) fn start(shared: Arc<HttpShared>) -> Self {
        let task = lasting(|| tokio::spawn(run(shared)).abort_handle());
        Self { task, _watchdog: WorkerWatchdog::start() }
    }
}

impl Drop for Housekeeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(shared: Arc<HttpShared>) {
    let endpoint = &shared.endpoint;
    let server = &endpoint.server;
    let mut ticks = lasting(|| interval(ROUND));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reclaim = Reclaim::default();
    let mut removals_before = 0;
    loop {
        ticks.tick().await;
        server.maintain();
        let removals = endpoint.admission.removals();
        if std::mem::replace(&mut removals_before, removals) != removals {
            server.end_sessions(|principal| !endpoint.admission.knows(principal));
        }
        reclaim.round(server);
    }
}
