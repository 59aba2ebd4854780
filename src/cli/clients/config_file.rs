//! The file of a client on the disk: read, backed up, and replaced as a whole.
//!
//! Does not know what is in it. Invariants: who reads the file finds the old content or the new one, whenever this process
//! ends; a link stays a link; owner and permissions stay; a file that changed since it was read is not written; a backup is
//! never overwritten, and removed only where its content has become that of the file.

use super::made_folders;
use crate::limits::units;
use crate::tools::memory::copy_access;
use crate::watched_file;
use std::ffi::OsString;
use std::fs::{File, Metadata, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;

/// Bytes of the longest file: that of Claude Code has its history in it. Reading and changing one takes some seven times
/// as much memory.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// How many backups there can be.
const BACKUPS: usize = 10;
/// The ending of new content that has not become the file yet, and how many letters the library puts before it.
const UNFINISHED: &str = ".mcpool-tmp";
const UNFINISHED_LETTERS: usize = 6;
/// How long another run is waited for.
const LOCK_WAIT: Duration = Duration::from_mins(1);
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Why a file cannot be read or written. It is as it was.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum FileError {
    /// The system refuses.
    #[error("{} cannot be {what}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was to be done.
        what: &'static str,
        /// The error of the system.
        source: io::Error,
    },
    /// It would take too much memory.
    #[error(
        "{} has more than {}, and no larger file is read: have its client drop what it does not need, or change it by hand \
         (--print shows the entry)",
        path.display(), units::bytes(MAX_BYTES)
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Nobody may write it, as where another program makes it from a source.
    #[error(
        "{} is read-only: make it writable (chmod u+w), or put in by hand what --print shows",
        path.display()
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// A link leads to nothing.
    #[error("{} is a link to a file that is not there: make that file, or remove the link", path.display())]
    Dangling {
        /// The link.
        path: PathBuf,
    },
    /// Another program wrote the file.
    #[error("{} was changed by another program meanwhile: close the client, and try again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Another run of this program does not end.
    #[error("another mcpool has been changing {} for a minute: end it, and try again", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// There are as many backups as there can be.
    #[error(
        "{} has {BACKUPS} backups (NAME.mcpool-backup, and .1 to .9 behind that), and none is ever overwritten: move \
         away those that you do not need",
        path.display()
    )]
    Backups {
        /// The file.
        path: PathBuf,
    },
}

impl FileError {
    fn io(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), what, source }
    }
}

/// A file as it was read.
#[derive(Debug)]
pub(super) struct ConfigFile {
    /// Behind all links.
    path: PathBuf,
    bytes: Option<Vec<u8>>,
    backups: Vec<Backup>,
    lock: Lock,
}

/// Whether other runs of this program wait until a file is read and written.
#[derive(Debug)]
enum Lock {
    /// They wait for its folder.
    Held(#[expect(dead_code, reason = "it is held until it is dropped")] File),
    /// There is no folder to wait for.
    NoFolder,
    /// They do not: the folder cannot be locked, or nobody asked for it.
    None,
}

/// What the file was before a change.
#[derive(Debug)]
pub(super) struct Backup {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
}

impl ConfigFile {
    /// Reads the file, and has other runs of this program wait until it is dropped.
    ///
    /// # Errors
    /// As for [`ConfigFile::open`], and when another run does not end.
    pub(super) fn lock(path: &Path) -> Result<Self, FileError> {
        let lock = lock(&target(path)?)?;
        Ok(Self { lock, ..Self::open(path)? })
    }

    /// Whether other runs of this program wait.
    pub(super) fn is_locked(&self) -> bool {
        matches!(self.lock, Lock::Held(_))
    }

    /// Whether its folder was missing, so that there was nothing to wait for.
    pub(super) fn lacks_folder(&self) -> bool {
        matches!(self.lock, Lock::NoFolder)
    }

    /// Reads the file, which need not be there.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        let path = target(path)?;
        let bytes = read(&path)?;
        let backups = backups(&path);
        Ok(Self { path, bytes, backups, lock: Lock::None })
    }

