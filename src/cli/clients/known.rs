//! The clients that can be set up: which file has their servers, under which key, in which form.
//!
//! Knows nothing of what is on this machine; that is `locate.rs`. The address above each line is the documentation of the
//! client that the line was written from, read in November 2026.

use super::entry::Shape;
use super::servers::Format;
use crate::cli::nearest::did_you_mean;

/// A folder that the files of clients are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    /// The home of the user.
    Home,
    /// `$XDG_CONFIG_HOME`, or `.config` in the home.
    Config,
    /// `Library/Application Support` in the home of macOS.
    Support,
    /// `%APPDATA%` of Windows.
    AppData,
}

/// A file in such a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) base: Base,
    pub(super) path: &'static str,
}

/// The file of a user on each platform.
#[derive(Debug, Clone, Copy)]
pub(super) struct UserFile {
    pub(super) linux: Location,
    pub(super) macos: Location,
    pub(super) windows: Location,
    /// A variable that names another folder, and the file in that.
    pub(super) moved_by: Option<(&'static str, &'static str)>,
}

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    /// Its name on the command line.
    pub(super) name: &'static str,
    /// Its name in messages.
    pub(super) title: &'static str,
    /// The program that shows that it is installed, where it is in the `PATH`.
    pub(super) program: &'static str,
    pub(super) format: Format,
    /// The key of the table of servers.
    pub(super) key: &'static str,
    pub(super) shape: Shape,
    pub(super) user: UserFile,
    /// The file of a project, from its folder.
    pub(super) project: Option<&'static str>,
    /// Another ending that the files may have.
    pub(super) other_ending: Option<&'static str>,
    /// Whether it tells servers which folders are open in it, so that none need be named.
    pub(super) gives_roots: bool,
    /// What begins a variable, which it puts a value in the place of.
    pub(super) variables: &'static [&'static str],
    /// What is left to do afterwards.
    pub(super) then: &'static str,
}

const fn everywhere(base: Base, path: &'static str) -> UserFile {
    let location = Location { base, path };
    UserFile { linux: location, macos: location, windows: location, moved_by: None }
}

/// In the folder in which programs of that platform have their settings.
const fn native(path: &'static str) -> UserFile {
    UserFile {
        linux: Location { base: Base::Config, path },
        macos: Location { base: Base::Support, path },
        windows: Location { base: Base::AppData, path },
        moved_by: None,
    }
}

const fn moved_by(file: UserFile, variable: &'static str, name: &'static str) -> UserFile {
    UserFile { moved_by: Some((variable, name)), ..file }
}

