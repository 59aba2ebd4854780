//! What a server holds that has answered once and now has nothing to do.

use super::{Stage, mib};
use crate::calls::Call;
use crate::peers::Peer;
use crate::server_process::Memory;
use crate::sheet::Sheet;
use crate::stdio_server::StdioServer;
use mcpool::load::Era;
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

/// The request over pipes.
const LIST_TOOLS: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

/// Weighs each server after its list of tools, on fresh processes.
/// What fails is left out.
pub(crate) fn measure(stage: &Stage<'_>) -> Vec<Sheet> {
    let mut weights: BTreeMap<(&str, Peer), Vec<Memory>> = BTreeMap::new();
    for round in 1..=stage.extent.weighings {
        stage.say(&format!("idle: round {round} of {}", stage.extent.weighings));
        for peer in stage.with_stdio() {
            let memory = stage.attempt(peer, "resting over stdio", || {
                let mut server = StdioServer::greet(&mut stage.peers.stdio(peer)?)?;
                server.ask(LIST_TOOLS)?;
                thread::sleep(stage.extent.settle);
                server.memory()
            });
            weights.entry(("stdio", peer)).or_default().extend(memory);
        }
        for peer in stage.with_http() {
            let memory = stage.attempt(peer, "resting over HTTP", || {
                let site = stage.peers.http(peer)?;
                let load = site.load("one list of tools", &Call::ListTools, Era::Modern)?;
                stage.run(&load.warm_up(Duration::ZERO).count(1))?;
                thread::sleep(stage.extent.settle);
                site.server.memory()
            });
            weights.entry(("HTTP", peer)).or_default().extend(memory);
        }
    }
    let about = "After the answer to `tools/list`; over HTTP nobody is connected any more. Over stdio each session costs a \
                 process of this size.";
    let mut sheet = Sheet::new("idle", "Idle memory", "MiB", about);
    let kib = |memory: &Memory| [memory.rss_kib, memory.pss_kib, memory.private_kib];
    for transport in ["stdio", "HTTP"] {
        for (index, kind) in ["RSS", "PSS", "private"].into_iter().enumerate() {
            for ((_, peer), memories) in weights.iter().filter(|(key, _)| key.0 == transport) {
                let figures: Vec<_> = memories.iter().map(|memory| mib(kib(memory)[index])).collect();
                sheet.put_rounds(&format!("{transport}: {kind}"), *peer, &figures);
            }
        }
    }
    vec![sheet]
}
