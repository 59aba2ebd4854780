//! What is remembered of a request until its span is made: only where spans are exported.

use crate::protocol::{Method, Revision};
use crate::traces::ParentSpan;

/// A request whose span is made when it ends.
#[derive(Debug)]
pub(crate) struct TracedRequest {
    pub(crate) parent: Option<ParentSpan>,
    /// None where the server does not know it.
    pub(crate) method: Option<Method>,
    /// The name of the tool or prompt, or the URI of the resource, that the client asks for.
    pub(crate) target: Option<Box<str>>,
    pub(crate) revision: Option<Revision>,
    /// The number of its session.
    pub(crate) session: Option<u64>,
    /// `pipe`, `tcp` or `unix`.
    pub(crate) transport: &'static str,
}

impl TracedRequest {
    /// Its heap, with its own place: 2.5 KiB at most, as names and the caller's state are bounded.
    pub(crate) fn heap_bytes(&self) -> usize {
        let parent = self.parent.as_ref().map_or(0, ParentSpan::heap_bytes);
        size_of::<Self>() + self.target.as_ref().map_or(0, |target| target.len()) + parent
    }
}
