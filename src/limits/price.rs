//! What a large message costs, as it is charged to the budget of large messages and as `mcpool plan` adds it up.
//!
//! The code that reserves memory and the plan call the same functions, so that the two cannot differ. Invariant: each
//! function gives the most bytes that are held at once.

use mcpool_pools::Segments;

/// What is made of a large message while it is served, in times its length: its strings in one arena, whose chunks double,
/// so that the last one may be half empty.
const SERVED_TIMES: usize = 2;
/// The large messages may have one part in so many of what the memory limit leaves beside the process itself. Another
/// part is for what the allocator keeps for a second, which is about as much as is in use; the rest is for all that is
/// small.
const LARGE_PARTS: u64 = 3;
/// A process may have that part of the machine's memory, in percent, where neither a setting nor a control group says
/// how much: other programs and the page cache need the rest.
pub(crate) const MACHINE_PERCENT: u64 = 50;
/// Messages, answers and files up to this size are small: their buffers are always there, and are not charged.
pub(crate) const LARGE_BYTES: usize = 64 * 1024;

/// Bytes that are charged for a large message while it is served, beside the buffer that it is in.
pub(crate) const fn served_bytes(message_bytes: usize) -> usize {
    message_bytes.saturating_mul(SERVED_TIMES)
}

/// Bytes that a large message takes from its first byte until it is served: its own, once, two segments while it comes, and
/// what is made of it.
pub(crate) const fn message_bytes(message_bytes: usize) -> usize {
    Segments::most_bytes(message_bytes).saturating_add(served_bytes(message_bytes))
}

/// Bytes of the large messages that may be in memory at once within a limit, in a process that has `floor_bytes` at
/// its start.
pub(crate) const fn large_bytes(limit_bytes: u64, floor_bytes: u64) -> u64 {
    limit_bytes.saturating_sub(floor_bytes) / LARGE_PARTS
}

/// One part in so many of what the limit leaves beside the process itself, in whole steps: figures that people read.
pub(crate) const fn share_bytes(room_bytes: u64, parts: u64) -> usize {
    /// The smallest buffer that is large, and the least budget of the pools.
    const STEP_BYTES: u64 = LARGE_BYTES as u64;
    (room_bytes / parts / STEP_BYTES * STEP_BYTES) as usize
}

/// The least that a limit has to leave beside what the process has at its start: for the pages that threads and their
/// allocators touch first (five or six threads), and for small requests.
const LEAST_ROOM_BYTES: u64 = 4 << 20;

/// The smallest limit that a process may have which has `floor_bytes` at its start: new work is refused from
/// `critical_percent` of it on.
pub(crate) const fn least_limit(floor_bytes: u64, critical_percent: u64) -> u64 {
    floor_bytes
        .saturating_add(LEAST_ROOM_BYTES)
        .saturating_mul(100)
        .div_ceil(critical_percent)
        .next_multiple_of(1 << 20)
}

/// Bytes that the allocator keeps for a second of so many bytes of large messages that are freed.
pub(crate) const fn kept_bytes(large_bytes: u64) -> u64 {
    large_bytes
}

/// The smallest limit under which so many bytes of large messages are in memory at once.
pub(crate) const fn limit_with_large(large_bytes: u64, floor_bytes: u64) -> u64 {
    large_bytes.saturating_mul(LARGE_PARTS).saturating_add(floor_bytes)
}

/// The smallest limit that leaves so many bytes, of which `floor_bytes` are there at the start, to all that is neither a
/// large message nor kept of one.
pub(crate) const fn limit_with_small(small_bytes: u64, floor_bytes: u64) -> u64 {
    /// Large messages, and what is kept of them.
    const TAKEN_PARTS: u64 = 2;
    let wanted_bytes = small_bytes.saturating_mul(LARGE_PARTS);
    wanted_bytes.saturating_sub(floor_bytes.saturating_mul(TAKEN_PARTS)) / (LARGE_PARTS - TAKEN_PARTS)
}

/// The limit of a process on a machine with that memory.
pub(crate) const fn of_machine(physical_bytes: u64) -> u64 {
    physical_bytes.saturating_mul(MACHINE_PERCENT) / 100
}

/// Bytes of a segment of an answer that is written while it is sent.
pub(crate) const SEGMENT_BYTES: usize = 64 * 1024;

/// Bytes of an answer that is written while it is sent, in segments of that size: one is sent, one is written.
pub(crate) const fn window_bytes(segment_bytes: usize) -> usize {
    segment_bytes.saturating_mul(2)
}

/// Bytes around the text of an answer: the envelope with the id of the request, the names of members.
pub(crate) const AROUND_BYTES: usize = 512;

/// Bytes of an answer that carries so many bytes of text, as it is written in JSON, so many times.
pub(crate) const fn answer_bytes(text_bytes: usize, copies: usize) -> usize {
    text_bytes.saturating_mul(copies).saturating_add(AROUND_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limits_are_just_enough() {
        const FLOOR: u64 = 6_000;
        for bytes in [FLOOR, 7_000, 100_000, 12_345_678] {
            let limit = limit_with_large(bytes, FLOOR);
            assert_eq!(large_bytes(limit, FLOOR), bytes);
            assert_eq!(large_bytes(limit - 1, FLOOR), bytes - 1);
            let left = |limit: u64| limit - large_bytes(limit, FLOOR) - kept_bytes(large_bytes(limit, FLOOR));
            let limit = limit_with_small(bytes, FLOOR);
            assert!(left(limit) >= bytes && left(limit - LARGE_PARTS) < bytes, "{bytes} {limit}");
        }
    }

    #[test]
    fn nothing_overflows() {
        assert_eq!(message_bytes(usize::MAX), usize::MAX);
        assert_eq!(limit_with_large(u64::MAX, 1), u64::MAX);
        assert_eq!(limit_with_small(1, u64::MAX), 0);
    }
}
