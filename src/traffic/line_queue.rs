//! [`LineQueue`]: lines that threads which serve hand to the one that writes, without waiting for it.
//!
//! Invariants: the lines that wait have a bound in bytes, and what finds no room is counted; adding a line allocates
//! nothing.

use crate::lock::lock;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The least time between two warnings that lines are missing.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// Lines that wait to be written, in one run of bytes.
pub(crate) struct LineQueue {
    max_bytes: usize,
    queue: Mutex<Queue>,
    /// The queue is half full, a line came to a thread that waits for the first one, or the queue ends.
    is_due: Condvar,
    has_ended: Condvar,
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a state of its own")]
struct Queue {
    lines: Vec<u8>,
    dropped: u64,
    /// The thread that writes sleeps until there is a line.
    awaits_first: bool,
    reopens: bool,
    is_closing: bool,
    has_ended: bool,
}

/// What the thread that writes takes from the queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Lines that found no room since the last batch.
    pub(crate) dropped: u64,
    /// Nothing comes after it.
    pub(crate) is_last: bool,
    /// What is written to is to be opened anew before.
    pub(crate) reopens: bool,
}

impl LineQueue {
    /// A queue whose lines are in `room`, as many as it has room for without growing.
    pub(crate) fn new(room: Vec<u8>) -> Self {
        Self {
            max_bytes: room.capacity(),
            queue: Mutex::new(Queue { lines: room, ..Queue::default() }),
            is_due: Condvar::new(),
            has_ended: Condvar::new(),
        }
    }

    /// Bytes that it holds, with those that are being written.
    pub(crate) fn bytes(&self) -> usize {
        2 * self.max_bytes
    }

    /// Appends a line; `false` where there is no room, and the line is counted as dropped.
    pub(crate) fn push(&self, line: &[u8]) -> bool {
        let mut queue = lock(&self.queue);
        if queue.lines.len() + line.len() > self.max_bytes {
            queue.dropped += 1;
            return false;
        }
        let was_due = queue.lines.len() > self.max_bytes / 2;
        queue.lines.extend_from_slice(line);
        let is_due = queue.lines.len() > self.max_bytes / 2;
        let is_awaited = std::mem::take(&mut queue.awaits_first);
        drop(queue);
        if (is_due && !was_due) || is_awaited {
            self.is_due.notify_one();
        }
        true
    }

    /// Counts a line as dropped.
    pub(crate) fn note_dropped(&self) {
        let mut queue = lock(&self.queue);
        queue.dropped += 1;
        let is_awaited = std::mem::take(&mut queue.awaits_first);
        drop(queue);
        if is_awaited {
            self.is_due.notify_one();
        }
    }

