//! What a burst of large requests takes, and what a server keeps of it.

use super::track::refused;
use super::{Stage, bytes_as_mib, mib};
use crate::calls::Call;
use crate::figures::Spread;
use crate::peers::{Peer, Site, Tools};
use crate::sheet::{Cell, Sheet};
use mcpool::load::{Era, LoadTestReport};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

const BODY_BYTES: usize = 1 << 20;
/// How long after the burst the rest is weighed.
const AFTER: Duration = Duration::from_secs(5);

/// A burst that is over, on a server that still runs.
struct Finished {
    site: Site,
    before: f64,
    report: LoadTestReport,
    ended: Instant,
}

/// Sends the bursts, first over HTTP, then over pipes.
/// What fails is left out.
pub(crate) fn measure(stage: &Stage<'_>) -> Vec<Sheet> {
    let about = format!(
        "Over HTTP {} bodies of 1 MiB at once, each on a connection of its own, in 2026-07-28; over stdio {} lines of \
         1 MiB, one after the other. Servers with `length` are asked for it, those with files for \
         `list_allowed_directories` with an argument that nobody needs. 5 s after: over HTTP nobody is connected any \
         more, over stdio the client still is.",
        stage.extent.burst_connections, stage.extent.burst_frames
    );
    let mut sheet = Sheet::new("burst", "Burst", "RSS in MiB", &about);
    let mut over_http = Vec::new();
    for site in stage.sites() {
        let peer = site.peer;
        stage.say(&format!("burst over HTTP: {}", peer.name()));
        over_http.extend(stage.attempt(peer, "burst over HTTP", || at_once(stage, site)));
    }
    for Finished { site, before, report, ended } in over_http {
        thread::sleep((ended + AFTER).saturating_duration_since(Instant::now()));
        let memory = stage.attempt(site.peer, "after the burst", || site.server.memory());
        if let Some(memory) = memory {
            enter(&mut sheet, "HTTP", site.peer, (before, &report, mib(memory.rss_kib)));
            let refused = Cell::Spread(Spread::one(refused(&report) as f64));
            sheet.put("HTTP: refused (503), bodies", site.peer, refused);
        }
    }
    for peer in stage.with_stdio() {
        stage.say(&format!("burst over stdio: {}", peer.name()));
        let report = stage.attempt(peer, "burst over stdio", || in_turn(stage, peer));
        let server = report.as_ref().and_then(|report| report.server.as_ref());
        if let (Some(report), Some(server)) = (&report, server) {
            let after = bytes_as_mib(server.rss_after_bytes.unwrap_or_default());
            let before = bytes_as_mib(server.rss_before_bytes);
            enter(&mut sheet, "stdio", peer, (before, report, after));
        }
    }
    vec![sheet]
}

/// Enters a burst, with what the server had before and has some time after it.
fn enter(sheet: &mut Sheet, transport: &str, peer: Peer, burst: (f64, &LoadTestReport, f64)) {
    let (before, report, after) = burst;
    let peak = report.server.as_ref().map(|server| server.rss_peak_bytes);
    let right_after = report.seconds.last().and_then(|second| second.server_rss_bytes);
    let rows = [
        ("before", Some(before)),
        ("peak", peak.map(bytes_as_mib)),
        ("right after", right_after.map(bytes_as_mib)),
        ("5 s after", Some(after)),
        ("seconds that it took", Some(report.measured_ms / 1e3)),
    ];
    for (label, figure) in rows {
        if let Some(figure) = figure {
            sheet.put(&format!("{transport}: {label}"), peer, Cell::Spread(Spread::one(figure)));
        }
    }
}

/// The call of a large request with a small answer.
fn large(peer: Peer) -> Call {
    match peer.tools() {
        Tools::Files => Call::Unused(BODY_BYTES),
        Tools::Echo | Tools::Static => Call::Length(BODY_BYTES),
    }
}

fn at_once(stage: &Stage<'_>, site: Site) -> io::Result<Finished> {
    let warm = site.load("burst, before it", &Call::ListTools, Era::Modern)?;
    stage.run(&warm.warm_up(Duration::ZERO).count(1))?;
    thread::sleep(stage.extent.settle);
    let before = mib(site.server.memory()?.rss_kib);
    let connections = stage.extent.burst_connections;
    let burst = site.load("burst over HTTP", &large(site.peer), Era::Modern)?.warm_up(Duration::ZERO);
    let report = stage.run(&burst.connections(connections).count(connections as u64))?;
    Ok(Finished { site, before, report, ended: Instant::now() })
}

fn in_turn(stage: &Stage<'_>, peer: Peer) -> io::Result<LoadTestReport> {
    let burst = stage.peers.stdio_load(peer, "burst over stdio", &large(peer))?.warm_up(Duration::ZERO);
    stage.run(&burst.count(stage.extent.burst_frames as u64).settle(AFTER))
}
