//! What the doctor says fits a terminal, whatever the rules find.

use super::sample;
use mcpool::memory::{MemoryReport, PressureLevel};
use mcpool::monitor::AlertKind;
use mcpool::report::{Diagnosis, Unchecked, diagnose};

const MIB: u64 = 1 << 20;

/// A report that as many rules as possible find something in.
fn troubled() -> MemoryReport {
    let mut report = sample::full();
    "linux".clone_into(&mut report.server.os);
    report.pressure.level = PressureLevel::Critical;
    report.pressure.limit_bytes = Some(16 * MIB);
    report.pressure.cgroup_limit_bytes = Some(8 * MIB);
    report.pressure.limit_source = Some("configured".to_owned());
    report.pressure.psi_some_avg10 = Some(40.0);
    report.usage.huge_page_bytes = report.usage.rss_bytes;
    report.usage.error_bytes = Some(5 * MIB.cast_signed());
    report.usage.error_ratio = Some(0.25);
    report.usage.private_bytes = Some(100 * MIB);
    report.parts[0].bytes = 80 * MIB;
    "allocator, free".clone_into(&mut report.parts[0].name);
    report.budget.limit_bytes = 64 * MIB;
    let settings = [
        ("event_store_bytes", 64 * MIB),
        ("arena_retain_bytes", 64 << 10),
        ("max_sessions", 200),
        ("max_connections", 12),
        ("session_timeout_ms", 3_600_000),
        ("write_timeout_ms", 30_000),
        ("event_retention_ms", 60_000),
        ("max_outbox_bytes", 8 * MIB),
        ("max_subscribed_uris", 100),
    ];
    report.settings.extend(settings.map(|(name, value)| (name.to_owned(), value)));
    report.pools[0].hit_ratio_1m = Some(0.5);
    report.pools[0].discarded.insert("overbudget".to_owned(), 5_000);
    report.pools[0].idle_bytes = 60 * MIB;
    let mut large = report.pools[1].clone();
    "large arenas".clone_into(&mut large.name);
    large.discarded.insert("oversized".to_owned(), 9_000);
    let mut kept = report.pools[1].clone();
    "buffers/1048576".clone_into(&mut kept.name);
    (kept.idle, kept.idle_bytes, kept.in_use) = (9, 9 * MIB, 0);
    report.pools.extend([large, kept]);
    report.hotspots.connections[0].bytes = 40 * MIB;
    report.hotspots.clients[0].bytes = 6 * MIB;
    report.hotspots.tools[0].two_pass = 1_000_000;
    report.hotspots.tools[0].max_arena_bytes = 8 * MIB;
    report.traffic.unread_bytes = 9 * MIB;
    (report.traffic.sessions, report.traffic.sessions_opened, report.traffic.sessions_expired) =
        (190, 300, 100);
    let mut slow = report.alerts[0].clone();
    slow.kind = AlertKind::Requirement;
    report.alerts.push(slow);
    report
}

fn shown(diagnosis: &Diagnosis, width: usize) -> String {
    let mut out = Vec::new();
    diagnosis.write(width, &mut out).expect("written");
    String::from_utf8(out).expect("UTF-8")
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

#[test]
fn findings_fit_80_columns_and_are_told_whole() {
    let mut diagnosis = diagnose(&troubled());
    let silent: Vec<_> = diagnosis.passed.clone();
    assert_eq!(silent, Vec::<&str>::new(), "each rule is to find something here");
    diagnosis.unchecked.push(Unchecked { rule: "fragmentation", reason: "the allocator reports no figures" });
    let text = shown(&diagnosis, 80);
    let wide: Vec<_> = text.lines().filter(|line| line.chars().count() > 80).collect();
    assert_eq!(wide, Vec::<&str>::new());
    for finding in &diagnosis.findings {
        for told in [&finding.problem, &finding.cause, &finding.evidence, &finding.remedy, &finding.cost] {
            let told = words(told).join(" ");
            assert!(words(&text).join(" ").contains(&told), "{told}");
        }
    }
    // As wide as they come, and as narrow.
    for width in [0, 13, 40, 1_000] {
        assert!(shown(&diagnosis, width).lines().all(|line| line.chars().count() <= width), "{width}");
    }
}

#[test]
fn a_limit_is_raised_where_it_is_set() {
    let mut report = troubled();
    report.pressure.limit_source = Some("cgroup".to_owned());
    let diagnosis = diagnose(&report);
    for rule in ["under-pressure", "limit-exceeded", "work-refused"] {
        let finding = diagnosis.findings.iter().find(|finding| finding.rule == rule).expect("it fires");
        assert!(finding.setting.is_none() && finding.remedy.contains("control group"), "{finding:?}");
    }
    report.pressure.limit_source = Some("physical".to_owned());
    let diagnosis = diagnose(&report);
    let finding =
        diagnosis.findings.iter().find(|finding| finding.rule == "under-pressure").expect("it fires");
    assert!(
        finding.setting.as_ref().is_some_and(|line| line.starts_with("memory_limit_bytes = ")),
        "{finding:?}"
    );
}

#[test]
fn no_setting_is_advised_that_is_in_force() {
    let mut report = troubled();
    for (name, least) in [
        ("write_timeout_ms", 1_000),
        ("event_retention_ms", 1_000),
        ("session_timeout_ms", 60_000),
        ("max_outbox_bytes", 64 << 10),
        ("max_subscribed_uris", 1),
    ] {
        report.settings.insert(name.to_owned(), least);
    }
    for finding in diagnose(&report).findings {
        let Some((name, value)) = finding.setting.as_deref().and_then(|line| line.split_once(" = ")) else {
            continue;
        };
        let now = report.settings.get(name).map(u64::to_string);
        assert!(Some(value.to_owned()) != now, "{finding:?}");
    }
}
