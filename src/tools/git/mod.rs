//! The git tools: a drop-in for `mcp-server-git`.
//!
//! Names, arguments, answers and errors are those of the reference server. What differs, on purpose:
//! - A repository lies in the allowed directories with all that belongs to it: the directory of a worktree or a
//!   submodule, objects that it borrows, and what its links lead to. Without a directory, every call is refused.
//! - Git runs in a sandbox of the kernel, where there is one (Landlock, Linux 5.13 and newer): it reads the allowed
//!   directories, its programs and the settings of the user, and writes to its repository only in tools that change it.
//!   Not with [`Git::allow_programs`]. Where there is none, an index with names that lead out is refused.
//! - The directories that a client offers (its roots) are allowed as in the filesystem tools ([`ClientRoots`]), unless the
//!   tools are those of one repository.
//! - No program runs that a repository names: no hook, filter, external diff, text converter, file watcher, pager,
//!   editor or signer, unless with [`Git::allow_programs`]. A repository whose own configuration defines a filter is
//!   refused, as its files would be taken for changed without it. The user's own filters (Git LFS) run.
//! - Git fetches nothing, and does not look into the work trees of submodules.
//! - Answers are bounded, and say so where something was left out. Bytes that are not UTF-8 become U+FFFD; a diff with
//!   such bytes ends the reference server.
//!
//! Git itself does the work, with one process after the other for a call, each at most as long as the call may take. What it
//! says of a repository before it works is kept for as long as nothing changes that it comes from.
//! The library `gix` 0.90 would do without processes for reading branches and commits, and was measured: with
//! `revision` and `blob-diff` alone it is 117 crates, 94 seconds of processor time to build, and 2.1 MiB of program (a
//! third of ours). It has no diff, status, commit or checkout whose answers are git's to the byte, so that the program
//! would be needed all the same, and a repository would be read in two ways, with two sets of rules.
//!
//! From the top down, each line uses only the lines below it:
//!
//! ```text
//! mod                     the toolset: definitions, and which function a call runs
//! diff log show change branches      the tools
//! patch programs          a patch in the reference's form; which programs a configuration names
//! context                 one call: its repository, and the ways to run git in it
//! known_repositories      what git said of a repository, while it is as it was
//! sandbox                 what the processes of git may open
//! own_files               the programs and settings of the machine and the user
//! child text turns        a process with bounds; a text with bounds; who works in which repository
//! command                 one command of git: its arguments and its environment
//! repository paths        which repository is meant, and where all of it lies
//! arguments error         the vocabulary of all of them
//! ```

mod arguments;
mod branches;
mod change;
mod child;
mod command;
mod context;
mod diff;
mod error;
mod known_repositories;
mod log;
mod own_files;
mod patch;
mod paths;
mod programs;
mod repository;
mod sandbox;
mod show;
mod text;
mod turns;

pub use super::client_roots::ClientRoots;
pub use error::GitError;

use super::client_roots;
use super::table::{self, Entry, tools};
use crate::protocol::ToolDefinition;
use crate::server::{CallContext, Finished, SessionValues, ThreadArguments, ToolError, ToolRequest, Toolset};
use arguments::OfRepository;
use child::Deadline;
use command::Programs;
use context::{Bounds, Context, check};
use error::GitFailure;
use known_repositories::{Answers, KnownRepositories, State};
use own_files::OwnFiles;
use paths::Roots;
use programs::Settings;
use repository::Repository;
use sandbox::{Changes, Reach};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use turns::{Turn, Turns};

/// The answer to `tools/list`, word for word that of the reference server. Each line holds a tool: schemas are sent as
/// they are written here, and a message may not contain a newline.
const DEFINITIONS: &str = include_str!("definitions.json");

/// The git tools over the repositories in some directories. They need the program `git`, 2.30 or newer. The limits
/// `max_git_answer_bytes` and `git_timeout_ms` of the server bound each call.
///
/// ```
/// use mcpool::tools::git::Git;
/// use mcpool::Server;
/// use mcpool::toolsets::Toolset;
///
/// let git = Git::new(&[std::env::current_dir()?], true);
/// assert!(git.definitions().iter().all(|tool| tool.name() != "git_commit"));
/// let server = Server::builder("git", "1.0.0").toolset(git).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Git {
    roots: Arc<Roots>,
    client_roots: Option<ClientRoots>,
    /// The tools that clients see, in order.
    tools: Vec<&'static Entry<Self>>,
    programs: Programs,
    shared: Arc<Shared>,
}

