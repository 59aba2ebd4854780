//! A streamed answer on its way: the next segment is written on a thread that may block, and only when it is asked for.
//!
//! Between two segments it holds no thread, so that a peer which reads slowly keeps none from others. It holds what was
//! reserved for two segments, one that is sent and one that is written; the last segment takes that over.

use crate::limits::price;
use crate::server::state::fair_permits::{AcquirePermit, FairPermit, FairPermits, SessionKey};
use crate::server::state::streamed::{SegmentWriter, StreamedAnswer};
use bytes::BytesMut;
use mcpool_pools::{BudgetSpent, BufferLease, BufferPool, MemoryBudget, Reservation};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::task::JoinHandle;

/// Bytes of a segment where memory is short.
const SHORT_STEP_BYTES: usize = 16 * 1024;

/// What a stream needs to be sent.
#[derive(Debug)]
pub(crate) struct StreamMeans {
    pub(crate) threads: FairPermits,
    /// For whom it uses a thread.
    pub(crate) key: SessionKey,
    pub(crate) buffers: BufferPool,
    pub(crate) window: Window,
}

/// The memory of a stream: two segments.
#[derive(Debug)]
pub(crate) struct Window {
    step_bytes: usize,
    memory: Reservation,
}

impl Window {
    /// Reserves two segments, smaller ones where a quarter of the budget is spent.
    ///
    /// # Errors
    /// When there is no room for those either.
    pub(crate) fn reserve(budget: &MemoryBudget) -> Result<Self, BudgetSpent> {
        let reserve = |step_bytes| {
            budget.try_reserve(price::window_bytes(step_bytes)).map(|memory| Self { step_bytes, memory })
        };
        if budget.used_bytes() < budget.limit_bytes() / 4
            && let Ok(window) = reserve(price::SEGMENT_BYTES)
        {
            return Ok(window);
        }
        reserve(SHORT_STEP_BYTES)
    }

    /// What there is no room for while a call that comes first collects it.
    pub(crate) fn refuse(budget: &MemoryBudget) -> BudgetSpent {
        let requested_bytes = price::window_bytes(SHORT_STEP_BYTES);
        let (used_bytes, limit_bytes) = (budget.used_bytes(), budget.limit_bytes());
        BudgetSpent { requested_bytes, used_bytes, limit_bytes }
    }

    /// Reserves two segments whether or not there is room, for an answer that was promised.
    pub(crate) fn insist(budget: &MemoryBudget) -> Self {
        Self::reserve(budget).unwrap_or_else(|_| Self {
            step_bytes: SHORT_STEP_BYTES,
            memory: budget.reserve(price::window_bytes(SHORT_STEP_BYTES)),
        })
    }
}

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
    step_bytes: usize,
    frame: Option<SegmentFrame>,
    memory: Option<Reservation>,
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
        let StreamMeans { threads, key, buffers, window: Window { step_bytes, memory } } = means;
        let writer = SegmentWriter::new(Arc::clone(&answer));
        Self {
            answer,
            step: Step::Resting(Box::new(writer)),
            threads,
            key,
            buffers,
            step_bytes,
            frame: None,
            memory: Some(memory),
        }
    }

    /// Has each segment framed. To be called before the first segment.
    pub(crate) fn frame_segments(&mut self, frame: SegmentFrame) {
        self.frame = Some(frame);
    }

    /// What is sent, to be sent later or again.
    pub(crate) fn answer(&self) -> &Arc<StreamedAnswer> {
        &self.answer
    }

    /// Bytes of the whole answer, unless what it carries changes.
    pub(crate) fn total_bytes(&self) -> usize {
        self.answer.total_bytes()
    }

    /// Bytes that are reserved for segments.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.memory.as_ref().map_or(0, Reservation::bytes)
    }

    /// Bytes that may wait to be sent while the next segment is written.
    pub(crate) fn ahead_bytes(&self) -> usize {
        self.step_bytes
    }

    /// Whether the last segment was given out.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.step, Step::Ended)
    }

    /// The next segment.
    ///
    /// # Errors
    /// When the server ends, or the thread that writes does: the connection must end.
    pub(crate) fn poll_segment(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<BufferLease>> {
        loop {
            match &mut self.step {
                Step::Resting(_) => self.acquire(),
                Step::Acquiring(_, thread) => {
                    let permit = ready!(Pin::new(thread).poll(cx));
                    let permit = permit.ok_or_else(|| io::Error::other("the server is gone"))?;
                    self.begin_writing(permit);
                }
                Step::Writing(thread) => {
                    let ended = ready!(Pin::new(thread).poll(cx));
                    self.step = Step::Ended;
                    let (writer, mut segment) = ended.map_err(io::Error::other)?;
                    if !writer.is_done() {
                        self.step = Step::Resting(writer);
                    } else if let Some(memory) = self.memory.take() {
                        segment.hold(memory);
                    }
                    return Poll::Ready(Ok(segment));
                }
                Step::Ended => return Poll::Ready(Err(io::Error::other("the answer was sent already"))),
            }
        }
    }

    fn acquire(&mut self) {
        if let Step::Resting(writer) = std::mem::replace(&mut self.step, Step::Ended) {
            self.step = Step::Acquiring(writer, self.threads.acquire(self.key));
        }
    }

    fn begin_writing(&mut self, permit: FairPermit) {
        let Step::Acquiring(mut writer, _) = std::mem::replace(&mut self.step, Step::Ended) else { return };
        let mut segment = self.buffers.acquire(self.step_bytes);
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
