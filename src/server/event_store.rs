//! Streams of legacy sessions, kept so that a client may lose its connection and come back.
//!
//! A stream has one writer and, at a time, one reader; events that were delivered stay until they are too old
//! or the budget of all streams is spent, oldest first. Invariants: the events of all streams together
//! never exceed `event_store_bytes` plus what no reader has taken yet, which is at most `max_stream_bytes`
//! for each stream that is being written; a finished stream is gone `event_retention_ms` after its end. Bytes
//! are those of buffers, not of what is in them: a short notification keeps a kilobyte.

use crate::limits::Limits;
use atomic_waker::AtomicWaker;
use mcpool_pools::BufferLease;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use thiserror::Error;

/// The stream's reader is too slow, and the message is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("as many bytes wait for the stream's reader as may")]
pub(crate) struct StreamFull;

/// All streams of a server.
#[derive(Debug)]
pub(crate) struct EventStore {
    shared: Arc<Store>,
}

#[derive(Debug)]
struct Store {
    /// Streams by session, in the order of their beginning.
    sessions: Mutex<HashMap<u64, Vec<Arc<Stream>>>>,
    numbers: AtomicU64,
    /// Bytes of all events that are kept.
    bytes: AtomicUsize,
    max_bytes: usize,
    max_stream_bytes: usize,
    retention: Duration,
}

/// One stream.
#[derive(Debug)]
struct Stream {
    number: u64,
    state: Mutex<StreamState>,
    reader: AtomicWaker,
}

#[derive(Debug, Default)]
struct StreamState {
    events: VecDeque<Arc<BufferLease>>,
    /// Number of the first event that is kept; they begin at 1, so that 0 is before all of them.
    first: u64,
    /// Number of the next event that the reader takes.
    next: u64,
    /// Bytes that the reader has not taken.
    waiting_bytes: usize,
    /// Which reader is the current one: who comes back takes the stream from who was there before.
    reader: u64,
    is_released: bool,
    ended: Option<Instant>,
}

impl StreamState {
    fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }
}

/// What a reader gets.
#[derive(Debug)]
pub(crate) enum StreamItem {
    /// A message, its number, and whether it is the last.
    Event { number: u64, message: Arc<BufferLease>, is_last: bool },
    /// The connection is to end; the stream goes on, for a client that comes back.
    Released,
    /// There is nothing more, or another reader took over.
    Ended,
}

