//! How fast servers answer when they are asked without a pause, over pipes and over HTTP.

use super::track::{Names, Track, closed};
use super::{LARGE_BYTES, MOST_LARGE, Stage, enough};
use crate::calls::{Call, Era};
use crate::http_load;
use crate::peers::Site;
use crate::schedule::{Pace, Span};
use crate::sheet::Sheet;
use crate::stdio_load;
use crate::stdio_server::StdioServer;
use std::io;
use std::process::Command;

/// Requests in flight at once over pipes.
const WINDOWS: [usize; 2] = [1, 64];

/// One server, one call.
struct Case {
    track: Track,
    /// Which of the servers.
    server: usize,
    call: Call,
    era: Era,
    span: Span,
}

/// Asks over pipes, one request in flight and 64.
///
/// # Errors
/// When the pipes themselves cannot be measured.
pub(crate) fn over_stdio(stage: &Stage<'_>) -> io::Result<Vec<Sheet>> {
    let greet = |peer| {
        let server =
            stage.attempt(peer, "greeting over stdio", || StdioServer::greet(&mut stage.peers.stdio(peer)?));
        server.map(|server| (peer, server))
    };
    let mut servers: Vec<_> = stage.with_stdio().into_iter().filter_map(greet).collect();
    let mut tracks = Vec::new();
    for window in WINDOWS {
        let mut cases = Vec::new();
        for (server, (peer, _)) in servers.iter().enumerate() {
            let calls = peer.calls(Era::Legacy, &stage.peers.files).into_iter();
            for call in calls.filter(|call| stage.extent.asks(call, window)) {
                let track = Track::new(format!("{}, {window} in flight", call.name()), *peer);
                cases.push(Case { track, server, call, era: Era::Legacy, span: stage.extent.span });
            }
        }
        for round in 1..=stage.extent.rounds {
            stage.say(&format!("stdio: {window} in flight, round {round} of {}", stage.extent.rounds));
            for case in cases.iter_mut().filter(|case| !case.track.is_over) {
                let server = &mut servers[case.server].1;
                let figures = stage.attempt(case.track.peer, &case.track.label, || {
                    enough(&mut case.span, stage.extent.longest, window, |pace| {
                        stdio_load::run(server, &case.call, window, pace)
                    })
                });
                match figures {
                    Some(figures) => case.track.add(&figures, 1),
                    None => case.track.is_over = true,
                }
            }
        }
        tracks.extend(cases.into_iter().map(|case| case.track));
    }
    let pipes =
        stdio_load::round_trip(&mut StdioServer::start(&mut Command::new("cat"))?, stage.extent.span)?;
    let mut sheets = closed(&tracks, &STDIO);
    sheets[1].about =
        format!("The pipes themselves and this client, one in flight: {pipes:.1} us, through `cat`.");
    Ok(sheets)
}

const STDIO: Names = Names {
    ids: ["stdio", "stdio-latency", "stdio-cpu", "stdio-client"],
    place: "over stdio",
    about: "In the handshake revision 2025-11-25, which all speak over pipes, from one thread.",
};

/// Asks over HTTP on ever more connections, in both eras.
/// What fails is left out.
pub(crate) fn over_http(stage: &Stage<'_>) -> Vec<Sheet> {
    let mut sites = stage.started(stage.peers.present().filter(|peer| peer.has_http()));
    let mut tracks = Vec::new();
    for &connections in &stage.extent.connections {
        let mut cases = cases(stage, &sites, connections);
        for round in 1..=stage.extent.rounds {
            stage.say(&format!("HTTP: {connections} connections, round {round} of {}", stage.extent.rounds));
            for case in cases.iter_mut().filter(|case| !case.track.is_over) {
                let site = &mut sites[case.server];
                let threads = stage.extent.client_threads;
                let figures = stage.attempt(case.track.peer, &case.track.label, || {
                    enough(&mut case.span, stage.extent.longest, connections, |pace| {
                        ask(site, &case.call, case.era, (connections, threads), pace)
                    })
                });
                match figures {
                    Some(figures) => case.track.add(&figures, stage.extent.client_threads),
                    None => case.track.is_over = true,
                }
            }
        }
        tracks.extend(cases.into_iter().map(|case| case.track));
    }
    tracks.sort_by_key(|track| rank(&track.label));
    closed(&tracks, &HTTP)
}

const HTTP: Names = Names {
    ids: ["http", "http-latency", "http-cpu", "http-client"],
    place: "over HTTP",
    about: "Connections that are kept, each with one request in flight. nginx answers a body of the same length that never changes. 2026-07-28 has no ping. Large bodies are asked for on at most 16 connections.",
};

fn cases(stage: &Stage<'_>, sites: &[Site], connections: usize) -> Vec<Case> {
    let mut cases = Vec::new();
    for (server, site) in sites.iter().enumerate() {
        for &era in site.peer.eras() {
            for call in site.peer.calls(era, &stage.peers.files) {
                let is_large = call.bytes() >= LARGE_BYTES && connections > MOST_LARGE;
                if is_large || !stage.extent.asks(&call, connections) {
                    continue;
                }
                let label = format!("{}, {}, {connections} connections", call.name(), era.revision());
                let track = Track::new(label, site.peer);
                cases.push(Case { track, server, call, era, span: stage.extent.span });
            }
        }
    }
    cases
}

/// One round on so many connections of its own, from so many threads.
pub(crate) fn ask(
    site: &mut Site,
    call: &Call,
    era: Era,
    (connections, threads): (usize, usize),
    pace: Pace,
) -> io::Result<crate::figures::Figures> {
    let expected = site.expected(call);
    let callers = site.callers(call, era, connections)?;
    let (figures, _closed) = http_load::run(&site.server, callers, &expected, pace, threads)?;
    Ok(figures)
}

/// Rows of one call stand together, by connections.
fn rank(label: &str) -> (usize, bool) {
    let calls = ["ping", "tools/list", "echo 100 B", "echo 10", "echo 1 MiB", "read_text_file 1 KiB"];
    let call = calls.iter().position(|call| label.starts_with(call)).unwrap_or(calls.len());
    (call, label.contains("2025"))
}
