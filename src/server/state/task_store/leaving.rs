//! Tasks whose clients leave: what nobody can ask for ends with its session, and what may still be asked for makes room.

use super::*;
use crate::server::state::session::Session;
use crate::server::state::task::WaiterKey;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("JSON")
}

fn store(limits: &Limits) -> TaskStore {
    TaskStore::new(limits)
}

fn is_there(store: &TaskStore, id: &str) -> bool {
    store.tasks.with(|tasks, _| tasks.contains_key(id))
}

/// Counts its wakes, and locks the store as the code of an executor may.
struct Counting {
    store: Arc<TaskStore>,
    woken: AtomicUsize,
}

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.store.len();
        self.woken.fetch_add(1, Ordering::SeqCst);
    }
}

/// The driver of a task, its handler that waits for an answer, and who waits for the outcome learn that the session ended.
#[test]
fn all_who_wait_learn_that_the_session_ended() {
    let (store, now) = (Arc::new(store(&Limits::default())), SystemTime::now());
    let ttl = Duration::from_mins(1);
    let of_session = |session| store.create_for(1, Some(session), ttl, now).expect("a slot");
    let (id, ended, other) = (of_session(7), of_session(7), of_session(8));
    let modern = store.create(1, now).expect("a slot");
    store.complete(&ended, &raw(r#""a result""#), now, None).expect("room");
    store.ask(&id, "k", &InputRequest::roots(), now).expect("room");
    let [driver, handler, waiter] =
        [(); 3].map(|()| Arc::new(Counting { store: Arc::clone(&store), woken: AtomicUsize::new(0) }));
    let wakers = [&driver, &handler, &waiter].map(|counting| Waker::from(Arc::clone(counting)));
    assert!(store.poll_cancelled(&id, &mut Context::from_waker(&wakers[0])).is_pending());
    assert!(store.poll_answer(&id, "k", &mut Context::from_waker(&wakers[1])).is_pending());
    let key = WaiterKey::of(&Arc::default());
    let cx = &mut Context::from_waker(&wakers[2]);
    assert!(store.poll_ended(&id, 7, key, cx).is_pending());
    store.end_session(7);
    assert_eq!([driver, handler, waiter].map(|counting| counting.woken.load(Ordering::SeqCst)), [1; 3]);
    assert!(store.poll_cancelled(&id, &mut Context::from_waker(Waker::noop())).is_ready());
    assert_eq!([&id, &ended, &other, &modern].map(|id| is_there(&store, id)), [false, false, true, true]);
    assert_eq!((store.unfinished.held(), store.bytes.get()), (2, 0));
}

/// A call becomes a task while its session ends, step by step in every order: no task is left that nobody can ask for.
#[test]
fn no_task_outlives_its_session_however_the_two_meet() {
    for first_of_end in 0..=2_usize {
        for second_of_end in first_of_end..=2 {
            let (store, now) = (store(&Limits::default()), SystemTime::now());
            let session = Session::new(7, 1);
            let mut is_refused = false;
            for step in 0..=2 {
                if step == first_of_end {
                    session.close();
                }
                if step == second_of_end && session.has_tasks() {
                    store.end_session(7);
                }
                match step {
                    0 => drop(store.create_for(1, Some(7), Duration::from_mins(1), now).expect("a slot")),
                    1 if !session.note_task() => {
                        is_refused = true;
                        store.end_session(7);
                    }
                    _ => {}
                }
            }
            assert_eq!((store.len(), store.unfinished.held()), (0, 0), "{first_of_end} {second_of_end}");
            assert_eq!(is_refused, first_of_end < 2, "{first_of_end} {second_of_end}");
        }
    }
}

/// The tasks of clients that left make room for who has many, those of clients that are there or may come back do not.
#[test]
fn what_a_client_that_left_keeps_makes_room_first() {
    let limits = Limits {
        max_tasks: 8,
        principal_share_percent: 100,
        task_poll_interval_ms: 1_000,
        ..Limits::default()
    };
    let (store, begun) = (store(&limits), SystemTime::now());
    let connections = FairLimit::new(100, 75);
    store.see_connections(&connections);
    let at = |seconds| begun + Duration::from_secs(seconds);
    let end = |principal, second| {
        let id = store.create(principal, at(second)).expect("a slot");
        store.complete(&id, &raw("{}"), at(second), None).expect("room");
        id
    };
    let there = connections.acquire(2).expect("a permit");
    let (of_left, of_there) = ([end(3, 0), end(3, 1)], [end(2, 0), end(2, 1)]);
    let mut running = Vec::new();
    let mut starts = |second| match store.create(1, at(second)) {
        Ok(id) => {
            running.push(id);
            true
        }
        Err(StoreFull) => false,
    };
    assert!((0..4).all(|_| starts(2)), "nothing is lacking");
    assert!(!starts(7), "it holds more than its share, and a client may ask from time to time");
    assert!(starts(8) && !starts(8), "the older one of who left");
    assert_eq!(of_left.each_ref().map(|id| is_there(&store, id)), [false, true]);
    assert!(starts(9) && !starts(9));
    assert!(of_there.iter().all(|id| is_there(&store, id)), "of a client that is there");
    drop(there);
    assert!(starts(11) && starts(11) && !starts(11), "it has left");
    assert_eq!(running.len(), 8);
    assert_eq!(store.why_missing(&of_left[0], TaskOwner::Principal(3)), NoTask::MadeRoom);
}

/// A task in the model beside the store.
#[derive(Debug)]
struct Known {
    principal: u128,
    session: Option<u64>,
    is_over: bool,
}

proptest! {
    /// Clients of both eras begin and end tasks, leave and come back in any order: slots are held by what runs alone, no
    /// task outlives its session, and none of a client that is there within its share makes room for another.
    #[test]
    fn slots_are_held_by_what_can_be_asked_for(
        steps in vec((0..6_u8, 0..3_u128, any::<prop::sample::Index>()), 1..80),
    ) {
        const MOST: usize = 9;
        let store = store(&Limits { max_tasks: MOST, task_poll_interval_ms: 1, ..Limits::default() });
        let connections = FairLimit::new(100, 75);
        store.see_connections(&connections);
        let mut permits: BTreeMap<u128, _> = BTreeMap::new();
        let mut sessions: [u64; 3] = [10, 11, 12];
        let (mut now, mut known) = (SystemTime::now(), BTreeMap::<String, Known>::new());
        for (step, who, which) in steps {
            now += Duration::from_millis(3);
            let session = &mut sessions[who as usize];
            let id = (!known.is_empty()).then(|| known.keys().nth(which.index(known.len())).cloned()).flatten();
            match (step, id) {
                (0 | 1, _) => {
                    let of = (step == 0).then_some(*session);
                    if let Ok(id) = store.create_for(who, of, Duration::MAX, now) {
                        let others = |holder: u128| known.values().filter(|task| task.principal == holder).count();
                        let counts = [0, 1, 2].map(others);
                        let share = MOST / counts.iter().enumerate().filter(|(at, held)| **held > 0 || *at == who as usize).count();
                        for lost in known.iter().filter(|(id, _)| !is_there(&store, id)).map(|(_, task)| task) {
                            prop_assert!(lost.is_over, "what runs makes no room");
                            let may_lose = counts[lost.principal as usize] > share.min(counts[who as usize] + 1);
                            let is_there = permits.contains_key(&lost.principal);
                            prop_assert!(lost.principal == who || may_lose || !is_there, "{:?}", lost);
                        }
                        known.retain(|id, _| is_there(&store, id));
                        known.insert(id, Known { principal: who, session: of, is_over: false });
                    }
                }
                (2, Some(id)) => {
                    store.complete(&id, &raw("{}"), now, None).expect("room");
                    known.get_mut(&id).expect("known").is_over = true;
                }
                (3, _) => {
                    store.end_session(*session);
                    known.retain(|_, task| task.session != Some(*session));
                    *session += 3;
                }
                (4, _) => drop(permits.remove(&who)),
                (5, _) => drop(permits.insert(who, connections.acquire(who).expect("a permit"))),
                _ => {}
            }
            prop_assert_eq!(store.len(), known.len());
            prop_assert!(known.keys().all(|id| is_there(&store, id)));
            prop_assert_eq!(store.unfinished.held(), known.values().filter(|task| !task.is_over).count());
        }
        for session in sessions {
            store.end_session(session);
        }
        prop_assert!(store.tasks.with(|tasks, _| tasks.values().all(|task| task.session.is_none())));
    }
}
