//! What a tool works with: its repository, and the ways to run git in it.

use super::child::{self, Deadline, Ended, Observer};
use super::command::{Access, GitCommand, Programs};
use super::error::{FailedCommand, GitFailure};
use super::repository::Repository;
use super::sandbox::{Changes, Reach, Sandbox};
use super::text::{Text, WithoutLastLineEnd};
use crate::server::{CallContext, RequestContext};
use std::ffi::OsStr;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

/// Bytes of output that are held at once; what is longer is written into the answer as it comes.
pub(crate) const MAX_HELD_BYTES: usize = 256 * 1024;

/// What the operator set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) max_answer_bytes: usize,
    pub(crate) programs: Programs,
}

/// One call, in one repository.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) repository: Repository,
    /// Who commits, where the settings do not say it.
    pub(crate) identity: Vec<(&'static str, String)>,
    bounds: Bounds,
    deadline: Deadline,
    reach: Option<Reach>,
    sandbox: Sandbox,
}

/// An object of the repository.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) id: String,
    /// `commit`, `tree`, `blob` or `tag`.
    pub(crate) kind: String,
}

/// The output of a command that ran to its end: its first [`MAX_HELD_BYTES`].
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    status: ExitStatus,
    is_sandboxed: bool,
}

impl Output {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The first line.
    pub(crate) fn line(&self) -> String {
        let line = self.stdout.split(|byte| *byte == b'\n').next().unwrap_or_default();
        String::from_utf8_lossy(line).into_owned()
    }

    /// Fails if the command failed.
    ///
    /// # Errors
    /// [`GitFailure::Command`].
    pub(crate) fn checked(self, command: &GitCommand) -> Result<Self, GitFailure> {
        if self.status.success() {
            Ok(self)
        } else {
            Err(failed(command, self.status, &self.stdout, &self.stderr, self.is_sandboxed))
        }
    }
}

impl Context {
    /// A call that changes nothing yet. With a `reach`, git may open no more.
    ///
    /// # Errors
    /// When the kernel refuses the sandbox.
    pub(crate) fn new(
        repository: Repository,
        bounds: Bounds,
        deadline: Deadline,
        reach: Option<Reach>,
    ) -> Result<Self, GitFailure> {
        let (identity, sandbox) = (Vec::new(), Sandbox::none());
        let mut context = Self { repository, identity, bounds, deadline, reach, sandbox };
        context.allow(Changes::Nothing)?;
        Ok(context)
    }

    /// Sets what git may change from now on.
    ///
    /// # Errors
    /// When a part of the repository was moved, or the kernel refuses.
    pub(crate) fn allow(&mut self, changes: Changes) -> Result<(), GitFailure> {
        if let Some(reach) = &self.reach {
            self.sandbox = Sandbox::new(&self.repository, reach, changes)?;
        }
        Ok(())
    }

    /// Refuses an index with names that lead out of the work tree, where no sandbox keeps git from following them.
    ///
    /// # Errors
    /// [`GitFailure::IndexLeadsOutside`], or when git cannot be run.
    pub(crate) fn check_index(&self, request: &mut RequestContext) -> Result<(), GitFailure> {
        if self.sandbox.is_enforced() || !self.repository.has_work_tree {
            return Ok(());
        }
        let mut names = IndexNames::default();
        self.stream(&GitCommand::reads(&["ls-files", "-z"]), request, &mut |piece| names.push(piece))?;
        if names.leads_outside {
            return Err(GitFailure::IndexLeadsOutside { repository: self.repository.top.clone() });
        }
        Ok(())
    }

    /// Has git find the repository: it may read what is there in another way than the check did, and it knows whose
    /// repositories are not to be trusted. All other commands are told which one it is.
    ///
    /// # Errors
    /// When git refuses the repository, or finds another one.
    pub(crate) fn check_repository(&self, request: &RequestContext) -> Result<(), GitFailure> {
        let command = GitCommand::reads(&["rev-parse", "--absolute-git-dir"]).find_repository();
        let output = self.run(&command, request)?.checked(&command)?;
        let Repository { top, git_dir, .. } = &self.repository;
        let found = output.stdout.strip_suffix(b"\n").unwrap_or(&output.stdout);
        // One directory may have names that differ, where letters of either case are the same.
        let id = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
        let is_same =
            || id(Path::new(OsStr::from_bytes(found))).is_some_and(|found| id(git_dir) == Some(found));
        if found == git_dir.as_os_str().as_bytes() || is_same() {
            return Ok(());
        }
        let found = String::from_utf8_lossy(found).into_owned();
        Err(GitFailure::NotWhatGitFinds { repository: top.clone(), found })
    }

