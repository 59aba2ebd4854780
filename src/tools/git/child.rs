//! One run of a program: its output in pieces, as it comes, until it ends, is enough, takes too long, or nobody waits.
//!
//! The thread that calls this waits here. Whatever the way out, the process and all that it started are ended and
//! reaped: no run leaves a process behind.

use super::error::GitFailure;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionbio;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::io::{self, ErrorKind, Read, Write};
use std::ops::ControlFlow;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::time::{Duration, Instant};

/// Bytes that are read at once.
const PIECE_BYTES: usize = 16 * 1024;

/// Bytes that are kept of what a program says on its standard error; the rest is read and dropped.
const MAX_ERROR_BYTES: usize = 8 * 1024;

/// How often a run that is silent looks whether somebody still waits for it.
const TICK: Duration = Duration::from_millis(50);

/// How long a process that is told to end may tidy up, before it is killed.
const GRACE: Duration = Duration::from_millis(500);

/// How often it is looked at meanwhile.
const GRACE_PAUSE: Duration = Duration::from_millis(2);

/// Who hears of a run while it runs.
pub(crate) trait Observer {
    /// Called at least once per [`TICK`], with the bytes of output so far.
    ///
    /// # Errors
    /// When nobody waits for the run any more.
    fn observe(&mut self, bytes: u64) -> Result<(), GitFailure>;
}

/// What a run starts.
pub(crate) trait Spawn {
    /// Starts the process, whose standard streams are pipes and which leads a group.
    ///
    /// # Errors
    /// When it cannot be started.
    fn spawn(&mut self) -> io::Result<Child>;
}

