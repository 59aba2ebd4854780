//! Turns of calls that wait for room among the large messages.
//!
//! A call that found no room waits for its turn; [`FairPermits`] says whose is next. Whose turn it is collects what
//! becomes free until it has what it lacked, and runs again with that. What is collected is reserved, so that no other
//! message takes it in between: who came later cannot overtake, and whoever waits has to wait for the calls before it
//! only. It collects at most half of the budget, so that one large answer does not keep all others out.
//!
//! A call of a client that holds more than its share passes its turn to one that holds less, for which answers of the
//! former that nobody reads end ([`Undelivered`]): else it would wait until they time out, and all others with it.

use crate::server::state::fair_permits::{AcquirePermit, FairPermit, FairPermits};
use crate::server::state::fair_queue::SessionKey;
use crate::server::state::room_news::RoomNews;
use crate::server::state::undelivered::{Shortage, Undelivered};
use mcpool_pools::{MemoryBudget, Reservation};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Time between two looks at who holds what, however much news there is. Where there is none, nobody looks.
const LEAST_INTERVAL: Duration = Duration::from_millis(5);

/// A call that lacks some once more gets so many times what it had: it begins anew each time.
const MORE: usize = 8;

/// Who may collect room of one budget, one at a time. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct MemoryTurns {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    turns: FairPermits,
    undelivered: Arc<Undelivered>,
    news: Arc<RoomNews>,
    /// Whether room is collected at the moment.
    has_collector: AtomicBool,
}

/// Where a call finds room, if it leaves some to others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room<'m> {
    pub(crate) memory: &'m MemoryBudget,
    pub(crate) left_bytes: usize,
    /// What the call holds of it while it waits: it would wait in vain for that.
    pub(crate) own_bytes: usize,
}

impl Room<'_> {
    /// All that the call could get.
    fn limit_bytes(&self) -> usize {
        self.memory.limit_bytes().saturating_sub(self.left_bytes + self.own_bytes)
    }

    fn free_bytes(&self) -> usize {
        self.memory.limit_bytes().saturating_sub(self.left_bytes).saturating_sub(self.memory.used_bytes())
    }
}

/// The turn of one call, until it is dropped.
pub(crate) struct MemoryTurn {
    shared: Arc<Shared>,
    key: SessionKey,
    deadline: Instant,
    /// Bytes that were free for the call when it ran last.
    had_bytes: usize,
    /// `None` while it passes its turn to another call.
    permit: Option<FairPermit>,
}

