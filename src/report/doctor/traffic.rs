//! Rules about clients: their connections, their sessions, their calls.

use super::finding::{Draft, Finding, Severity, Verdict, lowered, percent, setting, sum, up_to};
use crate::limits::units::{bytes, duration, grouped};
use crate::memory::MemoryReport;

const MIB: u64 = 1 << 20;

pub(super) fn few_clients_hold_most(report: &MemoryReport) -> Verdict {
    let spots = &report.hotspots.connections;
    let buckets = report.hotspots.connection_buckets.iter();
    let of_buckets = sum(buckets.map(|(bytes, count)| bytes.saturating_mul(*count)));
    let total = of_buckets.max(sum(spots.iter().map(|spot| spot.bytes)));
    let Some(first) = spots.first() else { return Verdict::Fine };
    let is_few = report.traffic.connections >= 4 && first.bytes >= MIB && percent(first.bytes, total) >= 40;
    Verdict::of(is_few.then(|| {
        Draft {
            severity: Severity::Warning,
            problem: format!(
                "One of {} connections holds {} % of their memory.",
                report.traffic.connections,
                percent(first.bytes, total)
            ),
            cause: "It has large messages under way, or does not read its answers.",
            evidence: format!(
                "connection {} of {}: {}, of which {} wait for it to read.",
                first.number,
                first.peer,
                bytes(first.bytes),
                bytes(first.queued_bytes)
            ),
            remedy: "Lower what one connection may have waiting, or talk to that client's author.".to_owned(),
            setting: lowered(report, "max_outbox_bytes", 4, 64 << 10),
            cost: "clients that read slowly are served in smaller steps.".to_owned(),
            bytes: first.bytes,
        }
        .into()
    }))
}

/// A client is told from this part of what all clients may keep, in percent: what it leaves is for all others.
const MOST_KEPT_PERCENT: u64 = 50;

pub(super) fn one_client_keeps_most(report: &MemoryReport) -> Verdict {
    let Some(first) = report.hotspots.clients.first() else { return Verdict::Fine };
    let room = first.room_bytes;
    Verdict::of((room > 0 && percent(first.bytes, room) >= MOST_KEPT_PERCENT).then(|| {
        Draft {
            severity: Severity::Warning,
            problem: format!(
                "One client keeps {} % of the memory for sessions and subscriptions.",
                percent(first.bytes, room)
            ),
            cause: "It opens sessions and does not end them, or subscribes to many resources.",
            evidence: format!(
                "{} keeps {} of {} for all clients.",
                first.client,
                bytes(first.bytes),
                bytes(room)
            ),
            remedy: "Let one subscription name fewer resources, or talk to that client's author. Others have a part \
                     that it cannot take."
                .to_owned(),
            setting: lowered(report, "max_subscribed_uris", 4, 1),
            cost: "a client that watches more resources has to open more subscriptions.".to_owned(),
            bytes: first.bytes,
        }
        .into()
    }))
}

/// A client that has read nothing for this long is slow.
const SLOW_MS: u64 = 2_000;

pub(super) fn slow_readers(report: &MemoryReport) -> Verdict {
    let slow: Vec<_> = report.hotspots.connections.iter().filter(|spot| spot.stalled_ms >= SLOW_MS).collect();
    let queued = sum(slow.iter().map(|spot| spot.queued_bytes));
    let dropped = report.traffic.dropped_notifications;
    let Some(first) = slow.iter().max_by_key(|spot| spot.stalled_ms) else {
        return Verdict::of((dropped > 0).then(|| dropped_notifications(dropped)));
    };
    Verdict::Found(
        Draft {
            severity: Severity::Warning,
            problem: format!("{} clients do not read their answers.", slow.len()),
            cause: "They sent requests and stopped reading: a hung process, or one that waits for us to read.",
            evidence: format!(
                "{} from {} took nothing for {}; {} wait in all.",
                first.number,
                first.peer,
                duration(first.stalled_ms),
                bytes(queued)
            ),
            remedy: "Nothing has to be done: a large answer gives its memory back after a second, and their \
                     connections end after write_timeout_ms. Shorten it to be rid of them sooner."
                .to_owned(),
            setting: lowered(report, "write_timeout_ms", 3, 1_000),
            cost: "clients that pause that long have to connect again.".to_owned(),
            bytes: queued,
        }
        .into(),
    )
}

/// Answers that wait for clients that left. Fewer bytes are no matter.
pub(super) fn answers_nobody_reads(report: &MemoryReport) -> Verdict {
    let (answers, unread) = (report.traffic.unread_answers, report.traffic.unread_bytes);
    let retention = setting(report, "event_retention_ms");
    Verdict::of((unread >= MIB).then(|| {
        Draft {
            severity: Severity::Warning,
            problem: format!("Answers that nobody reads keep {}.", bytes(unread)),
            cause: "Clients left before their answers were there, and may come back for them with Last-Event-ID.",
            evidence: format!(
                "{} answers of {} without a reader; each is kept for {}.",
                grouped(answers),
                bytes(unread),
                duration(retention)
            ),
            remedy: "Keep answers for a shorter time. When other calls wait for memory, the oldest of these are given \
                     up by themselves."
                .to_owned(),
            setting: lowered(report, "event_retention_ms", 4, 1_000),
            cost: "a client that comes back later has to ask again.".to_owned(),
            bytes: unread,
        }
        .into()
    }))
}

