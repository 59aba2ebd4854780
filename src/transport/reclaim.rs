//! Frees large buffers that nobody needs any more, and has the allocator return their pages to the system.
//!
//! What is to do is read off the pools: small traffic does not put it off, and it makes no difference how a connection
//! ended.

use crate::server::Server;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Time between two rounds: longer than the pauses inside a burst, shorter than the time until somebody looks at the
/// memory.
pub(super) const ROUND: Duration = Duration::from_secs(1);

/// Time between the last free and the purge of the allocator: longer than the second for which mimalloc 3 keeps freed
/// pages (its option `purge_delay`).
const PURGE_DELAY: Duration = Duration::from_millis(1_200);

/// How long a purge is put off while more is freed.
const MOST_PURGE_DELAY: Duration = Duration::from_secs(3);

/// What one round of reclaiming remembers for the next.
#[derive(Default)]
pub(super) struct Reclaim {
    gone: u64,
    purge: PurgeClock,
}

impl Reclaim {
    /// Frees what nobody needed since the last round, and purges the allocator if that is due. Returns whether there is
    /// more to come.
    pub(super) fn round(&mut self, server: &Server) -> bool {
        let pools = server.common_pools();
        pools.trim_large_buffers();
        let large = pools.large_objects();
        let has_freed = std::mem::replace(&mut self.gone, large.gone) != large.gone;
        if self.purge.is_due(has_freed, Instant::now()) {
            server.memory().purge_allocator_apart();
        }
        large.bytes > 0 || self.purge.waiting.is_some()
    }
}

/// When the next purge is due.
#[derive(Default)]
struct PurgeClock {
    waiting: Option<Waiting>,
}

#[derive(Clone, Copy)]
struct Waiting {
    since: Instant,
    last_freed: Instant,
}

impl PurgeClock {
    fn is_due(&mut self, has_freed: bool, now: Instant) -> bool {
        if has_freed {
            let since = self.waiting.map_or(now, |waiting| waiting.since);
            self.waiting = Some(Waiting { since, last_freed: now });
        }
        let Some(waiting) = self.waiting else { return false };
        let is_last = now - waiting.last_freed >= PURGE_DELAY;
        let is_due = is_last || now - waiting.since >= MOST_PURGE_DELAY;
        if is_due {
            // What was freed a moment ago is too young for this purge, and needs the next one.
            self.waiting = (!is_last).then_some(Waiting { since: now, ..waiting });
        }
        is_due
    }
}

/// Starts reclaiming after a large message, for servers that have no housekeeping: a task of its own, which does not
/// end with the connection. It runs as long as there are large buffers, so an idle server is not woken.
#[inline]
pub(super) fn reclaim_after(server: &Server, bytes: usize) {
    if Server::is_large(bytes) {
        begin_reclaim(server);
    }
}

#[cold]
#[inline(never)]
fn begin_reclaim(server: &Server) {
    if let Some(running) = Running::begin(server) {
        tokio::spawn(run(running));
    }
}

async fn run(mut running: Running) {
    let mut reclaim = Reclaim::default();
    loop {
        sleep(ROUND).await;
        if reclaim.round(&running.server) {
            continue;
        }
        let server = running.server.clone();
        drop(running);
        // A large message may have come since the round looked, and found this task running.
        if server.common_pools().large_objects().bytes == 0 {
            break;
        }
        let Some(again) = Running::begin(&server) else { break };
        running = again;
    }
}

/// The task, which may also end with its runtime.
struct Running {
    server: Server,
}

impl Running {
    /// `None` if another one runs.
    fn begin(server: &Server) -> Option<Self> {
        let is_first = !server.common_pools().is_reclaiming.swap(true, Ordering::AcqRel);
        is_first.then(|| Self { server: server.clone() })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.common_pools().is_reclaiming.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Drain;
    use crate::transport::serve_lines;
    use tokio::io::{AsyncWriteExt, duplex};

    /// Rounds of a second, at which something is freed or not, and at which a purge is due.
    #[test]
    fn a_purge_comes_after_the_last_free_and_is_not_put_off_for_ever() {
        let rows: [(&str, &str); 4] = [
            ("......", "......"),
            ("f.....", "..p..."),
            ("ff......", "...p...."),
            ("fffffff...", "...p..p.p."),
        ];
        for (freed, want) in rows {
            let (mut clock, begun) = (PurgeClock::default(), Instant::now());
            let got: String = (0..)
                .zip(freed.chars())
                .map(|(at, step)| clock.is_due(step == 'f', begun + at * ROUND))
                .map(|is_due| if is_due { 'p' } else { '.' })
                .collect();
            assert_eq!(got, want, "{freed}");
        }
    }

    /// Time stands still while anything can move.
    #[tokio::test(start_paused = true)]
    async fn lines_give_large_buffers_back_however_they_end_and_whatever_else_comes() {
        let server = Server::builder("test", "1").build().expect("a server");
        let drain = Drain::default();
        let (mut other, stream) = duplex(1024);
        let (reader, writer) = tokio::io::split(stream);
        let serving = tokio::spawn({
            let (server, drain) = (server.clone(), drain.clone());
            async move { serve_lines(&server, reader, writer, &drain).await }
        });
        let (mut cut_off, stream) = duplex(1024 * 1024);
        let (reader, writer) = tokio::io::split(stream);
        let ends = tokio::spawn({
            let (server, drain) = (server.clone(), drain.clone());
            async move { serve_lines(&server, reader, writer, &drain).await }
        });
        cut_off.write_all(&vec![b'x'; 3 * 1024 * 1024]).await.expect("read");
        drop(cut_off);
        let _ = ends.await.expect("no panic");
        // What a line grew in is gone already; what a tool took from a class is idle in it.
        drop(server.buffers().acquire(3 * 1024 * 1024));
        assert!(server.common_pools().large_objects().bytes > 0, "the test needs a large buffer");
        for _ in 0..20 {
            other.write_all(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n").await.expect("read");
            sleep(ROUND / 5).await;
        }
        assert_eq!(server.common_pools().large_objects().bytes, 0);
        drop(other);
        serving.await.expect("no panic").expect("served");
        assert!(!server.common_pools().is_reclaiming.load(Ordering::Acquire), "the task ends");
    }
}
