//! Whose work runs on the blocking threads, and who is next.
//!
//! Work on files cannot be interrupted by others, only end; so what is shared out are turns. There is one for
//! each of `max_blocking_threads`. No principal has all of them at once: however much it asks for, one is left
//! for whoever comes next; and no session has all that its principal may have, as clients that show no token
//! may be one principal. Those who wait are served in turn, principal after principal and, within one,
//! session after session; a session's own calls come in their order. So a client that asks for a hundred
//! searches delays its own hundredth search, and nobody else's read.
//!
//! How much may wait is bounded where requests are taken in (`max_concurrent_requests`). Who gives up waiting
//! leaves the line at once.

use crate::lock::lock;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Bound::{Excluded, Unbounded};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Party {
    pub(crate) principal: u128,
    /// The number of its session; those without one share a number.
    pub(crate) session: u64,
}

/// The turns of one server. Cloning makes another handle to the same.
#[derive(Clone)]
pub(crate) struct Turns {
    inner: Arc<Inner>,
}

struct Inner {
    threads: usize,
    /// Most turns of one principal.
    share: usize,
    /// Most turns of one session.
    session_share: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: usize,
    /// Who has turns, and how many.
    holders: Holders,
    waiting: Line,
}

/// The right to use a thread, until it is dropped.
pub(crate) struct Turn {
    /// `None` once it was given back.
    inner: Option<Arc<Inner>>,
    /// Of its holder.
    entry: usize,
}

/// A turn, or the wait for one, which is in a box: all requests have room for the largest of their futures.
pub(crate) enum Taking {
    /// It is there. Empty once it was polled.
    Now(Option<Turn>),
    /// Others have all of them.
    Later(Box<Ticket>),
}

/// A place in the line of those who wait; dropping it gives it up.
pub(crate) struct Ticket {
    receiver: oneshot::Receiver<Turn>,
    inner: Arc<Inner>,
    /// `None` once what it waited for has come: nothing of it is in the line any more.
    place: Option<Place>,
}

/// Where in the line a ticket stands.
struct Place {
    party: Party,
    number: u64,
}

impl Turns {
    pub(crate) fn new(threads: usize) -> Self {
        let share = threads.saturating_sub(1).max(1);
        let session_share = share.saturating_sub(1).max(1);
        let state = State { holders: Holders(Vec::with_capacity(threads)), ..State::default() };
        Self { inner: Arc::new(Inner { threads, share, session_share, state: Mutex::new(state) }) }
    }

    /// A turn, as soon as one is free.
    pub(crate) fn wait(&self, party: Party) -> Taking {
        match self.take(party) {
            Ok(turn) => Taking::Now(Some(turn)),
            Err(ticket) => Taking::Later(Box::new(ticket)),
        }
    }

    /// A turn at once, where one is free.
    fn take(&self, party: Party) -> Result<Turn, Ticket> {
        let mut state = self.inner.lock();
        if state.running < self.inner.threads && self.inner.may_have_one(&state.holders, party) {
            let entry = state.begin(party);
            return Ok(self.inner.turn(entry));
        }
        let (sender, receiver) = oneshot::channel();
        let number = state.waiting.push(party, sender);
        let place = Some(Place { party, number });
        Err(Ticket { receiver, inner: Arc::clone(&self.inner), place })
    }

    /// How many have a turn, and how many wait for one.
    #[cfg(test)]
    fn counts(&self) -> (usize, usize) {
        let state = self.inner.lock();
        (state.running, state.waiting.len)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn turn(self: &Arc<Self>, entry: usize) -> Turn {
        Turn { inner: Some(Arc::clone(self)), entry }
    }

    fn may_have_one(&self, holders: &Holders, party: Party) -> bool {
        holders.of_principal(party.principal) < self.share && holders.of_session(party) < self.session_share
    }

    /// Gives free turns to those who wait. Wakers run without the lock.
    fn hand_out(self: &Arc<Self>) {
        loop {
            let next = {
                let mut state = self.lock();
                if state.running >= self.threads {
                    return;
                }
                let State { waiting, holders, .. } = &mut *state;
                let Some((party, sender)) = waiting.pop(|party| self.may_have_one(holders, party)) else {
                    return;
                };
                (self.turn(state.begin(party)), sender)
            };
            let (turn, sender) = next;
            // Who has gone in the meantime gives the turn back, without another round through here.
            if let Err(turn) = sender.send(turn) {
                turn.give_back();
            }
        }
    }
}

impl State {
    /// Begins a turn, and tells the entry of its holder.
    fn begin(&mut self, party: Party) -> usize {
        self.running += 1;
        self.holders.begin(party)
    }

    fn end(&mut self, entry: usize) {
        self.running -= 1;
        self.holders.end(entry);
    }
}

/// How many turns each session has. An entry stays where it is while it has any, and no more are needed than there
/// are threads.
#[derive(Default)]
struct Holders(Vec<(Party, usize)>);

impl Holders {
    fn of_principal(&self, principal: u128) -> usize {
        self.0.iter().filter(|(holder, _)| holder.principal == principal).map(|(_, turns)| turns).sum()
    }

