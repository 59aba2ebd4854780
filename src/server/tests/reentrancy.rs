//! Wakers, and values of toolsets, may call back into the type that wakes or drops them: it must hold no lock then.

use crate::limits::{Limits, price};
use crate::memory::{IncomingMessages, IncomingRoom};
use crate::protocol::{InputRequest, ToolDefinition};
use crate::server::state::call_state::CallState;
use crate::server::state::changes::{Changes, Filter, Kind};
use crate::server::state::client_requests::{ClientRequestLimit, ClientRequests};
use crate::server::state::event_store::EventStore;
use crate::server::state::fair_permits::FairPermits;
use crate::server::state::fair_queue::SessionKey;
use crate::server::state::lasting::LastingBudget;
use crate::server::state::outgoing::Outgoing;
use crate::server::state::session::{Session, SessionValues};
use crate::server::state::task_store::TaskStore;
use crate::server::state::wake_list::Guarded;
use crate::server::tests::fair_answers::windows_within;
use crate::server::{Finished, Server, ToolRequest, Toolset};
use mcpool_pools::{BufferLease, BufferPool, MemoryBudget};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant, SystemTime};

/// A waker that calls back when it is woken and when it is dropped.
struct Callback<F: Fn() + Send + Sync + 'static> {
    call_back: F,
    woken: Arc<AtomicUsize>,
}

impl<F: Fn() + Send + Sync> Wake for Callback<F> {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, Ordering::SeqCst);
        (self.call_back)();
    }
}

impl<F: Fn() + Send + Sync> Drop for Callback<F> {
    fn drop(&mut self) {
        (self.call_back)();
    }
}

/// Makes wakers that call back into the value under test.
struct CallbackWakers {
    woken: Arc<AtomicUsize>,
    call_back: Arc<dyn Fn() + Send + Sync>,
}

impl CallbackWakers {
    fn of<T: Send + Sync + 'static>(what: &Arc<T>, call_back: impl Fn(&T) + Send + Sync + 'static) -> Self {
        let what = Arc::clone(what);
        Self { woken: Arc::default(), call_back: Arc::new(move || call_back(&what)) }
    }

    fn waker(&self) -> Waker {
        let call_back = Arc::clone(&self.call_back);
        Waker::from(Arc::new(Callback { call_back: move || call_back(), woken: Arc::clone(&self.woken) }))
    }

    fn poll<R>(&self, poll: impl FnOnce(&mut Context<'_>) -> R) -> R {
        poll(&mut Context::from_waker(&self.waker()))
    }
}

/// Runs `work`, and fails where it waits for a lock that its own thread holds.
fn without_deadlock(work: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::sync_channel(1);
    let thread = std::thread::spawn(move || {
        work();
        // The receiver is gone only if the test has failed already.
        let _ = done.send(());
    });
    match ended.recv_timeout(Duration::from_mins(1)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("foreign code runs under a lock"),
        // A panic of `work` has the better message.
        _ => thread.join().expect("no panic"),
    }
}

fn message() -> BufferLease {
    BufferPool::default().acquire(8)
}

#[test]
fn all_tasks_are_woken_when_the_lock_is_free() {
    without_deadlock(|| {
        let guarded = Arc::new(Guarded::new(0));
        let wakers = CallbackWakers::of(&guarded, |guarded| guarded.with(|count, _| *count += 1));
        for _ in 0..3 {
            guarded.with(|_, wakes| (0..5).for_each(|_| wakes.push(Some(wakers.waker()))));
        }
        assert_eq!(wakers.woken.load(Ordering::SeqCst), 15);
        assert_eq!(guarded.with(|count, _| *count), 30, "when it is woken and when it goes");
    });
}

