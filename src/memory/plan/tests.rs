//! The sum is that of its terms, it grows with the load, and a plan that does not fit says what would.

use super::*;
use crate::memory::ceiling::Machine;
use proptest::prelude::*;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// A server whose objects have round prices, in a process of 6 MiB.
fn prices() -> ObjectPrices {
    ObjectPrices {
        connection_bytes: 1_000,
        session_bytes: 300,
        stream_bytes: 200,
        resource_bytes: 500,
        request_bytes: 2_000,
        frame_bytes: 5 * KIB,
        small_buffers_bytes: 85 * KIB,
        text_copies: 2,
    }
}

const PROCESS: ProcessFacts = ProcessFacts {
    resident_bytes: 6 * MIB,
    unread_program_bytes: MIB,
    threads: 10,
    recorder_bytes: 0,
    graph_bytes: 0,
    socket_send_bytes: 4 * MIB,
    socket_receive_bytes: 6 * MIB,
};

const FIXED_BYTES: u64 = price::fixed_bytes(6 * MIB, 10);

fn ceiling(limit_bytes: u64, source: LimitSource) -> Ceiling {
    Ceiling {
        limit_bytes: Some(limit_bytes),
        source: Some(source),
        cgroup_bytes: None,
        floor_bytes: 6 * MIB,
        fixed_bytes: FIXED_BYTES,
        kept_bytes: 0,
        large_bytes: Some(price::large_bytes(limit_bytes, FIXED_BYTES)),
        small_bytes: Some(price::small_bytes(limit_bytes, FIXED_BYTES)),
        pool_bytes: 64 * MIB,
        event_bytes: 16 * MIB,
        task_bytes: 64 * MIB,
    }
}

fn plan_in(load: Option<PlannedLoad>, limits: &Limits, ceiling: Ceiling) -> CeilingPlan {
    CeilingPlan::of(load, &PlanBasis { limits, prices: prices(), process: PROCESS, ceiling })
}

fn plan(load: PlannedLoad, limit_bytes: u64) -> CeilingPlan {
    plan_in(Some(load), &Limits::default(), ceiling(limit_bytes, LimitSource::Configured))
}

fn term(plan: &CeilingPlan, name: &str) -> (u64, u64, u64) {
    let term = plan.terms.iter().find(|term| term.name == name);
    term.map_or((0, 0, 0), |term| (term.count, term.bytes_each, term.bytes))
}

#[test]
fn each_part_of_a_load_is_a_term_of_its_number_and_price() {
    let load = PlannedLoad {
        connections: 600,
        sessions: 500,
        streams: 40,
        stream_resources: 5,
        waiting: 7,
        reads: Transfers { count: 20, bytes: MIB },
        writes: Transfers { count: 5, bytes: 4 * MIB },
    };
    let plan = plan(load, 1 << 30);
    assert_eq!(term(&plan, "process at the start"), (1, 6 * MIB, 6 * MIB));
    assert_eq!(term(&plan, "idle connections"), (600, 1_000, 600_000));
    assert_eq!(term(&plan, "sessions"), (500, 300, 150_000));
    assert_eq!(term(&plan, "streams"), (40, 200, 8_000));
    assert_eq!(term(&plan, "resources that streams name"), (200, 500, 100_000));
    assert_eq!(term(&plan, "requests at work").0, 40 + 7 + 20 + 5);
    assert_eq!(term(&plan, "arenas, idle"), (32, 64 * KIB, 2 * MIB));
    assert_eq!(term(&plan, "event stores").2, 40 * 256 * KIB);
    assert_eq!(term(&plan, "kernel: sockets").0, 600);
    let (reads, writes) = (term(&plan, "reads in flight"), term(&plan, "writes in flight"));
    assert_eq!(reads.1, price::window_bytes(price::SEGMENT_BYTES) as u64, "what the answer reserves");
    assert_eq!(writes.1, price::message_bytes(4 * MIB as usize) as u64, "what the transport expects");
    assert_eq!(plan.large_bytes, reads.2 + writes.2);
    assert_eq!(term(&plan, "allocator, freed buffers").2, price::kept_bytes(plan.large_bytes));
}

/// A plan for a server with the memory tools, under a limit that was divided for them.
fn plan_with_graph(load: Option<PlannedLoad>, limit_bytes: u64, set: Option<usize>) -> CeilingPlan {
    let mut limits =
        Limits { memory_limit_bytes: limit_bytes as usize, max_graph_bytes: set, ..Limits::default() };
    let machine = Machine { rss: Some(6 * MIB), ..Machine::default() };
    let ceiling = Ceiling::of(&mut limits, machine, Limits::max_graph_bytes).expect("room");
    let process = ProcessFacts {
        threads: limits.all_threads() as u64,
        graph_bytes: limits.max_graph_bytes() as u64,
        ..PROCESS
    };
    CeilingPlan::of(load, &PlanBasis { limits: &limits, prices: prices(), process, ceiling })
}

