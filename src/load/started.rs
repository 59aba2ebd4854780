//! [`StartedServer`]: a server that listens on a socket or a port, started for a load test and ended after it.

use super::child::Child;
use super::error::LoadTestError;
use super::target::LoadTarget;
use crate::client::ServerCommand;
use std::fmt;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

/// How often a server that starts is asked whether it listens.
const ASK_INTERVAL: Duration = Duration::from_millis(10);

/// A server that runs until it is dropped.
///
/// ```no_run
/// use mcpool::client::ServerCommand;
/// use mcpool::load::{LoadTarget, LoadTestScenario, LoadTestSuite, StartedServer};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let target = LoadTarget::parse("unix:/tmp/mcpool.sock")?;
/// let arguments = ["serve", "--unix", "/tmp/mcpool.sock", "."].map(Into::into).to_vec();
/// let command = ServerCommand { program: "mcpool".into(), arguments };
/// let server = StartedServer::start(&command, &target, Duration::from_secs(10))?;
/// let scenario = LoadTestScenario::new("lists", target).pid(server.id());
/// println!("{:.0} a second", LoadTestSuite::new().run(&scenario, |_progress| ())?.requests.rate);
/// # Ok(())
/// # }
/// ```
pub struct StartedServer {
    child: Child,
    terminated_at: Option<Instant>,
}

impl StartedServer {
    /// Starts a server and waits until it takes connections at `target`.
    ///
    /// # Errors
    /// When it cannot be started, ends, or does not listen within `patience`; and when somebody listens there already,
    /// who would be loaded in its place.
    pub fn start(
        command: &ServerCommand,
        target: &LoadTarget,
        patience: Duration,
    ) -> Result<Self, LoadTestError> {
        if listens(target) {
            return Err(LoadTestError::greeting(target, "another server listens there already"));
        }
        let mut child = Child::start_listener(command).map_err(LoadTestError::connect(target))?;
        let begun = Instant::now();
        while !listens(target) {
            if child.ended_within(Duration::ZERO).is_some() {
                return Err(LoadTestError::greeting(target, child.last_words()));
            }
            if begun.elapsed() > patience {
                let why = format!("it does not listen within {patience:?}");
                return Err(LoadTestError::greeting(target, why));
            }
            thread::sleep(ASK_INTERVAL);
        }
        Ok(Self { child, terminated_at: None })
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks the server to end with SIGTERM, once.
    pub fn terminate(&mut self) {
        if self.terminated_at.is_none() {
            self.terminated_at = Some(Instant::now());
            self.child.terminate();
        }
    }

    /// Whether it was asked to end.
    pub fn is_terminated(&self) -> bool {
        self.terminated_at.is_some()
    }

    /// How the server ended, if it does within `patience` of being asked to.
    pub fn ended_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let passed = self.terminated_at.map_or(Duration::ZERO, |since| since.elapsed());
        self.child.ended_within(patience.saturating_sub(passed))
    }
}

impl fmt::Debug for StartedServer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("StartedServer").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// Whether somebody takes connections there; a command has no place to listen at.
fn listens(target: &LoadTarget) -> bool {
    match target {
        LoadTarget::Command(_) => false,
        LoadTarget::UnixHttp(path) | LoadTarget::UnixLines(path) => UnixStream::connect(path).is_ok(),
        LoadTarget::Http(url) => url.address().and_then(TcpStream::connect).is_ok(),
    }
}
