//! The first message of each kind of failure, so that a report can show what went wrong.

use super::failure::FailureKind;
use crate::visible;

/// The most characters of a message that are kept.
const KEPT_CHARS: usize = 300;

/// What went wrong first.
#[derive(Default)]
pub(super) struct Examples {
    of_failures: [Option<String>; FailureKind::ALL.len()],
    /// A message that answers nothing.
    pub(super) unexpected: Option<String>,
    /// Why a connection could not be opened, or the server could not be greeted.
    pub(super) greeting: Option<String>,
}

impl Examples {
    /// Keeps `text` if it is the first of its kind.
    pub(super) fn note(&mut self, kind: FailureKind, text: impl FnOnce() -> String) {
        let kept = &mut self.of_failures[kind as usize];
        if kept.is_none() {
            *kept = Some(short(&text()));
        }
    }

    pub(super) fn note_unexpected(&mut self, message: &[u8]) {
        if self.unexpected.is_none() {
            self.unexpected = Some(short(&String::from_utf8_lossy(message)));
        }
    }

    pub(super) fn of(&self, kind: FailureKind) -> Option<&str> {
        self.of_failures[kind as usize].as_deref()
    }
}

/// The beginning of a text, on one line.
pub(super) fn short(text: &str) -> String {
    let line = visible::line(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    line.chars().take(KEPT_CHARS).collect()
}
