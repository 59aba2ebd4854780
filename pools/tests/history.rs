//! The history of a pool against the truth: pools of every capacity that saw the same acquires and returns.

use mcpool_pools::{
    BufferPool, Discard, MemoryBudget, MissCurve, ObjectPool, PoolConfig, PoolControl, Recycle, Sampling,
    Verdict,
};
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// What a holder does to the pool.
#[derive(Debug, Clone, Copy)]
enum Step {
    Acquire,
    /// Gives the lease at this place back.
    Return(usize),
    /// Gives it back unfit.
    Spoil(usize),
    Detach(usize),
    /// Frees idle objects until at most so many are left.
    Trim(usize),
}

struct Fitness;

impl Recycle<bool> for Fitness {
    fn create(&self) -> bool {
        true
    }

    fn recycle(&self, is_fit: &mut bool) -> Verdict {
        if *is_fit { Verdict::Keep } else { Verdict::Discard(Discard::Oversized) }
    }

    fn bytes(&self, _: &bool) -> usize {
        1
    }
}

fn pool(capacity: usize) -> ObjectPool<bool> {
    ObjectPool::with_config(PoolConfig { maximum: 64, ..PoolConfig::new("pool", capacity) }, Fitness)
}

/// Goes through the steps on a real pool, sampling it as `sample` says.
fn run(pool: &ObjectPool<bool>, steps: &[Step], mut sample: impl FnMut(usize)) -> (u64, u64) {
    let mut leases = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        sample(at);
        match *step {
            Step::Acquire => leases.push(pool.acquire()),
            Step::Trim(keep) => {
                pool.trim(keep);
            }
            _ if leases.is_empty() => {}
            Step::Return(place) => drop(leases.swap_remove(place % leases.len())),
            Step::Spoil(place) => {
                let place = place % leases.len();
                *leases[place] = false;
                drop(leases.swap_remove(place));
            }
            Step::Detach(place) => {
                let _ = leases.swap_remove(place % leases.len()).detach();
            }
        }
    }
    sample(steps.len());
    let snapshot = pool.snapshot();
    (snapshot.hits, snapshot.acquired())
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        10 => Just(Step::Acquire),
        8 => any::<usize>().prop_map(Step::Return),
        1 => any::<usize>().prop_map(Step::Spoil),
        1 => any::<usize>().prop_map(Step::Detach),
        1 => (0..12_usize).prop_map(Step::Trim),
    ];
    prop::collection::vec(step, 1..600)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// The claim of the module: one pass tells what every capacity would have hit, to the last acquire.
    #[test]
    fn the_curve_says_what_pools_of_each_capacity_hit(steps in steps()) {
        let begun = Instant::now();
        let watched = pool(7);
        // A pool that nobody used is not watched yet; a spoilt lease leaves nothing behind.
        run(&watched, &[Step::Acquire, Step::Spoil(0)], |_| ());
        let sampling = |at: usize| Sampling {
            now: begun + Duration::from_millis(at as u64),
            half_life: Duration::from_hours(10_000),
            max_traced: u32::MAX,
        };
        run(&watched, &steps, |at| {
            if at % 50 == 0 || at == steps.len() {
                watched.sample(&sampling(at));
            }
        });
        let history = watched.history();
        prop_assert!(history.acquires <= watched.snapshot().acquired() as f64);
        for capacity in 0..=32 {
            let (hits, acquired) = run(&pool(capacity), &steps, |_| ());
            if acquired > 0 {
                let told = history.hit_ratio_at(capacity as u64).expect("watched") * acquired as f64;
                prop_assert!((told - hits as f64).abs() < 1e-3, "{capacity}: {told} of {acquired}, really {hits}");
            }
        }
    }
}

