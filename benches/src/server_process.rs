//! A server as a process of its own: started, found, weighed and ended.
//!
//! Knows Linux (`/proc`) and nothing of HTTP. Figures are sums over the process and its children, because nginx
//! serves from workers. Invariant: a server ends with its [`ServerProcess`], and none but that one is ended.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::ops::Sub;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take until it listens.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long it may take to end when it is asked to.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// A running server.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    address: SocketAddr,
}

/// What the system holds for a process, in KiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident, shared pages included.
    pub rss_kib: i64,
    /// Resident, shared pages divided by those who share them.
    pub pss_kib: i64,
    /// Resident and nobody else's.
    pub private_kib: i64,
}

impl Sub for Memory {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            rss_kib: self.rss_kib - other.rss_kib,
            pss_kib: self.pss_kib - other.pss_kib,
            private_kib: self.private_kib - other.private_kib,
        }
    }
}

impl ServerProcess {
    /// Starts a server that says `listening on http://ADDRESS…` on standard error.
    ///
    /// # Errors
    /// When it cannot be started, or ends before it listens; the message has what it said.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        // invariant: standard error was made a pipe in the line above.
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut said = String::new();
        let address = loop {
            let begin = said.len();
            if lines.read_line(&mut said)? == 0 {
                child.wait()?;
                return Err(io::Error::other(format!("{command:?} ended before it listened: {said}")));
            }
            if let Some(address) = listening(&said[begin..]) {
                break address;
            }
        };
        // What it says later is read, so that it never waits for a full pipe, and passed on.
        thread::spawn(move || io::copy(&mut lines, &mut io::stderr()));
        Ok(Self { child, address })
    }

    /// Starts a server that was told to listen on `address`, and waits until it does.
    ///
    /// # Errors
    /// When it cannot be started, ends, or does not listen within 30 s.
    pub fn start_at(command: &mut Command, address: SocketAddr) -> io::Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let mut server = Self { child, address };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                return Err(io::Error::other(format!("{command:?} ended before it listened: {status}")));
            }
            if begun.elapsed() > START_TIMEOUT {
                return Err(io::Error::other(format!("{command:?} does not listen on {address}")));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it holds now.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn memory(&self) -> io::Result<Memory> {
        memory(self.id())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if let Some(id) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        let asked = Instant::now();
        while asked.elapsed() < END_TIMEOUT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in a line such as `mcpool: listening on http://127.0.0.1:8000/mcp`.
fn listening(line: &str) -> Option<SocketAddr> {
    let (_, url) = line.split_once("listening on http://")?;
    url.split(['/', '\n', ' ']).next()?.parse().ok()
}

/// What a process and its children hold now.
///
/// # Errors
/// When the process is gone.
pub fn memory(id: u32) -> io::Result<Memory> {
    let mut sum = Memory::default();
    for id in family(id)? {
        let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
        sum.rss_kib += kib(&rollup, "Rss:");
        sum.pss_kib += kib(&rollup, "Pss:");
        sum.private_kib += kib(&rollup, "Private_Clean:") + kib(&rollup, "Private_Dirty:");
    }
    Ok(sum)
}

/// A process and its children, and theirs.
fn family(id: u32) -> io::Result<Vec<u32>> {
    let mut ids = vec![id];
    let mut next = 0;
    while let Some(&id) = ids.get(next) {
        next += 1;
        for task in fs::read_dir(format!("/proc/{id}/task"))? {
            let children = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
            ids.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    Ok(ids)
}

/// The figure behind `name` in a file of `/proc`, in KiB.
fn kib(text: &str, name: &str) -> i64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// Lets this process, and those that it starts, have as many descriptors as the system allows; gives how many.
pub fn raise_descriptors() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current.map_or(1 << 20, |limit| limit as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn the_address_is_found_among_other_lines() {
        let script =
            "echo warning >&2; echo 'mcpool: listening on http://127.0.0.1:4711/mcp' >&2; exec sleep 60";
        let server = ServerProcess::start(&mut shell(script)).expect("started");
        assert_eq!(server.address(), SocketAddr::from(([127, 0, 0, 1], 4711)));
        assert!(server.memory().expect("alive").rss_kib > 0);
        let id = server.id();
        drop(server);
        assert!(memory(id).is_err(), "it ended with its owner");
    }

    #[test]
    fn what_a_server_said_before_it_failed_is_told() {
        let failed = ServerProcess::start(&mut shell("echo no such folder >&2; exit 3"));
        let message = failed.expect_err("it ended").to_string();
        assert!(message.contains("no such folder"), "{message}");
    }

    #[test]
    fn figures_are_sums_over_the_children() {
        let script = "sh -c 'echo listening on http://127.0.0.1:1 >&2; while :; do :; done' & wait";
        let server = ServerProcess::start(&mut shell(script)).expect("started");
        let ids = family(server.id()).expect("alive");
        assert_eq!(ids.len(), 2, "{ids:?}");
        let own = fs::read_to_string(format!("/proc/{}/smaps_rollup", ids[0])).expect("alive");
        assert!(server.memory().expect("alive").rss_kib > kib(&own, "Rss:"));
        // The shell does not pass the signal on.
        for id in &ids[1..] {
            let id = rustix::process::Pid::from_raw(id.cast_signed()).expect("an id");
            rustix::process::kill_process(id, rustix::process::Signal::KILL).expect("alive");
        }
    }

    #[test]
    fn descriptors_are_those_that_the_system_allows() {
        assert!(raise_descriptors() >= 256);
    }
}
