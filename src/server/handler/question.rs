//! A request to the client of a call, from when its handler asks until the client answers.

use crate::protocol::{InputRequest, InputResponse};
use crate::server::state::task::TaskRoom;

/// Bytes of a question besides its texts.
const QUESTION_BYTES: usize = size_of::<Question>();

/// One of the requests to the client that a call makes at once.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) key: String,
    pub(super) request: InputRequest,
    /// What the client answered before.
    pub(super) known: Option<InputResponse>,
    /// What the text takes while it waits until other questions are answered.
    pub(super) room: Option<TaskRoom>,
}

impl Question {
    /// A question whose text goes to the client, or to a task, before anybody waits.
    pub(super) fn new(key: String, request: InputRequest, known: Option<InputResponse>) -> Self {
        Self { key, request, known, room: None }
    }

    /// Bytes to count while it waits until other questions are answered.
    pub(super) fn waiting_bytes(&self) -> usize {
        QUESTION_BYTES + self.key.len() + self.request.params().map_or(0, |params| params.as_str().len())
    }

    /// Frees the text, which is elsewhere or of no use: the wait for the answer may be long.
    pub(super) fn give_up_text(&mut self) {
        self.request.give_up_params();
        self.room = None;
    }
}
