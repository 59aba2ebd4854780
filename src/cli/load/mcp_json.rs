//! Finds a server by its name in a client's own configuration, as `mcp.json` or `claude_desktop_config.json`.

use crate::cli::error::CliError;
use crate::cli::named_file::{MAX_FILE_BYTES, read_text};
use crate::cli::nearest::did_you_mean;
use crate::client::ServerCommand;
use crate::load::LoadTarget;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Deserialize)]
struct Configuration {
    /// Claude and most others say `mcpServers`, VS Code says `servers`.
    #[serde(alias = "mcpServers")]
    servers: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    command: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// The server of that name. Of its headers only a token is sent, and only the one of `--token-file`.
pub(super) fn target(path: &Path, name: &str, has_token: bool) -> Result<LoadTarget, CliError> {
    let fault = |why: String| CliError::Usage(format!("{}: {why}", path.display()));
    let text = read_text(path, MAX_FILE_BYTES).map_err(|error| fault(error.to_string()))?;
    let mut configuration: Configuration =
        serde_json::from_str(&text).map_err(|error| fault(error.to_string()))?;
    let Some(entry) = configuration.servers.remove(name) else {
        let hint = did_you_mean(name, configuration.servers.keys().map(String::as_str));
        return Err(fault(format!("there is no server {name:?}{hint}")));
    };
    match entry {
        Entry { command: Some(command), args, env, .. } if env.is_empty() => {
            let arguments = args.into_iter().map(Into::into).collect();
            Ok(LoadTarget::Command(ServerCommand { program: command.into(), arguments }))
        }
        // `env` sets variables and then becomes the program.
        Entry { command: Some(command), args, env, .. } => {
            let variables = env.iter().map(|(name, value)| format!("{name}={value}"));
            let arguments = variables.chain([command]).chain(args).map(Into::into).collect();
            Ok(LoadTarget::Command(ServerCommand { program: "env".into(), arguments }))
        }
        Entry { url: Some(_), headers, .. }
            if headers.keys().any(|header| !has_token || !header.eq_ignore_ascii_case("authorization")) =>
        {
            let headers: Vec<_> = headers.into_keys().collect();
            Err(fault(format!(
                "the server {name:?} is sent headers ({}), which load does not send: give its bearer token with \
                 --token-file, and leave out the others",
                headers.join(", ")
            )))
        }
        Entry { url: Some(url), .. } => LoadTarget::parse(&url).map_err(|error| fault(error.to_string())),
        Entry { .. } => Err(fault(format!("the server {name:?} has neither a command nor a URL"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_found_by_name_however_they_are_started() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mcp.json");
        let text = r#"{"mcpServers": {
            "files": {"command": "mcpool", "args": ["serve", "/a b"]},
            "keyed": {"command": "npx", "args": ["x"], "env": {"KEY": "1"}},
            "web": {"type": "http", "url": "http://localhost:1/mcp"}, "none": {},
            "token": {"url": "http://localhost:1/mcp", "headers": {"Authorization": "Bearer x"}}}}"#;
        std::fs::write(&path, text).expect("written");
        let shown = |name: &str| target(&path, name, false).map(|target| target.to_string());
        assert_eq!(shown("files").expect("found"), "mcpool serve /a b");
        assert_eq!(shown("keyed").expect("found"), "env KEY=... npx x");
        assert_eq!(shown("web").expect("found"), "http://localhost:1/mcp");
        assert!(target(&path, "token", true).is_ok());
        for (name, want) in [
            ("token", "--token-file"),
            ("fils", "no server \"fils\""),
            ("none", "neither a command nor a URL"),
        ] {
            let error = shown(name).expect_err(name).to_string();
            assert!(error.contains(want), "{error}");
        }
    }
}
