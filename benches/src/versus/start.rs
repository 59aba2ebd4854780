//! How long a client waits that has just started its server: from the spawn to the first answer.

use super::Stage;
use crate::sheet::Sheet;
use crate::stdio_server::{INITIALIZE, StdioServer};
use std::collections::BTreeMap;
use std::time::Instant;

/// Starts all servers on standard input and output, one after the other, again and again.
/// What fails is left out.
pub(crate) fn measure(stage: &Stage<'_>) -> Vec<Sheet> {
    let mut peers = stage.with_stdio();
    let mut times: BTreeMap<_, Vec<f64>> = BTreeMap::new();
    // The first start reads the program from the disk, which is another question.
    for round in 0..=stage.extent.starts {
        stage.say(&format!("start: round {round} of {}", stage.extent.starts));
        peers.retain(|&peer| {
            let took = stage.attempt(peer, "its start", || {
                let mut command = stage.peers.stdio(peer)?;
                let begun = Instant::now();
                let mut server = StdioServer::start(&mut command)?;
                server.ask(INITIALIZE)?;
                Ok(begun.elapsed())
            });
            if let Some(took) = took.filter(|_| round > 0) {
                times.entry(peer).or_default().push(took.as_secs_f64() * 1e3);
            }
            took.is_some()
        });
    }
    let about = "On standard input and output, from the spawn of the process to the end of the answer to `initialize`.";
    let mut sheet = Sheet::new("start", "Start", "ms", about);
    for (peer, times) in times {
        sheet.put_rounds("spawn to first answer", peer, &times);
    }
    vec![sheet]
}
