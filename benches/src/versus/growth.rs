//! How costs grow with the work: once, ten times and a hundred times the clients, and the bytes of a frame.

use super::{Stage, bytes_as_mib};
use crate::calls::{Call, SMALL_BYTES};
use crate::figures::Spread;
use crate::peers::{Peer, Site, Tools};
use crate::sheet::{Cell, Sheet};
use crate::slopes::{exponent, per_unit};
use mcpool::load::{Era, LoadTestReport};
use std::collections::BTreeMap;

const CLIENTS: [usize; 3] = [10, 100, 1000];
const FRAME_BYTES: [usize; 3] = [10 << 10, 100 << 10, 1000 << 10];
/// Connections that ask for frames of many sizes.
const FRAME_CONNECTIONS: usize = 4;

/// Work and cost of a peer, a figure a round.
type Costs = BTreeMap<(Peer, usize), Vec<f64>>;

/// Measures at all sizes, and fits the slopes.
/// What fails is left out.
pub(crate) fn measure(stage: &Stage<'_>) -> Vec<Sheet> {
    let mut slopes = Sheet::new("slopes", "Slopes", "", SLOPES);
    let mut sheets = by_clients(stage, &mut slopes);
    sheets.push(by_frames(stage, &mut slopes));
    sheets.push(by_lines(stage, &mut slopes));
    sheets.push(slopes);
    sheets
}

const SLOPES: &str = "By least squares over the medians of the tables above. An exponent of 0 is a cost that stays, of 1 one that grows in proportion to the work.";

fn by_clients(stage: &Stage<'_>, slopes: &mut Sheet) -> Vec<Sheet> {
    let (mut cpu, mut rss, mut rates) = (Costs::new(), Costs::new(), Costs::new());
    let sites = stage.sites();
    for clients in CLIENTS {
        for round in 1..=stage.extent.rounds {
            stage.say(&format!("growth: {clients} clients, round {round} of {}", stage.extent.rounds));
            for site in &sites {
                let call = match site.peer.tools() {
                    Tools::Files => stage.peers.files.read(1 << 10),
                    Tools::Echo | Tools::Static => Call::Echo(SMALL_BYTES),
                };
                let Some(report) = round_of(stage, site, &call, clients) else { continue };
                let (key, server) = ((site.peer, clients), report.server.as_ref());
                cpu.entry(key).or_default().extend(server.and_then(|server| server.cpu_per_request_us));
                rates.entry(key).or_default().push(report.requests.rate);
                let memory = server.and_then(|server| server.rss_after_bytes);
                rss.entry(key).or_default().extend(memory.map(bytes_as_mib));
            }
        }
    }
    let label = |clients| format!("{clients} clients");
    let about = "Over HTTP in 2026-07-28, `echo` of 100 B or `read_text_file` of 1 KiB, as many connections as clients.";
    let sheets = [
        filled(
            Sheet::new("growth-clients-cpu", "CPU time of a request by clients", "us", about),
            &cpu,
            label,
        ),
        filled(
            Sheet::new("growth-clients-rate", "Throughput by clients", "requests a second", ""),
            &rates,
            label,
        ),
        filled(Sheet::new("growth-clients-rss", "RSS by clients", "MiB", ""), &rss, label),
    ];
    fit(slopes, "CPU time of a request by clients: exponent", &cpu, exponent);
    fit(slopes, "RSS by clients: bytes for each", &rss, |points| {
        per_unit(points).map(|mib| mib * 1024.0 * 1024.0)
    });
    sheets.into()
}

/// A round; `None` where the server failed, or needs longer than the longest round.
fn round_of(stage: &Stage<'_>, site: &Site, call: &Call, connections: usize) -> Option<LoadTestReport> {
    let mut span = stage.extent.span;
    let name = format!("growth, {} on {connections} connections", call.name());
    let report = stage.attempt(site.peer, &call.name(), || {
        let load = site.load(&name, call, Era::Modern)?.connections(connections);
        stage.run_long_enough(&load, &mut span, connections)
    });
    report.filter(|report| report.requests.answered > 0)
}

fn by_frames(stage: &Stage<'_>, slopes: &mut Sheet) -> Sheet {
    let mut cpu = Costs::new();
    let sites = stage.sites();
    for bytes in FRAME_BYTES {
        for round in 1..=stage.extent.rounds {
            stage.say(&format!(
                "growth: frames of {bytes} B over HTTP, round {round} of {}",
                stage.extent.rounds
            ));
            for site in &sites {
                let call = frame(stage, site.peer, bytes);
                let report = round_of(stage, site, &call, FRAME_CONNECTIONS);
                let server = report.and_then(|report| report.server);
                let figure = server.and_then(|server| server.cpu_per_request_us);
                cpu.entry((site.peer, bytes)).or_default().extend(figure);
            }
        }
    }
    fit(slopes, "CPU time of a request by bytes over HTTP: exponent", &cpu, exponent);
    fit(slopes, "CPU time of a request by bytes over HTTP: ns for each", &cpu, in_ns);
    let about = "Over HTTP in 2026-07-28 on 4 connections: `echo`, which takes and gives the bytes, or `read_text_file`, which gives them.";
    let sheet = Sheet::new("growth-frames-cpu", "CPU time of a request by size", "us", about);
    filled(sheet, &cpu, |bytes| format!("{} KiB", bytes >> 10))
}