impl Spawn for Command {
    fn spawn(&mut self) -> io::Result<Child> {
        Self::spawn(self)
    }
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` if it was stopped because its output was enough.
    pub(crate) status: Option<ExitStatus>,
    /// The beginning of what it said on its standard error.
    pub(crate) stderr: Vec<u8>,
}

/// What bounds a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    pub(crate) whole: Duration,
}

impl Deadline {
    pub(crate) fn after(whole: Duration) -> Self {
        Self { at: Instant::now() + whole, whole }
    }

    /// What is left of it.
    ///
    /// # Errors
    /// [`GitFailure::TimedOut`].
    pub(crate) fn left(self) -> Result<Duration, GitFailure> {
        let left = self.at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(GitFailure::TimedOut { after: self.whole });
        }
        Ok(left)
    }
}

/// Runs a command, whose standard streams are pipes. `input` is written to it, and `take` gets its output, and may stop
/// the run.
///
/// # Errors
/// When it cannot be started, takes too long, or nobody waits for it. A command that fails is no error here.
pub(crate) fn run(
    command: &mut dyn Spawn,
    input: &[u8],
    deadline: Deadline,
    observer: &mut dyn Observer,
    take: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<Ended, GitFailure> {
    observer.observe(0)?;
    let mut running = Running::start(command)?;
    let mut streams = Streams::of(&mut running.child, input)?;
    let (mut bytes, mut stderr) = (0, Vec::new());
    while streams.are_open() {
        observer.observe(bytes)?;
        let ready = streams.wait(deadline.left()?.min(TICK))?;
        if !ready.any() && running.has_ended() {
            // Something that it started still holds its pipes.
            break;
        }
        if ready.input {
            streams.write()?;
        }
        let mut piece = [0; PIECE_BYTES];
        if ready.errors {
            let read = streams.read_errors(&mut piece)?;
            let room = MAX_ERROR_BYTES - stderr.len();
            stderr.extend_from_slice(&piece[..read.min(room)]);
        }
        if ready.output {
            let read = streams.read_output(&mut piece)?;
            bytes += read as u64;
            if take(&piece[..read]).is_break() {
                return Ok(Ended { status: None, stderr });
            }
        }
    }
    drop(streams);
    let status = running.finish(deadline, || observer.observe(bytes))?;
    Ok(Ended { status: Some(status), stderr })
}

/// A process and its group. Dropped, both are ended and the process is reaped.
struct Running {
    child: Child,
    is_reaped: bool,
}

impl Running {
    fn start(command: &mut dyn Spawn) -> Result<Self, GitFailure> {
        Ok(Self { child: command.spawn()?, is_reaped: false })
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    /// Whether the process ended. It is not reaped by this, so that its number stays its own.
    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        self.pid().is_some_and(|pid| matches!(waitid(WaitId::Pid(pid), options), Ok(Some(_))))
    }

    /// Waits for the end of a process that has closed its output.
    fn finish(
        &mut self,
        deadline: Deadline,
        mut observe: impl FnMut() -> Result<(), GitFailure>,
    ) -> Result<ExitStatus, GitFailure> {
        let mut pause = Duration::from_micros(200);
        while !self.has_ended() {
            observe()?;
            std::thread::sleep(deadline.left()?.min(pause));
            pause = (pause * 2).min(TICK);
        }
        self.end_group();
        self.is_reaped = true;
        Ok(self.child.wait()?)
    }

    /// Ends all that the process started. To be called before it is reaped: afterwards its number may be another's.
    fn end_group(&self) {
        if let Some(pid) = self.pid() {
            // It fails only where nobody is left.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Running {
    /// Asks all that the process started to end, and gives it some time: git then removes its lock files, which would
    /// bar the repository for the next one.
    fn ask_to_end(&self, grace: Duration) {
        let Some(pid) = self.pid() else { return };
        // It fails only where nobody is left.
        let _ = kill_process_group(pid, Signal::TERM);
        let until = Instant::now() + grace;
        while !self.has_ended() && Instant::now() < until {
            std::thread::sleep(GRACE_PAUSE);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_reaped {
            self.ask_to_end(GRACE);
            self.end_group();
            // It has ended, or was killed just now.
            let _ = self.child.wait();
        }
    }
}

/// Which streams can be read or written now.
#[derive(Debug, Clone, Copy)]
struct Ready {
    input: bool,
    output: bool,
    errors: bool,
}

impl Ready {
    fn any(self) -> bool {
        self.input || self.output || self.errors
    }
}

/// The pipes of a process, as far as they are open.
struct Streams<'i> {
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    /// What is not written yet.
    input: &'i [u8],
}

impl<'i> Streams<'i> {
    fn of(child: &mut Child, input: &'i [u8]) -> Result<Self, GitFailure> {
        let stdin = child.stdin.take();
        if let Some(stdin) = &stdin {
            // A write is to take what there is room for.
            ioctl_fionbio(stdin, true).map_err(io::Error::from)?;
        }
        Ok(Self { stdin, stdout: child.stdout.take(), stderr: child.stderr.take(), input })
    }

    /// Whether the process may still say something.
    fn are_open(&self) -> bool {
        self.stdout.is_some() || self.stderr.is_some()
    }

    fn wait(&self, at_most: Duration) -> Result<Ready, GitFailure> {
        let mut waiting = Vec::with_capacity(3);
        if let Some(stdin) = &self.stdin {
            waiting.push(PollFd::new(stdin, PollFlags::OUT));
        }
        if let Some(stdout) = &self.stdout {
            waiting.push(PollFd::new(stdout, PollFlags::IN));
        }
        if let Some(stderr) = &self.stderr {
            waiting.push(PollFd::new(stderr, PollFlags::IN));
        }
        let timeout = Timespec { tv_sec: 0, tv_nsec: at_most.as_nanos().min(999_999_999) as i64 };
        match poll(&mut waiting, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
        let mut ready = waiting.iter().map(|waited| !waited.revents().is_empty());
        let mut next = |is_open: bool| is_open && ready.next().unwrap_or_default();
        Ok(Ready {
            input: next(self.stdin.is_some()),
            output: next(self.stdout.is_some()),
            errors: next(self.stderr.is_some()),
        })
    }

    /// Writes what there is room for; closes the input after its end, or when the process does not read it.
    fn write(&mut self) -> Result<(), GitFailure> {
        let Some(stdin) = &mut self.stdin else { return Ok(()) };
        match stdin.write(self.input) {
            Ok(written) => self.input = &self.input[written..],
            Err(error) if is_for_later(&error) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.input = &[],
            Err(error) => return Err(error.into()),
        }
        if self.input.is_empty() {
            self.stdin = None;
        }
        Ok(())
    }

    fn read_output(&mut self, piece: &mut [u8]) -> Result<usize, GitFailure> {
        read(&mut self.stdout, piece)
    }

    fn read_errors(&mut self, piece: &mut [u8]) -> Result<usize, GitFailure> {
        read(&mut self.stderr, piece)
    }
}

/// Reads what is there; closes the stream at its end.
fn read<R: Read>(stream: &mut Option<R>, piece: &mut [u8]) -> Result<usize, GitFailure> {
    let Some(open) = stream else { return Ok(0) };
    match open.read(piece) {
        Ok(0) => {
            *stream = None;
            Ok(0)
        }
        Ok(read) => Ok(read),
        Err(error) if is_for_later(&error) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::Stdio;

    /// Cancels a run once its output has reached a length.
    struct Until(u64);

    impl Observer for Until {
        fn observe(&mut self, bytes: u64) -> Result<(), GitFailure> {
            if bytes >= self.0 { Err(GitFailure::Cancelled) } else { Ok(()) }
        }
    }

    const PATIENCE: Duration = Duration::from_mins(1);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn collected(script: &str, input: &[u8], patience: Duration) -> (Vec<u8>, Result<Ended, GitFailure>) {
        let mut output = Vec::new();
        let mut take = |piece: &[u8]| {
            output.extend_from_slice(piece);
            ControlFlow::Continue(())
        };
        let ended =
            run(&mut shell(script), input, Deadline::after(patience), &mut Until(u64::MAX), &mut take);
        (output, ended)
    }

    /// Whether a process is there, also one that ended and was not reaped.
    fn is_there(pid: &[u8]) -> bool {
        let pid = std::str::from_utf8(pid).expect("a number").trim().parse().ok().and_then(Pid::from_raw);
        rustix::process::test_kill_process(pid.expect("a number")).is_ok()
    }

    #[test]
    fn output_errors_and_status_come_back() {
        let (output, ended) = collected("cat; echo oh >&2; exit 3", b"input", PATIENCE);
        let ended = ended.expect("it ran");
        assert_eq!((&*output, &*ended.stderr), (&b"input"[..], &b"oh\n"[..]));
        assert_eq!(ended.status.and_then(|status| status.code()), Some(3));
    }

    #[test]
    fn large_input_and_output_at_once_do_not_block_each_other() {
        let input = vec![b'x'; 4 << 20];
        let (output, ended) = collected("cat", &input, PATIENCE);
        assert!(ended.expect("it ran").status.is_some_and(|status| status.success()));
        assert!(output == input, "{} bytes", output.len());
        let (_, ended) = collected("exit 0", &input, PATIENCE);
        assert!(ended.expect("nobody read").status.is_some_and(|status| status.success()));
    }

    #[test]
    fn what_is_said_without_end_on_the_standard_error_is_bounded() {
        let (_, ended) = collected("head -c 3000000 /dev/zero >&2", b"", PATIENCE);
        assert_eq!(ended.expect("it ran").stderr.len(), MAX_ERROR_BYTES);
    }

    #[test]
    fn enough_a_deadline_and_a_cancelled_call_end_all_that_was_started() {
        // The number of a process that would run for long, then output without end.
        let script = "sleep 1000 & echo $!; exec cat /dev/zero";
        let mut first = Vec::new();
        let mut take = |piece: &[u8]| {
            first.extend_from_slice(piece);
            if first.len() > 1 << 20 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let ended = run(&mut shell(script), b"", Deadline::after(PATIENCE), &mut Until(u64::MAX), &mut take);
        assert!(ended.expect("it was enough").status.is_none());
        gone(&first);

        let mut first = Vec::new();
        let mut take = |piece: &[u8]| {
            first.extend_from_slice(&piece[..piece.len().min(100)]);
            ControlFlow::Continue(())
        };
        let ended = run(&mut shell(script), b"", Deadline::after(PATIENCE), &mut Until(1 << 20), &mut take);
        assert!(matches!(ended, Err(GitFailure::Cancelled)));
        gone(&first);

        let (output, ended) = collected("echo $$; exec sleep 1000", b"", Duration::from_millis(300));
        assert!(matches!(ended, Err(GitFailure::TimedOut { .. })));
        if !output.is_empty() {
            gone(&output);
        }
    }

    /// Waits until the process that the first line names is gone: the kernel ends what was killed in its own time, and
    /// another process reaps what lost its parent.
    #[track_caller]
    fn gone(output: &[u8]) {
        let line = output.split(|byte| *byte == b'\n').next().expect("a line");
        let until = Instant::now() + PATIENCE;
        while is_there(line) && !is_zombie(line) {
            assert!(Instant::now() < until, "{} is still there", String::from_utf8_lossy(line));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether a process ended, where nobody reaps those that lost their parent, as in some containers.
    fn is_zombie(pid: &[u8]) -> bool {
        let path = format!("/proc/{}/stat", String::from_utf8_lossy(pid).trim());
        std::fs::read_to_string(path).is_ok_and(|stat| stat.contains(") Z "))
    }

    #[test]
    fn what_is_stopped_may_remove_its_lock_first_and_what_does_not_end_is_killed() {
        let directory = tempfile::tempdir().expect("a directory");
        let lock = directory.path().join("lock");
        let script =
            format!("trap 'rm {0}; exit 1' TERM; touch {0}; while :; do sleep 0.01; done", lock.display());
        let running = Running::start(&mut shell(&script)).expect("it runs");
        while !lock.exists() {
            std::thread::sleep(GRACE_PAUSE);
        }
        running.ask_to_end(PATIENCE);
        assert!(running.has_ended() && !lock.exists());
        drop(running);
        let stubborn = "trap '' TERM PIPE; echo $$; while :; do sleep 1000; done";
        let mut first = Vec::new();
        let ended = run(&mut shell(stubborn), b"", Deadline::after(PATIENCE), &mut Until(2), &mut |piece| {
            first.extend_from_slice(piece);
            ControlFlow::Continue(())
        });
        assert!(matches!(ended, Err(GitFailure::Cancelled)));
        gone(&first);
    }

    #[test]
    fn a_process_that_ends_before_those_it_started_is_not_waited_for() {
        let (output, ended) = collected("sleep 1000 & echo $!", b"", PATIENCE);
        assert!(ended.expect("it ran").status.is_some_and(|status| status.success()));
        gone(&output);
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let mut command = Command::new("/no/such/program");
        let mut take = |_: &[u8]| ControlFlow::Continue(());
        let ended = run(&mut command, b"", Deadline::after(PATIENCE), &mut Until(u64::MAX), &mut take);
        assert!(matches!(ended, Err(GitFailure::Program(_))));
    }
}
