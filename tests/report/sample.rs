//! Reports built by hand: one with something in every place, one of a server that just started, one full of
//! hostile names.

use mcpool::memory::{
    AdviceReport, AppliedChange, BudgetReport, ClientReport, ClientSpot, ConnectionSpot, CurvePoint,
    DemandReport, Evidence, Hotspots, KernelPart, KernelScope, LatencyKind, LatencyReport, LatencyWindow,
    MemoryReport, MemoryUsageReport, OperationReport, Part, PoolReport, PressureLevel, PressureReport,
    ReclaimReport, SCHEMA, ServerFacts, SessionSpot, TimelinePoint, ToolSpot, Traffic,
};
use mcpool::metrics::DURATION_BOUNDS_S;
use mcpool::monitor::{Alert, AlertKind, Severity};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Names that break lines, tables, links, labels and terminals, where nobody escapes them.
pub(crate) const HOSTILE: [&str; 8] = [
    "a|b",
    "a\nb\r\n# c",
    "back\\slash\\|",
    "`code` | `more`",
    "<script>alert(1)</script> [x](http://evil.example) www.evil.example",
    "\x1b[31mred\x07\u{202e}",
    "quote\"} 1\nmcpool_fake 2",
    "日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語",
];

/// A name as people are shown it.
pub(crate) fn shown(name: &str) -> String {
    let escaped = |char: char| {
        if char.is_control() || char == '\u{202e}' {
            char.escape_default().to_string()
        } else {
            char.to_string()
        }
    };
    name.chars().map(escaped).collect()
}

/// Something in every place.
pub(crate) fn full() -> MemoryReport {
    MemoryReport {
        server: ServerFacts {
            name: "files".to_owned(),
            version: "0.1.0".to_owned(),
            pid: 4711,
            os: "linux".to_owned(),
        },
        usage: usage(),
        parts: vec![
            part("buffers, idle", 4 * MIB, 5 * MIB, Some(1_024), true),
            part("program", 2 * MIB, 2 * MIB, None, false),
            part("connections", MIB + 512 * KIB, 3 * MIB, Some(12), true),
            part("messages, leased", 512 * KIB, 640 * KIB, Some(3), true),
            part("tool state", 0, 0, None, true),
        ],
        kernel: vec![
            KernelPart {
                name: "buffers of TCP".to_owned(),
                bytes: 628 * KIB,
                count: Some(8),
                scope: KernelScope::Network,
            },
            KernelPart {
                name: "page tables".to_owned(),
                bytes: 120 * KIB,
                count: None,
                scope: KernelScope::Process,
            },
        ],
        pressure: pressure(),
        pools: vec![arenas(), steady(), unused("buffers/65536"), unused("exchanges")],
        budget: BudgetReport { limit_bytes: 16 * MIB, used_bytes: 5 * MIB },
        hotspots: hotspots(),
        traffic: traffic(),
        clients: clients(),
        operations: vec![
            operation("tools/call", None, &[(0, 90), (1, 4), (3, 1), (14, 1)], 4.5),
            operation("tools/call", Some("tool_error"), &[(0, 7)], 0.0),
        ],
        latencies: latencies(),
        alerts: vec![alert(None), alert(Some(1_700_000_003_840_000))],
        session_durations: Some(operation("", None, &[(12, 2), (13, 1)], 700.0)),
        timeline: vec![TimelinePoint {
            at_ms: 1_000,
            rss_bytes: 10 * MIB,
            parts: vec![("buffers, idle".to_owned(), 1_000)],
        }],
        applied: vec![AppliedChange {
            what: "owned messages".to_owned(),
            before: 64,
            after: 32,
            reason: "nobody wanted more than 20 in an hour".to_owned(),
        }],
        settings: [("arena_capacity".to_owned(), 16)].into(),
        ..empty()
    }
}