#[test]
fn changes_wake_without_locks() {
    without_deadlock(|| {
        let changes =
            Arc::new(Changes::new(&Limits::default(), LastingBudget::new(MemoryBudget::new(1 << 20), 75)));
        let filter = Filter { tools: true, uris: vec!["a:/1".into()], ..Filter::default() };
        let wakers = CallbackWakers::of(&changes, move |changes| {
            drop(
                changes.subscribe(1, &Filter { tools: true, uris: vec!["a:/1".into()], ..Filter::default() }),
            );
            changes.bytes();
        });
        let subscriptions = [(); 3].map(|()| changes.subscribe(1, &filter).expect("room"));
        let poll = || {
            for subscription in &subscriptions {
                while subscription.next().is_some() {}
                assert!(wakers.poll(|cx| subscription.poll_changed(cx)).is_pending());
            }
        };
        poll();
        changes.changed(Kind::Tools);
        poll();
        changes.updated("a:/1");
        assert_eq!(wakers.woken.load(Ordering::SeqCst), 6);
        poll();
        drop(subscriptions);
    });
}

fn key(principal: u128) -> SessionKey {
    SessionKey { principal, session: 1 }
}

/// Whoever gives memory back wakes those that wait for it, and they may take some, give it back and wait again at once.
#[test]
fn what_is_given_back_wakes_without_locks() {
    without_deadlock(|| {
        let windows = Arc::new(windows_within(&MemoryBudget::new(1 << 20)));
        let wakers = CallbackWakers::of(&windows, |windows| {
            drop(windows.try_reserve(9));
            drop(windows.wait(key(9), None));
            drop(windows.memory().try_reserve(1));
        });
        for give_back in 0..2 {
            let all = windows.memory().reserve(1 << 20);
            let mut waiters: Vec<_> = (1..4).map(|one| Box::pin(windows.wait(key(one), None))).collect();
            for waiter in &mut waiters {
                assert!(wakers.poll(|cx| waiter.as_mut().poll(cx)).is_pending());
            }
            // One that leaves drops its waker, and may have stood before others.
            drop(waiters.pop());
            if give_back == 0 {
                drop(all);
            } else {
                let mut all = all;
                all.shrink_to(price::window_bytes(price::SEGMENT_BYTES));
            }
            for waiter in &mut waiters {
                assert!(wakers.poll(|cx| waiter.as_mut().poll(cx)).is_ready());
            }
        }
        assert!(wakers.woken.load(Ordering::SeqCst) >= 4);
        assert_eq!(windows.memory().used_bytes(), 0);
    });
}

