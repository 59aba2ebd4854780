//! [`LineWriter`]: a thread that writes the lines which others hand to it, and the one owner of its queue.
//!
//! Invariants: who adds a line never waits for who writes it; what finds no room is counted and told with the next
//! lines; the thread ends with the last handle, and has written all by then that it could.

use super::line_queue::{Batch, LineQueue};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// What the thread writes to. All of it runs on that thread.
pub(crate) trait LineSink: Send + 'static {
    /// Called once, before there are lines.
    fn begin(&mut self) {}

    /// Writes whole lines, before which `batch.dropped` others found no room.
    fn write(&mut self, lines: &[u8], batch: &Batch);

    /// Called before it waits for a line, with nothing left to write: writes what is due without one, and says how long it
    /// waits at most before it is asked again.
    fn rest(&mut self) -> Option<Duration> {
        None
    }

    /// Opens anew what it writes to; what is there already goes to the new one, too.
    fn reopen(&mut self) {}

    /// Whether it takes nothing more.
    fn is_full(&self) -> bool {
        false
    }
}

/// How the thread works.
#[derive(Debug)]
pub(crate) struct LineThread {
    pub(crate) name: &'static str,
    pub(crate) stack_bytes: usize,
    /// How long a line waits at most for more that are written with it.
    pub(crate) interval: Duration,
}

/// A handle to the thread, which ends when it is dropped.
pub(crate) struct LineWriter {
    shared: Arc<Shared>,
}

struct Shared {
    queue: LineQueue,
    /// Nobody closed it, and the sink takes more.
    is_open: AtomicBool,
}

impl LineWriter {
    /// Starts the thread. Lines wait in one of `rooms`, which are as large as each other, while the other is written.
    ///
    /// # Errors
    /// When there can be no further thread.
    pub(crate) fn start(
        mut sink: impl LineSink,
        thread: &LineThread,
        rooms: [Vec<u8>; 2],
    ) -> io::Result<Self> {
        let [room, spare] = rooms;
        let shared = Arc::new(Shared { queue: LineQueue::new(room), is_open: AtomicBool::new(true) });
        let (of_thread, interval) = (Arc::clone(&shared), thread.interval);
        let run = move || {
            sink.begin();
            write_all(&of_thread, &mut sink, spare, interval);
            of_thread.is_open.store(false, Ordering::Relaxed);
            // It is written out before anybody hears that it is.
            drop(sink);
            of_thread.queue.note_end();
        };
        thread::Builder::new().name(thread.name.to_owned()).stack_size(thread.stack_bytes).spawn(run)?;
        Ok(Self { shared })
    }

    /// Adds a line; `false` where there is no room, and the line is counted.
    pub(crate) fn push(&self, line: &[u8]) -> bool {
        self.shared.queue.push(line)
    }

    /// Counts a line that could not be made.
    pub(crate) fn note_dropped(&self) {
        self.shared.queue.note_dropped();
    }

    /// Bytes of both rooms.
    pub(crate) fn bytes(&self) -> usize {
        self.shared.queue.bytes()
    }

    /// Whether lines are written still.
    pub(crate) fn is_open(&self) -> bool {
        self.shared.is_open.load(Ordering::Relaxed)
    }

    /// Has the sink opened anew before the next lines are written.
    #[cfg(any(feature = "cli", test))]
    pub(crate) fn reopen(&self) {
        self.shared.queue.reopen();
    }

    /// Ends the thread, and waits until all is written, for at most `patience`. Returns whether it is.
    pub(crate) fn close(&self, patience: Duration) -> bool {
        self.shared.is_open.store(false, Ordering::Relaxed);
        self.shared.queue.close(patience)
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        self.shared.queue.begin_close();
    }
}

impl fmt::Debug for LineWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineWriter").field("is_open", &self.is_open()).finish_non_exhaustive()
    }
}

/// Writes until the queue is closed.
fn write_all(shared: &Shared, sink: &mut impl LineSink, mut lines: Vec<u8>, interval: Duration) {
    loop {
        shared.queue.wait_for_first(sink.rest());
        let batch = shared.queue.take(&mut lines, interval);
        if batch.reopens {
            sink.reopen();
        }
        sink.write(&lines, &batch);
        lines.clear();
        if sink.is_full() {
            shared.is_open.store(false, Ordering::Relaxed);
        }
        if batch.is_last {
            return;
        }
    }
}

/// What the tests of those who write lines write to.
#[cfg(test)]
pub(crate) mod testing {
    use crate::lock::lock;
    use std::io::{self, Write};
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use std::sync::{Arc, Mutex, MutexGuard};
    use std::time::Duration;

    /// Longer than a busy machine takes for anything that a test waits for.
    pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

    /// Keeps what is written, and waits for its gate to open before each write.
    #[derive(Clone, Default)]
    pub(crate) struct Gated {
        written: Arc<Mutex<Vec<u8>>>,
        gate: Arc<Mutex<()>>,
    }

    impl Gated {
        /// Nothing is written before this is dropped.
        pub(crate) fn close(&self) -> MutexGuard<'_, ()> {
            lock(&self.gate)
        }

        pub(crate) fn text(&self) -> String {
            String::from_utf8(lock(&self.written).clone()).expect("text")
        }

