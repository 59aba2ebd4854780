//! The event streams of legacy sessions, which a client may leave and resume.
//!
//! A stream has one writer and at most one current reader. Delivered events stay until they expire or exceed the
//! budget of all streams, oldest first. Invariants: the events of all streams together never exceed
//! `event_store_bytes` plus the undelivered ones, which are at most `max_stream_bytes` for each stream that is being
//! written; a stream is removed `event_retention_ms` after its end, but not while a reader has still to take events of
//! it. Bytes are those of whole buffers: a short notification holds a kilobyte until it is packed. An answer that is written while it is
//! sent is kept as what it is written from, an open file mostly, and written anew for a client that comes back.

use crate::limits::Limits;
use crate::memory::lasting;
use crate::server::state::charge::{Charge, Sum};
use crate::server::state::give_back::give_back;
use crate::server::state::room_news::RoomNews;
use crate::server::state::streamed::StreamedAnswer;
use crate::server::state::wake_list::Guarded;
use atomic_waker::AtomicWaker;
use bytes::BytesMut;
use mcpool_pools::BufferLease;
use std::collections::{HashMap, VecDeque};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use thiserror::Error;

/// The reader of the stream is too slow, and the message was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("as many bytes wait for the stream's reader as may")]
pub(crate) struct StreamFull;

/// Streamed answers that are kept, those in batches included, but for those with a reader: each may hold a file open.
const MOST_STREAMED: usize = 64;

/// Bytes of an event beside its message.
const EVENT_BYTES: usize = size_of::<StoredEvent>() + 4 * size_of::<usize>();

/// What an event carries.
#[derive(Debug)]
pub(crate) enum EventData {
    Message(BufferLease),
    /// A short message that was copied out of its buffer, as it is kept longer than what else is in buffers.
    Packed(Box<[u8]>),
    /// An answer that is written while it is sent, each time that it is.
    Streamed(Arc<StreamedAnswer>),
}

impl EventData {
    fn bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.capacity(),
            Self::Packed(message) => message.len() + EVENT_BYTES,
            Self::Streamed(answer) => answer.kept_bytes(),
        }
    }
}

impl From<BufferLease> for EventData {
    fn from(message: BufferLease) -> Self {
        Self::Message(message)
    }
}

/// All streams of a server.
#[derive(Debug)]
pub(crate) struct EventStore {
    shared: Arc<Store>,
}

#[derive(Debug)]
struct Store {
    /// The streams of each session, oldest first.
    sessions: Guarded<HashMap<u64, Vec<Arc<Stream>>>>,
    numbers: AtomicU64,
    /// Bytes of all events that are stored or still being written to a connection.
    bytes: Sum,
    /// How many streamed answers are among them.
    streamed: Sum,
    max_bytes: usize,
    max_stream_bytes: usize,
    retention: Duration,
    returns: Returns,
    news: Arc<RoomNews>,
}

/// Tells that a handle of a stream is gone. A field of the handle, after the stream.
#[derive(Debug)]
struct TellsOfEnd(Arc<RoomNews>);

impl Drop for TellsOfEnd {
    fn drop(&mut self) {
        self.0.tell();
    }
}

/// Clients that came back to a stream after its end: what keeping its events was for.
#[derive(Debug, Default)]
struct Returns {
    count: AtomicU64,
    /// The longest time between an end and a return.
    latest_ms: AtomicU64,
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
    /// Number of the first stored event. Numbers begin at 1, so that 0 comes before all of them.
    first: u64,
    /// Number of the event that the reader takes next.
    next: u64,
    /// Bytes of all events that were ever added.
    added_bytes: u64,
    /// Number of the current reader. A client that resumes the stream replaces the reader before it.
    current_reader: u64,
    is_released: bool,
    ended: Option<Instant>,
}

/// A message of a stream, and its bytes among those of all streams.
#[derive(Debug)]
pub(crate) struct StoredEvent {
    pub(crate) data: EventData,
    /// Its part of [`Store::streamed`].
    sources: Option<Charge>,
    /// [`StreamState::added_bytes`] once it was added.
    end_bytes: u64,
    charge: Charge,
}

impl StreamState {
    fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// Bytes of the events that the reader has not taken.
    fn waiting_bytes(&self) -> u64 {
        let index = self.next.saturating_sub(self.first) as usize;
        self.events.get(index).map_or(0, |event| self.added_bytes - event.end_bytes + event.bytes())
    }

    fn bytes(&self) -> usize {
        self.events.iter().map(|event| event.charge.amount()).sum()
    }

