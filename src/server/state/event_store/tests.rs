//! Events are found again, in order and bounded, whoever reads and leaves when.

use super::*;
use mcpool_pools::BufferPool;

#[test]
fn an_answer_that_a_reader_has_still_to_take_outlives_its_retention() {
    let store = EventStore::new(&Limits { event_retention_ms: 0, ..Limits::default() });
    let (writer, mut reader) = store.open(1);
    writer.push_answer(message("answer"));
    store.sweep(Instant::now());
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let taken = reader.poll_next(&mut cx);
    assert!(matches!(taken, Poll::Ready(StreamItem::Event { is_last: true, .. })), "{taken:?}");
    store.sweep(Instant::now());
    assert_eq!(store.streams(), 0, "taken, so that nothing keeps it");
    drop((reader, taken));

    let (writer, reader) = store.open(1);
    writer.push_answer(message("answer"));
    drop(reader);
    store.sweep(Instant::now());
    assert_eq!((store.streams(), store.bytes()), (0, 0), "its reader left, and its time is over");
}

/// A waker holds the whole task: half a kilobyte for each stream that is kept for clients that may come back.
#[test]
fn a_reader_that_left_leaves_no_waker() {
    struct Task;
    impl std::task::Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
    let task = Arc::new(Task);
    let store = EventStore::new(&Limits::default());
    let (_writer, mut reader) = store.open(1);
    let waker = Arc::clone(&task).into();
    assert!(reader.poll_next(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    assert_eq!(Arc::strong_count(&task), 2);
    drop(reader);
    assert_eq!((Arc::strong_count(&task), store.streams()), (1, 1));
}

#[test]
fn who_comes_back_after_the_end_is_counted_with_the_time_that_it_took() {
    let store = EventStore::new(&Limits::default());
    let (writer, reader) = store.open(1);
    let id = reader.event_id(0);
    let resume = || store.resume(1, &id).expect("the stream is there");
    drop((reader, resume()));
    assert_eq!(store.returns(), (0, 0), "the stream goes on");
    writer.push_answer(message("answer"));
    std::thread::sleep(Duration::from_millis(20));
    drop(resume());
    let (count, latest_ms) = store.returns();
    assert!(count == 1 && latest_ms >= 20, "{count} {latest_ms}");
    assert!(store.resume(2, &id).is_none() && store.returns().0 == 1, "another's stream");
}

fn message(text: &str) -> BufferLease {
    let mut message = BufferPool::default().acquire(text.len());
    message.extend_from_slice(text.as_bytes());
    message
}

/// Bytes of the buffer of a short message.
const BUFFER: usize = 1024;

fn store(event_store_bytes: usize, max_stream_bytes: usize) -> EventStore {
    EventStore::new(&Limits {
        max_stream_bytes,
        event_store_bytes: Some(event_store_bytes),
        ..Limits::default()
    })
}

/// All that the reader gets, as text: `.` for the end, `/` for a release.
fn read(reader: &mut StreamReader) -> String {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut text = String::new();
    loop {
        match reader.poll_next(&mut cx) {
            Poll::Pending => return text,
            Poll::Ready(StreamItem::Event { number, message, .. }) => {
                let shown = match &message.data {
                    EventData::Message(message) => String::from_utf8_lossy(message),
                    EventData::Packed(message) => String::from_utf8_lossy(message),
                    EventData::Streamed(_) => panic!("a message"),
                };
                text.extend([number.to_string().as_str(), ":", &shown, " "]);
            }
            Poll::Ready(StreamItem::Released) => text.push('/'),
            Poll::Ready(StreamItem::Ended) => return text + ".",
        }
    }
}

#[test]
fn short_messages_are_packed_but_those_that_are_being_sent() {
    let store = store(1 << 20, 1 << 20);
    let (writer, mut reader) = store.open(7);
    for text in ["a", "b", "c"] {
        writer.push(message(text)).expect("room");
    }
    let long = "d".repeat(600);
    writer.push(message(&long)).expect("room");
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let Poll::Ready(StreamItem::Event { message: sent, .. }) = reader.poll_next(&mut cx) else {
        panic!("an event")
    };
    store.pack();
    assert!(matches!(sent.data, EventData::Message(_)));
    let packed = store.bytes() - 2 * BUFFER;
    assert!(packed < 2 * 256, "{packed} B for two messages of one byte");
    drop(sent);
    store.pack();
    assert_eq!(store.bytes(), BUFFER + packed / 2 * 3, "the first one as well, and never the long one");
    assert_eq!(store.events(), 4);
    let mut again = store.resume(7, &reader.event_id(0)).expect("kept");
    assert_eq!(read(&mut again), format!("1:a 2:b 3:c 4:{long} "));
    drop(writer);
    store.drop_session(7);
    drop((reader, again));
    assert_eq!(store.bytes(), 0);
}

#[test]
fn a_client_that_resumes_gets_the_rest() {
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
    assert_eq!(read(&mut reader), ".", "the first reader was replaced");
    assert_eq!(read(&mut again), "2:b 3:c .");
    let mut whole = store.resume(7, &again.event_id(0)).expect("kept");
    assert_eq!(read(&mut whole), "1:a 2:b 3:c .");
    for bad in ["", "1", "1-", "-1", "x-1", "1-4", "99-0"] {
        assert!(store.resume(7, bad.as_bytes()).is_none(), "{bad}");
    }
}

#[test]
fn undelivered_events_are_bounded() {
    let store = store(1 << 20, BUFFER);
    let (writer, mut reader) = store.open(1);
    writer.push(message("0123456789")).expect("room");
    assert_eq!(writer.push(message("x")), Err(StreamFull));
    assert_eq!(read(&mut reader), "1:0123456789 ");
    writer.push(message("y")).expect("room again");
    assert_eq!(read(&mut reader), "2:y ");
}

#[test]
fn answers_of_clients_that_left_go_first_and_the_oldest_of_them() {
    let store = store(64 * BUFFER, 64 * BUFFER);
    let unread = |session: u64| {
        let (writer, reader) = store.open(session);
        writer.push_answer(message("late"));
        reader
    };
    let (first, second, third) = (unread(1), unread(2), unread(3));
    assert!(!store.give_up_unread(BUFFER), "none is large");
    assert!(!store.give_up_unread(BUFFER - 1), "each has a reader");
    drop((third, second));
    assert!(store.give_up_unread(BUFFER - 1));
    assert_eq!((store.session_bytes(2), store.session_bytes(3)), (0, BUFFER), "the older one went");
    assert!(store.give_up_unread(BUFFER - 1) && !store.give_up_unread(BUFFER - 1));
    assert_eq!(store.session_bytes(1), BUFFER, "one that is read stays");
    drop(first);
    let (writer, reader) = store.open(4);
    writer.push(message("more will come")).expect("room");
    drop(reader);
    assert!(store.give_up_unread(BUFFER - 1), "the first one, whose reader left now");
    assert!(!store.give_up_unread(BUFFER - 1), "its request goes on");
    drop(writer);
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
fn ended_streams_are_removed_with_their_session_or_when_they_expire() {
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

/// The counters agree with a recount after any steps, and are zero at the end.
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
                    // The stream may be full.
                    let _ = self.writers[writer].push(message(&"x".repeat(which % 3_000)));
                }
                (3, Some(writer), _) => self.writers.swap_remove(writer).push_answer(message("answer")),
                (4, Some(writer), _) => drop(self.writers.swap_remove(writer)),
                (5 | 6, _, Some(reader)) => {
                    if let Poll::Ready(StreamItem::Event { message, .. }) = self.readers[reader].poll_next(cx)
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
                let waiting: u64 = state.events.iter().skip(unread).map(|event| event.bytes()).sum();
                assert_eq!(state.waiting_bytes(), waiting);
                events.extend(state.events.iter().cloned());
            });
        }
        events.sort_by_key(|event| Arc::as_ptr(event).addr());
        events.dedup_by_key(|event| Arc::as_ptr(event).addr());
        events.iter().map(|event| event.bytes() as usize).sum()
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
