//! What ends for whom, and when, against sums that are added up one by one.

use super::table::{SLOW, WAIT};
use super::*;
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

const LIMIT: usize = 1_000;

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The messages of a room, and what is charged there for them.
struct Room {
    messages: IncomingMessages,
    memory: MemoryBudget,
}

impl Room {
    /// Where nothing is too slow to stay.
    fn new() -> Self {
        Self::with(LIMIT, 0)
    }

    fn with(limit_bytes: usize, least_bytes_per_s: usize) -> Self {
        let memory = MemoryBudget::new(limit_bytes);
        let room = IncomingRoom {
            memory: memory.clone(),
            left_bytes: 0,
            tables: MemoryBudget::new(usize::MAX >> 1),
        };
        Self { messages: IncomingMessages::with_pace(room, least_bytes_per_s), memory }
    }

    fn hold(&self, client: u128, bytes: usize) -> Held {
        let mut held = Held { bytes: self.memory.reserve(bytes), message: self.messages.begin(client) };
        assert!(held.message.hold(bytes), "nobody has it end");
        held
    }

    fn hold_all(&self, client: u128, bytes: &[usize]) -> Vec<Held> {
        bytes.iter().map(|bytes| self.hold(client, *bytes)).collect()
    }

    fn check(&self) {
        lock(&self.messages.shared.state).table.check();
    }

    fn entries(&self) -> usize {
        lock(&self.messages.shared.state).table.len()
    }

    fn rights(&self) -> usize {
        self.messages.shared.rights.load(Ordering::Relaxed)
    }
}

/// A message and the bytes that it has in memory.
struct Held {
    bytes: Reservation,
    message: IncomingMessage,
}

impl Held {
    fn goes_on(&self) -> bool {
        self.message.sleep(Waker::noop())
    }

    fn await_room(&self, missing_bytes: usize, now: Instant) -> bool {
        self.message.await_room(missing_bytes, Waker::noop(), now)
    }

    /// As a connection does it: asks, takes, and tells.
    fn grow(&mut self, bytes: usize, now: Instant) -> Growth {
        let growth = self.message.growth(now);
        if growth == Growth::Allowed {
            self.bytes.resize(bytes);
            assert!(self.message.hold(bytes));
        }
        growth
    }
}

fn later() -> Instant {
    Instant::now() + SLOW
}

fn left(held: &[Held]) -> Vec<bool> {
    held.iter().map(Held::goes_on).collect()
}

