//! A task that ends with what holds it.

use tokio::task::AbortHandle;

/// A task that runs for as long as this lives.
#[derive(Debug)]
pub(super) struct Running(AbortHandle);

impl Running {
    pub(super) fn start(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work).abort_handle())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}
