//! Size classes, and the ways in which `BytesMut` hides what it holds.

use bytes::{Buf, BytesMut};
use mcpool_pools::{
    BufferClass, BufferConfig, BufferLease, BufferPool, Discard, LeasedBudget, MemoryBudget, OwnedBudget,
    PoolControl, PoolKind, PoolRegistry, PoolSnapshot,
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Classes of 1 and 4 KiB, four buffers each.
fn small(budget: Option<MemoryBudget>) -> BufferPool {
    let classes = vec![
        BufferClass { bytes: 4 * KIB, capacity: 4, setting: Some("buffers_kept") },
        BufferClass { bytes: KIB, capacity: 4, setting: Some("buffers_kept") },
        BufferClass { bytes: KIB, capacity: 9, setting: None },
    ];
    BufferPool::new(BufferConfig { name: "small".into(), classes, budget, leased: None, owned: None })
}

fn snapshot(pool: &BufferPool, name: &str) -> PoolSnapshot {
    pool.classes().find(|class| class.name() == name).map(PoolControl::snapshot).unwrap()
}

#[test]
fn a_request_gets_the_smallest_class_that_has_room() {
    let pool = BufferPool::default();
    for (request, capacity) in [
        (0, KIB),
        (1, KIB),
        (KIB, KIB),
        (KIB + 1, 4 * KIB),
        (5 * KIB, 16 * KIB),
        (64 * KIB, 64 * KIB),
        (200 * KIB, 256 * KIB),
        (MIB, MIB),
        (MIB + 1, 4 * MIB),
        (10 * MIB + KIB, 16 * MIB),
        (16 * MIB + 1, 16 * MIB + 1),
    ] {
        let lease = pool.acquire(request);
        assert_eq!((lease.capacity(), lease.len()), (capacity, 0), "asked for {request}");
    }
    for class in pool.classes() {
        assert!(class.snapshot().idle <= 1 && class.snapshot().discarded(Discard::Full) == 0);
    }
}

#[test]
fn idle_bytes_of_the_default_classes_are_bounded() {
    let most: usize = BufferConfig::default().classes.iter().map(|class| class.bytes * class.capacity).sum();
    assert!(most <= 52 * MIB, "{most}");
}

#[test]
fn each_class_says_its_kind_and_the_setting_that_sizes_it() {
    let pool = small(None);
    let snapshots: Vec<_> = pool.classes().map(PoolControl::snapshot).collect();
    assert!(snapshots.iter().all(|snapshot| snapshot.kind == PoolKind::Buffers));
    let settings: Vec<_> = snapshots.iter().map(|snapshot| snapshot.setting).collect();
    assert_eq!(settings, [Some("buffers_kept"), Some("buffers_kept"), None]);
}

#[test]
fn names_tell_the_class_and_duplicates_are_gone() {
    let pool = small(None);
    let names: Vec<_> = pool.classes().map(|class| class.name().to_owned()).collect();
    assert_eq!(names, ["small/1KiB", "small/4KiB", "small/oversized"]);
    assert_eq!(snapshot(&pool, "small/1KiB").capacity, 4, "of equal sizes the first counts");

    let registry = PoolRegistry::default();
    pool.register(&registry).unwrap();
    drop(pool.acquire(10));
    assert_eq!(registry.find("small/1KiB").unwrap().trim(0), KIB);
    assert_eq!(pool.register(&registry).unwrap_err().name, "small/1KiB");
}

#[test]
fn what_no_class_can_hold_is_served_and_counted() {
    let pool = small(None);
    let lease = pool.acquire(5000);
    assert!(lease.capacity() >= 5000);
    let now = snapshot(&pool, "small/oversized");
    assert_eq!((now.in_use, now.owned_bytes), (1, 5000));
    drop(lease);
    let now = snapshot(&pool, "small/oversized");
    assert_eq!((now.misses, now.discarded(Discard::Oversized), now.idle, now.owned_bytes), (1, 1, 0, 0));
}

#[test]
fn reserve_moves_the_contents_up_and_the_old_buffer_home() {
    let pool = small(None);
    let mut lease = pool.acquire(100);
    lease.extend_from_slice(&[7; 1000]);
    lease.reserve(24);
    assert_eq!(lease.capacity(), KIB, "there was room");
    lease.reserve(25);
    assert_eq!((lease.capacity(), &lease[..]), (4 * KIB, &[7; 1000][..]));
    assert_eq!((snapshot(&pool, "small/1KiB").idle, snapshot(&pool, "small/4KiB").in_use), (1, 1));

    lease.reserve(4000);
    assert_eq!((lease.capacity(), lease.len()), (5000, 1000), "beyond the classes it has the size it needs");
    lease.resize(5000, 1);
    lease.reserve(1);
    assert_eq!(lease.capacity(), 7500, "and grows by half");
    drop(lease);
    let idle: Vec<_> = pool.classes().map(|class| class.snapshot().idle).collect();
    assert_eq!(idle, [1, 1, 0]);
}

/// Appending in small steps must not copy everything at each step.
#[test]
fn growing_by_reserve_takes_few_moves() {
    let pool = BufferPool::default();
    let mut lease = pool.acquire(0);
    let mut moves = 0;
    while lease.len() < if cfg!(miri) { 100 * KIB } else { 40 * MIB } {
        let before = lease.capacity();
        lease.reserve(KIB);
        moves += usize::from(lease.capacity() != before);
        let filled = lease.len() + KIB;
        lease.resize(filled, 1);
    }
    // Three classes, and then 1.5 to the power of 16 is 656.
    assert!(moves <= 19, "{moves}");
    drop(lease);
    let large = pool.classes().filter(|class| class.snapshot().bytes_per_object() > 64 * KIB as u64);
    assert_eq!(large.map(|class| class.snapshot().idle).sum::<usize>(), 0, "nothing large is kept");
}

/// What a holder did to its buffer, and what the class of 1 KiB must make of it.
#[track_caller]
fn after(holder: impl FnOnce(&mut BufferLease)) -> PoolSnapshot {
    let pool = small(None);
    let mut lease = pool.acquire(KIB);
    holder(&mut lease);
    drop(lease);
    let now = snapshot(&pool, "small/1KiB");
    assert_eq!(now.idle as u64 + now.discarded_total(), 1);
    let next = pool.acquire(KIB);
    assert_eq!((next.capacity(), next.len()), (KIB, 0), "whatever happened, the next one is whole");
    assert_eq!(snapshot(&pool, "small/1KiB").owned_bytes, KIB as u64);
    now
}

#[test]
fn a_buffer_read_from_the_front_is_made_whole_again() {
    let now = after(|lease| {
        lease.extend_from_slice(&[1; 700]);
        lease.advance(600);
        assert!(lease.capacity() < KIB);
    });
    assert_eq!((now.idle, now.idle_bytes), (1, KIB as u64));
}

#[test]
fn a_buffer_whose_parts_are_gone_is_made_whole_again() {
    let now = after(|lease| {
        lease.extend_from_slice(&[1; 700]);
        drop(lease.split_to(300));
        drop(lease.split().freeze());
    });
    assert_eq!((now.idle, now.idle_bytes), (1, KIB as u64));
}

#[test]
fn a_buffer_whose_part_lives_on_is_let_go() {
    let mut part = None;
    let now = after(|lease| {
        lease.extend_from_slice(b"kept elsewhere, and the rest");
        part = Some(lease.split_to(14).freeze());
    });
    assert_eq!(now.discarded(Discard::Poisoned), 1);
    assert_eq!(&part.unwrap()[..], b"kept elsewhere", "and the part is untouched");
}

#[test]
fn a_buffer_that_grew_by_itself_is_let_go() {
    let now = after(|lease| lease.extend_from_slice(&[1; 3000]));
    assert_eq!(now.discarded(Discard::Oversized), 1);
}

/// `capacity` says 1 KiB; the storage behind it is 64.
#[test]
fn a_large_buffer_that_looks_small_is_let_go() {
    let now = after(|lease| {
        lease.resize(64 * KIB, 1);
        let hidden = lease.capacity() - KIB;
        lease.advance(hidden);
        lease.clear();
        assert_eq!(lease.capacity(), KIB);
    });
    assert_eq!(now.discarded(Discard::Oversized), 1);
}

#[test]
fn a_foreign_buffer_put_in_its_place_is_let_go() {
    let now = after(|lease| **lease = BytesMut::from(&b"tiny"[..]));
    assert_eq!(now.discarded(Discard::Poisoned), 1);
}

#[test]
fn a_detached_buffer_leaves_its_class_for_good() {
    let pool = small(None);
    let mut lease = pool.acquire(10);
    lease.extend_from_slice(b"mine");
    let bytes = lease.detach().freeze();
    assert_eq!(&bytes[..], b"mine");
    let now = snapshot(&pool, "small/1KiB");
    assert_eq!((now.detached, now.in_use, now.owned_bytes), (1, 0, 0));
}

#[test]
fn all_classes_share_one_budget() {
    let budget = MemoryBudget::new(6 * KIB);
    let pool = small(Some(budget.clone()));
    let (small, large, second) = (pool.acquire(1), pool.acquire(4000), pool.acquire(4000));
    assert_eq!(budget.used_bytes(), 9 * KIB);
    drop((small, large));
    assert_eq!(snapshot(&pool, "small/4KiB").idle, 1, "these two fitted");
    drop(second);
    assert_eq!(snapshot(&pool, "small/4KiB").discarded(Discard::OverBudget), 1);
    assert_eq!(budget.used_bytes(), 5 * KIB);
    drop(pool);
    assert_eq!(budget.used_bytes(), 0);
}

#[test]
fn a_lease_knows_its_pool_and_outlives_it() {
    let budget = MemoryBudget::new(MIB);
    let pool = small(Some(budget.clone()));
    let mut lease = pool.acquire(10);
    lease.extend_from_slice(b"still here");
    drop(lease.pool().acquire(4000));
    assert_eq!(snapshot(&pool, "small/4KiB").idle, 1);

    drop(pool);
    assert_eq!(budget.used_bytes(), KIB, "idle buffers are gone, the lease is not");
    lease.reserve(5000);
    assert_eq!(&lease[..], b"still here");
    assert_eq!(budget.used_bytes(), 0, "and has moved to the allocator");
    drop(lease.pool().acquire(1));
}

#[test]
fn a_pool_without_classes_serves_everything_from_the_allocator() {
    let pool = BufferPool::new(BufferConfig { classes: Vec::new(), ..BufferConfig::default() });
    assert!(pool.acquire(100).capacity() >= 100);
    assert_eq!(snapshot(&pool, "buffers/oversized").discarded(Discard::Oversized), 1);
}

/// The default classes, of which those above 64 KiB are charged to a budget of `limit_bytes`.
fn charged(limit_bytes: usize) -> (BufferPool, MemoryBudget) {
    let budget = MemoryBudget::new(limit_bytes);
    let leased = Some(LeasedBudget { budget: budget.clone(), from_bytes: 64 * KIB + 1 });
    (BufferPool::new(BufferConfig { leased, ..BufferConfig::default() }), budget)
}

#[test]
fn a_large_buffer_is_charged_as_long_as_it_is_leased() {
    let (pool, budget) = charged(MIB);
    let small = pool.try_acquire(64 * KIB).unwrap();
    assert_eq!(budget.used_bytes(), 0, "small ones cost nothing");
    let mut large = pool.try_acquire(200 * KIB).unwrap();
    assert_eq!(budget.used_bytes(), 256 * KIB);
    large.try_charge(100 * KIB).unwrap();
    assert_eq!(budget.used_bytes(), 356 * KIB);
    let other = pool.try_acquire(256 * KIB).unwrap();
    assert!(large.try_charge(MIB).is_err());
    drop(other);
    large.extend_from_slice(b"stays");
    let refused = large.try_reserve(700 * KIB).unwrap_err();
    assert_eq!((refused.requested_bytes, &large[..]), (700 * KIB + 5, &b"stays"[..]));
    assert!(pool.try_acquire(MIB).is_err());
    drop(large);
    assert_eq!(budget.used_bytes(), 0, "an idle one is not leased");
    let forced = [pool.acquire(MIB), pool.acquire(MIB)];
    assert_eq!(budget.used_bytes(), 2 * MIB, "who does not ask is charged all the same");
    assert!(pool.try_acquire(100 * KIB).is_err() && pool.try_acquire(64 * KIB).is_ok());
    let taken = forced.map(BufferLease::detach);
    assert_eq!(budget.used_bytes(), 0, "what is taken out is not leased");
    drop((small, taken));
}

#[test]
fn what_is_announced_is_charged_as_it_comes() {
    let (pool, budget) = charged(MIB);
    let mut body = pool.try_acquire_announced(10 * MIB, 64 * KIB).unwrap();
    assert_eq!((body.capacity(), budget.used_bytes()), (10 * MIB, 64 * KIB));
    body.try_charge_filled(200 * KIB).unwrap();
    body.try_charge_filled(100 * KIB).unwrap();
    assert_eq!(budget.used_bytes(), 200 * KIB, "less than was charged is charged already");
    assert!(body.try_charge_filled(MIB + 1).is_err());
    assert!(pool.try_acquire_announced(2 * MIB, MIB).is_err());
    assert_eq!(budget.used_bytes(), 200 * KIB);
    drop(body);
    assert_eq!(budget.used_bytes(), 0);
    let mut small = pool.acquire(KIB);
    small.try_charge_filled(2 * MIB).unwrap();
    assert_eq!(budget.used_bytes(), 0, "a small buffer is not charged");
}

/// The default classes: those above 16 KiB are charged while they are leased, the others as long as they are there.
fn owned(limit_bytes: usize) -> (BufferPool, MemoryBudget) {
    let budget = MemoryBudget::new(limit_bytes);
    let owned = OwnedBudget { budget: budget.clone(), first_bytes: 4 * KIB, left_bytes: limit_bytes / 4 };
    let leased = LeasedBudget { budget: MemoryBudget::new(usize::MAX >> 1), from_bytes: 16 * KIB + 1 };
    let config = BufferConfig { leased: Some(leased), owned: Some(owned), ..BufferConfig::default() };
    (BufferPool::new(config), budget)
}

#[test]
fn a_small_buffer_is_charged_from_its_making_to_its_end() {
    let (pool, budget) = owned(64 * KIB);
    let held = [pool.try_acquire(16 * KIB).unwrap(), pool.try_acquire(16 * KIB).unwrap()];
    assert_eq!(budget.used_bytes(), 32 * KIB);
    let last = pool.try_acquire(16 * KIB).unwrap();
    let refused = pool.try_acquire(16 * KIB).unwrap_err();
    assert_eq!((refused.requested_bytes, refused.used_bytes), (16 * KIB, 48 * KIB), "a quarter is left");
    let mut first = pool.try_acquire(4 * KIB).unwrap();
    first.extend_from_slice(b"stays");
    assert!(first.try_reserve(8 * KIB).is_err());
    assert_eq!(&first[..], b"stays");
    let small: Vec<_> = std::iter::from_fn(|| pool.try_acquire(4 * KIB).ok()).collect();
    assert_eq!((small.len(), budget.used_bytes()), (3, 64 * KIB), "small ones have all of it");
    assert!(budget.has_less_than(1) && !budget.has_less_than(0));
    drop(last);
    assert_eq!(budget.used_bytes(), 64 * KIB, "an idle one is there");
    let again = pool.try_acquire(16 * KIB).expect("and is lent whatever the budget is");
    pool.classes().for_each(|class| _ = class.trim(0));
    drop((again, small, held, first));
    assert_eq!(budget.used_bytes(), 64 * KIB, "all are idle");
    pool.classes().for_each(|class| _ = class.trim(0));
    assert_eq!(budget.used_bytes(), 0);
    drop(pool.acquire(16 * KIB).detach());
    assert_eq!(budget.used_bytes(), 0, "what is taken out is not of the pool");
    let kept = pool.acquire(KIB);
    drop(pool);
    assert_eq!(budget.used_bytes(), KIB, "a lease outlives its pool");
    drop(kept);
    assert_eq!(budget.used_bytes(), 0);
}

#[test]
fn a_panic_leaves_no_charge() {
    let (pool, budget) = charged(MIB);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _large = pool.try_acquire(MIB).unwrap();
        panic!("in the middle");
    }));
    assert!(panicked.is_err());
    assert_eq!(budget.used_bytes(), 0);
}