#[test]
fn turns_wake_without_locks() {
    without_deadlock(|| {
        let turns = Arc::new(FairPermits::new(1));
        let wakers = CallbackWakers::of(&turns, |turns| {
            drop(turns.acquire(key(9)));
            turns.any_waits(|_| true);
        });
        let mut first = pin!(turns.acquire(key(1)));
        let held = wakers.poll(|cx| first.as_mut().poll(cx));
        let mut second = pin!(turns.acquire(key(2)));
        assert!(held.is_ready() && wakers.poll(|cx| second.as_mut().poll(cx)).is_pending());
        let mut leaving = Box::pin(turns.acquire(key(3)));
        assert!(wakers.poll(|cx| leaving.as_mut().poll(cx)).is_pending());
        drop(leaving);
        drop(held);
        assert!(wakers.poll(|cx| second.as_mut().poll(cx)).is_ready());
        assert_eq!(wakers.woken.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn messages_that_make_way_wake_without_locks() {
    without_deadlock(|| {
        let memory = MemoryBudget::new(1_000);
        let room = IncomingRoom { memory: memory.clone(), left_bytes: 0, tables: memory.clone() };
        let messages = Arc::new(IncomingMessages::new(room));
        let wakers = CallbackWakers::of(&messages, |messages| {
            let mut message = messages.begin(9);
            message.hold(1);
            message.sleep(Waker::noop());
        });
        let mut held = messages.begin(1);
        assert!(held.hold(900) && held.sleep(&wakers.waker()) && held.sleep(&wakers.waker()));
        let waiting = messages.begin(2);
        assert!(waiting.await_room(
            100,
            &wakers.waker(),
            tokio::time::Instant::now() + Duration::from_mins(1)
        ));
        let woken = || wakers.woken.load(Ordering::SeqCst);
        // The messages that the waker ends wake who waits, too: it says anew how.
        let before = woken();
        assert!(before > 0 && waiting.sleep(&wakers.waker()));
        drop(held);
        assert!(woken() > before);
        drop(waiting);
    });
}

#[test]
fn queues_wake_without_locks() {
    without_deadlock(|| {
        let outgoing = Arc::new(Outgoing::new(1 << 20));
        let wakers = CallbackWakers::of(&outgoing, |outgoing| {
            outgoing.wake_when_empty(Waker::noop());
            outgoing.next();
        });
        for _ in 0..2 {
            outgoing.register(&wakers.waker());
            assert!(outgoing.send(message()));
            outgoing.wake_when_empty(&wakers.waker());
            outgoing.wake_when_empty(&wakers.waker());
            assert!(outgoing.send(message()));
            while outgoing.next().is_some() {}
            outgoing.register(&wakers.waker());
            outgoing.wake_when_empty(&wakers.waker());
            outgoing.clear();
        }
        assert!(wakers.woken.load(Ordering::SeqCst) > 0);
    });
}

#[test]
fn client_requests_wake_without_locks() {
    without_deadlock(|| {
        let both = Arc::new((ClientRequests::default(), ClientRequestLimit::new(100)));
        let wakers = CallbackWakers::of(&both, |(requests, limit)| drop(requests.open(limit).expect("room")));
        let (requests, limit) = &*both;
        let opened: Vec<_> = (0..32).map(|_| requests.open(limit).expect("room")).collect();
        let mut waits: Vec<_> =
            opened.into_iter().map(|request| Box::pin(request.wait(Duration::from_secs(9)))).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let _entered = runtime.enter();
        // The second poll drops the waker of the first.
        for _ in 0..2 {
            for wait in &mut waits {
                assert!(wakers.poll(|cx| wait.as_mut().poll(cx)).is_pending());
            }
        }
        drop(waits.split_off(16));
        requests.close();
        assert!(wakers.woken.load(Ordering::SeqCst) >= 16);
    });
}

#[test]
fn streams_wake_without_locks() {
    without_deadlock(|| {
        let store = Arc::new(EventStore::new(&Limits::default()));
        let wakers = CallbackWakers::of(&store, |store| {
            store.session_bytes(1);
            store.streams();
            store.shrink_to(0);
        });
        let (writer, mut reader) = store.open(1);
        for _ in 0..2 {
            while wakers.poll(|cx| reader.poll_next(cx)).is_ready() {}
            writer.push(message()).expect("room");
        }
        writer.release();
        let mut again = store.resume(1, &reader.event_id(2)).expect("kept");
        while wakers.poll(|cx| again.poll_next(cx)).is_ready() {}
        store.drop_session(1);
        let (other, mut reader) = store.open(1);
        assert!(wakers.poll(|cx| reader.poll_next(cx)).is_pending());
        other.push_answer(message());
        store.sweep(Instant::now() + Duration::from_hours(1));
        assert!(wakers.woken.load(Ordering::SeqCst) >= 4);
    });
}

#[test]
fn tasks_wake_without_locks() {
    without_deadlock(|| {
        let store = Arc::new(TaskStore::new(&Limits::default()));
        let wakers = CallbackWakers::of(&store, |store| assert!(store.len() < 9));
        let now = SystemTime::now();
        let ends: [&dyn Fn(&str); 3] =
            [&|id| assert!(store.cancel(id, 1, now)), &|_| store.cancel_all(now), &|_| {
                store.sweep(now + Limits::default().task_ttl());
            }];
        for end in ends {
            let id = store.create(1, now).expect("room");
            store.ask(&id, "k", &InputRequest::roots(), now).expect("room");
            store.ask(&id, "l", &InputRequest::roots(), now).expect("room");
            for _ in 0..2 {
                assert!(wakers.poll(|cx| store.poll_cancelled(&id, cx)).is_pending());
                assert!(wakers.poll(|cx| store.poll_answer(&id, "k", cx)).is_pending());
                assert!(wakers.poll(|cx| store.poll_answer(&id, "l", cx)).is_pending());
            }
            store.update(&id, 1, [("k", "{}")].into_iter(), now);
            end(&id);
        }
        assert_eq!(wakers.woken.load(Ordering::SeqCst), 9);
    });
}

#[test]
fn sessions_end_without_locks() {
    without_deadlock(|| {
        let session = Arc::new(Session::new(1, 1));
        let wakers = CallbackWakers::of(&session, |session| {
            session.running();
            drop(session.subscription());
        });
        let call = Arc::new(CallState::default());
        call.register(&wakers.waker());
        assert!(session.begin(&call, true, 9).is_ok());
        let changes = Changes::new(&Limits::default(), LastingBudget::new(MemoryBudget::new(1 << 20), 75));
        for _ in 0..2 {
            let subscription =
                changes.subscribe(1, &Filter { tools: true, ..Filter::default() }).expect("room");
            assert!(wakers.poll(|cx| subscription.poll_changed(cx)).is_pending());
            session.subscribe(subscription);
        }
        assert_eq!(changes.len(), 1, "one that is there already stays");
        session.close();
        assert_eq!((wakers.woken.load(Ordering::SeqCst), changes.len()), (1, 0));
    });
}

/// A value of a toolset that calls back when it is dropped.
struct Value(Arc<SessionValues>);

impl Drop for Value {
    fn drop(&mut self) {
        self.0.bytes();
    }
}

#[test]
fn values_of_toolsets_are_dropped_without_locks() {
    without_deadlock(|| {
        let values = Arc::new(SessionValues::default());
        (0..3).for_each(|_| values.put(Arc::new(Value(Arc::clone(&values))), 0));
    });
}

/// A toolset that calls the server back when the server lists it.
#[derive(Clone, Default)]
struct CallingToolset(Arc<(OnceLock<Server>, AtomicBool)>);

impl CallingToolset {
    fn ask(&self) {
        let (server, is_asking) = &*self.0;
        if let Some(server) = server.get()
            && !is_asking.swap(true, Ordering::SeqCst)
        {
            server.memory().report();
            server.offer_tool("none", is_asking.load(Ordering::SeqCst));
            is_asking.store(false, Ordering::SeqCst);
        }
    }
}

impl Toolset for CallingToolset {
    fn definitions(&self) -> Vec<ToolDefinition> {
        Vec::new()
    }

    fn call<'f>(&'f self, _: usize, request: ToolRequest<'f>) -> impl Future<Output = Finished> + Send + 'f {
        std::future::ready(request.refuse_unknown())
    }

    fn state_bytes(&self) -> usize {
        self.ask();
        0
    }
}

impl crate::server::Prompts for CallingToolset {
    fn list(&self) -> Vec<crate::protocol::Prompt> {
        self.ask();
        Vec::new()
    }

    async fn get(
        &self,
        _: &str,
        _: &mut crate::server::PromptContext,
    ) -> Result<(), crate::server::ToolError> {
        Ok(())
    }
}

#[test]
fn toolsets_may_call_the_server_that_calls_them() {
    without_deadlock(|| {
        let toolset = CallingToolset::default();
        let server = Server::builder("t", "1").toolset(toolset.clone()).prompts(toolset.clone());
        let server = server.build().expect("a server");
        assert!(toolset.0.0.set(server.clone()).is_ok());
        server.maintain();
        server.memory().optimize_memory_usage();
        server.prompts_changed();
    });
}