/// A trace written down and gone through again at half, double and ten times the capacity.
#[test]
fn a_recorded_trace_replayed_gives_the_same_numbers() {
    let mut random = 1_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut trace = Vec::new();
    let (mut curve, mut in_use) = (MissCurve::new(1_000), 0_u64);
    for step in 0..200_000_u64 {
        // Demand that wanders between 0 and 400, so that no capacity is plainly right.
        let target = 200 + (200.0 * (step as f64 / 9_000.0).sin()) as u64;
        let acquires = in_use == 0 || next(400) + in_use < target + 200 && next(5) > 0 || next(20) == 0;
        trace.push(acquires);
        if acquires {
            in_use += 1;
            curve.acquire();
        } else {
            in_use -= 1;
            curve.release();
        }
    }
    // Capacities at which the curve is exact: the powers of two and their sixteenths.
    for capacity in [15, 32, 64, 128, 144, 320, 640] {
        let (mut idle, mut hits, mut all) = (0_u64, 0_u64, 0_u64);
        for acquires in &trace {
            if *acquires {
                all += 1;
                hits += u64::from(idle > 0);
                idle = idle.saturating_sub(1);
            } else {
                idle = (idle + 1).min(capacity);
            }
        }
        let told = curve.hit_ratio(capacity as usize).expect("acquires");
        assert!((told - hits as f64 / all as f64).abs() < 1e-12, "{capacity}: {told}, really {hits}/{all}");
        assert!(told > 0.3 && told < 1.0, "a capacity that shows nothing: {told}");
    }
}

/// A pool of which only the number of idle objects matters: takes the last, keeps up to its capacity.
#[derive(Default)]
struct Lifo {
    capacity: u64,
    idle: u64,
    hits: u64,
    acquires: u64,
}

impl Lifo {
    fn acquire(&mut self) {
        self.acquires += 1;
        self.hits += u64::from(self.idle > 0);
        self.idle = self.idle.saturating_sub(1);
    }

    fn release(&mut self) {
        self.idle = (self.idle + 1).min(self.capacity);
    }

    fn hit_ratio(&self) -> f64 {
        self.hits as f64 / self.acquires as f64
    }
}

/// Goes through rounds of so many leases at once, and returns the curve and a pool of each capacity.
fn lockstep(demand: impl Fn(u64) -> u64, capacities: &[u64]) -> (MissCurve, Vec<Lifo>) {
    let mut curve = MissCurve::new(1_000);
    let pool = |capacity: &u64| Lifo { capacity: *capacity, ..Lifo::default() };
    let mut pools: Vec<Lifo> = capacities.iter().map(pool).collect();
    for round in 0..200 {
        for _ in 0..demand(round) {
            curve.acquire();
            pools.iter_mut().for_each(Lifo::acquire);
        }
        for _ in 0..demand(round) {
            curve.release();
            pools.iter_mut().for_each(Lifo::release);
        }
    }
    (curve, pools)
}

/// The largest capacity up to this one at which the curve is exact.
fn end_below(capacity: u64) -> u64 {
    let mut width = 1;
    while capacity > 32 * width {
        width *= 2;
    }
    capacity / width * width
}

/// Just the capacities that pools have by default, powers of two, were told one bucket too low.
#[test]
fn capacities_up_to_256_are_told_exactly_at_bucket_ends_and_never_too_high() {
    for demand in 1..=256 {
        let (curve, pools) = lockstep(|_| demand, &[demand, end_below(demand)]);
        let told = curve.hit_ratio(demand as usize).expect("acquires");
        assert!((told - pools[1].hit_ratio()).abs() < 1e-9, "{demand}: {told}");
        if demand.is_power_of_two() {
            assert!((told - pools[0].hit_ratio()).abs() < 1e-9 && told > 0.99, "{demand}: {told}");
        }
    }
    let all: Vec<u64> = (1..=256).collect();
    let (curve, pools) = lockstep(|round| 1 + (round * 97) % 256, &all);
    for pool in &pools {
        let told = curve.hit_ratio(pool.capacity as usize).expect("acquires");
        let end = end_below(pool.capacity);
        assert!(pool.capacity - end <= pool.capacity / 16, "less than a sixteenth below");
        let (really, least) = (pool.hit_ratio(), pools[end as usize - 1].hit_ratio());
        assert!((told - least).abs() < 1e-9, "{}: {told}, at {end} {least}", pool.capacity);
        assert!(told <= really + 1e-9, "{}: {told} is more than {really}", pool.capacity);
    }
}

