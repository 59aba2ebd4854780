//! Files that somebody is subscribed to, and the one watcher of all of them.
//!
//! The watcher is there as long as there are such files, with a thread of its library and one of ours. It watches the
//! directories that hold the files, as editors put a new file in the place of the old one, and each directory by its open
//! handle, so that a name which is exchanged meanwhile leads nowhere else. A change is told a moment later, once for all that
//! happens until then. At intervals each directory is looked up anew: one that was moved, removed or made again is followed.
//!
//! Locks: `adding` is held while watches are added and removed, which waits for the watcher's thread; that takes `state`
//! alone. Nothing is dropped under `state` that is not our own.

use super::error::FsError;
use super::file_contents::refusal;
use super::sandbox::access::{Reach, Sandbox};
use super::sandbox::lexical;
use super::sandbox::toolset_state::KeptBytesGuard;
use crate::lock::lock;
use crate::server::{ChangeNotifier, FairLimit, Lasting, Permit, RequestContext, ToolError};
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use rustix::fd::{AsRawFd, OwnedFd};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

/// How long changes are gathered before they are told.
const GATHERING: Duration = Duration::from_millis(100);
/// How often directories are looked up anew.
const CHECKING: Duration = Duration::from_secs(5);
/// What a watched file takes beside its URI, its name and the path of its directory.
const FILE_BYTES: usize = 512;

/// The files that somebody is subscribed to.
#[derive(Debug, Default)]
pub(super) struct FileWatches {
    state: Mutex<State>,
    adding: Mutex<Option<RecommendedWatcher>>,
    permits: OnceLock<Arc<FairLimit>>,
}

#[derive(Debug, Default)]
struct State {
    files: HashMap<Arc<str>, WatchedFile>,
    /// By the path that the watcher knows each by.
    directories: HashMap<PathBuf, WatchedDirectory>,
    /// Wakes the thread that tells.
    news: Option<SyncSender<()>>,
    told_to: Option<ChangeNotifier>,
    /// Directories may be elsewhere by now.
    is_unsure: bool,
}

/// A file, by the URI that it was subscribed to.
#[derive(Debug)]
struct WatchedFile {
    /// How many keep it.
    guards: usize,
    directory: PathBuf,
    name: Box<[u8]>,
    is_updated: bool,
    _held: Held,
}

/// What a watched file is counted in.
#[derive(Debug)]
struct Held {
    _permit: Permit,
    _memory: Lasting,
    _kept: KeptBytesGuard,
}

#[derive(Debug)]
struct WatchedDirectory {
    identity: Identity,
    /// Where it was.
    path: Box<[u8]>,
    /// For looking it up anew.
    reach: Arc<Reach>,
    /// How many files of it are watched.
    files: usize,
    /// Keeps the path unique that the watcher knows it by.
    _handle: OwnedFd,
    /// It is no longer at its path.
    is_gone: bool,
}

/// Tells one directory from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "of another type on other systems")]
    fn of(directory: &OwnedFd) -> Option<Self> {
        let stat = rustix::fs::fstat(directory).ok()?;
        Some(Self { device: stat.st_dev as u64, inode: stat.st_ino as u64 })
    }
}

/// A directory that a file is in, found anew.
#[derive(Debug)]
struct FoundDirectory {
    handle: OwnedFd,
    identity: Identity,
    path: Box<[u8]>,
}

/// A directory that is looked up anew.
struct Looked {
    known_by: PathBuf,
    path: Box<[u8]>,
    reach: Arc<Reach>,
    identity: Identity,
}

/// Keeps one file watched.
#[derive(Debug)]
pub(super) struct FileWatch {
    watches: Arc<FileWatches>,
    uri: Arc<str>,
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        // Not under the lock: what it is counted in tells others.
        drop(self.watches.leave(&self.uri));
    }
}

