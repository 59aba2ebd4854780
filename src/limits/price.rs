//! What a large message costs, as it is charged to the budget of large messages and as `mcpool plan` adds it up.
//!
//! The code that reserves memory and the plan call the same functions, so that the two cannot differ. Invariant: each
//! function gives the most bytes that are held at once.

use mcpool_pools::Segments;

/// What is made of a large message while it is served, in times its length: its strings in one arena, whose chunks double,
/// so that the last one may be half empty.
const SERVED_TIMES: usize = 2;
/// Of what the memory limit leaves beside the fixed part, large messages have a third, what the allocator keeps beyond the
/// blocks in use another, and all that is small the rest.
const LARGE_PARTS: u64 = 3;
/// Blocks have sizes an eighth of a power of two apart at most: small objects take up to a ninth of their part more than
/// they ask for.
const ROUNDED_PARTS: u64 = 9;
/// Touched pages of a thread's stack: 36 to 60 KiB were seen under load.
pub(crate) const STACK_BYTES: u64 = 64 * 1024;
/// Pages that the allocator keeps for each thread beyond its live blocks: partly used ones, one for each size of block.
/// A load of all small tools at once left 6.9 MiB in nine threads.
pub(crate) const THREAD_PAGES_BYTES: u64 = 768 * 1024;
/// Small requests have one part in so many of what is for small objects to themselves.
const RESERVED_PARTS: usize = 4;
/// A process may have that part of the machine's memory, in percent, where neither a setting nor a control group says
/// how much: other programs and the page cache need the rest.
pub(crate) const MACHINE_PERCENT: u64 = 50;
/// Answers and files up to this size are written whole; larger ones are streamed, and their buffers are not pooled.
pub(crate) const LARGE_BYTES: usize = 64 * 1024;
/// Buffers beyond this size are charged as large messages while they are leased; smaller ones, leased or idle, as small
/// objects.
pub(crate) const SMALL_BUFFER_BYTES: usize = 16 * 1024;
/// Buffers up to this size may take the part of the small objects that is reserved for small requests.
pub(crate) const FIRST_BUFFER_BYTES: usize = 4 * 1024;
/// What is made of a message up to this size while it is served is not charged: it is a chunk of an arena at most.
const FREE_BYTES: usize = 1024;
/// Charged for what is made of any large message: short strings in an arena. Most need no more, as what is in the message
/// is borrowed or passed on in pieces.
pub(crate) const ARENA_BYTES: usize = 4 * 1024;

/// Bytes that are charged for a large message of which more is made than [`ARENA_BYTES`] hold: strings with escapes are
/// copied to an arena, and lists to the heap.
pub(crate) const fn served_bytes(message_bytes: usize) -> usize {
    message_bytes.saturating_mul(SERVED_TIMES)
}

/// Bytes that a message takes from its first byte until it is served: its own, once, two segments while a large one comes,
/// and what is made of a small one. What is made of a large one is charged when it is made.
pub(crate) const fn message_bytes(message_bytes: usize) -> usize {
    if message_bytes <= SMALL_BUFFER_BYTES {
        return buffer_bytes(message_bytes) + small_served_bytes(message_bytes);
    }
    let received_bytes = if message_bytes > LARGE_BYTES {
        Segments::most_bytes(message_bytes)
    } else {
        buffer_bytes(message_bytes)
    };
    received_bytes.saturating_add(ARENA_BYTES)
}

/// One part in so many of what the limit leaves beside the process itself, in whole steps: figures that people read.
pub(crate) const fn share_bytes(room_bytes: u64, parts: u64) -> usize {
    /// The smallest buffer that is large, and the least budget of the pools.
    const STEP_BYTES: u64 = LARGE_BYTES as u64;
    (room_bytes / parts / STEP_BYTES * STEP_BYTES) as usize
}

/// The least that a limit has to leave beside what the process has whatever it does: a MiB for each part.
const LEAST_ROOM_BYTES: u64 = LARGE_PARTS << 20;

/// The smallest limit that a process may have which has `fixed_bytes` whatever it does: new work is refused from
/// `critical_percent` of it on.
pub(crate) const fn least_limit(fixed_bytes: u64, critical_percent: u64) -> u64 {
    fixed_bytes
        .saturating_add(LEAST_ROOM_BYTES)
        .saturating_mul(100)
        .div_ceil(critical_percent)
        .next_multiple_of(1 << 20)
}

/// The most that the record of the last hour takes, which each server makes.
pub(crate) const BLACK_BOX_BYTES: u64 = 256 * 1024;

/// Bytes that a process has whatever it does: those at its start, what that many threads take, and the black box.
pub(crate) const fn fixed_bytes(floor_bytes: u64, threads: u64) -> u64 {
    let of_threads = threads.saturating_mul(STACK_BYTES + THREAD_PAGES_BYTES);
    floor_bytes.saturating_add(of_threads).saturating_add(BLACK_BOX_BYTES)
}

/// Bytes of the large messages that may be in memory at once within a limit, in a process that has `fixed_bytes`
/// whatever it does.
pub(crate) const fn large_bytes(limit_bytes: u64, fixed_bytes: u64) -> u64 {
    limit_bytes.saturating_sub(fixed_bytes) / LARGE_PARTS
}

