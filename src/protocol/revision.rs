//! The revisions of the protocol that this server speaks, and how a handshake picks one.

use std::fmt;

/// A dated revision of the Model Context Protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Revision {
    /// 2024-11-05, the first handshake revision.
    V2024_11_05,
    /// 2025-03-26: batches and tool annotations.
    V2025_03_26,
    /// 2025-06-18: structured output; batches removed.
    V2025_06_18,
    /// 2025-11-25, the last handshake revision.
    V2025_11_25,
    /// 2026-07-28: stateless, `_meta` on each request.
    V2026_07_28,
}

impl Revision {
    /// Every revision, oldest first.
    pub const ALL: [Self; 5] =
        [Self::V2024_11_05, Self::V2025_03_26, Self::V2025_06_18, Self::V2025_11_25, Self::V2026_07_28];
    /// The newest revision that is agreed on by `initialize`.
    pub const LATEST_HANDSHAKE: Self = Self::V2025_11_25;
    /// The stateless revision.
    pub const MODERN: Self = Self::V2026_07_28;

    /// The date as it stands in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// The revision of that date, if this server speaks it.
    pub fn parse(date: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|revision| revision.as_str() == date)
    }

    /// The revision that the header `MCP-Protocol-Version` names, if this server speaks it.
    pub fn from_header(header: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|revision| revision.as_str().as_bytes() == header)
    }

    /// The answer to an `initialize` that asks for `requested`: the same revision where the handshake
    /// knows it, else the latest one of the handshake.
    ///
    /// A request for the stateless revision without its `_meta` gets the handshake's latest too: the
    /// client opened with a handshake.
    ///
    /// ```
    /// use mcpool::protocol::Revision;
    /// assert_eq!(Revision::negotiate("2025-03-26"), Revision::V2025_03_26);
    /// assert_eq!(Revision::negotiate("1999-01-01"), Revision::LATEST_HANDSHAKE);
    /// assert_eq!(Revision::negotiate("2026-07-28"), Revision::LATEST_HANDSHAKE);
    /// ```
    pub fn negotiate(requested: &str) -> Self {
        Self::parse(requested).filter(|revision| !revision.is_modern()).unwrap_or(Self::LATEST_HANDSHAKE)
    }

    /// Whether requests of this revision stand alone, without a handshake.
    pub const fn is_modern(self) -> bool {
        matches!(self, Self::V2026_07_28)
    }

    /// Whether a line may be an array of messages.
    pub const fn allows_batches(self) -> bool {
        matches!(self, Self::V2025_03_26)
    }

    /// Whether tasks are part of it, and no extension.
    pub const fn has_tasks(self) -> bool {
        matches!(self, Self::V2025_11_25)
    }

    /// Whether the schema of an error answer demands an `id`; JSON-RPC then says `null` where none
    /// could be read.
    pub const fn error_requires_id(self) -> bool {
        matches!(self, Self::V2024_11_05 | Self::V2025_03_26 | Self::V2025_06_18)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
