//! Waiting for windows: nobody waits who could go on, whoever leaves and whenever, and nobody looks at intervals.

use super::*;
use crate::server::state::memory_turns::Room;
use crate::server::tests::fair_answers::windows_within;
use proptest::prelude::*;
use std::sync::atomic::AtomicBool;
use std::task::{Wake, Waker};
use std::time::Duration;
use tokio::time::{Instant, timeout};

const SHORT: usize = price::window_bytes(SHORT_STEP_BYTES);

fn key(principal: u128, session: u64) -> SessionKey {
    SessionKey { principal, session }
}

/// A task that is polled only when it was woken, as an executor does: a wake-up that is lost shows.
struct Task {
    key: SessionKey,
    waiter: WindowWaiter,
    woken: Arc<Woken>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Task {
    fn new(windows: &WindowBudget, key: SessionKey) -> Self {
        Self { key, waiter: windows.wait(key, None), woken: Arc::new(Woken(AtomicBool::new(true))) }
    }

    fn poll(&mut self) -> Option<Window> {
        if !self.woken.0.swap(false, Ordering::SeqCst) {
            return None;
        }
        let waker = Waker::from(Arc::clone(&self.woken));
        match Pin::new(&mut self.waiter).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(window) => Some(window.expect("the server is there")),
            Poll::Pending => None,
        }
    }
}

#[derive(Debug, Clone)]
enum Act {
    Come(u128, u64),
    /// A window is given back.
    End(usize),
    /// Somebody leaves: while it waits, or when its window has come and it has not looked yet.
    Leave(usize),
    /// Those look that were woken.
    Look,
    /// Something else takes memory of the budget, or gives it back.
    Reserve(usize),
    Release(usize),
    /// Room is collected for a call, or no more.
    Collect(bool),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0..4_u128, 0..3_u64).prop_map(|(principal, session)| Act::Come(principal, session)),
        3 => any::<usize>().prop_map(Act::End),
        2 => any::<usize>().prop_map(Act::Leave),
        3 => Just(Act::Look),
        1 => (1..20_usize).prop_map(|windows| Act::Reserve(windows * SHORT / 3)),
        1 => any::<usize>().prop_map(Act::Release),
        1 => any::<bool>().prop_map(Act::Collect),
    ];
    prop::collection::vec(act, 0..200)
}

/// Takes out what `at` chooses.
fn take<T>(from: &mut Vec<T>, at: usize) -> Option<T> {
    (!from.is_empty()).then(|| from.swap_remove(at % from.len()))
}

proptest! {
    #[test]
    fn nobody_waits_who_could_go_on_whoever_leaves_and_whenever(windows_at_most in 1..24_usize, acts in acts()) {
        let memory = MemoryBudget::new(windows_at_most * SHORT);
        let turns = MemoryTurns::new(&memory);
        let windows = WindowBudget::new(memory.clone(), turns.clone(), 75);
        let (mut tasks, mut held, mut reserved) = (Vec::new(), Vec::new(), Vec::new());
        let mut collecting = None;
        for act in acts.into_iter().chain([Act::Look]) {
            match act {
                Act::Come(principal, session) => tasks.push(Task::new(&windows, key(principal, session))),
                Act::End(at) => drop(take(&mut held, at)),
                Act::Leave(at) => drop(take(&mut tasks, at)),
                Act::Reserve(bytes) => reserved.extend(memory.try_reserve(bytes).ok()),
                Act::Release(at) => drop(take(&mut reserved, at)),
                Act::Collect(begins) => collecting = begins.then(|| turns.begin_collecting()),
                Act::Look => {
                    tasks = tasks.into_iter().filter_map(|mut task: Task| match task.poll() {
                        Some(window) => {
                            held.push(window);
                            None
                        }
                        None => Some(task),
                    }).collect();
                    // Each that waits could not have a window now.
                    for task in &tasks {
                        let could = windows.try_reserve(task.key.principal);
                        prop_assert!(could.is_err(), "{:?} waits for nothing", task.key);
                    }
                }
            }
            let of_windows: usize = held.iter().map(|window: &Window| window.memory.bytes()).sum();
            let of_others: usize = reserved.iter().map(Reservation::bytes).sum();
            // What has come and was not looked at yet is held too.
            prop_assert!(memory.used_bytes() >= of_windows + of_others);
            prop_assert!(memory.used_bytes() <= memory.limit_bytes());
        }
        prop_assert_eq!(lock(&windows.shared.queue).len(), tasks.len());
        drop((tasks, held, reserved, collecting));
        prop_assert_eq!((memory.used_bytes(), lock(&windows.shared.queue).len()), (0, 0));
    }
}