impl EventStore {
    pub(crate) fn new(limits: &Limits) -> Self {
        let shared = Store {
            sessions: Mutex::default(),
            numbers: AtomicU64::new(1),
            bytes: AtomicUsize::new(0),
            max_bytes: limits.event_store_bytes,
            max_stream_bytes: limits.max_stream_bytes,
            retention: limits.event_retention(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Begins a stream of a session.
    pub(crate) fn open(&self, session: u64) -> (StreamWriter, StreamReader) {
        let number = self.shared.numbers.fetch_add(1, Ordering::Relaxed);
        let state = StreamState { first: 1, next: 1, ..StreamState::default() };
        let stream = Arc::new(Stream { number, state: Mutex::new(state), reader: AtomicWaker::new() });
        lock(&self.shared.sessions).entry(session).or_default().push(Arc::clone(&stream));
        let writer = StreamWriter { store: Arc::clone(&self.shared), stream: Arc::clone(&stream) };
        (writer, StreamReader { stream, turn: 0 })
    }

    /// The rest of the stream of which `last` names the last event that was seen. `None` if it is no stream of
    /// that session, or the events behind it are not kept any more.
    pub(crate) fn resume(&self, session: u64, last: &[u8]) -> Option<StreamReader> {
        let (number, seen) = parse_event_id(last)?;
        let sessions = lock(&self.shared.sessions);
        let stream = Arc::clone(sessions.get(&session)?.iter().find(|stream| stream.number == number)?);
        drop(sessions);
        let turn = {
            let mut state = lock(&stream.state);
            if seen + 1 < state.first || seen >= state.end() {
                return None;
            }
            state.next = seen + 1;
            let skipped = (state.next - state.first) as usize;
            state.waiting_bytes = state.events.iter().skip(skipped).map(|event| event.capacity()).sum();
            state.reader += 1;
            state.is_released = false;
            state.reader
        };
        stream.reader.wake();
        Some(StreamReader { stream, turn })
    }

    /// Forgets the streams of a session that ended.
    pub(crate) fn drop_session(&self, session: u64) {
        let dropped = lock(&self.shared.sessions).remove(&session);
        for stream in dropped.into_iter().flatten() {
            self.shared.forget(&stream);
        }
    }

    /// Forgets what finished too long ago.
    pub(crate) fn sweep(&self, now: Instant) {
        let retention = self.shared.retention;
        let mut sessions = lock(&self.shared.sessions);
        sessions.retain(|_, streams| {
            streams.retain(|stream| {
                let ended = lock(&stream.state).ended;
                let is_over = ended.is_some_and(|ended| now.saturating_duration_since(ended) >= retention);
                if is_over {
                    self.shared.forget(stream);
                }
                !is_over
            });
            !streams.is_empty()
        });
        if sessions.len() * 4 < sessions.capacity() {
            sessions.shrink_to_fit();
        }
    }

    /// Gives up delivered events, oldest first, until at most `keep_bytes` are left; tells the bytes.
    pub(crate) fn shrink_to(&self, keep_bytes: usize) -> usize {
        let before = self.bytes();
        if before > keep_bytes {
            self.shared.evict(keep_bytes);
        }
        before.saturating_sub(self.bytes())
    }

    /// How many streams are kept.
    pub(crate) fn streams(&self) -> usize {
        lock(&self.shared.sessions).values().map(Vec::len).sum()
    }

    /// Bytes of the events that are kept for one session.
    pub(crate) fn session_bytes(&self, session: u64) -> usize {
        let streams = lock(&self.shared.sessions).get(&session).cloned().unwrap_or_default();
        let bytes = |stream: &Arc<Stream>| -> usize {
            lock(&stream.state).events.iter().map(|event| event.capacity()).sum()
        };
        streams.iter().map(bytes).sum()
    }

    /// Bytes of all events that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.shared.bytes.load(Ordering::Relaxed)
    }
}

impl Store {
    /// Drops the events of a stream and ends its reader.
    fn forget(&self, stream: &Stream) {
        let mut state = lock(&stream.state);
        let bytes: usize = state.events.iter().map(|event| event.capacity()).sum();
        state.first = state.end();
        state.events = VecDeque::new();
        state.next = state.first;
        state.waiting_bytes = 0;
        state.ended.get_or_insert_with(Instant::now);
        drop(state);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        stream.reader.wake();
    }

    /// Gives up delivered events of the oldest streams until the budget holds.
    #[cold]
    fn evict(&self, max_bytes: usize) {
        let sessions = lock(&self.sessions);
        let mut streams: Vec<_> = sessions.values().flatten().cloned().collect();
        drop(sessions);
        streams.sort_by_key(|stream| stream.number);
        for stream in streams {
            let mut state = lock(&stream.state);
            while state.first < state.next && self.bytes.load(Ordering::Relaxed) > max_bytes {
                let Some(event) = state.events.pop_front() else { break };
                state.first += 1;
                self.bytes.fetch_sub(event.capacity(), Ordering::Relaxed);
            }
        }
    }
}

/// The writing end of a stream. Dropping it ends the stream.
#[derive(Debug)]
pub(crate) struct StreamWriter {
    store: Arc<Store>,
    stream: Arc<Stream>,
}

impl StreamWriter {
    /// Adds a message.
    pub(crate) fn push(&self, message: BufferLease) -> Result<(), StreamFull> {
        let mut state = lock(&self.stream.state);
        if state.waiting_bytes > 0 && state.waiting_bytes + message.capacity() > self.store.max_stream_bytes {
            return Err(StreamFull);
        }
        self.add(&mut state, message);
        drop(state);
        self.wake();
        Ok(())
    }

    /// Adds the answer of the stream's request, which always has room, and ends the stream.
    pub(crate) fn push_answer(self, message: BufferLease) {
        let mut state = lock(&self.stream.state);
        self.add(&mut state, message);
        // At once with the answer, so that no reader takes it for one message of several.
        state.ended = Some(Instant::now());
    }

    /// Asks the reader to let its connection end while the stream goes on.
    pub(crate) fn release(&self) {
        lock(&self.stream.state).is_released = true;
        self.stream.reader.wake();
    }

    fn add(&self, state: &mut StreamState, message: BufferLease) {
        state.waiting_bytes += message.capacity();
        self.store.bytes.fetch_add(message.capacity(), Ordering::Relaxed);
        state.events.push_back(Arc::new(message));
    }

    fn wake(&self) {
        self.stream.reader.wake();
        if self.store.bytes.load(Ordering::Relaxed) > self.store.max_bytes {
            self.store.evict(self.store.max_bytes);
        }
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        lock(&self.stream.state).ended.get_or_insert_with(Instant::now);
        self.wake();
    }
}

/// The reading end of a stream.
#[derive(Debug)]
pub(crate) struct StreamReader {
    stream: Arc<Stream>,
    turn: u64,
}

impl StreamReader {
    /// The next message.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<StreamItem> {
        self.stream.reader.register(cx.waker());
        let mut state = lock(&self.stream.state);
        if state.reader != self.turn {
            return Poll::Ready(StreamItem::Ended);
        }
        let place = state.next.saturating_sub(state.first) as usize;
        if let Some(message) = state.events.get(place).cloned() {
            let number = state.first + place as u64;
            state.next = number + 1;
            state.waiting_bytes = state.waiting_bytes.saturating_sub(message.capacity());
            let is_last = state.ended.is_some() && state.next == state.end();
            return Poll::Ready(StreamItem::Event { number, message, is_last });
        }
        if state.ended.is_some() {
            return Poll::Ready(StreamItem::Ended);
        }
        if std::mem::take(&mut state.is_released) {
            return Poll::Ready(StreamItem::Released);
        }
        Poll::Pending
    }

    /// The text that names an event of this stream.
    pub(crate) fn event_id(&self, event: u64) -> EventId {
        EventId::new(self.stream.number, event)
    }
}

/// The name of an event: `STREAM-NUMBER`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventId {
    text: [u8; Self::MAX_BYTES],
    len: usize,
}

