//! Streams of legacy sessions, kept so that a client may lose its connection and come back.
//!
//! A stream has one writer and, at a time, one reader; events that were delivered stay until they are too old
//! or the budget of all streams is spent, oldest first. Invariants: the events of all streams together
//! never exceed `event_store_bytes` plus what no reader has taken yet, which is at most `max_stream_bytes`
//! for each stream that is being written; a finished stream is gone `event_retention_ms` after its end. Bytes
//! are those of buffers, not of what is in them: a short notification keeps a kilobyte.

use crate::limits::Limits;
use crate::server::state::charge::{Charge, Sum};
use crate::server::state::wake_list::Guarded;
use atomic_waker::AtomicWaker;
use mcpool_pools::BufferLease;
use std::collections::{HashMap, VecDeque};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
    sessions: Guarded<HashMap<u64, Vec<Arc<Stream>>>>,
    numbers: AtomicU64,
    /// Bytes of all events that are kept, or still on their way.
    bytes: Sum,
    max_bytes: usize,
    max_stream_bytes: usize,
    retention: Duration,
}

/// One stream.
#[derive(Debug)]
struct Stream {
    number: u64,
    state: Guarded<StreamState>,
    reader: AtomicWaker,
}

#[derive(Debug, Default)]
struct StreamState {
    events: VecDeque<Arc<StoredEvent>>,
    /// Number of the first event that is kept; they begin at 1, so that 0 is before all of them.
    first: u64,
    /// Number of the next event that the reader takes.
    next: u64,
    /// Bytes of all events that there ever were.
    added_bytes: u64,
    /// Which reader is the current one: who comes back takes the stream from who was there before.
    reader: u64,
    is_released: bool,
    ended: Option<Instant>,
}

/// A message of a stream, and its bytes among those of all.
#[derive(Debug)]
pub(crate) struct StoredEvent {
    message: BufferLease,
    /// Bytes of its stream up to its end, since the stream began.
    end_bytes: u64,
    charge: Charge,
}

impl Deref for StoredEvent {
    type Target = BufferLease;

    fn deref(&self) -> &BufferLease {
        &self.message
    }
}

impl StreamState {
    fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// Bytes that the reader has not taken: those behind the end of what it took last.
    fn waiting_bytes(&self) -> u64 {
        let place = self.next.saturating_sub(self.first) as usize;
        self.events.get(place).map_or(0, |event| self.added_bytes - event.end_bytes + event.bytes())
    }

    fn bytes(&self) -> usize {
        self.events.iter().map(|event| event.charge.amount()).sum()
    }

    /// Forgets the events, and ends the stream if it goes on. The events are to be dropped elsewhere.
    fn forget(&mut self) -> VecDeque<Arc<StoredEvent>> {
        self.first = self.end();
        self.next = self.first;
        self.ended.get_or_insert_with(Instant::now);
        std::mem::take(&mut self.events)
    }
}

impl StoredEvent {
    fn bytes(&self) -> u64 {
        self.charge.amount() as u64
    }
}

/// What a reader gets.
#[derive(Debug)]
pub(crate) enum StreamItem {
    /// A message, its number, and whether it is the last.
    Event { number: u64, message: Arc<StoredEvent>, is_last: bool },
    /// The connection is to end; the stream goes on, for a client that comes back.
    Released,
    /// There is nothing more, or another reader took over.
    Ended,
}

