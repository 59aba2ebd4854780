//! Where the files of clients are on this machine, and which clients there are.
//!
//! The environment is given, so that each platform's files can be told on any other.

use super::known::{Base, Client, Location};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A kind of machine, which decides where clients have their files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Platform {
    /// Linux, and what is like it.
    Linux,
    /// macOS.
    MacOs,
    /// Windows.
    Windows,
}

/// Whom a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// One user, in all projects.
    User,
    /// Everybody who opens this project.
    Project,
}

impl Scope {
    /// As people name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Project => "project",
        }
    }
}

/// What the places of files depend on.
pub(super) struct Environment {
    platform: Platform,
    variable: fn(&str) -> Option<OsString>,
    /// The folder of the project.
    directory: PathBuf,
}

/// Why a file of a client is nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::cli) enum NoFile {
    /// A variable is missing.
    #[error("{variable} is not set, so the files of {client} cannot be found")]
    Variable {
        /// Its name.
        variable: &'static str,
        /// The client.
        client: &'static str,
    },
    /// The client has no files of projects.
    #[error("{client} has no file for a project: leave --scope out")]
    Project {
        /// The client.
        client: &'static str,
    },
}

impl Environment {
    /// That of this process.
    ///
    /// # Errors
    /// When the working directory is gone.
    pub(super) fn of_process() -> std::io::Result<Self> {
        let platform = match std::env::consts::OS {
            "macos" => Platform::MacOs,
            "windows" => Platform::Windows,
            _ => Platform::Linux,
        };
        let variable = |name: &str| std::env::var_os(name);
        Ok(Self { platform, variable, directory: std::env::current_dir()? })
    }

    /// The folder of the project: the working directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A variable that is set and not empty.
    pub(super) fn variable(&self, name: &str) -> Option<PathBuf> {
        (self.variable)(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    /// The home of the user.
    pub(super) fn home(&self) -> Option<PathBuf> {
        self.variable(self.home_variable())
    }

    fn home_variable(&self) -> &'static str {
        if self.platform == Platform::Windows { "USERPROFILE" } else { "HOME" }
    }

    fn base(&self, base: Base) -> Result<PathBuf, &'static str> {
        let home = || self.home().ok_or(self.home_variable());
        match base {
            Base::Home => home(),
            // The specification has relative paths ignored.
            Base::Config => match self.variable("XDG_CONFIG_HOME").filter(|path| path.is_absolute()) {
                Some(path) => Ok(path),
                None => Ok(home()?.join(".config")),
            },
            Base::Support => Ok(home()?.join("Library/Application Support")),
            Base::AppData => self.variable("APPDATA").ok_or("APPDATA"),
        }
    }

    /// The files that a client may read: the first that is there counts, and the first one if none is.
    pub(super) fn files(&self, client: &Client, scope: Scope) -> Result<Vec<PathBuf>, NoFile> {
        let file = match scope {
            Scope::Project => {
                let path = client.project.ok_or(NoFile::Project { client: client.title })?;
                self.directory.join(path)
            }
            Scope::User => self.user_file(client)?,
        };
        let other = client.other_ending.map(|ending| file.with_extension(ending));
        Ok([file].into_iter().chain(other).collect())
    }

    fn user_file(&self, client: &Client) -> Result<PathBuf, NoFile> {
        if let Some((variable, name)) = client.user.moved_by
            && let Some(folder) = self.variable(variable)
        {
            return Ok(folder.join(name));
        }
        let Location { base, path } = match self.platform {
            Platform::Linux => client.user.linux,
            Platform::MacOs => client.user.macos,
            Platform::Windows => client.user.windows,
        };
        let folder =
            self.base(base).map_err(|variable| NoFile::Variable { variable, client: client.title })?;
        Ok(folder.join(path))
    }

    /// The file that counts, whether it is there or not.
    pub(super) fn file(&self, client: &Client, scope: Scope) -> Result<PathBuf, NoFile> {
        let mut files = self.files(client, scope)?;
        let found = files.iter().position(|file| file.symlink_metadata().is_ok());
        Ok(files.swap_remove(found.unwrap_or_default()))
    }

    /// Whether a client seems to be installed: its file, the folder of its file, or its program is there.
    pub(super) fn is_installed(&self, client: &Client) -> bool {
        let Ok(file) = self.file(client, Scope::User) else { return false };
        let folder = file.parent().filter(|folder| Some(*folder) != self.home().as_deref());
        file.exists() || folder.is_some_and(Path::is_dir) || self.in_path(client.program).is_some()
    }

