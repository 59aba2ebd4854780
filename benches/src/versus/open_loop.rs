//! How long answers take when requests come at their own times and do not wait for each other.
//!
//! Two rates: half of what each server can do, found by a short closed loop before, and one that all of them can.

use super::track::{Names, Track, open};
use super::{Span, Stage};
use crate::calls::Call;
use crate::peers::{Peer, Site};
use crate::sheet::Sheet;
use mcpool::load::{Era, LoadPattern, LoadTestScenario};
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

/// How a peer is reached.
enum Way<'a> {
    Pipes,
    Http(&'a Site),
}

impl Way<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Pipes => "stdio",
            Self::Http(_) => "HTTP",
        }
    }

    fn era(&self) -> Era {
        match self {
            Self::Pipes => Era::Legacy,
            Self::Http(_) => Era::Modern,
        }
    }

    fn in_flight(&self) -> usize {
        match self {
            Self::Pipes => WINDOW,
            Self::Http(_) => CONNECTIONS,
        }
    }

    fn load(&self, stage: &Stage<'_>, peer: Peer, call: &Call, what: &str) -> io::Result<LoadTestScenario> {
        let name = format!("{}, {}, {what}", self.name(), call.name());
        Ok(match self {
            Self::Pipes => stage.peers.stdio_load(peer, &name, call)?.in_flight(WINDOW),
            Self::Http(site) => site.load(&name, call, Era::Modern)?.connections(CONNECTIONS),
        })
    }

    fn warm_up(&self, stage: &Stage<'_>) -> Duration {
        match self {
            Self::Pipes => stage.extent.stdio_warm_up,
            Self::Http(_) => stage.extent.open_span.warm_up,
        }
    }
}

/// One server, one call, one rate.
struct Case {
    track: Track,
    load: LoadTestScenario,
}

/// Asks all servers at their rates.
/// What fails is left out.
pub(crate) fn measure(stage: &Stage<'_>) -> Vec<Sheet> {
    let sites = stage.sites();
    let mut cases = Vec::new();
    for peer in stage.with_stdio() {
        cases.extend(cases_of(stage, peer, &Way::Pipes));
    }
    for site in &sites {
        cases.extend(cases_of(stage, site.peer, &Way::Http(site)));
    }
    for round in 1..=stage.extent.rounds {
        stage.say(&format!("open loop: round {round} of {}", stage.extent.rounds));
        for Case { track, load } in cases.iter_mut().filter(|case| !case.track.is_over) {
            match stage.attempt(track.peer, &track.label, || stage.run(load)) {
                Some(report) => track.add(&report),
                None => track.is_over = true,
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
fn long_enough(rate: f64, measured: Duration) -> Duration {
    measured.max(Duration::from_secs_f64(LEAST_REQUESTS / rate).min(LONGEST))
}

fn cases_of(stage: &Stage<'_>, peer: Peer, way: &Way<'_>) -> Vec<Case> {
    stage.say(&format!("open loop: how fast {} is over {}", peer.name(), way.name()));
    let mut cases = Vec::new();
    let calls = peer.calls(way.era(), &stage.peers.files).into_iter();
    for call in calls.filter(|call| stage.extent.asks(call, usize::MAX)) {
        let Some(rate) = speed(stage, peer, way, &call) else { continue };
        let rates = [("half of its speed", rate * LOAD), ("200 a second", COMMON_RATE)];
        let is_common = rate > COMMON_RATE;
        for (what, rate) in rates.into_iter().take(1 + usize::from(is_common)) {
            let label = format!("{}: {}, {what}", way.name(), call.name());
            let load = stage.attempt(peer, &label, || way.load(stage, peer, &call, what));
            let load = load.map(|load| {
                let duration = long_enough(rate, stage.extent.open_span.measured);
                let load = load.pattern(LoadPattern::Constant { rate });
                load.warm_up(way.warm_up(stage)).duration(duration)
            });
            cases.extend(load.map(|load| Case { track: Track::new(label, peer), load }));
        }
    }
    cases
}

/// How many requests a second a server answers without a pause; `None` when it answers none.
fn speed(stage: &Stage<'_>, peer: Peer, way: &Way<'_>, call: &Call) -> Option<f64> {
    let mut span = Span { warm_up: way.warm_up(stage), measured: Duration::from_millis(150) };
    let report = stage.attempt(peer, &call.name(), || {
        let load = way.load(stage, peer, call, "its speed")?;
        stage.run_long_enough(&load, &mut span, way.in_flight())
    });
    report.map(|report| report.requests.rate).filter(|rate| *rate > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_rate_has_the_time_that_it_needs_and_no_more() {
        let measured = Duration::from_millis(150);
        for (rate, millis) in [(1000.0, 150), (40.0, 500), (0.1, 2000)] {
            assert_eq!(long_enough(rate, measured), Duration::from_millis(millis), "{rate}");
        }
    }
}
