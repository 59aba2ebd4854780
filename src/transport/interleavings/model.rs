//! What must come of a script, worked out step by step and without a transport.

use super::{MAX_REQUESTS, Message, Step};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// One connection with all of them in a row.
    Lines,
    /// Each on a connection of its own, in one session. What waits is a task: once cancelled it is there until its
    /// turn comes. A batch that had to wait counts as one request for as long as it lasts.
    Http,
}

/// Where an answer belongs: to what was sent as that one, counted from 0.
type Sent = usize;

/// A call that waits.
#[derive(Debug, Clone, Copy)]
struct Call {
    key: u64,
    id: u8,
    sent: Sent,
    in_batch: bool,
}

/// A message of a batch that has not begun, with its gate. What repeats an id is marked when the batch comes.
#[derive(Debug, Clone, Copy)]
struct Element {
    message: Message,
    key: u64,
    repeats: bool,
}

/// A batch that is not answered.
#[derive(Debug, Default)]
struct Batch {
    rest: VecDeque<Element>,
    answers: Vec<String>,
    ids: BTreeSet<u8>,
    cancelled: BTreeSet<u8>,
    has_waited: bool,
}

#[derive(Debug)]
pub(super) struct Model {
    framing: Framing,
    next_key: u64,
    next_sent: Sent,
    waiting: Vec<Call>,
    /// Over HTTP: cancelled, and still there.
    going: Vec<Call>,
    batches: BTreeMap<Sent, Batch>,
    due: VecDeque<Sent>,
    /// What has come to its end, and with which answer, if any.
    ended: Vec<(Sent, Option<String>)>,
}

impl Model {
    pub(super) fn new(framing: Framing) -> Self {
        Self {
            framing,
            next_key: 0,
            next_sent: 0,
            waiting: Vec::new(),
            going: Vec::new(),
            batches: BTreeMap::new(),
            due: VecDeque::new(),
            ended: Vec::new(),
        }
    }

    /// Does one step; gives the gate that opens, if it is that kind of step and a call waits.
    pub(super) fn step(&mut self, step: &Step) -> Option<u64> {
        let mut opened = None;
        match step {
            Step::Send(message) => {
                let (sent, key) = (self.next_sent(), self.next_key());
                if let Served::Done(answer) = self.serve(*message, sent, key, None) {
                    self.ended.push((sent, answer));
                }
            }
            Step::Batch(messages) => self.open_batch(messages),
            Step::Complete(place) => {
                if !self.waiting.is_empty() {
                    opened = Some(self.complete(place % self.waiting.len()));
                }
            }
        }
        while let Some(sent) = self.due.pop_front() {
            self.go_on(sent);
        }
        opened
    }

    /// What has ended since this was asked last.
    pub(super) fn take_ended(&mut self) -> Vec<(usize, Option<String>)> {
        std::mem::take(&mut self.ended)
    }

    /// Calls that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Each message has a gate, whether it uses it or not.
    fn next_key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key - 1
    }

    fn next_sent(&mut self) -> Sent {
        self.next_sent += 1;
        self.next_sent - 1
    }

    fn open_batch(&mut self, messages: &[Message]) {
        let sent = self.next_sent();
        let mut batch = Batch::default();
        for message in messages {
            let repeats = match message {
                Message::Wait { id } | Message::Ping { id } => self.is_used(*id) || !batch.ids.insert(*id),
                Message::Cancel { .. } | Message::Note => false,
            };
            batch.rest.push_back(Element { message: *message, key: self.next_key(), repeats });
        }
        self.batches.insert(sent, batch);
        self.due.push_back(sent);
    }

    fn complete(&mut self, place: usize) -> u64 {
        let Call { key, id, sent, .. } = self.waiting.remove(place);
        let answer = format!("{id}:done {key}");
        match self.batches.get_mut(&sent) {
            Some(batch) => {
                batch.answers.push(answer);
                self.due.push_back(sent);
            }
            None => self.ended.push((sent, Some(answer))),
        }
        key
    }

    fn go_on(&mut self, sent: Sent) {
        if let Some(place) = self.going.iter().position(|call| call.sent == sent) {
            let call = self.going.remove(place);
            if !call.in_batch {
                self.ended.push((sent, None));
            }
        }
        while let Some(batch) = self.batches.get_mut(&sent) {
            let has_waited = batch.has_waited;
            let Some(element) = batch.rest.pop_front() else {
                let answers = std::mem::take(&mut batch.answers);
                self.batches.remove(&sent);
                let answer = (!answers.is_empty()).then(|| format!("[{}]", answers.join(" ")));
                return self.ended.push((sent, answer));
            };
            let is_cancelled = match element.message {
                Message::Wait { id } | Message::Ping { id } => {
                    !element.repeats && batch.cancelled.contains(&id)
                }
                Message::Cancel { .. } | Message::Note => false,
            };
            if is_cancelled {
                continue;
            }
            let place = Some((element.repeats, has_waited));
            let served = self.serve(element.message, sent, element.key, place);
            let Some(batch) = self.batches.get_mut(&sent) else { return };
            match served {
                Served::Done(answer) => batch.answers.extend(answer),
                Served::Waits => {
                    batch.has_waited = true;
                    return;
                }
            }
        }
    }

    /// Serves a message: of a batch, where `place` tells whether it repeats an id and whether the batch has waited.
    fn serve(&mut self, message: Message, sent: Sent, key: u64, place: Option<(bool, bool)>) -> Served {
        let (id, waits) = match message {
            Message::Note => return Served::Done(None),
            Message::Cancel { id } => {
                self.cancel(id);
                return Served::Done(None);
            }
            Message::Ping { id } => (id, false),
            Message::Wait { id } => (id, true),
        };
        let (repeats, has_waited) = place.unwrap_or_else(|| (self.is_used(id), false));
        if repeats {
            return Served::Done(Some(format!("{id}:-32600")));
        }
        if !waits {
            return Served::Done(Some(format!("{id}:pong")));
        }
        if self.is_full(has_waited) {
            return Served::Done(Some(format!("{id}:-32603")));
        }
        self.waiting.push(Call { key, id, sent, in_batch: place.is_some() });
        Served::Waits
    }

    fn cancel(&mut self, id: u8) {
        if let Some(place) = self.waiting.iter().position(|call| call.id == id) {
            let call = self.waiting.remove(place);
            match self.framing {
                Framing::Lines if call.in_batch => self.due.push_back(call.sent),
                Framing::Lines => self.ended.push((call.sent, None)),
                Framing::Http => {
                    self.going.push(call);
                    self.due.push_back(call.sent);
                }
            }
        } else if let Some(batch) = self.batches.values_mut().find(|batch| batch.ids.contains(&id)) {
            batch.cancelled.insert(id);
        }
    }

    /// Whether a request with that id is not answered.
    fn is_used(&self, id: u8) -> bool {
        self.singles().any(|call| call.id == id) || self.batches.values().any(|batch| batch.ids.contains(&id))
    }

    /// Calls of no batch.
    fn singles(&self) -> impl Iterator<Item = &Call> {
        self.waiting.iter().chain(&self.going).filter(|call| !call.in_batch)
    }

    fn is_full(&self, has_waited: bool) -> bool {
        match self.framing {
            Framing::Lines => self.waiting.len() >= MAX_REQUESTS,
            Framing::Http => {
                let batches = self.batches.values().filter(|batch| batch.has_waited).count();
                !has_waited && self.singles().count() + batches >= MAX_REQUESTS
            }
        }
    }
}

enum Served {
    Waits,
    Done(Option<String>),
}
