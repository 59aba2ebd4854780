//! What a client costs that has asked once and then says nothing, and what it leaves when it goes.
//!
//! One fresh server for each era, on which ever more connections are opened. In the legacy era each has a session of
//! its own, which outlives its connection by design; what is left behind is told for both.

use super::Stage;
use crate::calls::{Call, Era};
use crate::figures::Spread;
use crate::peers::Peer;
use crate::server_process::Memory;
use crate::sheet::{Cell, Sheet};
use std::io;
use std::thread;

/// Opens sessions and weighs the server at each count.
/// What fails is left out.
pub(crate) fn measure(stage: &Stage<'_>) -> Vec<Sheet> {
    let about = "Over HTTP, what the server's memory grew by, divided by the connections, each of which asked for the \
                 list of tools once. In 2025-11-25 each has a session; 2026-07-28 has none. Left: after all connections \
                 are closed.";
    let mut sheet = Sheet::new("sessions", "Idle sessions", "bytes each", about);
    for peer in stage.with_http() {
        for &era in peer.eras() {
            stage.say(&format!("sessions: {}, {}", peer.name(), era.revision()));
            stage.attempt(peer, "idle sessions", || grow(stage, peer, era, &mut sheet));
        }
    }
    sheet.rows.sort_by_key(|row| (row.label.contains("left"), row.label.contains("2025")));
    vec![sheet]
}

fn grow(stage: &Stage<'_>, peer: Peer, era: Era, sheet: &mut Sheet) -> io::Result<()> {
    let mut site = stage.peers.http(peer)?;
    // What a server sets up with its first request is no cost of a connection.
    let _first = site.ask_each(&Call::ListTools, era, 0, 1)?;
    thread::sleep(stage.extent.settle);
    let before = site.server.memory()?;
    let mut open = Vec::new();
    let each = |memory: Memory, count: usize| {
        let grown = memory - before;
        [grown.rss_kib, grown.pss_kib].map(|kib| kib as f64 * 1024.0 / count as f64)
    };
    for &count in &stage.extent.sessions {
        let more = site.ask_each(&Call::ListTools, era, open.len() + 1, count - open.len())?;
        open.extend(more);
        thread::sleep(stage.extent.settle);
        let [rss, pss] = each(site.server.memory()?, count);
        let label = format!("{count} in {}", era.revision());
        sheet.put(&format!("{label}: RSS"), peer, Cell::Spread(Spread::one(rss)));
        sheet.put(&format!("{label}: PSS"), peer, Cell::Spread(Spread::one(pss)));
    }
    let count = open.len();
    drop(open);
    thread::sleep(stage.extent.settle);
    let [rss, _] = each(site.server.memory()?, count);
    let label = format!("{count} in {}, left: RSS", era.revision());
    sheet.put(&label, peer, Cell::Spread(Spread::one(rss)));
    Ok(())
}