    /// What git may open at most; `None` where that is not held.
    pub(crate) fn reach(&self) -> Option<&Reach> {
        self.reach.as_ref()
    }

    pub(crate) fn programs(&self) -> Programs {
        self.bounds.programs
    }

    /// Runs a command of whose output the beginning is of interest. That it failed is in the output.
    ///
    /// # Errors
    /// When it cannot be run to its end.
    pub(crate) fn run(&self, command: &GitCommand, request: &RequestContext) -> Result<Output, GitFailure> {
        let mut stdout = Vec::new();
        let mut take = |piece: &[u8]| {
            let room = MAX_HELD_BYTES - stdout.len();
            stdout.extend_from_slice(&piece[..piece.len().min(room)]);
            // What does not fit is read and dropped: a command that is stopped here would leave its work half done.
            ControlFlow::Continue(())
        };
        let mut observer = Silent { request };
        let ended = self.child(command, &mut observer, &mut take)?;
        let status = ended.status.ok_or(GitFailure::Stopped)?;
        Ok(Output { stdout, stderr: ended.stderr, status, is_sandboxed: self.sandbox.is_enforced() })
    }

    /// Runs a command and gives its output to `take` as it comes; reports progress meanwhile.
    ///
    /// # Errors
    /// When it cannot be run to its end, or fails.
    pub(crate) fn stream(
        &self,
        command: &GitCommand,
        request: &mut RequestContext,
        take: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), GitFailure> {
        let ended = self.child(command, &mut Reporting { request }, take)?;
        match ended.status {
            Some(status) if !status.success() => {
                Err(failed(command, status, b"", &ended.stderr, self.sandbox.is_enforced()))
            }
            _ => Ok(()),
        }
    }

