//! What a large message costs, as it is charged to the budget of large messages and as `mcpool plan` adds it up.
//!
//! The code that reserves memory and the plan call the same functions, so that the two cannot differ. Invariant: each
//! function gives the most bytes that are held at once.

/// What is made of a large message while it is served, in times its length: its strings in one arena, whose chunks double,
/// so that the last one may be half empty.
const SERVED_TIMES: usize = 2;
/// The buffer of a message on its way in, and the one that it outgrew, in times its length.
const RECEIVED_TIMES: usize = 2;
/// The large messages may have one part in so many of what the memory limit leaves beside the process itself. Another
/// part is for what the allocator keeps for a second, which is about as much as is in use; the rest is for all that is
/// small.
const LARGE_PARTS: u64 = 3;

/// Bytes that are charged for a large message while it is served, beside the buffer that it is in.
pub(crate) const fn served_bytes(message_bytes: usize) -> usize {
    message_bytes.saturating_mul(SERVED_TIMES)
}

/// Bytes that a large message takes from its first byte until it is served.
pub(crate) const fn message_bytes(message_bytes: usize) -> usize {
    message_bytes.saturating_mul(RECEIVED_TIMES).saturating_add(served_bytes(message_bytes))
}

/// Bytes of the large messages that may be in memory at once within a limit, in a process that has `floor_bytes` at
/// its start.
pub(crate) const fn large_bytes(limit_bytes: u64, floor_bytes: u64) -> u64 {
    limit_bytes.saturating_sub(floor_bytes) / LARGE_PARTS
}

/// Bytes around the text of an answer: the envelope with the id of the request, the names of members.
pub(crate) const AROUND_BYTES: usize = 512;

/// Bytes of an answer that carries so many bytes of text, as it is written in JSON, so many times.
pub(crate) const fn answer_bytes(text_bytes: usize, copies: usize) -> usize {
    text_bytes.saturating_mul(copies).saturating_add(AROUND_BYTES)
}
