//! One connection of a load test: what was asked on it, and what is heard of that.
//!
//! Knows bytes, ids and shapes; no schedule and no counts. Over lines many requests are in flight, each in a [`Slot`];
//! over HTTP one is. Invariant: a slot is busy from its request until [`Heard::Free`] or [`Channel::break_off`], and
//! each busy slot gets exactly one outcome.

use super::answer::{self, ExpectedShape, Id, Message};
use super::events::EventReader;
use super::examples::{Examples, short};
use super::failure::FailureKind;
use super::http_answer::HttpAnswer;
use super::line_buffer::LineBuffer;
use super::pace::Begin;
use super::request::{GREETING_ID, PreparedStep};
use super::socket::Socket;
use serde::Deserialize;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Longest message that is read.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;
/// After a message that answers nothing, so long is waited for the answer to the only request that waits.
const GRACE: Duration = Duration::from_secs(1);

/// What a connection can do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It is to be opened at that time.
    Closed { retry_at: Instant },
    /// The system is connecting it.
    Connecting,
    /// `initialize` was sent.
    Initializing,
    /// `server/discover` was sent to a process that was just started.
    Discovering,
    /// `notifications/initialized` was sent over HTTP, which answers it.
    Confirming,
    /// It takes requests.
    Ready,
    /// The process behind it ended.
    Gone,
}

/// Room for one request in flight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// The id of its request, or of the last one.
    id: u64,
    pub(super) step: usize,
    /// When the request was to begin.
    pub(super) origin: Instant,
    pub(super) sent: Instant,
    /// Whether it counts, or belongs to the warm-up.
    pub(super) counts: bool,
    pub(super) is_busy: bool,
    /// Whether its outcome is known, while its exchange goes on.
    is_settled: bool,
    /// How many answers of its batch are missing.
    unanswered: usize,
    /// How the first of its batch failed.
    failed: Option<FailureKind>,
}

/// A request that begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beginning {
    pub(super) step: usize,
    /// How many messages it is made of.
    pub(super) batch: usize,
    pub(super) begin: Begin,
    pub(super) sent: Instant,
}

impl Slot {
    /// Whether the outcome of its request is known.
    pub(super) fn is_settled(&self) -> bool {
        self.is_settled
    }
}

/// Why a request is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lateness {
    /// Nothing came in time.
    Silent,
    /// Something came that answers nothing, and no answer.
    SaidSomethingElse,
}

/// What became of something on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// The outcome of a request.
    Outcome { slot: usize, outcome: Result<(), FailureKind> },
    /// A slot can take another request.
    Free { slot: usize },
    /// An answer to a request that had timed out.
    Late,
    /// A message that answers nothing.
    Unexpected,
    /// The server opened a session, which is to be confirmed.
    Initialized,
    /// The server took the confirmation.
    Confirmed,
    /// The server does not greet as it should: the connection is of no use.
    NotGreeted,
    /// The connection ends with the answer.
    Close,
}

/// Why a connection broke.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) kind: FailureKind,
    pub(super) why: String,
}

impl Broken {
    pub(super) fn transport(error: &io::Error) -> Self {
        Self { kind: FailureKind::Transport, why: error.to_string() }
    }

    fn wrong(why: &dyn std::error::Error) -> Self {
        Self { kind: FailureKind::WrongAnswer, why: why.to_string() }
    }
}

enum Framing {
    Lines(LineBuffer),
    Http { answer: Box<HttpAnswer>, events: EventReader },
}

/// A connection.
pub(super) struct Channel {
    pub(super) socket: Option<Socket>,
    pub(super) state: State,
    framing: Framing,
    pub(super) out: Vec<u8>,
    written: usize,
    pub(super) slots: Vec<Slot>,
    /// Ids that one request may take.
    ids_a_slot: u64,
    /// A bit for each answer of the batch of each slot: whether it came.
    answered: Vec<u64>,
    /// Head lines that name the session and its revision, over HTTP in the legacy era.
    pub(super) session: Vec<u8>,
    /// Whether the server was told that the session is open.
    pub(super) is_confirmed: bool,
    /// The revision of the handshake.
    pub(super) revision: Option<String>,
    /// Messages that answer nothing and stand for no wrong answer yet, and when the last of them came.
    unexpected: u32,
    unexpected_at: Instant,
    /// What [`Channel::count_held`] was when it was counted last.
    pub(super) held_before: usize,
}