fn alert(resolved_unix_ms: Option<u64>) -> Alert {
    let is_over = resolved_unix_ms.is_some();
    Alert {
        severity: Severity::Warning,
        kind: if is_over { AlertKind::Requirement } else { AlertKind::Regression },
        subject: "tool slow|tool".to_owned(),
        what: "takes 30 % longer than usual: p50 is 62.0 ms".to_owned(),
        against: "p50 is usually 47.7 ms at this load".to_owned(),
        cause: "tool slow|tool itself; others are as usual".to_owned(),
        command: "mcpool report".to_owned(),
        since_unix_ms: 1_700_000_003_780_000,
        resolved_unix_ms,
        times: 1,
    }
}

fn latencies() -> Vec<LatencyReport> {
    let window = |window_s, count, p50_ns| LatencyWindow {
        window_s,
        covered_ms: window_s * 750,
        count,
        p50_ns,
        p95_ns: p50_ns * 2,
        p99_ns: p50_ns * 3,
        max_ns: p50_ns * 40,
    };
    let of = |kind, name: &str, windows| LatencyReport { kind, name: name.to_owned(), windows };
    let all = vec![window(10, 40, 2_500), window(60, 300, 2_400), window(300, 2_000, 2_300)];
    vec![
        of(LatencyKind::Message, "", [all, vec![window(3_600, 30_000, 2_200)]].concat()),
        of(LatencyKind::Negotiation, "", vec![window(3_600, 1, 150_000)]),
        of(LatencyKind::Method, "ping", vec![window(60, 1, 990)]),
        of(
            LatencyKind::Tool,
            "read_text_file",
            vec![window(60, 299, 1_250_000), window(3_600, 20_000, 1_300_000)],
        ),
        of(LatencyKind::Tool, "slow|tool", vec![window(3_600, 3, 62_000_000_000)]),
        of(LatencyKind::Tool, "forgotten", Vec::new()),
    ]
}

/// Of a platform that tells nothing, just started.
pub(crate) fn empty() -> MemoryReport {
    MemoryReport {
        schema: SCHEMA.to_owned(),
        taken_unix_ms: 1_700_000_003_900_000,
        uptime_ms: 3_900_000,
        server: ServerFacts {
            name: "files".to_owned(),
            version: "0.1.0".to_owned(),
            pid: 1,
            os: "plan9".to_owned(),
        },
        usage: MemoryUsageReport::default(),
        parts: Vec::new(),
        kernel: Vec::new(),
        pressure: PressureReport::default(),
        pools: Vec::new(),
        budget: BudgetReport::default(),
        hotspots: Hotspots::default(),
        traffic: Traffic::default(),
        clients: Vec::new(),
        operations: Vec::new(),
        latencies: Vec::new(),
        alerts: Vec::new(),
        session_durations: None,
        timeline: Vec::new(),
        applied: Vec::new(),
        settings: [].into(),
    }
}

/// A hostile name wherever a name can be, and the same one twice.
pub(crate) fn hostile() -> MemoryReport {
    let mut report = full();
    HOSTILE[4].clone_into(&mut report.server.name);
    HOSTILE[5].clone_into(&mut report.server.version);
    report.pressure.limit_source = Some(HOSTILE[3].to_owned());
    (report.parts, report.pools, report.applied) = (Vec::new(), Vec::new(), Vec::new());
    (report.hotspots.connections, report.hotspots.tools) = (Vec::new(), Vec::new());
    report.pressure.reclaimed.clear();
    for name in HOSTILE.into_iter().chain([HOSTILE[0]]) {
        let name = name.to_owned();
        report.parts.push(part(&name, MIB, u64::MAX, Some(u64::MAX), true));
        report.pools.push(PoolReport {
            name: name.clone(),
            setting: Some(name.clone()),
            discarded: [(name.clone(), 1)].into(),
            advice: Some(AdviceReport { reason: name.repeat(3), ..arenas().advice.expect("advice") }),
            ..arenas()
        });
        report.pools.push(unused(&name));
        report.hotspots.connections.push(connection(1, &name));
        report.hotspots.tools.push(tool(&name));
        report.pressure.reclaimed.push(ReclaimReport { step: name.clone(), runs: 1, bytes: 1 });
        report.applied.push(AppliedChange { what: name.clone(), before: 1, after: 2, reason: name });
    }
    report
}

