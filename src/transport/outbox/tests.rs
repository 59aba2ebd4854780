//! Looks at the pace of a peer, and answers of peers that stall.

use super::*;
use crate::server::state::answer_stream::StreamMeans;
use crate::server::state::fair_permits::FairPermits;
use crate::server::state::streamed::{Ending, Skeleton, StreamedAnswer, StreamedItem};
use crate::server::tests::fair_answers::{Gate, gated_answer, windows_within};
use crate::server::{
    BlockSource, Cursor, Filled, HeldAnswers, SegmentFrame, SessionKey, Shortage, Undelivered,
};
use crate::wire::{BufferRoom, CountingRoom, escape_piece};
use mcpool_pools::MemoryBudget;
use proptest::prelude::*;
use serde_json::Value;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::time::Duration;
use tokio::io::{AsyncRead, DuplexStream, ReadBuf, duplex};
use tokio::time::{Instant, advance};

/// Lets the thread end that waits at a gate, so that the test can.
struct OpensAtItsEnd(Arc<Gate>);

impl Drop for OpensAtItsEnd {
    fn drop(&mut self) {
        self.0.open(usize::MAX >> 1);
    }
}

proptest! {
    /// Looks at any pace, against sums over the last intervals.
    #[test]
    fn who_takes_too_little_for_a_whole_time_out_is_found(
        intervals in prop::collection::vec((0_usize..40, prop::bool::weighted(0.1)), 1..60),
        least_bytes in 1_usize..120,
    ) {
        let mut pace = Pace::default();
        for (at, (bytes, has_caught_up)) in intervals.iter().enumerate() {
            pace.note_taken(*bytes);
            pace.caught_up |= u8::from(*has_caught_up);
            let last = &intervals[(at + 1).saturating_sub(usize::from(Outbox::LOOKS))..=at];
            let taken: usize = last.iter().map(|(bytes, _)| bytes).sum();
            let is_slow = last.len() == usize::from(Outbox::LOOKS)
                && taken < least_bytes
                && !last.iter().any(|(_, has_caught_up)| *has_caught_up);
            prop_assert_eq!(pace.look(least_bytes), !is_slow);
        }
    }
}

