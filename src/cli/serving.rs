//! What a server serves, as it says itself.

use serde::{Deserialize, Serialize};

/// What a server says of what it serves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Serving {
    /// The toolsets.
    pub(super) toolsets: Vec<String>,
    /// The directories that its tools work in.
    pub(super) directories: Vec<String>,
    /// Where it listens; nowhere if it serves the process that started it.
    pub(super) addresses: Vec<String>,
    /// Who may call.
    pub(super) clients: String,
}

impl Serving {
    /// In one sentence.
    pub(super) fn show(&self) -> String {
        let mut text = self.toolsets.join(", ");
        if !self.directories.is_empty() {
            text += " in ";
            text += &self.directories.join(", ");
        }
        if self.addresses.is_empty() {
            return text + ", for the process that started it";
        }
        text + &format!(", on {}, for {}", self.addresses.join(", "), self.clients)
    }
}