fn usage() -> MemoryUsageReport {
    MemoryUsageReport {
        rss_bytes: Some(20 * MIB),
        pss_bytes: Some(15 * MIB),
        private_bytes: Some(8 * MIB + 512 * KIB),
        shared_bytes: Some(11 * MIB + 512 * KIB),
        peak_rss_bytes: Some(24 * MIB),
        huge_page_bytes: Some(0),
        committed_bytes: Some(9 * MIB),
        peak_committed_bytes: Some(10 * MIB),
        heap_bytes: Some(6 * MIB),
        unwritten_bytes: Some(0),
        stack_bytes: Some(96 * KIB),
        connection_bytes: MIB + 512 * KIB,
        correlation_bytes: KIB,
        message_buffer_bytes: 4 * MIB,
        total_allocated_bytes: 6 * MIB,
        peak_allocated_bytes: 7 * MIB,
        explained_bytes: 18 * MIB,
        explained_ratio: Some(0.9),
        error_bytes: Some(-2 * MIB.cast_signed()),
        error_ratio: Some(-0.1),
        held_ratio: Some(0.3),
        threads: Some(3),
        open_descriptors: Some(1_021),
        cpu_ms: Some(12_340),
    }
}

fn pressure() -> PressureReport {
    PressureReport {
        level: PressureLevel::Elevated,
        limit_bytes: Some(64 * MIB),
        limit_source: Some("cgroup".to_owned()),
        cgroup_limit_bytes: Some(64 * MIB),
        psi_some_avg10: Some(1.25),
        entered: [2, 3, 1],
        refused: 1_234,
        reclaimed: vec![
            ReclaimReport { step: "idle arenas".to_owned(), runs: 7, bytes: 3 * MIB },
            ReclaimReport { step: "event stores".to_owned(), runs: 0, bytes: 0 },
        ],
    }
}

/// A pool that misses, and should grow.
fn arenas() -> PoolReport {
    PoolReport {
        name: "arenas".to_owned(),
        capacity: 16,
        maximum: 4_096,
        in_use: 12,
        idle: 16,
        idle_bytes: 96 * KIB,
        owned_bytes: 160 * KIB,
        hits: 37_893,
        misses: 3_340,
        discarded: [("full".to_owned(), 3_312), ("oversized".to_owned(), 2)].into(),
        hit_ratio_now: Some(0.9189),
        hit_ratio_1m: Some(0.93),
        hit_ratio_1h: None,
        high_water_mark: 41,
        demand: DemandReport { p50: 4, p90: 18, p99: 31, p999: 37, max: 41, buckets: vec![(4, 20_000.5)] },
        bytes_per_object: 6 * KIB,
        saved_ns_per_hit: Some(310.5),
        evidence: Evidence {
            acquires: 41_233.0,
            traced: 41_233.0,
            window_ms: 360_000,
            acquires_per_second: 114.5,
        },
        curve: vec![CurvePoint { capacity: 16, hit_ratio: 0.919, bytes: 96 * KIB }],
        advice: Some(AdviceReport {
            capacity: 40,
            hit_ratio: 0.996,
            bytes: 240 * KIB,
            confidence: 0.9,
            reason: "from 41,233 acquires over 6 min; now 16: 8.1 % misses; 40 would leave 0.4 %".to_owned(),
        }),
        setting: Some("arena_capacity".to_owned()),
    }
}

