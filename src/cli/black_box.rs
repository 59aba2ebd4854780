//! Writes what the black box of a server recorded to files.
//!
//! When work was refused for lack of memory, when an alert begins, on SIGUSR1, and when somebody asks at the admin socket.
//!
//! Invariants: a file is there as a whole or not at all, and only its owner can read it; there are at most as many files
//! of this user as are set, whatever else is in the folder, and the newest stays; there is one attempt a minute for each
//! reason, also where it fails; writing holds up no request.

use super::clock;
use crate::memory::HistoryReason;
use crate::monitor::Alert;
use crate::server::Server;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

const TICK: Duration = Duration::from_secs(1);
/// Ticks from an alert to its file: the second in which it came has to be over.
const TICKS_AFTER: u8 = 2;
/// Shortest time between two attempts for one reason.
const PAUSE: Duration = Duration::from_mins(1);
/// How far the clocks of servers that share a folder may be apart.
const CLOCK_SPREAD_MS: u64 = 24 * 60 * 60 * 1_000;
const PREFIX: &str = "black-box-";
const SUFFIX: &str = ".json";
const UNFINISHED: &str = ".unfinished";

/// Where the files of a server go, and when it last tried to write one.
pub(super) struct BlackBoxFiles {
    server: Server,
    /// `None`: nothing is written.
    folder: Option<PathBuf>,
    most: usize,
    /// By reason.
    tried: Mutex<[Option<Instant>; 3]>,
    alerted: AtomicBool,
}

/// What came of asking for a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Written {
    /// The file.
    pub(super) path: Option<PathBuf>,
    /// Why there is none.
    pub(super) why: Option<String>,
}

/// Why no file was written.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotWritten {
    #[error("no folder is set for it: start the server with --black-box-dir DIR")]
    NoFolder,
    #[error("the last one was written less than a minute ago, or could not be")]
    TooSoon,
    #[error("cannot write to {path}: {source}", path = path.display())]
    Failed { path: PathBuf, source: io::Error },
}

impl BlackBoxFiles {
    /// Makes the folder, and tries whether a file can be written to it: it is wanted when nobody looks.
    pub(super) fn open(server: &Server, folder: Option<&Path>) -> Result<Arc<Self>, NotWritten> {
        if let Some(folder) = folder {
            make_folder(folder)
                .and_then(|()| try_to_write(folder))
                .map_err(|source| NotWritten::Failed { path: folder.to_owned(), source })?;
        }
        Ok(Arc::new(Self {
            server: server.clone(),
            folder: folder.map(Path::to_owned),
            most: server.limits().black_box_files,
            tried: Mutex::default(),
            alerted: AtomicBool::new(false),
        }))
    }

    /// Has a file written soon, if the alert has just begun.
    pub(super) fn note_alert(&self, alert: &Alert) {
        if alert.is_active() {
            self.alerted.store(true, Ordering::Relaxed);
        }
    }

    /// Writes a file now, and returns its path.
    pub(super) fn write(&self, reason: HistoryReason) -> Result<PathBuf, NotWritten> {
        let folder = self.folder.as_deref().ok_or(NotWritten::NoFolder)?;
        // Held while it writes, so that two do not write the same file.
        let mut tried = crate::lock::lock(&self.tried);
        let last = &mut tried[reason as usize];
        if last.is_some_and(|last| last.elapsed() < PAUSE) {
            return Err(NotWritten::TooSoon);
        }
        // Before it is known whether it succeeds: a folder that cannot be written is not tried each second.
        *last = Some(Instant::now());
        let history = self.server.memory().history(reason);
        let name = format!(
            "{PREFIX}{}-{}-{}{SUFFIX}",
            clock::file_stamp(history.taken_unix_ms),
            reason.name(),
            history.server.pid
        );
        let write = || {
            make_folder(folder)?;
            // A full disk may have room again by it.
            log_left(remove_unfinished(folder));
            write_whole(&folder.join(&name), |out| {
                serde_json::to_writer(&mut *out, &history).map_err(io::Error::from)
            })
        };
        write().map_err(|source| NotWritten::Failed { path: folder.to_owned(), source })?;
        // The file is there, whatever becomes of the older ones.
        let latest = format!("{PREFIX}{}", clock::file_stamp(history.taken_unix_ms + CLOCK_SPREAD_MS));
        log_left(remove_oldest(folder, [&name, &latest], self.most, remove));
        Ok(folder.join(name))
    }

    /// The same, with the answer for who asks.
    pub(super) fn write_asked(&self) -> Written {
        match self.write(HistoryReason::Asked) {
            Ok(path) => Written { path: Some(path), why: None },
            Err(error) => Written { path: None, why: Some(error.to_string()) },
        }
    }