/// What all calls share.
#[derive(Debug, Default)]
struct Shared {
    turns: Turns,
    own_files: OwnFiles,
    known: KnownRepositories,
}

impl Git {
    /// Makes the tools over all repositories in `directories`: absolute, relative to the working directory, or below
    /// `~`. They need not be there yet. `read_only` leaves out all tools that change anything.
    pub fn new(directories: &[PathBuf], read_only: bool) -> Self {
        let absolute = |directory: &PathBuf| paths::absolute(&directory.to_string_lossy());
        Self {
            roots: Arc::new(Roots::new(directories.iter().map(absolute).collect())),
            client_roots: None,
            tools: table::listed(TOOLS, read_only),
            programs: Programs::Refused,
            shared: Arc::default(),
        }
    }

    /// Makes the tools over one repository, and those inside it. `path` may lie anywhere in it. Roots of clients change
    /// nothing then.
    ///
    /// # Errors
    /// When there is no such path, or it is in no repository.
    pub fn of_repository(path: &Path, read_only: bool) -> Result<Self, GitError> {
        let absolute = paths::absolute(&path.to_string_lossy());
        if !absolute.exists() {
            return Err(GitError::missing(path));
        }
        let found = absolute.ancestors().find_map(Repository::at);
        let root = found.ok_or_else(|| GitError::NotARepository(path.to_owned()))?.top;
        Ok(Self::new(&[root], read_only).client_roots(ClientRoots::Ignore))
    }

    /// Sets what the roots of clients do. By default, those of the client that started this process replace the
    /// directories, and those of all other clients narrow them.
    #[must_use]
    pub fn client_roots(mut self, policy: ClientRoots) -> Self {
        self.client_roots = Some(policy);
        self
    }

    /// Whether the kernel holds git to what it may open. Where it does not, only the checks before git runs keep it in the
    /// allowed directories. With [`Self::allow_programs`], nothing is held, as those programs may do what they want.
    pub fn is_sandboxed(&self) -> bool {
        self.programs == Programs::Refused && sandbox::is_available()
    }

    /// The directories of one call: those of its session, if there are any, or else of the server.
    fn roots_of(&self, call: &CallContext) -> Arc<Roots> {
        let of_session = call.session_values().find::<Roots>().filter(|roots| roots.are_usable());
        of_session.unwrap_or_else(|| Arc::clone(&self.roots))
    }

    /// What git may open in a call; `None` if that is not held.
    fn reach(
        &self,
        roots: &Roots,
        deadline: Deadline,
        go_on: repository::GoOn<'_>,
    ) -> Result<Option<Reach>, GitFailure> {
        if !self.is_sandboxed() {
            return Ok(None);
        }
        let own = self.shared.own_files.now(deadline, go_on)?;
        Ok(Some(Reach { roots: roots.resolved(), own }))
    }

    /// A turn with the repository. It is waited for without a thread, and the call begins anew then.
    fn turn(
        &self,
        repository: &Repository,
        changes: bool,
        call: &mut CallContext,
    ) -> Result<Turn, GitFailure> {
        let (turns, directory) = (&self.shared.turns, &*repository.common_dir);
        let given = call.take_given().and_then(|given| given.downcast::<Turn>().ok());
        if let Some(turn) = given.filter(|turn| turn.is_of(directory)) {
            return Ok(*turn);
        }
        if !changes && call.has_room() {
            return Ok(turns.take_beside(directory));
        }
        let most = (call.limits().max_blocking_threads / 2).max(1);
        turns.take(directory, changes, most).map_err(|later| {
            call.begin_again_after(later);
            GitFailure::Waits
        })
    }

    /// Lets git run what a repository names: its hooks, filters, external diffs, text converters and signers. Whoever can
    /// write to a repository can then run programs as the user of this server.
    #[must_use]
    pub fn allow_programs(mut self, are_allowed: bool) -> Self {
        self.programs = if are_allowed { Programs::Allowed } else { Programs::Refused };
        self
    }
}

impl Toolset for Git {
    fn definitions(&self) -> Vec<ToolDefinition> {
        table::definitions(DEFINITIONS, &self.tools)
    }

