//! A streamed answer on its way: the next segment is written on a thread that may block, and only when it is asked for.
//!
//! Between two segments it holds no thread, so that a peer which reads slowly keeps none from others. It holds a
//! [`Window`] for two segments, one that is sent and one that is written; the last segment takes that over.
//!
//! A peer that takes nothing for [`STALL`] keeps no window from others either: what is written and not sent is dropped, and
//! written again once the peer goes on. **Invariant:** of a segment of which a part was sent, the rest is sent only if that
//! part is the same again. If what it is written from has changed since, the answer ends there as an error, which it can:
//! a part ends where the text may end, and a frame whose length was sent before is filled with spaces behind the answer.

use crate::limits::price;
use crate::server::state::fair_bytes::Share;
use crate::server::state::fair_permits::{AcquirePermit, FairPermit, FairPermits};
use crate::server::state::fair_queue::SessionKey;
use crate::server::state::streamed::{AnswerItem, Mark, SegmentWriter, StreamedAnswer};
use crate::server::state::windows::{SHORT_STEP_BYTES, Window, WindowBudget, WindowWaiter};
use bytes::BytesMut;
use mcpool_pools::{BufferLease, BufferPool, Reservation};
use std::collections::VecDeque;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep, sleep};

/// What a stream needs to be sent.
#[derive(Debug)]
pub(crate) struct StreamMeans {
    pub(crate) threads: FairPermits,
    /// For whom it uses a thread.
    pub(crate) key: SessionKey,
    pub(crate) buffers: BufferPool,
    pub(crate) windows: WindowBudget,
    /// `None` for an answer that was promised: it waits for its memory before its first segment.
    pub(crate) window: Option<Window>,
}

/// The peer takes nothing for so long before its answer gives its window back.
const STALL: Duration = Duration::from_secs(1);

/// Most bytes that are kept of an answer whose peer takes nothing: they tell when it goes on.
pub(crate) const REST_BYTES: usize = 1024;

/// What the transport writes around each segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SegmentFrame {
    /// Bytes that it has before each segment.
    pub(crate) lead_bytes: usize,
    /// Bytes that it has after each segment.
    pub(crate) end_bytes: usize,
    /// Completes a segment that begins with `lead_bytes` bytes of no meaning.
    pub(crate) close: fn(&mut BytesMut),
}

impl SegmentFrame {
    /// Bytes before each segment and after it.
    fn around_bytes(frame: Option<Self>) -> (usize, usize) {
        frame.map_or((0, 0), |frame| (frame.lead_bytes, frame.end_bytes))
    }

    /// Writes the next segment with its frame, `step_bytes` in all.
    fn write(frame: Option<Self>, writer: &mut SegmentWriter, segment: &mut BytesMut, step_bytes: usize) {
        let Some(Self { lead_bytes, end_bytes, close }) = frame else {
            return writer.fill(segment, step_bytes);
        };
        segment.resize(lead_bytes, 0);
        writer.fill(segment, step_bytes - end_bytes);
        close(segment);
    }
}

/// A streamed answer that is being sent.
pub(crate) struct AnswerStream {
    answer: Arc<StreamedAnswer>,
    step: Step,
    threads: FairPermits,
    key: SessionKey,
    buffers: BufferPool,
    windows: WindowBudget,
    step_bytes: usize,
    /// What the answer holds of the room for large messages beside its window.
    held_bytes: usize,
    frame: Option<SegmentFrame>,
    /// `None` until there is some, once the last segment has it, and while its peer takes nothing.
    memory: Option<Reservation>,
    share: Option<Box<Share>>,
    /// Waits for memory.
    waiter: Option<Box<WindowWaiter>>,
    out: SegmentsOut,
    stall: Stall,
}

/// The segments that were given out and not sent, by where they begin.
#[derive(Default)]
struct SegmentsOut {
    /// `None` where one cannot be written again.
    begins: VecDeque<Option<Begin>>,
    /// Where the one begins that is being written.
    written: Option<Mark>,
    /// What was sent of the first one, which is to be written again.
    again: Option<Box<Again>>,
}

/// Where a segment begins that was given out.
struct Begin {
    mark: Mark,
    /// What was sent of it before, where it is the rest of one.
    before: Option<Box<Again>>,
}