    /// Removes the events and ends the stream. The caller drops the events without the lock.
    fn clear(&mut self) -> VecDeque<Arc<StoredEvent>> {
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

    /// Copies a message out of a buffer that is at least twice as large, and returns the buffer.
    fn pack(&mut self, bytes: &Sum) -> Option<BytesMut> {
        let EventData::Message(message) = &self.data else { return None };
        if message.capacity() < 2 * (message.len() + EVENT_BYTES) {
            return None;
        }
        let packed = lasting(|| EventData::Packed(Box::from(&message[..])));
        self.charge = bytes.charge(packed.bytes());
        match std::mem::replace(&mut self.data, packed) {
            EventData::Message(message) => Some(message.detach()),
            EventData::Packed(_) | EventData::Streamed(_) => None,
        }
    }
}

/// What a reader gets next.
#[derive(Debug)]
pub(crate) enum StreamItem {
    /// A message, its number, and whether it is the last one.
    Event { number: u64, message: Arc<StoredEvent>, is_last: bool },
    /// The connection is to end. The stream goes on, and the client may resume it.
    Released,
    /// The stream has ended, or another reader replaced this one.
    Ended,
}

impl EventStore {
    #[cfg(test)]
    pub(crate) fn new(limits: &Limits) -> Self {
        Self::with_news(limits, Arc::default())
    }

