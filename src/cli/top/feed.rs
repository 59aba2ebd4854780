//! The thread that asks the server: a slow answer holds up no key.

use crate::cli::admin;
use crate::memory::{MemoryReport, ReclaimOutcome};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Answers that wait for the screen, before the thread waits with the next.
const MAX_WAITING: usize = 4;
/// Orders that wait for the thread; what is ordered beyond has been ordered already.
const MAX_ORDERS: usize = 16;

/// What the server answered.
pub(super) enum News {
    Report(Box<MemoryReport>),
    Reclaimed(ReclaimOutcome),
    Failed(String),
}

enum Order {
    Reclaim,
    Pause(bool),
}

/// The thread's other end. The thread ends when this is dropped.
pub(super) struct Feed {
    news: Receiver<News>,
    orders: SyncSender<Order>,
}

impl Feed {
    pub(super) fn start(source: Option<String>, interval: Duration) -> io::Result<Self> {
        let (tell, news) = sync_channel(MAX_WAITING);
        let (orders, ordered) = sync_channel(MAX_ORDERS);
        let asker = thread::Builder::new().name("mcpool-top".to_owned());
        asker.spawn(move || ask(source.as_deref(), interval, &ordered, &tell))?;
        Ok(Self { news, orders })
    }

    /// What came since it was asked last.
    pub(super) fn next(&self) -> Option<News> {
        self.news.try_recv().ok()
    }

    pub(super) fn reclaim(&self) {
        let _ = self.orders.try_send(Order::Reclaim);
    }

    pub(super) fn pause(&self, is_paused: bool) {
        let _ = self.orders.try_send(Order::Pause(is_paused));
    }
}

fn ask(source: Option<&str>, interval: Duration, orders: &Receiver<Order>, tell: &SyncSender<News>) {
    let mut is_paused = false;
    let mut next = Instant::now() + interval;
    loop {
        let news = match orders.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Order::Pause(wanted)) => {
                is_paused = wanted;
                continue;
            }
            Ok(Order::Reclaim) => admin::reclaim(source).map(News::Reclaimed),
            Err(RecvTimeoutError::Timeout) => {
                next = Instant::now() + interval;
                if is_paused {
                    continue;
                }
                admin::report(source).map(|report| News::Report(Box::new(report)))
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if tell.send(news.unwrap_or_else(|error| News::Failed(error.to_string()))).is_err() {
            return;
        }
    }
}
