//! The bounded queue of answers to one peer, written in batches.
//!
//! Small answers are gathered in one buffer, large ones stay where they are; one vectored write takes all
//! that is ready. A streamed answer is written while it is sent: its next segment is asked for when few bytes wait
//! before it. One whose peer takes nothing for long gives back what it holds for it ([`AnswerStream::suspend`]), but for the
//! few bytes by which it is seen that the peer goes on. Invariants: `queued_bytes` is the sum of the bytes that `ready` holds beyond `written`, and `streams` the
//! number of streamed answers in it, each behind those of its segments that are not sent.
//!
//! What bounds a peer that reads nothing:
//!
//! | bound | of what |
//! | --- | --- |
//! | [`Outbox::is_full`] | bytes queued for a socket: nothing more is read or served (`max_outbox_bytes`) |
//! | [`AnswerStream::ahead_bytes`] | bytes of a streamed answer; the rest is not written yet |
//! | [`Outbox::may_send_ahead`] | bytes of a stream in the outbox; the rest stays in one of the two stores below |
//! | [`Outbox::keeps_pace`] | time that a peer reads nothing, before its connection ends (`write_timeout_ms`) |
//! | `server/state/event_store.rs` | streams that are kept for resumption (`max_stream_bytes`, `event_store_bytes`) |
//! | `server/state/outgoing.rs` | messages that one handler sends before its answer (`max_stream_bytes`) |

use crate::server::{AnswerStream, REST_BYTES};
use bytes::BytesMut;
use mcpool_pools::{BufferLease, BufferPool};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// Answers up to this size are copied to the end of the previous buffer: 4 KiB copy in less time than a segment
/// of a vectored write costs.
const GATHER_BYTES: usize = 4 * 1024;
/// Largest buffer that answers are gathered in.
const GATHERED_BYTES: usize = 64 * 1024;
/// Segments in one write; more are left for the next.
const SEGMENTS: usize = 16;
/// Bytes of a stream that may wait here. The messages after them stay where the stream is stored.
const SENT_AHEAD_BYTES: usize = 64 * 1024;

/// Entries whose memory an idle connection may keep.
const KEPT_ENTRIES: usize = 4;

/// What waits to be written.
#[derive(Debug)]
enum Queued {
    Bytes(BufferLease),
    /// A part of the next streamed answer.
    Segment(BufferLease),
    /// The rest of an answer, before which its segments are inserted; it stays until they are sent.
    Stream(Box<AnswerStream>),
}

impl Queued {
    fn bytes(&self) -> usize {
        match self {
            Self::Bytes(buffer) | Self::Segment(buffer) => buffer.len(),
            Self::Stream(_) => 0,
        }
    }
}

/// How fast the peer takes what is queued, by looks at even intervals.
#[derive(Debug, Default)]
struct Pace {
    /// Bytes that the peer took since the last look, and before that between the looks before it.
    taken_bytes: [u32; Outbox::LOOKS as usize],
    /// The same intervals, a bit each: the peer took all that there was.
    caught_up: u8,
    /// Looks since it began, no more than are kept.
    looks: u8,
}

impl Pace {
    fn note_taken(&mut self, bytes: usize) {
        self.taken_bytes[0] = self.taken_bytes[0].saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// Whether the peer took `least_bytes` in the last intervals, or all that there was, or if these have not passed yet.
    fn look(&mut self, least_bytes: usize) -> bool {
        self.looks = (self.looks + 1).min(Outbox::LOOKS);
        let taken_bytes: usize = self.taken_bytes.iter().map(|bytes| *bytes as usize).sum();
        let keeps_pace = self.looks < Outbox::LOOKS || self.caught_up != 0 || taken_bytes >= least_bytes;
        self.taken_bytes.rotate_right(1);
        self.taken_bytes[0] = 0;
        self.caught_up = self.caught_up << 1 & ((1 << Outbox::LOOKS) - 1);
        keeps_pace
    }
}

/// The messages that wait to be written to one peer.
#[derive(Debug)]
pub(crate) struct Outbox {
    ready: VecDeque<Queued>,
    /// Bytes of the first buffer that are written already.
    written: usize,
    queued_bytes: usize,
    /// The limit on `queued_bytes`. In four bytes, as a connection that waits holds an outbox.
    max_bytes: u32,
    /// How many answers in `ready` are streamed.
    streams: u32,
    /// Whether the writer may still hold bytes that were written.
    is_unflushed: bool,
    pace: Pace,
    /// The peer took something since [`Outbox::take_progress`].
    has_taken: bool,
}

impl Outbox {
    /// How often a peer is looked at in the time that it has to read: it ends a quarter later at most, from when it took
    /// something last.
    pub(crate) const LOOKS: u8 = 4;