impl FileWatches {
    /// Has changes of the file told to those who are subscribed to `uri`. It need not be there, but its directory must.
    ///
    /// # Errors
    /// [`ToolError::NotFound`] where the client cannot reach it; when as many are watched as may be, or there is no memory
    /// for it, or the system allows for no more.
    pub(super) fn watch(
        self: &Arc<Self>,
        (uri, path): (&str, &[u8]),
        sandbox: &Sandbox,
        request: &RequestContext,
    ) -> Result<FileWatch, ToolError> {
        let (found, name) = find(sandbox, path)?;
        let mut watcher = lock(&self.adding);
        if let Some(kept) = self.join(uri) {
            return Ok(kept);
        }
        let held = self.hold(uri, &found, sandbox, request)?;
        if watcher.is_none() {
            *watcher = Some(self.start(request)?);
        }
        // invariant: set above.
        let watcher = watcher.as_mut().expect("it was started");
        let directory = self.directory(found, Arc::new(sandbox.reach()), watcher);
        let directory = match directory {
            Ok(directory) => directory,
            Err(error) => {
                self.wake();
                return Err(cannot_watch(&error));
            }
        };
        let uri: Arc<str> = uri.into();
        let mut state = lock(&self.state);
        if let Some(known) = state.directories.get_mut(&directory) {
            known.files += 1;
        }
        let file = WatchedFile { guards: 1, directory, name, is_updated: false, _held: held };
        state.files.insert(Arc::clone(&uri), file);
        drop(state);
        Ok(FileWatch { watches: Arc::clone(self), uri })
    }

    /// Joins those who keep a file watched.
    fn join(self: &Arc<Self>, uri: &str) -> Option<FileWatch> {
        let mut state = lock(&self.state);
        let (uri, _) = state.files.get_key_value(uri)?;
        let uri = Arc::clone(uri);
        state.files.get_mut(&uri)?.guards += 1;
        drop(state);
        Some(FileWatch { watches: Arc::clone(self), uri })
    }

    fn leave(&self, uri: &str) -> Option<WatchedFile> {
        let mut state = lock(&self.state);
        let file = state.files.get_mut(uri)?;
        file.guards -= 1;
        if file.guards > 0 {
            return None;
        }
        let file = state.files.remove(uri)?;
        let directory = state.directories.get_mut(&file.directory);
        let is_unused = directory.is_some_and(|directory| {
            directory.files -= 1;
            directory.files == 0
        });
        drop(state);
        if is_unused {
            // The watcher waits for its thread: not here, where others may wait.
            self.wake();
        }
        Some(file)
    }

    fn hold(
        &self,
        uri: &str,
        found: &FoundDirectory,
        sandbox: &Sandbox,
        request: &RequestContext,
    ) -> Result<Held, ToolError> {
        let limits = request.limits();
        let most = limits.max_file_watches;
        let permits = self.permits.get_or_init(|| FairLimit::new(most, limits.principal_share_percent));
        let Some(permit) = permits.acquire(request.session_key().principal) else {
            return Err(ToolError::failed(format_args!(
                "Too many files are watched: {most} may be, of all clients together (setting max_file_watches)"
            )));
        };
        let bytes = FILE_BYTES + uri.len() + 2 * found.path.len();
        let memory = request.reserve_lasting(bytes).map_err(|_| {
            ToolError::failed("There is no memory to watch a file at the moment: try again later")
        })?;
        Ok(Held { _permit: permit, _memory: memory, _kept: sandbox.state().kept_texts.count(bytes) })
    }

