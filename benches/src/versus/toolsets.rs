//! One process in the place of six: the official servers, each a process, beside one mcpool with all their tools.

use super::{Span, Stage, bytes_as_mib, mib};
use crate::figures::Spread;
use crate::peers::{Peer, server_command};
use crate::references::{Reference, Workspace};
use crate::server_process::ServerProcess;
use crate::sheet::{Cell, Sheet};
use crate::stdio_server::{INITIALIZE, StdioServer};
use mcpool::load::{Era, LoadStep, LoadTarget, LoadTestScenario};
use std::io;
use std::process::Command;
use std::thread;
use std::time::Instant;

/// Sessions of a developer's day.
const SESSIONS: usize = 8;
/// Requests in flight at once in a mix of calls.
const MIXED_IN_FLIGHT: usize = 16;
/// Requests in flight at once where speed is asked for: what keeps one server busy makes another one wait for turns of its
/// pipe, or drowns it, so each counts with what suits it best.
const IN_FLIGHT: [usize; 3] = [16, 64, 256];
const LIST_TOOLS: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const PEERS: [Peer; 2] = [Peer::Mcpool, Peer::References];

/// Starts, weighs and asks them.
///
/// # Errors
/// When there is nothing that the tools could work on.
pub(crate) fn measure(stage: &Stage<'_>) -> io::Result<Vec<Sheet>> {
    let workspace = Workspace::new()?;
    let present: Vec<_> = stage.peers.present().filter(|peer| PEERS.contains(peer)).collect();
    let mut sheets = vec![start(stage, &workspace, &present), memory(stage, &workspace, &present)];
    sheets.push(rates(stage, &workspace, &present));
    sheets.push(mix(stage, &workspace, &present));
    Ok(sheets)
}

/// The commands that a client starts for one session.
fn commands(stage: &Stage<'_>, workspace: &Workspace, peer: Peer) -> io::Result<Vec<Command>> {
    match peer {
        Peer::References => {
            Reference::ALL.into_iter().map(|server| workspace.reference(stage.peers, server)).collect()
        }
        _ => Ok(vec![workspace.mcpool(stage.peers, &[])?]),
    }
}

fn start(stage: &Stage<'_>, workspace: &Workspace, present: &[Peer]) -> Sheet {
    let about = "From the spawn of the first process to the end of the last answer to `initialize`; the six start at once.";
    let mut sheet = Sheet::new("toolsets-start", "Start of all six toolsets", "ms", about);
    for &peer in present {
        stage.say(&format!("toolsets: start of {}", peer.name()));
        // The first start reads the programs from the disk, which is another question.
        let times = stage.attempt(peer, "its start", || {
            (0..=stage.extent.starts).map(|_| started(stage, workspace, peer)).collect::<io::Result<Vec<_>>>()
        });
        sheet.put_rounds(
            "spawn to last answer",
            peer,
            times.as_deref().unwrap_or_default().get(1..).unwrap_or_default(),
        );
    }
    sheet
}

