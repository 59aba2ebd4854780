//! Builds the server that the settings ask for, to serve with it or to plan with it.

use super::config::Settings;
use super::error::CliError;
use crate::limits::Limits;
use crate::server::Server;
use crate::tools::filesystem::Filesystem;
use std::path::PathBuf;

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