/// Bytes that small objects may have at once within a limit: idle connections, sessions, subscriptions, small buffers,
/// and what requests at work hold.
pub(crate) const fn small_bytes(limit_bytes: u64, fixed_bytes: u64) -> u64 {
    let part = large_bytes(limit_bytes, fixed_bytes);
    part - part.div_ceil(ROUNDED_PARTS)
}

/// Bytes that the allocator adds to so many bytes of small objects.
pub(crate) const fn rounded_bytes(small_bytes: u64) -> u64 {
    small_bytes / (ROUNDED_PARTS - 1)
}

/// The most that a large message may take which is let in although others announced as much as there is room for.
pub(crate) const fn short_bytes(large_bytes: usize) -> usize {
    large_bytes / 16
}

/// The part of the bytes for small objects that is reserved for small requests.
pub(crate) const fn reserved_bytes(small_bytes: usize) -> usize {
    small_bytes / RESERVED_PARTS
}

/// The part of the bytes for small objects that may last: sessions, subscriptions and roots are kept for hours, and must
/// not keep calls out.
pub(crate) const fn lasting_bytes(small_bytes: usize) -> usize {
    small_bytes / 2
}

/// What lasts leaves free of the bytes for small objects, however little of them lasts: half of what is reserved for small
/// requests, as one that opens a session is one of these.
pub(crate) const fn left_by_lasting_bytes(small_bytes: usize) -> usize {
    reserved_bytes(small_bytes) / 2
}

/// Bytes that are charged for a message in a small buffer while it is served, beside its buffer.
pub(crate) const fn small_served_bytes(message_bytes: usize) -> usize {
    if message_bytes <= FREE_BYTES { 0 } else { served_bytes(message_bytes) }
}

/// Bytes that the allocator keeps of so many bytes of large messages that are freed: as much as is in use at most.
pub(crate) const fn kept_bytes(large_bytes: u64) -> u64 {
    large_bytes
}

/// The smallest limit under which so many bytes of large messages are in memory at once.
pub(crate) const fn limit_with_large(large_bytes: u64, fixed_bytes: u64) -> u64 {
    large_bytes.saturating_mul(LARGE_PARTS).saturating_add(fixed_bytes)
}

/// The smallest limit under which so many bytes of small objects are in memory at once.
pub(crate) const fn limit_with_small(small_bytes: u64, fixed_bytes: u64) -> u64 {
    let part = small_bytes.saturating_add(small_bytes.div_ceil(ROUNDED_PARTS - 1));
    limit_with_large(part, fixed_bytes)
}

/// Bytes of the buffer that a message of that length is in: of the smallest class that has room, or its own.
pub(crate) const fn buffer_bytes(message_bytes: usize) -> usize {
    const SMALLEST: usize = 1024;
    /// How many times as large as one class the next one is.
    const STEP: usize = 4;
    let mut class = SMALLEST;
    while class < message_bytes {
        class *= STEP;
        if class > LARGE_BYTES {
            return message_bytes;
        }
    }
    class
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
        const FIXED: u64 = 6_000;
        for bytes in [FIXED, 7_000, 100_000, 12_345_678] {
            let limit = limit_with_large(bytes, FIXED);
            assert_eq!(large_bytes(limit, FIXED), bytes);
            assert_eq!(large_bytes(limit - 1, FIXED), bytes - 1);
            let limit = limit_with_small(bytes, FIXED);
            assert!(small_bytes(limit, FIXED) >= bytes, "{bytes} {limit}");
            assert!(small_bytes(limit - 3 * LARGE_PARTS, FIXED) < bytes, "{bytes} {limit}");
        }
    }

    #[test]
    fn all_parts_together_are_within_the_limit() {
        for limit in [0, 5_000, 6_001, 10_000, 12_345_678, 1 << 40] {
            let (large, small) = (large_bytes(limit, 6_000), small_bytes(limit, 6_000));
            let sum = large + kept_bytes(large) + small + rounded_bytes(small);
            assert!(sum <= limit.saturating_sub(6_000), "{sum} of {limit}");
            assert!(sum + 12 >= limit.saturating_sub(6_000), "{sum} of {limit}");
        }
    }

    #[test]
    fn messages_are_in_the_buffers_that_there_are() {
        let classes = mcpool_pools::BufferConfig::default().classes;
        for bytes in (0..20).map(|power| 1_usize << power).flat_map(|bytes| [bytes - 1, bytes, bytes + 1]) {
            let class = classes.iter().map(|class| class.bytes).filter(|class| *class <= LARGE_BYTES);
            let want = class.filter(|class| *class >= bytes).min().unwrap_or(bytes);
            assert_eq!(buffer_bytes(bytes), want, "{bytes}");
        }
        assert_eq!(message_bytes(1_000), 1_024);
        assert_eq!(message_bytes(10_000), 16_384 + 20_000);
        assert_eq!(message_bytes(62_000), 65_536 + 4_096);
        let large = 8 << 20;
        assert!(message_bytes(large) <= large * 12 / 10, "a message that is passed on is held once");
    }

    #[test]
    fn nothing_overflows() {
        assert_eq!(message_bytes(usize::MAX), usize::MAX);
        assert_eq!(limit_with_large(u64::MAX, 1), u64::MAX);
        assert_eq!(limit_with_small(u64::MAX, 1), u64::MAX);
        assert_eq!(fixed_bytes(1, u64::MAX), u64::MAX);
    }
}