/// Milliseconds that one start took.
fn started(stage: &Stage<'_>, workspace: &Workspace, peer: Peer) -> io::Result<f64> {
    let mut commands = commands(stage, workspace, peer)?;
    let begun = Instant::now();
    let servers: io::Result<Vec<_>> = commands.iter_mut().map(StdioServer::start).collect();
    let mut servers = servers?;
    for server in &mut servers {
        server.ask(INITIALIZE)?;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

fn memory(stage: &Stage<'_>, workspace: &Workspace, present: &[Peer]) -> Sheet {
    let about = "PSS after the answers to `tools/list`. In 8 sessions each client has six processes, or a shim to one mcpool.";
    let mut sheet = Sheet::new("toolsets-memory", "Memory of all six toolsets", "MiB", about);
    for &peer in present {
        for sessions in [1, SESSIONS] {
            stage.say(&format!("toolsets: {sessions} sessions of {}", peer.name()));
            let weighings = stage.attempt(peer, "resting", || {
                (0..stage.extent.weighings)
                    .map(|_| weighed(stage, workspace, peer, sessions))
                    .collect::<io::Result<Vec<_>>>()
            });
            let label = format!("sessions: {sessions}");
            sheet.put_rounds(&label, peer, weighings.as_deref().unwrap_or_default());
        }
    }
    sheet
}

/// What so many sessions hold together, in MiB.
fn weighed(stage: &Stage<'_>, workspace: &Workspace, peer: Peer, sessions: usize) -> io::Result<f64> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("mcpool.sock");
    let is_shared = peer == Peer::Mcpool && sessions > 1;
    let server = is_shared
        .then(|| {
            let socket = socket.to_string_lossy();
            ServerProcess::start(
                &mut workspace.mcpool(stage.peers, &["--http", "127.0.0.1:0", "--unix", &socket])?,
            )
        })
        .transpose()?;
    let mut servers = Vec::new();
    for _ in 0..sessions {
        let mut commands = match &server {
            Some(_) => vec![shim(stage, &socket.to_string_lossy())?],
            None => commands(stage, workspace, peer)?,
        };
        for command in &mut commands {
            let mut server = StdioServer::greet(command)?;
            server.ask(LIST_TOOLS)?;
            servers.push(server);
        }
    }
    thread::sleep(stage.extent.settle);
    let weights = servers.iter().map(StdioServer::memory).chain(server.iter().map(ServerProcess::memory));
    let pss: io::Result<Vec<i64>> = weights.map(|memory| memory.map(|memory| memory.pss_kib)).collect();
    Ok(mib(pss?.iter().sum()))
}

fn shim(stage: &Stage<'_>, socket: &str) -> io::Result<Command> {
    let mut command = Command::new(stage.peers.place(Peer::Mcpool)?.with_file_name("mcpool-connect"));
    command.arg(format!("unix:{socket}"));
    Ok(command)
}

fn load(command: &Command, name: String, steps: impl IntoIterator<Item = LoadStep>) -> LoadTestScenario {
    let scenario = LoadTestScenario::new(name, LoadTarget::Command(server_command(command)));
    let scenario = scenario.era(Era::Legacy).in_flight(MIXED_IN_FLIGHT);
    steps.into_iter().fold(scenario, LoadTestScenario::step)
}

fn command_for(
    stage: &Stage<'_>,
    workspace: &Workspace,
    peer: Peer,
    server: Reference,
) -> io::Result<Command> {
    if peer == Peer::References {
        workspace.reference(stage.peers, server)
    } else {
        workspace.mcpool(stage.peers, &[])
    }
}

fn rates(stage: &Stage<'_>, workspace: &Workspace, present: &[Peer]) -> Sheet {
    let about = "Over stdio, each tool alone, with 16, 64 or 256 requests in flight: of each server and tool the best of \
                 the three counts. The work of git is that of the program `git` for both.";
    let mut sheet = Sheet::new("toolsets-rates", "Calls of the tools", "calls a second", about);
    for server in Reference::ALL {
        for step in workspace.steps(server) {
            let label = format!("{}: {}", server.toolset(), step.name());
            stage.say(&format!("toolsets: {label}"));
            for &peer in present {
                let rates = stage.attempt(peer, &label, || {
                    let command = command_for(stage, workspace, peer, server)?;
                    let scenario = load(&command, format!("{}: {label}", peer.name()), [step.clone()]);
                    let (in_flight, rates) = best_rates(stage, &scenario)?;
                    stage.say(&format!("toolsets: {} is fastest with {in_flight} in flight", peer.name()));
                    Ok(rates)
                });
                sheet.put_rounds(&label, peer, rates.as_deref().unwrap_or_default());
            }
        }
    }
    sheet
}

/// With how many requests in flight a server makes most calls a second, and how many in each round. A number at which it
/// refuses or fails is not its best.
fn best_rates(stage: &Stage<'_>, scenario: &LoadTestScenario) -> io::Result<(usize, Vec<f64>)> {
    let mut best: io::Result<(usize, Span, f64)> = Err(io::Error::other("it refused"));
    for in_flight in IN_FLIGHT {
        let mut span = stage.extent.stdio_span();
        let tried = stage.run_long_enough(&scenario.clone().in_flight(in_flight), &mut span, in_flight);
        match tried {
            Ok(report) if report.failures.is_empty() => {
                let rate = report.requests.rate;
                if best.as_ref().is_ok_and(|(.., best)| *best >= rate) {
                    continue;
                }
                best = Ok((in_flight, span, rate));
            }
            Err(error) if best.is_err() => best = Err(error),
            _ => {}
        }
    }
    let (in_flight, mut span, first) = best?;
    let scenario = scenario.clone().in_flight(in_flight);
    let mut rates = vec![first];
    for _ in 1..stage.extent.rounds {
        rates.push(stage.run_long_enough(&scenario, &mut span, in_flight)?.requests.rate);
    }
    Ok((in_flight, rates))
}

fn mix(stage: &Stage<'_>, workspace: &Workspace, present: &[Peer]) -> Sheet {
    let seconds = stage.extent.mix.as_secs();
    let about = format!(
        "RSS before, at most and 5 s after {seconds} s of all calls in turn; each of the six servers has its own calls, for a \
         sixth of the time, and the sums are shown."
    );
    let mut sheet = Sheet::new("toolsets-mix", "Memory after a mix of calls", "RSS in MiB", &about);
    for &peer in present {
        stage.say(&format!("toolsets: a mix for {}", peer.name()));
        let figures = stage.attempt(peer, "a mix of calls", || mixed(stage, workspace, peer));
        for (label, figure) in
            ["before", "at most", "5 s after"].into_iter().zip(figures.into_iter().flatten())
        {
            sheet.put(label, peer, Cell::Spread(Spread::one(figure)));
        }
    }
    sheet
}

/// Resident MiB before, at most and after.
fn mixed(stage: &Stage<'_>, workspace: &Workspace, peer: Peer) -> io::Result<[f64; 3]> {
    let parts: Vec<Vec<Reference>> = match peer {
        Peer::References => Reference::ALL.map(|server| vec![server]).into(),
        _ => vec![Reference::ALL.into()],
    };
    let share = stage.extent.mix / u32::try_from(parts.len()).unwrap_or(1);
    let mut sums = [0.0; 3];
    for part in parts {
        let command = command_for(stage, workspace, peer, part[0])?;
        let steps = part.iter().flat_map(|server| workspace.steps(*server));
        let scenario = load(&command, format!("{}: a mix with {}", peer.name(), part[0].toolset()), steps);
        let report = stage.run(&scenario.duration(share))?;
        let server = report.server.ok_or_else(|| io::Error::other("its memory cannot be seen"))?;
        let after = server.rss_after_bytes.unwrap_or(server.rss_peak_bytes);
        for (sum, bytes) in sums.iter_mut().zip([server.rss_before_bytes, server.rss_peak_bytes, after]) {
            *sum += bytes_as_mib(bytes);
        }
    }
    Ok(sums)
}