proptest! {
    /// Whatever others announce, a client is let in by what it announced itself: at first, by what is still to come of it.
    #[test]
    fn a_client_waits_for_its_own_announcements_only(
        steps in prop::collection::vec((0..3_u128, 1..500_usize, 0..800_usize, 0..4, any::<bool>()), 0..60),
    ) {
        let room = Room::new();
        // Client, expected bytes, announced bytes, held bytes.
        let mut all: Vec<(u128, usize, usize, usize, IncomingMessage)> = Vec::new();
        for (client, bytes, room_bytes, step, is_patient) in steps {
            if step > 0 && !all.is_empty() {
                let at = bytes % all.len();
                match step {
                    1 => {
                        all[at].2 = 0;
                        all[at].4.expect_no_more();
                        prop_assert!(!all[at].4.is_expected());
                    }
                    2 => {
                        all[at].3 = room_bytes;
                        prop_assert!(all[at].4.hold(room_bytes));
                    }
                    _ => drop(all.swap_remove(at)),
                }
            }
            let own = || all.iter().filter(|(other, ..)| *other == client);
            let owed: usize = own().map(|(_, expected, _, held, _)| expected.saturating_sub(*held)).sum();
            let announced: usize = own().map(|(_, _, announced, ..)| announced).sum();
            let mut message = room.messages.begin(client);
            let began = Instant::now();
            prop_assert!(message.await_turn(began));
            let now = if is_patient { began } else { began + OWN_WAIT };
            let may_come = message.announce(bytes, room_bytes, now);
            prop_assert_eq!(may_come, if is_patient { owed } else { announced } + bytes <= room_bytes);
            if may_come {
                all.push((client, bytes, bytes, 0, message));
            }
            room.check();
        }
        drop(all);
        prop_assert_eq!(room.entries(), 0);
    }

    /// Whatever clients hold: for a client that asks, only messages of who has more than an equal share end, or such that
    /// are not the first of their client; and no more of them than are needed.
    #[test]
    fn only_who_has_more_or_has_several_makes_way(
        held in prop::collection::vec((0..5_u128, 1..300_usize), 1..14),
        missing_bytes in 1..400_usize,
    ) {
        let room = Room::new();
        let mut all: Vec<(u128, usize, Held)> = Vec::new();
        for (client, bytes) in held {
            all.push((client, bytes, room.hold(client, bytes)));
        }
        let of = |client: u128| all.iter().filter(|(other, ..)| *other == client).map(|(_, bytes, _)| bytes).sum::<usize>();
        let before: Vec<usize> = (0..5).map(of).collect();
        let sum: usize = before.iter().sum();
        let displaceable_bytes = room.messages.displaceable_bytes(0);
        let waiting = Held { bytes: room.memory.reserve(0), message: room.messages.begin(0) };
        let may_wait = waiting.await_room(missing_bytes, later());
        let ended: Vec<usize> = (0..all.len()).filter(|at| !all[*at].2.goes_on()).collect();
        let others = (1..5).filter(|client| before[*client] > 0).count();
        let share_bytes = (sum + LIMIT.saturating_sub(sum)) / (others + 1);
        let asks_first = before[0] == 0;
        for at in &ended {
            let (client, ..) = all[*at];
            let is_first = all.iter().position(|(other, ..)| *other == client) == Some(*at);
            prop_assert!(client != 0, "its own older ones stay");
            prop_assert!(before[client as usize] > share_bytes || asks_first && !is_first);
        }
        let ended_bytes: usize = ended.iter().map(|at| all[*at].1).sum();
        prop_assert!(ended_bytes <= displaceable_bytes);
        let largest = ended.iter().map(|at| all[*at].1).max().unwrap_or_default();
        prop_assert!(ended_bytes < missing_bytes + largest.max(1));
        if ended_bytes < missing_bytes {
            // Nothing is left that could have ended.
            for client in 1..5 {
                let left = all.iter().filter(|(other, _, held)| *other == client && held.goes_on());
                let (count, left_bytes) = left.fold((0, 0), |(count, sum), (_, bytes, _)| (count + 1, sum + bytes));
                prop_assert!(!asks_first || count <= 1);
                prop_assert!(before[0] >= share_bytes || left_bytes <= share_bytes);
            }
        }
        prop_assert_eq!(may_wait, !ended.is_empty() || !asks_first);
        room.check();
        drop((all, waiting));
        prop_assert_eq!((room.entries(), room.memory.used_bytes(), room.rights()), (0, 0, 0));
    }

    /// Any order of beginning, growing, waiting, ending and leaving keeps the sums true, and leaves nothing.
    #[test]
    fn sums_and_lists_agree_with_what_there_is(
        steps in prop::collection::vec((0..4_u128, 0..6, 0..400_usize, any::<prop::sample::Index>()), 0..120),
    ) {
        let room = Room::new();
        let mut all: Vec<Held> = Vec::new();
        for (client, step, bytes, which) in steps {
            if step < 2 || all.is_empty() {
                all.push(Held { bytes: room.memory.reserve(0), message: room.messages.begin(client) });
                continue;
            }
            let at = which.index(all.len());
            match step {
                2 => {
                    all[at].bytes.resize(bytes);
                    all[at].message.hold(bytes);
                }
                3 => {
                    all[at].await_room(bytes, later());
                }
                4 => {
                    all[at].message.announce(bytes, LIMIT, later());
                }
                _ => drop(all.swap_remove(at)),
            }
            room.check();
        }
        drop(all);
        prop_assert_eq!((room.entries(), room.memory.used_bytes(), room.rights()), (0, 0, 0));
    }
}

#[test]
fn the_oldest_messages_of_who_has_most_end_and_who_waits_is_woken_by_their_end() {
    let room = Room::new();
    let mut of_one = room.hold_all(1, &[100, 400, 100]);
    let of_two = room.hold_all(2, &[250]);
    let (connection, woken) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    assert!(of_one[0].message.sleep(&Arc::clone(&connection).into()));
    let waiting = room.messages.begin(3);
    let waker = Arc::clone(&woken).into();
    assert!(waiting.await_room(150, &waker, later()));
    assert_eq!(left(&of_one), [false, false, true]);
    assert_eq!(left(&of_two), [true], "it has less than a third");
    assert_eq!(connection.0.load(Ordering::Relaxed), 1, "a connection that sleeps is told");
    assert!(waiting.await_room(150, &waker, later()), "they have not ended yet");
    assert!(of_one[2].goes_on(), "what ends is enough");
    assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    drop(of_one.drain(..2));
    assert!(woken.0.load(Ordering::Relaxed) > 0);
    assert!(!waiting.await_room(1_000, Waker::noop(), later()), "nobody has more, and nobody has two");
}