/// Demand that is made to be known: 1 to 40 leases at once, each as often as the others.
#[test]
fn known_demand_is_told() {
    let pool = pool(64);
    let _ = pool.acquire().detach();
    let begun = Instant::now();
    let sample = |second: u64| pool.sample(&Sampling::at(begun + Duration::from_secs(second)));
    sample(0);
    for second in 1..=40 {
        for held in 1..=40 {
            drop((0..held).map(|_| pool.acquire()).collect::<Vec<_>>());
        }
        sample(second);
    }
    let history = pool.history();
    assert_eq!(history.high_water_mark, 40);
    assert_eq!(history.window, Duration::from_secs(40));
    assert!((history.acquires_per_second - 820.0).abs() < 1.0, "{}", history.acquires_per_second);
    // Of 820 acquires of a round, 40 - d + 1 find demand d: the median is where the sum reaches a half.
    let half = (1..=40)
        .scan(0, |sum, d| {
            *sum += 41 - d;
            Some((d, *sum))
        })
        .find(|(_, sum)| *sum >= 410);
    assert_eq!(Some(history.demand_quantile(0.5)), half.map(|(d, _)| d));
    assert_eq!(history.demand_quantile(1.0), 40, "the end of the bucket that 40 is in");
    assert_eq!(history.hit_ratio_now, Some(1.0));
    let kept_ten = history.hit_ratio_at(10).expect("history");
    // At capacity 10 a round that holds h hits min(h, 10) times.
    let hits = (1..=40).map(|held| held.min(10)).sum::<u64>() as f64 / 820.0;
    assert!((kept_ten - hits).abs() < 0.01, "{kept_ten} {hits}");
}

/// A hot pool is watched for a part of the time only, and says nearly the same.
#[test]
fn a_part_stands_for_the_whole() {
    let truth = pool(64);
    let part = pool(64);
    let _ = (truth.acquire().detach(), part.acquire().detach());
    let begun = Instant::now();
    for second in 0..200_u64 {
        for (pool, max_traced) in [(&truth, u32::MAX), (&part, 500)] {
            let now = begun + Duration::from_secs(second);
            pool.sample(&Sampling { max_traced, ..Sampling::at(now) });
            for round in 0..200_u64 {
                let held = 1 + (round * 7 + second * 13) % 30;
                drop((0..held).map(|_| pool.acquire()).collect::<Vec<_>>());
            }
        }
    }
    let (truth, part) = (truth.history(), part.history());
    assert!(part.traced < truth.traced / 5.0, "{} of {}", part.traced, truth.traced);
    assert!((part.acquires - truth.acquires).abs() < 1.0);
    for capacity in [3, 7, 15, 23, 30] {
        let (told, really) = (part.hit_ratio_at(capacity), truth.hit_ratio_at(capacity));
        let (told, really) = (told.expect("history"), really.expect("history"));
        assert!((told - really).abs() < 0.03, "{capacity}: {told} of {really}");
    }
}

/// Of each second the first quarter is quiet, and then demand rises to a hundred: the quiet part was all that counted.
#[test]
fn a_part_of_each_second_does_not_stand_for_all_of_it() {
    let (truth, part) = (pool(64), pool(64));
    let _ = (truth.acquire().detach(), part.acquire().detach());
    let begun = Instant::now();
    for second in 0..120 {
        for (pool, max_traced) in [(&truth, u32::MAX), (&part, 4_096)] {
            pool.sample(&Sampling { max_traced, ..Sampling::at(begun + Duration::from_secs(second)) });
            (0..2_000).for_each(|_| drop(pool.acquire()));
            for _ in 0..20 {
                drop((0..100).map(|_| pool.acquire()).collect::<Vec<_>>());
            }
            (0..4_000).for_each(|_| drop(pool.acquire()));
        }
    }
    let (truth, part) = (truth.history(), part.history());
    assert!(part.traced < truth.traced / 3.0, "{} of {}", part.traced, truth.traced);
    for capacity in [1, 10, 30, 50, 90] {
        let (told, really) = (part.hit_ratio_at(capacity), truth.hit_ratio_at(capacity));
        let (told, really) = (told.expect("history"), really.expect("history"));
        assert!((told - really).abs() < 0.02, "{capacity}: {told}, really {really}");
    }
    assert_eq!(part.demand_quantile(0.99), truth.demand_quantile(0.99));
}

