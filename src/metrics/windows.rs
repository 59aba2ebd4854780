//! Latencies of one kind over the last 10 seconds, minute, five minutes and hour.
//!
//! All that was recorded in ten seconds becomes a [`Sketch`]. The minute is the half that is under way and the one before
//! it, and so are the longer windows: what is shown covers between one half and the whole of its window, for a kilobyte
//! a half. Time is an argument, counted in spans of ten seconds. Invariant: reading and recording change no window.

use super::histogram::LatencyHistogram;
use super::sketch::Sketch;
use crate::lock::lock;
use mcpool_pools::lasting;
use std::sync::{Mutex, OnceLock};

/// Seconds of a span.
pub(crate) const SPAN_S: u64 = 10;
/// The windows in seconds, shortest first.
pub(crate) const WINDOWS_S: [u64; 4] = [SPAN_S, 60, 300, 3_600];

/// Spans in a half of each window but the first.
fn half_spans(window: usize) -> u64 {
    WINDOWS_S[window] / SPAN_S / 2
}

/// Where the window begins, in spans since the start, if `span` is under way.
pub(crate) fn first_span(window: usize, span: u64) -> u64 {
    match window {
        0 => span.saturating_sub(1),
        _ => (span / half_spans(window)).saturating_sub(1) * half_spans(window),
    }
}

/// Latencies of one kind. All that they ever take, 12 KiB, is made with the first of them: what is allocated depends on
/// neither the time nor the number of threads.
#[derive(Debug, Default)]
pub(crate) struct LatencyWindows {
    used: OnceLock<Box<Used>>,
}

#[derive(Debug, Default)]
struct Used {
    latest: LatencyHistogram,
    ended: Mutex<EndedSpans>,
}

#[derive(Debug, Default)]
struct EndedSpans {
    last: Sketch,
    /// Of each longer window the half under way, and the one before.
    halves: [[Sketch; 2]; WINDOWS_S.len() - 1],
}

impl LatencyWindows {
    /// Records a latency in nanoseconds.
    #[inline]
    pub(crate) fn record(&self, ns: u64) {
        self.record_many(ns, 1);
    }

    /// Records so many latencies of so many nanoseconds.
    #[inline]
    pub(crate) fn record_many(&self, ns: u64, count: u32) {
        self.used.get_or_init(|| lasting(Box::default)).latest.record(ns, count);
    }

    /// Whether something was ever recorded.
    pub(crate) fn is_used(&self) -> bool {
        self.used.get().is_some()
    }

    /// Ends the span before `span`, `before` being the one that was under way until now.
    pub(crate) fn end_span(&self, before: u64, span: u64) {
        let Some(Used { latest, ended }) = self.used.get().map(|used| &**used) else { return };
        let mut ended = lock(ended);
        let EndedSpans { last, halves } = &mut *ended;
        *last = Sketch::default();
        latest.drain(last);
        for (at, [now, earlier]) in halves.iter_mut().enumerate() {
            now.merge(last);
            let spans = half_spans(at + 1);
            match span / spans - before / spans {
                0 => {}
                1 => *earlier = std::mem::take(now),
                // The process slept for longer than the window.
                _ => (*now, *earlier) = (Sketch::default(), Sketch::default()),
            }
        }
    }

    /// Adds the latencies of each window to `windows`.
    pub(crate) fn read(&self, windows: &mut [Sketch; WINDOWS_S.len()]) {
        let Some(Used { latest, ended }) = self.used.get().map(|used| &**used) else { return };
        let ended = lock(ended);
        windows[0].merge(&ended.last);
        for (window, [now, earlier]) in windows[1..].iter_mut().zip(&ended.halves) {
            window.merge(earlier);
            window.merge(now);
        }
        drop(ended);
        for window in windows {
            latest.copy(window);
        }
    }

    /// The shortest window alone; nothing if nothing was ever recorded.
    pub(crate) fn latest(&self) -> Option<Sketch> {
        let Used { latest, ended } = &**self.used.get()?;
        let mut window = lock(ended).last.clone();
        latest.copy(&mut window);
        Some(window)
    }

    /// Heap bytes.
    pub(crate) fn bytes(&self) -> usize {
        if self.is_used() { size_of::<Used>() } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(windows: &LatencyWindows) -> [u64; 4] {
        let mut read = <[Sketch; WINDOWS_S.len()]>::default();
        windows.read(&mut read);
        read.map(|window| window.count())
    }

    #[test]
    fn a_latency_leaves_each_window_after_at_most_its_length() {
        let windows = LatencyWindows::default();
        windows.end_span(0, 1);
        assert_eq!((windows.bytes(), counts(&windows)), (0, [0; 4]));
        windows.record(1_000);
        assert_eq!(counts(&windows), [1; 4]);
        let bytes = windows.bytes();
        let mut gone_at = [0; 4];
        for span in 2..=400 {
            windows.end_span(span - 1, span);
            for (window, count) in counts(&windows).into_iter().enumerate() {
                // It was recorded in span 1, and the window covers it if it begins before it has ended.
                assert_eq!(count == 1, first_span(window, span) <= 1, "window {window} in span {span}");
                if count == 0 && gone_at[window] == 0 {
                    gone_at[window] = span;
                }
            }
        }
        assert_eq!(gone_at, [3, 6, 30, 360]);
        assert!((8 * 1024..13 * 1024).contains(&bytes) && windows.bytes() == bytes, "{bytes}");
    }

    #[test]
    fn all_windows_are_empty_after_a_long_sleep() {
        let windows = LatencyWindows::default();
        windows.record(1_000);
        windows.end_span(1, 2);
        windows.end_span(2, 2_000);
        assert_eq!(counts(&windows), [0; 4]);
    }
}