#[test]
fn the_first_message_of_a_client_may_have_more_than_a_share() {
    let room = Room::new();
    let of_one = room.hold_all(1, &[100; 5]);
    let mut first = room.hold(2, 500);
    assert!(first.await_room(300, later()));
    assert_eq!(
        left(&of_one),
        [true, false, false, false, true],
        "but for its first, those of who has several"
    );
    drop(of_one);
    assert_eq!(first.grow(800, later()), Growth::Allowed);
    // Who waited first is not ended by who has less.
    let other = room.hold(3, 200);
    assert!(!other.await_room(100, later()) && first.goes_on());
    // A second message of the client has no such right.
    let second = Held { bytes: room.memory.reserve(0), message: room.messages.begin(2) };
    assert!(second.await_room(100, later()), "it waits for its own");
    assert!(first.goes_on() && other.goes_on());
}

#[test]
fn what_comes_fast_does_not_end() {
    let room = Room::new();
    let held = room.hold_all(1, &[300, 300, 300]);
    let began = Instant::now();
    let waiting = Held { bytes: room.memory.reserve(0), message: room.messages.begin(2) };
    // They have just begun: nothing ends, and it waits for them to come whole or to become slow.
    assert!(waiting.await_room(100, began));
    assert_eq!(left(&held), [true; 3]);
    assert!(waiting.await_room(100, later()));
    assert_eq!(left(&held), [false, true, true]);
    assert!(!waiting.await_room(900, began + WAIT), "it has waited long enough");
    drop(waiting);
    assert_eq!(room.rights(), 0);
    drop(held);
}

#[test]
fn few_messages_wait_for_others_of_their_own_client() {
    let room = Room::new();
    let all = room.hold_all(1, &[20; 50]);
    let waiting = all.iter().filter(|held| held.await_room(10, later())).count();
    // The first one has the younger ones end.
    assert_eq!(waiting, 1 + 8);
    assert_eq!(left(&all).iter().filter(|goes_on| !**goes_on).count(), 1);
}

#[test]
fn what_somebody_waits_for_is_not_for_who_has_more_nor_for_second_messages() {
    let room = Room::new();
    let mut held = room.hold_all(1, &[300, 200, 400]);
    let waiting = Held { bytes: room.memory.reserve(0), message: room.messages.begin(2) };
    assert!(waiting.await_room(200, later()));
    assert_eq!(held[0].grow(310, later()), Growth::Ended, "it was told to");
    drop(held.remove(0));
    assert_eq!(held[0].grow(210, later()), Growth::Ended, "it has more than a half, and another waits");
    let mut little = room.hold(3, 10);
    assert_eq!(little.grow(20, later()), Growth::Allowed, "it has less than its share");
    // Longer ago than the second message of that client.
    let mut second = room.hold(3, 10);
    assert_eq!(second.grow(20, Instant::now()), Growth::Allowed, "by then, nobody had waited");
    drop(waiting);
    assert_eq!(held[0].grow(220, later()), Growth::Allowed, "nobody waits");
    let mut waiting = Held { bytes: room.memory.reserve(0), message: room.messages.begin(2) };
    assert!(waiting.await_room(600, Instant::now()));
    let mut third = room.hold(3, 10);
    assert_eq!(third.grow(20, Instant::now()), Growth::Delayed, "a second message that began since");
    assert!(third.message.await_turn(Instant::now()) && !third.message.await_turn(Instant::now() + WAIT));
    assert_eq!(waiting.grow(100, later()), Growth::Allowed, "some room came");
    assert_eq!(held[0].grow(230, later()), Growth::Ended, "it is not whole: the right stays with it");
    drop(waiting);
    assert_eq!((third.grow(30, later()), room.rights()), (Growth::Allowed, 0));
}

#[test]
fn thousands_of_messages_end_in_one_pass() {
    let room = Room::new();
    room.memory.set_limit_bytes(20_000);
    let all: Vec<_> = (0..20_000).map(|number| room.hold(1 + number % 3, 1)).collect();
    let waiting = Held { bytes: room.memory.reserve(0), message: room.messages.begin(9) };
    assert!(waiting.await_room(9_000, later()));
    let ended = left(&all).iter().filter(|goes_on| !**goes_on).count();
    assert_eq!(ended, 9_000);
    assert_eq!(lock(&room.messages.shared.state).table.ending_bytes, 9_000);
    let charged = || lock(&room.messages.shared.state).charge.as_ref().map_or(0, Reservation::bytes);
    assert!(charged() > 20_000 * 64, "the table is charged");
    drop((all, waiting));
    assert_eq!(charged(), 0);
    room.check();
}

/// Clients of which each begins one message: so many bytes at once, and so many each second after that.
#[derive(Debug, Clone, Copy)]
struct Senders {
    clients: u128,
    at_once: usize,
    each_s: usize,
}

/// A message of another client that comes after a while and wants more than is free.
#[derive(Debug, Clone, Copy)]
struct Wanting {
    after_s: u64,
    bytes: usize,
    /// It has so many bytes from the beginning.
    held: usize,
}