impl EventId {
    /// Two numbers of 20 digits and what is between them.
    const MAX_BYTES: usize = 41;

    fn new(stream: u64, event: u64) -> Self {
        let mut id = Self { text: [0; Self::MAX_BYTES], len: 0 };
        let mut digits = itoa::Buffer::new();
        id.push(digits.format(stream));
        id.push("-");
        id.push(digits.format(event));
        id
    }

    fn push(&mut self, part: &str) {
        self.text[self.len..self.len + part.len()].copy_from_slice(part.as_bytes());
        self.len += part.len();
    }
}

impl std::ops::Deref for EventId {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.text[..self.len]
    }
}

fn parse_event_id(text: &[u8]) -> Option<(u64, u64)> {
    let (stream, event) = std::str::from_utf8(text).ok()?.split_once('-')?;
    Some((stream.parse().ok()?, event.parse().ok()?))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcpool_pools::BufferPool;

    fn message(text: &str) -> BufferLease {
        let mut message = BufferPool::default().acquire(text.len());
        message.extend_from_slice(text.as_bytes());
        assert_eq!(message.capacity(), BUFFER);
        message
    }

    /// Bytes that a short message keeps.
    const BUFFER: usize = 1024;

    fn store(event_store_bytes: usize, max_stream_bytes: usize) -> EventStore {
        EventStore::new(&Limits { max_stream_bytes, event_store_bytes, ..Limits::default() })
    }

    /// Everything that is there, as text; `.` for the end, `/` for a release.
    fn read(reader: &mut StreamReader) -> String {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut text = String::new();
        loop {
            match reader.poll_next(&mut cx) {
                Poll::Pending => return text,
                Poll::Ready(StreamItem::Event { number, message, .. }) => {
                    let shown = String::from_utf8_lossy(&message);
                    text.extend([number.to_string().as_str(), ":", &shown, " "]);
                }
                Poll::Ready(StreamItem::Released) => text.push('/'),
                Poll::Ready(StreamItem::Ended) => return text + ".",
            }
        }
    }

    #[test]
    fn a_client_that_comes_back_gets_the_rest() {
        let store = store(1 << 20, 1 << 20);
        let (writer, mut reader) = store.open(7);
        writer.push(message("a")).expect("room");
        writer.push(message("b")).expect("room");
        assert_eq!(read(&mut reader), "1:a 2:b ");
        let id = reader.event_id(1);
        writer.release();
        assert_eq!(read(&mut reader), "/");
        writer.push_answer(message("c"));
        assert!(store.resume(8, &id).is_none(), "another session");
        let mut again = store.resume(7, &id).expect("kept");
        assert_eq!(read(&mut reader), ".", "the first reader is put off");
        assert_eq!(read(&mut again), "2:b 3:c .");
        let mut whole = store.resume(7, &again.event_id(0)).expect("kept");
        assert_eq!(read(&mut whole), "1:a 2:b 3:c .");
        for bad in ["", "1", "1-", "-1", "x-1", "1-4", "99-0"] {
            assert!(store.resume(7, bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn what_no_reader_takes_is_bounded() {
        let store = store(1 << 20, BUFFER);
        let (writer, mut reader) = store.open(1);
        writer.push(message("0123456789")).expect("room");
        assert_eq!(writer.push(message("x")), Err(StreamFull));
        assert_eq!(read(&mut reader), "1:0123456789 ");
        writer.push(message("y")).expect("room again");
        assert_eq!(read(&mut reader), "2:y ");
    }

    #[test]
    fn the_budget_evicts_delivered_events_oldest_first() {
        let store = store(BUFFER, 1 << 20);
        let (old, mut old_reader) = store.open(1);
        old.push(message("12345")).expect("room");
        assert_eq!(read(&mut old_reader), "1:12345 ");
        let (new, mut new_reader) = store.open(2);
        new.push(message("123456")).expect("room");
        assert_eq!(store.bytes(), BUFFER);
        assert!(store.resume(1, &old_reader.event_id(0)).is_none(), "a gap is not hidden");
        assert_eq!(read(&mut new_reader), "1:123456 ");
    }

    #[test]
    fn ended_streams_go_with_their_session_or_their_time() {
        let store = store(1 << 20, 1 << 20);
        let (writer, mut reader) = store.open(1);
        writer.push(message("a")).expect("room");
        store.drop_session(1);
        assert_eq!(read(&mut reader), ".");
        let (other, _) = store.open(2);
        other.push_answer(message("b"));
        store.sweep(Instant::now());
        assert_eq!(store.bytes(), BUFFER);
        store.sweep(Instant::now() + Limits::default().event_retention());
        assert_eq!(store.bytes(), 0);
        assert!(lock(&store.shared.sessions).is_empty());
    }
}
