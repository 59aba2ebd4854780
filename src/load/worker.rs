//! The loop that makes the load: one thread, one event queue, all connections.
//!
//! Owns connections and counts; when requests begin is for [`Course`] to say, what they are for [`Mix`]; `opening` opens
//! and closes connections. Invariant: from the end of the warm-up to the end of the test a request that succeeds
//! allocates nothing.

use super::channel::{Beginning, Broken, Channel, Heard, Lateness, State};
use super::course::Course;
use super::examples::Examples;
use super::failure::FailureKind;
use super::mix::{Choice, Mix};
use super::pace::{Begin, Pace};
use super::pin::LoadPin;
use super::recovery::Recovery;
use super::replay::Replay;
use super::request::Wording;
use super::socket::Socket;
use super::tally::Tally;
use super::target::LoadTarget;
use super::timer::Timer;
use super::tls::Encryption;
use mio::{Events, Poll, Token};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::time::{Duration, Instant};

/// Longest wait of the event queue: by then somebody may have asked for the end.
const TICK: Duration = Duration::from_millis(20);
/// A wait that is shorter than this is spent looking: a timer may be that late.
const SPIN: Duration = Duration::from_micros(120);
const TIMER: Token = Token(usize::MAX);
const READ_BYTES: usize = 256 * 1024;
/// What has come of all answers that are not complete, at most; one alone is bounded by its connection.
const MAX_HELD_BYTES: usize = 256 * 1024 * 1024;
/// Room for requests that were written down and not sent, at most; one request more may be added to it.
const MAX_UNSENT_BYTES: usize = 128 * 1024 * 1024;

/// How a server is asked.
pub(super) struct Setup {
    pub(super) target: LoadTarget,
    /// Of connections to an `https://` target.
    pub(super) encryption: Option<Encryption>,
    pub(super) wording: Wording,
    /// Connections; over HTTP each has as many sockets as requests in flight.
    pub(super) connections: usize,
    /// Requests in flight on each.
    pub(super) in_flight: usize,
    /// Each connection takes requests of its own, not whatever is next.
    pub(super) has_lanes: bool,
    pub(super) time_out: Duration,
    /// How long a connection may take to open and to be greeted.
    pub(super) greeting_time_out: Duration,
    /// Whether connection and session are left after each answer.
    pub(super) churns: bool,
    /// Where the generator runs, and what it starts.
    pub(super) pin: Option<LoadPin>,
}

/// Why a test ended before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EarlyEnd {
    Interrupted,
    ServerGone(String),
}

/// Why connections are not open.
#[derive(Debug)]
pub(super) enum Unopened {
    Stopped,
    Because(String),
}

/// The slots of one or more connections that can take a request.
struct FreeSlots {
    /// The longest free first.
    slots: VecDeque<(usize, usize)>,
    /// Since when there is one.
    since: Instant,
}

