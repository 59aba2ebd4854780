//! What git reads that is no part of a repository: its programs, and the settings of the machine and the user.
//!
//! Settings may name further files (`include.path`, `core.excludesFile`). These are found here without a repository, so
//! that nothing of a repository decides about them: all that are named are taken, whatever the condition.

use super::child::{self, Deadline, Observer};
use super::command;
use super::error::GitFailure;
use super::paths;
use super::repository::GoOn;
use crate::lock::lock;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Files of settings that are followed, one including the other.
const MAX_SETTINGS_FILES: usize = 64;

/// Bytes of the settings of one file that are looked at.
const MAX_SETTINGS_BYTES: usize = 256 * 1024;

/// Where programs and libraries of a machine lie. Of `/usr/share` only what git reads.
const PROGRAMS: [&str; 19] = [
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/local/bin",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/usr/local/libexec",
    "/usr/share/git-core",
    "/usr/share/locale",
    "/usr/share/zoneinfo",
    "/nix/store",
];

/// What programs read when they start. Not the list of users: who commits is told by the environment.
const MACHINE_FILES: [&str; 5] = [
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/localtime",
    // How many processors there are.
    "/sys/devices/system/cpu",
    "/dev/urandom",
];

/// Settings whose value is a file that git reads.
const NAMING_FILES: [&[u8]; 4] =
    [b"core.excludesfile", b"core.attributesfile", b"commit.template", b"mailmap.file"];

/// What git may open beside a repository. Not all of it has to be there.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Directories of programs, and the libraries that they need.
    pub(crate) programs: Vec<PathBuf>,
    /// Files, and one directory, to read.
    pub(crate) files: Vec<PathBuf>,
    /// Files of settings as they were read; `None` for those that were not there.
    settings: Vec<(PathBuf, Option<Stamp>)>,
}

/// What tells one state of a file from another. The last time is the kernel's: nobody sets it back.
type Stamp = (u64, u64, u64, [i64; 2], [i64; 2]);

/// The files, found at the first call and whenever a file of settings has changed.
#[derive(Debug, Default)]
pub(crate) struct OwnFiles {
    known: Mutex<Option<Arc<Known>>>,
}

impl OwnFiles {
    /// The files as they are now.
    ///
    /// # Errors
    /// When git cannot be run.
    pub(crate) fn now(&self, deadline: Deadline, go_on: GoOn<'_>) -> Result<Arc<Known>, GitFailure> {
        let known = lock(&self.known).clone();
        if let Some(known) = known.filter(|known| known.is_current()) {
            return Ok(known);
        }
        let search = Search { deadline, go_on };
        let found = Arc::new(search.all()?);
        *lock(&self.known) = Some(Arc::clone(&found));
        Ok(found)
    }

    /// Heap bytes of what is known.
    pub(crate) fn heap_bytes(&self) -> usize {
        let known = lock(&self.known).clone();
        known.map_or(0, |known| size_of::<Known>() + known.heap_bytes())
    }
}

impl Known {
    /// Whether all files of settings were followed.
    pub(crate) fn is_complete(&self) -> bool {
        self.settings.len() < MAX_SETTINGS_FILES
    }

    fn is_current(&self) -> bool {
        self.settings.iter().all(|(file, read)| stamp(file) == *read)
    }

    fn heap_bytes(&self) -> usize {
        let of_paths = |paths: &mut dyn Iterator<Item = &PathBuf>| -> usize {
            paths.map(|path| path.as_os_str().len() + size_of::<PathBuf>()).sum()
        };
        of_paths(&mut self.programs.iter())
            + of_paths(&mut self.files.iter())
            + of_paths(&mut self.settings.iter().map(|(file, _)| file))
            + self.settings.len() * size_of::<Option<Stamp>>()
    }
}

fn stamp(file: &Path) -> Option<Stamp> {
    let found = fs::metadata(file).ok()?;
    let (modified, changed) = ([found.mtime(), found.mtime_nsec()], [found.ctime(), found.ctime_nsec()]);
    Some((found.dev(), found.ino(), found.size(), modified, changed))
}

struct Search<'s> {
    deadline: Deadline,
    go_on: GoOn<'s>,
}

impl Observer for Search<'_> {
    fn observe(&mut self, _bytes: u64) -> Result<(), GitFailure> {
        (self.go_on)()
    }
}

