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