impl MemoryTurns {
    /// Turns at `memory`, which tells them of room.
    pub(crate) fn new(memory: &MemoryBudget) -> Self {
        let news = Arc::<RoomNews>::default();
        let told = Arc::clone(&news);
        let is_told = memory.notify_of_room(move || told.tell());
        debug_assert!(is_told, "a budget has one queue");
        let shared = Shared {
            turns: FairPermits::new(1),
            undelivered: Arc::new(Undelivered::new(Arc::clone(&news))),
            news,
            has_collector: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The answers that wait for their peers.
    pub(crate) fn undelivered(&self) -> &Arc<Undelivered> {
        &self.shared.undelivered
    }

    /// What those are told who wait for room.
    pub(crate) fn news(&self) -> &Arc<RoomNews> {
        &self.shared.news
    }

    #[cfg(test)]
    pub(crate) fn begin_collecting(&self) -> impl Sized + use<> {
        self.shared.begin_collecting()
    }

    /// Whether room is collected for a call.
    pub(crate) fn has_collector(&self) -> bool {
        self.shared.has_collector.load(Ordering::Relaxed)
    }

    /// Whether a turn is one of these, and lasts.
    pub(crate) fn gave(&self, turn: &MemoryTurn) -> bool {
        turn.permit.is_some() && Arc::ptr_eq(&self.shared, &turn.shared)
    }

    /// For a call that needs no turn, as it has what it waited for.
    pub(crate) fn without_turn(&self, key: SessionKey, deadline: Instant) -> MemoryTurn {
        MemoryTurn { shared: Arc::clone(&self.shared), key, deadline, had_bytes: 0, permit: None }
    }

    /// Waits for the turn of a call, until `deadline` at most.
    pub(crate) async fn wait(&self, key: SessionKey, deadline: Instant) -> Option<MemoryTurn> {
        let permit = timeout_at(deadline, self.shared.acquire(key)).await.ok().flatten()?;
        let shared = Arc::clone(&self.shared);
        Some(MemoryTurn { shared, key, deadline, had_bytes: 0, permit: Some(permit) })
    }
}

impl MemoryTurn {
    /// Whether the call has all that there is: what it lacks now, it lacks always.
    pub(crate) fn has_all(&self, room: Room<'_>) -> bool {
        self.had_bytes >= room.limit_bytes()
    }

    /// Until when the call waits.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Collects room for a call that lacked `lacking_bytes`, and for as much again: what it asked for may be a step on
    /// its way. Each time that it lacks some once more it gets far more, and all of the budget at the end.
    /// `give_up` frees something that is to go first, and tells whether there was anything.
    ///
    /// `None` at the deadline, or if the call had all of the budget already.
    pub(crate) async fn collect(
        &mut self,
        room_in: Room<'_>,
        lacking_bytes: usize,
        give_up: impl Fn() -> bool,
    ) -> Option<Reservation> {
        let limit_bytes = room_in.limit_bytes();
        let half_bytes = limit_bytes / 2;
        let wanted_bytes = match self.had_bytes {
            0 => lacking_bytes.saturating_mul(2).min(half_bytes.max(lacking_bytes)),
            had_bytes => lacking_bytes.max(had_bytes).saturating_mul(MORE),
        };
        let wanted_bytes = wanted_bytes.min(limit_bytes);
        if wanted_bytes <= self.had_bytes {
            return None;
        }
        // Beyond half of the budget, bytes have to be free at one moment: nobody keeps those from others.
        let collected_bytes = wanted_bytes.min(half_bytes);
        let mut room = room_in.memory.reserve(0);
        let looking = self.shared.news.begin();
        let mut collecting = self.shared.begin_collecting();
        let mut next_look = Instant::now();
        loop {
            // Before the look: what is given back after it is told.
            let told = looking.told();
            let missing_bytes = collected_bytes - room.bytes();
            // It fails where somebody else was faster, and where more than all is used.
            let _ = room.try_grow_leaving(missing_bytes.min(room_in.free_bytes()), room_in.left_bytes);
            if room.bytes() == collected_bytes && room_in.free_bytes() >= wanted_bytes - collected_bytes {
                self.had_bytes = wanted_bytes;
                return Some(room);
            }
            let now = Instant::now();
            if now >= self.deadline {
                return None;
            }
            if now < next_look {
                let _ = timeout_at(next_look.min(self.deadline), told).await;
                continue;
            }
            if room_in.memory.give_up_caches() || give_up() {
                continue;
            }
            if self.comes_after_another(limit_bytes) {
                room.shrink_to(0);
                drop(collecting);
                self.pass().await?;
                collecting = self.shared.begin_collecting();
                next_look = Instant::now();
                continue;
            }
            let missing_bytes = wanted_bytes.saturating_sub(room.bytes() + room_in.free_bytes());
            let shortage = Shortage { waiting: self.key, limit_bytes, missing_bytes };
            while self.shared.undelivered.end_one(&shortage, now) {}
            next_look = now + LEAST_INTERVAL;
            let next_end = self.shared.undelivered.next_end(self.key, limit_bytes, now);
            let _ = timeout_at(next_end.map_or(self.deadline, |end| end.min(self.deadline)), told).await;
        }
    }

    /// Whether a call waits whose client holds less than its share, while that of this one holds more.
    fn comes_after_another(&self, limit_bytes: usize) -> bool {
        let shares = self.shared.undelivered.shares(limit_bytes);
        self.shared.turns.any_waits(|waiting| shares.may_displace(waiting, self.key))
    }

    /// Lets others have their turns, and waits for the next one.
    async fn pass(&mut self) -> Option<()> {
        self.permit = None;
        let next = self.shared.acquire(self.key);
        self.permit = Some(timeout_at(self.deadline, next).await.ok().flatten()?);
        Some(())
    }
}

impl Shared {
    /// Waits for a turn. Whose turn it is may have to pass it to who comes.
    fn acquire(&self, key: SessionKey) -> AcquirePermit {
        let turn = self.turns.acquire(key);
        self.news.tell();
        turn
    }

    fn begin_collecting(self: &Arc<Self>) -> Collecting {
        self.has_collector.store(true, Ordering::Relaxed);
        Collecting { shared: Arc::clone(self) }
    }
}

/// Room is collected while this lives.
struct Collecting {
    shared: Arc<Shared>,
}

impl Drop for Collecting {
    fn drop(&mut self) {
        self.shared.has_collector.store(false, Ordering::Relaxed);
        self.shared.news.tell();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::state::undelivered::HeldAnswers;
    use proptest::prelude::*;
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    const SECOND: Duration = Duration::from_secs(1);

    fn key(principal: u128, session: u64) -> SessionKey {
        SessionKey { principal, session }
    }

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn within(memory: &MemoryBudget) -> Room<'_> {
        Room { memory, left_bytes: 0, own_bytes: 0 }
    }

    async fn turn(turns: &MemoryTurns, principal: u128) -> MemoryTurn {
        turns.wait(key(principal, 1), Instant::now() + 10 * SECOND).await.expect("a turn")
    }

    #[tokio::test(start_paused = true)]
    async fn what_becomes_free_is_for_whom_it_is_the_turn() {
        let memory = MemoryBudget::new(1000);
        let turns = MemoryTurns::new(&memory);
        let mut held: Vec<_> = (0..10).map(|_| memory.reserve(100)).collect();
        let mut turn = turn(&turns, 1).await;
        let collected = async {
            let room = turn.collect(within(&memory), 150, || false).await.expect("room");
            assert_eq!(room.bytes(), 300);
        };
        let others = async {
            for _ in 0..2 {
                held.pop();
                assert!(memory.try_reserve(100).is_ok(), "nobody looked yet");
                tokio::time::sleep(2 * LEAST_INTERVAL).await;
                assert!(memory.try_reserve(1).is_err(), "it is collected");
            }
            held.pop();
        };
        tokio::join!(collected, others);
        assert_eq!(memory.used_bytes(), 700, "the room is free again");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_wants_more_than_half_keeps_the_other_half_from_nobody() {
        let memory = MemoryBudget::new(1000);
        let turns = MemoryTurns::new(&memory);
        let held = memory.reserve(400);
        let mut turn = turn(&turns, 1).await;
        let mut collected = pin!(turn.collect(within(&memory), 800, || false));
        assert!(poll(collected.as_mut()).is_pending());
        assert!(memory.try_reserve(100).is_ok(), "500 of the 600 were collected");
        drop(held);
        tokio::time::advance(LEAST_INTERVAL).await;
        let Poll::Ready(room) = poll(collected.as_mut()) else { panic!("800 are free or its own") };
        assert_eq!(room.expect("room").bytes(), 500);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_lacks_once_more_gets_more_until_it_had_all() {
        let memory = MemoryBudget::new(1000);
        let turns = MemoryTurns::new(&memory);
        let mut turn = turn(&turns, 1).await;
        // Of more than half, the half is collected, and the rest has to be free.
        for (lacking, collected, free) in [(10, 20, 0), (10, 160, 0), (30, 500, 500)] {
            let others = memory.reserve(1000 - collected - free);
            let room = turn.collect(within(&memory), lacking, || false).await;
            assert_eq!(room.map(|room| room.bytes()), Some(collected), "{lacking}");
            drop(others);
        }
        assert!(turn.collect(within(&memory), 10, || false).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_nobody_waits_for_go_before_anybody_waits() {
        let memory = MemoryBudget::new(1000);
        let turns = MemoryTurns::new(&memory);
        let held = Cell::new((0..10).map(|_| memory.reserve(100)).collect::<Vec<_>>());
        let give_up = || {
            let mut left = held.take();
            let gone = left.pop().is_some();
            held.set(left);
            gone
        };
        let began = Instant::now();
        let room = turn(&turns, 1).await.collect(within(&memory), 100, give_up).await;
        assert_eq!((room.expect("room").bytes(), began.elapsed()), (200, Duration::ZERO));
        assert_eq!(held.take().len(), 8, "no more than is needed");
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_ends_at_its_deadline_and_leaves_nothing() {
        let memory = MemoryBudget::new(1000);
        let turns = MemoryTurns::new(&memory);
        // More than there is: some messages must not fail.
        let held = memory.reserve(1950);
        let began = Instant::now();
        let mut first = turn(&turns, 1).await;
        let (collected, waited) = tokio::join!(
            first.collect(within(&memory), 100, || false),
            turns.wait(key(2, 2), began + 3 * SECOND),
        );
        assert!(collected.is_none() && waited.is_none());
        assert_eq!(began.elapsed(), 10 * SECOND);
        assert_eq!(memory.used_bytes(), held.bytes());
        drop(first);
        assert!(turns.wait(key(3, 3), Instant::now()).await.is_some(), "the turn is free again");
    }

    /// Answers of one client hold all there is, and a call of it has the turn: one of another client gets it, and room.
    #[tokio::test(start_paused = true)]
    async fn who_holds_more_than_its_share_waits_behind_who_holds_less() {
        let memory = MemoryBudget::new(1000);
        let turns = MemoryTurns::new(&memory);
        let held: RefCell<Vec<_>> = RefCell::default();
        for at in 0..10 {
            let mut entry = turns.undelivered().open();
            let owner = key(1, at);
            entry.update(HeldAnswers { owner, bytes: 100, has_taken: false }, Waker::noop());
            held.borrow_mut().push((entry, memory.reserve(100), owner));
        }
        let mut hog = turns.wait(key(1, 50), Instant::now() + 600 * SECOND).await.expect("a turn");
        let mut hog_collects = pin!(hog.collect(within(&memory), 100, || false));
        assert!(poll(hog_collects.as_mut()).is_pending());
        let other = async {
            let mut turn = turns.wait(key(2, 1), Instant::now() + 600 * SECOND).await.expect("a turn");
            turn.collect(within(&memory), 100, || false).await.expect("room")
        };
        // A connection that was told to end does so when it is polled.
        let connections = async {
            loop {
                held.borrow_mut().retain_mut(|(entry, room, owner)| {
                    let bytes = room.bytes();
                    entry.update(HeldAnswers { owner: *owner, bytes, has_taken: false }, Waker::noop())
                });
                tokio::time::sleep(LEAST_INTERVAL).await;
            }
        };
        let room = tokio::select! {
            room = other => room,
            _ = hog_collects.as_mut() => panic!("the one that holds all comes first"),
            () = connections => unreachable!("it goes on"),
        };
        assert_eq!((room.bytes(), held.borrow().len()), (200, 8), "no more than is needed");
        assert!(!turns.has_collector(), "nobody collects");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_to_be_left_to_others_is_not_collected() {
        let memory = MemoryBudget::new(1000);
        let turns = MemoryTurns::new(&memory);
        let held = memory.reserve(600);
        let room = Room { memory: &memory, left_bytes: 300, own_bytes: 0 };
        let mut turn = turn(&turns, 1).await;
        let mut collected = pin!(turn.collect(room, 100, || false));
        assert!(poll(collected.as_mut()).is_pending(), "100 of the 400 are for this one");
        assert!(memory.try_reserve(300).is_ok());
        drop(held);
        tokio::time::advance(LEAST_INTERVAL).await;
        let Poll::Ready(room) = poll(collected.as_mut()) else { panic!("700 are free") };
        assert_eq!(room.expect("room").bytes(), 200);
    }

    /// It waited for its own bytes until the deadline.
    #[tokio::test(start_paused = true)]
    async fn a_call_does_not_wait_for_what_it_holds_itself() {
        for own_bytes in [1, 100, 300, 499, 500, 700, 999, 1000] {
            let memory = MemoryBudget::new(1000);
            let turns = MemoryTurns::new(&memory);
            let _own = memory.reserve(own_bytes);
            let room = Room { memory: &memory, left_bytes: 0, own_bytes };
            let (began, mut turn, mut rounds) = (Instant::now(), turn(&turns, 1).await, 0);
            while turn.collect(room, 10, || false).await.is_some() {
                rounds += 1;
            }
            assert_eq!(began.elapsed(), Duration::ZERO, "{own_bytes}");
            assert!(rounds > 0 || own_bytes == 1000, "{own_bytes}");
            assert!(turn.has_all(room), "{own_bytes}");
        }
    }

    #[derive(Debug, Clone)]
    enum Act {
        Come(u128, u64),
        /// The call whose turn it is ends.
        End,
        /// A call is cancelled, or its client leaves: while it waits, when its turn has come and it has not looked yet,
        /// or while it runs.
        Leave(usize),
        /// All look whether it is their turn.
        Look,
    }

    /// A call that came, and what it holds.
    struct Call {
        key: SessionKey,
        turn: AcquirePermit,
        permit: Option<FairPermit>,
    }

    /// The rule, as a person would write it down: all that wait, in the order in which they came.
    #[derive(Default)]
    struct Model {
        waiting: Vec<(usize, SessionKey)>,
        /// Whose turn it is.
        holder: Option<usize>,
        last_principal: u128,
        /// The session of each waiting principal that had a turn last.
        last_sessions: BTreeMap<u128, u64>,
    }

    impl Model {
        fn come(&mut self, call: usize, key: SessionKey) {
            self.waiting.push((call, key));
            if self.holder.is_none() {
                // Nobody waits, so it is no turn of the round.
                self.holder = self.waiting.pop().map(|(call, _)| call);
            }
        }

        fn leave(&mut self, call: usize) {
            self.waiting.retain(|(waiting, _)| *waiting != call);
            self.forget();
            if self.holder == Some(call) {
                self.holder = None;
                let next = self.waiting.iter().min_by_key(|(call, key)| {
                    let last_session = self.last_sessions.get(&key.principal).copied().unwrap_or_default();
                    let has_passed = (key.principal <= self.last_principal, key.session <= last_session);
                    (has_passed.0, key.principal, has_passed.1, key.session, *call)
                });
                if let Some((next, key)) = next.copied() {
                    self.holder = Some(next);
                    self.last_principal = key.principal;
                    self.last_sessions.insert(key.principal, key.session);
                    self.waiting.retain(|(waiting, _)| *waiting != next);
                    self.forget();
                }
            }
        }

        fn forget(&mut self) {
            let waits = |principal| self.waiting.iter().any(|(_, key)| key.principal == principal);
            self.last_sessions.retain(|principal, _| waits(*principal));
        }
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            4 => (0..4_u128, 0..3_u64).prop_map(|(principal, session)| Act::Come(principal, session)),
            3 => Just(Act::End),
            2 => any::<usize>().prop_map(Act::Leave),
            2 => Just(Act::Look),
        ];
        prop::collection::vec(act, 0..200)
    }

    proptest! {
        #[test]
        fn turns_go_round_whoever_leaves_and_whenever(acts in acts()) {
            let turns = MemoryTurns::new(&MemoryBudget::new(0));
            let mut model = Model::default();
            let mut calls: BTreeMap<usize, Call> = BTreeMap::new();
            for (number, act) in acts.into_iter().chain([Act::Look]).enumerate() {
                match act {
                    Act::Come(principal, session) => {
                        let key = key(principal, session);
                        let turn = turns.shared.turns.acquire(key);
                        calls.insert(number, Call { key, turn, permit: None });
                        model.come(number, key);
                    }
                    Act::End => {
                        let running = calls.iter().find(|(_, call)| call.permit.is_some());
                        if let Some(running) = running.map(|(number, _)| *number) {
                            calls.remove(&running);
                            model.leave(running);
                        }
                    }
                    Act::Leave(at) if !calls.is_empty() => {
                        let number = *calls.keys().nth(at % calls.len()).expect("there are so many");
                        calls.remove(&number);
                        model.leave(number);
                    }
                    Act::Leave(_) => {}
                    Act::Look => {
                        for call in calls.values_mut().filter(|call| call.permit.is_none()) {
                            if let Poll::Ready(permit) = poll(Pin::new(&mut call.turn)) {
                                call.permit = permit;
                            }
                        }
                        let running = calls.iter().filter(|(_, call)| call.permit.is_some());
                        let running: Vec<_> = running.map(|(number, call)| (*number, call.key)).collect();
                        prop_assert_eq!(running.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
                            Vec::from_iter(model.holder), "of {:?}", running);
                    }
                }
            }
        }
    }
}