#[derive(Debug, Clone)]
enum Act {
    TryAcquire(usize),
    Acquire(usize),
    TryReserve(usize, usize),
    Reserve(usize, usize),
    TryCharge(usize, usize),
    Drop(usize),
    Detach(usize),
}

fn acts() -> impl proptest::strategy::Strategy<Value = Vec<Act>> {
    use proptest::prelude::*;
    let bytes = || prop_oneof![0..200 * KIB, 0..3 * MIB, Just(64 * KIB), Just(256 * KIB), Just(17 * MIB)];
    let act = prop_oneof![
        3 => bytes().prop_map(Act::TryAcquire),
        1 => bytes().prop_map(Act::Acquire),
        2 => (any::<usize>(), bytes()).prop_map(|(at, bytes)| Act::TryReserve(at, bytes)),
        1 => (any::<usize>(), bytes()).prop_map(|(at, bytes)| Act::Reserve(at, bytes)),
        1 => (any::<usize>(), bytes()).prop_map(|(at, bytes)| Act::TryCharge(at, bytes)),
        2 => any::<usize>().prop_map(Act::Drop),
        1 => any::<usize>().prop_map(Act::Detach),
    ];
    prop::collection::vec(act, 0..60)
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    /// Whatever is done with buffers, the budget knows the capacity of each large one that is leased, and asking first
    /// never exceeds the limit.
    #[test]
    fn what_is_charged_is_what_is_leased(acts in acts()) {
        let limit = 24 * MIB;
        let (pool, budget) = charged(limit);
        let mut held: Vec<(BufferLease, usize)> = Vec::new();
        for act in acts {
            let before = budget.used_bytes();
            let mut asked = false;
            let pick = |at: usize, held: &Vec<_>| (!held.is_empty()).then(|| at % held.len());
            match act {
                Act::TryAcquire(bytes) => {
                    asked = true;
                    held.extend(pool.try_acquire(bytes).ok().map(|lease| (lease, 0)));
                }
                Act::Acquire(bytes) => held.push((pool.acquire(bytes), 0)),
                Act::TryReserve(at, bytes) => if let Some(at) = pick(at, &held) {
                    asked = true;
                    let capacity = held[at].0.capacity();
                    // What was charged beside a buffer is the affair of who moves it.
                    if held[at].0.try_reserve(bytes).is_ok() && held[at].0.capacity() != capacity {
                        held[at].1 = 0;
                    }
                },
                Act::Reserve(at, bytes) => if let Some(at) = pick(at, &held) {
                    let capacity = held[at].0.capacity();
                    held[at].0.reserve(bytes);
                    if held[at].0.capacity() != capacity {
                        held[at].1 = 0;
                    }
                },
                Act::TryCharge(at, bytes) => if let Some(at) = pick(at, &held) {
                    asked = true;
                    let (capacity, beside) = (held[at].0.capacity(), held[at].1);
                    if held[at].0.try_charge(bytes).is_ok() && capacity > 64 * KIB {
                        held[at].1 += bytes.min(limit.saturating_sub(capacity + beside));
                    }
                },
                Act::Drop(at) => if let Some(at) = pick(at, &held) {
                    drop(held.swap_remove(at));
                },
                Act::Detach(at) => if let Some(at) = pick(at, &held) {
                    drop(held.swap_remove(at).0.detach());
                },
            }
            let large = held.iter().filter(|(lease, _)| lease.capacity() > 64 * KIB);
            let leased: usize = large.map(|(lease, beside)| lease.capacity() + beside).sum();
            proptest::prop_assert_eq!(budget.used_bytes(), leased);
            proptest::prop_assert!(!asked || budget.used_bytes() <= limit.max(before));
        }
        drop(held);
        proptest::prop_assert_eq!(budget.used_bytes(), 0);
    }

    /// Whatever is done with buffers, the budget knows each small one that is there, and asking first never exceeds it.
    #[test]
    fn what_is_owned_is_what_is_there(acts in acts(), scale in 1..64_usize) {
        let limit = 256 * KIB;
        let (pool, budget) = owned(limit);
        let mut held: Vec<BufferLease> = Vec::new();
        for act in acts {
            let before = budget.used_bytes();
            let is_forced = matches!(act, Act::Acquire(_) | Act::Reserve(..));
            let pick = |at: usize, held: &Vec<_>| (!held.is_empty()).then(|| at % held.len());
            match act {
                Act::TryAcquire(bytes) => held.extend(pool.try_acquire(bytes / scale).ok()),
                Act::Acquire(bytes) => held.push(pool.acquire(bytes / scale)),
                Act::TryReserve(at, bytes) => if let Some(at) = pick(at, &held) {
                    let _ = held[at].try_reserve(bytes / scale);
                },
                Act::Reserve(at, bytes) => if let Some(at) = pick(at, &held) {
                    held[at].reserve(bytes / scale);
                },
                Act::TryCharge(at, _) => if let Some(class) = pool.classes().nth(at % 5) {
                    class.trim(at % 3);
                },
                Act::Drop(at) => if let Some(at) = pick(at, &held) {
                    drop(held.swap_remove(at));
                },
                Act::Detach(at) => if let Some(at) = pick(at, &held) {
                    drop(held.swap_remove(at).detach());
                },
            }
            let owned: u64 = pool.classes().take(3).map(|class| class.snapshot().owned_bytes).sum();
            proptest::prop_assert_eq!(budget.used_bytes() as u64, owned);
            proptest::prop_assert!(is_forced || budget.used_bytes() <= limit.max(before));
        }
        drop((held, pool));
        proptest::prop_assert_eq!(budget.used_bytes(), 0);
    }
}