    /// Waits until there is something to do: a line is there or was dropped, the queue ends, or
    /// [`LineQueue::reopen`] was called; for at most `patience`, if there is one.
    pub(crate) fn wait_for_first(&self, patience: Option<Duration>) {
        let mut queue = lock(&self.queue);
        let is_idle = |queue: &Queue| {
            queue.lines.is_empty() && queue.dropped == 0 && !queue.is_closing && !queue.reopens
        };
        let until = patience.map(|patience| Instant::now() + patience);
        while is_idle(&queue) {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            queue.awaits_first = true;
            queue = match left {
                Some(left) => self.is_due.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.is_due.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
        queue.awaits_first = false;
    }

    /// Has what is written to opened anew, even if there is no line.
    #[cfg(any(feature = "cli", test))]
    pub(crate) fn reopen(&self) {
        lock(&self.queue).reopens = true;
        self.is_due.notify_one();
    }

    /// Waits until the queue is half full or ends, for at most `patience`, and exchanges its lines for `spare`, which is
    /// empty.
    pub(crate) fn take(&self, spare: &mut Vec<u8>, patience: Duration) -> Batch {
        let mut queue = lock(&self.queue);
        if queue.lines.len() <= self.max_bytes / 2 && !queue.is_closing && !patience.is_zero() {
            let waited = self.is_due.wait_timeout(queue, patience);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::swap(&mut queue.lines, spare);
        Batch {
            dropped: std::mem::take(&mut queue.dropped),
            is_last: queue.is_closing,
            reopens: std::mem::take(&mut queue.reopens),
        }
    }

    /// Says that all is written.
    pub(crate) fn note_end(&self) {
        lock(&self.queue).has_ended = true;
        self.has_ended.notify_all();
    }

    /// Tells the thread that writes to end once it has written what is there.
    pub(crate) fn begin_close(&self) {
        lock(&self.queue).is_closing = true;
        self.is_due.notify_one();
    }

    /// Has the rest written; waits for that for at most `patience`. Returns whether it is.
    pub(crate) fn close(&self, patience: Duration) -> bool {
        self.begin_close();
        let queue = lock(&self.queue);
        let ended = self.has_ended.wait_timeout_while(queue, patience, |queue| !queue.has_ended);
        ended.unwrap_or_else(PoisonError::into_inner).0.has_ended
    }
}

/// Room whose pages are there already, so that a server that measures itself at its start counts them.
pub(crate) fn touched(bytes: usize) -> Vec<u8> {
    let mut room = vec![1; bytes];
    room.clear();
    room
}

/// When it is reported how many lines are missing: while it happens, and not each time.
#[derive(Debug, Default)]
pub(crate) struct DropWarnings {
    unreported: u64,
    reported: Option<Instant>,
}

impl DropWarnings {
    /// Notes lines that were dropped; returns how many a warning is to report now.
    pub(crate) fn due(&mut self, dropped: u64, is_last: bool, now: Instant) -> Option<u64> {
        self.unreported += dropped;
        let is_due = is_last || self.reported.is_none_or(|reported| now >= reported + WARNING_INTERVAL);
        if self.unreported == 0 || !is_due {
            return None;
        }
        self.reported = Some(now);
        Some(std::mem::take(&mut self.unreported))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn missing_lines_are_reported_while_they_are_lost_and_not_each_time() {
        let (mut warnings, now) = (DropWarnings::default(), Instant::now());
        let shortly = Duration::from_millis(100);
        assert_eq!(warnings.due(0, false, now), None);
        assert_eq!(warnings.due(3, false, now), Some(3));
        assert_eq!(warnings.due(4, false, now + shortly), None);
        assert_eq!(warnings.due(0, false, now + WARNING_INTERVAL), Some(4), "reported without another loss");
        assert_eq!(warnings.due(0, false, now + WARNING_INTERVAL * 3), None);
        assert_eq!(warnings.due(1, false, now + WARNING_INTERVAL * 3), Some(1));
        assert_eq!(warnings.due(2, true, now + WARNING_INTERVAL * 3), Some(2), "the end reports the rest");
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let queue = LineQueue::new(touched(8));
        assert!(queue.push(b"1234\n"));
        assert!(!queue.push(b"5678\n"));
        assert!(queue.push(b"9\n"), "a shorter one has room");
        let mut lines = Vec::new();
        assert_eq!(
            queue.take(&mut lines, Duration::ZERO),
            Batch { dropped: 1, is_last: false, reopens: false }
        );
        assert_eq!(lines, b"1234\n9\n");
        queue.begin_close();
        lines.clear();
        let last = queue.take(&mut lines, Duration::from_mins(1));
        assert_eq!(last, Batch { dropped: 0, is_last: true, reopens: false });
        assert!(!queue.close(Duration::ZERO), "nobody said that all is written");
        queue.note_end();
        assert!(queue.close(Duration::from_mins(1)));
    }

    /// Each of the four has a thread that waits for the first line go on.
    #[test]
    fn a_line_a_lost_line_a_new_file_and_the_end_wake_who_waits() {
        let wakes: [fn(&LineQueue); 4] = [
            |queue| assert!(queue.push(b"line\n")),
            LineQueue::note_dropped,
            LineQueue::reopen,
            LineQueue::begin_close,
        ];
        for wake in wakes {
            let queue = Arc::new(LineQueue::new(touched(64)));
            let waiting = std::thread::spawn({
                let queue = Arc::clone(&queue);
                move || queue.wait_for_first(None)
            });
            wake(&queue);
            waiting.join().expect("woken, before or while it waits");
        }
    }

    #[test]
    fn who_has_something_of_its_own_to_write_does_not_wait_for_a_line() {
        let queue = LineQueue::new(touched(64));
        queue.wait_for_first(Some(Duration::from_millis(1)));
        let mut lines = Vec::new();
        let batch = queue.take(&mut lines, Duration::ZERO);
        assert_eq!((batch, lines), (Batch { dropped: 0, is_last: false, reopens: false }, Vec::new()));
    }
}