    /// Where it is, behind all links.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it; none if it is not there.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        self.bytes.as_deref()
    }

    /// Its backups, from the first.
    pub(super) fn backups(&self) -> &[Backup] {
        &self.backups
    }

    /// Refuses a file that nobody may write. Replacing it would work all the same, against the will of who made it so.
    ///
    /// # Errors
    /// [`FileError::ReadOnly`].
    pub(super) fn check_writable(&self) -> Result<(), FileError> {
        let is_read_only = self.path.metadata().is_ok_and(|metadata| metadata.permissions().readonly())
            || self.bytes.is_some() && rustix::fs::access(&self.path, rustix::fs::Access::WRITE_OK).is_err();
        if is_read_only { Err(FileError::ReadOnly { path: self.path.clone() }) } else { Ok(()) }
    }

    /// Writes what was read beside it, under a name that nothing has; none if there was no file.
    ///
    /// # Errors
    /// [`FileError::Backups`], and those of the system.
    pub(super) fn back_up(&self) -> Result<Option<PathBuf>, FileError> {
        let Some(bytes) = &self.bytes else { return Ok(None) };
        let mut new = self.write_beside(bytes, true)?;
        for number in 0..BACKUPS {
            let backup = backup_path(&self.path, number);
            match new.persist_noclobber(&backup) {
                Ok(_) => return Ok(Some(backup)),
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => new = error.file,
                Err(error) => return Err(FileError::io(&backup, "written")(error.error)),
            }
        }
        Err(FileError::Backups { path: self.path.clone() })
    }

    /// Removes the backup of that content, which the file has now.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn remove_backup(&self, bytes: &[u8]) -> Result<(), FileError> {
        let Some(Backup { path, .. }) = self.backups.iter().find(|backup| backup.bytes == bytes) else {
            return Ok(());
        };
        std::fs::remove_file(path).map_err(FileError::io(path, "removed"))
    }

    /// Makes the folder of the file.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn make_folder(&self) -> Result<(), FileError> {
        let folder = folder(&self.path);
        made_folders::make(folder).map_err(FileError::io(folder, "made"))
    }

    /// Removes what runs that were killed left beside the file; nobody else may be at it.
    pub(super) fn sweep(&self) {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        for entry in std::fs::read_dir(folder(&self.path)).into_iter().flatten().flatten() {
            let found = entry.file_name();
            let letters = found
                .to_str()
                .and_then(|found| found.strip_prefix(&*name))
                .and_then(|rest| rest.strip_suffix(UNFINISHED));
            let is_letter = |byte: u8| byte.is_ascii_alphanumeric();
            if letters.is_some_and(|text| text.len() == UNFINISHED_LETTERS && text.bytes().all(is_letter)) {
                // What cannot be removed stays as it was left; the change itself does not need it.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// Writes new content beside the file, complete and durable. A file that is new is for its owner only if it
    /// `is_private`; folders that are missing are made.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn prepare(&self, bytes: &[u8], is_private: bool) -> Result<Prepared<'_>, FileError> {
        self.make_folder()?;
        Ok(Prepared { file: self, new: self.write_beside(bytes, is_private)? })
    }

    /// Removes the file, unless it changed, and the folders that were made for it. Gives those.
    ///
    /// # Errors
    /// [`FileError::Changed`], and those of the system.
    pub(super) fn remove(&self) -> Result<Vec<PathBuf>, FileError> {
        self.check_unchanged()?;
        std::fs::remove_file(&self.path).map_err(FileError::io(&self.path, "removed"))?;
        Ok(made_folders::remove(folder(&self.path)))
    }

    fn write_beside(&self, bytes: &[u8], is_private: bool) -> Result<NamedTempFile, FileError> {
        use std::os::unix::fs::PermissionsExt as _;
        let failed = |source: io::Error| FileError::io(&self.path, "written")(source);
        let name = self.path.file_name().unwrap_or_default();
        // One that takes the place of another is for its owner only until it has the permissions of that.
        let mode = if is_private || self.bytes.is_some() { 0o600 } else { 0o666 };
        let mut new = tempfile::Builder::new()
            .prefix(name)
            .suffix(UNFINISHED)
            .rand_bytes(UNFINISHED_LETTERS)
            .permissions(std::fs::Permissions::from_mode(mode))
            .tempfile_in(folder(&self.path))
            .map_err(failed)?;
        new.write_all(bytes).map_err(failed)?;
        if self.bytes.is_some() {
            let old = File::open(&self.path).map_err(failed)?;
            copy_access(&old, new.as_file()).map_err(|errno| failed(errno.into()))?;
        }
        new.as_file().sync_all().map_err(failed)?;
        Ok(new)
    }

    fn check_unchanged(&self) -> Result<(), FileError> {
        let is_same = read(&self.path)? == self.bytes;
        if is_same { Ok(()) } else { Err(FileError::Changed { path: self.path.clone() }) }
    }
}

/// New content that is complete, under a name of its own. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Prepared<'f> {
    file: &'f ConfigFile,
    new: NamedTempFile,
}