    /// The absolute path of a program that the `PATH` leads to.
    pub(super) fn in_path(&self, program: &str) -> Option<PathBuf> {
        let path = (self.variable)("PATH")?;
        let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
        folders.map(|folder| folder.join(program)).find(|file| is_program(file))
    }

    /// A path as people write it: with `~` for their home.
    pub(super) fn shown(&self, path: &Path) -> String {
        let below = self.home().and_then(|home| path.strip_prefix(home).ok().map(Path::to_owned));
        match below {
            Some(below) if below.as_os_str().is_empty() => "~".to_owned(),
            Some(below) => format!("~/{}", below.display()),
            None => path.display().to_string(),
        }
    }
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::super::known::CLIENTS;
    use super::*;

    fn environment(platform: Platform, variable: fn(&str) -> Option<OsString>) -> Environment {
        Environment { platform, variable, directory: "/project".into() }
    }

    fn usual(name: &str) -> Option<OsString> {
        let value = match name {
            "HOME" | "USERPROFILE" => "/me",
            "APPDATA" => "/me/roaming",
            _ => return None,
        };
        Some(value.into())
    }

    fn moved(name: &str) -> Option<OsString> {
        let value = match name {
            "HOME" => "/me",
            "XDG_CONFIG_HOME" => "/config",
            "CLAUDE_CONFIG_DIR" => "/claude",
            "CODEX_HOME" => "/codex",
            _ => return None,
        };
        Some(value.into())
    }

    #[test]
    fn each_client_has_its_files_on_each_platform() {
        let linux = environment(Platform::Linux, usual);
        let macos = environment(Platform::MacOs, usual);
        let windows = environment(Platform::Windows, usual);
        let elsewhere = environment(Platform::Linux, moved);
        let support = "/me/Library/Application Support";
        for (name, want) in [
            ("claude-code", ["/me/.claude.json"; 3].map(str::to_owned)),
            (
                "claude-desktop",
                [
                    "/me/.config/Claude/claude_desktop_config.json".to_owned(),
                    format!("{support}/Claude/claude_desktop_config.json"),
                    "/me/roaming/Claude/claude_desktop_config.json".to_owned(),
                ],
            ),
            ("cursor", ["/me/.cursor/mcp.json"; 3].map(str::to_owned)),
            (
                "vscode",
                [
                    "/me/.config/Code/User/mcp.json".to_owned(),
                    format!("{support}/Code/User/mcp.json"),
                    "/me/roaming/Code/User/mcp.json".to_owned(),
                ],
            ),
            ("codex", ["/me/.codex/config.toml"; 3].map(str::to_owned)),
            ("gemini", ["/me/.gemini/settings.json"; 3].map(str::to_owned)),
            ("windsurf", ["/me/.codeium/windsurf/mcp_config.json"; 3].map(str::to_owned)),
            (
                "zed",
                [
                    "/me/.config/zed/settings.json",
                    "/me/.config/zed/settings.json",
                    "/me/roaming/Zed/settings.json",
                ]
                .map(str::to_owned),
            ),
            ("opencode", ["/me/.config/opencode/opencode.json"; 3].map(str::to_owned)),
        ] {
            let client = CLIENTS.iter().find(|client| client.name == name).expect(name);
            let found = [&linux, &macos, &windows].map(|environment| environment.user_file(client));
            let found = found.map(|path| path.expect("a file").display().to_string());
            assert_eq!(found, want, "{name}");
        }
        let moved = |name: &str| {
            let client = CLIENTS.iter().find(|client| client.name == name).expect(name);
            elsewhere.user_file(client).expect("a file").display().to_string()
        };
        assert_eq!(moved("claude-code"), "/claude/.claude.json");
        assert_eq!(moved("codex"), "/codex/config.toml");
        assert_eq!(moved("zed"), "/config/zed/settings.json");
        assert_eq!(elsewhere.shown(Path::new("/me/a")), "~/a");
        assert_eq!(elsewhere.shown(Path::new("/mean/a")), "/mean/a");
    }

    #[test]
    fn what_cannot_be_found_is_told() {
        let nothing = environment(Platform::Linux, |_| None);
        let [code, desktop, ..] = &CLIENTS;
        let told = |client: &Client, scope| nothing.file(client, scope).expect_err("no file").to_string();
        assert_eq!(told(code, Scope::User), "HOME is not set, so the files of Claude Code cannot be found");
        assert_eq!(
            told(desktop, Scope::Project),
            "Claude Desktop has no file for a project: leave --scope out"
        );
        assert_eq!(nothing.file(code, Scope::Project), Ok("/project/.mcp.json".into()));
    }
}
