//! The terminal while it is ours: another screen, keys without their echo, and back however the program ends.

use ratatui::{DefaultTerminal, Frame};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The terminal. It is as it was when this is dropped, and when the program panics.
pub(super) struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal.
    pub(super) fn open() -> io::Result<Self> {
        thread::Builder::new().name("terminal".to_owned()).spawn(end_with_terminal)?;
        // It sets a hook for panics, too: a release ends without dropping anything.
        match ratatui::try_init() {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                let _ = ratatui::try_restore();
                Err(error)
            }
        }
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(|_| ())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = self.terminal.show_cursor();
        let _ = ratatui::try_restore();
    }
}

/// Ends the program when its terminal is gone. Who reads keys (crossterm 0.29) reads again and again from a terminal without
/// another end, and neither the loop of the view nor a signal would be heard of.
fn end_with_terminal() {
    // Whoever waits for the end of a terminal alone is not woken by it (Linux), so that this looks each second.
    const LOOK_INTERVAL: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
    let stdout = io::stdout();
    let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    loop {
        let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
        match poll(&mut watched, Some(&LOOK_INTERVAL)) {
            Ok(_) if watched[0].revents().intersects(gone) => process::exit(128 + SIGHUP),
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// Signals that end the program in order.
pub(super) struct StopSignals {
    received: Arc<AtomicUsize>,
}

impl StopSignals {
    pub(super) fn register() -> io::Result<Self> {
        let received = Arc::new(AtomicUsize::new(0));
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            flag::register_usize(signal, Arc::clone(&received), signal as usize)?;
        }
        Ok(Self { received })
    }

    /// 128 and the number of the signal, as in shells.
    pub(super) fn exit_code(&self) -> Option<u8> {
        let signal = self.received.load(Ordering::Relaxed);
        (signal != 0).then_some(128 + signal as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{LocalModes, tcgetattr};
    use std::fs::{File, OpenOptions};
    use std::io::Read;
    use std::os::unix::ffi::OsStrExt;
    use std::process::{Command, Stdio};

    /// Set in the process that panics.
    const PANICS: &str = "MCPOOL_TEST_PANICS_ON_A_SCREEN";

    #[test]
    fn a_panic_gives_the_terminal_back() {
        if std::env::var_os(PANICS).is_some() {
            let _screen = Screen::open().expect("a terminal");
            panic!("on purpose");
        }
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&person).expect("granted");
        unlockpt(&person).expect("unlocked");
        let name = ptsname(&person, Vec::new()).expect("its name");
        let path = std::ffi::OsStr::from_bytes(name.as_bytes());
        let program = OpenOptions::new().read(true).write(true).open(path).expect("opened");
        let before = tcgetattr(&program).expect("modes").local_modes;
        assert!(before.contains(LocalModes::ICANON | LocalModes::ECHO));
        let copy = || Stdio::from(program.try_clone().expect("a copy"));
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "cli::top::screen::tests::a_panic_gives_the_terminal_back", "--nocapture"])
            .env(PANICS, "1")
            .stdin(copy())
            .stdout(copy())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        assert!(!child.wait().expect("it ends").success(), "it panics");
        assert_eq!(tcgetattr(&program).expect("modes").local_modes, before);
        drop(program);
        let mut seen = Vec::new();
        // Linux reports the end of a terminal as an error.
        let _ = File::from(person).read_to_end(&mut seen);
        let seen = String::from_utf8_lossy(&seen);
        let (taken, given_back) = (seen.find("\x1b[?1049h"), seen.rfind("\x1b[?1049l"));
        assert!(taken.is_some() && taken < given_back, "{seen:?}");
    }
}