/// A pool that is as it should be.
fn steady() -> PoolReport {
    let advice =
        AdviceReport { capacity: 64, reason: "it is".to_owned(), ..arenas().advice.expect("advice") };
    PoolReport {
        name: "buffers/4096".to_owned(),
        capacity: 64,
        in_use: 0,
        idle: 9,
        idle_bytes: 36 * KIB,
        owned_bytes: 36 * KIB,
        hits: 10_000,
        misses: 9,
        discarded: [].into(),
        hit_ratio_now: Some(1.0),
        hit_ratio_1m: Some(0.99994),
        hit_ratio_1h: Some(0.5),
        advice: Some(advice),
        setting: Some("buffer_capacity".to_owned()),
        ..arenas()
    }
}

fn unused(name: &str) -> PoolReport {
    PoolReport {
        name: name.to_owned(),
        in_use: 0,
        idle: 0,
        idle_bytes: 0,
        owned_bytes: 0,
        hits: 0,
        misses: 0,
        discarded: [].into(),
        hit_ratio_now: None,
        hit_ratio_1m: None,
        demand: DemandReport::default(),
        advice: None,
        ..arenas()
    }
}

fn hotspots() -> Hotspots {
    Hotspots {
        connections: (1..=12).map(|number| connection(number, "127.0.0.1:40123")).collect(),
        sessions: vec![SessionSpot {
            number: 5,
            client: "claude|code".to_owned(),
            bytes: 70 * KIB,
            idle_ms: 90_000_000,
        }],
        clients: vec![ClientSpot { client: "127.0.1.2".to_owned(), bytes: 70 * KIB, room_bytes: 7 * MIB }],
        tools: vec![tool("read_text_file")],
        connection_buckets: vec![(MIB, 12)],
    }
}

fn clients() -> Vec<ClientReport> {
    let unnamed = ClientReport { p50_ns: 310_000_000, p99_ns: 4_100_000_000, ..client("", 3, 0) };
    vec![client("claude|code", 1_200_000, 9), unnamed]
}

fn client(name: &str, requests: u64, errors: u64) -> ClientReport {
    ClientReport {
        name: name.to_owned(),
        requests,
        errors,
        answer_bytes: requests * 2 * KIB,
        busy_ms: requests / 100,
        p50_ns: 2_400,
        p99_ns: 7_200_000,
        sessions: 1,
        session_bytes: 70 * KIB,
    }
}

fn connection(number: u64, peer: &str) -> ConnectionSpot {
    let stalled_ms = if number == 1 { 61_000 } else { 0 };
    let bytes = MIB / number;
    ConnectionSpot { number, peer: peer.to_owned(), bytes, queued_bytes: bytes / 2, stalled_ms }
}

fn tool(name: &str) -> ToolSpot {
    ToolSpot {
        name: name.to_owned(),
        calls: 1_234_567,
        errors: 7,
        two_pass: 17,
        reply_bytes: 3 << 30,
        max_reply_bytes: 2 * MIB,
        max_arena_bytes: 300 * KIB,
        oversized_arenas: 1,
    }
}

fn traffic() -> Traffic {
    Traffic {
        frames: 1_300_000,
        one_pass: 1_234_550,
        two_pass: 17,
        owned: 40,
        parked: 41,
        in_flight: 2,
        cancelled: 5,
        protocol_errors: 6,
        tool_errors: 7,
        dropped_notifications: 8,
        unread_answers: 2,
        unread_bytes: 3 * MIB,
        returns: 14,
        latest_return_ms: 2_500,
        sessions: 1,
        sessions_opened: 9,
        sessions_expired: 3,
        connections: 12,
        subscriptions: 0,
        tasks: 0,
    }
}

fn operation(method: &str, error: Option<&str>, counts: &[(usize, u64)], sum_s: f64) -> OperationReport {
    let mut all = vec![0; DURATION_BOUNDS_S.len() + 1];
    for (bucket, count) in counts {
        all[*bucket] = *count;
    }
    OperationReport { method: method.to_owned(), error: error.map(str::to_owned), counts: all, sum_s }
}

fn part(name: &str, bytes: u64, peak_bytes: u64, count: Option<u64>, is_heap: bool) -> Part {
    Part { name: name.to_owned(), bytes, peak_bytes, count, is_heap }
}
