//! What ends for whom, and when, against sums that are added up one by one.

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

fn messages() -> IncomingMessages {
    IncomingMessages::new(MemoryBudget::new(LIMIT))
}

/// Messages of a client that hold so many bytes each.
fn holding(messages: &IncomingMessages, client: u128, bytes: &[usize]) -> Vec<IncomingMessage> {
    let hold = |bytes: &usize| {
        let mut message = messages.begin(client);
        assert!(message.hold(*bytes), "nobody waits");
        message
    };
    bytes.iter().map(hold).collect()
}

fn later() -> Instant {
    Instant::now() + SLOW
}

proptest! {
    /// Whatever others announce, a client is let in by what it announced itself.
    #[test]
    fn a_client_waits_for_its_own_announcements_only(
        steps in prop::collection::vec((0..3_u128, 0..500_usize, 0..800_usize, 0..3), 0..60),
    ) {
        let messages = messages();
        let mut held: Vec<(u128, usize, IncomingMessage)> = Vec::new();
        for (client, bytes, room_bytes, step) in steps {
            if step > 0 && !held.is_empty() {
                let at = bytes % held.len();
                if step == 1 {
                    held[at].1 = 0;
                    held[at].2.expect_no_more();
                    prop_assert!(!held[at].2.is_expected());
                } else {
                    drop(held.swap_remove(at));
                }
            }
            let own: usize = held.iter().filter(|held| held.0 == client).map(|held| held.1).sum();
            let announced = messages.announce(client, bytes, room_bytes);
            prop_assert_eq!(announced.is_some(), own + bytes <= room_bytes);
            held.extend(announced.map(|message| (client, bytes, message)));
        }
        drop(held);
        prop_assert!(lock(&messages.shared.entries).is_empty());
    }

    /// Whatever clients hold, only messages of who has more than an equal share end, for who has less, and no more of them
    /// than are needed: without the last one, there would be too little.
    #[test]
    fn only_who_has_more_than_its_share_makes_way(
        held in prop::collection::vec((1..5_u128, 1..300_usize), 1..12),
        missing_bytes in 1..400_usize,
    ) {
        let messages = messages();
        let waker = Waker::noop();
        let mut all: Vec<(u128, usize, IncomingMessage)> = Vec::new();
        for (client, bytes) in held {
            let message = holding(&messages, client, &[bytes]).remove(0);
            all.push((client, bytes, message));
        }
        let of = |client: u128| all.iter().filter(|(other, ..)| *other == client).map(|(_, bytes, _)| bytes).sum::<usize>();
        let before: Vec<usize> = (0..5).map(of).collect();
        let displaceable_bytes = messages.displaceable_bytes(0);
        let waiting = messages.begin(0);
        let may_wait = waiting.await_room(missing_bytes, waker, later());
        let ended: Vec<_> = all.iter().filter(|(.., message)| !message.sleep(waker)).collect();
        prop_assert_eq!(may_wait, !ended.is_empty());
        let clients = 1 + before.iter().filter(|bytes| **bytes > 0).count();
        for (client, ..) in &ended {
            prop_assert!(before[*client as usize] > LIMIT / clients, "{} of {}", client, clients);
        }
        let ended_bytes: usize = ended.iter().map(|(_, bytes, _)| bytes).sum();
        prop_assert!(ended_bytes <= displaceable_bytes);
        let largest = ended.iter().map(|(_, bytes, _)| *bytes).max().unwrap_or_default();
        prop_assert!(ended_bytes < missing_bytes + largest.max(1));
    }
}

#[test]
fn the_oldest_messages_of_who_has_most_end_and_who_waits_is_woken_by_their_end() {
    let messages = messages();
    let of_one = holding(&messages, 1, &[100, 400, 100]);
    let of_two = holding(&messages, 2, &[250]);
    let (connection, woken) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    assert!(of_one[0].sleep(&Arc::clone(&connection).into()));
    let mut waiting = messages.begin(3);
    assert!(waiting.await_room(150, &Arc::clone(&woken).into(), later()));
    let goes_on = |message: &IncomingMessage| message.sleep(Waker::noop());
    assert_eq!(of_one.iter().map(goes_on).collect::<Vec<_>>(), [false, false, true]);
    assert!(of_two.iter().all(goes_on), "it has less than a third");
    assert_eq!(connection.0.load(Ordering::Relaxed), 1, "a connection that sleeps is told");
    assert!(waiting.await_room(150, &Arc::clone(&woken).into(), later()), "they have not ended yet");
    assert!(goes_on(&of_one[2]), "what ends is enough");
    assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    drop(of_one);
    assert!(woken.0.load(Ordering::Relaxed) > 0);
    assert!(waiting.hold(150) && !waiting.await_room(1_000, Waker::noop(), later()), "nobody has more");
    drop((waiting, of_two));
    assert_eq!(lock(&messages.shared.entries).len(), 0);
}

#[test]
fn what_comes_fast_and_what_is_of_the_same_client_does_not_end() {
    let messages = messages();
    let held = holding(&messages, 1, &[300, 300, 300]);
    let began = Instant::now();
    let waiting = messages.begin(2);
    // They have just begun: nothing ends, and it waits for them to come whole or to become slow.
    assert!(waiting.await_room(100, Waker::noop(), began));
    assert!(held.iter().all(|message| message.sleep(Waker::noop())));
    assert!(waiting.await_room(100, Waker::noop(), later()));
    assert_eq!(held.iter().filter(|message| !message.sleep(Waker::noop())).count(), 1);
    assert!(!waiting.await_room(900, Waker::noop(), began + WAIT), "it has waited long enough");
    drop(waiting);
    assert_eq!(messages.shared.waiting.load(Ordering::Relaxed), 0);
    let held: Vec<_> = held.into_iter().filter(|message| message.sleep(Waker::noop())).collect();
    assert!(!messages.begin(1).await_room(100, Waker::noop(), later()), "it is the same client");
    assert_eq!(messages.displaceable_bytes(2), 600);
    drop(held);
}

#[test]
fn what_somebody_waits_for_is_not_for_who_has_more() {
    let messages = messages();
    let mut held = holding(&messages, 1, &[300, 200, 400]);
    let waiting = messages.begin(2);
    assert!(waiting.await_room(200, Waker::noop(), later()));
    assert!(!held[0].hold(310), "it is to end");
    drop(held.remove(0));
    assert!(held[0].hold(200), "it does not grow");
    assert!(!held[0].hold(210), "it has more than a half, and another waits");
    let mut little = holding(&messages, 3, &[10]).remove(0);
    assert!(little.hold(20), "it has less than its share");
    drop(waiting);
    assert!(held[0].hold(220), "nobody waits");
    let mut waiting = messages.begin(2);
    assert!(waiting.await_room(200, Waker::noop(), later()));
    assert!(waiting.hold(100), "some room came");
    assert!(!held[0].hold(230), "it is not whole: the first right to what is free stays with it");
    drop(waiting);
    assert_eq!(messages.shared.waiting.load(Ordering::Relaxed), 0);
}