#[test]
fn a_graph_has_its_part_of_the_limit() {
    let load = PlannedLoad {
        connections: 20,
        writes: Transfers { count: 20, bytes: MIB },
        ..PlannedLoad::default()
    };
    for limit_bytes in [64 * MIB, 256 * MIB, 4 << 30] {
        for set in [None, Some(MIB as usize)] {
            let plan = plan_with_graph(None, limit_bytes, set);
            let (_, _, graph) = term(&plan, "knowledge graph");
            assert_eq!(set.unwrap_or(graph as usize), graph as usize);
            assert!(graph > 0 && plan.fits, "{limit_bytes} {set:?}: {:?}", plan.remedies);
            assert!(plan.process_bytes <= limit_bytes);
            let small = plan_with_graph(Some(load), limit_bytes, set);
            let enough = plan_with_graph(Some(load), small.needed_limit_bytes.max(limit_bytes), set);
            assert!(enough.fits, "{limit_bytes} {set:?}: {:?}", enough.remedies);
        }
    }
    // One that may be larger than all is not promised.
    let too_large = plan_with_graph(None, 64 * MIB, Some(1 << 30));
    assert!(!too_large.fits && too_large.ceiling.kept_bytes < 32 * MIB);
}

#[test]
fn who_keeps_texts_once_plans_with_one() {
    let reads = PlannedLoad { reads: Transfers { count: 1, bytes: KIB }, ..PlannedLoad::default() };
    let limits = Limits::default();
    let ceiling = ceiling(1 << 30, LimitSource::Configured);
    let prices = ObjectPrices { text_copies: 1, ..prices() };
    let plan =
        CeilingPlan::of(Some(reads), &PlanBasis { limits: &limits, prices, process: PROCESS, ceiling });
    let buffer = price::buffer_bytes(price::answer_bytes(KIB as usize, 1));
    assert_eq!(term(&plan, "small reads in flight").1, buffer as u64);
}

#[test]
fn what_does_not_fit_says_what_would() {
    let load = PlannedLoad {
        connections: 20,
        writes: Transfers { count: 20, bytes: MIB },
        ..PlannedLoad::default()
    };
    let small = plan(load, 64 * MIB);
    assert!(!small.fits);
    let text = small.remedies.join("\n");
    assert!(text.contains("wait for their turn") && text.contains("memory_limit_bytes"), "{text}");
    let enough = plan(load, small.needed_limit_bytes);
    assert!(enough.fits, "{:?}", enough.remedies);
    assert!(!plan(load, small.needed_limit_bytes - MIB - 3).fits, "it is the smallest");
}

#[test]
fn a_control_group_counts_the_kernels_part_and_a_setting_does_not() {
    let load = PlannedLoad { connections: 9_000, ..PlannedLoad::default() };
    let alone = plan(load, 1 << 30);
    let kernel_bytes = alone.with_kernel_bytes - alone.process_bytes;
    assert!(kernel_bytes > 9_000 * 3_700, "{kernel_bytes}");
    // Nine thousand connections are small objects, and have a third of the limit.
    let limit = alone.needed_limit_bytes.max(alone.process_bytes + kernel_bytes / 2);
    assert!(plan(load, limit).fits);
    let in_group = plan_in(Some(load), &Limits::default(), ceiling(limit, LimitSource::Cgroup));
    assert!(!in_group.fits && in_group.remedies[0].contains("kernel"), "{:?}", in_group.remedies);
}

#[test]
fn what_the_settings_refuse_is_told() {
    let load = PlannedLoad {
        connections: 10_001,
        sessions: 10_001,
        streams: 1_025,
        reads: Transfers { count: 1, bytes: 40 * MIB },
        writes: Transfers { count: 1, bytes: 11 * MIB },
        ..PlannedLoad::default()
    };
    let plan = plan(load, 1 << 40);
    for name in ["max_connections", "max_sessions", "max_subscriptions", "max_frame_bytes", "max_reply_bytes"]
    {
        assert!(plan.remedies.iter().any(|remedy| remedy.starts_with(name)), "{name}: {:?}", plan.remedies);
    }
    assert_eq!((plan.fits, plan.remedies.len()), (false, 5));
}

#[test]
fn what_is_small_is_counted_with_the_small_objects() {
    let load = |bytes| PlannedLoad {
        reads: Transfers { count: 100, bytes },
        writes: Transfers { count: 10, bytes },
        ..PlannedLoad::default()
    };
    let small = plan(load(7_000), 1 << 30);
    assert_eq!(term(&small, "small reads in flight").1, 16 * KIB, "twice the text, in a buffer");
    assert_eq!(term(&small, "small writes in flight").1, 16 * KIB + 14_000);
    assert_eq!((small.large_bytes, term(&small, "reads in flight").0), (0, 0));
    let medium = plan(load(60_000), 1 << 30);
    assert_eq!(term(&medium, "writes in flight").1, 64 * KIB + 4 * KIB, "it is passed on in pieces");
    assert_eq!(medium.large_bytes, term(&medium, "reads in flight").2 + term(&medium, "writes in flight").2);
    assert!(medium.small_bytes < small.small_bytes);
}