impl Search<'_> {
    fn all(&self) -> Result<Known, GitFailure> {
        let exec_path = self.output(&["--exec-path"])?;
        let exec_path = PathBuf::from(OsStr::from_bytes(exec_path.trim_ascii_end()));
        let prefix = prefix(&exec_path).unwrap_or_else(|| PathBuf::from("/usr"));
        let mut known = Known { programs: programs(&exec_path, &prefix), ..Known::default() };
        known.files.extend(MACHINE_FILES.iter().map(PathBuf::from));
        let mut waiting = Vec::new();
        for directory in [Path::new("/etc").to_owned(), prefix.join("etc")] {
            known.files.push(directory.join("gitattributes"));
            waiting.push(directory.join("gitconfig"));
        }
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        waiting.extend(variable("GIT_CONFIG_SYSTEM"));
        waiting.extend(variable("GIT_CONFIG_GLOBAL"));
        let home = variable("HOME");
        waiting.extend(home.as_ref().map(|home| home.join(".gitconfig")));
        let by_default = || home.as_ref().map(|home| home.join(".config"));
        if let Some(directory) = variable("XDG_CONFIG_HOME").or_else(by_default) {
            let directory = directory.join("git");
            known.files.extend(["ignore", "attributes"].map(|name| directory.join(name)));
            waiting.push(directory.join("config"));
        }
        while let Some(file) = waiting.pop() {
            if known.settings.iter().any(|(read, _)| *read == file) {
                continue;
            }
            if known.settings.len() == MAX_SETTINGS_FILES {
                break;
            }
            let stamp = stamp(&file);
            if stamp.is_some() {
                self.named_in(&file, &prefix, &mut waiting, &mut known.files)?;
                known.files.push(file.clone());
            }
            known.settings.push((file, stamp));
        }
        Ok(known)
    }

    /// The files that a file of settings names: further ones of settings, and others.
    fn named_in(
        &self,
        file: &Path,
        prefix: &Path,
        settings: &mut Vec<PathBuf>,
        others: &mut Vec<PathBuf>,
    ) -> Result<(), GitFailure> {
        let mut arguments = [OsStr::new("config"), OsStr::new("--file"), file.as_os_str()].to_vec();
        arguments.extend([OsStr::new("--list"), OsStr::new("-z")]);
        let list = self.output(&arguments)?;
        for setting in list.split(|byte| *byte == 0) {
            let mut parts = setting.splitn(2, |byte| *byte == b'\n');
            let (Some(name), Some(value)) = (parts.next(), parts.next()) else { continue };
            let is_include =
                name == b"include.path" || name.starts_with(b"includeif.") && name.ends_with(b".path");
            if is_include {
                let directory = file.parent().unwrap_or(Path::new("/"));
                settings.extend(expanded(value, prefix).map(|path| directory.join(path)));
            } else if NAMING_FILES.contains(&name) {
                // A relative one lies in the repository.
                others.extend(expanded(value, prefix).filter(|path| path.is_absolute()));
            }
        }
        Ok(())
    }

    /// The beginning of what git says without any repository; nothing if it fails.
    fn output(&self, arguments: &[impl AsRef<OsStr>]) -> Result<Vec<u8>, GitFailure> {
        let mut output = Vec::new();
        let mut take = |piece: &[u8]| {
            let room = MAX_SETTINGS_BYTES - output.len();
            output.extend_from_slice(&piece[..piece.len().min(room)]);
            ControlFlow::Continue(())
        };
        let mut observer = Search { deadline: self.deadline, go_on: self.go_on };
        let mut process = command::without_repository(arguments)?;
        let ended = child::run(&mut process, b"", self.deadline, &mut observer, &mut take)?;
        let is_good = ended.status.is_some_and(|status| status.success());
        Ok(if is_good { output } else { Vec::new() })
    }
}

/// The directory that git is installed in, with `bin` and `etc`.
fn prefix(exec_path: &Path) -> Option<PathBuf> {
    let library = exec_path.parent().filter(|_| paths::is_named(exec_path, "git-core"))?;
    let is_library = ["lib", "lib64", "libexec"].iter().any(|name| paths::is_named(library, name));
    library.parent().filter(|_| is_library).map(Path::to_owned)
}