/// A segment of which a part was sent, and whose rest was dropped.
#[derive(Debug)]
struct Again {
    /// Bytes of the part, with those of the frame: up to a place where the answer may end, or all.
    sent_bytes: usize,
    /// Bytes of the segment.
    bytes: usize,
    /// Has seen what the part carries of the answer.
    hasher: DefaultHasher,
}

impl Again {
    /// Writes the segment again, and leaves of it what was not sent.
    fn write(&self, frame: Option<SegmentFrame>, writer: &mut SegmentWriter, segment: &mut BytesMut) {
        let (lead_bytes, end_bytes) = SegmentFrame::around_bytes(frame);
        let end = self.bytes - end_bytes;
        let sent = self.sent_bytes.min(end);
        let begin = writer.mark();
        segment.resize(lead_bytes, 0);
        writer.fill(segment, sent);
        if let Some(begin) = begin
            && !self.is_same(segment, lead_bytes, sent)
        {
            writer.break_off_behind(begin, sent - lead_bytes);
            segment.resize(sent, 0);
        }
        writer.fill(segment, end);
        if let Some(frame) = frame {
            // What is broken off ends at any place, and so may what comes behind it in a batch.
            while segment.len() < end && !writer.is_done() {
                writer.break_off_here();
                writer.fill(segment, end);
            }
            // The answer is short where it was broken off: spaces are no part of it.
            segment.resize(end, b' ');
            (frame.close)(segment);
        }
        let (begin, bytes) = (self.sent_bytes.min(segment.len()), segment.len());
        segment.copy_within(begin.., 0);
        segment.truncate(bytes - begin);
    }

    /// Whether the part is the same once more.
    fn is_same(&self, segment: &[u8], begin: usize, end: usize) -> bool {
        let mut hasher = DefaultHasher::new();
        hasher.write(&segment[begin..]);
        segment.len() == end && hasher.finish() == self.hasher.finish()
    }
}

/// Since when the peer takes nothing.
#[derive(Default)]
struct Stall {
    /// When it took something.
    taken: Option<Instant>,
    /// Set forward only when it has passed: peers that go on do not touch it.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    /// Ready once the peer has taken nothing for [`STALL`].
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let taken = *self.taken.get_or_insert_with(Instant::now);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(STALL)));
        while timer.as_mut().poll(cx).is_ready() {
            if taken.elapsed() >= STALL {
                return Poll::Ready(());
            }
            timer.as_mut().reset(taken + STALL);
        }
        Poll::Pending
    }
}

/// A segment, who wrote it, and what was sent of it before.
type Written = (Box<SegmentWriter>, BufferLease, Option<Box<Again>>);

enum Step {
    /// The next segment was not asked for.
    Resting(Box<SegmentWriter>),
    Acquiring(Box<SegmentWriter>, AcquirePermit),
    Writing(JoinHandle<Written>),
    Ended,
}

impl AnswerStream {
    pub(crate) fn new(answer: Arc<StreamedAnswer>, means: StreamMeans) -> Self {
        let StreamMeans { threads, key, buffers, windows, window } = means;
        let writer = SegmentWriter::new(Arc::clone(&answer));
        let held_bytes = answer.reserved_bytes();
        let mut stream = Self {
            answer,
            step: Step::Resting(Box::new(writer)),
            threads,
            key,
            buffers,
            windows,
            step_bytes: SHORT_STEP_BYTES,
            held_bytes,
            frame: None,
            memory: None,
            share: None,
            waiter: None,
            out: SegmentsOut::default(),
            stall: Stall::default(),
        };
        if let Some(window) = window {
            stream.take_window(window);
        }
        stream
    }

    fn take_window(&mut self, window: Window) {
        self.step_bytes = window.step_bytes;
        self.memory = Some(window.memory);
        self.share = Some(Box::new(window.share));
        self.waiter = None;
    }

    /// Has each segment framed. To be called before the first segment.
    pub(crate) fn frame_segments(&mut self, frame: SegmentFrame) {
        self.frame = Some(frame);
    }