/// Principals, and their sessions, have windows by turns, however many one of them asks for.
#[test]
fn windows_go_round() {
    let memory = MemoryBudget::new(SHORT);
    let windows = windows_within(&memory);
    let mut held = Some(windows.try_reserve(9).expect("the only one"));
    let keys = [key(1, 1), key(1, 1), key(1, 1), key(1, 2), key(2, 1), key(3, 1)];
    let mut tasks: Vec<_> = keys.map(|key| Task::new(&windows, key)).into();
    let mut order = Vec::new();
    while !tasks.is_empty() {
        assert!(tasks.iter_mut().all(|task| task.poll().is_none()), "there is one window");
        drop(held.take());
        let at = tasks.iter_mut().position(|task| {
            held = task.poll();
            held.is_some()
        });
        order.push(tasks.remove(at.expect("somebody is next")).key);
    }
    assert_eq!(order, [key(1, 1), key(2, 1), key(3, 1), key(1, 2), key(1, 1), key(1, 1)]);
}

/// Threads give back and take at once: no wake-up is lost between a look and the sleep after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_wake_up_is_lost_between_threads() {
    let memory = MemoryBudget::new(3 * SHORT);
    let windows = windows_within(&memory);
    let clients = (0..8_u128).map(|client| {
        let windows = windows.clone();
        tokio::spawn(async move {
            for round in 0..200 {
                let mut waiter = windows.wait(key(client, 1), None);
                if round % 5 == 0 {
                    // Leaves, at any moment of its waiting.
                    let _ = timeout(Duration::from_micros(round * 3), &mut waiter).await;
                    continue;
                }
                drop(waiter.await.expect("a window"));
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    for client in clients {
        timeout(Duration::from_mins(1), client).await.expect("nobody waits for ever").expect("no panic");
    }
    assert_eq!((memory.used_bytes(), lock(&windows.shared.queue).len()), (0, 0));
}

/// Calls that wait are not polled while nothing is given back, however long.
#[tokio::test(start_paused = true)]
async fn who_waits_looks_only_when_there_is_news() {
    let memory = MemoryBudget::new(4 * SHORT);
    let turns = MemoryTurns::new(&memory);
    let windows = WindowBudget::new(memory.clone(), turns.clone(), 75);
    let held = memory.reserve(4 * SHORT);
    let polls = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&polls);
    let deadline = Instant::now() + Duration::from_hours(2);
    let (budget, queue) = (memory.clone(), turns.clone());
    let collects = tokio::spawn(async move {
        let mut turn = queue.wait(key(1, 1), deadline).await.expect("a turn");
        let room = Room { memory: &budget, left_bytes: 0, own_bytes: 0 };
        let give_up = || {
            counts.fetch_add(1, Ordering::SeqCst);
            false
        };
        turn.collect(room, SHORT, give_up).await.map(|room| room.bytes())
    });
    let mut waiter = Box::pin(windows.wait(key(2, 1), None));
    assert!(timeout(Duration::from_hours(1), waiter.as_mut()).await.is_err());
    assert_eq!(polls.load(Ordering::SeqCst), 1, "once, when it came");
    drop(held);
    assert_eq!(collects.await.expect("no panic"), Some(2 * SHORT));
    assert!(waiter.await.is_some());
}
