//! Keeps the runtime's events coming while one of its threads is held up.
//!
//! Events of sockets, timers and signals are taken in by whichever worker has nothing else to do. The one that took
//! in an event goes to work on it at once, and if that is all there is to do it wakes nobody in its place: while a
//! request holds it up, no other worker hears of anything, however many there are (tokio's own remedy, the eager
//! handoff of its driver, is unstable). So a thread apart looks now and then whether a worker has been at work on
//! the same thing since the last look, and wakes a task: the worker that runs it takes in events when it is done.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// How often it looks: what a person who waits for an answer does not notice, and no load on an idle machine.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The thread that looks. It ends when this is dropped.
pub(super) struct WorkerWatchdog {
    _alive: SyncSender<()>,
    woken: AbortHandle,
}

impl WorkerWatchdog {
    /// Watches the runtime that this is called in, if it has workers that could stand in for each other.
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
            while is_alive.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                if is_held_up(&runtime, &mut seen) {
                    wake.notify_one();
                }
            }
        };
        match std::thread::Builder::new().name("driver watch".to_owned()).spawn(watching) {
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

/// Whether a worker has not rested since the last look. `seen` is how often each had gone to rest or back to work.
fn is_held_up(runtime: &Handle, seen: &mut [u64]) -> bool {
    let metrics = runtime.metrics();
    let mut is_held_up = false;
    for (worker, seen) in seen.iter_mut().enumerate() {
        let moves = metrics.worker_park_unpark_count(worker);
        let is_at_work = moves.is_multiple_of(2);
        is_held_up |= is_at_work && std::mem::replace(seen, moves) == moves;
    }
    is_held_up
}
