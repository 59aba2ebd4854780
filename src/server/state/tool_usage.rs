//! The memory that each tool uses: its calls, the bytes of their answers, and the arenas of their arguments.
//!
//! Invariant: counting allocates nothing. A tool that is never called costs two cache lines.

use crate::memory::ToolSpot;
use crossbeam_utils::CachePadded;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counts of every tool of a server, in the order of their definitions.
#[derive(Debug)]
pub(crate) struct ToolUsage {
    tools: Box<[CachePadded<Counts>]>,
    arena_retain_bytes: usize,
}

#[derive(Debug, Default)]
struct Counts {
    calls: AtomicU64,
    errors: AtomicU64,
    two_pass: AtomicU64,
    reply_bytes: AtomicU64,
    max_reply_bytes: AtomicU64,
    max_arena_bytes: AtomicU64,
    oversized_arenas: AtomicU64,
}

impl ToolUsage {
    pub(crate) fn new(tools: usize, arena_retain_bytes: usize) -> Self {
        Self { tools: (0..tools).map(|_| CachePadded::default()).collect(), arena_retain_bytes }
    }

    /// Counts a call, and the arena bytes that decoding its arguments took.
    pub(crate) fn note_call(&self, tool: Option<usize>, is_two_pass: bool, arena_bytes: usize) {
        let Some(counts) = self.counts(tool) else { return };
        counts.calls.fetch_add(1, Ordering::Relaxed);
        if is_two_pass {
            counts.two_pass.fetch_add(1, Ordering::Relaxed);
        }
        self.note_arena(tool, arena_bytes);
    }

    /// Counts the arena bytes that decoding the arguments of a call took.
    pub(crate) fn note_arena(&self, tool: Option<usize>, arena_bytes: usize) {
        let Some(counts) = self.counts(tool) else { return };
        if arena_bytes > self.arena_retain_bytes {
            counts.oversized_arenas.fetch_add(1, Ordering::Relaxed);
        }
        raise(&counts.max_arena_bytes, arena_bytes as u64);
    }

    /// Counts a call that failed.
    pub(crate) fn note_error(&self, tool: Option<usize>) {
        if let Some(counts) = self.counts(tool) {
            counts.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts the answer of a call.
    pub(crate) fn note_reply(&self, tool: Option<usize>, bytes: usize) {
        let Some(counts) = self.counts(tool) else { return };
        counts.reply_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        raise(&counts.max_reply_bytes, bytes as u64);
    }

    /// Begins anew with a number that another tool has from now on.
    pub(crate) fn forget(&self, tool: usize) {
        let Some(counts) = self.counts(Some(tool)) else { return };
        let Counts { calls, errors, two_pass, reply_bytes, max_reply_bytes, .. } = counts;
        let maxima = [max_reply_bytes, &counts.max_arena_bytes, &counts.oversized_arenas];
        for count in [calls, errors, two_pass, reply_bytes].into_iter().chain(maxima) {
            count.store(0, Ordering::Relaxed);
        }
    }

    /// The usage of each tool that was called. `names` lists all tools in the order of their definitions.
    pub(crate) fn spots<'a>(
        &'a self,
        names: impl Iterator<Item = &'a str> + 'a,
    ) -> impl Iterator<Item = ToolSpot> + 'a {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let called = names.zip(&self.tools).filter(move |(_, counts)| load(&counts.calls) > 0);
        called.map(move |(name, counts)| ToolSpot {
            name: name.to_owned(),
            calls: load(&counts.calls),
            errors: load(&counts.errors),
            two_pass: load(&counts.two_pass),
            reply_bytes: load(&counts.reply_bytes),
            max_reply_bytes: load(&counts.max_reply_bytes),
            max_arena_bytes: load(&counts.max_arena_bytes),
            oversized_arenas: load(&counts.oversized_arenas),
        })
    }

    fn counts(&self, tool: Option<usize>) -> Option<&Counts> {
        tool.and_then(|tool| self.tools.get(tool)).map(|counts| &**counts)
    }
}

/// Raises a maximum. The load first spares the write most times.
fn raise(maximum: &AtomicU64, value: u64) {
    if maximum.load(Ordering::Relaxed) < value {
        maximum.fetch_max(value, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_called_tools_are_reported_by_name() {
        let usage = ToolUsage::new(3, 1_000);
        usage.note_call(Some(1), false, 10);
        usage.note_call(Some(1), true, 2_000);
        usage.note_reply(Some(1), 500);
        usage.note_reply(Some(1), 70);
        usage.note_error(Some(1));
        usage.note_error(None);
        usage.note_call(None, true, 9);
        usage.note_call(Some(7), true, 9);
        let spots: Vec<_> = usage.spots(["a", "b", "c"].into_iter()).collect();
        let want = ToolSpot {
            name: "b".to_owned(),
            calls: 2,
            errors: 1,
            two_pass: 1,
            reply_bytes: 570,
            max_reply_bytes: 500,
            max_arena_bytes: 2_000,
            oversized_arenas: 1,
        };
        assert_eq!(spots, [want]);
        usage.forget(1);
        usage.forget(7);
        assert_eq!(usage.spots(["a", "b", "c"].into_iter()).count(), 0);
    }
}