        /// The lines, each of which is JSON.
        pub(crate) fn json(&self) -> Vec<serde_json::Value> {
            self.text().lines().map(|line| serde_json::from_str(line).expect(line)).collect()
        }
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _open = lock(&self.gate);
            lock(&self.written).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Says when it was dropped.
    pub(crate) struct Gone(SyncSender<()>);

    impl Gone {
        /// It, and what hears of its end.
        pub(crate) fn new() -> (Self, Receiver<()>) {
            let (gone, is_gone) = sync_channel(1);
            (Self(gone), is_gone)
        }
    }

    impl Write for Gone {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Drop for Gone {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::line_queue::touched;
    use super::testing::{Gated, Gone, PATIENCE};
    use super::*;
    use std::io::Write;

    /// Writes what comes, and what became of the rest, as lines.
    struct Plain<W> {
        out: W,
        room_bytes: usize,
    }

    impl<W> Plain<W> {
        fn new(out: W) -> Self {
            Self { out, room_bytes: usize::MAX }
        }
    }

    impl<W: Write + Send + 'static> LineSink for Plain<W> {
        fn begin(&mut self) {
            self.out.write_all(b"begun\n").expect("written");
        }

        fn write(&mut self, lines: &[u8], batch: &Batch) {
            self.out.write_all(lines).expect("written");
            self.room_bytes = self.room_bytes.saturating_sub(lines.len());
            if batch.dropped > 0 {
                writeln!(self.out, "dropped {}", batch.dropped).expect("written");
            }
        }

        fn reopen(&mut self) {
            self.out.write_all(b"reopened\n").expect("written");
        }

        fn is_full(&self) -> bool {
            self.room_bytes == 0
        }
    }

    fn start(sink: impl LineSink, room_bytes: usize) -> LineWriter {
        let thread = LineThread { name: "lines", stack_bytes: 128 * 1024, interval: Duration::ZERO };
        LineWriter::start(sink, &thread, [touched(room_bytes), touched(room_bytes)]).expect("starts")
    }

    #[test]
    fn a_sink_that_stands_still_costs_lines_and_no_time() {
        let out = Gated::default();
        let closed = out.close();
        let writer = start(Plain::new(out.clone()), 100);
        let kept = (0..1_000).filter(|_| writer.push(b"123456789\n")).count();
        assert!((10..=20).contains(&kept), "{kept} lines in two rooms of 100 bytes");
        assert!(!writer.close(Duration::ZERO), "nothing can be written");
        drop(closed);
        assert!(writer.close(PATIENCE));
        let text = out.text();
        let dropped = text.lines().filter_map(|line| line.strip_prefix("dropped ")?.parse::<usize>().ok());
        assert_eq!(dropped.sum::<usize>() + kept, 1_000, "{text}");
        assert_eq!(text.lines().filter(|line| *line == "123456789").count(), kept, "{text}");
    }

    #[test]
    fn it_opens_anew_before_what_comes_then() {
        let out = Gated::default();
        let closed = out.close();
        let writer = start(Plain::new(out.clone()), 100);
        writer.reopen();
        assert!(writer.push(b"after\n"));
        drop(closed);
        assert!(writer.close(PATIENCE));
        assert_eq!(out.text(), "begun\nreopened\nafter\n");
    }

    /// Writes something of its own as soon as it rests, once.
    struct Restless {
        out: Gated,
        is_due: bool,
    }

    impl LineSink for Restless {
        fn write(&mut self, lines: &[u8], _: &Batch) {
            self.out.write_all(lines).expect("written");
            self.is_due |= lines == b"line\n";
        }

        fn rest(&mut self) -> Option<Duration> {
            let is_due = std::mem::take(&mut self.is_due);
            if is_due {
                self.out.write_all(b"own\n").expect("written");
            }
            Some(Duration::from_millis(1))
        }
    }

    #[test]
    fn what_is_due_without_a_line_is_written_before_the_next() {
        let out = Gated::default();
        let writer = start(Restless { out: out.clone(), is_due: false }, 100);
        assert!(writer.push(b"line\n"));
        let begun = std::time::Instant::now();
        while out.text() != "line\nown\n" {
            assert!(begun.elapsed() < PATIENCE, "{}", out.text());
            thread::sleep(Duration::from_millis(1));
        }
        assert!(writer.push(b"next\n"));
        assert!(writer.close(PATIENCE));
        assert_eq!(out.text(), "line\nown\nnext\n");
    }

    #[test]
    fn a_full_sink_closes_it() {
        let out = Gated::default();
        let writer = start(Plain { out: out.clone(), room_bytes: 3 }, 100);
        assert!(writer.is_open());
        assert!(writer.push(b"last\n"));
        let begun = std::time::Instant::now();
        while writer.is_open() {
            assert!(begun.elapsed() < PATIENCE, "it takes more");
            thread::sleep(Duration::from_millis(1));
        }
        assert!(writer.close(PATIENCE));
    }

    #[test]
    fn the_thread_ends_with_its_handle() {
        let (gone, is_gone) = Gone::new();
        let writer = start(Plain::new(gone), 100);
        assert!(writer.push(b"line\n"));
        drop(writer);
        is_gone.recv_timeout(PATIENCE).expect("the thread ends");
    }
}