    fn call<'f>(
        &'f self,
        index: usize,
        request: ToolRequest<'f>,
    ) -> impl Future<Output = Finished> + Send + 'f {
        std::future::ready(table::start(self.tools.get(index).copied(), self, request))
    }

    fn call_on_thread(
        &self,
        index: usize,
        arguments: ThreadArguments<'_>,
        call: &mut CallContext,
    ) -> Result<(), ToolError> {
        table::work(self.tools.get(index).copied(), self, arguments, call)
    }

    fn wants_roots(&self) -> bool {
        self.client_roots != Some(ClientRoots::Ignore)
    }

    /// Keeps what a client offers. What is there, and where it lies, is looked at by each call, on its thread.
    fn take_roots(&self, uris: &[&str], session: &SessionValues) {
        let policy = self.client_roots.unwrap_or_else(|| ClientRoots::by_default(session));
        let paths = client_roots::paths(uris).unwrap_or_default();
        let directories: Vec<PathBuf> = paths.iter().map(|path| paths::lexical(path)).collect();
        let roots = match policy {
            ClientRoots::Ignore => return,
            // As in the reference, such a list counts for nothing.
            _ if directories.is_empty() => return,
            ClientRoots::Replace => Roots::offered(directories),
            ClientRoots::Narrow => self.roots.narrowed(directories),
        };
        let heap_bytes = roots.heap_bytes();
        session.put(Arc::new(roots), heap_bytes);
    }

    fn report_state(&self, enter: &mut dyn FnMut(&'static str, usize)) {
        enter("git tools", self.state_bytes());
    }

    fn state_bytes(&self) -> usize {
        self.roots.heap_bytes()
            + self.tools.capacity() * size_of::<&Entry<Self>>()
            + size_of::<Shared>()
            + self.shared.own_files.heap_bytes()
            + self.shared.known.heap_bytes()
            + self.shared.turns.heap_bytes()
    }
}

/// What a tool does.
#[derive(Debug, Clone, Copy)]
struct Flags {
    changes: bool,
    /// Git passes contents of files through filters for it, or merges.
    converts: bool,
}

/// A tool: its arguments and its function.
trait GitTool {
    type Arguments<'a>: Deserialize<'a> + OfRepository;

    const NAME: &'static str;
    const FLAGS: Flags;

    fn run(
        arguments: &Self::Arguments<'_>,
        context: &Context,
        call: &mut CallContext,
    ) -> Result<(), GitFailure>;
}

/// The line of a tool in the table. What changes nothing may begin again when it lacked memory.
const fn entry<T: GitTool>() -> Entry<Git> {
    let Flags { changes, .. } = T::FLAGS;
    Entry { name: T::NAME, changes, may_repeat: !changes, start: start::<T>, work: work::<T> }
}

fn start<'f, T: GitTool>(_: &'f Git, request: ToolRequest<'f>) -> Finished {
    request.admit_for_thread::<T::Arguments<'f>>()
}

fn work<T: GitTool>(
    git: &Git,
    arguments: ThreadArguments<'_>,
    call: &mut CallContext,
) -> Result<(), ToolError> {
    let arguments = arguments.decode::<T::Arguments<'_>>(call)?;
    run::<T>(git, &arguments, call).map_err(|failure| failure.of_tool(T::NAME))
}

fn run<T: GitTool>(
    git: &Git,
    arguments: &T::Arguments<'_>,
    call: &mut CallContext,
) -> Result<(), GitFailure> {
    let Flags { changes, converts } = T::FLAGS;
    let limits = call.limits();
    let bounds = Bounds { max_answer_bytes: limits.max_git_answer_bytes, programs: git.programs };
    let whole = Duration::from_millis(limits.git_timeout_ms as u64);
    let deadline = Deadline::after(whole);
    let roots = git.roots_of(call);
    let go_on = |call: &CallContext| check(call).and_then(|()| deadline.left().map(drop));
    let repository = Repository::open(arguments.repo_path(), &roots, &|| go_on(call))?;
    let _turn = git.turn(&repository, changes, call)?;
    let reach = git.reach(&roots, deadline, &|| go_on(call))?;
    let mut context = Context::new(repository, bounds, deadline, reach)?;
    // Whatever changes something may start a hook.
    let needs_settings = converts || changes || !context.repository.has_work_tree;
    if let Some(settings) = ask(git, &context, call, needs_settings)? {
        settings.check(git.programs)?;
        settings.check_work_tree(&context)?;
        if changes {
            context.identity = settings.identity();
            context.allow(Changes::All)?;
        } else if settings.has_filters() {
            context.allow(Changes::Repository)?;
        }
    }
    if converts {
        context.check_index(call)?;
    }
    T::run(arguments, &context, call)
}

