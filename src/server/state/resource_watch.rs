//! What looks for changes of a resource as long as somebody is subscribed to it.

use std::fmt;

/// Looks for changes of one resource until it is dropped: [`Resources::watch`](crate::resources::Resources::watch) makes it, and the
/// server keeps it as long as somebody is subscribed to the resource.
///
/// ```
/// use mcpool::resources::ResourceWatch;
///
/// struct Timer;
///
/// impl Drop for Timer {
///     fn drop(&mut self) {
///         // Nobody is subscribed any more.
///     }
/// }
///
/// let watch = ResourceWatch::new(Timer);
/// ```
pub struct ResourceWatch(Box<dyn Send + Sync>);

impl ResourceWatch {
    /// Keeps `looking`, and drops it when the last subscriber has left. That must not block.
    pub fn new(looking: impl Send + Sync + 'static) -> Self {
        Self(Box::new(looking))
    }
}

impl fmt::Debug for ResourceWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceWatch").field("bytes", &size_of_val(&*self.0)).finish()
    }
}
