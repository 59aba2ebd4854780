//! Whether the tools do exactly what the reference server does, also where that does harm.

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