    fn of_session(&self, party: Party) -> usize {
        self.0.iter().filter(|(holder, _)| *holder == party).map(|(_, turns)| turns).sum()
    }

    fn begin(&mut self, party: Party) -> usize {
        let known = self.0.iter().position(|(holder, turns)| *holder == party && *turns > 0);
        let entry = known.or_else(|| self.0.iter().position(|(_, turns)| *turns == 0));
        let entry = entry.unwrap_or_else(|| {
            self.0.push((party, 0));
            self.0.len() - 1
        });
        let (holder, turns) = &mut self.0[entry];
        *holder = party;
        *turns += 1;
        entry
    }

    fn end(&mut self, entry: usize) {
        self.0[entry].1 -= 1;
    }
}

impl Turn {
    /// Ends the turn; what is free now is not handed out.
    fn give_back(mut self) {
        if let Some(inner) = self.inner.take() {
            inner.lock().end(self.entry);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            inner.lock().end(self.entry);
            inner.hand_out();
        }
    }
}

impl Future for Ticket {
    /// `None` only where the line is gone with its server.
    type Output = Option<Turn>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Turn>> {
        let turn = ready!(Pin::new(&mut self.receiver).poll(cx));
        self.place = None;
        Poll::Ready(turn.ok())
    }
}

impl Future for Taking {
    /// `None` only where the line is gone with its server.
    type Output = Option<Turn>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Turn>> {
        match self.get_mut() {
            Self::Now(turn) => Poll::Ready(turn.take()),
            Self::Later(ticket) => Pin::new(ticket).poll(cx),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        // From here on nothing can be sent to it; a turn that was sent before is dropped with the receiver.
        self.receiver.close();
        let gone = self.inner.lock().waiting.remove(&place);
        // A sender is foreign to this lock.
        drop(gone);
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.inner.lock();
        f.debug_struct("Turns")
            .field("threads", &self.inner.threads)
            .field("running", &state.running)
            .field("waiting", &state.waiting.len)
            .finish()
    }
}

type Sender = oneshot::Sender<Turn>;

/// Those who wait. Each level is gone through in the order of its keys, round and round.
#[derive(Default)]
struct Line {
    principals: BTreeMap<u128, Sessions>,
    last: u128,
    len: usize,
    /// Of the next ticket.
    number: u64,
}

#[derive(Default)]
struct Sessions {
    /// The calls of each session by their tickets' numbers, which ascend.
    sessions: BTreeMap<u64, VecDeque<(u64, Sender)>>,
    last: u64,
}

impl Line {
    /// Takes the last place of a session; gives the number of its ticket.
    fn push(&mut self, party: Party, sender: Sender) -> u64 {
        let number = self.number;
        self.number += 1;
        let sessions = self.principals.entry(party.principal).or_default();
        sessions.sessions.entry(party.session).or_default().push_back((number, sender));
        self.len += 1;
        number
    }

    /// Who is next among those that may have one.
    fn pop(&mut self, may: impl Fn(Party) -> bool) -> Option<(Party, Sender)> {
        let behind = self.principals.range((Excluded(self.last), Unbounded));
        let party = behind.chain(&self.principals).find_map(|(principal, sessions)| {
            let party = |session| Party { principal: *principal, session };
            sessions.next(|session| may(party(session))).map(party)
        })?;
        let sender = self.principals.get_mut(&party.principal)?.pop(party.session)?;
        self.note_left(party.principal);
        self.last = party.principal;
        Some((party, sender))
    }

    /// Gives a place up; `None` where its turn has come meanwhile.
    fn remove(&mut self, place: &Place) -> Option<Sender> {
        let Party { principal, session } = place.party;
        let sender = self.principals.get_mut(&principal)?.remove(session, place.number)?;
        self.note_left(principal);
        Some(sender)
    }

    fn note_left(&mut self, principal: u128) {
        self.len -= 1;
        if self.principals.get(&principal).is_some_and(|sessions| sessions.sessions.is_empty()) {
            self.principals.remove(&principal);
        }
    }
}

impl Sessions {
    fn next(&self, may: impl Fn(u64) -> bool) -> Option<u64> {
        let behind = self.sessions.range((Excluded(self.last), Unbounded));
        behind.chain(&self.sessions).map(|(session, _)| *session).find(|session| may(*session))
    }

    fn pop(&mut self, session: u64) -> Option<Sender> {
        let number = self.sessions.get(&session)?.front()?.0;
        self.last = session;
        self.remove(session, number)
    }

