//! Wakers and values of toolsets may call back into what wakes or drops them: no lock is held then.

use crate::limits::Limits;
use crate::protocol::InputRequest;
use crate::protocol::ToolDefinition;
use crate::server::state::call_state::CallState;
use crate::server::state::changes::{Changes, Filter, Kind};
use crate::server::state::client_requests::{ClientRequestLimit, ClientRequests};
use crate::server::state::event_store::EventStore;
use crate::server::state::outgoing::Outgoing;
use crate::server::state::session::{Session, SessionValues};
use crate::server::state::task_store::TaskStore;
use crate::server::state::wake_list::Guarded;
use crate::server::{Finished, Server, ToolRequest, Toolset};
use mcpool_pools::{BufferLease, BufferPool};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant, SystemTime};

/// Code of others: it looks into what it is told from, when it is woken and when it goes.
struct Nosy<F: Fn() + Send + Sync + 'static> {
    look: F,
    woken: Arc<AtomicUsize>,
}

impl<F: Fn() + Send + Sync> Wake for Nosy<F> {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, Ordering::SeqCst);
        (self.look)();
    }
}

impl<F: Fn() + Send + Sync> Drop for Nosy<F> {
    fn drop(&mut self) {
        (self.look)();
    }
}

/// Makes wakers that look into something.
struct Nosies {
    woken: Arc<AtomicUsize>,
    look: Arc<dyn Fn() + Send + Sync>,
}

impl Nosies {
    fn of<T: Send + Sync + 'static>(what: &Arc<T>, look: impl Fn(&T) + Send + Sync + 'static) -> Self {
        let what = Arc::clone(what);
        Self { woken: Arc::default(), look: Arc::new(move || look(&what)) }
    }

    fn waker(&self) -> Waker {
        let look = Arc::clone(&self.look);
        Waker::from(Arc::new(Nosy { look: move || look(), woken: Arc::clone(&self.woken) }))
    }

    fn poll<R>(&self, poll: impl FnOnce(&mut Context<'_>) -> R) -> R {
        poll(&mut Context::from_waker(&self.waker()))
    }
}

/// A lock that is taken twice waits for ever: this fails instead.
fn without_waiting(work: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::sync_channel(1);
    let thread = std::thread::spawn(move || {
        work();
        // Nobody listens any more only where this has failed already.
        let _ = done.send(());
    });
    match ended.recv_timeout(Duration::from_mins(1)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("code of others runs under a lock"),
        // A panic of its own, if there was one, is the better message.
        _ => thread.join().expect("no panic"),
    }
}

fn message() -> BufferLease {
    BufferPool::default().acquire(8)
}

#[test]
fn all_are_woken_when_the_lock_is_free() {
    without_waiting(|| {
        let guarded = Arc::new(Guarded::new(0));
        let nosies = Nosies::of(&guarded, |guarded| guarded.with(|count, _| *count += 1));
        for _ in 0..3 {
            guarded.with(|_, after| (0..5).for_each(|_| after.wake(Some(nosies.waker()))));
        }
        assert_eq!(nosies.woken.load(Ordering::SeqCst), 15);
        assert_eq!(guarded.with(|count, _| *count), 30, "when it is woken and when it goes");
    });
}

#[test]
fn changes_wake_without_their_locks() {
    without_waiting(|| {
        let changes = Arc::new(Changes::new(&Limits::default()));
        let filter = Filter { tools: true, uris: vec!["a:/1".into()], ..Filter::default() };
        let nosies = Nosies::of(&changes, move |changes| {
            drop(
                changes.subscribe(1, &Filter { tools: true, uris: vec!["a:/1".into()], ..Filter::default() }),
            );
            changes.bytes();
        });
        let subscriptions = [(); 3].map(|()| changes.subscribe(1, &filter).expect("room"));
        let poll = || {
            for subscription in &subscriptions {
                while subscription.next().is_some() {}
                assert!(nosies.poll(|cx| subscription.poll_changed(cx)).is_pending());
            }
        };
        poll();
        changes.changed(Kind::Tools);
        poll();
        changes.updated("a:/1");
        assert_eq!(nosies.woken.load(Ordering::SeqCst), 6);
        poll();
        drop(subscriptions);
    });
}

#[test]
fn queues_wake_without_their_lock() {
    without_waiting(|| {
        let outgoing = Arc::new(Outgoing::new(1 << 20));
        let nosies = Nosies::of(&outgoing, |outgoing| {
            outgoing.register_room(Waker::noop());
            outgoing.next();
        });
        for _ in 0..2 {
            outgoing.register(&nosies.waker());
            assert!(outgoing.send(message()));
            outgoing.register_room(&nosies.waker());
            outgoing.register_room(&nosies.waker());
            assert!(outgoing.send(message()));
            while outgoing.next().is_some() {}
            outgoing.register(&nosies.waker());
            outgoing.register_room(&nosies.waker());
            outgoing.clear();
        }
        assert!(nosies.woken.load(Ordering::SeqCst) > 0);
    });
}