impl Channel {
    /// A connection with room for so many requests, each of which has so many messages at most.
    pub(super) fn new(is_http: bool, slots: usize, largest_batch: usize, now: Instant) -> Self {
        let slots = if is_http { 1 } else { slots };
        let free = Slot {
            id: 0,
            step: 0,
            origin: now,
            sent: now,
            counts: false,
            is_busy: false,
            is_settled: false,
            unanswered: 0,
            failed: None,
        };
        let framing = if is_http {
            Framing::Http {
                answer: Box::new(HttpAnswer::new(MAX_MESSAGE_BYTES)),
                events: EventReader::default(),
            }
        } else {
            Framing::Lines(LineBuffer::new(MAX_MESSAGE_BYTES))
        };
        Self {
            socket: None,
            state: State::Closed { retry_at: now },
            framing,
            out: Vec::new(),
            written: 0,
            slots: vec![free; slots],
            ids_a_slot: largest_batch as u64,
            answered: vec![0; if largest_batch > 1 { slots * words_of(largest_batch) } else { 0 }],
            session: Vec::new(),
            is_confirmed: false,
            revision: None,
            unexpected: 0,
            unexpected_at: now,
            held_before: 0,
        }
    }

    /// Bytes that are held for answers.
    pub(super) fn count_held(&self) -> usize {
        match &self.framing {
            Framing::Lines(lines) => lines.held_bytes(),
            Framing::Http { answer, events } => answer.held_bytes() + events.held_bytes(),
        }
    }

    /// Lets go of room that no answer needs now.
    pub(super) fn shrink(&mut self) {
        match &mut self.framing {
            Framing::Lines(lines) => lines.shrink(),
            Framing::Http { answer, events } if !self.slots[0].is_busy => {
                answer.shrink();
                events.shrink();
            }
            Framing::Http { .. } => {}
        }
        self.held_before = self.count_held();
    }

    /// Lets go of room for requests if all of them are sent.
    pub(super) fn shrink_unsent(&mut self) {
        if self.out.is_empty() {
            self.out = Vec::new();
        }
    }

    /// A message came that answers nothing.
    pub(super) fn note_unexpected(&mut self, now: Instant) {
        self.unexpected += 1;
        self.unexpected_at = now;
    }

    /// Takes a slot for a request; gives the id to ask with, and those behind it in a batch.
    pub(super) fn occupy(&mut self, slot: usize, request: Beginning) -> u64 {
        let Beginning { step, batch, begin: Begin { origin, counts }, sent } = request;
        let ids = self.slots.len() as u64;
        let words = self.answered.len() / self.slots.len();
        self.answered[slot * words..][..words].fill(0);
        let occupied = &mut self.slots[slot];
        // `id % ids` is the slot, so that an answer finds it without a table. 0 is the id of greetings.
        let id = if occupied.id == 0 { ids + slot as u64 } else { occupied.id + ids };
        *occupied = Slot {
            id,
            step,
            origin,
            sent,
            counts,
            is_busy: true,
            is_settled: false,
            unanswered: batch,
            failed: None,
        };
        if let Framing::Http { answer, events } = &mut self.framing {
            answer.reset();
            events.reset();
        }
        id * self.ids_a_slot
    }

    /// Begins a greeting with these bytes.
    pub(super) fn greet(&mut self, bytes: &[u8], state: State) {
        if let Framing::Http { answer, events } = &mut self.framing {
            answer.reset();
            events.reset();
        }
        if state == State::Initializing {
            self.revision = None;
            self.is_confirmed = false;
        }
        self.out.extend_from_slice(bytes);
        self.state = state;
    }

    /// Writes what is queued, as far as the connection takes it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        while self.written < self.out.len() {
            match socket.write(&self.out[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A server may answer before it has read all; what it says is worth more than that it closed.
                Err(error) if is_closed(&error) => break,
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written = 0;
        socket.flush()
    }

    /// Whether something is to be written once the connection takes it.
    pub(super) fn has_unwritten(&self) -> bool {
        !self.out.is_empty() || self.socket.as_ref().is_some_and(Socket::has_unsent)
    }

    /// Forgets the connection; the slots that were busy are given to `on_slot`.
    pub(super) fn break_off(&mut self, next: State, mut on_slot: impl FnMut(usize, &Slot, bool)) {
        for (index, slot) in self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.is_busy) {
            slot.is_busy = false;
            on_slot(index, slot, slot.is_settled);
        }
        self.socket = None;
        self.state = next;
        self.unexpected = 0;
        self.out.clear();
        self.written = 0;
        match &mut self.framing {
            Framing::Lines(lines) => lines.reset(),
            Framing::Http { answer, events } => {
                answer.reset();
                events.reset();
            }
        }
    }