/// An answer waits for its own next segment: its peer took all that there was, and must not lose it. One that left
/// a byte may.
#[tokio::test(start_paused = true)]
async fn an_answer_that_waits_for_its_own_next_segment_is_not_ended() {
    for (segments, room_bytes, ends) in
        [(1, 1 << 20, false), (3, 1 << 20, false), (1, 100, true), (3, 20_000, true)]
    {
        let (memory, buffers) = (MemoryBudget::new(64 << 10), BufferPool::default());
        let windows = windows_within(&memory);
        let (gate, table) = (Arc::new(Gate::default()), Arc::new(Undelivered::default()));
        let _opens = OpensAtItsEnd(Arc::clone(&gate));
        gate.open(segments);
        let mut outbox = Outbox::new(1 << 20);
        outbox.push_stream(Box::new(gated_answer(&windows, &buffers, 1, &gate, 1 << 20)));
        let (_peer, mut stream) = duplex(room_bytes);
        // As far as the gate and the peer allow. A thread waits at the gate meanwhile, so the clock stands still.
        let mut looks = 0..10_000;
        while gate.left() > 0 || (outbox.queued_bytes() == 0) == ends {
            assert!(looks.next().is_some(), "{segments} {room_bytes}: {outbox:?}");
            assert!(outbox.poll_flush(&mut stream, &mut Context::from_waker(Waker::noop())).is_pending());
            tokio::task::yield_now().await;
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(memory.used_bytes() > 0, "it holds its window");
        let (mut entry, owner) = (table.open(), SessionKey { principal: 1, session: 1 });
        let (bytes, has_taken) = (outbox.large_bytes(), outbox.take_progress());
        assert!(entry.update(HeldAnswers { owner, bytes, has_taken }, Waker::noop()));
        advance(Duration::from_mins(1)).await;
        let waiting = SessionKey { principal: 2, session: 1 };
        let shortage = Shortage { waiting, limit_bytes: 32 << 10, missing_bytes: 1 };
        assert_eq!(table.end_one(&shortage, Instant::now()), ends, "{segments} {room_bytes}");
        let (bytes, has_taken) = (outbox.large_bytes(), outbox.take_progress());
        assert_eq!(entry.update(HeldAnswers { owner, bytes, has_taken }, Waker::noop()), !ends);
    }
}

/// Text with escapes, of which each place is another.
#[derive(Debug)]
struct Numbered {
    text: Vec<u8>,
    /// What it has become.
    changed: AtomicBool,
}

impl BlockSource for Numbered {
    fn fill(&self, cursor: &mut Cursor, room: &mut BufferRoom<'_>) -> Result<Filled, String> {
        let mut text = self.text.clone();
        if self.changed.load(Ordering::SeqCst) {
            for byte in &mut text {
                *byte = byte.wrapping_add(1).clamp(b'a', b'z');
            }
        }
        let rest = &text[cursor.at as usize..];
        let taken = escape_piece(rest, true, room);
        cursor.at += taken as u64;
        if taken < rest.len() {
            return Ok(Filled::Full);
        }
        // As a file does whose checksum is another at its end.
        if self.changed.load(Ordering::SeqCst) { Err("changed".to_owned()) } else { Ok(Filled::End) }
    }
}

/// Segments with their lengths before them, as chunks have.
const FRAME: SegmentFrame = SegmentFrame { lead_bytes: 8, end_bytes: 1, close: close_frame };

fn close_frame(segment: &mut BytesMut) {
    let length = format!("{:08}", segment.len() + 1);
    segment[..8].copy_from_slice(length.as_bytes());
    segment.extend_from_slice(b"\n");
}

/// The contents of segments with their lengths.
fn unframed(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some((length, _)) = bytes.split_at_checked(8) {
        let length: usize = std::str::from_utf8(length).expect("digits").parse().expect("a length");
        assert_eq!(bytes[length - 1], b'\n');
        whole.extend_from_slice(&bytes[8..length - 1]);
        bytes = &bytes[length..];
    }
    whole
}

/// An answer that carries a text of so many lines twice, and all of it as it should come.
fn numbered(lines: usize) -> (Arc<StreamedAnswer>, Arc<Numbered>, Vec<u8>) {
    let mut text = String::new();
    for line in 0..lines {
        writeln!(text, "line {line} \"of many\"").expect("a string takes all");
    }
    let mut counted = CountingRoom::default();
    escape_piece(text.as_bytes(), true, &mut counted);
    let buffers = BufferPool::default();
    let mut skeleton = buffers.acquire(30);
    skeleton.extend_from_slice(br#"{"c":[{"t":""}],"b":""}"#);
    let source = Arc::new(Numbered { text: text.clone().into_bytes(), changed: AtomicBool::new(false) });
    let json = serde_json::to_string(&text).expect("JSON");
    let whole = format!(r#"{{"c":[{{"t":{json}}}],"b":{json}}}"#).into_bytes();
    let answer = StreamedItem {
        skeleton: Skeleton::Leased(skeleton),
        cuts: (12, Some(21)),
        block_end: 14,
        ending: Ending::Tool,
        tail_at: 22,
        source: Box::new(Shared(Arc::clone(&source))),
        block_bytes: counted.bytes,
    };
    (Arc::new(answer.into()), source, whole)
}

#[derive(Debug)]
struct Shared(Arc<Numbered>);

impl BlockSource for Shared {
    fn fill(&self, cursor: &mut Cursor, room: &mut BufferRoom<'_>) -> Result<Filled, String> {
        self.0.fill(cursor, room)
    }
}

/// A peer of one streamed answer.
struct Peered {
    outbox: Outbox,
    stream: DuplexStream,
    peer: DuplexStream,
    memory: MemoryBudget,
    source: Arc<Numbered>,
    /// All that the peer is to read.
    whole: Vec<u8>,
    read: Vec<u8>,
}

impl Peered {
    fn new(lines: usize, room_bytes: usize, is_framed: bool) -> Self {
        let (memory, buffers) = (MemoryBudget::new(4 << 20), BufferPool::default());
        let (answer, source, whole) = numbered(lines);
        let means = StreamMeans {
            threads: FairPermits::new(4),
            key: SessionKey { principal: 1, session: 1 },
            buffers: buffers.clone(),
            windows: windows_within(&memory),
            window: None,
        };
        let mut answer = AnswerStream::new(answer, means);
        if is_framed {
            answer.frame_segments(FRAME);
        }
        let mut outbox = Outbox::new(1 << 20);
        outbox.append(&buffers, 8, |out| out.extend_from_slice(b"<before>"));
        outbox.push_stream(Box::new(answer));
        outbox.append(&buffers, 8, |out| out.extend_from_slice(b"<behind>"));
        let (peer, stream) = duplex(room_bytes);
        Self { outbox, stream, peer, memory, source, whole, read: Vec::new() }
    }

    async fn flush(&mut self) -> Poll<io::Result<()>> {
        let polled = self.outbox.poll_flush(&mut self.stream, &mut Context::from_waker(Waker::noop()));
        // For the threads that write.
        tokio::task::yield_now().await;
        polled
    }

    /// Reads up to so many bytes of what has come.
    fn read(&mut self, bytes: usize) -> usize {
        let mut piece = vec![0; bytes.max(1)];
        let mut buffer = ReadBuf::new(&mut piece);
        let polled = Pin::new(&mut self.peer).poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer);
        assert!(!matches!(polled, Poll::Ready(Err(_))));
        self.read.extend_from_slice(buffer.filled());
        buffer.filled().len()
    }

    /// The peer takes nothing until the answer holds no memory for it, but for what is in its own buffer.
    async fn stall(&mut self) {
        // As far as the peer has room.
        for _ in 0..50 {
            let _ = self.flush().await;
            std::thread::sleep(Duration::from_micros(100));
        }
        let mut looks = 0..10_000;
        while self.memory.used_bytes() > 0 && !self.outbox.is_empty() {
            assert!(looks.next().is_some(), "{:?}", self.outbox);
            let _ = self.flush().await;
            advance(Duration::from_millis(400)).await;
            std::thread::sleep(Duration::from_micros(100));
        }
        assert!(self.outbox.large_bytes() == 0, "{:?}", self.outbox);
    }

    /// Stalls and reads, and again.
    async fn go_on(&mut self, steps: Vec<(bool, usize)>) {
        for (stalls, bytes) in steps {
            if stalls {
                self.stall().await;
            }
            let mut left = bytes;
            while left > 0 && !self.outbox.is_empty() {
                let _ = self.flush().await;
                match self.read(left) {
                    0 => break,
                    read => left -= read,
                }
            }
        }
    }

    /// Reads to the end, and returns the answer.
    async fn finish(mut self, is_framed: bool) -> Vec<u8> {
        let mut looks = 0..100_000;
        while !self.outbox.is_empty() {
            assert!(looks.next().is_some(), "{:?}", self.outbox);
            if let Poll::Ready(flushed) = self.flush().await {
                flushed.expect("the connection goes on");
            }
            if self.read(1 << 16) == 0 {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        while self.read(1 << 16) > 0 {}
        let read = self.read.strip_prefix(b"<before>").and_then(|read| read.strip_suffix(b"<behind>"));
        let read = read.expect("what is around the answer");
        let whole = if is_framed { unframed(read) } else { read.to_vec() };
        assert_eq!((self.outbox.queued_bytes(), self.memory.used_bytes()), (0, 0));
        whole
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A peer reads some and stalls, and again: while it stalls its answer holds nothing, and it gets each byte once.
    #[test]
    fn a_peer_that_stalls_holds_no_window_and_loses_nothing(
        lines in 1_usize..8_000,
        room_bytes in prop_oneof![1_usize..3_000, 3_000_usize..200_000],
        steps in prop::collection::vec((any::<bool>(), 1_usize..100_000), 0..6),
        is_framed in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let mut peered = Peered::new(lines, room_bytes.max(16), is_framed);
            peered.go_on(steps).await;
            let whole = peered.whole.clone();
            let read = peered.finish(is_framed).await;
            assert!(read == whole, "{} of {} bytes", read.len(), whole.len());
        });
    }

    /// What is sent changes while its peer stalls, wherever that is: the answer is valid, and whole or an error.
    #[test]
    fn an_answer_that_changes_while_its_peer_stalls_is_valid_and_not_whole(
        lines in 1_usize..8_000,
        room_bytes in prop_oneof![16_usize..3_000, 3_000_usize..200_000],
        steps in prop::collection::vec((any::<bool>(), 1_usize..100_000), 0..6),
        is_framed in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let mut peered = Peered::new(lines, room_bytes, is_framed);
            peered.go_on(steps).await;
            peered.stall().await;
            peered.source.changed.store(true, Ordering::SeqCst);
            let whole: Value = serde_json::from_slice(&peered.whole).expect("JSON");
            let read = peered.finish(is_framed).await;
            let read: Value = serde_json::from_slice(&read).expect("valid JSON");
            assert!(read == whole || read["isError"] == true, "neither whole nor an error");
        });
    }
}

/// The text that was sent before the change is there, and nothing of what came after it.
#[tokio::test(start_paused = true)]
async fn an_answer_that_changed_while_its_peer_stalled_ends_where_it_was() {
    for is_framed in [true, false] {
        let mut peered = Peered::new(8_000, 40_000, is_framed);
        let mut looks = 0..10_000;
        while peered.read(10_000) == 0 {
            assert!(looks.next().is_some(), "{:?}", peered.outbox);
            let _ = peered.flush().await;
            std::thread::sleep(Duration::from_micros(100));
        }
        peered.stall().await;
        peered.source.changed.store(true, Ordering::SeqCst);
        let text = String::from_utf8(peered.source.text.clone()).expect("text");
        let read: Value = serde_json::from_slice(&peered.finish(is_framed).await).expect("valid JSON");
        let sent = read["c"][0]["t"].as_str().expect("text");
        assert!(sent.len() > 10_000 && text.starts_with(sent), "{} bytes", sent.len());
        assert!(
            read["isError"] == true
                && read["c"][1]["text"].as_str().is_some_and(|why| why.contains("changed"))
        );
    }
}
