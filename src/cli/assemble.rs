//! Builds the server that the settings ask for, to serve with it or to plan with it.

use super::choice::Choice;
use super::config::Settings;
use super::error::CliError;
use super::toolsets::{Enabled, ToolsetName};
use crate::limits::Limits;
use crate::protocol::ToolDefinition;
use crate::server::{Server, ServerBuilder, Toolset};
use crate::tools::everything::{Demo, Everything, INSTRUCTIONS};
use crate::tools::fetch::{Fetch, FetchError};
use crate::tools::filesystem::{Compat, Filesystem};
use crate::tools::git::Git;
use crate::tools::memory::KnowledgeGraph;
use crate::tools::thinking::Thinking;
use crate::tools::time::Time;
use std::path::PathBuf;

/// The server of those toolsets and directories; what is unusual about them is logged.
pub(super) fn server(dirs: &[PathBuf], settings: &Settings, limits: Limits) -> Result<Server, CliError> {
    let mut choice = Choice::new(settings)?;
    let server = builder(dirs, settings, &mut choice)?.limits(limits);
    choice.finish()?;
    // By default the server shows clients no more than the reference does; with an admin socket it also shows its
    // memory.
    let is_watched = settings.admin.as_deref().is_some_and(|target| target != "none");
    let server = if is_watched { server.memory_resource() } else { server };
    Ok(server.build()?)
}

/// The tools that such a server offers, by toolset.
pub(super) fn listed(
    dirs: &[PathBuf],
    settings: &Settings,
) -> Result<Vec<(&'static str, Vec<ToolDefinition>)>, CliError> {
    let mut choice = Choice::new(settings)?.listing();
    builder(dirs, settings, &mut choice)?;
    Ok(choice.finish()?)
}

/// One step for each toolset, in the order in which `tools/list` shows them. One that is not enabled is `None`.
fn builder(
    dirs: &[PathBuf],
    settings: &Settings,
    choice: &mut Choice<'_>,
) -> Result<ServerBuilder<impl Toolset + use<>>, CliError> {
    let enabled = Enabled::parse(&settings.tools)?;
    enabled.check_directories(dirs)?;
    let server = Server::builder("mcpool", env!("CARGO_PKG_VERSION"));

    let filesystem = enabled.then(ToolsetName::Filesystem, || filesystem(dirs, settings)).transpose()?;
    let files = filesystem.as_ref().filter(|_| lists_files(settings)).map(Filesystem::resources);
    let filesystem = choice.apply(ToolsetName::Filesystem, filesystem)?;
    let files = files.filter(|_| filesystem.is_some_left());
    let server = server.toolset(filesystem);
    let server = match files {
        Some(files) => server.resources(files.clone()).completer(files),
        None => server,
    };

    let git = enabled.then(ToolsetName::Git, || git(dirs, settings)).transpose()?;
    let server = server.toolset(choice.apply(ToolsetName::Git, git)?);

    let fetch = enabled.then(ToolsetName::Fetch, || fetch(settings)).transpose()?;
    let prompts = fetch.as_ref().map(Fetch::prompts);
    let fetch = choice.apply(ToolsetName::Fetch, fetch)?;
    let prompts = prompts.filter(|_| fetch.is_some_left());
    let server = server.toolset(fetch);
    let server = match prompts {
        Some(prompts) => server.prompts(prompts),
        None => server,
    };

    let graph = enabled.then(ToolsetName::Memory, || graph(settings)).transpose()?;
    let memory = choice.apply(ToolsetName::Memory, graph.clone())?;
    let graph = graph.filter(|_| memory.is_some_left());
    let server = server.toolset(memory);
    let server = match graph {
        Some(graph) => server.resources(graph),
        None => server,
    };

    let zone = settings.local_timezone.as_deref();
    let time = enabled.then(ToolsetName::Time, || Time::new(zone)).transpose()?;
    let server = server.toolset(choice.apply(ToolsetName::Time, time)?);

    let logs = !settings.disable_thought_logging;
    let thinking = enabled.then(ToolsetName::Thinking, || Thinking::new().log_thoughts(logs));
    let server = server.toolset(choice.apply(ToolsetName::Thinking, thinking)?);

    let everything = enabled.then(ToolsetName::Everything, || everything(settings)).transpose()?;
    let everything = choice.apply(ToolsetName::Everything, everything)?;
    let is_offered = everything.is_some_left();
    let server = server.toolset(everything);
    Ok(if is_offered {
        server.resources(Demo).prompts(Demo).completer(Demo).tasks().instructions(INSTRUCTIONS)
    } else {
        server
    })
}

/// Whether files are resources. Those of the reference are none.
fn lists_files(settings: &Settings) -> bool {
    settings.file_resources && settings.compat != Some(Compat::Reference)
}

fn filesystem(dirs: &[PathBuf], settings: &Settings) -> Result<Filesystem, CliError> {
    let (filesystem, warnings) = Filesystem::new(dirs, settings.read_only)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let filesystem = match settings.client_roots {
        Some(policy) => filesystem.client_roots(policy),
        None => filesystem,
    };
    Ok(filesystem.compat(settings.compat.unwrap_or_default()).text_once(settings.text_once))
}

fn git(dirs: &[PathBuf], settings: &Settings) -> Result<Git, CliError> {
    let git = match (&settings.repository, settings.client_roots) {
        (Some(repository), _) => Git::of_repository(repository, settings.read_only)?,
        (None, Some(policy)) => Git::new(dirs, settings.read_only).client_roots(policy),
        (None, None) => Git::new(dirs, settings.read_only),
    };
    let git = git.allow_programs(settings.allow_git_programs);
    if !git.is_sandboxed() && !settings.allow_git_programs {
        tracing::warn!(
            "this kernel has no Landlock: git is kept in the allowed directories by checks before it runs, and by nothing \
             while it runs"
        );
    }
    Ok(git)
}

fn fetch(settings: &Settings) -> Result<Fetch, FetchError> {
    let fetch = Fetch::new()
        .ignore_robots_txt(settings.ignore_robots_txt)
        .allow_private_ips(settings.allow_private_ips);
    let fetch = match &settings.user_agent {
        Some(agent) => fetch.user_agent(agent)?,
        None => fetch,
    };
    match &settings.proxy_url {
        Some(url) => fetch.proxy_url(url),
        None => Ok(fetch.proxies_from_environment()),
    }
}

fn everything(settings: &Settings) -> Result<Everything, FetchError> {
    fetch(settings).map(Everything::new)
}

fn graph(settings: &Settings) -> Result<KnowledgeGraph, CliError> {
    let named = settings.memory_file_path.as_ref().map(KnowledgeGraph::new);
    named.or_else(KnowledgeGraph::in_data_directory).ok_or_else(|| {
        CliError::Usage(
            "memory_file_path: this user has no home for the knowledge graph: name its file".to_owned(),
        )
    })
}