fn dropped_notifications(dropped: u64) -> Finding {
    Draft {
        severity: Severity::Hint,
        problem: format!("{} notifications were dropped.", grouped(dropped)),
        cause: "Their clients read too slowly, and what may wait for one of them is bounded.",
        evidence: format!("{} since the start.", grouped(dropped)),
        remedy: "Send progress less often, or let more wait for each client.".to_owned(),
        setting: Some(("progress_interval_ms", 500)),
        cost: "progress bars move in larger steps.".to_owned(),
        bytes: 0,
    }
    .into()
}

/// Fewer sessions than this are not a leak, however old they are.
const NOTABLE_SESSIONS: u64 = 100;

pub(super) fn session_leak(report: &MemoryReport) -> Verdict {
    let traffic = &report.traffic;
    let timeout = setting(report, "session_timeout_ms");
    let ended_by_clients =
        traffic.sessions_opened.saturating_sub(traffic.sessions).saturating_sub(traffic.sessions_expired);
    let is_leak = traffic.sessions.saturating_add(traffic.sessions_expired) >= NOTABLE_SESSIONS
        && percent(ended_by_clients, traffic.sessions_opened) < 20
        && traffic.sessions > traffic.connections.max(1).saturating_mul(4);
    Verdict::of(is_leak.then(|| {
        let of = |name: &str| report.part(name).map_or(0, |part| part.bytes);
        let held = sum(["sessions", "event stores"].into_iter().map(of));
        Draft {
            severity: Severity::Warning,
            problem: format!("{} sessions are kept for {} connections.", traffic.sessions, traffic.connections),
            cause: "Clients open sessions and go away without ending them (DELETE), which leaves them until they expire.",
            evidence: format!(
                "{} opened, {} ended by their clients, {} expired.",
                grouped(traffic.sessions_opened),
                grouped(ended_by_clients),
                grouped(traffic.sessions_expired)
            ),
            remedy: format!("Let sessions expire sooner than after {}.", duration(timeout)),
            setting: lowered(report, "session_timeout_ms", 6, 60_000),
            cost: "clients that pause longer have to begin anew.".to_owned(),
            bytes: held,
        }
        .into()
    }))
}

pub(super) fn sessions_full(report: &MemoryReport) -> Verdict {
    full(
        report,
        report.traffic.sessions,
        &Bound {
            limit_name: "max_sessions",
            what: "sessions",
            then: "each new one ends one that was unused for long, of the same principal or of the one with most",
            bytes_each: 600,
        },
    )
}

pub(super) fn connections_full(report: &MemoryReport) -> Verdict {
    let connections = report.traffic.connections;
    full(
        report,
        connections,
        &Bound {
            limit_name: "max_connections",
            what: "connections",
            then: "new ones are answered 503",
            bytes_each: 1_024,
        },
    )
}

/// A bound on how many of something may be open at once.
struct Bound {
    limit_name: &'static str,
    what: &'static str,
    /// What happens to one too many.
    then: &'static str,
    bytes_each: u64,
}

/// The finding that nine tenths of a limit are taken.
fn full(report: &MemoryReport, open: u64, bound: &Bound) -> Verdict {
    let Bound { limit_name, what, then, bytes_each } = *bound;
    let limit = setting(report, limit_name);
    Verdict::of((limit > 0 && percent(open, limit) >= 90).then(|| {
        Draft {
            severity: Severity::Critical,
            problem: format!("{} of {} {what} are taken.", grouped(open), grouped(limit)),
            cause: "More clients come, or stay, than the bound foresees.",
            evidence: format!("at {} {what}, {then}.", grouped(limit)),
            remedy: "Raise the bound, or have idle ones end sooner.".to_owned(),
            setting: Some((limit_name, limit.saturating_mul(2))),
            cost: up_to(limit.saturating_mul(bytes_each)),
            bytes: open.saturating_mul(bytes_each),
        }
        .into()
    }))
}

pub(super) fn two_pass_decoding(report: &MemoryReport) -> Verdict {
    let tools = &report.hotspots.tools;
    let two_pass = sum(tools.iter().map(|tool| tool.two_pass));
    let calls = sum(tools.iter().map(|tool| tool.calls));
    if calls < 100 || percent(two_pass, calls) < 20 {
        return Verdict::Fine;
    }
    let tool = tools.iter().max_by_key(|tool| tool.two_pass);
    let name = tool.map_or("the tools", |tool| &tool.name);
    Verdict::Found(
        Draft {
            severity: Severity::Hint,
            problem: format!("Calls are decoded twice, most of them calls of {name}."),
            cause: "Their clients write the arguments before the tool's name, so that they cannot be decoded as they \
                    are read.",
            evidence: format!("{} of {} calls took a second pass.", grouped(two_pass), grouped(calls)),
            remedy: "Have the client write \"name\" before \"arguments\" in params.".to_owned(),
            setting: None,
            cost: "nothing.".to_owned(),
            bytes: 0,
        }
        .into(),
    )
}
