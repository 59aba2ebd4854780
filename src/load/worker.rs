//! The loop that makes the load: one thread, one event queue, all connections.
//!
//! Owns connections and counts; when requests begin is for [`Pace`] to say, what they are for [`Mix`]. Invariant: from
//! the end of the warm-up to the end of the test a request that succeeds allocates nothing.

use super::channel::{Broken, Channel, Heard, Lateness, State};
use super::examples::Examples;
use super::failure::FailureKind;
use super::mix::Mix;
use super::pace::{Begin, Pace};
use super::pin::LoadPin;
use super::recovery::Recovery;
use super::request::{Era, Wording};
use super::socket::Socket;
use super::tally::Tally;
use super::target::LoadTarget;
use super::timer::Timer;
use super::tls::Encryption;
use mio::{Events, Poll, Token};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::time::{Duration, Instant};

/// How long a connection that could not be opened waits for its next attempt.
const RETRY: Duration = Duration::from_millis(100);
/// How many connections are being opened at once.
const OPENING: usize = 64;
/// Longest wait of the event queue: by then somebody may have asked for the end.
const TICK: Duration = Duration::from_millis(20);
/// A wait that is shorter than this is spent looking: a timer may be that late.
const SPIN: Duration = Duration::from_micros(120);
const TIMER: Token = Token(usize::MAX);
const READ_BYTES: usize = 256 * 1024;
/// What has come of all answers that are not complete, at most; one alone is bounded by its connection.
const MAX_HELD_BYTES: usize = 256 * 1024 * 1024;

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