/// No capacity helps a pool whose budget is full, and the curve must not promise that one would.
#[test]
fn what_the_budget_refuses_is_no_hit_at_any_capacity() {
    let config = PoolConfig { budget: Some(MemoryBudget::new(3)), ..PoolConfig::new("pool", 16) };
    let pool = ObjectPool::with_config(config, Fitness);
    let _ = pool.acquire().detach();
    let begun = Instant::now();
    pool.sample(&Sampling::at(begun));
    for _ in 0..100 {
        drop((0..10).map(|_| pool.acquire()).collect::<Vec<_>>());
    }
    pool.sample(&Sampling::at(begun + Duration::from_secs(1)));
    let (told, now) = (pool.history().hit_ratio_at(16).expect("history"), pool.snapshot());
    assert_eq!(now.discarded(Discard::OverBudget), 700);
    assert!((told - now.hits as f64 / 1_000.0).abs() < 1e-6, "told {told}, {} of 1000 were hits", now.hits);
}

#[test]
fn the_past_fades_and_an_unwatched_pool_has_none() {
    let pool = pool(8);
    drop(pool.acquire());
    assert!(pool.history().demand.is_empty());
    assert_eq!(pool.history().hit_ratio_at(1), None);
    let begun = Instant::now();
    pool.sample(&Sampling::at(begun));
    (0..100).for_each(|_| drop(pool.acquire()));
    pool.sample(&Sampling::at(begun + Duration::from_secs(1)));
    assert!((pool.history().acquires - 100.0).abs() < 0.1);
    pool.sample(&Sampling::at(begun + Duration::from_secs(3_601)));
    let history = pool.history();
    assert!((history.acquires - 50.0).abs() < 0.1, "{}", history.acquires);
    assert_eq!((history.hit_ratio_now, history.hit_ratio_minute), (None, None));
    assert!(history.hit_ratio_hour.is_some());
    assert!(history.saved_ns_per_hit.is_none(), "no miss was timed");
}

/// A busy minute, then nothing: ratios decayed alike, and reported it for hours.
#[test]
fn ratios_of_a_load_that_ended_are_not_told() {
    let pool = pool(1);
    drop(pool.acquire());
    let begun = Instant::now();
    let sample = |second: u64| pool.sample(&Sampling::at(begun + Duration::from_secs(second)));
    sample(0);
    for second in 1..=100 {
        (0..100).for_each(|_| drop((pool.acquire(), pool.acquire())));
        sample(second);
    }
    let told = pool.history();
    assert_eq!((told.hit_ratio_minute, told.hit_ratio_hour), (Some(0.5), Some(0.5)));
    (101..=155).for_each(sample);
    assert_eq!(pool.history().hit_ratio_minute, Some(0.5), "it ended in this minute");
    (156..=175).for_each(sample);
    let told = pool.history();
    assert_eq!((told.hit_ratio_minute, told.hit_ratio_hour), (None, Some(0.5)));
    // What comes then is told alone.
    drop(pool.acquire());
    sample(176);
    assert_eq!(pool.history().hit_ratio_minute, Some(1.0));
    // Two hours without a sample are forgotten as well as two with one each second.
    sample(176 + 7_200);
    sample(177 + 7_200);
    let told = pool.history();
    assert_eq!((told.hit_ratio_minute, told.hit_ratio_hour), (None, None));
}

/// Advice about a class that is empty at the moment must not cost nothing.
#[test]
fn an_empty_pool_remembers_what_an_object_holds() {
    const MIB: usize = 1 << 20;
    let buffers = BufferPool::default();
    let price = |name: &str| {
        let class = buffers.classes().find(|class| class.name() == name).expect("a class");
        class.snapshot().bytes_per_object()
    };
    assert_eq!(price("buffers/1MiB"), 0, "nothing was made");
    drop(buffers.acquire(MIB));
    for class in buffers.classes() {
        class.trim(0);
    }
    let _ = buffers.acquire(16 * MIB).detach();
    for class in buffers.classes() {
        assert_eq!((class.snapshot().owned_bytes, class.snapshot().idle), (0, 0));
    }
    assert_eq!((price("buffers/1MiB"), price("buffers/16MiB")), (MIB as u64, 16 * MIB as u64));
}
