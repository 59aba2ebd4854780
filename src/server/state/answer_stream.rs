//! A streamed answer on its way: the next segment is written on a thread that may block, and only when it is asked for.
//!
//! Between two segments it holds no thread, so that a peer which reads slowly keeps none from others. It holds a
//! [`Window`] for two segments, one that is sent and one that is written; the last segment takes that over.
//!
//! A peer that takes nothing for [`STALL`] keeps no window from others either: what is written and not sent is dropped, and
//! written again once the peer goes on. **Invariant:** of a segment of which a part was sent, the rest is sent only if the
//! whole is the same again; if what it is written from has changed since, the connection ends.

use crate::limits::price;
use crate::server::state::fair_bytes::Share;
use crate::server::state::fair_permits::{AcquirePermit, FairPermit, FairPermits};
use crate::server::state::fair_queue::SessionKey;
use crate::server::state::streamed::{Mark, SegmentWriter, StreamedAnswer};
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
struct Again {
    sent_bytes: usize,
    bytes: usize,
    digest: u64,
}

impl Again {
    fn of(segment: &[u8], sent_bytes: usize) -> Self {
        Self { sent_bytes, bytes: segment.len(), digest: digest(segment) }
    }

    /// Whether a segment is the same once more.
    fn is(&self, segment: &[u8]) -> bool {
        segment.len() == self.bytes && digest(segment) == self.digest
    }
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
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

enum Step {
    /// The next segment was not asked for.
    Resting(Box<SegmentWriter>),
    Acquiring(Box<SegmentWriter>, AcquirePermit),
    Writing(JoinHandle<(Box<SegmentWriter>, BufferLease)>),
    Ended,
}

impl AnswerStream {
    pub(crate) fn new(answer: Arc<StreamedAnswer>, means: StreamMeans) -> Self {
        let StreamMeans { threads, key, buffers, windows, window } = means;
        let writer = SegmentWriter::new(Arc::clone(&answer));
        let mut stream = Self {
            answer,
            step: Step::Resting(Box::new(writer)),
            threads,
            key,
            buffers,
            windows,
            step_bytes: SHORT_STEP_BYTES,
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

    /// Bytes that are reserved for segments.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.memory.as_ref().map_or(0, Reservation::bytes)
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
    /// and how many bytes of it are sent.
    pub(crate) fn suspend(&mut self, first: Option<(&[u8], usize)>) {
        if let Some(Begin { mark, before }) = self.out.begins.pop_front().flatten() {
            let writer = SegmentWriter::resume(Arc::clone(&self.answer), mark);
            self.step = Step::Resting(Box::new(writer));
            self.out.again = match (before, first) {
                (Some(mut again), Some((_, sent_bytes))) => {
                    again.sent_bytes += sent_bytes;
                    Some(again)
                }
                (None, Some((segment, sent_bytes))) => Some(Box::new(Again::of(segment, sent_bytes))),
                (before, None) => before,
            };
        }
        self.out.begins.clear();
        self.memory = None;
        self.share = None;
        self.stall = Stall::default();
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
    /// When the server ends, or the thread that writes does, or what is sent has changed meanwhile: the connection must
    /// end.
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
                    let (writer, segment) = ended.map_err(io::Error::other)?;
                    return Poll::Ready(self.give_out(writer, segment));
                }
                Step::Ended => return Poll::Ready(Err(io::Error::other("the answer was sent already"))),
            }
        }
    }

    fn give_out(&mut self, writer: Box<SegmentWriter>, mut segment: BufferLease) -> io::Result<BufferLease> {
        let before = self.out.again.take();
        if let Some(again) = &before {
            if !again.is(&segment) {
                return Err(io::Error::other("what is sent has changed while its peer did not read"));
            }
            segment.copy_within(again.sent_bytes.., 0);
            segment.truncate(again.bytes - again.sent_bytes);
        }
        self.out.begins.push_back(self.out.written.take().map(|mark| Begin { mark, before }));
        if !writer.is_done() {
            self.step = Step::Resting(writer);
        } else if let Some(memory) = self.memory.take() {
            segment.hold(memory);
        }
        Ok(segment)
    }

    /// Waits for memory, for an answer that was promised or was suspended: no other waits for what is sent before it.
    fn poll_window(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (windows, key) = (&self.windows, self.key);
        // A segment of which a part was sent has to have the same length again.
        let step_bytes = self.out.again.is_some().then_some(self.step_bytes);
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
        let (step_bytes, frame) = (self.step_bytes, self.frame);
        self.step = Step::Writing(tokio::task::spawn_blocking(move || {
            SegmentFrame::write(frame, &mut writer, &mut segment, step_bytes);
            drop(permit);
            (writer, segment)
        }));
    }
}

impl fmt::Debug for AnswerStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerStream").field("answer", &self.answer).finish_non_exhaustive()
    }
}