    /// Starts the watcher, and the thread that tells.
    fn start(self: &Arc<Self>, request: &RequestContext) -> Result<RecommendedWatcher, ToolError> {
        let (news, told) = sync_channel(1);
        let (all, wakes) = (Arc::downgrade(self), news.clone());
        let handler = move |event: notify::Result<Event>| {
            if let Some(all) = all.upgrade()
                && all.mark(event.as_ref().ok())
            {
                // Where it is full, the thread wakes up anyway.
                let _ = wakes.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(handler).map_err(|error| cannot_watch(&error))?;
        let all = Arc::downgrade(self);
        let thread = std::thread::Builder::new().name("file-watches".to_owned());
        let started = thread.spawn(move || tell(&all, &told));
        started.map_err(|error| ToolError::failed(format_args!("Files cannot be watched: {error}")))?;
        let mut state = lock(&self.state);
        state.news = Some(news);
        state.told_to = Some(request.change_notifier());
        drop(state);
        Ok(watcher)
    }

    /// The path that the watcher knows a directory by, which it may watch already.
    fn directory(
        &self,
        found: FoundDirectory,
        reach: Arc<Reach>,
        watcher: &mut RecommendedWatcher,
    ) -> notify::Result<PathBuf> {
        let FoundDirectory { handle, identity, path } = found;
        let state = lock(&self.state);
        let known = state.directories.iter().find(|(_, directory)| directory.identity == identity);
        if let Some((known, _)) = known {
            return Ok(known.clone());
        }
        drop(state);
        let known_by = watched_path(&handle, &path);
        watcher.watch(&known_by, RecursiveMode::NonRecursive)?;
        let directory = WatchedDirectory { identity, path, reach, files: 0, _handle: handle, is_gone: false };
        lock(&self.state).directories.insert(known_by.clone(), directory);
        Ok(known_by)
    }

    fn wake(&self) {
        if let Some(news) = &lock(&self.state).news {
            // Where it is full, the thread wakes up anyway.
            let _ = news.try_send(());
        }
    }

    /// Marks the files of an event; all of them where events were lost. Returns whether the thread is to look.
    fn mark(&self, event: Option<&Event>) -> bool {
        let mut state = lock(&self.state);
        let State { files, directories, is_unsure, .. } = &mut *state;
        let Some(event) = event.filter(|event| !event.need_rescan()) else {
            for file in files.values_mut() {
                file.is_updated = true;
            }
            *is_unsure = true;
            return true;
        };
        if !changes_contents(event.kind) {
            return false;
        }
        let mut has_some = false;
        for path in &event.paths {
            let (directory, name) = match (path.parent(), path.file_name()) {
                _ if directories.contains_key(path) => (&**path, None),
                (Some(directory), Some(name)) => (directory, Some(name.as_bytes())),
                _ => continue,
            };
            // The directory itself was moved or removed.
            *is_unsure |= name.is_none();
            let is_named = |file: &&mut WatchedFile| {
                name.is_none_or(|name| *file.name == *name) && file.directory == directory
            };
            for file in files.values_mut().filter(is_named) {
                file.is_updated = true;
                has_some = true;
            }
        }
        has_some || *is_unsure
    }

    /// Reports the files that were marked.
    fn tell_updated(&self) {
        let mut state = lock(&self.state);
        let updated = state.files.iter_mut().filter(|(_, file)| file.is_updated);
        let updated: Vec<Arc<str>> = updated
            .map(|(uri, file)| {
                file.is_updated = false;
                Arc::clone(uri)
            })
            .collect();
        let told_to = state.told_to.clone();
        drop(state);
        let Some(clients) = told_to else { return };
        for uri in updated {
            clients.resource_updated(&uri);
        }
    }

    /// Ends the watches of directories of which no file is watched any more. Returns whether none is left, and the watcher
    /// has ended.
    fn tidy(&self) -> bool {
        let mut watcher = lock(&self.adding);
        let mut state = lock(&self.state);
        let unused: Vec<(PathBuf, WatchedDirectory)> =
            state.directories.extract_if(|_, directory| directory.files == 0).collect();
        let is_last = state.directories.is_empty();
        if is_last {
            *state = State::default();
        }
        drop(state);
        for (path, _) in &unused {
            if let Some(watcher) = watcher.as_mut() {
                // Of a directory that is gone, the watch is, too.
                let _ = watcher.unwatch(path);
            }
        }
        if is_last {
            *watcher = None;
        }
        is_last
    }

    /// Looks directories up anew, and follows those that were made again.
    fn check(&self) {
        let mut state = lock(&self.state);
        state.is_unsure = false;
        let all: Vec<Looked> = state
            .directories
            .iter()
            .map(|(known_by, directory)| Looked {
                known_by: known_by.clone(),
                path: directory.path.clone(),
                reach: Arc::clone(&directory.reach),
                identity: directory.identity,
            })
            .collect();
        drop(state);
        for looked in all {
            let found = find_directory(&looked.reach.enter(), &looked.path);
            let is_there = found.as_ref().is_some_and(|found| found.identity == looked.identity);
            self.follow(looked, found.filter(|_| !is_there), is_there);
        }
    }

    /// Notes whether a directory is where it was, and goes on with the one that is there instead.
    fn follow(&self, looked: Looked, instead: Option<FoundDirectory>, is_there: bool) {
        let Looked { known_by, reach, .. } = looked;
        let mut watcher = lock(&self.adding);
        let mut state = lock(&self.state);
        let Some(directory) = state.directories.get_mut(&known_by) else { return };
        let was_gone = std::mem::replace(&mut directory.is_gone, !is_there);
        if is_there && !was_gone || !is_there && was_gone && instead.is_none() {
            return;
        }
        for file in state.files.values_mut().filter(|file| file.directory == known_by) {
            file.is_updated = true;
        }
        drop(state);
        let (Some(found), Some(watcher)) = (instead, watcher.as_mut()) else { return };
        let Ok(new) = self.directory(found, reach, watcher) else { return };
        let mut state = lock(&self.state);
        let State { files, directories, .. } = &mut *state;
        let mut moved = 0;
        for file in files.values_mut().filter(|file| file.directory == known_by) {
            file.directory.clone_from(&new);
            moved += 1;
        }
        // A directory of which no file is watched ends with the next look.
        directories.get_mut(&known_by).into_iter().for_each(|directory| directory.files -= moved);
        directories.get_mut(&new).into_iter().for_each(|directory| directory.files += moved);
    }
}

/// Reports changes until no file is watched.
fn tell(watches: &Weak<FileWatches>, news: &Receiver<()>) {
    let mut next_check = Instant::now() + CHECKING;
    loop {
        match news.recv_timeout(next_check.saturating_duration_since(Instant::now())) {
            Ok(()) => {
                std::thread::sleep(GATHERING);
                // What came meanwhile is told now.
                while news.try_recv().is_ok() {}
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let Some(watches) = watches.upgrade() else { return };
        if Instant::now() >= next_check || lock(&watches.state).is_unsure {
            watches.check();
            next_check = Instant::now() + CHECKING;
        }
        watches.tell_updated();
        if watches.tidy() {
            return;
        }
    }
}

/// Whether what happened may change what is read of a file.
fn changes_contents(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_)) => false,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

/// The directory that holds a file, through all links, and the name of the file in it.
fn find(sandbox: &Sandbox, path: &[u8]) -> Result<(FoundDirectory, Box<[u8]>), ToolError> {
    let target = sandbox.resolve_absolute(path).map_err(refusal)?;
    let (parent, name) = target.open_parent().ok_or(ToolError::NotFound)?;
    let handle = parent.map_err(|errno| refusal(FsError::os(errno, "open", path)))?;
    let identity = Identity::of(&handle).ok_or(ToolError::NotFound)?;
    let path = lexical::split_last(target.path()).map_or(&b"/"[..], |(parent, _)| parent);
    let path = Box::from(if path.is_empty() { b"/" } else { path });
    Ok((FoundDirectory { handle, identity, path }, name.into()))
}

fn find_directory(sandbox: &Sandbox, path: &[u8]) -> Option<FoundDirectory> {
    let handle = sandbox.open_absolute(path, super::sandbox::listing::LIST).ok()?;
    let identity = Identity::of(&handle)?;
    Some(FoundDirectory { handle, identity, path: path.into() })
}

/// The path that the watcher knows a directory by: on Linux that of its handle, which leads to nothing else.
fn watched_path(handle: &OwnedFd, path: &[u8]) -> PathBuf {
    if cfg!(target_os = "linux") {
        PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd()))
    } else {
        PathBuf::from(OsStr::from_bytes(path))
    }
}

fn cannot_watch(error: &notify::Error) -> ToolError {
    match error.kind {
        notify::ErrorKind::MaxFilesWatch => ToolError::failed(
            "The system allows for no more watches of files (on Linux the sysctls fs.inotify.max_user_watches and \
             fs.inotify.max_user_instances)",
        ),
        _ => ToolError::failed(format_args!("The file cannot be watched: {error}")),
    }
}