/// Whether the message has what it wants before it is refused, and how many messages are left of each kind of senders.
async fn compete(senders: &[Senders], wanting: Wanting) -> (bool, Vec<usize>) {
    const STEP: Duration = Duration::from_millis(100);
    const LIMIT: usize = 20_000;
    let room = Room::with(LIMIT, 128);
    let clients_of = |(kind, of): (usize, &Senders)| {
        let client = move |number| 1 + 1_000 * kind as u128 + number;
        (0..of.clients).map(move |number| (kind, client(number))).collect::<Vec<_>>()
    };
    let clients: Vec<_> = senders.iter().enumerate().flat_map(clients_of).collect();
    let mut all: Vec<_> =
        clients.iter().map(|(kind, client)| (*kind, room.hold(*client, senders[*kind].at_once))).collect();
    let mut asks = Held { bytes: room.memory.reserve(0), message: room.messages.begin(9_999_999) };
    let began = Instant::now();
    if wanting.held > 0 {
        assert_eq!(asks.grow(wanting.held, began), Growth::Allowed);
    }
    let has_it = loop {
        tokio::time::advance(STEP).await;
        let now = Instant::now();
        let ms = usize::try_from(now.duration_since(began).as_millis()).expect("short");
        all.retain(|(_, held)| held.goes_on());
        for (kind, held) in &mut all {
            let bytes = senders[*kind].at_once + senders[*kind].each_s * ms / 1_000;
            if room.memory.used_bytes() + bytes - held.bytes.bytes() <= LIMIT {
                held.grow(bytes, now);
            }
        }
        if now.duration_since(began) < Duration::from_secs(wanting.after_s) {
            continue;
        }
        let free = LIMIT - room.memory.used_bytes();
        if free >= wanting.bytes {
            break asks.grow(wanting.bytes, now) == Growth::Allowed;
        }
        if !asks.await_room(wanting.bytes - free, now) {
            break false;
        }
    };
    room.check();
    (has_it, (0..senders.len()).map(|kind| all.iter().filter(|(of, _)| *of == kind).count()).collect())
}

/// Clients that each have less than an equal share, in time that stands still while anything can move.
#[tokio::test(start_paused = true)]
async fn many_clients_fill_all_the_room_only_by_sending() {
    let of = |clients, at_once, each_s| Senders { clients, at_once, each_s };
    let wants = |after_s, bytes| Wanting { after_s, bytes, held: 0 };
    let rows: [(&[Senders], Wanting, bool, &[usize]); 9] = [
        // They send next to nothing more: as many end as are needed.
        (&[of(20, 850, 2)], wants(10, 5_000), true, &[17]),
        (&[of(20, 850, 2)], wants(60, 15_000), true, &[5]),
        // What came at once is enough for some seconds: the message waits, but no longer than it may.
        (&[of(20, 850, 2)], wants(3, 5_000), true, &[17]),
        (&[of(20, 850, 2)], wants(1, 5_000), false, &[20]),
        // Who keeps pace stays.
        (&[of(4, 1_000, 140)], wants(5, 15_000), false, &[4]),
        (&[of(10, 600, 2), of(10, 200, 130)], wants(5, 8_000), true, &[5, 10]),
        // The slowest end first.
        (&[of(5, 850, 2), of(5, 850, 40)], wants(15, 10_000), true, &[3, 5]),
        (&[of(5, 850, 40), of(5, 850, 2)], wants(15, 14_000), true, &[4, 0]),
        // Who is as slow asks for nothing.
        (&[of(20, 850, 2)], Wanting { after_s: 10, bytes: 5_000, held: 100 }, false, &[20]),
    ];
    for (senders, wanting, has_it, left) in rows {
        assert_eq!(compete(senders, wanting).await, (has_it, left.to_vec()), "{senders:?} {wanting:?}");
    }
}

/// What keeps pace is the last to end, and waits where others go first.
#[test]
fn the_first_message_of_a_client_that_keeps_pace_waits_for_others() {
    let room = Room::with(20_000, 128);
    let slow = room.hold(1, 1_000);
    let mut fast = room.hold(2, 12_000);
    let waiting = Held { bytes: room.memory.reserve(0), message: room.messages.begin(3) };
    let now = Instant::now() + SLOW * 10;
    assert!(waiting.await_room(500, now));
    assert_eq!((slow.goes_on(), fast.goes_on()), (false, true), "it has more, but it comes");
    assert_eq!(fast.grow(12_500, now), Growth::Delayed);
    assert!(fast.message.await_turn(now) && !fast.message.await_turn(now + WAIT));
    assert_eq!(fast.grow(12_500, now + WAIT), Growth::Allowed, "nobody may wait longer");
    let waiting = Held { bytes: room.memory.reserve(0), message: room.messages.begin(4) };
    assert!(waiting.await_room(1_500, now));
    assert!(!fast.goes_on(), "nothing else is left");
}
