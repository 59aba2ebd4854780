//! A server together with its tools.

use crate::server::Shared;
use std::sync::Arc;

/// A server together with its tools: the part whose type depends on them.
pub(crate) struct Core<T> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) toolset: T,
}
