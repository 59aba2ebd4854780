//! What a server says at its start of who can do what with it, and what is most likely not meant so.

use super::config::Settings;
use super::serving::Serving;
use super::toolsets::Enabled;
use crate::protocol::ToolDefinition;
use crate::server::Server;
use crate::tools::filesystem::ClientRoots;
use crate::transport::{Listener, LocalAddress};
use rustix::fs::Access;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What a server is reached by, and what it gives.
#[derive(Debug, Default)]
struct Exposure<'a> {
    /// Addresses of a network, and whether they are encrypted.
    addresses: Vec<(SocketAddr, bool)>,
    has_tokens: bool,
    /// Tools that may change something.
    writing: Vec<&'a str>,
    /// Whether a toolset works in directories.
    takes_directories: bool,
    roots: Roots,
    directories: usize,
}

/// Whether clients may bring directories of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Roots {
    /// They may only narrow those of the server, if at all.
    #[default]
    Refused,
    /// Whoever started the server may, although nobody asked for it.
    Possible,
    /// They are asked to.
    Wanted,
}

impl Roots {
    fn of(settings: &Settings, serves_one: bool) -> Self {
        match settings.client_roots {
            Some(ClientRoots::Replace) => Self::Wanted,
            None if serves_one => Self::Possible,
            _ => Self::Refused,
        }
    }
}

/// Logs what is served to whom, and warns of what is most likely not meant so.
pub(super) fn announce(
    server: &Server,
    settings: &Settings,
    dirs: &[PathBuf],
    listeners: &[Listener],
) -> Serving {
    let addresses = listeners.iter().filter_map(|listener| match listener.local_addr() {
        LocalAddress::Tcp { address, is_tls } => Some((*address, *is_tls)),
        _ => None,
    });
    let tools = server.tool_definitions();
    let exposure = Exposure {
        addresses: addresses.collect(),
        has_tokens: settings.token_file.is_some() || settings.oauth_issuer.is_some(),
        writing: tools.iter().filter(|tool| !tool.is_read_only()).map(ToolDefinition::name).collect(),
        takes_directories: Enabled::parse(&settings.tools).is_ok_and(Enabled::takes_directories),
        roots: Roots::of(settings, listeners.is_empty()),
        directories: dirs.len(),
    };
    let enabled = Enabled::parse(&settings.tools);
    let serving = Serving {
        toolsets: enabled.iter().flat_map(|enabled| enabled.names()).map(str::to_owned).collect(),
        directories: dirs.iter().map(|dir| whole(dir)).collect(),
        addresses: listeners.iter().map(|listener| shown(listener.local_addr())).collect(),
        clients: exposure.clients(settings),
    };
    tracing::info!(
        tools = tools.len(),
        changing_tools = exposure.writing.len(),
        toolsets = serving.toolsets.join(","),
        ?dirs,
        clients = serving.clients,
        "serving"
    );
    for warning in exposure.warnings().into_iter().chain(unreadable(dirs)) {
        tracing::warn!("{warning}");
    }
    serving
}

impl Exposure<'_> {
    /// Who may call.
    fn clients(&self, settings: &Settings) -> String {
        let is_far = |(address, _): &(SocketAddr, bool)| !address.ip().is_loopback();
        match (&settings.token_file, &settings.oauth_issuer) {
            (Some(file), _) => format!("who shows a token of {}", file.display()),
            (None, Some(issuer)) => format!("who shows an access token of {issuer}"),
            (None, None) if self.addresses.iter().any(is_far) => "whoever reaches the addresses".to_owned(),
            (None, None) if self.addresses.is_empty() => "this user".to_owned(),
            (None, None) => "this machine".to_owned(),
        }
    }

    /// What is most likely not meant so, and what to do.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (address, is_tls) in self.addresses.iter().filter(|(address, _)| !address.ip().is_loopback()) {
            if !self.has_tokens && !self.writing.is_empty() {
                warnings.push(format!(
                    "whoever reaches {address} may use {} tools that change something ({}): --read-only takes these \
                     away, --token-file FILE keeps out who shows no token",
                    self.writing.len(),
                    some(&self.writing)
                ));
            }
            if self.has_tokens && !is_tls {
                warnings.push(format!(
                    "tokens come unencrypted to {address}, and who is on the way can read and use them: give \
                     --tls-cert and --tls-key, or listen on 127.0.0.1 behind a proxy that encrypts"
                ));
            }
        }
        if self.takes_directories && self.directories == 0 && self.roots != Roots::Wanted {
            let until = if self.roots == Roots::Possible { " until the client names its roots" } else { "" };
            warnings.push(format!(
                "no directory is served, and every path is refused{until}: name one, as in `mcpool serve DIR`, or set \
                 `directories` in the file"
            ));
        }
        warnings
    }
}