impl EventStore {
    pub(crate) fn new(limits: &Limits) -> Self {
        let shared = Store {
            sessions: Guarded::default(),
            numbers: AtomicU64::new(1),
            bytes: Sum::default(),
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
        let stream = Arc::new(Stream { number, state: Guarded::new(state), reader: AtomicWaker::new() });
        let listed = Arc::clone(&stream);
        self.shared.sessions.with(|sessions, _| sessions.entry(session).or_default().push(listed));
        let writer = StreamWriter { store: Arc::clone(&self.shared), stream: Arc::clone(&stream) };
        (writer, StreamReader { stream, turn: 0 })
    }

    /// The rest of the stream of which `last` names the last event that was seen. `None` if it is no stream of
    /// that session, or the events behind it are not kept any more.
    pub(crate) fn resume(&self, session: u64, last: &[u8]) -> Option<StreamReader> {
        let (number, seen) = parse_event_id(last)?;
        let stream = self.shared.sessions.with(|sessions, _| {
            sessions.get(&session)?.iter().find(|stream| stream.number == number).cloned()
        })?;
        let turn = stream.state.with(|state, after| {
            // The number is the client's, and may be the greatest that there is.
            if seen >= state.end() || seen + 1 < state.first {
                return None;
            }
            state.next = seen + 1;
            state.reader += 1;
            state.is_released = false;
            after.wake(stream.reader.take());
            Some(state.reader)
        })?;
        Some(StreamReader { stream, turn })
    }

    /// Forgets the streams of a session that ended.
    pub(crate) fn drop_session(&self, session: u64) {
        let dropped = self.shared.sessions.with(|sessions, _| sessions.remove(&session));
        dropped.iter().flatten().for_each(|stream| stream.forget());
    }

    /// Forgets what finished too long ago.
    pub(crate) fn sweep(&self, now: Instant) {
        let retention = self.shared.retention;
        let mut over = Vec::new();
        self.shared.sessions.with(|sessions, _| {
            sessions.retain(|_, streams| {
                over.extend(streams.extract_if(.., |stream| {
                    let ended = stream.state.with(|state, _| state.ended);
                    ended.is_some_and(|ended| now.saturating_duration_since(ended) >= retention)
                }));
                !streams.is_empty()
            });
            if sessions.len() * 4 < sessions.capacity() {
                sessions.shrink_to_fit();
            }
        });
        for stream in over {
            stream.forget();
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
        self.shared.sessions.with(|sessions, _| sessions.values().map(Vec::len).sum())
    }

    /// Bytes of the events that are kept for one session.
    pub(crate) fn session_bytes(&self, session: u64) -> usize {
        let streams = self.shared.sessions.with(|sessions, _| sessions.get(&session).cloned());
        let bytes = |stream: &Arc<Stream>| stream.state.with(|state, _| state.bytes());
        streams.iter().flatten().map(bytes).sum()
    }

    /// Bytes of all events that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.shared.bytes.get()
    }
}

impl Stream {
    /// Drops the events, and ends the reader.
    fn forget(&self) {
        let events = self.state.with(|state, after| {
            after.wake(self.reader.take());
            state.forget()
        });
        drop(events);
    }
}

impl Store {
    /// Gives up delivered events of the oldest streams until the budget holds.
    #[cold]
    fn evict(&self, max_bytes: usize) {
        let mut streams: Vec<_> =
            self.sessions.with(|sessions, _| sessions.values().flatten().cloned().collect());
        streams.sort_by_key(|stream| stream.number);
        // Bytes that a connection is still writing stay in the sum until it has: they are not looked for elsewhere.
        let mut excess = self.bytes.get().saturating_sub(max_bytes);
        for stream in streams {
            let evicted = stream.state.with(|state, _| {
                let mut evicted = Vec::new();
                while excess > 0 && state.first < state.next {
                    let Some(event) = state.events.pop_front() else { break };
                    state.first += 1;
                    excess = excess.saturating_sub(event.charge.amount());
                    evicted.push(event);
                }
                evicted
            });
            drop(evicted);
            if excess == 0 {
                return;
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
        self.stream.state.with(|state, after| {
            let waiting_bytes = state.waiting_bytes() as usize;
            if waiting_bytes > 0 && waiting_bytes + message.capacity() > self.store.max_stream_bytes {
                return Err(StreamFull);
            }
            self.add(state, message);
            after.wake(self.stream.reader.take());
            Ok(())
        })?;
        self.keep_budget();
        Ok(())
    }

    /// Whether messages wait for the stream's reader.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.stream.state.with(|state, _| state.waiting_bytes() > 0)
    }

    /// Adds the answer of the stream's request, which always has room, and ends the stream.
    pub(crate) fn push_answer(self, message: BufferLease) {
        self.stream.state.with(|state, _| {
            self.add(state, message);
            // At once with the answer, so that no reader takes it for one message of several.
            state.ended.get_or_insert_with(Instant::now);
        });
    }

    /// Asks the reader to let its connection end while the stream goes on.
    pub(crate) fn release(&self) {
        self.stream.state.with(|state, after| {
            state.is_released = true;
            after.wake(self.stream.reader.take());
        });
    }

    fn add(&self, state: &mut StreamState, message: BufferLease) {
        let charge = self.store.bytes.charge(message.capacity());
        state.added_bytes += message.capacity() as u64;
        state.events.push_back(Arc::new(StoredEvent { message, end_bytes: state.added_bytes, charge }));
    }

    fn keep_budget(&self) {
        if self.store.bytes.get() > self.store.max_bytes {
            self.store.evict(self.store.max_bytes);
        }
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        self.stream.state.with(|state, after| {
            state.ended.get_or_insert_with(Instant::now);
            after.wake(self.stream.reader.take());
        });
        self.keep_budget();
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
        self.stream.state.with(|state, _| {
            if state.reader != self.turn {
                return Poll::Ready(StreamItem::Ended);
            }
            let place = state.next.saturating_sub(state.first) as usize;
            if let Some(message) = state.events.get(place).cloned() {
                let number = state.first + place as u64;
                state.next = number + 1;
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
        })
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

impl Deref for EventId {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.text[..self.len]
    }
}

fn parse_event_id(text: &[u8]) -> Option<(u64, u64)> {
    let (stream, event) = std::str::from_utf8(text).ok()?.split_once('-')?;
    Some((stream.parse().ok()?, event.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcpool_pools::BufferPool;

    fn message(text: &str) -> BufferLease {
        let mut message = BufferPool::default().acquire(text.len());
        message.extend_from_slice(text.as_bytes());
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
        assert!(store.shared.sessions.with(|sessions, _| sessions.is_empty()));
    }

    /// What the counters say is what is there, recounted, after any steps; at the end nothing is left.
    mod counters {
        use super::*;
        use proptest::collection::vec;
        use proptest::prelude::*;

        #[derive(Default)]
        struct Ends {
            writers: Vec<StreamWriter>,
            readers: Vec<StreamReader>,
            /// Events that connections still write.
            held: Vec<Arc<StoredEvent>>,
        }

        impl Ends {
            fn step(&mut self, store: &EventStore, step: u8, which: usize) {
                let cx = &mut Context::from_waker(std::task::Waker::noop());
                let writer = which.checked_rem(self.writers.len());
                let reader = which.checked_rem(self.readers.len());
                match (step, writer, reader) {
                    (0, ..) => {
                        let (writer, reader) = store.open(which as u64 % 3);
                        self.writers.push(writer);
                        self.readers.push(reader);
                    }
                    (1 | 2, Some(writer), _) => {
                        // A full stream is one of the cases.
                        let _ = self.writers[writer].push(message(&"x".repeat(which % 3_000)));
                    }
                    (3, Some(writer), _) => self.writers.swap_remove(writer).push_answer(message("answer")),
                    (4, Some(writer), _) => drop(self.writers.swap_remove(writer)),
                    (5 | 6, _, Some(reader)) => {
                        if let Poll::Ready(StreamItem::Event { message, .. }) =
                            self.readers[reader].poll_next(cx)
                            && which.is_multiple_of(2)
                        {
                            self.held.push(message);
                        }
                    }
                    (7, _, Some(reader)) => {
                        let id = self.readers[reader].event_id(which as u64 % 4);
                        self.readers.extend(store.resume(which as u64 % 3, &id));
                    }
                    (8, ..) => store.drop_session(which as u64 % 3),
                    (9, ..) => store.sweep(Instant::now() + Duration::from_hours(1)),
                    (10, ..) => drop(store.shrink_to(which % 5_000)),
                    (11, ..) => self.held.truncate(which % 3),
                    _ => {}
                }
            }
        }

        /// Bytes of each event once, whoever holds it.
        fn recount(ends: &Ends) -> usize {
            let of_writers = ends.writers.iter().map(|writer| &writer.stream);
            let of_readers = ends.readers.iter().map(|reader| &reader.stream);
            let mut events: Vec<Arc<StoredEvent>> = ends.held.clone();
            for stream in of_writers.chain(of_readers) {
                stream.state.with(|state, _| {
                    let unread = state.next.saturating_sub(state.first) as usize;
                    let waiting: u64 =
                        state.events.iter().skip(unread).map(|event| event.capacity() as u64).sum();
                    assert_eq!(state.waiting_bytes(), waiting);
                    events.extend(state.events.iter().cloned());
                });
            }
            events.sort_by_key(|event| Arc::as_ptr(event).addr());
            events.dedup_by_key(|event| Arc::as_ptr(event).addr());
            events.iter().map(|event| event.capacity()).sum()
        }

        proptest! {
            #[test]
            fn say_what_a_recount_says(steps in vec((0..12_u8, 0..10_000_usize), 0..80)) {
                let store = store(6 * BUFFER, 4 * BUFFER);
                let mut ends = Ends::default();
                for (step, which) in steps {
                    ends.step(&store, step, which);
                    prop_assert_eq!(store.bytes(), recount(&ends), "after step {} of {}", step, which);
                }
                drop(ends);
                (0..3).for_each(|session| store.drop_session(session));
                prop_assert_eq!(store.bytes(), 0);
            }
        }
    }
}
