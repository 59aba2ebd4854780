//! A way to tell subscribers of changes that no request makes.

use crate::server::shared::Shared;
use std::sync::Weak;

/// Tells the clients of a server, which it does not keep alive.
#[derive(Debug, Clone)]
pub(crate) struct ChangeNotifier(Weak<Shared>);

impl ChangeNotifier {
    pub(crate) fn new(shared: Weak<Shared>) -> Self {
        Self(shared)
    }

    /// Notifies the clients that subscribed to the resource `uri`: its contents changed.
    pub(crate) fn resource_updated(&self, uri: &str) {
        if let Some(shared) = self.0.upgrade() {
            shared.changes.updated(uri);
        }
    }
}