/// The loop.
pub(super) struct Worker<'a> {
    setup: &'a Setup,
    mix: Mix,
    poll: Poll,
    events: Option<Events>,
    timer: Timer,
    channels: Vec<Channel>,
    /// Slots that can take a request, the longest free first.
    free: VecDeque<(usize, usize)>,
    /// Since when there is a free slot.
    free_since: Instant,
    /// Connections with something to write.
    unwritten: Vec<usize>,
    /// Connections that may have more to read.
    unread: Vec<usize>,
    in_flight: usize,
    /// What connections hold of answers that are not complete.
    held_bytes: usize,
    opening: usize,
    heard: Vec<Heard>,
    scratch: Vec<u8>,
    swept: Instant,
    /// Since when no connection takes requests.
    down_since: Option<Instant>,
    pub(super) tally: Tally,
    pub(super) examples: Examples,
    /// Watches a spike and what follows it.
    pub(super) recovery: Option<Recovery>,
    /// Connections that broke or were refused.
    pub(super) broken: u64,
    gone: Option<String>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(setup: &'a Setup, mix: Mix) -> io::Result<Self> {
        let poll = Poll::new()?;
        let now = Instant::now();
        let is_http = setup.target.is_http();
        let channels = if is_http { setup.connections * setup.in_flight } else { setup.connections };
        let channels: Vec<_> = (0..channels).map(|_| Channel::new(is_http, setup.in_flight, now)).collect();
        let slots = channels.iter().map(|channel| channel.slots.len()).sum();
        Ok(Self {
            timer: Timer::new(poll.registry(), TIMER)?,
            poll,
            tally: Tally::new(mix.steps.len()),
            mix,
            events: Some(Events::with_capacity(1024)),
            unread: Vec::new(),
            free: VecDeque::with_capacity(slots),
            free_since: now,
            unwritten: Vec::with_capacity(channels.len()),
            channels,
            in_flight: 0,
            held_bytes: 0,
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
        pace: &mut Pace,
        mut go_on: impl FnMut(&mut Self, Instant) -> bool,
    ) -> Option<EarlyEnd> {
        let mut early = None;
        loop {
            let now = Instant::now();
            if pace.is_over(now) {
                break;
            }
            if !go_on(self, now) {
                early = Some(EarlyEnd::Interrupted);
                break;
            }
            self.begin_due(pace, now);
            self.write_all();
            self.sweep(now);
            self.open_due(now);
            if let Some(why) = self.is_lost(now) {
                early = Some(EarlyEnd::ServerGone(why));
                break;
            }
            let wait = if self.free.is_empty() { None } else { pace.next_time() };
            let wait = wait.map_or(TICK, |due| due.saturating_duration_since(Instant::now()));
            if let Err(error) = self.wait(wait) {
                early = Some(EarlyEnd::ServerGone(error.to_string()));
                break;
            }
        }
        self.tally.dropped += pace.end(Instant::now());
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
    fn begin_due(&mut self, pace: &mut Pace, mut now: Instant) {
        while !self.free.is_empty() {
            let Some(begin) = pace.take(now) else { return };
            let Some((channel, slot)) = self.free.pop_front() else { return };
            if begin.counts {
                let could = begin.origin.max(self.free_since);
                let lag = pace.is_open().then(|| now.saturating_duration_since(could));
                self.tally.begun(now - begin.origin, lag);
            }
            self.begin(channel, slot, begin, now);
            if pace.is_open() {
                now = Instant::now();
            }
        }
    }

    fn begin(&mut self, index: usize, slot: usize, begin: Begin, now: Instant) {
        let step = self.mix.pick();
        let channel = &mut self.channels[index];
        let id = channel.occupy(slot, step, begin.origin, now, begin.counts);
        self.mix.write(step, id, &self.setup.wording, &channel.session, &mut channel.out);
        self.in_flight += 1;
        self.queue(index);
    }

    fn queue(&mut self, index: usize) {
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
        } else {
            if wait < TICK {
                self.timer.set(wait.saturating_sub(SPIN))?;
            }
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

    fn writable(&mut self, index: usize) {
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
            self.free.retain(|(channel, _)| *channel != index);
            self.close(index, now);
        } else if !self.channels[index].out.is_empty() {
            self.queue(index);
        }
    }

    fn settle(&mut self, index: usize, slot: usize, outcome: Result<(), FailureKind>, now: Instant) {
        let slot = self.channels[index].slots[slot];
        self.in_flight -= 1;
        if !slot.counts {
            self.tally.warm_up_failed += u64::from(outcome.is_err());
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

    fn put_free(&mut self, index: usize, slot: usize, now: Instant) {
        if self.free.is_empty() {
            self.free_since = now;
        }
        self.free.push_back((index, slot));
    }

    /// Opens connections that are to be opened, so many at once that a server's backlog holds them.
    fn open_due(&mut self, now: Instant) {
        for index in 0..self.channels.len() {
            if self.opening >= OPENING {
                return;
            }
            if !matches!(self.channels[index].state, State::Closed { retry_at } if retry_at <= now) {
                continue;
            }
            self.opening += 1;
            self.channels[index].state = State::Connecting;
            let opened = self.open().and_then(|mut socket| {
                socket.register(self.poll.registry(), Token(index))?;
                Ok(socket)
            });
            match opened {
                Ok(socket) => {
                    self.channels[index].socket = Some(socket);
                    // Pipes and Unix sockets stand at once, and nothing else would say so.
                    self.writable(index);
                }
                Err(error) => self.break_off(index, &Broken::transport(&error)),
            }
        }
    }

    fn open(&self) -> io::Result<Socket> {
        let is_command = matches!(self.setup.target, LoadTarget::Command(_));
        let pin = self.setup.pin.as_ref().filter(|_| is_command);
        let _pinned = pin.map(LoadPin::while_starting).transpose()?;
        Socket::open(&self.setup.target, self.setup.encryption.as_ref())
    }

    fn connected(&mut self, index: usize) {
        let (channel, wording) = (&mut self.channels[index], &self.setup.wording);
        match (wording.era, channel.session.is_empty(), channel.is_confirmed) {
            // A process that was just started has to be there before it is loaded, and before its memory is read.
            (Era::Modern, ..) if matches!(self.setup.target, LoadTarget::Command(_)) => {
                channel.greet(&wording.discover(), State::Discovering);
            }
            (Era::Modern, ..) | (_, false, true) => return self.ready(index, Instant::now()),
            (_, true, _) => channel.greet(&wording.initialize(), State::Initializing),
            (_, false, false) => {
                let confirmation = wording.initialized(&channel.session);
                channel.greet(&confirmation, State::Confirming);
            }
        }
        self.queue(index);
    }

    fn initialized(&mut self, index: usize, now: Instant) {
        let channel = &mut self.channels[index];
        let confirmation = self.setup.wording.initialized(&channel.session);
        if self.setup.target.is_http() {
            channel.greet(&confirmation, State::Confirming);
        } else {
            channel.out.extend_from_slice(&confirmation);
            self.ready(index, now);
        }
    }

    fn ready(&mut self, index: usize, now: Instant) {
        let channel = &mut self.channels[index];
        channel.is_confirmed = true;
        channel.state = State::Ready;
        self.opening -= 1;
        self.down_since = None;
        for slot in 0..self.channels[index].slots.len() {
            if !self.channels[index].slots[slot].is_busy {
                self.put_free(index, slot, now);
            }
        }
    }

    /// Closes a connection that is of no more use, and has it opened anew.
    fn close(&mut self, index: usize, now: Instant) {
        if !matches!(self.channels[index].state, State::Ready | State::Gone | State::Closed { .. }) {
            self.opening -= 1;
        }
        self.channels[index].break_off(State::Closed { retry_at: now }, |_, _, _| ());
    }

    /// A connection broke: its requests fail.
    fn break_off(&mut self, index: usize, broken: &Broken) {
        let now = Instant::now();
        let channel = &mut self.channels[index];
        match channel.state {
            State::Gone | State::Closed { .. } => return,
            State::Ready => {}
            State::Connecting | State::Initializing | State::Discovering | State::Confirming => {
                self.opening -= 1;
            }
        }
        self.broken += 1;
        let is_command = matches!(self.setup.target, LoadTarget::Command(_));
        let next = if is_command { State::Gone } else { State::Closed { retry_at: now + RETRY } };
        let (tally, in_flight) = (&mut self.tally, &mut self.in_flight);
        channel.break_off(next, |_, slot, is_settled| {
            if is_settled {
                return;
            }
            *in_flight -= 1;
            if slot.counts {
                tally.failed(slot.step, broken.kind, now.saturating_duration_since(slot.origin));
            } else {
                tally.warm_up_failed += 1;
            }
        });
        self.free.retain(|(channel, _)| *channel != index);
        self.examples.note(broken.kind, || broken.why.clone());
        let is_up = self.channels.iter().any(|channel| channel.state == State::Ready);
        if is_command && self.channels.iter().all(|channel| channel.state == State::Gone) {
            self.gone = Some(broken.why.clone());
        } else if !is_up && self.down_since.is_none() {
            self.down_since = Some(now);
        }
    }

    /// Why there is nobody left to ask.
    fn is_lost(&mut self, now: Instant) -> Option<String> {
        let is_long = self.down_since.is_some_and(|since| now - since > self.setup.time_out);
        let why =
            || self.examples.of(FailureKind::Transport).unwrap_or("no connection can be opened").to_owned();
        self.gone.take().or_else(|| is_long.then(why))
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

    /// The method and the name of each step.
    pub(super) fn operations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.mix.steps.iter().map(|step| (step.method.as_str(), step.name.as_str()))
    }
}
