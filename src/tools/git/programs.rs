//! Programs that a repository's own configuration names under names of its own: filters of files, drivers of merges.
//!
//! Git runs a filter when it looks at a work tree: for a status and a diff too. What has one name is set to nothing for
//! each command (see `command.rs`). A filter cannot be: without it, git would take the files for changed, or
//! store what the filter is there to keep out. So such a repository is refused. Filters of the user's own
//! configuration, such as Git LFS, run as they do for the user, as long as the repository does not tell them what
//! to start.

use super::command::{GitCommand, Programs};
use super::context::{Context, MAX_HELD_BYTES};
use super::error::GitFailure;
use super::repository::Repository;
use crate::server::RequestContext;
use std::env;

/// The names of all settings that are in force for a repository.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Pairs of a scope and a name, each ended by a NUL.
    list: Vec<u8>,
}

impl Settings {
    /// Reads the names of the settings.
    ///
    /// # Errors
    /// When git fails, or there are too many.
    pub(crate) fn of(context: &Context, request: &RequestContext) -> Result<Self, GitFailure> {
        let command =
            GitCommand::reads(&["config", "--list", "--includes", "--show-scope", "--name-only", "-z"]);
        let list = context.run(&command, request)?.checked(&command)?.stdout;
        if list.len() >= MAX_HELD_BYTES {
            let repository = context.repository.top.clone();
            return Err(GitFailure::TooMany { repository, what: "settings" });
        }
        Ok(Self { list })
    }

    #[cfg(test)]
    pub(crate) fn from_list(list: Vec<u8>) -> Self {
        Self { list }
    }

    /// Bytes of the names.
    pub(crate) fn bytes(&self) -> usize {
        self.list.len()
    }

    /// Whether the repository's own settings come from further files.
    pub(crate) fn include_others(&self) -> bool {
        self.pairs().any(|(scope, name)| is_own(scope) && name.starts_with(b"include"))
    }

    /// Refuses a repository that names programs, unless they are allowed.
    ///
    /// # Errors
    /// [`GitFailure::NamesProgram`].
    pub(crate) fn check(&self, programs: Programs) -> Result<(), GitFailure> {
        if programs == Programs::Allowed {
            return Ok(());
        }
        let has_filters = self.has_filters();
        let found = self.pairs().find(|(scope, name)| {
            is_own(scope)
                && (is_filter(name)
                    || is_driver(name)
                    || is_hook(name)
                    || is_signer(name)
                    || has_filters && is_for_filters(name))
        });
        match found {
            Some((_, name)) => {
                Err(GitFailure::NamesProgram { key: String::from_utf8_lossy(name).into_owned() })
            }
            None => Ok(()),
        }
    }

    /// Refuses a repository without a work tree that names one: it could lie anywhere. Elsewhere git is told which one
    /// it is, whatever is set.
    ///
    /// # Errors
    /// [`GitFailure::NamesWorkTree`].
    pub(crate) fn check_work_tree(&self, context: &Context) -> Result<(), GitFailure> {
        let Repository { has_work_tree, top, .. } = &context.repository;
        let is_named = self.pairs().any(|(scope, name)| is_own(scope) && name == b"core.worktree");
        if is_named && !has_work_tree {
            return Err(GitFailure::NamesWorkTree { repository: top.clone() });
        }
        Ok(())
    }

    /// Who commits where neither configuration nor environment say it: the user and the machine, as in the reference.
    pub(crate) fn identity(&self) -> Vec<(&'static str, String)> {
        let has = |name: &str| self.pairs().any(|(_, found)| found == name.as_bytes());
        if has("user.useconfigonly") {
            return Vec::new();
        }
        let mut environment = Vec::new();
        let mut set = |variable: &'static str, names: [&str; 2], value: String| {
            if !names.iter().any(|name| has(name)) && env::var_os(variable).is_none() {
                environment.push((variable, value));
            }
        };
        let user = user();
        set("GIT_AUTHOR_NAME", ["user.name", "author.name"], user.clone());
        set("GIT_COMMITTER_NAME", ["user.name", "committer.name"], user.clone());
        if env::var_os("EMAIL").is_none() {
            let email = format!("{user}@{}", machine());
            set("GIT_AUTHOR_EMAIL", ["user.email", "author.email"], email.clone());
            set("GIT_COMMITTER_EMAIL", ["user.email", "committer.email"], email);
        }
        environment
    }

    /// Whether there are filters of the user, which may keep files of their own in a repository.
    pub(crate) fn has_filters(&self) -> bool {
        self.pairs().any(|(scope, name)| !is_own(scope) && is_filter(name))
    }

    /// The settings, as scope and name.
    fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut parts = self.list.split(|byte| *byte == 0);
        std::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
    }
}

/// Whether a setting is the repository's own, and not the user's or the machine's.
fn is_own(scope: &[u8]) -> bool {
    matches!(scope, b"local" | b"worktree")
}

