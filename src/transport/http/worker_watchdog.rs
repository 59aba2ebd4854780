//! A watchdog that keeps events coming while a request blocks one of the runtime's workers.
//!
//! An idle worker polls for events of sockets, timers and signals. It handles the event it got at once, and does not
//! wake another worker to poll meanwhile. While that request blocks it, no worker receives events (tokio's own remedy,
//! the eager handoff of its driver, is unstable). So a separate thread checks every [`CHECK_INTERVAL`], and wakes a
//! task if a worker has not rested since the last check: the worker that runs the task polls for events when it is
//! done.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// Time between two checks: a person who waits for an answer does not notice it, and an idle machine has no load.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The watchdog's thread. It ends when this is dropped.
pub(super) struct WorkerWatchdog {
    _alive: SyncSender<()>,
    woken: AbortHandle,
}

impl WorkerWatchdog {
    /// Watches the current runtime, if it has more than one worker.
    pub(super) fn start() -> Option<Self> {
        let runtime = Handle::current();
        if runtime.runtime_flavor() != RuntimeFlavor::MultiThread || runtime.metrics().num_workers() < 2 {
            return None;
        }
        let (alive, is_alive) = sync_channel(0);
        let wake = Arc::new(Notify::new());
        let waking = Arc::clone(&wake);
        let woken = runtime.spawn(async move {
            loop {
                waking.notified().await;
            }
        });
        let watching = move || {
            let mut seen = vec![0; runtime.metrics().num_workers()];
            while is_alive.recv_timeout(CHECK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                if is_blocked(&runtime, &mut seen) {
                    wake.notify_one();
                }
            }
        };
        match std::thread::Builder::new().name("worker watchdog".to_owned()).spawn(watching) {
            Ok(_) => Some(Self { _alive: alive, woken: woken.abort_handle() }),
            Err(error) => {
                tracing::warn!(%error, "a request that holds up its thread may hold up others");
                woken.abort();
                None
            }
        }
    }
}

impl Drop for WorkerWatchdog {
    fn drop(&mut self) {
        self.woken.abort();
    }
}

/// Whether a worker has not parked since the last check. `seen` holds how often each had parked or unparked.
fn is_blocked(runtime: &Handle, seen: &mut [u64]) -> bool {
    let metrics = runtime.metrics();
    let mut is_blocked = false;
    for (worker, seen) in seen.iter_mut().enumerate() {
        let moves = metrics.worker_park_unpark_count(worker);
        let is_busy = moves.is_multiple_of(2);
        is_blocked |= is_busy && std::mem::replace(seen, moves) == moves;
    }
    is_blocked
}