/// The directories of programs: those of the machine, of git, and of `PATH`, where the user's filters are.
fn programs(exec_path: &Path, prefix: &Path) -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> = PROGRAMS.iter().map(PathBuf::from).collect();
    directories.extend(command::absolute_entries(&env::var_os("PATH").unwrap_or_default()));
    directories.push(exec_path.to_owned());
    if prefix != Path::new("/") {
        // Where git was not installed by the system, as with conda, its libraries lie beside it.
        directories.extend(["lib", "lib64", "share/git-core"].map(|name| prefix.join(name)));
    }
    // And with Homebrew beside all others.
    let cellar = exec_path.ancestors().find(|directory| paths::is_named(directory, "Cellar"));
    if let Some(brewed) = cellar.and_then(Path::parent) {
        directories.extend(["Cellar", "lib", "opt"].map(|name| brewed.join(name)));
    }
    directories.sort();
    directories.dedup();
    directories
}

/// The path that a value means. One in the home of another user is left out.
fn expanded(value: &[u8], prefix: &Path) -> Option<PathBuf> {
    let below = |directory: &Path, rest: &[u8]| {
        let rest = rest.strip_prefix(b"/").unwrap_or(rest);
        directory.join(OsStr::from_bytes(rest))
    };
    if let Some(rest) = value.strip_prefix(b"~") {
        let home: OsString = env::var_os("HOME").filter(|_| rest.is_empty() || rest.starts_with(b"/"))?;
        return Some(below(Path::new(&home), rest));
    }
    if let Some(rest) = value.strip_prefix(b"%(prefix)") {
        return Some(below(prefix, rest));
    }
    Some(PathBuf::from(OsStr::from_bytes(value))).filter(|path| !path.as_os_str().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_paths() {
        let home = env::var_os("HOME").map(PathBuf::from);
        let prefix = Path::new("/opt/git");
        assert_eq!(expanded(b"~/x", prefix), home.as_ref().map(|home| home.join("x")));
        assert_eq!(expanded(b"%(prefix)/etc/x", prefix), Some("/opt/git/etc/x".into()));
        assert_eq!(expanded(b"/a/b", prefix), Some("/a/b".into()));
        assert_eq!(expanded(b"a", prefix), Some("a".into()));
        assert_eq!(expanded(b"~other/x", prefix), None);
        assert_eq!(expanded(b"", prefix), None);
    }

    #[test]
    fn the_directory_of_git_is_that_of_its_programs() {
        let of = |path: &str| prefix(Path::new(path)).map(|path| path.to_string_lossy().into_owned());
        assert_eq!(of("/usr/lib/git-core").as_deref(), Some("/usr"));
        assert_eq!(of("/usr/local/libexec/git-core").as_deref(), Some("/usr/local"));
        assert_eq!(of("/somewhere/git-core"), None);
        let brewed = "/home/linuxbrew/.linuxbrew";
        let exec_path = format!("{brewed}/Cellar/git/2.50/libexec/git-core");
        let directories = programs(Path::new(&exec_path), &prefix(Path::new(&exec_path)).expect("one"));
        assert!(directories.contains(&Path::new(brewed).join("lib")));
    }

    #[test]
    fn what_settings_name_is_found_and_found_again_when_they_change() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let first = path.join("first");
        fs::write(&first, "[include]\n\tpath = second\n[core]\n\texcludesFile = /ignored\n").expect("a file");
        fs::write(path.join("second"), "[includeIf \"gitdir:/x/\"]\n\tpath = third\n").expect("a file");
        let search =
            Search { deadline: Deadline::after(std::time::Duration::from_mins(1)), go_on: &|| Ok(()) };
        let (mut settings, mut others) = (Vec::new(), Vec::new());
        match search.named_in(&first, Path::new("/usr"), &mut settings, &mut others) {
            Err(GitFailure::NoProgram) => {
                eprintln!("skipped: there is no git");
                return;
            }
            named => named.expect("it was read"),
        }
        assert_eq!((&*settings, &*others), (&[path.join("second")][..], &[PathBuf::from("/ignored")][..]));
        search.named_in(&settings[0].clone(), Path::new("/usr"), &mut settings, &mut others).expect("read");
        assert_eq!(settings[1], path.join("third"));

        let known = Known { settings: vec![(first.clone(), stamp(&first))], ..Known::default() };
        assert!(known.is_current());
        fs::write(&first, "").expect("a file");
        assert!(!known.is_current());
        let missing = Known { settings: vec![(path.join("third"), None)], ..Known::default() };
        assert!(missing.is_current());
        fs::write(path.join("third"), "").expect("a file");
        assert!(!missing.is_current(), "a file that came since is read");
    }
}
