//! Where the tools may differ from the reference server: where that does harm, and where it costs bytes.

use std::fmt;

/// What the tools do where the reference server does harm, or what users do not expect: it edits another place than was
/// meant, rewrites all line ends, and finds files only at the top.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compat {
    /// They do no harm, and may take arguments that the reference does not know.
    #[default]
    Default,
    /// They do the same as the reference server.
    Reference,
}

/// How often an answer carries its text or data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Copies {
    /// In `content`.
    Once,
    /// In `structuredContent` too, as the reference has it.
    #[default]
    Twice,
}

impl Copies {
    pub(crate) fn count(self) -> usize {
        match self {
            Self::Once => 1,
            Self::Twice => 2,
        }
    }
}

impl fmt::Display for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Once => "once",
            Self::Twice => "twice",
        })
    }
}