/// The loop.
pub(super) struct Worker<'a> {
    pub(super) setup: &'a Setup,
    pub(super) mix: Mix,
    pub(super) poll: Poll,
    events: Option<Events>,
    timer: Timer,
    pub(super) channels: Vec<Channel>,
    lanes: Vec<FreeSlots>,
    /// Connections with something to write.
    unwritten: Vec<usize>,
    /// Connections that may have more to read.
    unread: Vec<usize>,
    pub(super) in_flight: usize,
    /// What connections hold of answers that are not complete.
    held_bytes: usize,
    /// Room for requests that connections have not taken.
    unsent_bytes: usize,
    pub(super) opening: usize,
    heard: Vec<Heard>,
    scratch: Vec<u8>,
    swept: Instant,
    /// Since when no connection takes requests.
    pub(super) down_since: Option<Instant>,
    pub(super) tally: Tally,
    pub(super) examples: Examples,
    /// Watches a spike and what follows it.
    pub(super) recovery: Option<Recovery>,
    /// Connections that broke or were refused.
    pub(super) broken: u64,
    pub(super) gone: Option<String>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(setup: &'a Setup, mix: Mix) -> io::Result<Self> {
        let poll = Poll::new()?;
        let now = Instant::now();
        let is_http = setup.target.is_http();
        let channels = if is_http { setup.connections * setup.in_flight } else { setup.connections };
        let channel = |_| Channel::new(is_http, setup.in_flight, mix.largest_batch(), now);
        let channels: Vec<_> = (0..channels).map(channel).collect();
        let slots: usize = channels.iter().map(|channel| channel.slots.len()).sum();
        let lanes = if setup.has_lanes { setup.connections } else { 1 };
        let free = || FreeSlots { slots: VecDeque::with_capacity(slots / lanes), since: now };
        Ok(Self {
            timer: Timer::new(poll.registry(), TIMER)?,
            poll,
            tally: Tally::new(mix.steps.len()),
            mix,
            events: Some(Events::with_capacity(1024)),
            unread: Vec::new(),
            lanes: (0..lanes).map(|_| free()).collect(),
            unwritten: Vec::with_capacity(channels.len()),
            channels,
            in_flight: 0,
            held_bytes: 0,
            unsent_bytes: 0,
            opening: 0,
            heard: Vec::with_capacity(1024),
            scratch: vec![0; READ_BYTES],
            swept: now,
            down_since: None,
            examples: Examples::default(),
            recovery: None,
            broken: 0,
            gone: None,
            setup,
        })
    }

    /// Opens all connections; an error when none more opens within the time-out.
    pub(super) fn open_all(&mut self, stop: impl Fn() -> bool) -> Result<(), Unopened> {
        let (mut last, mut were_ready) = (Instant::now(), 0);
        loop {
            self.open_due(Instant::now());
            let ready = self.channels.iter().filter(|channel| channel.state == State::Ready).count();
            if ready == self.channels.len() {
                return Ok(());
            }
            if ready > were_ready {
                (last, were_ready) = (Instant::now(), ready);
            }
            self.write_all();
            if let Some(gone) = self.gone.take() {
                return Err(Unopened::Because(gone));
            }
            if stop() {
                return Err(Unopened::Stopped);
            }
            let time_out = self.setup.greeting_time_out;
            if self.examples.greeting.is_some() || last.elapsed() > time_out {
                let why = self.examples.greeting.take();
                let why = why.or_else(|| self.examples.of(FailureKind::Transport).map(str::to_owned));
                let said = || self.examples.unexpected.as_ref().map(|said| format!("it said {said}"));
                let why = why.or_else(said).unwrap_or_else(|| "it says nothing".to_owned());
                let all = self.channels.len();
                let why = format!("{ready} of {all} connections opened, then none in {time_out:?}: {why}");
                return Err(Unopened::Because(why));
            }
            self.wait(TICK).map_err(|error| Unopened::Because(error.to_string()))?;
        }
    }

    /// Makes the load. `each_second` is called as often, and says whether to go on.
    pub(super) fn run(
        &mut self,
        course: &mut Course,
        mut go_on: impl FnMut(&mut Self, Instant) -> bool,
    ) -> Option<EarlyEnd> {
        let mut early = None;
        loop {
            let now = Instant::now();
            if course.is_over(now, self.down_since) {
                break;
            }
            if !go_on(self, now) {
                early = Some(EarlyEnd::Interrupted);
                break;
            }
            self.begin_due(course, now);
            self.write_all();
            self.sweep(now);
            self.open_due(now);
            if let Some(why) = self.is_lost(now) {
                early = Some(EarlyEnd::ServerGone(why));
                break;
            }
            let is_full =
                self.unsent_bytes > MAX_UNSENT_BYTES || self.lanes.iter().all(|free| free.slots.is_empty());
            let wait = if is_full { None } else { course.next_time() };
            let wait = wait.map_or(TICK, |due| due.saturating_duration_since(Instant::now()));
            if let Err(error) = self.wait(wait) {
                early = Some(EarlyEnd::ServerGone(error.to_string()));
                break;
            }
        }
        self.tally.dropped += course.end(Instant::now());
        self.drain(early.is_some(), go_on);
        early
    }

    /// Waits for what is in flight.
    fn drain(&mut self, is_early: bool, mut go_on: impl FnMut(&mut Self, Instant) -> bool) {
        let patience = if is_early { Duration::from_millis(500) } else { self.setup.time_out + TICK * 5 };
        let begun = Instant::now();
        while self.in_flight > 0 && begun.elapsed() < patience {
            let now = Instant::now();
            if !go_on(self, now) && !is_early {
                break;
            }
            self.write_all();
            self.sweep(now);
            if self.wait(TICK).is_err() {
                break;
            }
        }
        // The last look may have been a moment before the time-out of one that began late.
        self.give_up_overdue(Instant::now());
        let waiting = self.channels.iter().flat_map(|channel| &channel.slots);
        for slot in waiting.filter(|slot| slot.is_busy && !slot.is_settled()) {
            self.tally.unanswered(slot.counts);
        }
    }

    /// Begins what is due, on the slots that are free.
    fn begin_due(&mut self, course: &mut Course, now: Instant) {
        match course {
            Course::Rates(pace) => self.begin_at_rates(pace, now),
            Course::Recorded(replay) => self.begin_recorded(replay, now),
        }
    }

    fn begin_at_rates(&mut self, pace: &mut Pace, mut now: Instant) {
        while !self.lanes[0].slots.is_empty() && self.has_room() {
            let Some(begin) = pace.take(now) else { return };
            let Some((channel, slot)) = self.lanes[0].slots.pop_front() else { return };
            if begin.counts {
                let could = begin.origin.max(self.lanes[0].since);
                let lag = pace.is_open().then(|| now.saturating_duration_since(could));
                self.tally.begun(now - begin.origin, lag);
            }
            let choice = self.mix.pick();
            self.begin((channel, slot), choice, begin, now);
            if pace.is_open() {
                now = Instant::now();
            }
        }
    }

    fn begin_recorded(&mut self, replay: &mut Replay, mut now: Instant) {
        while self.has_room() {
            let lanes = &self.lanes;
            let Some(request) = replay.take(now, |lane| !lanes[lane].slots.is_empty()) else { return };
            let free = &mut self.lanes[request.lane];
            let Some(slot) = free.slots.pop_front() else { return };
            let could = request.origin.max(free.since);
            self.tally.begun(now - request.origin, Some(now.saturating_duration_since(could)));
            let choice = self.mix.traced(request.shape, request.is_replaced);
            self.begin(slot, choice, Begin { origin: request.origin, counts: true }, now);
            now = Instant::now();
        }
    }

    fn begin(&mut self, (index, slot): (usize, usize), choice: Choice, begin: Begin, now: Instant) {
        let channel = &mut self.channels[index];
        let (step, batch) = (choice.step, self.mix.steps[choice.step].batch);
        let id = channel.occupy(slot, Beginning { step, batch, begin, sent: now });
        let before = channel.out.capacity();
        self.mix.write(choice, id, &self.setup.wording, &channel.session, &mut channel.out);
        self.unsent_bytes += channel.out.capacity() - before;
        self.in_flight += 1;
        self.queue(index);
    }

    /// Whether another request may be written down: what connections do not take has a bound together, and a request is
    /// late where they take too little.
    fn has_room(&mut self) -> bool {
        if self.unsent_bytes > MAX_UNSENT_BYTES {
            self.write_all();
            self.channels.iter_mut().for_each(Channel::shrink_unsent);
            self.unsent_bytes = self.channels.iter().map(|channel| channel.out.capacity()).sum();
        }
        self.unsent_bytes <= MAX_UNSENT_BYTES
    }

    pub(super) fn queue(&mut self, index: usize) {
        if self.unwritten.last() != Some(&index) {
            self.unwritten.push(index);
        }
    }

    fn write_all(&mut self) {
        while let Some(index) = self.unwritten.pop() {
            if let Err(error) = self.channels[index].flush() {
                self.break_off(index, &Broken::transport(&error));
            }
        }
    }

    /// Waits for connections, and takes what they say.
    fn wait(&mut self, wait: Duration) -> io::Result<()> {
        let timeout = if wait < SPIN {
            Duration::ZERO
        } else if wait < TICK {
            self.timer.set(wait.saturating_sub(SPIN))?.min(TICK)
        } else {
            TICK
        };
        // Nothing tells again of what was not read to its end.
        let unread = std::mem::take(&mut self.unread);
        let timeout = if unread.is_empty() { timeout } else { Duration::ZERO };
        for index in unread {
            self.readable(index);
        }
        let Some(mut events) = self.events.take() else { return Ok(()) };
        let polled = self.poll.poll(&mut events, Some(timeout));
        for event in &events {
            if event.token() == TIMER {
                continue;
            }
            let index = event.token().0;
            if event.is_writable() {
                self.writable(index);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.readable(index);
            }
        }
        self.events = Some(events);
        match polled {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) fn writable(&mut self, index: usize) {
        let channel = &mut self.channels[index];
        if channel.state != State::Connecting {
            if channel.has_unwritten() {
                self.queue(index);
            }
            return;
        }
        match channel.socket.as_mut().map(Socket::is_connected) {
            Some(Ok(true)) => self.connected(index),
            Some(Err(error)) => self.break_off(index, &Broken::transport(&error)),
            Some(Ok(false)) | None => {}
        }
    }

    fn readable(&mut self, index: usize) {
        if self.channels[index].state == State::Connecting {
            return self.writable(index);
        }
        let begun = Instant::now();
        loop {
            // A server that never pauses is heard no longer than others, the timer and the user can wait.
            if begun.elapsed() > TICK {
                if !self.unread.contains(&index) {
                    self.unread.push(index);
                }
                return;
            }
            let channel = &mut self.channels[index];
            let Some(socket) = &mut channel.socket else { return };
            match socket.read(&mut self.scratch) {
                Ok(0) => {
                    channel.take_end(&self.mix.steps, &mut self.heard, &mut self.examples);
                    self.act(index);
                    let why = self.channels[index].socket.as_mut().and_then(Socket::child).map_or_else(
                        || "the server closed the connection".to_owned(),
                        super::child::Child::last_words,
                    );
                    return self.break_off(index, &Broken { kind: FailureKind::Transport, why });
                }
                Ok(read) => {
                    let bytes = &self.scratch[..read];
                    let taken = channel.take(bytes, &self.mix.steps, &mut self.heard, &mut self.examples);
                    self.act(index);
                    if let Err(broken) = taken.and_then(|()| self.bound(index)) {
                        return self.break_off(index, &broken);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.break_off(index, &Broken::transport(&error)),
            }
        }
    }

    /// Counts what a connection holds of answers that are not complete; all connections share one bound.
    fn bound(&mut self, index: usize) -> Result<(), Broken> {
        self.held_bytes =
            self.held_bytes + self.channels[index].count_held() - self.channels[index].held_before;
        self.channels[index].held_before = self.channels[index].count_held();
        if self.held_bytes <= MAX_HELD_BYTES {
            return Ok(());
        }
        self.channels.iter_mut().for_each(Channel::shrink);
        self.held_bytes = self.channels.iter().map(Channel::count_held).sum();
        if self.held_bytes <= MAX_HELD_BYTES {
            return Ok(());
        }
        let mib = MAX_HELD_BYTES / (1024 * 1024);
        let why = format!("what had come of answers was more than {mib} MiB together");
        Err(Broken { kind: FailureKind::WrongAnswer, why })
    }

    /// Acts on what was heard on a connection.
    fn act(&mut self, index: usize) {
        let now = Instant::now();
        let mut closes = false;
        let mut heard = std::mem::take(&mut self.heard);
        for heard in heard.drain(..) {
            match heard {
                Heard::Outcome { slot, outcome } => self.settle(index, slot, outcome, now),
                Heard::Free { .. } if self.setup.churns => {
                    self.channels[index].session.clear();
                    closes = true;
                }
                Heard::Free { slot } if !closes => self.put_free(index, slot, now),
                Heard::Free { .. } | Heard::Late => {}
                Heard::Unexpected => {
                    self.tally.unexpected += 1;
                    self.channels[index].note_unexpected(now);
                }
                Heard::Initialized => self.initialized(index, now),
                Heard::Confirmed => self.ready(index, now),
                Heard::NotGreeted => self.broken += 1,
                Heard::Close => closes = true,
            }
        }
        self.heard = heard;
        if closes {
            self.forget_free(index);
            self.close(index, now);
        } else if !self.channels[index].out.is_empty() {
            self.queue(index);
        }
    }

    fn settle(&mut self, index: usize, slot: usize, outcome: Result<(), FailureKind>, now: Instant) {
        let slot = self.channels[index].slots[slot];
        self.in_flight -= 1;
        if !slot.counts {
            if let Err(kind) = outcome {
                self.tally.warm_up_failed(kind);
            }
            return;
        }
        let latency = now.saturating_duration_since(slot.origin);
        if let Some(recovery) =
            self.recovery.as_mut().filter(|_| matches!(outcome, Ok(()) | Err(FailureKind::TimeOut)))
        {
            recovery.note(slot.origin, now, latency);
        }
        match outcome {
            Ok(()) => self.tally.answered(slot.step, latency),
            Err(kind) => self.tally.failed(slot.step, kind, latency),
        }
    }

    pub(super) fn put_free(&mut self, index: usize, slot: usize, now: Instant) {
        let free = self.free_slots(index);
        if free.slots.is_empty() {
            free.since = now;
        }
        free.slots.push_back((index, slot));
    }

    /// The free slots among which those of a connection are.
    fn free_slots(&mut self, index: usize) -> &mut FreeSlots {
        let channels_a_lane = self.channels.len() / self.lanes.len();
        &mut self.lanes[index / channels_a_lane.max(1)]
    }

    /// Nothing more begins on the slots of a connection.
    pub(super) fn forget_free(&mut self, index: usize) {
        self.free_slots(index).slots.retain(|(channel, _)| *channel != index);
    }

    /// Gives up requests that wait for too long.
    fn sweep(&mut self, now: Instant) {
        let time_out = self.setup.time_out;
        if self.in_flight == 0 || now - self.swept < (time_out / 20).clamp(TICK / 4, TICK * 10) {
            return;
        }
        self.swept = now;
        self.give_up_overdue(now);
    }

    fn give_up_overdue(&mut self, now: Instant) {
        let time_out = self.setup.time_out;
        for index in 0..self.channels.len() {
            for slot in 0..self.channels[index].slots.len() {
                let Some((waiting, lateness)) = self.channels[index].overdue(slot, now, time_out) else {
                    continue;
                };
                let name = &self.mix.steps[waiting.step].name;
                let kind = if lateness == Lateness::SaidSomethingElse {
                    self.tally.unexpected -= 1;
                    let said = self.examples.unexpected.clone().unwrap_or_default();
                    self.examples.note(FailureKind::WrongAnswer, || {
                        format!("in place of an answer to {name}: {said}")
                    });
                    FailureKind::WrongAnswer
                } else {
                    self.examples
                        .note(FailureKind::TimeOut, || format!("no answer to {name} in {time_out:?}"));
                    FailureKind::TimeOut
                };
                if !waiting.is_settled() {
                    self.settle(index, slot, Err(kind), now);
                }
                self.channels[index].give_up(slot);
                if self.setup.target.is_http() {
                    // The answer may still come, and would be taken for that to the next request.
                    self.close(index, now);
                } else {
                    self.put_free(index, slot, now);
                }
            }
        }
    }

    /// The processes that were started for this test.
    pub(super) fn children(&mut self) -> Vec<u32> {
        let sockets = self.channels.iter_mut().filter_map(|channel| channel.socket.as_mut());
        sockets.filter_map(|socket| socket.child().map(|child| child.id())).collect()
    }

    /// The revision that was agreed on in the handshake.
    pub(super) fn revision(&self) -> Option<&str> {
        self.channels.iter().find_map(|channel| channel.revision.as_deref())
    }

    /// How many connections there are, sockets over HTTP.
    pub(super) fn connections(&self) -> usize {
        self.channels.len()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }
}
