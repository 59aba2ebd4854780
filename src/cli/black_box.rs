//! Writes what the black box of a server recorded to files.
//!
//! When work was refused for lack of memory, when an alert begins, on SIGUSR1, and when somebody asks at the admin socket.
//!
//! Invariants: a file is there as a whole or not at all, and only its owner can read it; there are at most as many files
//! as are set, and one a minute for each reason; writing holds up no request.

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
/// Shortest time between two files for one reason.
const PAUSE: Duration = Duration::from_mins(1);
const PREFIX: &str = "black-box-";
const SUFFIX: &str = ".json";

/// Where the files of a server go, and when the last ones were written.
pub(super) struct BlackBoxFiles {
    server: Server,
    /// `None`: nothing is written.
    folder: Option<PathBuf>,
    most: usize,
    /// By reason.
    written: Mutex<[Option<Instant>; 3]>,
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
    #[error("one was written less than a minute ago")]
    TooSoon,
    #[error("cannot write to {path}: {source}", path = path.display())]
    Failed { path: PathBuf, source: io::Error },
}

impl BlackBoxFiles {
    pub(super) fn new(server: &Server, folder: Option<&Path>) -> Arc<Self> {
        Arc::new(Self {
            server: server.clone(),
            folder: folder.map(Path::to_owned),
            most: server.limits().black_box_files,
            written: Mutex::default(),
            alerted: AtomicBool::new(false),
        })
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
        let mut written = crate::lock::lock(&self.written);
        let last = &mut written[reason as usize];
        if last.is_some_and(|last| last.elapsed() < PAUSE) {
            return Err(NotWritten::TooSoon);
        }
        let history = self.server.memory().history(reason);
        let name = format!(
            "{PREFIX}{}-{}-{}{SUFFIX}",
            clock::file_stamp(history.taken_unix_ms),
            reason.name(),
            history.server.pid
        );
        let write = || {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            write_whole(&folder.join(&name), |out| {
                serde_json::to_writer(&mut *out, &history).map_err(io::Error::from)
            })?;
            remove_oldest(folder, self.most)
        };
        write().map_err(|source| NotWritten::Failed { path: folder.to_owned(), source })?;
        *last = Some(Instant::now());
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

/// Makes a file at `path`, or leaves what is there.
fn write_whole(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let mut unfinished = path.to_owned().into_os_string();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    let mut out = BufWriter::new(file);
    let written = write(&mut out).and_then(|()| out.flush()).and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    written
}

/// Leaves the newest files: their names begin with their times.
fn remove_oldest(folder: &Path, most: usize) -> io::Result<()> {
    let is_ours = |name: &str| name.starts_with(PREFIX) && name.ends_with(SUFFIX);
    let entries = fs::read_dir(folder)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = entries.filter(|name| is_ours(name)).collect();
    names.sort_unstable();
    let too_many = names.len().saturating_sub(most);
    names.iter().take(too_many).try_for_each(|name| match fs::remove_file(folder.join(name)) {
        // Another server may write to the same folder.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    })
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
        BlackBoxFiles::new(&server, folder)
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
        let file = folder.path().join("file");
        fs::write(&file, "").expect("written");
        let answer = files(Some(&file)).write_asked();
        assert_eq!(answer.path, None);
        assert!(answer.why.expect("a reason").contains("cannot write to"));
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
