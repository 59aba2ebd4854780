//! How long answers take when requests come at their own times and do not wait for each other.
//!
//! Two rates: half of what each server can do, found by a short closed loop before, and one that all of them can.

use super::throughput::ask;
use super::track::{Names, Track, open};
use super::{Stage, enough};
use crate::calls::{Call, Era};
use crate::figures::Figures;
use crate::peers::{Peer, Site};
use crate::schedule::{Pace, Span};
use crate::sheet::Sheet;
use crate::stdio_load;
use crate::stdio_server::StdioServer;
use std::io;
use std::time::Duration;

/// Connections over HTTP, the most that may be in flight.
const CONNECTIONS: usize = 16;
/// The most that may be in flight over pipes.
const WINDOW: usize = 64;
/// Requests a second that every server here can answer.
const COMMON_RATE: f64 = 200.0;
/// Requests without which a round has no quantiles to speak of, and the longest that is waited for them.
const LEAST_REQUESTS: f64 = 20.0;
const LONGEST: Duration = Duration::from_secs(2);
/// The part of its speed at which a server is asked.
const LOAD: f64 = 0.5;

/// A server that is there.
enum Server {
    Pipes(Peer, StdioServer),
    Http(Box<Site>),
}

impl Server {
    fn peer(&self) -> Peer {
        match self {
            Self::Pipes(peer, _) => *peer,
            Self::Http(site) => site.peer,
        }
    }

    fn transport(&self) -> &'static str {
        match self {
            Self::Pipes(..) => "stdio",
            Self::Http(_) => "HTTP",
        }
    }

    fn run(&mut self, call: &Call, pace: Pace, threads: usize) -> io::Result<Figures> {
        match self {
            Self::Pipes(_, server) => stdio_load::run(server, call, WINDOW, pace),
            Self::Http(site) => ask(site, call, Era::Modern, (CONNECTIONS, threads), pace),
        }
    }
}

/// One server, one call, one rate.
struct Case {
    track: Track,
    server: usize,
    call: Call,
    rate: f64,
}

/// Asks all servers at their rates.
/// What fails is left out.
pub(crate) fn measure(stage: &Stage<'_>) -> Vec<Sheet> {
    let pipes = stage.with_stdio().into_iter().filter_map(|peer| {
        let greet = || StdioServer::greet(&mut stage.peers.stdio(peer)?);
        stage.attempt(peer, "greeting over stdio", greet).map(|server| Server::Pipes(peer, server))
    });
    let mut servers: Vec<_> = pipes.collect();
    servers.extend(stage.sites().into_iter().map(|site| Server::Http(Box::new(site))));
    let mut cases = Vec::new();
    for (index, server) in servers.iter_mut().enumerate() {
        cases.extend(cases_of(stage, index, server));
    }
    for round in 1..=stage.extent.rounds {
        stage.say(&format!("open loop: round {round} of {}", stage.extent.rounds));
        for case in cases.iter_mut().filter(|case| !case.track.is_over) {
            let pace = Pace::Open { rate: case.rate, span: span_at(case.rate, stage.extent.open_span) };
            let threads = stage.extent.client_threads;
            let run = || servers[case.server].run(&case.call, pace, threads);
            match stage.attempt(case.track.peer, &case.track.label, run) {
                Some(figures) => case.track.add(&figures, threads),
                None => case.track.is_over = true,
            }
        }
    }
    let mut tracks: Vec<_> = cases.into_iter().map(|case| case.track).collect();
    tracks.sort_by_key(|track| (track.label.starts_with("stdio"), track.label.contains("half")));
    open(&tracks, &NAMES)
}

const NAMES: Names = Names {
    ids: ["open-rate", "open-latency", "open-late", "open-unsent"],
    place: "at a rate",
    about: "From the time at which a request was to begin, whether it could or not. Over HTTP in 2026-07-28 on 16 connections, over stdio with at most 64 in flight. Half: at half of the speed that the same server had just shown.",
};

/// Long enough for some requests at a low rate.
fn span_at(rate: f64, span: Span) -> Span {
    let needed = Duration::from_secs_f64(LEAST_REQUESTS / rate).min(LONGEST);
    Span { measured: span.measured.max(needed), ..span }
}

fn cases_of(stage: &Stage<'_>, index: usize, server: &mut Server) -> Vec<Case> {
    let (peer, transport) = (server.peer(), server.transport());
    stage.say(&format!("open loop: how fast {} is over {transport}", peer.name()));
    let era = if transport == "HTTP" { Era::Modern } else { Era::Legacy };
    let mut cases = Vec::new();
    let calls = peer.calls(era, &stage.peers.files).into_iter();
    for call in calls.filter(|call| stage.extent.asks(call, usize::MAX)) {
        let case = |what: &str, rate| Case {
            track: Track::new(format!("{transport}: {}, {what}", call.name()), peer),
            server: index,
            call: call.clone(),
            rate,
        };
        let mut span = Span { warm_up: Duration::from_millis(50), measured: Duration::from_millis(150) };
        let in_flight = if era == Era::Modern { CONNECTIONS } else { WINDOW };
        let run = || {
            enough(&mut span, stage.extent.longest, in_flight, |pace| {
                server.run(&call, pace, stage.extent.client_threads)
            })
        };
        if let Some(figures) =
            stage.attempt(peer, &call.name(), run).filter(|figures| figures.tally.answers > 0)
        {
            cases.push(case("half of its speed", figures.rate() * LOAD));
            if figures.rate() > COMMON_RATE {
                cases.push(case("200 a second", COMMON_RATE));
            }
        }
    }
    cases
}