    /// Tells `news` of streams that nobody reads any more: they may be given up.
    pub(crate) fn with_news(limits: &Limits, news: Arc<RoomNews>) -> Self {
        let shared = Store {
            sessions: Guarded::default(),
            numbers: AtomicU64::new(1),
            bytes: Sum::default(),
            streamed: Sum::default(),
            max_bytes: limits.event_store_bytes(),
            max_stream_bytes: limits.max_stream_bytes,
            retention: limits.event_retention(),
            returns: Returns::default(),
            news,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Opens a stream of a session.
    pub(crate) fn open(&self, session: u64) -> (StreamWriter, StreamReader) {
        let number = self.shared.numbers.fetch_add(1, Ordering::Relaxed);
        let state = StreamState { first: 1, next: 1, ..StreamState::default() };
        let reader = AtomicWaker::new();
        let stream = lasting(|| Arc::new(Stream { number, state: Guarded::new(state), reader }));
        let listed = Arc::clone(&stream);
        self.shared
            .sessions
            .with(|sessions, _| lasting(|| sessions.entry(session).or_default().push(listed)));
        let store = Arc::clone(&self.shared);
        let writer = StreamWriter { store, stream: Arc::clone(&stream), _tells: self.tells_of_end() };
        (writer, StreamReader { stream, number: 0, _tells: self.tells_of_end() })
    }

    fn tells_of_end(&self) -> TellsOfEnd {
        TellsOfEnd(Arc::clone(&self.shared.news))
    }

    /// Resumes a stream after `last`, the id of the last event that the client has. `None` if the session has no such
    /// stream, or an event after `last` was evicted.
    pub(crate) fn resume(&self, session: u64, last: &[u8]) -> Option<StreamReader> {
        let (number, seen) = parse_event_id(last)?;
        let stream = self.shared.sessions.with(|sessions, _| {
            sessions.get(&session)?.iter().find(|stream| stream.number == number).cloned()
        })?;
        let (number, ended) = stream.state.with(|state, wakes| {
            // The client chose this number, so `seen + 1` must not be computed before the first comparison.
            if seen >= state.end() || seen + 1 < state.first {
                return None;
            }
            state.next = seen + 1;
            state.current_reader += 1;
            state.is_released = false;
            wakes.push(stream.reader.take());
            Some((state.current_reader, state.ended))
        })?;
        if let Some(ended) = ended {
            let returns = &self.shared.returns;
            returns.count.fetch_add(1, Ordering::Relaxed);
            returns.latest_ms.fetch_max(ended.elapsed().as_millis() as u64, Ordering::Relaxed);
        }
        Some(StreamReader { stream, number, _tells: self.tells_of_end() })
    }

    /// How many clients came back to a stream after its end, and how many milliseconds after it at the latest.
    pub(crate) fn returns(&self) -> (u64, u64) {
        let Returns { count, latest_ms } = &self.shared.returns;
        (count.load(Ordering::Relaxed), latest_ms.load(Ordering::Relaxed))
    }

    /// Removes the streams of a session that ended.
    pub(crate) fn drop_session(&self, session: u64) {
        let dropped = self.shared.sessions.with(|sessions, _| sessions.remove(&session));
        dropped.iter().flatten().for_each(|stream| stream.clear());
    }

    /// Removes the streams that ended too long ago.
    pub(crate) fn sweep(&self, now: Instant) {
        let retention = self.shared.retention;
        let mut over = Vec::new();
        self.shared.sessions.with(|sessions, _| {
            sessions.retain(|_, streams| {
                over.extend(streams.extract_if(.., |stream| {
                    // More handles than the list's: a reader, or a writer about to be dropped.
                    let has_reader = Arc::strong_count(stream) > 1;
                    stream.state.with(|state, _| {
                        let is_old = state
                            .ended
                            .is_some_and(|ended| now.saturating_duration_since(ended) >= retention);
                        is_old && !(has_reader && state.next < state.end())
                    })
                }));
                give_back(streams);
                !streams.is_empty()
            });
            give_back(sessions);
        });
        for stream in over {
            stream.clear();
        }
    }

    /// Evicts delivered events, oldest first, until at most `keep_bytes` are left. Returns the freed bytes.
    pub(crate) fn shrink_to(&self, keep_bytes: usize) -> usize {
        let before = self.bytes();
        if before > keep_bytes {
            self.shared.evict(keep_bytes);
        }
        before.saturating_sub(self.bytes())
    }

    /// Copies short messages out of their buffers. Each was written to a buffer of a kilobyte among those of the burst that
    /// it came in, and would keep their page for as long as its client may come back for it. Those that are being sent
    /// stay.
    pub(crate) fn pack(&self) {
        let streams: Vec<_> =
            self.shared.sessions.with(|sessions, _| sessions.values().flatten().cloned().collect());
        for stream in streams {
            let pack = |event: &mut Arc<StoredEvent>| Arc::get_mut(event)?.pack(&self.shared.bytes);
            let buffers: Vec<_> =
                stream.state.with(|state, _| state.events.iter_mut().filter_map(pack).collect());
            drop(buffers);
        }
    }

    /// Removes the oldest stream that has ended, holds a large message and has no reader: its client left. Returns
    /// whether there was one.
    pub(crate) fn give_up_unread(&self, large_bytes: usize) -> bool {
        self.shared.give_up(|event| event.data.bytes() > large_bytes)
    }

    /// Streams that have ended with messages that their reader has not taken, where there is no reader any more, and the
    /// bytes of those messages. A client that comes back finds them.
    pub(crate) fn unread(&self) -> (usize, usize) {
        let streams: Vec<_> =
            self.shared.sessions.with(|sessions, _| sessions.values().flatten().cloned().collect());
        let unread_bytes = |stream: &Arc<Stream>| {
            // More handles than the list's and this one's: a reader, or a writer about to be dropped.
            let has_reader = Arc::strong_count(stream) > 2;
            stream.state.with(|state, _| match state.ended {
                Some(_) if !has_reader => state.waiting_bytes() as usize,
                _ => 0,
            })
        };
        let unread = streams.iter().map(unread_bytes).filter(|bytes| *bytes > 0);
        unread.fold((0, 0), |(answers, all), bytes| (answers + 1, all + bytes))
    }

    /// How many streams are stored.
    #[cfg(test)]
    pub(crate) fn streams(&self) -> usize {
        self.shared.sessions.with(|sessions, _| sessions.values().map(Vec::len).sum())
    }

    /// Bytes of the stored events of one session.
    pub(crate) fn session_bytes(&self, session: u64) -> usize {
        let streams = self.shared.sessions.with(|sessions, _| sessions.get(&session).cloned());
        let bytes = |stream: &Arc<Stream>| stream.state.with(|state, _| state.bytes());
        streams.iter().flatten().map(bytes).sum()
    }

    /// Bytes of all events.
    pub(crate) fn bytes(&self) -> usize {
        self.shared.bytes.get()
    }

    /// How many events there are.
    pub(crate) fn events(&self) -> usize {
        self.shared.bytes.charges()
    }
}

impl Stream {
    /// Drops the events, and wakes the reader to its end.
    fn clear(&self) {
        let events = self.state.with(|state, wakes| {
            wakes.push(self.reader.take());
            state.clear()
        });
        drop(events);
    }
}

impl Store {
    /// Removes the oldest stream that has ended, holds an event that `may_go`, and has no reader. Returns whether there
    /// was one.
    fn give_up(&self, may_go: impl Fn(&StoredEvent) -> bool) -> bool {
        let oldest = self.sessions.with(|sessions, _| {
            let is_given_up = |stream: &&Arc<Stream>| {
                // More handles than the list's: a reader, or a writer about to be dropped.
                let has_reader = Arc::strong_count(stream) > 1;
                let may_go = |state: &mut StreamState| {
                    state.ended.is_some() && state.events.iter().any(|event| may_go(event))
                };
                !has_reader && stream.state.with(|state, _| may_go(state))
            };
            sessions.values().flatten().filter(is_given_up).min_by_key(|stream| stream.number).cloned()
        });
        oldest.inspect(|stream| stream.clear()).is_some()
    }

    /// Gives up streamed answers until there are few enough.
    fn bound_streamed(&self) {
        let is_streamed = |event: &StoredEvent| event.sources.is_some();
        while self.streamed.get() > MOST_STREAMED && self.give_up(is_streamed) {}
    }

    /// Evicts delivered events of the oldest streams until at most `max_bytes` are left.
    #[cold]
    fn evict(&self, max_bytes: usize) {
        let mut streams: Vec<_> =
            self.sessions.with(|sessions, _| sessions.values().flatten().cloned().collect());
        streams.sort_by_key(|stream| stream.number);
        // An evicted event that a connection is still writing stays in the sum, so the excess is counted down here.
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

/// The writer of a stream. Dropping it ends the stream.
#[derive(Debug)]
pub(crate) struct StreamWriter {
    store: Arc<Store>,
    stream: Arc<Stream>,
    _tells: TellsOfEnd,
}

impl StreamWriter {
    /// Adds a message.
    pub(crate) fn push(&self, message: BufferLease) -> Result<(), StreamFull> {
        self.stream.state.with(|state, wakes| {
            let waiting_bytes = state.waiting_bytes() as usize;
            if waiting_bytes > 0 && waiting_bytes + message.capacity() > self.store.max_stream_bytes {
                return Err(StreamFull);
            }
            self.add(state, EventData::Message(message));
            wakes.push(self.stream.reader.take());
            Ok(())
        })?;
        self.enforce_budget();
        Ok(())
    }

    /// Whether messages wait for the reader.
    pub(crate) fn has_unread(&self) -> bool {
        self.stream.state.with(|state, _| state.waiting_bytes() > 0)
    }

    /// Adds the answer of the stream's request, for which there is always room, and ends the stream.
    pub(crate) fn push_answer(self, answer: impl Into<EventData>) {
        let answer = answer.into();
        self.stream.state.with(|state, _| {
            self.add(state, answer);
            // Ended under the same lock, so that no reader takes the answer for one message of several.
            state.ended.get_or_insert_with(Instant::now);
        });
        self.store.bound_streamed();
    }

    /// Asks the reader to end its connection while the stream goes on.
    pub(crate) fn release(&self) {
        self.stream.state.with(|state, wakes| {
            state.is_released = true;
            wakes.push(self.stream.reader.take());
        });
    }

    fn add(&self, state: &mut StreamState, data: EventData) {
        let charge = self.store.bytes.charge(data.bytes());
        state.added_bytes += data.bytes() as u64;
        let sources = match &data {
            EventData::Streamed(answer) => answer.sources(),
            EventData::Message(_) | EventData::Packed(_) => 0,
        };
        let streamed = (sources > 0).then(|| self.store.streamed.charge(sources));
        let event = StoredEvent { data, sources: streamed, end_bytes: state.added_bytes, charge };
        lasting(|| state.events.push_back(Arc::new(event)));
    }

    fn enforce_budget(&self) {
        if self.store.bytes.get() > self.store.max_bytes {
            self.store.evict(self.store.max_bytes);
        }
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        self.stream.state.with(|state, wakes| {
            state.ended.get_or_insert_with(Instant::now);
            wakes.push(self.stream.reader.take());
        });
        self.enforce_budget();
    }
}

/// A reader of a stream.
#[derive(Debug)]
pub(crate) struct StreamReader {
    stream: Arc<Stream>,
    /// The stream's reader is this one while its `current_reader` has this number.
    number: u64,
    _tells: TellsOfEnd,
}

impl StreamReader {
    /// The next message.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<StreamItem> {
        self.stream.reader.register(cx.waker());
        self.stream.state.with(|state, _| {
            if state.current_reader != self.number {
                return Poll::Ready(StreamItem::Ended);
            }
            let index = state.next.saturating_sub(state.first) as usize;
            if let Some(message) = state.events.get(index).cloned() {
                let number = state.first + index as u64;
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

    /// The id of an event of this stream.
    pub(crate) fn event_id(&self, event: u64) -> EventId {
        EventId::new(self.stream.number, event)
    }
}

impl Drop for StreamReader {
    /// A waker keeps the memory of its task, however long ago that ended. It may be another reader's by now, which
    /// registers again.
    fn drop(&mut self) {
        self.stream.reader.wake();
    }
}

/// The id of an event: `STREAM-NUMBER`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventId {
    text: [u8; Self::MAX_BYTES],
    len: usize,
}

impl EventId {
    /// Two numbers of up to 20 digits, and a hyphen.
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
mod tests;
