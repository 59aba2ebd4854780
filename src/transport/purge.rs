//! Has the allocator return free pages to the system, when a connection or the server is quiet.

use crate::server::Server;

/// Purges the allocator that the program registered, on a thread that may block: a purge takes as long as the system
/// takes for the pages.
///
/// Where none is registered, the thread alone helps some allocators: mimalloc returns free memory when a thread ends,
/// which tokio's idle blocking threads do after ten seconds.
///
/// Call it a while after large buffers were freed: an allocator keeps freed pages for a while, in case they are
/// needed again, and returns those that are due.
pub(super) fn purge_allocator(server: &Server) {
    let memory = server.memory().clone();
    drop(tokio::task::spawn_blocking(move || memory.purge_allocator()));
}