    /// Takes bytes that were read, and says what they mean.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        steps: &[PreparedStep],
        heard: &mut Vec<Heard>,
        examples: &mut Examples,
    ) -> Result<(), Broken> {
        let (state, slots) = (&mut self.state, &mut self.slots);
        match &mut self.framing {
            Framing::Lines(lines) => {
                let batches = Batches { ids_a_slot: self.ids_a_slot, answered: &mut self.answered };
                let revision = &mut self.revision;
                let mut ears = Ears { state, slots, revision, batches, steps, heard, examples };
                let replies = &mut self.out;
                lines.feed(bytes, |line| ears.hear_line(line, replies)).map_err(|error| Broken::wrong(&error))
            }
            Framing::Http { answer, events } => {
                let taken = answer.feed(bytes).map_err(|error| Broken::wrong(&error))?;
                let batches = Batches { ids_a_slot: self.ids_a_slot, answered: &mut self.answered };
                let revision = &mut self.revision;
                let mut ears = Ears { state, slots, revision, batches, steps, heard, examples };
                if answer.status() == 200 && answer.is_event_stream() {
                    while let Some(data) = events.next(answer.body()) {
                        ears.hear_event(data);
                    }
                }
                if !answer.is_complete() {
                    return Ok(());
                }
                ears.hear_end(answer, &mut self.session);
                if taken < bytes.len() {
                    let why = "bytes follow the answer that nobody asked for".to_owned();
                    return Err(Broken { kind: FailureKind::WrongAnswer, why });
                }
                Ok(())
            }
        }
    }

    /// The server closed its side. An answer may end that way.
    pub(super) fn take_end(
        &mut self,
        steps: &[PreparedStep],
        heard: &mut Vec<Heard>,
        examples: &mut Examples,
    ) {
        if let Framing::Http { answer, .. } = &mut self.framing
            && answer.ends_with_connection()
        {
            let (state, slots) = (&mut self.state, &mut self.slots);
            let batches = Batches { ids_a_slot: self.ids_a_slot, answered: &mut self.answered };
            let revision = &mut self.revision;
            let mut ears = Ears { state, slots, revision, batches, steps, heard, examples };
            ears.hear_end(answer, &mut self.session);
        }
    }

    /// The request of a slot if it is not waited for any longer: it was sent longer ago than `time_out`, or something
    /// came in its place.
    pub(super) fn overdue(
        &mut self,
        slot: usize,
        now: Instant,
        time_out: Duration,
    ) -> Option<(Slot, Lateness)> {
        let slot = self.slots[slot];
        if !slot.is_busy {
            return None;
        }
        let is_late = now.saturating_duration_since(slot.sent) > time_out;
        let is_suspect = self.unexpected > 0 && self.unexpected_at >= slot.sent && !slot.is_settled;
        if !is_suspect {
            return is_late.then_some((slot, Lateness::Silent));
        }
        // Where several requests wait nobody can tell whose answer it was to be before their time is over.
        let is_alone = self.slots.iter().filter(|slot| slot.is_busy).count() == 1;
        let is_over = is_late || is_alone && now.saturating_duration_since(self.unexpected_at) > GRACE;
        is_over.then(|| {
            self.unexpected -= 1;
            (slot, Lateness::SaidSomethingElse)
        })
    }

    /// Gives up a request of which nothing came in time. Over lines its slot is free again.
    pub(super) fn give_up(&mut self, slot: usize) {
        self.slots[slot].is_busy = false;
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// Words of a bit for each message of a batch.
fn words_of(batch: usize) -> usize {
    batch.div_ceil(u64::BITS as usize)
}

/// Which answers of batches came.
struct Batches<'a> {
    ids_a_slot: u64,
    answered: &'a mut [u64],
}