fn is_filter(name: &[u8]) -> bool {
    name.starts_with(b"filter.")
        && [&b".clean"[..], b".smudge", b".process"].iter().any(|end| name.ends_with(end))
}

fn is_driver(name: &[u8]) -> bool {
    name.starts_with(b"merge.") && name.ends_with(b".driver")
}

/// Hooks with names of their own, which git knows since 2.54.
fn is_hook(name: &[u8]) -> bool {
    name.starts_with(b"hook.") && [&b".command"[..], b".event"].iter().any(|end| name.ends_with(end))
}

/// What makes or checks signatures of a kind that `command.rs` does not set to nothing.
fn is_signer(name: &[u8]) -> bool {
    let is_known = matches!(
        name,
        b"gpg.program"
            | b"gpg.openpgp.program"
            | b"gpg.x509.program"
            | b"gpg.ssh.program"
            | b"gpg.ssh.defaultkeycommand"
    );
    name.starts_with(b"gpg.") && (name.ends_with(b"program") || name.ends_with(b"command")) && !is_known
}

/// What a filter of the user, Git LFS above all, would start because the repository says so.
fn is_for_filters(name: &[u8]) -> bool {
    let begins = |begin: &[u8]| name.starts_with(begin);
    begins(b"lfs.customtransfer.")
        || begins(b"lfs.extension.")
        || begins(b"lfs.") && name.ends_with(b"transferagent")
        || begins(b"credential.") && name.ends_with(b"helper")
        || matches!(name, b"core.sshcommand" | b"core.askpass" | b"core.gitproxy")
}

fn user() -> String {
    let named = ["LOGNAME", "USER", "LNAME", "USERNAME"].iter().find_map(|name| env::var(name).ok());
    named.filter(|name| !name.is_empty()).or_else(user_of_the_system).unwrap_or_else(|| "unknown".to_owned())
}

/// The name of this process's user in the list of the system.
fn user_of_the_system() -> Option<String> {
    let id = rustix::process::getuid().as_raw().to_string();
    let list = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = list.lines().find(|line| line.split(':').nth(2) == Some(&*id))?;
    line.split(':').next().map(str::to_owned)
}

fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(pairs: &[(&str, &str)]) -> Option<String> {
        let list = pairs.iter().flat_map(|(scope, name)| format!("{scope}\0{name}\0").into_bytes()).collect();
        let settings = Settings { list };
        assert!(settings.check(Programs::Allowed).is_ok());
        settings.check(Programs::Refused).err().map(|error| match error {
            GitFailure::NamesProgram { key } => key,
            other => panic!("{other}"),
        })
    }

    #[test]
    fn programs_of_a_repository_are_refused_and_those_of_the_user_are_not() {
        let lfs =
            [("global", "filter.lfs.clean"), ("system", "filter.lfs.process"), ("global", "merge.x.driver")];
        assert_eq!(refused(&lfs), None);
        assert_eq!(
            refused(&[
                ("local", "core.bare"),
                ("local", "filter.x.required"),
                ("local", "gpg.ssh.program"),
                ("command", "filter.x.clean")
            ]),
            None
        );
        for key in [
            "filter.x.clean",
            "filter.x.y.smudge",
            "filter..process",
            "merge.x.driver",
            "hook.x.command",
            "hook.x.event",
            "gpg.new.program",
            "gpg.new.keycommand",
        ] {
            for scope in ["local", "worktree"] {
                assert_eq!(refused(&[("global", "a.b"), (scope, key)]).as_deref(), Some(key), "{scope}");
            }
        }
        // Only a filter would start these.
        let keys = [
            "lfs.customtransfer.x.path",
            "lfs.extension.x.clean",
            "lfs.https://h/.standalonetransferagent",
            "credential.https://h.helper",
            "credential.helper",
            "core.sshcommand",
        ];
        for key in keys {
            assert_eq!(refused(&[("local", key)]), None, "{key}");
            assert_eq!(refused(&[lfs[0], ("local", key)]).as_deref(), Some(key));
        }
        assert_eq!(
            refused(&[
                lfs[0],
                ("local", "lfs.repositoryformatversion"),
                ("local", "lfs.https://h/.locksverify")
            ]),
            None
        );
    }

    #[test]
    fn who_is_known_is_not_replaced() {
        let names = |keys: &[&str]| {
            let list = keys.iter().flat_map(|name| format!("global\0{name}\0").into_bytes()).collect();
            let mut set: Vec<_> = Settings { list }.identity().into_iter().map(|(name, _)| name).collect();
            set.retain(|name| env::var_os(name).is_none());
            set
        };
        assert!(names(&["user.name", "user.email"]).is_empty());
        assert!(names(&["user.useconfigonly"]).is_empty());
        let none = names(&[]);
        assert!(none.iter().all(|name| name.starts_with("GIT_")), "{none:?}");
        assert!(!user().is_empty() && !machine().is_empty());
    }
}