#[test]
fn more_small_objects_than_their_part_do_not_fit() {
    let load = PlannedLoad { streams: 1_000, stream_resources: 200, ..PlannedLoad::default() };
    let crowded = plan(load, 128 * MIB);
    assert!(crowded.process_bytes < 128 * MIB + 64 * MIB && !crowded.fits);
    assert!(
        crowded.remedies.iter().any(|remedy| remedy.contains("of small objects")),
        "{:?}",
        crowded.remedies
    );
    assert!(plan(load, crowded.needed_limit_bytes).fits);
    assert!(!plan(load, crowded.needed_limit_bytes - MIB - 27).fits, "it is the smallest");
}

#[test]
fn without_a_load_it_is_the_whole_limit_and_fits() {
    for limit in [32 * MIB, 64 * MIB, 256 * MIB, 1 << 40] {
        let plan = plan_in(None, &Limits::default(), ceiling(limit, LimitSource::Configured));
        assert_eq!(Some(plan.large_bytes), plan.ceiling.large_bytes);
        assert_eq!(Some(plan.small_bytes), plan.ceiling.small_bytes);
        assert!(plan.fits && plan.process_bytes <= limit, "{limit}: {:?}", plan.remedies);
        assert!(plan.process_bytes + 20 > limit.min(plan.process_bytes), "{limit}");
    }
    let tiny = plan_in(None, &Limits::default(), ceiling(8 * MIB, LimitSource::Configured));
    assert!(!tiny.fits, "its threads alone are more");
    assert!(
        plan_in(None, &Limits::default(), ceiling(tiny.needed_limit_bytes, LimitSource::Configured)).fits
    );
}

#[test]
fn the_last_line_begins_as_the_start_of_a_server() {
    let plan = plan(PlannedLoad { connections: 1, ..PlannedLoad::default() }, 64 * MIB);
    assert!(plan.summary().starts_with(&plan.ceiling.to_string()), "{}", plan.summary());
    assert!(plan.summary().contains("the load fits"), "{}", plan.summary());
}

fn loads() -> impl Strategy<Value = PlannedLoad> {
    let transfers = || (0..200_u64, 0..10 * MIB).prop_map(|(count, bytes)| Transfers { count, bytes });
    let streams = (0..1_000_u64, 0..200_u64);
    (0..9_000_u64, 0..9_000_u64, streams, 0..500_u64, transfers(), transfers()).prop_map(
        |(connections, sessions, (streams, stream_resources), waiting, reads, writes)| PlannedLoad {
            connections,
            sessions,
            streams,
            stream_resources,
            waiting,
            reads,
            writes,
        },
    )
}

proptest! {
    #[test]
    fn sums_are_those_of_the_terms_and_the_needed_limit_is_enough(load in loads(), limit in MIB..(8 << 30_u64)) {
        let plan = plan(load, limit);
        let sum = |holder| plan.terms.iter().filter(|t| t.holder == holder).map(|t| t.bytes).sum::<u64>();
        let (firm, spare) = (sum(Holder::Process), sum(Holder::Spare));
        prop_assert!(plan.terms.iter().all(|term| term.bytes == term.count * term.bytes_each));
        prop_assert_eq!(plan.process_bytes, firm + spare.min(limit.saturating_sub(firm)));
        prop_assert_eq!(plan.with_kernel_bytes, plan.process_bytes + sum(Holder::Kernel));
        prop_assert!(!plan.fits || plan.process_bytes <= limit, "what fits is below the limit");
        let all = CeilingPlan::of(Some(load), &PlanBasis {
            limits: &Limits { max_reply_bytes: 1 << 40, ..Limits::default() },
            prices: prices(),
            process: PROCESS,
            ceiling: ceiling(plan.needed_limit_bytes, LimitSource::Configured),
        });
        prop_assert!(all.fits, "{:?}", all.remedies);
    }

    #[test]
    fn more_of_anything_never_takes_less(load in loads(), more in loads()) {
        let add = |a: Transfers, b: Transfers| Transfers { count: a.count + b.count, bytes: a.bytes + b.bytes };
        let sum = PlannedLoad {
            connections: load.connections + more.connections,
            sessions: load.sessions + more.sessions,
            streams: load.streams + more.streams,
            stream_resources: load.stream_resources + more.stream_resources,
            waiting: load.waiting + more.waiting,
            reads: add(load.reads, more.reads),
            writes: add(load.writes, more.writes),
        };
        let (before, after) = (plan(load, 1 << 50), plan(sum, 1 << 50));
        prop_assert!(after.process_bytes >= before.process_bytes);
        prop_assert!(after.with_kernel_bytes >= before.with_kernel_bytes);
    }
}
