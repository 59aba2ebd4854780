//! What the processes of git may open, held by the kernel (Landlock) for all that they do and start.
//!
//! The repository is checked before git runs (see `repository.rs`). This holds for what no check can see: names in an
//! index that lead elsewhere, files that the configuration of a repository names, and whatever is exchanged while git
//! runs. A process may read the allowed directories, its programs and the user's settings; change what the tool is there
//! to change; and use no network. Nothing in the allowed directories may be run.
//!
//! The kernel restricts the thread that asks for it, and what that thread starts. So each process is started by a thread
//! that does nothing else.

use super::child::Spawn;
use super::error::GitFailure;
use super::own_files::Known;
use super::paths::ResolvedRoots;
use super::repository::Repository;
use std::io;
use std::process::{Child, Command};
use std::sync::Arc;

/// What git may open beside the repository.
#[derive(Debug)]
pub(crate) struct Reach {
    /// The directories that repositories may lie in.
    pub(crate) roots: ResolvedRoots,
    /// What belongs to the machine and the user.
    pub(crate) own: Arc<Known>,
}

/// What git may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Changes {
    Nothing,
    /// What the repository keeps: filters of the user have their own files there.
    Repository,
    /// The repository and its work tree.
    All,
}

/// Where git runs.
#[derive(Debug)]
pub(crate) struct Sandbox {
    /// `None` where the kernel has no sandbox, or the operator wants none.
    rules: Option<kernel::Rules>,
}

/// Whether the kernel can hold programs to what they may open.
pub(crate) fn is_available() -> bool {
    kernel::is_available()
}

impl Sandbox {
    /// No bounds but those of the user.
    pub(crate) fn none() -> Self {
        Self { rules: None }
    }

    /// The bounds of one call.
    ///
    /// # Errors
    /// When a part of the repository is not where it was when it was checked, or the kernel refuses.
    pub(crate) fn new(repository: &Repository, reach: &Reach, changes: Changes) -> Result<Self, GitFailure> {
        if !kernel::is_available() {
            return Ok(Self::none());
        }
        Ok(Self { rules: Some(kernel::Rules::new(repository, reach, changes)?) })
    }

    /// Whether the kernel holds git to it.
    pub(crate) fn is_enforced(&self) -> bool {
        self.rules.is_some()
    }

    /// A command that is started here.
    pub(crate) fn around<'s>(&'s self, command: &'s mut Command) -> Sandboxed<'s> {
        Sandboxed { sandbox: self, command }
    }
}

/// A command, and where it is started.
pub(crate) struct Sandboxed<'s> {
    sandbox: &'s Sandbox,
    command: &'s mut Command,
}