#[test]
fn waits_for_clients_wake_without_their_locks() {
    without_waiting(|| {
        let both = Arc::new((ClientRequests::default(), ClientRequestLimit::new(100)));
        let nosies = Nosies::of(&both, |(requests, limit)| drop(requests.open(limit).expect("room")));
        let (requests, limit) = &*both;
        let tickets: Vec<_> = (0..32).map(|_| requests.open(limit).expect("room")).collect();
        let mut waits: Vec<_> =
            tickets.into_iter().map(|ticket| Box::pin(ticket.wait(Duration::from_secs(9)))).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let _entered = runtime.enter();
        // The second time, the waker of the first goes.
        for _ in 0..2 {
            for wait in &mut waits {
                assert!(nosies.poll(|cx| wait.as_mut().poll(cx)).is_pending());
            }
        }
        drop(waits.split_off(16));
        requests.close();
        assert!(nosies.woken.load(Ordering::SeqCst) >= 16);
    });
}

#[test]
fn streams_wake_without_their_locks() {
    without_waiting(|| {
        let store = Arc::new(EventStore::new(&Limits::default()));
        let nosies = Nosies::of(&store, |store| {
            store.session_bytes(1);
            store.streams();
            store.shrink_to(0);
        });
        let (writer, mut reader) = store.open(1);
        for _ in 0..2 {
            while nosies.poll(|cx| reader.poll_next(cx)).is_ready() {}
            writer.push(message()).expect("room");
        }
        writer.release();
        let mut again = store.resume(1, &reader.event_id(2)).expect("kept");
        while nosies.poll(|cx| again.poll_next(cx)).is_ready() {}
        store.drop_session(1);
        let (other, mut reader) = store.open(1);
        assert!(nosies.poll(|cx| reader.poll_next(cx)).is_pending());
        other.push_answer(message());
        store.sweep(Instant::now() + Duration::from_hours(1));
        assert!(nosies.woken.load(Ordering::SeqCst) >= 4);
    });
}

#[test]
fn tasks_wake_without_their_lock() {
    without_waiting(|| {
        let store = Arc::new(TaskStore::new(&Limits::default()));
        let nosies = Nosies::of(&store, |store| assert!(store.len() < 9));
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
                assert!(nosies.poll(|cx| store.poll_cancelled(&id, cx)).is_pending());
                assert!(nosies.poll(|cx| store.poll_answer(&id, "k", cx)).is_pending());
                assert!(nosies.poll(|cx| store.poll_answer(&id, "l", cx)).is_pending());
            }
            store.update(&id, 1, [("k", "{}")].into_iter(), now);
            end(&id);
        }
        assert_eq!(nosies.woken.load(Ordering::SeqCst), 9);
    });
}

#[test]
fn sessions_end_without_their_locks() {
    without_waiting(|| {
        let session = Arc::new(Session::new(1, 1));
        let nosies = Nosies::of(&session, |session| {
            session.running();
            drop(session.subscription());
        });
        let call = Arc::new(CallState::default());
        call.register(&nosies.waker());
        assert!(session.begin(&call, true, 9).is_ok());
        let changes = Changes::new(&Limits::default());
        for _ in 0..2 {
            let subscription =
                changes.subscribe(1, &Filter { tools: true, ..Filter::default() }).expect("room");
            assert!(nosies.poll(|cx| subscription.poll_changed(cx)).is_pending());
            session.subscribe(subscription);
        }
        assert_eq!(changes.len(), 1, "one that is there already stays");
        session.close();
        assert_eq!((nosies.woken.load(Ordering::SeqCst), changes.len()), (1, 0));
    });
}

/// A toolset's value that looks at its siblings when it goes.
struct Value(Arc<SessionValues>);

impl Drop for Value {
    fn drop(&mut self) {
        self.0.bytes();
    }
}

#[test]
fn values_of_toolsets_go_without_a_lock() {
    without_waiting(|| {
        let values = Arc::new(SessionValues::default());
        (0..3).for_each(|_| values.put(Arc::new(Value(Arc::clone(&values))), 0));
    });
}

/// Asks the server that asks it, and hides a tool of it when it is listed.
#[derive(Clone, Default)]
struct Curious(Arc<(OnceLock<Server>, AtomicBool)>);

impl Curious {
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

impl Toolset for Curious {
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

impl crate::server::Prompts for Curious {
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
fn toolsets_may_ask_the_server_that_asks_them() {
    without_waiting(|| {
        let curious = Curious::default();
        let server = Server::builder("t", "1").toolset(curious.clone()).prompts(curious.clone());
        let server = server.build().expect("a server");
        assert!(curious.0.0.set(server.clone()).is_ok());
        server.maintain();
        server.memory().optimize_memory_usage();
        server.prompts_changed();
    });
}