impl Prepared<'_> {
    /// Gives the new content the name of the file, unless that changed since it was read.
    ///
    /// # Errors
    /// [`FileError::Changed`], and those of the system.
    pub(super) fn commit(self) -> Result<(), FileError> {
        self.file.check_unchanged()?;
        let path = &self.file.path;
        self.new.persist(path).map_err(|error| FileError::io(path, "written")(error.error))?;
        // Where a folder cannot be made durable, its file system does so by itself or not at all.
        let _ = File::open(folder(path)).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

/// The file that a path leads to, which need not be there.
fn target(path: &Path) -> Result<PathBuf, FileError> {
    match path.canonicalize() {
        Ok(target) => Ok(target),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if path.symlink_metadata().is_ok() {
                return Err(FileError::Dangling { path: path.to_owned() });
            }
            Ok(path.to_owned())
        }
        Err(error) => Err(FileError::io(path, "read")(error)),
    }
}

/// Locks the folder of a file against other runs of this program. A file system without locks goes without: the file is
/// compared before it is replaced anyhow.
fn lock(path: &Path) -> Result<Lock, FileError> {
    let begin = Instant::now();
    loop {
        let held = match File::open(folder(path)) {
            Ok(held) => held,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lock::NoFolder),
            Err(_) => return Ok(Lock::None),
        };
        match held.try_lock() {
            Ok(()) if is_at(&held, folder(path)) => return Ok(Lock::Held(held)),
            // It was removed while it was waited for, and perhaps made anew.
            Ok(()) => {}
            Err(TryLockError::Error(_)) => return Ok(Lock::None),
            Err(TryLockError::WouldBlock) if begin.elapsed() >= LOCK_WAIT => {
                return Err(FileError::Locked { path: path.to_owned() });
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
        }
    }
}

/// Whether a path leads to a folder that is open.
fn is_at(open: &File, path: &Path) -> bool {
    let identity = |found: io::Result<Metadata>| found.ok().map(|found| (found.dev(), found.ino()));
    let found = identity(path.metadata());
    found.is_some() && found == identity(open.metadata())
}

fn backup_path(path: &Path, number: usize) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".mcpool-backup");
    if number > 0 {
        name.push(format!(".{number}"));
    }
    name.into()
}