fn by_lines(stage: &Stage<'_>, slopes: &mut Sheet) -> Sheet {
    let mut times = Costs::new();
    for bytes in FRAME_BYTES {
        for round in 1..=stage.extent.rounds {
            stage.say(&format!(
                "growth: lines of {bytes} B over stdio, round {round} of {}",
                stage.extent.rounds
            ));
            for peer in stage.with_stdio() {
                let call = frame(stage, peer, bytes);
                let mut span = stage.extent.stdio_span();
                let report = stage.attempt(peer, &call.name(), || {
                    let name = format!("growth, {} over stdio", call.name());
                    stage.run_long_enough(&stage.peers.stdio_load(peer, &name, &call)?, &mut span, 1)
                });
                let latency = report.and_then(|report| report.latency);
                times.entry((peer, bytes)).or_default().extend(latency.map(|latency| latency.p50_us));
            }
        }
    }
    fit(slopes, "Round trip by bytes over stdio: exponent", &times, exponent);
    fit(slopes, "Round trip by bytes over stdio: ns for each", &times, in_ns);
    let about = "Over stdio, one in flight, medians of a round: the same calls.";
    let sheet = Sheet::new("growth-lines", "Round trip by size", "us", about);
    filled(sheet, &times, |bytes| format!("{} KiB", bytes >> 10))
}

/// The call that moves so many bytes.
fn frame(stage: &Stage<'_>, peer: Peer, bytes: usize) -> Call {
    match peer.tools() {
        Tools::Files => stage.peers.files.read(bytes),
        Tools::Echo | Tools::Static => Call::Echo(bytes),
    }
}

fn in_ns(points: &[(f64, f64)]) -> Option<f64> {
    per_unit(points).map(|micros| micros * 1e3)
}

/// Fills an empty sheet with the costs, by size of the work.
fn filled(mut sheet: Sheet, costs: &Costs, label: impl Fn(usize) -> String) -> Sheet {
    let mut works: Vec<usize> = costs.keys().map(|(_, work)| *work).collect();
    works.sort_unstable();
    works.dedup();
    for work in works {
        for ((peer, _), rounds) in costs.iter().filter(|(key, _)| key.1 == work) {
            sheet.put_rounds(&label(work), *peer, rounds);
        }
    }
    sheet
}

/// Enters the slope of each peer, where all its sizes were measured.
fn fit(slopes: &mut Sheet, label: &str, costs: &Costs, slope: impl Fn(&[(f64, f64)]) -> Option<f64>) {
    for peer in Peer::ALL {
        let of_peer = costs.iter().filter(|(key, _)| key.0 == peer);
        let points: Vec<_> =
            of_peer.filter_map(|(key, rounds)| Some((key.1 as f64, Spread::of(rounds)?.median))).collect();
        if let Some(slope) = Some(&points).filter(|points| points.len() == 3).and_then(|points| slope(points))
        {
            slopes.put(label, peer, Cell::Spread(Spread::one(slope)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_fitted_to_the_medians_of_those_who_have_all_sizes() {
        let mut costs = Costs::new();
        for (work, cost) in CLIENTS.into_iter().zip([20.0, 200.0, 2000.0]) {
            costs.insert((Peer::Rmcp, work), vec![cost, cost * 0.5, cost * 40.0]);
            costs.insert((Peer::Mcpool, work), vec![7.0]);
        }
        costs.insert((Peer::Python, 10), vec![1.0]);
        let mut slopes = Sheet::new("slopes", "", "", "");
        fit(&mut slopes, "exponent", &costs, exponent);
        let row = slopes.row("exponent").expect("a row");
        assert!((row.cells[&Peer::Rmcp].figure() - 1.0).abs() < 1e-9);
        assert!(row.cells[&Peer::Mcpool].figure().abs() < 1e-9);
        assert!(!row.cells.contains_key(&Peer::Python), "one point has no slope");

        let rows = filled(Sheet::new("id", "", "", ""), &costs, |clients| format!("{clients}")).rows;
        assert_eq!(rows.iter().map(|row| row.label.as_str()).collect::<Vec<_>>(), ["10", "100", "1000"]);
    }
}