    /// What is to be sent, for the answer to a batch. `None` if some of it was sent.
    pub(crate) fn into_items(self) -> Option<Vec<AnswerItem>> {
        let Self { answer, step, .. } = self;
        drop(step);
        Arc::into_inner(answer).map(StreamedAnswer::into_items)
    }

    /// What is sent, to be sent later or again.
    pub(crate) fn into_kept(self) -> Arc<StreamedAnswer> {
        let Self { mut answer, step, .. } = self;
        drop(step);
        if let Some(answer) = Arc::get_mut(&mut answer) {
            answer.begin_to_keep();
        }
        answer
    }

    /// Bytes of the whole answer, unless what it carries changes.
    pub(crate) fn total_bytes(&self) -> usize {
        self.answer.total_bytes()
    }

    /// Bytes that are reserved for segments, and those that the answer holds in any case.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.memory.as_ref().map_or(0, Reservation::bytes) + self.held_bytes
    }

    /// Bytes that may wait to be sent while the next segment is written. None while nothing is to be written before the
    /// peer goes on.
    pub(crate) fn ahead_bytes(&self) -> usize {
        let is_suspended = self.memory.is_none() && self.waiter.is_none();
        if is_suspended { 0 } else { self.step_bytes }
    }

    /// Whether the last segment was given out.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.step, Step::Ended)
    }

    /// The peer took something of what is queued before this, or of it.
    pub(crate) fn note_taken(&mut self) {
        self.stall.taken = Some(Instant::now());
    }

    /// The oldest segment that was given out is sent.
    pub(crate) fn note_sent(&mut self) {
        self.out.begins.pop_front();
    }

    /// To be asked while the peer takes nothing: ready once it has for long, and what the answer holds for it can be given
    /// back with [`AnswerStream::suspend`].
    pub(crate) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_written = matches!(self.step, Step::Resting(_) | Step::Ended);
        let holds_window = self.share.is_some();
        if !holds_window || self.stall.poll(cx).is_pending() {
            return Poll::Pending;
        }
        if is_written && self.out.begins.iter().all(Option::is_some) {
            return Poll::Ready(());
        }
        // Once more, when what is being written may be there.
        self.note_taken();
        let _ = self.stall.poll(cx);
        Poll::Pending
    }

    /// Gives the window back; the segments that were given out are dropped by who has them. `first` is the oldest of them,
    /// and how many bytes of it may be sent all the same. Returns how many of them are to be sent.
    pub(crate) fn suspend(&mut self, first: Option<(&[u8], usize)>) -> usize {
        let mut kept_bytes = 0;
        if let Some(Begin { mark, mut before }) = self.out.begins.pop_front().flatten() {
            if let Some((segment, most)) = first {
                let (again, bytes) = self.keep(mark, before, segment, most);
                (before, kept_bytes) = (Some(again), bytes);
            }
            let writer = SegmentWriter::resume(Arc::clone(&self.answer), mark);
            self.step = Step::Resting(Box::new(writer));
            self.out.again = before;
        }
        self.out.begins.clear();
        self.memory = None;
        self.share = None;
        self.stall = Stall::default();
        kept_bytes
    }

    /// Of a segment that is dropped, `most` bytes at most are sent all the same: how many, and what tells later that they
    /// are the same again. `before` is what was sent of it before `segment`.
    fn keep(
        &self,
        mark: Mark,
        before: Option<Box<Again>>,
        segment: &[u8],
        most: usize,
    ) -> (Box<Again>, usize) {
        let (lead_bytes, end_bytes) = SegmentFrame::around_bytes(self.frame);
        let (begin, passed) = match &before {
            None => (lead_bytes, 0),
            Some(before) => (0, before.sent_bytes - lead_bytes),
        };
        let bytes = segment.len();
        let mut again =
            before.unwrap_or_else(|| Box::new(Again { sent_bytes: 0, bytes, hasher: DefaultHasher::new() }));
        let carried = &segment[begin..bytes - end_bytes];
        let most = most.saturating_sub(begin);
        let kept = if most > carried.len() {
            again.hasher.write(carried);
            bytes
        } else {
            let place = SegmentWriter::place_to_end(&self.answer, (mark, passed), carried, most);
            again.hasher.write(&carried[..place]);
            begin + place
        };
        again.sent_bytes += kept;
        (again, kept)
    }

    /// A buffer for what is kept of a segment that is dropped.
    pub(crate) fn rest(&self, bytes: &[u8]) -> BufferLease {
        let mut rest = self.buffers.acquire(bytes.len());
        rest.extend_from_slice(bytes);
        rest
    }

    /// The next segment; it may be empty.
    ///
    /// # Errors
    /// When the server ends, or the thread that writes does: the connection must end.
    pub(crate) fn poll_segment(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<BufferLease>> {
        loop {
            match &mut self.step {
                Step::Resting(_) if self.memory.is_none() => ready!(self.poll_window(cx))?,
                Step::Resting(_) => self.acquire(),
                Step::Acquiring(_, thread) => {
                    let permit = ready!(Pin::new(thread).poll(cx));
                    let permit = permit.ok_or_else(|| io::Error::other("the server is gone"))?;
                    self.begin_writing(permit);
                }
                Step::Writing(thread) => {
                    let ended = ready!(Pin::new(thread).poll(cx));
                    self.step = Step::Ended;
                    return Poll::Ready(Ok(self.give_out(ended.map_err(io::Error::other)?)));
                }
                Step::Ended => return Poll::Ready(Err(io::Error::other("the answer was sent already"))),
            }
        }
    }

    fn give_out(&mut self, (writer, mut segment, before): Written) -> BufferLease {
        // How an answer was broken off cannot be had again: such a segment stays until it is sent.
        let mark = self.out.written.take().filter(|_| !writer.is_broken_off());
        self.out.begins.push_back(mark.map(|mark| Begin { mark, before }));
        if !writer.is_done() {
            self.step = Step::Resting(writer);
        } else if let Some(memory) = self.memory.take() {
            segment.hold(memory);
        }
        segment
    }

    /// Waits for memory, for an answer that was promised or was suspended: no other waits for what is sent before it.
    ///
    /// One that holds large answers of a batch waits for nothing: those that it would wait for may wait for what it holds.
    fn poll_window(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (windows, key) = (&self.windows, self.key);
        // A segment of which a part was sent has to have the same length again.
        let step_bytes = self.out.again.is_some().then_some(self.step_bytes);
        if self.held_bytes > 0 {
            if let Ok(window) = windows.try_reserve_now(key.principal, step_bytes) {
                self.take_window(window);
            } else {
                // One of the smallest, beside large answers that are charged in any case.
                self.step_bytes = step_bytes.unwrap_or(SHORT_STEP_BYTES);
                self.memory = Some(windows.memory().reserve(price::window_bytes(self.step_bytes)));
            }
            return Poll::Ready(Ok(()));
        }
        let waiter = self.waiter.get_or_insert_with(|| Box::new(windows.wait(key, step_bytes)));
        let window = ready!(Pin::new(waiter).poll(cx));
        self.take_window(window.ok_or_else(|| io::Error::other("the server is gone"))?);
        Poll::Ready(Ok(()))
    }

    fn acquire(&mut self) {
        if let Step::Resting(writer) = std::mem::replace(&mut self.step, Step::Ended) {
            self.step = Step::Acquiring(writer, self.threads.acquire(self.key));
        }
    }

    fn begin_writing(&mut self, permit: FairPermit) {
        let Step::Acquiring(mut writer, _) = std::mem::replace(&mut self.step, Step::Ended) else { return };
        // The window is for it: it is charged neither to the small objects, nor once more to the large messages.
        let mut segment = if self.step_bytes <= price::SMALL_BUFFER_BYTES {
            self.buffers.uncharged(self.step_bytes)
        } else {
            self.buffers.acquire(self.step_bytes)
        };
        segment.hold(self.windows.memory().reserve(0));
        self.out.written = writer.mark();
        let (step_bytes, frame, again) = (self.step_bytes, self.frame, self.out.again.take());
        self.step = Step::Writing(tokio::task::spawn_blocking(move || {
            match &again {
                Some(again) => again.write(frame, &mut writer, &mut segment),
                None => SegmentFrame::write(frame, &mut writer, &mut segment, step_bytes),
            }
            drop(permit);
            (writer, segment, again)
        }));
    }
}

impl fmt::Debug for AnswerStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerStream").field("answer", &self.answer).finish_non_exhaustive()
    }
}
