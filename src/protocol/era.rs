//! The two eras of the protocol, and the one that a message belongs to.

use super::message::Message;
use super::method::Method;
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
    /// The era of a message: modern if its `_meta` names a protocol version. Over HTTP it is modern too if the header
    /// `MCP-Protocol-Version` names a modern revision and the message is not `initialize`; there is no `version_header`
    /// on other transports. Each message is classified by itself: one process may serve clients of both eras over one
    /// pipe.
    pub fn of(message: &Message<'_>, version_header: Option<&[u8]>) -> Self {
        if message.meta.claims_version {
            return Self::Modern;
        }
        let is_modern = message.method != Some(Method::Initialize.as_str())
            && version_header.and_then(Revision::from_header).is_some_and(Revision::is_modern);
        if is_modern { Self::Modern } else { Self::Legacy }
    }

    /// The era of a revision.
    pub const fn of_revision(revision: Revision) -> Self {
        if revision.is_modern() { Self::Modern } else { Self::Legacy }
    }
}