    fn child(
        &self,
        command: &GitCommand,
        observer: &mut dyn Observer,
        take: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<Ended, GitFailure> {
        let mut process = command.process(&self.repository, self.bounds.programs)?;
        if command.access() == Access::Writes {
            process.envs(self.identity.iter().map(|(name, value)| (name, value)));
        }
        child::run(&mut self.sandbox.around(&mut process), &command.input, self.deadline, observer, take)
    }

    /// Writes the answer of a call as one text, which ends where it is too long.
    ///
    /// # Errors
    /// Those of `write`.
    pub(crate) fn write(
        &self,
        call: &mut CallContext,
        write: impl FnOnce(&mut Text<'_, '_>, &mut RequestContext) -> Result<(), GitFailure>,
    ) -> Result<(), GitFailure> {
        let (max_bytes, max_reply_bytes) = (self.bounds.max_answer_bytes, call.limits().max_reply_bytes);
        call.text_beside_request(|block, request| {
            let mut text = Text::new(block, max_bytes, max_reply_bytes);
            write(&mut text, request)?;
            text.close();
            Ok(())
        })
    }

    /// Answers with a line and the output of a command.
    ///
    /// # Errors
    /// When the command fails.
    pub(crate) fn answer(
        &self,
        call: &mut CallContext,
        title: &str,
        command: &GitCommand,
    ) -> Result<(), GitFailure> {
        self.write(call, |text, request| {
            let mut output = WithoutLastLineEnd::default();
            if text.push_str(title).is_break() {
                return Ok(());
            }
            self.stream(command, request, &mut |piece| output.push(piece, text))
        })
    }

    /// The object that a revision names, if it names one.
    ///
    /// # Errors
    /// When git cannot be run.
    pub(crate) fn object(
        &self,
        revision: &str,
        request: &RequestContext,
    ) -> Result<Option<Object>, GitFailure> {
        // Each line is a revision of its own.
        if revision.is_empty() || revision.contains(['\n', '\0']) {
            return Ok(None);
        }
        let command = GitCommand::reads(&["cat-file", "--batch-check=%(objectname) %(objecttype)"])
            .input(format!("{revision}\n").into_bytes());
        let output = self.run(&command, request)?;
        // It ends instead of saying that this is missing.
        if String::from_utf8_lossy(&output.stderr).contains("is outside repository") {
            return Ok(None);
        }
        let line = output.checked(&command)?.line();
        let (id, kind) = line.rsplit_once(' ').unwrap_or_default();
        let is_found = matches!(kind, "commit" | "tree" | "blob" | "tag") && is_id(id);
        Ok(is_found.then(|| Object { id: id.to_owned(), kind: kind.to_owned() }))
    }

    /// The object that a client's revision names.
    ///
    /// # Errors
    /// [`GitFailure::UnknownRevision`], or when git cannot be run.
    pub(crate) fn known_object(
        &self,
        revision: &str,
        request: &RequestContext,
    ) -> Result<Object, GitFailure> {
        let found = self.object(revision, request)?;
        found.ok_or_else(|| GitFailure::UnknownRevision(revision.to_owned()))
    }

    /// The branch that `HEAD` is on, also one without commits; `None` where it is detached.
    ///
    /// # Errors
    /// When git cannot be run.
    pub(crate) fn head_branch(&self, request: &RequestContext) -> Result<Option<String>, GitFailure> {
        let command = GitCommand::reads(&["symbolic-ref", "--quiet", "HEAD"]);
        let output = self.run(&command, request)?;
        if output.code() == Some(1) {
            return Ok(None);
        }
        let name = output.checked(&command)?.line();
        Ok(Some(name.strip_prefix("refs/heads/").unwrap_or(&name).to_owned()))
    }
}

/// Looks at the names of an index as git lists them, each ended by a NUL.
#[derive(Debug, Default)]
struct IndexNames {
    /// The beginning of a name whose end has not come.
    name: Vec<u8>,
    leads_outside: bool,
}

impl IndexNames {
    fn push(&mut self, piece: &[u8]) -> ControlFlow<()> {
        let mut parts = piece.split(|byte| *byte == 0);
        // What stands behind the last NUL is the beginning of a name.
        let last = parts.next_back().unwrap_or_default();
        for part in parts {
            self.name.extend_from_slice(part);
            self.leads_outside |= leads_outside(&self.name);
            self.name.clear();
        }
        self.name.extend_from_slice(last);
        // A name has no bound of its own; a system would open none that is so long.
        self.leads_outside |= self.name.len() > MAX_HELD_BYTES;
        if self.leads_outside { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn leads_outside(name: &[u8]) -> bool {
    name.starts_with(b"/") || name.split(|byte| *byte == b'/').any(|part| part == b"..")
}

fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cold]
fn failed(
    command: &GitCommand,
    status: ExitStatus,
    stdout: &[u8],
    stderr: &[u8],
    is_sandboxed: bool,
) -> GitFailure {
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(bytes.strip_suffix(b"\n").unwrap_or(bytes)).into_owned();
    let code = status.code().unwrap_or_else(|| -status.signal().unwrap_or_default());
    GitFailure::Command(Box::new(FailedCommand {
        shown: command.shown(),
        status: format!("exit code({code})"),
        stdout: text(&stdout[..stdout.len().min(4_096)]),
        stderr: text(stderr),
        is_sandboxed,
    }))
}

/// Stops a run for a client that is gone.
struct Silent<'r> {
    request: &'r RequestContext,
}

impl Observer for Silent<'_> {
    fn observe(&mut self, _bytes: u64) -> Result<(), GitFailure> {
        check(self.request)
    }
}

/// Stops a run for a client that is gone, and reports progress to one that is there.
struct Reporting<'r> {
    request: &'r mut RequestContext,
}

impl Observer for Reporting<'_> {
    fn observe(&mut self, bytes: u64) -> Result<(), GitFailure> {
        check(self.request)?;
        if bytes > 0 && self.request.wants_progress() {
            self.request.progress(bytes as f64, None, Some(&format!("{bytes} bytes from git")));
        }
        Ok(())
    }
}

/// Fails once nobody waits for the answer.
///
/// # Errors
/// [`GitFailure::Cancelled`].
pub(crate) fn check(request: &RequestContext) -> Result<(), GitFailure> {
    if request.is_cancelled() { Err(GitFailure::Cancelled) } else { Ok(()) }
}
