//! Finds a server by its name in a client's own configuration, as `mcp.json` or `claude_desktop_config.json`.

use crate::cli::clients::servers;
use crate::cli::error::CliError;
use crate::cli::named_file::{MAX_FILE_BYTES, read_text};
use crate::cli::nearest::did_you_mean;
use crate::client::ServerCommand;
use crate::load::LoadTarget;
use std::path::Path;

/// The server of that name. Of its headers only a token is sent, and only the one of `--token-file`.
pub(super) fn target(path: &Path, name: &str, has_token: bool) -> Result<LoadTarget, CliError> {
    let fault = |why: String| CliError::Usage(format!("{}: {why}", path.display()));
    let text = read_text(path, MAX_FILE_BYTES).map_err(|error| fault(error.to_string()))?;
    let found = servers::read_any(path, &text).map_err(fault)?;
    let Some(entry) = found.get(name) else {
        let hint = did_you_mean(name, found.keys().map(String::as_str));
        return Err(fault(format!("there is no server {name:?}{hint}")));
    };
    let entry = servers::read_entry(name, entry).map_err(fault)?;
    if let Some((program, arguments)) = entry.command().split_first() {
        // `env` sets variables and then becomes the program.
        let variables = entry.env.iter().map(|(name, value)| format!("{name}={value}"));
        let starts = if entry.env.is_empty() { None } else { Some("env".to_owned()) };
        let words = starts.into_iter().chain(variables).chain([(*program).to_owned()]);
        let mut words = words.chain(arguments.iter().map(ToString::to_string));
        let program = words.next().unwrap_or_default().into();
        return Ok(LoadTarget::Command(ServerCommand {
            program,
            arguments: words.map(Into::into).collect(),
        }));
    }
    let Some(url) = entry.url else {
        return Err(fault(format!("the server {name:?} has neither a command nor a URL")));
    };
    if entry.headers.keys().any(|header| !has_token || !header.eq_ignore_ascii_case("authorization")) {
        let headers: Vec<_> = entry.headers.into_keys().collect();
        return Err(fault(format!(
            "the server {name:?} is sent headers ({}), which load does not send: give its bearer token with \
             --token-file, and leave out the others",
            headers.join(", ")
        )));
    }
    LoadTarget::parse(&url).map_err(|error| fault(error.to_string()))
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
