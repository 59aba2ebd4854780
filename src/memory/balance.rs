//! The balance of a report: the lines of the ledger against what the kernel and the allocator count.
//!
//! Owns the peaks as well. Each tick notes them, because a burst is over before anybody asks for a report.

use super::allocator::AllocatorStats;
use super::ledger::Line;
use super::process::Process;
use super::report::{MemoryUsageReport, Part};

/// Lines whose peaks fit before the list grows, so that a tick allocates nothing.
const MAX_NAMES: usize = 32;

/// The most that each line, and all lines of the heap together, have held.
#[derive(Debug)]
pub(super) struct Peaks {
    lines: Vec<(&'static str, u64)>,
    allocated: u64,
}

impl Peaks {
    pub(super) fn new() -> Self {
        Self { lines: Vec::with_capacity(MAX_NAMES), allocated: 0 }
    }

    /// Takes in the lines of the heap as they are now.
    pub(super) fn note(&mut self, lines: &[Line]) {
        for line in lines {
            self.of(line.name, line.bytes);
        }
        self.allocated = self.allocated.max(sum(lines));
    }

    /// The most that the line has held, `bytes` included.
    fn of(&mut self, name: &'static str, bytes: u64) -> u64 {
        if let Some((_, peak)) = self.lines.iter_mut().find(|(known, _)| *known == name) {
            *peak = bytes.max(*peak);
            return *peak;
        }
        self.lines.push((name, bytes));
        bytes
    }
}

fn sum(lines: &[Line]) -> u64 {
    lines.iter().map(|line| line.bytes).sum()
}

/// The parts, largest first, and the process in sums.
pub(super) fn balance(
    peaks: &mut Peaks,
    mut lines: Vec<Line>,
    process: &Process,
    allocator: AllocatorStats,
) -> (Vec<Part>, MemoryUsageReport) {
    peaks.note(&lines);
    let entered = sum(&lines);
    // Blocks that no account entered: those of the runtime, of libraries, the strings of the catalog.
    if let Some(heap) = allocator.heap_bytes {
        lines.push(Line { name: "rest", bytes: heap.saturating_sub(entered), count: None });
    }
    let mut others = Vec::new();
    if let (Some(area), Some(heap)) = (process.heap_area_bytes, allocator.heap_bytes) {
        others.push(("allocator, free", area.saturating_sub(heap)));
    }
    others.extend(process.stack_bytes.map(|bytes| ("stacks", bytes)));
    others.extend(process.program_bytes.map(|bytes| ("program", bytes)));
    let explained = entered + others.iter().map(|(_, bytes)| bytes).sum::<u64>();
    let mut part = |name: &'static str, bytes: u64, count: Option<u64>, is_heap: bool| {
        let peak_bytes = peaks.of(name, bytes);
        Part { name: name.to_owned(), bytes, peak_bytes, count, is_heap }
    };
    let mut parts: Vec<Part> =
        lines.iter().map(|line| part(line.name, line.bytes, line.count, true)).collect();
    parts.extend(others.iter().map(|(name, bytes)| part(name, *bytes, None, false)));
    parts.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    let held = |names: &[&str]| -> u64 {
        lines.iter().filter(|line| names.contains(&line.name)).map(|line| line.bytes).sum()
    };
    let sums = Sums {
        connections: held(&["connections"]),
        correlation: held(&["pending requests"]),
        buffers: held(&["buffers, leased", "buffers, idle"]),
        entered,
        peak_entered: peaks.allocated,
        explained,
    };
    (parts, usage_of(&sums, process, allocator))
}

/// Lines of the ledger, added up.
struct Sums {
    connections: u64,
    correlation: u64,
    buffers: u64,
    entered: u64,
    peak_entered: u64,
    explained: u64,
}

fn usage_of(sums: &Sums, process: &Process, allocator: AllocatorStats) -> MemoryUsageReport {
    let explained_bytes = process.private_bytes.map_or(sums.explained, |private| sums.explained.min(private));
    MemoryUsageReport {
        rss_bytes: process.rss_bytes,
        pss_bytes: process.pss_bytes,
        private_bytes: process.private_bytes,
        peak_rss_bytes: process.peak_rss_bytes,
        huge_page_bytes: process.huge_page_bytes,
        committed_bytes: allocator.committed_bytes,
        peak_committed_bytes: allocator.peak_committed_bytes,
        heap_bytes: allocator.heap_bytes,
        stack_bytes: process.stack_bytes,
        connection_bytes: sums.connections,
        correlation_bytes: sums.correlation,
        message_buffer_bytes: sums.buffers,
        total_allocated_bytes: sums.entered,
        peak_allocated_bytes: sums.peak_entered,
        explained_bytes,
        explained_ratio: process
            .private_bytes
            .filter(|private| *private > 0)
            .map(|private| explained_bytes as f64 / private as f64),
        threads: process.threads,
        open_descriptors: process.open_descriptors,
        cpu_ms: process.cpu_ms,
    }
}