/// The backups that can be read; what else has such a name is not ours, and stays.
fn backups(path: &Path) -> Vec<Backup> {
    let paths = (0..BACKUPS).map(|number| backup_path(path, number));
    let read = |path: PathBuf| read(&path).ok().flatten().map(|bytes| Backup { path, bytes });
    paths.filter_map(read).collect()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match watched_file::read(path, MAX_BYTES) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            Err(FileError::TooLarge { path: path.to_owned() })
        }
        Err(error) => Err(FileError::io(path, "read")(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("a folder");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
        names.sort();
        names
    }

    #[test]
    fn a_link_stays_and_its_target_is_replaced_with_its_permissions() {
        let folder = tempfile::tempdir().expect("a folder");
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        std::fs::write(&target, "old").expect("written");
        std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o640)).expect("a mode");
        symlink("target", &link).expect("a link");
        let file = ConfigFile::open(&link).expect("read");
        file.back_up().expect("backed up");
        file.prepare(b"new", true).expect("prepared").commit().expect("written");
        assert!(link.symlink_metadata().expect("a link").is_symlink());
        assert_eq!(std::fs::read(&target).expect("read"), b"new");
        assert_eq!(names(folder.path()), ["link", "target", "target.mcpool-backup"]);
        for name in ["target", "target.mcpool-backup"] {
            let mode = folder.path().join(name).metadata().expect("there").mode();
            assert_eq!(mode & 0o777, 0o640, "{name}");
        }
        let again = ConfigFile::open(&link).expect("read");
        assert_eq!(again.backups()[0].bytes, b"old");
        let second = again.back_up().expect("backed up").expect("a path");
        assert!(second.ends_with("target.mcpool-backup.1"), "{second:?}");
        again.remove_backup(b"other").expect("nothing to remove");
        assert_eq!(names(folder.path()).len(), 4);
    }

    #[test]
    fn who_ends_between_write_and_rename_leaves_the_old_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "old").expect("written");
        let file = ConfigFile::open(&path).expect("read");
        let prepared = file.prepare(b"new", true).expect("prepared");
        // What a killed process leaves: all but the rename.
        std::mem::forget(prepared);
        assert_eq!(std::fs::read(&path).expect("read"), b"old");
        assert_eq!(names(folder.path()).len(), 2, "the new content has a name of its own");
        let again = ConfigFile::open(&path).expect("read");
        again.prepare(b"newer", true).expect("prepared").commit().expect("written");
        assert_eq!(std::fs::read(&path).expect("read"), b"newer");
        drop(again.prepare(b"never", true).expect("prepared"));
        assert_eq!(names(folder.path()).len(), 2, "what is given up is removed");
        std::fs::write(folder.path().join("fileother.mcpool-tmp"), "theirs").expect("written");
        again.sweep();
        assert_eq!(names(folder.path()), ["file", "fileother.mcpool-tmp"]);
    }

    #[test]
    fn no_backup_is_overwritten_and_their_number_has_a_bound() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::create_dir(folder.path().join("file.mcpool-backup.2")).expect("a folder");
        for number in 0..BACKUPS - 1 {
            std::fs::write(&path, format!("{number}")).expect("written");
            ConfigFile::open(&path).expect("read").back_up().expect("backed up");
        }
        let file = ConfigFile::open(&path).expect("read");
        let all: Vec<_> = file.backups().iter().map(|backup| backup.bytes[0]).collect();
        assert_eq!(all, b"012345678");
        assert!(matches!(file.back_up(), Err(FileError::Backups { .. })));
        assert_eq!(names(folder.path()).len(), BACKUPS + 1);
    }

    #[test]
    fn a_file_that_changed_meanwhile_is_not_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let absent = ConfigFile::open(&path).expect("read");
        let prepared = absent.prepare(b"ours", true).expect("prepared");
        std::fs::write(&path, "theirs").expect("written");
        assert!(matches!(prepared.commit(), Err(FileError::Changed { .. })));
        assert!(matches!(absent.remove(), Err(FileError::Changed { .. })));
        assert_eq!(std::fs::read(&path).expect("read"), b"theirs");
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[test]
    fn what_may_not_be_written_or_is_no_file_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "old").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).expect("a mode");
        let file = ConfigFile::open(&path).expect("read");
        let told = file.check_writable().expect_err("read-only").to_string();
        assert!(told.contains("is read-only: make it writable"), "{told}");
        let link = folder.path().join("link");
        symlink("nowhere", &link).expect("a link");
        assert!(matches!(ConfigFile::open(&link), Err(FileError::Dangling { .. })));
        let told = ConfigFile::open(folder.path()).expect_err("a folder").to_string();
        assert!(told.contains("cannot be read: "), "{told}");
    }

    #[test]
    fn a_new_file_gets_its_folder_and_the_permissions_that_are_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/b/file");
        let file = ConfigFile::open(&path).expect("read");
        assert_eq!(file.bytes(), None);
        file.back_up().expect("nothing to back up");
        file.prepare(b"new", true).expect("prepared").commit().expect("written");
        assert_eq!(path.metadata().expect("there").mode() & 0o777, 0o600);
        assert_eq!(names(path.parent().expect("a folder")), ["file"]);
        let made = ConfigFile::open(&path).expect("read");
        assert_eq!(made.bytes(), Some(&b"new"[..]));
        made.remove().expect("removed");
        assert!(!path.exists());
    }

    #[test]
    fn a_file_of_eight_mebibytes_is_read_and_a_larger_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let file = File::create(&path).expect("made");
        file.set_len(MAX_BYTES).expect("its length");
        assert!(ConfigFile::open(&path).is_ok_and(|file| file.bytes().is_some()));
        file.set_len(MAX_BYTES + 1).expect("its length");
        let told = ConfigFile::open(&path).expect_err("too large").to_string();
        assert!(told.contains("has more than 8.0 MiB, and no larger file is read"), "{told}");
    }

    /// Who waited for a folder that is gone has no lock on the one that has its name now.
    #[test]
    fn a_folder_that_was_exchanged_is_told_from_its_successor() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("a");
        std::fs::create_dir(&path).expect("a folder");
        let open = File::open(&path).expect("open");
        assert!(is_at(&open, &path));
        std::fs::remove_dir(&path).expect("removed");
        assert!(!is_at(&open, &path));
        std::fs::create_dir(&path).expect("a folder");
        // The open one keeps its number, so that the new one has another.
        assert!(!is_at(&open, &path));
        assert!(matches!(lock(&path.join("b/file")), Ok(Lock::NoFolder)));
        assert!(matches!(lock(&path.join("file")), Ok(Lock::Held(_))));
    }
}