impl Spawn for Sandboxed<'_> {
    fn spawn(&mut self) -> io::Result<Child> {
        match &self.sandbox.rules {
            Some(rules) => rules.spawn(self.command),
            None => self.command.spawn(),
        }
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    use super::{Changes, GitFailure, Reach, Repository};
    use landlock::{
        ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset,
        RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
    };
    use rustix::fs::{CWD, Mode, OFlags, open, openat};
    use std::io;
    use std::os::fd::OwnedFd;
    use std::path::{Component, Path};
    use std::process::{Child, Command};
    use std::sync::LazyLock;
    use std::thread::Builder;

    /// The newest version of the rules that is asked for; a kernel that knows fewer holds those.
    const NEWEST: ABI = ABI::V6;

    /// Bytes of the stack of a thread that starts a process.
    const STACK_BYTES: usize = 128 * 1024;

    static AVAILABLE: LazyLock<bool> = LazyLock::new(|| {
        let rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        rules.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create).is_ok()
    });

    pub(super) fn is_available() -> bool {
        *AVAILABLE
    }

    /// The rules, as the kernel holds them.
    #[derive(Debug)]
    pub(super) struct Rules {
        created: RulesetCreated,
    }

    impl Rules {
        pub(super) fn new(
            repository: &Repository,
            reach: &Reach,
            changes: Changes,
        ) -> Result<Self, GitFailure> {
            let read = AccessFs::ReadFile | AccessFs::ReadDir;
            let mut rules = Self { created: empty().map_err(refused)? };
            for directory in &reach.own.programs {
                rules.allow(follow(directory), read | AccessFs::Execute)?;
            }
            for file in &reach.own.files {
                rules.allow(follow(file), read)?;
            }
            rules.allow(follow(Path::new("/dev/null")), AccessFs::ReadFile | AccessFs::WriteFile)?;
            for root in reach.roots.directories() {
                rules.allow(open_without_links(root).ok(), read)?;
            }
            let Repository { top, git_dir, common_dir, .. } = repository;
            let writable = match changes {
                Changes::Nothing => &[][..],
                Changes::Repository => &[git_dir, common_dir],
                Changes::All => &[git_dir, common_dir, top],
            };
            for directory in writable {
                let opened = open_without_links(directory);
                rules.allow(
                    Some(opened.map_err(|_| GitFailure::Moved((*directory).clone()))?),
                    read | write(),
                )?;
            }
            Ok(rules)
        }

        /// Allows something in a directory, or with a file. What is not there needs no rule.
        fn allow(&mut self, opened: Option<OwnedFd>, access: BitFlags<AccessFs>) -> Result<(), GitFailure> {
            let Some(opened) = opened else { return Ok(()) };
            let rule = PathBeneath::new(opened, access);
            (&mut self.created).add_rule(rule).map_err(refused)?;
            Ok(())
        }

        /// Starts a command that these rules hold for, and for all that it starts.
        pub(super) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
            self.within(|| command.spawn())
        }

        /// Does something on a thread that these rules hold for. It ends with that: what it became cannot be taken back.
        pub(super) fn within<T: Send>(&self, act: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
            let created = self.created.try_clone()?;
            let restricted = move || {
                let status = created.restrict_self().map_err(io::Error::other)?;
                if status.ruleset == RulesetStatus::NotEnforced {
                    return Err(io::Error::other("the kernel does not enforce the sandbox"));
                }
                act()
            };
            std::thread::scope(|scope| {
                let starter = Builder::new().name("git".to_owned()).stack_size(STACK_BYTES);
                let done = starter.spawn_scoped(scope, restricted)?.join();
                done.unwrap_or_else(|_| Err(io::Error::other("the thread that starts git panicked")))
            })
        }
    }

    /// Rules that allow nothing: no file, no connection, and no word to processes outside.
    fn empty() -> Result<RulesetCreated, RulesetError> {
        let rules = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
        let rules = rules.handle_access(AccessFs::from_all(NEWEST))?;
        rules.handle_access(AccessNet::from_all(NEWEST))?.scope(Scope::from_all(NEWEST))?.create()
    }

    /// All that changes files and directories, but for devices, sockets and pipes: git makes none.
    fn write() -> BitFlags<AccessFs> {
        let special = AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock | AccessFs::MakeFifo;
        AccessFs::from_write(NEWEST) & !(special | AccessFs::IoctlDev)
    }

    fn refused(error: RulesetError) -> GitFailure {
        GitFailure::Program(io::Error::other(error))
    }

    /// Opens what belongs to the machine or the user, through links.
    fn follow(path: &Path) -> Option<OwnedFd> {
        open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()
    }

    /// Opens a directory by a path that had no links when it was checked, and has none now: the rule is for the directory
    /// that was checked, and not for one that a link leads to.
    fn open_without_links(path: &Path) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let mut opened = openat(CWD, "/", flags, Mode::empty())?;
        for component in path.components() {
            match component {
                Component::Normal(name) => opened = openat(&opened, name, flags, Mode::empty())?,
                Component::RootDir => {}
                _ => return Err(io::ErrorKind::InvalidInput.into()),
            }
        }
        Ok(opened)
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    use super::{Changes, GitFailure, Reach, Repository};
    use std::convert::Infallible;
    use std::io;
    use std::process::{Child, Command};

    pub(super) fn is_available() -> bool {
        false
    }

    /// There are none.
    #[derive(Debug)]
    pub(super) struct Rules(Infallible);

    impl Rules {
        pub(super) fn new(_: &Repository, _: &Reach, _: Changes) -> Result<Self, GitFailure> {
            Err(GitFailure::NoProgram)
        }

        pub(super) fn spawn(&self, _: &mut Command) -> io::Result<Child> {
            match self.0 {}
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::super::child::{self, Deadline, Observer};
    use super::super::own_files::OwnFiles;
    use super::super::paths::Roots;
    use super::*;
    use std::fs;
    use std::ops::ControlFlow;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::process::CommandExt;
    use std::path::{Path, PathBuf};
    use std::process::Stdio;
    use std::time::Duration;
    use tempfile::TempDir;

    struct Patient;

    impl Observer for Patient {
        fn observe(&mut self, _bytes: u64) -> Result<(), GitFailure> {
            Ok(())
        }
    }

    /// Directories `in/repo/.git` and `out`, of which `in` is allowed; nothing where there is no sandbox.
    struct Scene {
        _outer: TempDir,
        path: PathBuf,
        repository: Repository,
        reach: Reach,
    }

    fn scene() -> Option<Scene> {
        if !is_available() {
            eprintln!("skipped: this kernel has no Landlock");
            return None;
        }
        let outer = tempfile::tempdir().expect("a directory");
        let path = outer.path().canonicalize().expect("a path");
        let (top, git_dir) = (path.join("in/repo"), path.join("in/repo/.git"));
        fs::create_dir_all(&git_dir).expect("directories");
        fs::create_dir(path.join("out")).expect("a directory");
        for name in ["in/repo/file", "in/repo/.git/HEAD", "out/secret"] {
            fs::write(path.join(name), name).expect("a file");
        }
        let deadline = Deadline::after(Duration::from_mins(1));
        let own = match OwnFiles::default().now(deadline, &|| Ok(())) {
            Ok(own) => own,
            Err(GitFailure::NoProgram) => {
                eprintln!("skipped: there is no git");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let repository = Repository { top, has_work_tree: true, common_dir: git_dir.clone(), git_dir };
        let reach = Reach { roots: Roots::new(vec![path.join("in")]).resolved(), own };
        Some(Scene { _outer: outer, path, repository, reach })
    }

    impl Scene {
        /// What a script of the shell prints in the sandbox.
        fn says(&self, changes: Changes, script: &str) -> String {
            let sandbox = Sandbox::new(&self.repository, &self.reach, changes).expect("a sandbox");
            self.says_in(&sandbox, script)
        }

        fn says_in(&self, sandbox: &Sandbox, script: &str) -> String {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script]).current_dir(&self.path).process_group(0).env("LC_ALL", "C");
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut output = Vec::new();
            let mut take = |piece: &[u8]| {
                output.extend_from_slice(piece);
                ControlFlow::Continue(())
            };
            let deadline = Deadline::after(Duration::from_mins(1));
            let ended = child::run(&mut sandbox.around(&mut command), b"", deadline, &mut Patient, &mut take);
            let errors = ended.expect("it ran").stderr;
            String::from_utf8_lossy(&[output, errors].concat()).into_owned()
        }
    }

    #[test]
    fn only_what_is_allowed_can_be_opened() {
        let Some(scene) = scene() else { return };
        assert_eq!(scene.says_in(&Sandbox::none(), "cat out/secret"), "out/secret", "that works without");
        for changes in [Changes::Nothing, Changes::Repository, Changes::All] {
            assert_eq!(scene.says(changes, "cat in/repo/file"), "in/repo/file");
            for script in [
                "cat out/secret",
                "cat in/repo/../../out/secret",
                "ls out",
                "echo x > out/secret",
                "rm out/secret",
                "mv in/repo/file out/",
                "cat /etc/passwd",
                "cat /proc/self/environ",
            ] {
                let said = scene.says(changes, script);
                assert!(said.contains("denied"), "{changes:?}, {script}: {said}");
            }
        }
        symlink("../../out/secret", scene.path.join("in/repo/link")).expect("a link");
        assert!(scene.says(Changes::All, "cat in/repo/link").contains("denied"));
        assert_eq!(fs::read_to_string(scene.path.join("out/secret")).expect("it is there"), "out/secret");
    }

    #[test]
    fn only_what_a_tool_is_there_for_can_be_changed() {
        let Some(scene) = scene() else { return };
        let tries = [("in/repo/.git/new", Changes::Repository), ("in/repo/new", Changes::All)];
        for (file, least) in tries {
            for changes in [Changes::Nothing, Changes::Repository, Changes::All] {
                let script =
                    format!("echo x > {file} && mkdir {file}.d && mv {file} {file}.d/ && rm -r {file}.d");
                let said = scene.says(changes, &script);
                assert_eq!(said.contains("denied"), changes < least, "{file}, {changes:?}: {said}");
                assert!(!scene.path.join(file).exists());
            }
        }
        assert!(scene.says(Changes::All, "echo x > in/new").contains("denied"), "beside the repository");
    }

    #[test]
    fn nothing_in_the_allowed_directories_is_run() {
        let Some(scene) = scene() else { return };
        let program = scene.path.join("in/repo/program");
        fs::write(&program, "#!/bin/sh\necho ran\n").expect("a file");
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("set");
        assert_eq!(scene.says_in(&Sandbox::none(), "in/repo/program"), "ran\n", "that works without");
        let said = scene.says(Changes::All, "in/repo/program");
        assert!(said.contains("denied") && !said.contains("ran\n"), "{said}");
    }

    #[test]
    fn a_part_that_was_exchanged_for_a_link_is_not_opened() {
        let Some(scene) = scene() else { return };
        fs::rename(&scene.repository.top, scene.path.join("in/other")).expect("moved");
        symlink(scene.path.join("out"), &scene.repository.top).expect("a link");
        let error = Sandbox::new(&scene.repository, &scene.reach, Changes::All).expect_err("it moved");
        assert!(matches!(error, GitFailure::Moved(_)), "{error}");
        assert!(scene.says(Changes::Nothing, "cat in/repo/secret").contains("denied"));
        // So it is with a directory that is allowed.
        fs::rename(scene.path.join("in"), scene.path.join("was")).expect("moved");
        symlink(Path::new("out"), scene.path.join("in")).expect("a link");
        assert!(scene.says(Changes::Nothing, "cat in/secret").contains("denied"));
    }

    #[test]
    fn there_is_no_network() {
        let Some(scene) = scene() else { return };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = listener.local_addr().expect("an address");
        let sandbox = Sandbox::new(&scene.repository, &scene.reach, Changes::All).expect("a sandbox");
        let rules = sandbox.rules.expect("they are enforced");
        let tried = rules.within(move || std::net::TcpStream::connect(address).map(drop));
        match tried {
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}"),
            Ok(()) => eprintln!("skipped: the Landlock of this kernel knows no network (before Linux 6.7)"),
        }
    }
}