    /// An empty outbox that is full at `max_bytes`.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            ready: VecDeque::new(),
            written: 0,
            queued_bytes: 0,
            max_bytes: u32::try_from(max_bytes).unwrap_or(u32::MAX),
            streams: 0,
            is_unflushed: false,
            pace: Pace::default(),
            has_taken: false,
        }
    }

    /// Lets `write` append to what is queued; `bytes` is the most that it will write.
    pub(crate) fn append(&mut self, buffers: &BufferPool, bytes: usize, write: impl FnOnce(&mut BytesMut)) {
        let has_room = self.last().is_some_and(|last| last.len() + bytes <= GATHERED_BYTES);
        if !has_room {
            self.ready.push_back(Queued::Bytes(buffers.acquire(bytes)));
        }
        let Some(Queued::Bytes(last)) = self.ready.back_mut() else { return };
        last.reserve(bytes);
        let before = last.len();
        write(last);
        self.queued_bytes += last.len() - before;
    }

    /// Queues bytes as they are: small ones are copied to the end of what is queued, large ones without a copy.
    pub(crate) fn push(&mut self, bytes: BufferLease) {
        if let Some(Queued::Bytes(last)) = self.ready.back_mut()
            && bytes.len() <= GATHER_BYTES
            && last.len() + bytes.len() <= GATHERED_BYTES
        {
            self.queued_bytes += bytes.len();
            last.reserve(bytes.len());
            last.extend_from_slice(&bytes);
            return;
        }
        self.queued_bytes += bytes.len();
        self.ready.push_back(Queued::Bytes(bytes));
    }

    /// Queues an answer that is written while it is sent.
    pub(crate) fn push_stream(&mut self, answer: Box<AnswerStream>) {
        self.streams += 1;
        self.ready.push_back(Queued::Stream(answer));
    }

    /// The last buffer, if nothing streamed comes after it.
    fn last(&self) -> Option<&BufferLease> {
        match self.ready.back()? {
            Queued::Bytes(last) => Some(last),
            Queued::Segment(_) | Queued::Stream(_) => None,
        }
    }

    /// Drops all that is queued.
    pub(crate) fn clear(&mut self) {
        self.ready.clear();
        self.written = 0;
        self.queued_bytes = 0;
        self.streams = 0;
        self.is_unflushed = false;
        self.has_taken = false;
        self.begin_pace();
        if self.ready.capacity() > KEPT_ENTRIES {
            self.ready = VecDeque::new();
        }
    }

    /// Queues a message and its newline.
    pub(crate) fn push_line(&mut self, mut message: BufferLease) {
        self.queued_bytes += message.len() + 1;
        if let Some(Queued::Bytes(last)) = self.ready.back_mut()
            && message.len() <= GATHER_BYTES
            && last.len() + message.len() < GATHERED_BYTES
        {
            last.reserve(message.len() + 1);
            last.extend_from_slice(&message);
            last.extend_from_slice(b"\n");
            return;
        }
        message.reserve(1);
        message.extend_from_slice(b"\n");
        self.ready.push_back(Queued::Bytes(message));
    }

    /// Whether the peer must read first: until then, nothing more is read from it or served for it. What is being
    /// served may still add its answer. A streamed answer counts as more than may wait.
    pub(crate) fn is_full(&self) -> bool {
        self.streams > 0 || self.queued_bytes >= self.max_bytes as usize
    }

    /// Whether a stream may queue its next message before the peer reads.
    pub(crate) fn may_send_ahead(&self) -> bool {
        self.streams == 0 && self.queued_bytes <= SENT_AHEAD_BYTES
    }

    /// Bytes that are queued.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Bytes of what the peer has still to take that the budget of large messages is charged with. None where it took
    /// all that there is of an answer that is written meanwhile.
    pub(crate) fn large_bytes(&self) -> usize {
        let awaits_segment = matches!(self.ready.front(), Some(Queued::Stream(_)));
        if awaits_segment || (self.streams == 0 && self.queued_bytes <= GATHER_BYTES) {
            return 0;
        }
        let bytes = |queued: &Queued| match queued {
            Queued::Bytes(buffer) | Queued::Segment(buffer) => buffer.charged_bytes(),
            Queued::Stream(answer) => answer.reserved_bytes(),
        };
        self.ready.iter().map(bytes).sum()
    }

    /// Whether the peer took something since this was asked last.
    pub(crate) fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.has_taken)
    }

    /// Whether all is written, and the writer holds nothing back either.
    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty() && !self.is_unflushed
    }

    /// Starts to count the bytes that the peer takes.
    pub(crate) fn begin_pace(&mut self) {
        self.pace = Pace::default();
    }

    /// Looks at the pace of the peer, [`Outbox::LOOKS`] times in the time that it has: `false` if it took neither
    /// `least_bytes` in that time, nor all that there was.
    pub(crate) fn keeps_pace(&mut self, least_bytes: usize) -> bool {
        self.pace.look(least_bytes)
    }

    /// Writes until all is written or the peer takes no more.
    pub(crate) fn poll_flush<W: AsyncWrite + Unpin>(
        &mut self,
        writer: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.ready.is_empty() {
            if self.streams > 0 {
                self.poll_segments(cx)?;
                if self.ready.is_empty() {
                    break;
                }
            }
            let mut segments = [IoSlice::new(&[]); SEGMENTS];
            let count = self.fill(&mut segments);
            if count == 0 {
                return self.poll_flush_before_stream(writer, cx);
            }
            let polled = Pin::new(&mut *writer).poll_write_vectored(cx, &segments[..count]);
            let Poll::Ready(taken) = polled else {
                if self.streams > 0 {
                    self.note_stalled(cx);
                }
                return Poll::Pending;
            };
            let taken = taken?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(taken);
            self.is_unflushed = true;
        }
        if self.ready.capacity() > KEPT_ENTRIES {
            self.ready = VecDeque::new();
        }
        ready!(Pin::new(writer).poll_flush(cx))?;
        self.is_unflushed = false;
        self.pace.caught_up |= 1;
        Poll::Ready(Ok(()))
    }

    /// Borrows what can be written at once. Returns how many slices that are.
    fn fill<'s>(&'s self, segments: &mut [IoSlice<'s>; SEGMENTS]) -> usize {
        let mut count = 0;
        for queued in &self.ready {
            let buffer = match queued {
                Queued::Bytes(buffer) | Queued::Segment(buffer) => buffer,
                Queued::Stream(answer) if answer.has_ended() => continue,
                Queued::Stream(_) => break,
            };
            let Some(segment) = segments.get_mut(count) else { break };
            let skip = if count == 0 { self.written } else { 0 };
            *segment = IoSlice::new(&buffer[skip..]);
            count += 1;
        }
        count
    }

    /// The peer takes nothing: for long, and the streamed answer that comes first gives back what it holds.
    #[cold]
    fn note_stalled(&mut self, cx: &mut Context<'_>) {
        let at = self.ready.iter().position(|queued| matches!(queued, Queued::Stream(_)));
        let Some((at, Queued::Stream(answer))) = at.and_then(|at| Some((at, self.ready.get_mut(at)?))) else {
            return;
        };
        if answer.poll_stalled(cx).is_pending() {
            return;
        }
        let first = self.ready.iter().position(|queued| matches!(queued, Queued::Segment(_)));
        let first = first.filter(|first| *first < at);
        let sent = if first == Some(0) { self.written } else { 0 };
        let dropped: Vec<Queued> =
            first.map(|first| self.ready.drain(first..at).collect()).unwrap_or_default();
        let at = at - dropped.len();
        let Some(Queued::Stream(answer)) = self.ready.get_mut(at) else { return };
        let Some(Queued::Segment(segment)) = dropped.first() else {
            answer.suspend(None);
            return;
        };
        let most = segment.len().min(sent + REST_BYTES);
        let kept = answer.suspend(Some((&**segment, most)));
        let rest = answer.rest(&segment[sent..kept]);
        if first == Some(0) {
            self.written = 0;
        }
        let dropped_bytes: usize = dropped.iter().map(Queued::bytes).sum();
        self.queued_bytes -= dropped_bytes - kept;
        self.ready.insert(at, Queued::Bytes(rest));
    }

    /// Takes segments of the first streamed answer while few bytes wait before it.
    fn poll_segments(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let (mut at, mut waiting_bytes) = (0, 0);
        loop {
            let answer = match self.ready.get_mut(at) {
                None => return Ok(()),
                Some(Queued::Bytes(buffer) | Queued::Segment(buffer)) => {
                    waiting_bytes += buffer.len() - if at == 0 { self.written } else { 0 };
                    at += 1;
                    continue;
                }
                Some(Queued::Stream(answer)) if answer.has_ended() => {
                    at += 1;
                    continue;
                }
                Some(Queued::Stream(answer)) => answer,
            };
            if waiting_bytes > answer.ahead_bytes().min(self.max_bytes as usize) {
                return Ok(());
            }
            let Poll::Ready(segment) = answer.poll_segment(cx) else { return Ok(()) };
            let segment = segment?;
            if segment.is_empty() {
                // All of it was sent before it was dropped.
                answer.note_sent();
                self.drop_sent_streams();
                continue;
            }
            self.queued_bytes += segment.len();
            self.ready.insert(at, Queued::Segment(segment));
        }
    }

    /// All that there is of a streamed answer is written, and its next segment is not there yet.
    fn poll_flush_before_stream<W: AsyncWrite + Unpin>(
        &mut self,
        writer: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_unflushed {
            ready!(Pin::new(writer).poll_flush(cx))?;
            self.is_unflushed = false;
        }
        self.pace.caught_up |= 1;
        Poll::Pending
    }

    fn advance(&mut self, mut taken: usize) {
        self.queued_bytes -= taken;
        self.has_taken = true;
        self.pace.note_taken(taken);
        if let Some(answer) = self.first_stream() {
            answer.note_taken();
        }
        self.drop_sent_streams();
        while let Some(Queued::Bytes(first) | Queued::Segment(first)) = self.ready.front() {
            let left = first.len() - self.written;
            if taken < left {
                self.written += taken;
                return;
            }
            taken -= left;
            self.written = 0;
            let sent = self.ready.pop_front();
            if matches!(sent, Some(Queued::Segment(_)))
                && let Some(answer) = self.first_stream()
            {
                answer.note_sent();
            }
            self.drop_sent_streams();
        }
    }

    /// Drops the streamed answers that come first and whose last segments are sent.
    fn drop_sent_streams(&mut self) {
        while matches!(self.ready.front(), Some(Queued::Stream(answer)) if answer.has_ended()) {
            self.streams -= 1;
            self.ready.pop_front();
        }
    }

    /// The streamed answer that is sent, or is sent next.
    fn first_stream(&mut self) -> Option<&mut AnswerStream> {
        if self.streams == 0 {
            return None;
        }
        self.ready.iter_mut().find_map(|queued| match queued {
            Queued::Stream(answer) => Some(&mut **answer),
            Queued::Bytes(_) | Queued::Segment(_) => None,
        })
    }
}

#[cfg(test)]
mod tests;