impl Batches<'_> {
    /// Notes an answer to message `number` of the batch in a slot; whether it is the first one to it.
    fn note(&mut self, slot: usize, number: usize) -> bool {
        let words = words_of(self.ids_a_slot as usize);
        let bit = 1 << (number % u64::BITS as usize);
        let Some(word) = self.answered.get_mut(slot * words + number / u64::BITS as usize) else {
            return false;
        };
        let is_first = *word & bit == 0;
        *word |= bit;
        is_first
    }
}

/// What is needed to understand a message.
struct Ears<'a> {
    state: &'a mut State,
    slots: &'a mut [Slot],
    revision: &'a mut Option<String>,
    batches: Batches<'a>,
    steps: &'a [PreparedStep],
    heard: &'a mut Vec<Heard>,
    examples: &'a mut Examples,
}

impl Ears<'_> {
    fn hear_line(&mut self, line: &[u8], replies: &mut Vec<u8>) {
        match answer::read(line) {
            _ if line.iter().all(u8::is_ascii_whitespace) => {}
            _ if self.batches.ids_a_slot > 1 && line.trim_ascii_start().first() == Some(&b'[') => {
                self.hear_array(line);
            }
            Ok(Message::Notification) => {}
            Ok(Message::Request) => reply(line, replies),
            Ok(Message::Result { id: Id::Number(GREETING_ID), shape })
                if *self.state == State::Initializing =>
            {
                if ExpectedShape::Handshake.check(shape).is_ok() {
                    *self.revision = revision(line);
                    self.heard.push(Heard::Initialized);
                } else {
                    self.not_greeted(line);
                }
            }
            Ok(Message::Error { .. }) if *self.state == State::Initializing => self.not_greeted(line),
            // Whatever it says to that, it is there.
            Ok(Message::Result { id: Id::Number(GREETING_ID), .. } | Message::Error { .. })
                if *self.state == State::Discovering =>
            {
                self.heard.push(Heard::Confirmed);
            }
            Ok(message @ (Message::Result { id, .. } | Message::Error { id, .. })) => {
                match self.slot_of(id) {
                    Asked::Waits(slot) if self.is_batch(slot) => {
                        self.hear_in_batch(slot, message, line);
                        if self.slots[slot].unanswered == 0 {
                            self.end_batch(slot);
                            self.free(slot);
                        }
                    }
                    Asked::Waits(slot) => {
                        self.settle(slot, line);
                        self.free(slot);
                    }
                    Asked::Before => self.heard.push(Heard::Late),
                    Asked::Never => self.unexpected(line),
                }
            }
            Err(_) => self.unexpected(line),
        }
    }

    fn slot_of(&self, id: Id) -> Asked {
        slot_of(self.slots, id, self.batches.ids_a_slot)
    }

    fn unexpected(&mut self, message: &[u8]) {
        self.examples.note_unexpected(message);
        self.heard.push(Heard::Unexpected);
    }

    fn not_greeted(&mut self, message: &[u8]) {
        let text =
            || format!("the server does not open a session: {}", short(&String::from_utf8_lossy(message)));
        self.examples.greeting.get_or_insert_with(text);
        self.heard.push(Heard::NotGreeted);
    }

    /// Whether the request of a slot is a batch.
    fn is_batch(&self, slot: usize) -> bool {
        self.steps.get(self.slots[slot].step).is_some_and(|step| step.batch > 1)
    }

    /// The answers to a batch, in one line: the whole of it, as it is answered when all of it is done.
    fn hear_array(&mut self, line: &[u8]) {
        let mut answered = None;
        let read = answer::read_each(line, |message, text| {
            let (Message::Result { id, .. } | Message::Error { id, .. }) = message else { return };
            match self.slot_of(id) {
                Asked::Waits(slot) if self.is_batch(slot) && *answered.get_or_insert(slot) == slot => {
                    self.hear_in_batch(slot, message, text);
                }
                Asked::Before => self.heard.push(Heard::Late),
                Asked::Waits(_) | Asked::Never => self.unexpected(text),
            }
        });
        if read.is_err() {
            self.unexpected(line);
        }
        if let Some(slot) = answered {
            self.end_batch(slot);
            self.free(slot);
        }
    }

    /// An answer to one message of the batch in a slot.
    fn hear_in_batch(&mut self, slot: usize, message: Message, text: &[u8]) {
        let first_id = self.slots[slot].id * self.batches.ids_a_slot;
        let step = self.steps.get(self.slots[slot].step);
        let messages = step.map_or(0, |step| step.batch as u64);
        let mut is_new = |id: u64| {
            let number = id.checked_sub(first_id).filter(|number| *number < messages);
            number.is_some_and(|number| self.batches.note(slot, number as usize))
        };
        let (is_answer, outcome) = match message {
            Message::Notification | Message::Request => return,
            Message::Result { id: Id::Number(id), shape } if is_new(id) => {
                (true, step.map_or(Ok(()), |step| step.expected.check(shape)))
            }
            Message::Error { id: Id::Number(id), .. } if is_new(id) => (true, Err(FailureKind::Protocol)),
            // The batch as a whole was refused.
            Message::Error { id: Id::Absent, .. } => (false, Err(FailureKind::Protocol)),
            _ => (false, Err(FailureKind::WrongAnswer)),
        };
        let waiting = &mut self.slots[slot];
        waiting.unanswered -= usize::from(is_answer);
        if let Err(kind) = outcome {
            waiting.failed.get_or_insert(kind);
            self.examples.note(kind, || format!("in a batch: {}", String::from_utf8_lossy(text)));
        }
    }

    /// No more answers come to the batch in a slot.
    fn end_batch(&mut self, slot: usize) {
        let waiting = &mut self.slots[slot];
        if waiting.unanswered > 0 && waiting.failed.is_none() {
            waiting.failed = Some(FailureKind::WrongAnswer);
            let missing = waiting.unanswered;
            self.examples
                .note(FailureKind::WrongAnswer, || format!("{missing} answers of a batch are missing"));
        }
        waiting.is_settled = true;
        let outcome = waiting.failed.map_or(Ok(()), Err);
        self.heard.push(Heard::Outcome { slot, outcome });
    }

    /// Checks what a body or an event says to the batch in a slot; `is_all` if nothing comes behind it.
    fn hear_batch(&mut self, slot: usize, text: &[u8], is_all: bool) {
        let read = answer::read_each(text, |message, text| self.hear_in_batch(slot, message, text));
        if read.is_err() {
            self.slots[slot].failed.get_or_insert(FailureKind::WrongAnswer);
            self.examples.note(FailureKind::WrongAnswer, || String::from_utf8_lossy(text).into_owned());
        }
        if is_all || self.slots[slot].unanswered == 0 {
            self.end_batch(slot);
        }
    }

    /// Checks the answer to the request of a slot.
    fn settle(&mut self, slot: usize, message: &[u8]) {
        let waiting = &mut self.slots[slot];
        waiting.is_settled = true;
        let step = self.steps.get(waiting.step);
        let is_own =
            |id| id == waiting.id * self.batches.ids_a_slot || step.is_some_and(|step| step.takes_any_id);
        let outcome = match answer::read(message) {
            Ok(Message::Result { id: Id::Number(id), shape }) if is_own(id) => {
                step.map_or(Ok(()), |step| step.expected.check(shape))
            }
            Ok(Message::Error { id: Id::Number(id), .. }) if is_own(id) => Err(FailureKind::Protocol),
            // A request that cannot be read has no id to answer with.
            Ok(Message::Error { id: Id::Absent, .. }) => Err(FailureKind::Protocol),
            _ => Err(FailureKind::WrongAnswer),
        };
        if let Err(kind) = outcome {
            self.examples.note(kind, || String::from_utf8_lossy(message).into_owned());
        }
        self.heard.push(Heard::Outcome { slot, outcome });
    }

    fn fail(&mut self, slot: usize, kind: FailureKind, text: impl FnOnce() -> String) {
        self.slots[slot].is_settled = true;
        self.examples.note(kind, text);
        self.heard.push(Heard::Outcome { slot, outcome: Err(kind) });
    }

    fn free(&mut self, slot: usize) {
        self.slots[slot].is_busy = false;
        self.heard.push(Heard::Free { slot });
    }

    /// An event of the stream that answers the request.
    fn hear_event(&mut self, data: &[u8]) {
        match answer::read(data) {
            Ok(Message::Notification | Message::Request) => {}
            Ok(Message::Result { shape, .. }) if *self.state == State::Initializing => {
                if ExpectedShape::Handshake.check(shape).is_ok() {
                    *self.revision = revision(data);
                } else {
                    self.not_greeted(data);
                }
            }
            _ if self.slots[0].is_busy && !self.slots[0].is_settled && self.is_batch(0) => {
                self.hear_batch(0, data, false);
            }
            _ if self.slots[0].is_busy && !self.slots[0].is_settled => self.settle(0, data),
            _ => self.unexpected(data),
        }
    }

    /// An answer over HTTP is complete.
    fn hear_end(&mut self, answer: &HttpAnswer, session: &mut Vec<u8>) {
        match *self.state {
            State::Initializing => self.hear_greeting(answer, session),
            State::Confirming if (200..300).contains(&answer.status()) => self.heard.push(Heard::Confirmed),
            State::Confirming => self.not_greeted(format!("status {}", answer.status()).as_bytes()),
            _ if self.slots[0].is_busy => self.hear_exchange(answer, session),
            _ => self.unexpected(answer.body()),
        }
        if answer.closes() {
            self.heard.push(Heard::Close);
        }
    }

    fn hear_greeting(&mut self, answer: &HttpAnswer, session: &mut Vec<u8>) {
        let is_right = matches!(answer::read(answer.body()),
            Ok(Message::Result { shape, .. }) if ExpectedShape::Handshake.check(shape).is_ok());
        if answer.status() == 200 && !answer.is_event_stream() && is_right {
            *self.revision = revision(answer.body());
        }
        let Some(revision) = self.revision.as_deref().filter(|_| answer.status() == 200) else {
            let said = [format!("status {} ", answer.status()).as_bytes(), answer.body()].concat();
            return self.not_greeted(&said);
        };
        session.clear();
        session.extend_from_slice(format!("MCP-Protocol-Version: {revision}\r\n").as_bytes());
        if let Some(id) = answer.header("mcp-session-id") {
            session.extend_from_slice(format!("Mcp-Session-Id: {id}\r\n").as_bytes());
        }
        self.heard.push(Heard::Initialized);
    }

    fn hear_exchange(&mut self, answer: &HttpAnswer, session: &mut Vec<u8>) {
        let said = || format!("status {}: {}", answer.status(), String::from_utf8_lossy(answer.body()));
        match answer.status() {
            200 if self.slots[0].is_settled => {}
            200 if answer.is_event_stream() => {
                self.fail(0, FailureKind::WrongAnswer, || "the stream ended without an answer".to_owned());
            }
            200 if self.is_batch(0) => self.hear_batch(0, answer.body(), true),
            200 => self.settle(0, answer.body()),
            429 | 503 => self.fail(0, FailureKind::Refused, said),
            202 | 204 => self.fail(0, FailureKind::WrongAnswer, said),
            status => {
                if status == 404 && !session.is_empty() {
                    // The session is gone: the connection opens another one.
                    session.clear();
                    self.heard.push(Heard::Close);
                }
                self.fail(0, FailureKind::Protocol, said);
            }
        }
        self.free(0);
    }
}

