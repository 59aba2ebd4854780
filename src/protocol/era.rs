//! The two eras of the protocol, and the one that a message belongs to.

use super::message::Message;
use super::revision::Revision;

/// The two eras of MCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// 2026-07-28: each request carries its revision and capabilities in `_meta`.
    Modern,
    /// 2024-11-05 to 2025-11-25: `initialize` agrees on a revision for the connection.
    Legacy,
}

impl Era {
    /// A message with a protocol version in its `_meta` is modern, everything else legacy. Each message
    /// is classified by itself: one process may serve clients of both eras over one pipe.
    pub fn of(message: &Message<'_>) -> Self {
        if message.meta.claims_version { Self::Modern } else { Self::Legacy }
    }

    /// The era of a revision.
    pub const fn of_revision(revision: Revision) -> Self {
        if revision.is_modern() { Self::Modern } else { Self::Legacy }
    }
}
