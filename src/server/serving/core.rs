//! A server together with its handlers: the part whose type depends on the tools.

use crate::server::answer::catalog::{Catalog, CatalogError};
use crate::server::handler::families::Families;
use crate::server::handler::tool::Toolset;
use crate::server::shared::{Relist, Shared};
use std::sync::Arc;

/// A server together with its handlers.
pub(crate) struct Core<T> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) toolset: T,
    /// The handlers of everything that is no tool.
    pub(crate) families: Families,
}

impl<T: Toolset> Relist for Core<T> {
    fn catalog(&self) -> Result<Catalog, CatalogError> {
        self.families.catalog(&self.shared.description, &self.shared.limits)
    }
}