/// All clients, in the order in which lists show them.
pub(super) static CLIENTS: [Client; 9] = [
    // https://code.claude.com/docs/en/mcp (scopes `user` and `project`; its third one, `local`, is `claude mcp add`'s)
    Client {
        name: "claude-code",
        title: "Claude Code",
        program: "claude",
        format: Format::Json,
        key: "mcpServers",
        shape: Shape::Typed,
        user: moved_by(everywhere(Base::Home, ".claude.json"), "CLAUDE_CONFIG_DIR", ".claude.json"),
        project: Some(".mcp.json"),
        other_ending: None,
        gives_roots: true,
        variables: &["${"],
        then: "Start Claude Code again; /mcp shows whether it is connected.",
    },
    // https://modelcontextprotocol.io/docs/develop/connect-local-servers (it starts commands only)
    Client {
        name: "claude-desktop",
        title: "Claude Desktop",
        program: "claude-desktop",
        format: Format::Json,
        key: "mcpServers",
        shape: Shape::Plain { url: None },
        user: native("Claude/claude_desktop_config.json"),
        project: None,
        other_ending: None,
        gives_roots: false,
        variables: &[],
        then: "Quit Claude Desktop and start it again.",
    },
    // https://cursor.com/docs/mcp
    Client {
        name: "cursor",
        title: "Cursor",
        program: "cursor",
        format: Format::Json,
        key: "mcpServers",
        shape: Shape::Plain { url: Some("url") },
        user: everywhere(Base::Home, ".cursor/mcp.json"),
        project: Some(".cursor/mcp.json"),
        other_ending: None,
        gives_roots: true,
        variables: &["${"],
        then: "Start Cursor again, or turn the server on in its settings under Tools & MCP.",
    },
    // https://code.visualstudio.com/docs/copilot/reference/mcp-configuration
    Client {
        name: "vscode",
        title: "VS Code",
        program: "code",
        format: Format::Json,
        key: "servers",
        shape: Shape::Typed,
        user: native("Code/User/mcp.json"),
        project: Some(".vscode/mcp.json"),
        other_ending: None,
        gives_roots: true,
        variables: &["${"],
        then: "VS Code asks whether it may start the server; `MCP: List Servers` shows it.",
    },
    // https://developers.openai.com/codex/mcp (files of a project count in projects that are trusted)
    Client {
        name: "codex",
        title: "Codex",
        program: "codex",
        format: Format::Toml,
        key: "mcp_servers",
        shape: Shape::Plain { url: Some("url") },
        user: moved_by(everywhere(Base::Home, ".codex/config.toml"), "CODEX_HOME", "config.toml"),
        project: Some(".codex/config.toml"),
        other_ending: None,
        gives_roots: false,
        variables: &[],
        then: "Start Codex again; `codex mcp list` shows it.",
    },
    // https://google-gemini.github.io/gemini-cli/docs/tools/mcp-server.html (`url` would be the older SSE)
    Client {
        name: "gemini",
        title: "Gemini CLI",
        program: "gemini",
        format: Format::Json,
        key: "mcpServers",
        shape: Shape::Plain { url: Some("httpUrl") },
        user: everywhere(Base::Home, ".gemini/settings.json"),
        project: Some(".gemini/settings.json"),
        other_ending: None,
        gives_roots: true,
        variables: &["$"],
        then: "Start Gemini CLI again; /mcp shows whether it is connected.",
    },
    // https://docs.windsurf.com/windsurf/cascade/mcp
    Client {
        name: "windsurf",
        title: "Windsurf",
        program: "windsurf",
        format: Format::Json,
        key: "mcpServers",
        shape: Shape::Plain { url: Some("serverUrl") },
        user: everywhere(Base::Home, ".codeium/windsurf/mcp_config.json"),
        project: None,
        other_ending: None,
        gives_roots: false,
        variables: &["${"],
        then: "Refresh the servers in Cascade's panel, or start Windsurf again.",
    },
    // https://zed.dev/docs/ai/mcp, https://zed.dev/docs/configuring-zed
    Client {
        name: "zed",
        title: "Zed",
        program: "zed",
        format: Format::Json,
        key: "context_servers",
        shape: Shape::Plain { url: Some("url") },
        user: UserFile {
            linux: Location { base: Base::Config, path: "zed/settings.json" },
            macos: Location { base: Base::Home, path: ".config/zed/settings.json" },
            windows: Location { base: Base::AppData, path: "Zed/settings.json" },
            moved_by: None,
        },
        project: Some(".zed/settings.json"),
        other_ending: None,
        gives_roots: false,
        variables: &[],
        then: "Zed starts it at once; the settings of its agent panel show it.",
    },
    // https://opencode.ai/docs/mcp-servers, https://opencode.ai/docs/config
    Client {
        name: "opencode",
        title: "OpenCode",
        program: "opencode",
        format: Format::Json,
        key: "mcp",
        shape: Shape::Listed,
        user: everywhere(Base::Config, "opencode/opencode.json"),
        project: Some("opencode.json"),
        other_ending: Some("jsonc"),
        gives_roots: false,
        variables: &["{env:", "{file:"],
        then: "Start OpenCode again; `opencode mcp list` shows it.",
    },
];

/// The names of all clients.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    CLIENTS.iter().map(|client| client.name)
}

/// The client of that name.
///
/// # Errors
/// What a message says about names that there are.
pub(super) fn client(name: &str) -> Result<&'static Client, String> {
    CLIENTS.iter().find(|client| client.name == name).ok_or_else(|| did_you_mean(name, names()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_found_by_name() {
        assert_eq!(client("zed").expect("known").title, "Zed");
        assert_eq!(client("claude_code").expect_err("misspelt"), "; did you mean \"claude-code\"?");
        assert_eq!(client("emacs").expect_err("unknown"), "");
    }

    #[test]
    fn a_name_and_the_files_are_there_once() {
        for (index, client) in CLIENTS.iter().enumerate() {
            for other in &CLIENTS[..index] {
                assert_ne!(client.name, other.name);
                assert_ne!(client.user.linux, other.user.linux);
                assert!(client.project.is_none() || client.project != other.project, "{}", client.name);
            }
        }
    }
}
