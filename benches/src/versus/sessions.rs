//! What a client costs that has asked once and then says nothing, and what it leaves when it goes.
//!
//! One fresh server for each era and number of connections. In the legacy era each has a session of its own, which
//! outlives its connection by design; what is left behind is told for both.

use super::Stage;
use crate::calls::{Call, revision};
use crate::figures::Spread;
use crate::peers::Peer;
use crate::sheet::{Cell, Sheet};
use mcpool::load::{Era, LoadPattern};
use std::io;
use std::thread;
use std::time::Duration;

/// Connections that ask in a second, once each.
const RATE: f64 = 1_000.0;

/// Opens sessions and weighs the server at each count.
/// What fails is left out.
pub(crate) fn measure(stage: &Stage<'_>) -> Vec<Sheet> {
    let about = "Over HTTP, what the server's RSS grew by, divided by the connections, each of which asked for the list \
                 of tools once. In 2025-11-25 each has a session; 2026-07-28 has none. Left: after all connections are \
                 closed.";
    let mut sheet = Sheet::new("sessions", "Idle sessions", "bytes each", about);
    for peer in stage.with_http() {
        for &era in peer.eras() {
            stage.say(&format!("sessions: {}, {}", peer.name(), revision(era)));
            for &count in &stage.extent.sessions {
                stage.attempt(peer, "idle sessions", || grow(stage, peer, (era, count), &mut sheet));
            }
        }
    }
    sheet.rows.sort_by_key(|row| (row.label.contains("left"), row.label.contains("2025")));
    vec![sheet]
}

fn grow(stage: &Stage<'_>, peer: Peer, (era, count): (Era, usize), sheet: &mut Sheet) -> io::Result<()> {
    let site = stage.peers.http(peer)?;
    let label = format!("{count} in {}", revision(era));
    let load = site.load(&format!("sessions, {label}"), &Call::ListTools, era)?.warm_up(Duration::ZERO);
    // What a server sets up with its first request is no cost of a connection.
    stage.run(&load.clone().count(1))?;
    thread::sleep(stage.extent.settle);
    let before = site.server.memory()?.rss_kib as f64 * 1024.0;
    // At a rate, the connection that is free for longest is asked on: each of them once.
    let load = load.connections(count).pattern(LoadPattern::Constant { rate: RATE }).count(count as u64);
    let report = stage.run(&load.settle(stage.extent.settle))?;
    let open = report.server.and_then(|server| server.rss_after_bytes);
    let open = open.ok_or_else(|| io::Error::other("the memory of the server cannot be read"))?;
    thread::sleep(stage.extent.settle);
    let left = site.server.memory()?.rss_kib as f64 * 1024.0;
    for (label, bytes) in [(format!("{label}: RSS"), open as f64), (format!("{label}, left: RSS"), left)] {
        sheet.put(&label, peer, Cell::Spread(Spread::one((bytes - before) / count as f64)));
    }
    Ok(())
}
