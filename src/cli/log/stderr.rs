//! Who writes to stderr: the thread that has something to say, or, while a server is at work, a thread for that alone.
//!
//! Whoever started a server may have stopped reading its stderr. Invariant: no thread that serves waits for it; lines
//! that find no room are counted, and their number is written when there is room again.

use crate::traffic::LineQueue;
use arc_swap::ArcSwapOption;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Bytes of the lines that wait, twice the longest; another such room is being written meanwhile.
const QUEUE_BYTES: usize = 16 * 1024;
/// What the thread holds at most.
pub(in crate::cli) const MAX_BYTES: usize = 2 * QUEUE_BYTES;
/// The thread calls `write` and little else.
const STACK_BYTES: usize = 64 * 1024;
/// How long the end of the process waits for who reads stderr.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the thread writes, while there is one.
static QUEUE: ArcSwapOption<LineQueue> = ArcSwapOption::const_empty();

/// Writes whole lines.
pub(in crate::cli) fn write(lines: &[u8]) {
    match &*QUEUE.load() {
        Some(queue) => {
            // What finds no room is counted there.
            queue.push(lines);
        }
        // Nothing depends on whether it can be written.
        None => drop(io::stderr().write_all(lines)),
    }
}

/// Has a thread of its own write from now on.
///
/// # Errors
/// When there can be no further thread.
pub(in crate::cli) fn begin_thread() -> io::Result<()> {
    let queue = Arc::new(LineQueue::new(Vec::with_capacity(QUEUE_BYTES)));
    let of_thread = Arc::clone(&queue);
    let run = move || write_out(&of_thread, &mut io::stderr());
    thread::Builder::new().name("log".to_owned()).stack_size(STACK_BYTES).spawn(run)?;
    QUEUE.store(Some(queue));
    Ok(())
}

/// Has the rest written, if there is a thread; what comes from now on is written at once.
pub(in crate::cli) fn end_thread() {
    if let Some(queue) = QUEUE.swap(None) {
        // Who does not read does not miss it.
        let _ = queue.close(PATIENCE);
    }
}

fn write_out(queue: &LineQueue, out: &mut impl Write) {
    let mut lines = Vec::with_capacity(QUEUE_BYTES);
    loop {
        queue.wait_for_first();
        let batch = queue.take(&mut lines, Duration::ZERO);
        // Nothing depends on whether it can be written.
        let _ = out.write_all(&lines);
        lines.clear();
        if batch.dropped > 0 {
            let _ = writeln!(
                out,
                "mcpool: {} lines of the log are missing here: stderr was read too slowly",
                batch.dropped
            );
        }
        if batch.is_last {
            return queue.note_end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::lock;
    use std::sync::Mutex;

    /// Keeps what is written, and waits for its gate to open before each write.
    #[derive(Clone, Default)]
    struct Gated {
        written: Arc<Mutex<Vec<u8>>>,
        gate: Arc<Mutex<()>>,
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

    #[test]
    fn who_reads_nothing_holds_up_nobody_and_hears_what_is_missing() {
        let out = Gated::default();
        let closed = lock(&out.gate);
        let queue = Arc::new(LineQueue::new(Vec::with_capacity(100)));
        let writing = thread::spawn({
            let (queue, mut out) = (Arc::clone(&queue), out.clone());
            move || write_out(&queue, &mut out)
        });
        let kept = (0..1_000).filter(|_| queue.push(b"123456789\n")).count();
        assert!((10..=30).contains(&kept), "{kept}");
        drop(closed);
        assert!(queue.close(Duration::from_mins(1)));
        writing.join().expect("it ends");
        let text = String::from_utf8(lock(&out.written).clone()).expect("text");
        let missing = text.lines().filter_map(|line| {
            let number = line.strip_prefix("mcpool: ")?.split(' ').next()?;
            number.parse::<usize>().ok()
        });
        assert_eq!(missing.sum::<usize>() + kept, 1_000, "{text}");
    }
}