    fn write_and_log(&self, reason: HistoryReason) {
        let name = reason.name();
        match self.write(reason) {
            Ok(path) => tracing::info!(reason = name, path = %path.display(), "the black box is written"),
            Err(NotWritten::NoFolder) if reason == HistoryReason::Alert => {
                tracing::debug!("an alert began, and black_box_dir is not set");
            }
            Err(error @ NotWritten::TooSoon) if reason != HistoryReason::Asked => {
                tracing::debug!(reason = name, %error, "the black box is not written");
            }
            Err(error) => tracing::warn!(reason = name, %error, "the black box is not written"),
        }
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => io::Error::new(io::ErrorKind::NotADirectory, "it is no folder"),
        _ => error,
    })
}

fn try_to_write(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!("{PREFIX}{}{SUFFIX}{UNFINISHED}", std::process::id()));
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(_) => fs::remove_file(&path),
        // A process of the same number was killed here, or tries the same in another container.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes a file at `path`, or leaves what is there.
fn write_whole(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let mut unfinished = path.to_owned().into_os_string();
    unfinished.push(UNFINISHED);
    let unfinished = PathBuf::from(unfinished);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    let mut out = BufWriter::new(file);
    let written = write(&mut out).and_then(|()| out.flush()).and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    written
}

/// Removes the oldest files beside `newest` until there are `most` in all; their names begin with their times, and another
/// server may write to the same folder. Those whose names are beyond `latest` go first: such a time has not come, and they
/// would stay for good in the place of all that is written.
///
/// What is no plain file is none of them, and what cannot be removed does not count: it may be another user's.
fn remove_oldest(
    folder: &Path,
    [newest, latest]: [&str; 2],
    most: usize,
    remove: impl Fn(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let is_older = |name: &str| name.starts_with(PREFIX) && name.ends_with(SUFFIX) && name != newest;
    let mut files: Vec<_> = plain_files(folder)?.filter(|(name, _)| is_older(name)).collect();
    files.sort_unstable_by(|(one, _), (other, _)| {
        (one.as_str() <= latest, one).cmp(&(other.as_str() <= latest, other))
    });
    let too_many = files.len().saturating_sub(most.saturating_sub(1));
    // All are tried, and one of those that stay is named: there may be thousands.
    files.iter().take(too_many).map(|(_, path)| remove(path)).fold(Ok(()), Result::and)
}

/// Removes what a server left that was killed while it wrote.
fn remove_unfinished(folder: &Path) -> io::Result<()> {
    let is_left = |name: &str, path: &Path| {
        let written = || fs::symlink_metadata(path).and_then(|file| file.modified()).ok();
        let is_unfinished = name
            .strip_suffix(UNFINISHED)
            .is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        // Another server may be writing one.
        is_unfinished && written().is_some_and(|at| at.elapsed().is_ok_and(|age| age > PAUSE))
    };
    let left = plain_files(folder)?.filter(|(name, path)| is_left(name, path));
    left.map(|(_, path)| remove(&path)).fold(Ok(()), Result::and)
}

fn log_left(removed: io::Result<()>) {
    if let Err(error) = removed {
        tracing::warn!(%error, "an old file of the black box cannot be removed");
    }
}

/// The plain files of a folder, links left out.
fn plain_files(folder: &Path) -> io::Result<impl Iterator<Item = (String, PathBuf)>> {
    let is_plain = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_file());
    let entries = fs::read_dir(folder)?.flatten().filter(is_plain);
    Ok(entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

/// What has the black box written by itself. It has to be made before the server serves, so that no signal is missed.
pub(super) struct Triggers {
    files: Arc<BlackBoxFiles>,
    asked: Signal,
    /// Refusals that were in the black box at the last tick.
    refused: u64,
    /// Ticks until the file for an alert, where one is due.
    alert_due: Option<u8>,
}

impl Triggers {
    pub(super) fn listen(files: Arc<BlackBoxFiles>) -> io::Result<Self> {
        let refused = files.server.memory().recorded_refusals();
        Ok(Self { asked: signal(SignalKind::user_defined1())?, files, refused, alert_due: None })
    }

    /// Runs until the task is aborted.
    pub(super) async fn run(mut self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let reasons = tokio::select! {
                _ = ticks.tick() => self.due_now(),
                Some(()) = self.asked.recv() => [Some(HistoryReason::Asked), None],
            };
            for reason in reasons.into_iter().flatten() {
                let files = Arc::clone(&self.files);
                // Disks may be slow. It fails only by a panic, which is reported already.
                let _ = tokio::task::spawn_blocking(move || files.write_and_log(reason)).await;
            }
        }
    }

    fn due_now(&mut self) -> [Option<HistoryReason>; 2] {
        // Those that were recorded: the second in which they came is in the file.
        let refused = self.files.server.memory().recorded_refusals();
        let has_refused = std::mem::replace(&mut self.refused, refused) != refused;
        let has_alerted = self.files.alerted.swap(false, Ordering::Relaxed);
        let (alert_due, is_due) = match self.alert_due {
            None => (has_alerted.then_some(TICKS_AFTER), false),
            Some(1) => (None, true),
            Some(ticks) => (Some(ticks - 1), false),
        };
        self.alert_due = alert_due;
        [has_refused.then_some(HistoryReason::Refused), is_due.then_some(HistoryReason::Alert)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::History;
    use std::os::unix::fs::PermissionsExt;

    fn files(folder: Option<&Path>) -> Arc<BlackBoxFiles> {
        let limits = crate::Limits { black_box_files: 2, ..crate::Limits::default() };
        let server = Server::builder("t", "1").limits(limits).build().expect("a server");
        server.maintain();
        BlackBoxFiles::open(&server, folder).expect("opened")
    }

    #[test]
    fn a_file_is_a_history_of_its_owner_alone_and_there_are_few() {
        let folder = tempfile::tempdir().expect("a folder");
        let within = folder.path().join("made/here");
        fs::create_dir_all(&within).expect("made");
        for name in
            ["black-box-2001-01-01T00-00-00Z-asked-1.json", "black-box-2001-01-02T00-00-00Z-asked-1.json"]
        {
            fs::write(within.join(name), "{}").expect("written");
        }
        fs::write(within.join("notes.json"), "mine").expect("written");
        let files = files(Some(&within));
        let path = files.write(HistoryReason::Asked).expect("written");
        let text = fs::read_to_string(&path).expect("there");
        let history = History::from_json(&text).expect("a history");
        assert_eq!((history.reason, history.server.name.as_str()), (HistoryReason::Asked, "t"));
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        let mut names: Vec<_> = fs::read_dir(&within)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort();
        assert_eq!(names.len(), 3, "{names:?}");
        assert_eq!(names[0], "black-box-2001-01-02T00-00-00Z-asked-1.json", "the oldest is gone");
        assert!(names.contains(&"notes.json".into()), "{names:?}");
        assert!(matches!(files.write(HistoryReason::Asked), Err(NotWritten::TooSoon)));
        files.write(HistoryReason::Refused).expect("each reason has its own minute");
    }

    #[test]
    fn without_a_folder_or_where_none_can_be_made_the_reason_is_given() {
        assert!(matches!(files(None).write(HistoryReason::Alert), Err(NotWritten::NoFolder)));
        let folder = tempfile::tempdir().expect("a folder");
        let within = folder.path().join("within");
        let files = files(Some(&within));
        fs::remove_dir(&within).expect("it was made");
        fs::write(&within, "").expect("written");
        let answer = files.write_asked();
        assert_eq!(answer.path, None);
        assert!(answer.why.expect("a reason").contains("cannot write to"));
        // It is not tried again at once, even if it would succeed.
        fs::remove_file(&within).expect("removed");
        assert!(matches!(files.write(HistoryReason::Asked), Err(NotWritten::TooSoon)));
        files.write(HistoryReason::Alert).expect("another reason has its own minute");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told_at_the_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("written");
        let server = Server::builder("t", "1").build().expect("a server");
        for unusable in [file.clone(), file.join("within")] {
            let error = BlackBoxFiles::open(&server, Some(&unusable)).err().expect("refused");
            assert!(error.to_string().contains("cannot write to"), "{error}");
        }
        let within = folder.path().join("made/here");
        BlackBoxFiles::open(&server, Some(&within)).expect("made");
        assert_eq!(names(&within), [""; 0], "nothing is left of the attempt");
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("an entry").file_name().into_string();
        let mut names: Vec<String> = entries.map(|entry| name(entry).expect("text")).collect();
        names.sort();
        names
    }

    #[test]
    fn what_cannot_be_removed_or_is_no_file_neither_fails_a_write_nor_lifts_the_bound() {
        let folder = tempfile::tempdir().expect("a folder");
        let within = folder.path();
        fs::create_dir(within.join("black-box-0.json")).expect("made");
        fs::create_dir(within.join("black-box-9999.json")).expect("made");
        fs::write(within.join("notes"), "mine").expect("written");
        std::os::unix::fs::symlink(within.join("notes"), within.join("black-box-1.json")).expect("linked");
        for name in ["black-box-2001-01-01.json", "black-box-2001-01-02.json", "black-box-2001-01-03.json"] {
            fs::write(within.join(name), "{}").expect("written");
        }
        let files = files(Some(within));
        let path = files.write(HistoryReason::Refused).expect("written");
        assert!(path.is_file());
        let newest = path.file_name().expect("a name").to_str().expect("text").to_owned();
        let want = [
            "black-box-0.json",
            "black-box-1.json",
            "black-box-2001-01-03.json",
            &newest,
            "black-box-9999.json",
            "notes",
        ];
        assert_eq!(names(within), want);
        assert!(matches!(files.write(HistoryReason::Refused), Err(NotWritten::TooSoon)));
    }

    #[test]
    fn what_cannot_be_removed_is_not_counted_and_the_next_one_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let within = folder.path();
        for number in 0..6 {
            fs::write(within.join(format!("black-box-{number}.json")), "").expect("written");
        }
        let is_foreign =
            |path: &Path| path.ends_with("black-box-0.json") || path.ends_with("black-box-2.json");
        let others = |path: &Path| {
            if is_foreign(path) { Err(io::ErrorKind::PermissionDenied.into()) } else { remove(path) }
        };
        let error =
            remove_oldest(within, ["black-box-5.json", "black-box-6"], 2, others).expect_err("two stay");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        let want = ["black-box-0.json", "black-box-2.json", "black-box-4.json", "black-box-5.json"];
        assert_eq!(names(within), want);
    }

    #[test]
    fn the_file_that_was_just_written_stays_whatever_the_names_of_the_others_say() {
        let folder = tempfile::tempdir().expect("a folder");
        for number in 0..5 {
            fs::write(folder.path().join(format!("black-box-9999-{number}.json")), "{}").expect("written");
        }
        let files = files(Some(folder.path()));
        let path = files.write(HistoryReason::Asked).expect("written");
        let newest = path.file_name().expect("a name").to_str().expect("text").to_owned();
        assert_eq!(names(folder.path()), [newest.as_str(), "black-box-9999-4.json"]);
    }

    /// A clock that was ahead, or somebody who wants to be rid of the files, must not have all later ones removed.
    #[test]
    fn files_of_a_time_that_has_not_come_go_first() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["black-box-9999-1.json", "black-box-9999-2.json", "black-box-2001-01-01.json"] {
            fs::write(folder.path().join(name), "{}").expect("written");
        }
        let files = files(Some(folder.path()));
        let path = files.write(HistoryReason::Asked).expect("written");
        let newest = path.file_name().expect("a name").to_str().expect("text").to_owned();
        assert_eq!(names(folder.path()), ["black-box-2001-01-01.json", newest.as_str()]);
        let path = files.write(HistoryReason::Alert).expect("written");
        let second = path.file_name().expect("a name").to_str().expect("text").to_owned();
        let mut want = [newest, second];
        want.sort();
        assert_eq!(names(folder.path()), want);
    }

    #[test]
    fn what_a_killed_server_left_is_removed_after_a_minute() {
        let folder = tempfile::tempdir().expect("a folder");
        let within = folder.path();
        let long_ago = std::time::SystemTime::now() - 2 * PAUSE;
        let old = ["black-box-1.json.unfinished", "notes.unfinished", "black-box-1.txt.unfinished"];
        for name in old {
            let file = File::create(within.join(name)).expect("made");
            file.set_modified(long_ago).expect("set");
        }
        fs::create_dir(within.join("black-box-3.json.unfinished")).expect("made");
        fs::write(within.join("black-box-2.json.unfinished"), "").expect("written");
        remove_unfinished(within).expect("listed");
        let want = [
            "black-box-1.txt.unfinished",
            "black-box-2.json.unfinished",
            "black-box-3.json.unfinished",
            "notes.unfinished",
        ];
        assert_eq!(names(within), want);
    }

    #[tokio::test]
    async fn a_file_is_due_once_the_second_of_a_refusal_is_over() {
        let files = files(None);
        let mut triggers = Triggers::listen(Arc::clone(&files)).expect("listens");
        assert_eq!(triggers.due_now(), [None; 2]);
        files.server.memory().note_refused();
        assert_eq!(triggers.due_now(), [None; 2], "its second is not recorded yet");
        files.server.maintain();
        files.alerted.store(true, Ordering::Relaxed);
        // Where the system does not tell what is resident, nothing is recorded.
        let refused = cfg!(target_os = "linux").then_some(HistoryReason::Refused);
        assert_eq!(triggers.due_now(), [refused, None]);
        assert_eq!(triggers.due_now(), [None; 2], "one refusal, one file");
        assert_eq!(triggers.due_now(), [None, Some(HistoryReason::Alert)]);
        assert_eq!(triggers.due_now(), [None; 2]);
    }
}