    fn remove(&mut self, session: u64, number: u64) -> Option<Sender> {
        let line = self.sessions.get_mut(&session)?;
        let index = line.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        let (_, sender) = line.remove(index)?;
        if line.is_empty() {
            self.sessions.remove(&session);
        }
        Some(sender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn party(principal: u128, session: u64) -> Party {
        Party { principal, session }
    }

    /// What a ticket has got so far.
    fn look(ticket: &mut Ticket) -> Option<Turn> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match Pin::new(ticket).poll(&mut cx) {
            Poll::Ready(turn) => turn,
            Poll::Pending => None,
        }
    }

    #[test]
    fn nobody_has_all_turns_while_others_wait() {
        for threads in 2..6 {
            let turns = Turns::new(threads);
            let mut of_one = Vec::new();
            let mut in_line = Vec::new();
            for session in 0..10 {
                match turns.take(party(1, session)) {
                    Ok(turn) => of_one.push(turn),
                    Err(ticket) => in_line.push(ticket),
                }
            }
            assert_eq!(of_one.len(), threads - 1);
            assert!(turns.take(party(2, 2)).is_ok(), "there is one for the next");
            assert!(in_line.iter_mut().all(|ticket| look(ticket).is_none()));
        }
        for threads in 3..6 {
            let turns = Turns::new(threads);
            let taken: Vec<_> = (0..10).map(|_| turns.take(party(1, 1))).collect();
            assert_eq!(taken.iter().filter(|taken| taken.is_ok()).count(), threads - 2);
            assert!(
                turns.take(party(1, 2)).is_ok(),
                "there is one for another session of the same principal"
            );
        }
        let only = Turns::new(1);
        let turn = only.take(party(1, 1)).ok().expect("the only one");
        let mut waits = only.take(party(2, 2)).err().expect("there is none");
        drop(turn);
        assert!(look(&mut waits).is_some());
    }

    #[test]
    fn principals_and_their_sessions_take_turns() {
        let turns = Turns::new(2);
        let _held = turns.take(party(9, 9)).ok().expect("free");
        let mut running = turns.take(party(8, 8)).ok();
        let rows = [(1, 1), (1, 1), (1, 2), (1, 2), (2, 3), (2, 3)];
        let mut tickets: Vec<(usize, Ticket)> = rows
            .iter()
            .enumerate()
            .map(|(at, (principal, session))| {
                (at, turns.take(party(*principal, *session)).err().expect("both are taken"))
            })
            .collect();
        let mut order = Vec::new();
        while !tickets.is_empty() {
            running = None;
            let index = (0..tickets.len())
                .find(|index| {
                    running = look(&mut tickets[*index].1);
                    running.is_some()
                })
                .expect("somebody is next");
            order.push(tickets.remove(index).0);
        }
        drop(running);
        assert_eq!(order, [0, 4, 2, 5, 1, 3]);
    }

    #[derive(Debug, Clone)]
    enum Act {
        Take(u128, u64),
        End(usize),
        GiveUp(usize),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            3 => (0..4_u128, 0..3_u64).prop_map(|(principal, session)| Act::Take(principal, session)),
            2 => any::<usize>().prop_map(Act::End),
            1 => any::<usize>().prop_map(Act::GiveUp),
        ];
        prop::collection::vec(act, 0..200)
    }

    proptest! {
        #[test]
        fn whatever_happens_turns_are_bounded_and_none_is_lost(threads in 1..5_usize, acts in acts()) {
            let turns = Turns::new(threads);
            let share = threads.saturating_sub(1).max(1);
            let session_share = share.saturating_sub(1).max(1);
            let mut running: Vec<(Party, Turn)> = Vec::new();
            let mut waiting: Vec<(Party, Ticket)> = Vec::new();
            for act in acts {
                match act {
                    Act::Take(principal, session) => match turns.take(party(principal, session)) {
                        Ok(turn) => running.push((party(principal, session), turn)),
                        Err(ticket) => waiting.push((party(principal, session), ticket)),
                    },
                    Act::End(at) if !running.is_empty() => {
                        drop(running.swap_remove(at % running.len()));
                    }
                    Act::GiveUp(at) if !waiting.is_empty() => {
                        drop(waiting.swap_remove(at % waiting.len()));
                    }
                    Act::End(_) | Act::GiveUp(_) => {}
                }
                let mut still = Vec::new();
                for (waits, mut ticket) in waiting {
                    match look(&mut ticket) {
                        Some(turn) => running.push((waits, turn)),
                        None => still.push((waits, ticket)),
                    }
                }
                waiting = still;
                prop_assert!(running.len() <= threads);
                for principal in 0..4 {
                    let held = running.iter().filter(|(holder, _)| holder.principal == principal).count();
                    prop_assert!(held <= share);
                    for session in 0..3 {
                        let one = party(principal, session);
                        let of_one = running.iter().filter(|(holder, _)| *holder == one).count();
                        prop_assert!(of_one <= session_share);
                        // Nobody waits who could go on.
                        let waits = waiting.iter().any(|(other, _)| *other == one);
                        let is_full = running.len() == threads || held == share || of_one == session_share;
                        prop_assert!(!waits || is_full);
                    }
                }
                let (counted, in_line) = turns.counts();
                prop_assert_eq!(counted, running.len());
                prop_assert_eq!(in_line, waiting.len());
            }
            drop(running);
            drop(waiting);
            prop_assert_eq!(turns.counts(), (0, 0));
        }
    }
}