/// Where clients find a server.
pub(super) fn shown(address: &LocalAddress) -> String {
    match address {
        LocalAddress::Tcp { .. } => format!("{address}/mcp"),
        _ => address.to_string(),
    }
}

/// A directory by its whole path; one below the home of the user as it was named.
fn whole(dir: &Path) -> String {
    let absolute = (!dir.starts_with("~")).then(|| std::path::absolute(dir).ok()).flatten();
    absolute.as_deref().unwrap_or(dir).display().to_string()
}

/// The first few names of a list.
fn some(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN { format!("{shown}, ...") } else { shown }
}

/// A warning for each directory in which this user sees nothing.
fn unreadable(dirs: &[PathBuf]) -> Vec<String> {
    let can_list = |dir: &Path| rustix::fs::access(dir, Access::READ_OK | Access::EXEC_OK).is_ok();
    let warning = |dir: &PathBuf| {
        format!(
            "the directory {} cannot be read by this user: give the right (chmod u+rx), or serve as its owner",
            dir.display()
        )
    };
    dirs.iter().filter(|dir| dir.is_dir() && !can_list(dir)).map(warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposure(addresses: &[(&str, bool)], has_tokens: bool, writing: &[&'static str]) -> Exposure<'static> {
        let address = |(text, is_tls): &(&str, bool)| (text.parse().expect("an address"), *is_tls);
        Exposure {
            addresses: addresses.iter().map(address).collect(),
            has_tokens,
            writing: writing.to_vec(),
            takes_directories: true,
            roots: Roots::Refused,
            directories: 1,
        }
    }

    #[test]
    fn what_is_most_likely_not_meant_so_is_said_with_a_remedy() {
        let (near, far) = (("127.0.0.1:80", false), ("0.0.0.0:80", false));
        let writing = ["write_file", "edit_file", "move_file", "create_directory"];
        for (exposure, want) in [
            (exposure(&[near], false, &writing), None),
            (exposure(&[far], false, &[]), None),
            (
                exposure(&[near, far], false, &writing),
                Some("4 tools that change something (write_file, edit_file, move_file, ...): --read-only"),
            ),
            (exposure(&[near, far], true, &writing), Some("tokens come unencrypted to 0.0.0.0:80")),
            (exposure(&[("[::]:80", true)], true, &writing), None),
            (exposure(&[near], true, &writing), None),
            (Exposure { directories: 0, ..exposure(&[], false, &writing) }, Some("no directory is served")),
            (
                Exposure { directories: 0, roots: Roots::Possible, ..exposure(&[], false, &writing) },
                Some("refused until the client names its roots: name one, as in `mcpool serve DIR`"),
            ),
            (Exposure { directories: 0, roots: Roots::Wanted, ..exposure(&[], false, &writing) }, None),
            (Exposure { directories: 0, takes_directories: false, ..exposure(&[], false, &writing) }, None),
        ] {
            let warnings = exposure.warnings();
            match want {
                None => assert_eq!(warnings, [""; 0], "{exposure:?}"),
                Some(want) => assert!(warnings.len() == 1 && warnings[0].contains(want), "{warnings:?}"),
            }
        }
    }
}
