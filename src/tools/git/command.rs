//! One command of git, with what all of them have in common.
//!
//! Of the caller's environment there is only what names the user; there is no terminal, no network, and no program that a
//! repository names.
//!
//! Arguments go to git as they are, without a shell. What a client gives never stands where git expects an option.

use super::error::GitFailure;
use super::repository::Repository;
use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What git may take from the environment of this process: who the user is and where its settings are.
const KEPT: [&str; 16] = [
    "HOME",
    "USER",
    "LOGNAME",
    "XDG_CONFIG_HOME",
    "TMPDIR",
    "TZ",
    "EMAIL",
    "GIT_AUTHOR_NAME",
    "GIT_AUTHOR_EMAIL",
    "GIT_AUTHOR_DATE",
    "GIT_COMMITTER_NAME",
    "GIT_COMMITTER_EMAIL",
    "GIT_COMMITTER_DATE",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
];

/// What git gets instead of the rest.
const SET: [(&str, &str); 9] = [
    // Answers in English, as the reference has them; names of files are bytes in either case.
    ("LC_ALL", "C"),
    ("LANGUAGE", "C"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_PAGER", "cat"),
    ("GIT_EDITOR", ":"),
    ("GIT_SEQUENCE_EDITOR", ":"),
    // An empty list: no protocol is allowed, whatever the configuration says.
    ("GIT_ALLOW_PROTOCOL", ""),
    ("GIT_PROTOCOL_FROM_USER", "0"),
    // Objects that are not here are not fetched.
    ("GIT_NO_LAZY_FETCH", "1"),
];

/// Settings of every command: they are stronger than those of the repository. They keep answers plain, and housekeeping
/// from going on after the answer.
const PLAIN: [&str; 17] = [
    "color.ui=false",
    "color.status=false",
    "color.diff=false",
    "color.branch=false",
    "column.ui=never",
    "column.branch=never",
    "column.status=never",
    "core.pager=cat",
    "log.showSignature=false",
    "i18n.commitEncoding=UTF-8",
    "i18n.logOutputEncoding=UTF-8",
    "status.submoduleSummary=false",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.allow=never",
    "credential.helper=",
];

/// Settings without which a repository could name a program: hooks, a watcher of files, and what else has one name.
/// Those with names of their own are looked for in [`super::programs`].
const NO_PROGRAMS: [&str; 16] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.sshCommand=false",
    "core.gitProxy=false",
    "core.askPass=false",
    "core.editor=:",
    "core.alternateRefsCommand=false",
    "sequence.editor=:",
    "diff.external=",
    "commit.gpgSign=false",
    "gpg.program=false",
    // A list of branches that is sorted by their signatures looks at these.
    "gpg.openpgp.program=false",
    "gpg.x509.program=false",
    "gpg.ssh.program=false",
    "gpg.ssh.defaultKeyCommand=",
    "interactive.diffFilter=cat",
];

/// Whether a command changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Reads,
    Writes,
}

/// Whether git may run the programs that a repository names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Programs {
    #[default]
    Refused,
    Allowed,
}

/// A command of git, before it runs.
#[derive(Debug)]
pub(crate) struct GitCommand {
    arguments: Vec<OsString>,
    access: Access,
    /// As an error shows it; what the reference would have run.
    shown: Option<String>,
    /// Git looks for the repository itself.
    finds_repository: bool,
    /// What the command reads.
    pub(crate) input: Vec<u8>,
}

impl GitCommand {
    pub(crate) fn new(access: Access, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(OsString::from).collect();
        Self { arguments, access, shown: None, finds_repository: false, input: Vec::new() }
    }

    pub(crate) fn reads(arguments: &[&str]) -> Self {
        Self::new(Access::Reads, arguments)
    }

