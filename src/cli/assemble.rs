//! Builds the server that the settings ask for, to serve with it or to plan with it.

use super::config::Settings;
use super::error::CliError;
use crate::limits::Limits;
use crate::server::Server;
use crate::tools::filesystem::Filesystem;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Threads for connections by default. Never a single one: a request that blocks its thread would block all others, and
/// the health checks.
const DEFAULT_WORKERS: RangeInclusive<usize> = 2..=4;

/// Blocking threads besides those of calls: for name lookups and terminals. Calls never hold more than
/// `max_blocking_threads`, so that one of these is always free soon.
const RUNTIME_THREADS: usize = 1;

/// The main thread, and the one that waits for signals.
const OTHER_THREADS: usize = 2;

/// The server of those directories; what is unusual about them is logged.
pub(super) fn server(dirs: &[PathBuf], settings: &Settings, limits: Limits) -> Result<Server, CliError> {
    let (filesystem, warnings) = Filesystem::new(dirs, settings.read_only)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let filesystem = match settings.client_roots {
        Some(policy) => filesystem.client_roots(policy),
        None => filesystem,
    };
    let filesystem = filesystem.compat(settings.compat.unwrap_or_default()).text_once(settings.text_once);
    let server = Server::builder("mcpool", env!("CARGO_PKG_VERSION"));
    let server = server.limits(limits).toolset(filesystem);
    // By default the server shows clients no more than the reference does; with an admin socket it also shows its
    // memory.
    let is_watched = settings.admin.as_deref().is_some_and(|target| target != "none");
    let server = if is_watched { server.memory_resource() } else { server };
    Ok(server.build()?)
}

/// Threads that serve connections.
pub(super) fn worker_threads(limits: &Limits) -> usize {
    match limits.worker_threads {
        0 => {
            let processors = std::thread::available_parallelism().map_or(1, usize::from);
            processors.clamp(*DEFAULT_WORKERS.start(), *DEFAULT_WORKERS.end())
        }
        set => set,
    }
}

/// Threads for work that blocks.
pub(super) fn blocking_threads(limits: &Limits) -> usize {
    limits.max_blocking_threads + RUNTIME_THREADS
}

/// All threads that a server of sockets has at most.
pub(super) fn all_threads(limits: &Limits) -> usize {
    worker_threads(limits) + blocking_threads(limits) + OTHER_THREADS
}
