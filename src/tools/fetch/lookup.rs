//! Names looked up on threads of their own, as nothing interrupts a lookup of the system.
//!
//! Who asks waits only as long as somebody waits for the call. A lookup that nobody waits for any more goes on until the
//! system gives it up, after some seconds; so there are at most [`MAX_LOOKUPS`] of a server, and one more waits for its
//! slot, as long as its call may take.

use super::patience::Patience;
use crate::server::CancellationToken;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Lookups at once, and with them the threads that may be left of calls that were cancelled.
const MAX_LOOKUPS: usize = 16;

/// Looks names up for all calls of a server.
#[derive(Debug)]
pub(crate) struct Lookups {
    names: Box<dyn Resolver>,
    running: AtomicUsize,
}

impl Lookups {
    /// Asks `names`, which may take as long as it likes.
    pub(crate) fn new(names: impl Resolver) -> Arc<Self> {
        Arc::new(Self { names: Box::new(names), running: AtomicUsize::new(0) })
    }

    /// No addresses yet.
    pub(crate) fn none(&self) -> ResolvedSocketAddrs {
        self.names.empty()
    }

    /// The addresses of the host of `uri`.
    ///
    /// # Errors
    /// When there are none, the time is over, or nobody waits for the call.
    pub(crate) fn addresses(
        self: &Arc<Self>,
        uri: &Uri,
        timeout: NextTimeout,
        cancellation: &CancellationToken,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let patience = Patience::new(cancellation, timeout);
        let slot = loop {
            match self.slot() {
                Some(slot) => break slot,
                None => thread::sleep(patience.slice()?),
            }
        };
        let uri = uri.clone();
        let (sender, receiver) = sync_channel(1);
        let look_up = move || {
            let found = slot.0.names.resolve(&uri, &Config::default(), NextTimeout::default());
            drop(slot);
            // Nobody may be waiting any more.
            let _ = sender.send(found);
        };
        thread::Builder::new().name("lookup".to_owned()).spawn(look_up)?;
        loop {
            match receiver.recv_timeout(patience.slice()?) {
                Ok(found) => return found,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("the lookup of its name ended without an answer").into());
                }
            }
        }
    }

    fn slot(self: &Arc<Self>) -> Option<Slot> {
        let taken = self.running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |running| {
            (running < MAX_LOOKUPS).then_some(running + 1)
        });
        taken.is_ok().then(|| Slot(Arc::clone(self)))
    }
}

/// One of the lookups at once.
struct Slot(Arc<Lookups>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::{Condvar, Mutex, PoisonError};

    /// Answers nobody until it is opened.
    #[derive(Debug, Default, Clone)]
    struct Gate(Arc<(Mutex<bool>, Condvar)>);

    impl Gate {
        fn open(&self) {
            *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
            self.0.1.notify_all();
        }
    }

    impl Resolver for Gate {
        fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
            let closed = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.0.1.wait_while(closed, |is_open| !*is_open).unwrap_or_else(PoisonError::into_inner));
            let mut found = self.empty();
            found.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 80));
            Ok(found)
        }
    }

    #[test]
    fn nobody_waits_for_a_lookup_without_end_and_no_more_than_the_most_are_left() {
        let gate = Gate::default();
        let lookups = Lookups::new(gate.clone());
        let uri = Uri::from_static("http://slow.example/");
        let ask = |checks| {
            lookups
                .addresses(&uri, NextTimeout::default(), &CancellationToken::after(checks))
                .map(|found| found.len())
        };
        for _ in 0..2 * MAX_LOOKUPS {
            assert!(matches!(ask(1), Err(Error::Io(_))), "it was cancelled");
        }
        assert_eq!(lookups.running.load(Ordering::Relaxed), MAX_LOOKUPS);
        gate.open();
        assert_eq!(ask(u64::MAX).expect("a slot, and an answer"), 1);
    }
}
