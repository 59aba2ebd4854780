//! Who writes to stderr: the thread that has something to say, or, while a server is at work, a thread for that alone.
//!
//! Whoever started a server may have stopped reading its stderr. Invariant: no thread that serves waits for it; lines
//! that find no room are counted, and their number is written when there is room again.

use crate::traffic::{Batch, LineSink, LineThread, LineWriter};
use arc_swap::ArcSwapOption;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of the lines that wait, twice the longest; another such room is being written meanwhile.
const QUEUE_BYTES: usize = 16 * 1024;
/// What the thread holds at most.
pub(in crate::cli) const MAX_BYTES: usize = 2 * QUEUE_BYTES;
/// The thread calls `write` and little else.
const THREAD: LineThread = LineThread { name: "log", stack_bytes: 64 * 1024, interval: Duration::ZERO };
/// How long the end of the process waits for who reads stderr.
const PATIENCE: Duration = Duration::from_secs(1);

/// The thread, while there is one.
static WRITER: ArcSwapOption<LineWriter> = ArcSwapOption::const_empty();

/// Writes whole lines.
pub(in crate::cli) fn write(lines: &[u8]) {
    match &*WRITER.load() {
        Some(writer) => {
            // What finds no room is counted there.
            writer.push(lines);
        }
        // Nothing depends on whether it can be written.
        None => drop(io::stderr().write_all(lines)),
    }
}

/// Has a thread of its own write from now on.
///
/// # Errors
/// When there can be no further thread.
pub(super) fn begin_thread(not_shown: NotShown) -> io::Result<()> {
    let rooms = [Vec::with_capacity(QUEUE_BYTES), Vec::with_capacity(QUEUE_BYTES)];
    WRITER.store(Some(Arc::new(LineWriter::start(Lossy { out: io::stderr(), not_shown }, &THREAD, rooms)?)));
    Ok(())
}

/// Has the rest written, if there is a thread; what comes from now on is written at once.
pub(in crate::cli) fn end_thread() {
    if let Some(writer) = WRITER.swap(None) {
        // Who does not read does not miss it.
        let _ = writer.close(PATIENCE);
    }
}

/// Writes a line about requests that have none, if that is due or this is the end, and says when to ask again.
pub(super) type NotShown = fn(bool, &mut dyn Write) -> Option<Duration>;

/// Writes as much as it can: nothing depends on it.
struct Lossy<W> {
    out: W,
    not_shown: NotShown,
}

impl<W: Write> Lossy<W> {
    fn write_not_shown(&mut self, is_end: bool) -> Option<Duration> {
        (self.not_shown)(is_end, &mut self.out)
    }
}

impl<W: Write + Send + 'static> LineSink for Lossy<W> {
    fn write(&mut self, lines: &[u8], batch: &Batch) {
        let _ = self.out.write_all(lines);
        if batch.dropped > 0 {
            let _ = writeln!(
                self.out,
                "mcpool: {} lines of the log are missing here: stderr was read too slowly",
                batch.dropped
            );
        }
        if batch.is_last {
            self.write_not_shown(true);
        }
    }

    fn rest(&mut self) -> Option<Duration> {
        self.write_not_shown(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::testing::Gated;

    #[test]
    fn who_reads_nothing_hears_what_is_missing() {
        let out = Gated::default();
        let closed = out.close();
        let rooms = [Vec::with_capacity(100), Vec::with_capacity(100)];
        let writer = LineWriter::start(Lossy { out: out.clone(), not_shown: |_, _| None }, &THREAD, rooms)
            .expect("starts");
        let kept = (0..1_000).filter(|_| writer.push(b"123456789\n")).count();
        drop(closed);
        assert!(writer.close(Duration::from_mins(1)));
        let text = out.text();
        let missing = text.lines().filter_map(|line| {
            let number = line.strip_prefix("mcpool: ")?.split(' ').next()?;
            number.parse::<usize>().ok()
        });
        assert_eq!(missing.sum::<usize>() + kept, 1_000, "{text}");
    }
}
