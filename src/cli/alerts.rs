//! What the program does with the alerts of its server: it runs a command for each, and keeps the baseline in a file.
//!
//! Commands run one after the other on a thread of their own. Invariant: a command that hangs or fails holds up no
//! request; at most [`MAX_QUEUED`] alerts wait for it, and what is dropped is logged.

use super::error::CliError;
use super::named_file::{MAX_FILE_BYTES, read_text};
use crate::monitor::{Alert, SavedBaseline};
use crate::server::Server;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Most alerts that wait for the command.
const MAX_QUEUED: usize = 16;
/// How long the command may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// What takes alerts. It must not block.
pub(super) type AlertSink = Box<dyn Fn(&Alert) + Send + Sync>;

/// Has `command` run for each alert.
pub(super) fn command_sink(command: &str) -> Result<AlertSink, CliError> {
    let words = shlex::split(command).filter(|words| !words.is_empty());
    let Some(words) = words else {
        return Err(CliError::Usage(format!("alert_command = {command:?} is no command: close its quotes")));
    };
    let (sender, alerts) = sync_channel::<Alert>(MAX_QUEUED);
    let runner = thread::Builder::new().name("mcpool-alerts".to_owned());
    runner.spawn(move || run_all(&words, &alerts))?;
    Ok(Box::new(move |alert| {
        if sender.try_send(alert.clone()).is_err() {
            tracing::error!(subject = alert.subject, "alert_command is too slow: an alert is dropped");
        }
    }))
}

/// Ends when the server and its sender are gone.
fn run_all(words: &[String], alerts: &Receiver<Alert>) {
    for alert in alerts {
        if let Err(error) = run(words, &alert, PATIENCE) {
            tracing::error!(%error, command = words[0], subject = alert.subject, "alert_command failed");
        }
    }
}

fn run(words: &[String], alert: &Alert, patience: Duration) -> io::Result<()> {
    let mut command = Command::new(&words[0]);
    // Standard output may carry the protocol.
    command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // A shell starts children of its own: they are ended together.
    let mut child = command.process_group(0).spawn()?;
    let group = Pid::from_raw(child.id().cast_signed());
    let json = serde_json::to_vec(alert)?;
    if let Some(mut stdin) = child.stdin.take() {
        // An alert fits into a pipe. Who does not read it has no use for it.
        let _ = stdin.write_all(&json);
    }
    let begun = Instant::now();
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(io::Error::other(status.to_string())),
            None if begun.elapsed() >= patience => {
                // The group exists until its leader is waited for, so its number is nobody else's.
                match group {
                    Some(group) => kill_process_group(group, Signal::KILL)?,
                    None => child.kill()?,
                }
                child.wait()?;
                return Err(io::Error::other(format!("it took longer than {} s", patience.as_secs())));
            }
            None => thread::sleep(LOOK),
        }
    }
}

/// Reads the baseline, if it is there. Returns whether it is.
pub(super) fn read_baseline(server: &Server, path: &Path) -> Result<bool, CliError> {
    let fault = |why: &dyn std::fmt::Display| {
        CliError::Usage(format!(
            "cannot use the baseline {}: {why}; move it away to learn anew",
            path.display()
        ))
    };
    let text = match read_text(path, MAX_FILE_BYTES) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(fault(&error)),
    };
    let baseline: SavedBaseline = serde_json::from_str(&text).map_err(|error| fault(&error))?;
    tracing::info!(version = baseline.version, path = %path.display(), "latencies are compared with a baseline");
    server.compare_with(baseline).map_err(|error| fault(&error))?;
    Ok(true)
}

/// Writes what was usual, as a whole or not at all. A run that was too short to know writes nothing.
pub(super) fn write_baseline(server: &Server, path: &Path) -> io::Result<()> {
    let baseline = server.baseline();
    if baseline.subjects.is_empty() {
        tracing::warn!(path = %path.display(), "no baseline is written: nothing was used for five minutes");
        return Ok(());
    }
    let mut unfinished = path.to_owned().into_os_string();
    unfinished.push(".unfinished");
    std::fs::write(&unfinished, serde_json::to_vec_pretty(&baseline)?)?;
    std::fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::{AlertKind, BandBaseline, SavedSubject, Severity};

    fn alert() -> Alert {
        Alert {
            severity: Severity::Warning,
            kind: AlertKind::Regression,
            subject: "tool echo".to_owned(),
            what: "takes longer".to_owned(),
            against: "usual".to_owned(),
            cause: "itself".to_owned(),
            command: "mcpool report".to_owned(),
            since_unix_ms: 1,
            resolved_unix_ms: None,
            times: 1,
        }
    }

    fn words(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[test]
    fn the_command_gets_the_alert_and_its_failures_are_told_apart() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("alert");
        let script = format!("cat > '{}'", path.display());
        run(&words(&script), &alert(), PATIENCE).expect("written");
        let read: Alert = serde_json::from_slice(&std::fs::read(&path).expect("there")).expect("an alert");
        assert_eq!(read, alert());
        assert!(run(&words("exit 3"), &alert(), PATIENCE).expect_err("failed").to_string().contains('3'));
        let late = run(&words("sleep 60"), &alert(), Duration::ZERO).expect_err("too slow");
        assert!(late.to_string().contains("longer than"), "{late}");
        assert!(run(&["/no/such/command".to_owned()], &alert(), PATIENCE).is_err());
    }

    /// The child of the shell holds the writing end of a pipe, which ends with the last process that holds it.
    #[test]
    fn a_command_that_takes_too_long_ends_with_its_children() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("fifo");
        let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo runs");
        assert!(made.success());
        let (tell, told) = sync_channel(1);
        let reading = thread::spawn({
            let path = path.clone();
            move || {
                let read = std::fs::read_to_string(path).expect("read to its end");
                tell.send(read).expect("somebody waits");
            }
        });
        let script = format!("exec 3> '{}'; sleep 600 & echo begun >&3; wait", path.display());
        run(&words(&script), &alert(), Duration::from_secs(4)).expect_err("too slow");
        let read = told.recv_timeout(Duration::from_mins(1)).expect("no process holds the pipe");
        assert_eq!(read, "begun\n");
        reading.join().expect("no panic");
    }

    #[test]
    fn a_baseline_is_read_where_it_is_there_and_what_is_none_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("baseline.json");
        let server = Server::builder("t", "1").build().expect("a server");
        assert!(!read_baseline(&server, &path).expect("none there"));
        write_baseline(&server, &path).expect("nothing to write");
        assert!(!path.exists());
        let usual =
            BandBaseline { band: 3, windows: 40, p50_ns: 1e3, p50_noise: 0.01, p95_ns: 2e3, p95_noise: 0.02 };
        let subject = SavedSubject { name: "tool echo".to_owned(), bands: vec![usual] };
        let schema = "mcpool.baseline/1".to_owned();
        let saved = SavedBaseline { schema, version: "1".to_owned(), subjects: vec![subject] };
        std::fs::write(&path, serde_json::to_vec(&saved).expect("JSON")).expect("written");
        assert!(read_baseline(&server, &path).expect("a baseline"));
        for text in ["{}", r#"{"schema":"other","version":"","subjects":[]}"#] {
            std::fs::write(&path, text).expect("written");
            assert!(read_baseline(&server, &path).is_err(), "{text}");
        }
    }
}
