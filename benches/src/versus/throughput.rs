//! How fast servers answer when they are asked without a pause, over pipes and over HTTP.

use super::track::{Names, Track, closed};
use super::{LARGE_BYTES, MOST_LARGE, Span, Stage};
use crate::calls::revision;
use crate::peers::Site;
use crate::sheet::Sheet;
use mcpool::load::{Era, LoadTestScenario};

/// Requests in flight at once over pipes.
const WINDOWS: [usize; 2] = [1, 64];

/// One server, one call.
struct Case {
    track: Track,
    load: LoadTestScenario,
    in_flight: usize,
    span: Span,
}

/// Asks over pipes, one request in flight and 64.
/// What fails is left out.
pub(crate) fn over_stdio(stage: &Stage<'_>) -> Vec<Sheet> {
    let mut tracks = Vec::new();
    for window in WINDOWS {
        let mut cases = Vec::new();
        for peer in stage.with_stdio() {
            let calls = peer.calls(Era::Legacy, &stage.peers.files).into_iter();
            for call in calls.filter(|call| stage.extent.asks(call, window)) {
                let label = format!("{}, {window} in flight", call.name());
                let load = stage.attempt(peer, &label, || {
                    stage.peers.stdio_load(peer, &format!("stdio, {label}"), &call)
                });
                let (track, span) = (Track::new(label, peer), stage.extent.stdio_span());
                let case = |load: LoadTestScenario| Case {
                    track,
                    load: load.in_flight(window),
                    in_flight: window,
                    span,
                };
                cases.extend(load.map(case));
            }
        }
        tracks.extend(take_turns(stage, &format!("stdio: {window} in flight"), cases));
    }
    closed(&tracks, &STDIO)
}

const STDIO: Names = Names {
    ids: ["stdio", "stdio-latency", "stdio-cpu", "stdio-client"],
    place: "over stdio",
    about: "In the handshake revision 2025-11-25, which all speak over pipes. Each round starts its server: one that compiles while it runs, as Node, would be faster after a longer warm-up.",
};

/// Has all cases take turns; gives what came of each.
fn take_turns(stage: &Stage<'_>, what: &str, mut cases: Vec<Case>) -> impl Iterator<Item = Track> {
    for round in 1..=stage.extent.rounds {
        stage.say(&format!("{what}, round {round} of {}", stage.extent.rounds));
        for Case { track, load, in_flight, span } in cases.iter_mut().filter(|case| !case.track.is_over) {
            let run = || stage.run_long_enough(load, span, *in_flight);
            match stage.attempt(track.peer, &track.label, run) {
                Some(report) => track.add(&report),
                None => track.is_over = true,
            }
        }
    }
    cases.into_iter().map(|case| case.track)
}

/// Asks over HTTP on ever more connections, in both eras.
/// What fails is left out.
pub(crate) fn over_http(stage: &Stage<'_>) -> Vec<Sheet> {
    let sites = stage.started(stage.peers.present().filter(|peer| peer.has_http()));
    let mut tracks = Vec::new();
    for &connections in &stage.extent.connections {
        let cases = cases(stage, &sites, connections);
        tracks.extend(take_turns(stage, &format!("HTTP: {connections} connections"), cases));
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
    for site in sites {
        for &era in site.peer.eras() {
            for call in site.peer.calls(era, &stage.peers.files) {
                let is_large = call.bytes() >= LARGE_BYTES && connections > MOST_LARGE;
                if is_large || !stage.extent.asks(&call, connections) {
                    continue;
                }
                let label = format!("{}, {}, {connections} connections", call.name(), revision(era));
                let load = stage.attempt(site.peer, &label, || site.load(&label, &call, era));
                let (track, span) = (Track::new(label, site.peer), stage.extent.span);
                let case = |load: LoadTestScenario| Case {
                    track,
                    load: load.connections(connections),
                    in_flight: connections,
                    span,
                };
                cases.extend(load.map(case));
            }
        }
    }
    cases
}

/// Rows of one call stand together, by connections.
fn rank(label: &str) -> (usize, bool) {
    let calls = ["ping", "tools/list", "echo 100 B", "echo 10", "echo 1 MiB", "read_text_file 1 KiB"];
    let call = calls.iter().position(|call| label.starts_with(call)).unwrap_or(calls.len());
    (call, label.contains("2025"))
}