    pub(crate) fn writes(arguments: &[&str]) -> Self {
        Self::new(Access::Writes, arguments)
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    pub(crate) fn input(mut self, input: Vec<u8>) -> Self {
        self.input = input;
        self
    }

    pub(crate) fn access(&self) -> Access {
        self.access
    }

    /// Has git look for the repository, as it does for its owner: it refuses those of other users then.
    pub(crate) fn find_repository(mut self) -> Self {
        self.finds_repository = true;
        self
    }

    /// Sets how an error shows the command.
    pub(crate) fn shown_as(mut self, shown: String) -> Self {
        self.shown = Some(shown);
        self
    }

    pub(crate) fn shown(&self) -> String {
        let of_arguments = || {
            let arguments: Vec<_> =
                self.arguments.iter().map(|argument| argument.to_string_lossy()).collect();
            format!("git {}", arguments.join(" "))
        };
        self.shown.clone().unwrap_or_else(of_arguments)
    }

    /// The command as a process that can be started: in the repository, as the leader of a group of processes.
    ///
    /// # Errors
    /// When there is no git.
    pub(crate) fn process(&self, at: &Repository, programs: Programs) -> Result<Command, GitFailure> {
        let path = env::var_os("PATH").unwrap_or_default();
        let mut command = Command::new(find_git(&path).ok_or(GitFailure::NoProgram)?);
        command.env_clear().current_dir(&at.top).process_group(0);
        command.env("PATH", env::join_paths(absolute_entries(&path)).unwrap_or_default());
        command.envs(KEPT.iter().filter_map(|name| env::var_os(name).map(|value| (name, value))));
        command.envs(SET);
        // The repository is the one that was checked, and none above it.
        command.env("GIT_CEILING_DIRECTORIES", at.top.parent().unwrap_or(Path::new("/")));
        if at.has_work_tree {
            command.env("GIT_WORK_TREE", &at.top);
        } else {
            command.env("GIT_IMPLICIT_WORK_TREE", "0");
        }
        if !self.finds_repository {
            command.env("GIT_DIR", &at.git_dir);
            if at.common_dir != at.git_dir {
                command.env("GIT_COMMON_DIR", &at.common_dir);
            }
        }
        if self.access == Access::Reads {
            command.env("GIT_OPTIONAL_LOCKS", "0");
        }
        command.arg("--no-pager");
        let settings = PLAIN.iter().chain(NO_PROGRAMS.iter().filter(|_| programs == Programs::Refused));
        for setting in settings {
            command.args(["-c", setting]);
        }
        command.args(&self.arguments);
        let stdin = if self.input.is_empty() { Stdio::null() } else { Stdio::piped() };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }
}

/// A command of git about the machine and the user, which looks at no repository.
///
/// # Errors
/// When there is no git.
pub(crate) fn without_repository(arguments: &[impl AsRef<OsStr>]) -> Result<Command, GitFailure> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut command = Command::new(find_git(&path).ok_or(GitFailure::NoProgram)?);
    command.env_clear().current_dir("/").process_group(0).args(arguments);
    command.env("LC_ALL", "C").env("GIT_DIR", "/dev/null");
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

/// The program, by its absolute path: a name alone would be looked for from the directory of the repository if `PATH`
/// has a relative entry.
fn find_git(path: &OsStr) -> Option<PathBuf> {
    absolute_entries(path).map(|directory| directory.join("git")).find(|program| program.is_file())
}

pub(crate) fn absolute_entries(path: &OsStr) -> impl Iterator<Item = PathBuf> {
    env::split_paths(path).filter(|entry| entry.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn repository(has_work_tree: bool) -> Repository {
        let (git_dir, common_dir) = ("/repo/.git".into(), "/repo/.git".into());
        Repository { top: "/repo".into(), has_work_tree, git_dir, common_dir }
    }

    fn environment(command: &Command) -> BTreeMap<String, String> {
        let text = |text: &OsStr| text.to_string_lossy().into_owned();
        command.get_envs().filter_map(|(name, value)| Some((text(name), text(value?)))).collect()
    }

    #[test]
    fn a_command_has_a_clean_environment() {
        if find_git(&env::var_os("PATH").unwrap_or_default()).is_none() {
            eprintln!("skipped: there is no git");
            return;
        }
        let command =
            GitCommand::reads(&["status"]).process(&repository(true), Programs::Refused).expect("git");
        let set = environment(&command);
        assert_eq!((&*set["GIT_WORK_TREE"], &*set["GIT_OPTIONAL_LOCKS"]), ("/repo", "0"));
        assert_eq!((&*set["GIT_CEILING_DIRECTORIES"], &*set["GIT_ALLOW_PROTOCOL"]), ("/", ""));
        for name in set.keys() {
            let is_known = KEPT.contains(&&**name) || SET.iter().any(|(set, _)| set == name);
            let own = ["PATH", "GIT_DIR", "GIT_WORK_TREE", "GIT_OPTIONAL_LOCKS", "GIT_CEILING_DIRECTORIES"];
            assert!(is_known || own.contains(&&**name), "{name}");
        }
        assert!(Path::new(command.get_program()).is_absolute());
        let arguments: Vec<_> = command.get_args().collect();
        assert!(arguments.contains(&OsStr::new("core.hooksPath=/dev/null")));
        assert_eq!(arguments.last(), Some(&OsStr::new("status")));
        let allowed = GitCommand::writes(&["x"]).process(&repository(false), Programs::Allowed).expect("git");
        assert!(!allowed.get_args().any(|argument| argument == "core.hooksPath=/dev/null"));
        let set = environment(&allowed);
        assert_eq!((&*set["GIT_DIR"], &*set["GIT_IMPLICIT_WORK_TREE"]), ("/repo/.git", "0"));
        assert!(!set.contains_key("GIT_COMMON_DIR"));
        assert!(!set.contains_key("GIT_WORK_TREE") && !set.contains_key("GIT_OPTIONAL_LOCKS"));
    }

    #[test]
    fn git_is_not_looked_for_in_relative_directories() {
        let entries: Vec<_> = absolute_entries(OsStr::new(":.:bin:/usr/bin:/bin")).collect();
        assert_eq!(entries, [Path::new("/usr/bin"), Path::new("/bin")]);
        assert_eq!(find_git(OsStr::new(".:relative:")), None);
    }
}
