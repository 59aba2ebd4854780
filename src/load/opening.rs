//! Opens the connections of a load test, greets the server on each, and closes what broke.

use super::channel::{Broken, State};
use super::examples::short;
use super::failure::FailureKind;
use super::pin::LoadPin;
use super::request::Era;
use super::socket::Socket;
use super::target::LoadTarget;
use super::worker::Worker;
use mio::Token;
use std::io;
use std::time::{Duration, Instant};

/// How long a connection that could not be opened waits for its next attempt.
const RETRY: Duration = Duration::from_millis(100);
/// How many connections are being opened at once.
const OPENING: usize = 64;

impl Worker<'_> {
    /// Opens connections that are to be opened, so many at once that a server's backlog holds them.
    pub(super) fn open_due(&mut self, now: Instant) {
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

    pub(super) fn connected(&mut self, index: usize) {
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

    pub(super) fn initialized(&mut self, index: usize, now: Instant) {
        let channel = &mut self.channels[index];
        if let Some(wanted) =
            self.setup.wording.revision.filter(|wanted| channel.revision.as_deref() != Some(wanted))
        {
            let spoken = channel.revision.as_deref().unwrap_or_default();
            let why = || format!("it speaks {}, and only {wanted} has batches", short(spoken));
            self.examples.greeting.get_or_insert_with(why);
            self.broken += 1;
            return;
        }
        let confirmation = self.setup.wording.initialized(&channel.session);
        if self.setup.target.is_http() {
            channel.greet(&confirmation, State::Confirming);
        } else {
            channel.out.extend_from_slice(&confirmation);
            self.ready(index, now);
        }
    }

    pub(super) fn ready(&mut self, index: usize, now: Instant) {
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
    pub(super) fn close(&mut self, index: usize, now: Instant) {
        if !matches!(self.channels[index].state, State::Ready | State::Gone | State::Closed { .. }) {
            self.opening -= 1;
        }
        self.channels[index].break_off(State::Closed { retry_at: now }, |_, _, _| ());
    }

    /// A connection broke: its requests fail.
    pub(super) fn break_off(&mut self, index: usize, broken: &Broken) {
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
                tally.warm_up_failed(broken.kind);
            }
        });
        self.forget_free(index);
        self.examples.note(broken.kind, || broken.why.clone());
        let is_up = self.channels.iter().any(|channel| channel.state == State::Ready);
        if is_command && self.channels.iter().all(|channel| channel.state == State::Gone) {
            self.gone = Some(broken.why.clone());
        } else if !is_up && self.down_since.is_none() {
            self.down_since = Some(now);
        }
    }

    /// Why there is nobody left to ask.
    pub(super) fn is_lost(&mut self, now: Instant) -> Option<String> {
        let is_long = self.down_since.is_some_and(|since| now - since > self.setup.time_out);
        let why =
            || self.examples.of(FailureKind::Transport).unwrap_or("no connection can be opened").to_owned();
        self.gone.take().or_else(|| is_long.then(why))
    }
}
