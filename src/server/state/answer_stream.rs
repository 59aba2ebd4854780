//! A streamed answer on its way: the next segment is written on a thread that may block, and only when it is asked for.
//!
//! Between two segments it holds no thread, so that a peer which reads slowly keeps none from others. It holds what was
//! reserved for two segments, one that is sent and one that is written; the last segment takes that over. These windows
//! are shared among the clients ([`FairBytes`]): what peers leave that do not read is room for all others.

use crate::limits::price;
use crate::server::state::fair_bytes::{FairBytes, Share};
use crate::server::state::fair_permits::{AcquirePermit, FairPermit, FairPermits, SessionKey};
use crate::server::state::streamed::{SegmentWriter, StreamedAnswer};
use bytes::BytesMut;
use mcpool_pools::{BudgetSpent, BufferLease, BufferPool, MemoryBudget, Reservation};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Sleep, sleep};

/// Bytes of a segment where memory is short.
const SHORT_STEP_BYTES: usize = 16 * 1024;
/// Time between two looks of an answer that has no memory yet.
const RETRY: Duration = Duration::from_millis(20);

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

/// The memory of all streams, a part of the large messages. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct WindowBudget {
    memory: MemoryBudget,
    shares: FairBytes,
}

/// The memory of a stream: two segments.
#[derive(Debug)]
pub(crate) struct Window {
    step_bytes: usize,
    memory: Reservation,
    share: Share,
}

/// Why there is no memory for a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NoWindow {
    /// Other answers of the client hold its share.
    Share(BudgetSpent),
    Memory(BudgetSpent),
}

impl WindowBudget {
    /// Windows within `memory`, of which one client may have `share_percent` of what the others leave.
    pub(crate) fn new(memory: MemoryBudget, share_percent: usize) -> Self {
        let shares = FairBytes::new(memory.limit_bytes(), share_percent);
        Self { memory, shares }
    }

    /// Reserves two segments for a client, smaller ones where a quarter of the budget is spent.
    ///
    /// # Errors
    /// When there is no room for those either.
    pub(crate) fn try_reserve(&self, client: u128) -> Result<Window, NoWindow> {
        if self.memory.used_bytes() < self.memory.limit_bytes() / 4
            && let Ok(window) = self.try_reserve_steps(client, price::SEGMENT_BYTES)
        {
            return Ok(window);
        }
        self.try_reserve_steps(client, SHORT_STEP_BYTES)
    }

    fn try_reserve_steps(&self, client: u128, step_bytes: usize) -> Result<Window, NoWindow> {
        let bytes = price::window_bytes(step_bytes);
        let share = self.shares.try_hold(client, bytes).map_err(|spent| {
            // Who holds nothing lacks memory, as everybody does.
            if self.shares.is_holding(client) { NoWindow::Share(spent) } else { NoWindow::Memory(spent) }
        })?;
        let memory = self.memory.try_reserve(bytes).map_err(NoWindow::Memory)?;
        Ok(Window { step_bytes, memory, share })
    }

    /// What there is no room for while a call that comes first collects it.
    pub(crate) fn refuse(&self) -> NoWindow {
        let requested_bytes = price::window_bytes(SHORT_STEP_BYTES);
        let (used_bytes, limit_bytes) = (self.memory.used_bytes(), self.memory.limit_bytes());
        NoWindow::Memory(BudgetSpent { requested_bytes, used_bytes, limit_bytes })
    }

    /// Whether another answer of a client is within its share.
    pub(crate) fn may_hold(&self, client: u128) -> bool {
        let bytes = price::window_bytes(SHORT_STEP_BYTES);
        self.shares.may_hold(client, bytes) || !self.shares.is_holding(client)
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
    windows: WindowBudget,
    step_bytes: usize,
    frame: Option<SegmentFrame>,
    /// `None` until there is some, and once the last segment has it.
    memory: Option<Reservation>,
    share: Option<Box<Share>>,
    /// When it looks for memory again.
    retry: Option<Pin<Box<Sleep>>>,
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
            retry: None,
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
        self.retry = None;
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

    /// What the last segment still holds of the client's share, for who sends it.
    pub(crate) fn take_share(&mut self) -> Option<Box<Share>> {
        self.share.take()
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
                Step::Resting(_) if self.memory.is_none() => ready!(self.poll_window(cx)),
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

    /// Waits for memory, for an answer that was promised: no other waits for what is sent before it.
    fn poll_window(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Ok(window) = self.windows.try_reserve(self.key.principal) {
                self.take_window(window);
                return Poll::Ready(());
            }
            let retry = self.retry.get_or_insert_with(|| Box::pin(sleep(RETRY)));
            ready!(retry.as_mut().poll(cx));
            self.retry = None;
        }
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
        segment.hold(self.windows.memory.reserve(0));
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