/// Whether a request with an id waits.
enum Asked {
    Waits(usize),
    Before,
    Never,
}

fn slot_of(slots: &[Slot], id: Id, ids_a_slot: u64) -> Asked {
    // A number as a text answers the request with that number, and wrongly.
    let (Id::Number(id) | Id::Quoted(id)) = id else { return Asked::Never };
    let id = id / ids_a_slot;
    let index = (id % slots.len().max(1) as u64) as usize;
    match slots.get(index) {
        Some(slot) if slot.id == id && slot.is_busy => Asked::Waits(index),
        Some(slot) if id <= slot.id && id >= slots.len() as u64 => Asked::Before,
        _ => Asked::Never,
    }
}

fn revision(message: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        result: Handshake,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Handshake {
        protocol_version: String,
    }
    let revision = serde_json::from_slice::<Answer>(message).ok()?.result.protocol_version;
    revision.bytes().all(|byte| byte.is_ascii_graphic()).then_some(revision)
}

/// Answers a request of the server: pings, nothing else.
fn reply(line: &[u8], replies: &mut Vec<u8>) {
    #[derive(Deserialize)]
    struct Request {
        id: serde_json::Value,
        method: String,
    }
    let Ok(Request { id, method }) = serde_json::from_slice(line) else { return };
    let rest = match method.as_str() {
        "ping" => r#""result":{}"#,
        _ => r#""error":{"code":-32601,"message":"Method not found"}"#,
    };
    replies.extend_from_slice(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},{rest}}}\n").as_bytes());
}
