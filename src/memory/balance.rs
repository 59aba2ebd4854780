//! The balance of a report: the lines of the ledger against what the kernel and the allocator count.
//!
//! The lines can be wrong, and then the report says so: their sum is not cut to what is resident, and the difference has
//! a sign. Only `rest` is computed as a difference itself, so it is not among what is explained.
//! Owns the peaks as well. Each tick notes them, because a burst is over before anybody asks for a report.

use super::allocator::AllocatorStats;
use super::ledger::Line;
use super::process::Process;
use super::report::{MemoryUsageReport, Part};

/// Lines whose peaks fit before the list grows, so that a tick allocates nothing.
const MAX_NAMES: usize = 32;

/// The most that each line, and the heap as a whole, have held.
#[derive(Debug)]
pub(super) struct Peaks {
    lines: Vec<(&'static str, u64)>,
    allocated: u64,
}

impl Peaks {
    pub(super) fn new() -> Self {
        Self { lines: Vec::with_capacity(MAX_NAMES), allocated: 0 }
    }

    /// Takes in the lines of the heap, and the live heap, as they are now.
    pub(super) fn note(&mut self, lines: &[Line], heap_bytes: Option<u64>) {
        for line in lines {
            self.of(line.name, line.bytes);
        }
        self.allocated = self.allocated.max(heap_bytes.unwrap_or_else(|| sum(lines)));
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
    peaks.note(&lines, allocator.heap_bytes);
    let entered = sum(&lines);
    // Blocks that no account entered: those of the runtime, of libraries, the strings of the catalog.
    if let Some(heap) = allocator.heap_bytes {
        lines.push(Line { name: "rest", bytes: heap.saturating_sub(entered), count: None });
    }
    let mut others = Vec::new();
    // More blocks than pages: as much at least was never written to, or is no memory any more.
    let mut unwritten = None;
    if let (Some(area), Some(heap)) = (process.heap_area_bytes, allocator.heap_bytes) {
        let beyond = area.saturating_sub(heap);
        // Of blocks that were never written to the rounding is not resident, and nothing tells how much that is.
        let rounding = allocator.block_bytes.map(|blocks| blocks.saturating_sub(heap).min(beyond));
        others.extend(rounding.map(|bytes| ("allocator, rounding", bytes)));
        others.push(("allocator, free", beyond - rounding.unwrap_or_default()));
        unwritten = Some(heap.saturating_sub(area));
    }
    others.extend(process.stack_bytes.map(|bytes| ("stacks", bytes)));
    others.extend(process.program_bytes.map(|bytes| ("program", bytes)));
    others.extend(process.shared_bytes.map(|bytes| ("program, shared", bytes)));
    let counted = entered + others.iter().map(|(_, bytes)| bytes).sum::<u64>();
    let explained = counted.saturating_sub(unwritten.unwrap_or_default());
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
        connections: held(&["connections", "buffers, leased"]),
        correlation: held(&["pending requests", "messages, leased", "arenas, leased", "subscriptions"]),
        buffers: held(&["buffers, leased", "buffers, idle", "event stores"]),
        entered,
        unwritten,
        peak_allocated: peaks.allocated,
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
    unwritten: Option<u64>,
    peak_allocated: u64,
    explained: u64,
}

fn usage_of(sums: &Sums, process: &Process, allocator: AllocatorStats) -> MemoryUsageReport {
    // Private memory would be the wrong measure: it falls when somebody else runs the same program.
    let resident = process.rss_bytes.filter(|bytes| *bytes > 0);
    let error_bytes = resident.map(|resident| sums.explained.cast_signed() - resident.cast_signed());
    let among_resident = |bytes: f64| resident.map(|resident| bytes / resident as f64);
    MemoryUsageReport {
        rss_bytes: process.rss_bytes,
        pss_bytes: process.pss_bytes,
        private_bytes: process.private_bytes,
        shared_bytes: process.shared_bytes,
        peak_rss_bytes: process.peak_rss_bytes,
        huge_page_bytes: process.huge_page_bytes,
        committed_bytes: allocator.committed_bytes,
        peak_committed_bytes: allocator.peak_committed_bytes,
        heap_bytes: allocator.heap_bytes,
        unwritten_bytes: sums.unwritten,
        stack_bytes: process.stack_bytes,
        connection_bytes: sums.connections,
        correlation_bytes: sums.correlation,
        message_buffer_bytes: sums.buffers,
        total_allocated_bytes: allocator.heap_bytes.unwrap_or(sums.entered),
        peak_allocated_bytes: sums.peak_allocated,
        explained_bytes: sums.explained,
        explained_ratio: among_resident(sums.explained as f64),
        error_bytes,
        error_ratio: error_bytes.and_then(|error| among_resident(error as f64)),
        held_ratio: among_resident(sums.entered as f64),
        threads: process.threads,
        open_descriptors: process.open_descriptors,
        cpu_ms: process.cpu_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESIDENT: u64 = 1_000;

    /// A process of 1,000 bytes, of which the program has 300 (200 of them shared), stacks 50 and the heap 650.
    fn usage(held: u64, heap: Option<u64>) -> (Vec<Part>, MemoryUsageReport) {
        let process = Process {
            rss_bytes: Some(RESIDENT),
            private_bytes: Some(800),
            program_bytes: Some(100),
            shared_bytes: Some(200),
            stack_bytes: Some(50),
            heap_area_bytes: Some(650),
            ..Process::default()
        };
        let allocator = AllocatorStats { heap_bytes: heap, ..AllocatorStats::default() };
        let lines = vec![Line { name: "held", bytes: held, count: Some(1) }];
        balance(&mut Peaks::new(), lines, &process, allocator)
    }

    #[test]
    fn the_error_has_a_sign() {
        for (held, heap, error, held_ratio) in [
            (600, Some(600), 0, 0.6),
            // What has no holder is missing.
            (100, Some(600), -500, 0.1),
            // The holders tell more than the heap has.
            (700, Some(600), 100, 0.7),
            // Blocks that nobody has written to: more heap than is resident, and no error of the ledger.
            (2_000, Some(2_000), 0, 2.0),
            (1_900, Some(2_000), -100, 1.9),
            (2_100, Some(2_000), 100, 2.1),
            // An allocator that tells nothing.
            (100, None, -550, 0.1),
        ] {
            let (parts, usage) = usage(held, heap);
            assert_eq!(usage.error_bytes, Some(error), "{held} {heap:?}");
            assert_eq!(usage.error_ratio, Some(error as f64 / 1_000.0), "{held} {heap:?}");
            assert_eq!(usage.held_ratio, Some(held_ratio), "{held} {heap:?}");
            let explained: u64 = parts.iter().filter(|part| part.name != "rest").map(|part| part.bytes).sum();
            let unwritten = heap.map_or(0, |heap| heap.saturating_sub(650));
            assert_eq!(usage.unwritten_bytes, heap.map(|_| unwritten), "{held} {heap:?}");
            assert_eq!(usage.explained_bytes, explained - unwritten, "{held} {heap:?}");
            assert_eq!(usage.explained_bytes.cast_signed() - RESIDENT.cast_signed(), error);
        }
    }

    #[test]
    fn what_the_allocator_has_beyond_the_blocks_is_told_apart() {
        let process = Process { heap_area_bytes: Some(650), ..Process::default() };
        for (heap, blocks, rounding, free) in [
            (600, Some(620), Some(20), 30),
            (600, None, None, 50),
            // No more than is resident.
            (600, Some(700), Some(50), 0),
            (700, Some(720), Some(0), 0),
            (600, Some(600), Some(0), 50),
        ] {
            let allocator =
                AllocatorStats { heap_bytes: Some(heap), block_bytes: blocks, ..AllocatorStats::default() };
            let (parts, _) = balance(&mut Peaks::new(), Vec::new(), &process, allocator);
            let bytes = |name: &str| parts.iter().find(|part| part.name == name).map(|part| part.bytes);
            assert_eq!(bytes("allocator, rounding"), rounding, "{heap} {blocks:?}");
            assert_eq!(bytes("allocator, free"), Some(free), "{heap} {blocks:?}");
        }
    }

    #[test]
    fn pages_that_others_share_are_a_part_of_their_own() {
        let (parts, usage) = usage(600, Some(600));
        let bytes = |name: &str| parts.iter().find(|part| part.name == name).map(|part| part.bytes);
        assert_eq!((bytes("program"), bytes("program, shared")), (Some(100), Some(200)));
        assert_eq!((usage.private_bytes, usage.shared_bytes), (Some(800), Some(200)));
    }
}
