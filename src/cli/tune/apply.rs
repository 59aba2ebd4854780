//! `mcpool tune --apply`: sets capacities of a running server, watches it for a while, and keeps them or sets them back.
//!
//! Invariant: what is set is in the journal before. It is set back when the trial fails, when the server cannot be asked,
//! and when a signal ends the program.

use super::journal::{Entry, Event, Resize, in_force};
use crate::cli::admin;
use crate::cli::error::{CliError, INTERRUPTED};
use crate::cli::named_file::{MAX_FILE_BYTES, read_text};
use crate::cli::terminal::write_wrapped;
use crate::memory::{MemoryReport, PressureLevel};
use crate::report::{Proposal, Trial, TrialVerdict};
use crate::visible;
use clap::ArgMatches;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often the pressure is looked at while a change is watched.
const LOOK: Duration = Duration::from_secs(1);
/// How long a signal may wait for its effect.
const TICK: Duration = Duration::from_millis(100);
/// Columns of what is said.
const WIDTH: usize = 80;
const DEFAULT_JOURNAL: &str = "mcpool-tune.jsonl";

/// The server, and the file that tells what was done to it.
pub(super) struct Subject<'m> {
    source: Option<&'m str>,
    journal: PathBuf,
    watch: Duration,
}

impl<'m> Subject<'m> {
    pub(super) fn of(matches: &'m ArgMatches) -> Result<Self, CliError> {
        let mut sources = matches.get_many::<String>("reports").into_iter().flatten().map(String::as_str);
        let source = sources.next();
        if sources.next().is_some() || source.is_some_and(crate::cli::report::is_saved) {
            let why = "name the admin socket of one running server, and no saved report";
            return Err(CliError::Usage(format!("--apply and --undo change a running server: {why}")));
        }
        let journal =
            matches.get_one::<PathBuf>("journal").cloned().unwrap_or_else(|| DEFAULT_JOURNAL.into());
        let watch = Duration::from_secs(matches.get_one::<u64>("watch").copied().unwrap_or(60));
        Ok(Self { source, journal, watch })
    }

    /// Sets what the proposal advises for pools, and watches. The exit code is 1 when it was set back.
    pub(super) fn apply(
        &self,
        before: &MemoryReport,
        proposal: &Proposal,
        out: &mut impl Write,
    ) -> Result<ExitCode, CliError> {
        let resizes = resizes(before, proposal);
        if resizes.is_empty() {
            writeln!(out, "There is nothing to apply: no capacity of a pool changes.")?;
            return Ok(ExitCode::SUCCESS);
        }
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            flag::register(signal, Arc::clone(&stop)).map_err(CliError::Runtime)?;
        }
        self.note(Event::Applying, before, &resizes, &[])?;
        let verdict = self.attempt(before, proposal, &resizes, &stop);
        let is_stopped = stop.load(Ordering::Relaxed);
        let verdict =
            verdict.unwrap_or_else(|error| TrialVerdict { is_kept: false, reasons: vec![error.to_string()] });
        if verdict.is_kept && !is_stopped {
            self.note(Event::Kept, before, &resizes, &verdict.reasons)?;
            say(out, "Kept", &verdict)?;
            writeln!(out, "It lasts until the server ends: `mcpool tune --write FILE` makes it a setting.")?;
            return Ok(ExitCode::SUCCESS);
        }
        self.set(resizes.iter().map(|resize| (resize.pool.as_str(), resize.before)))?;
        self.note(Event::RolledBack, before, &resizes, &verdict.reasons)?;
        say(out, "Set back", &verdict)?;
        Ok(ExitCode::from(if is_stopped { INTERRUPTED } else { 1 }))
    }

    /// Sets the capacities, and compares what came of them.
    fn attempt(
        &self,
        before: &MemoryReport,
        proposal: &Proposal,
        resizes: &[Resize],
        stop: &AtomicBool,
    ) -> Result<TrialVerdict, CliError> {
        self.set(resizes.iter().map(|resize| (resize.pool.as_str(), resize.after)))?;
        let begun = admin::report(self.source)?;
        let until = Instant::now() + self.watch;
        let mut next_look = Instant::now() + LOOK;
        while Instant::now() < until {
            if stop.load(Ordering::Relaxed) {
                return Ok(TrialVerdict {
                    is_kept: false,
                    reasons: vec!["a signal ended the trial".to_owned()],
                });
            }
            sleep(TICK.min(until.saturating_duration_since(Instant::now())));
            if Instant::now() >= next_look {
                next_look += LOOK;
                let level = admin::report(self.source)?.pressure.level;
                if level == PressureLevel::Critical && before.pressure.level < level {
                    break;
                }
            }
        }
        let ended = admin::report(self.source)?;
        if ended.server.pid != before.server.pid {
            return Err(CliError::Usage("the server was started anew meanwhile".to_owned()));
        }
        Ok(Trial { before, begun: &begun, ended: &ended, promises: &proposal.promises }.verdict())
    }

    /// Sets back what the journal says is in force.
    pub(super) fn undo(&self, out: &mut impl Write) -> Result<ExitCode, CliError> {
        let text = match read_text(&self.journal, MAX_FILE_BYTES) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(CliError::Usage(format!("cannot read {}: {error}", self.journal.display())));
            }
        };
        let Some(entry) = in_force(&text) else {
            return Err(CliError::Usage(format!("{} has no change to undo", self.journal.display())));
        };
        let report = admin::report(self.source)?;
        if report.server.pid != entry.pid {
            return Err(CliError::Usage(format!(
                "the change was made to process {} and the server is process {}: its capacities are those of its settings",
                entry.pid, report.server.pid
            )));
        }
        self.set(entry.resizes.iter().map(|resize| (resize.pool.as_str(), resize.before)))?;
        self.note(Event::Undone, &report, &entry.resizes, &[])?;
        for Resize { pool, before, after } in &entry.resizes {
            writeln!(out, "{}: {after} -> {before}", visible::line(pool))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Sets capacities; tries them all, and fails if one could not be set.
    fn set<'r>(&self, capacities: impl Iterator<Item = (&'r str, u64)>) -> Result<(), CliError> {
        let mut result = Ok(());
        for (pool, capacity) in capacities {
            if let Err(error) = admin::resize_pool(self.source, pool, capacity) {
                result = Err(error);
            }
        }
        result
    }

    fn note(
        &self,
        event: Event,
        report: &MemoryReport,
        resizes: &[Resize],
        reasons: &[String],
    ) -> Result<(), CliError> {
        Entry::new(event, report.server.pid, resizes, reasons).write(&self.journal)
    }
}

/// The pools whose capacity the proposal changes.
fn resizes(report: &MemoryReport, proposal: &Proposal) -> Vec<Resize> {
    let mut resizes = Vec::new();
    for change in &proposal.changes {
        let pools = report.pools.iter().filter(|pool| pool.setting.as_deref() == Some(change.setting));
        for pool in pools {
            let after = change.advised.min(pool.maximum);
            if after != pool.capacity {
                resizes.push(Resize { pool: pool.name.clone(), before: pool.capacity, after });
            }
        }
    }
    resizes
}

fn say(out: &mut impl Write, what: &str, verdict: &TrialVerdict) -> io::Result<()> {
    let text = format!("{what}: {}.", visible::line(&verdict.reasons.join("; ")));
    write_wrapped("", &text, WIDTH, out)
}