/// Asks git whether it finds the repository, and for its settings where they are needed, unless that is known.
fn ask(
    git: &Git,
    context: &Context,
    call: &CallContext,
    needs_settings: bool,
) -> Result<Option<Arc<Settings>>, GitFailure> {
    let (known, now) = (&git.shared.known, SystemTime::now());
    let look = || {
        let Reach { roots, own } = context.reach()?;
        State::of(&context.repository, roots, own, now)
    };
    let before = look();
    let found = before.as_ref().and_then(|state| known.find(state));
    let is_found = found.is_some();
    if !is_found {
        context.check_repository(call)?;
    }
    let mut settings = found.and_then(|answers| answers.settings);
    let lacks_settings = needs_settings && settings.is_none();
    if lacks_settings {
        settings = Some(Arc::new(Settings::of(context, call)?));
    }
    if let Some(state) = before.filter(|_| !is_found || lacks_settings)
        && look().as_ref() == Some(&state)
    {
        known.keep(state, Answers { settings: settings.clone() });
    }
    Ok(settings.filter(|_| needs_settings))
}

tools! {
    Git: GitTool(Context) -> GitFailure;
    Status "git_status" (arguments::OnlyRepository<'a>) diff::status, changes: false, converts: true;
    DiffUnstaged "git_diff_unstaged" (arguments::DiffOfIndex<'a>) diff::unstaged, changes: false, converts: true;
    DiffStaged "git_diff_staged" (arguments::DiffOfIndex<'a>) diff::staged, changes: false, converts: true;
    Diff "git_diff" (arguments::Diff<'a>) diff::with_target, changes: false, converts: true;
    Commit "git_commit" (arguments::Commit<'a>) change::commit, changes: true, converts: true;
    Add "git_add" (arguments::Add<'a>) change::add, changes: true, converts: true;
    Reset "git_reset" (arguments::OnlyRepository<'a>) change::reset, changes: true, converts: true;
    Log "git_log" (arguments::Log<'a>) log::log, changes: false, converts: false;
    CreateBranch "git_create_branch" (arguments::CreateBranch<'a>) branches::create, changes: true, converts: false;
    Checkout "git_checkout" (arguments::Checkout<'a>) branches::checkout, changes: true, converts: true;
    Show "git_show" (arguments::Show<'a>) show::show, changes: false, converts: false;
    Branch "git_branch" (arguments::Branch<'a>) branches::list, changes: false, converts: false;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn the_tools_are_those_of_the_reference() {
        let ours: Value = serde_json::from_str(DEFINITIONS).expect("JSON");
        let recorded = include_str!("../../../tests/fixtures/reference/git/tools.json");
        assert_eq!(ours, serde_json::from_str::<Value>(recorded).expect("JSON"));
        let tools = ours.as_array().expect("a list");
        let names: Vec<&str> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
        assert_eq!(names, TOOLS.iter().map(|tool| tool.name).collect::<Vec<_>>());
        assert_eq!(DEFINITIONS.trim().lines().count(), TOOLS.len() + 2, "a definition on more than one line");
        for (tool, entry) in tools.iter().zip(TOOLS) {
            assert_eq!(tool["annotations"]["readOnlyHint"], !entry.changes, "{}", entry.name);
        }
    }

    #[test]
    fn what_is_listed_is_what_the_reference_lists() {
        let listed = serde_json::to_value(Git::new(&[], false).definitions()).expect("JSON");
        let recorded = include_str!("../../../tests/fixtures/reference/git/tools.json");
        assert_eq!(listed, serde_json::from_str::<Value>(recorded).expect("JSON"));
        let read_only = Git::new(&[], true).definitions();
        assert_eq!(read_only.len(), 7);
    }

    #[test]
    fn idle_tools_hold_little() {
        let git = Git::new(&["/a/directory".into()], false);
        assert!(git.state_bytes() < 1_024, "{} bytes", git.state_bytes());
    }

    #[test]
    fn what_is_no_repository_is_said() {
        let outer = tempfile::tempdir().expect("a directory");
        let missing = outer.path().join("missing");
        let error = Git::of_repository(&missing, false).unwrap_err().to_string();
        assert_eq!(error, format!("{} does not exist", missing.display()));
        if outer.path().ancestors().all(|directory| Repository::at(directory).is_none()) {
            let error = Git::of_repository(outer.path(), false).unwrap_err().to_string();
            assert_eq!(error, format!("{} is not a valid Git repository", outer.path().display()));
        }
    }
}
