//! Which servers of this user run, and where their admin sockets are.
//!
//! A server has a socket below `$XDG_RUNTIME_DIR`, whatever else `--admin` names. Where that variable is not set, as in a
//! container or below `sudo`, the processes of this user tell where theirs are: by their command lines and environments,
//! which only their user may read.

use std::ffi::OsStr;
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a port of this machine may take to accept.
const PATIENCE: Duration = Duration::from_secs(1);
/// The file name of this program.
const PROGRAM: &[u8] = b"mcpool";
/// The variable that names the folder of sockets, and the one that names a socket.
const FOLDER_VARIABLE: &str = "XDG_RUNTIME_DIR";
const ADMIN_VARIABLE: &[u8] = b"MCPOOL_ADMIN";

/// The folder of admin sockets by default.
pub(super) fn runtime_folder() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os(FOLDER_VARIABLE).filter(|value| !value.is_empty())?);
    folder.is_dir().then(|| folder.join("mcpool"))
}

/// The admin sockets behind which a server listens, as `--admin` spells them.
pub(super) fn found() -> Vec<String> {
    match runtime_folder() {
        Some(folder) => live_sockets(&folder),
        None => Process::all().iter().filter_map(Process::live_socket).collect(),
    }
}

/// The servers that run and that [`found`] does not find, by their pids.
pub(super) fn without_socket() -> Vec<u32> {
    let hidden = Process::all().into_iter().filter(|process| process.live_socket().is_none());
    hidden.map(|process| process.pid).collect()
}

/// The sockets in a folder behind which a server listens.
fn live_sockets(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sockets =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "sock"));
    let mut live: Vec<String> =
        sockets.filter_map(|path| live(&format!("unix:{}", path.display()))).collect();
    live.sort();
    live
}

/// The address, if somebody listens there.
fn live(address: &str) -> Option<String> {
    let is_live = if let Some(path) = address.strip_prefix("unix:") {
        UnixStream::connect(path).is_ok()
    } else {
        let address = address.trim_start_matches("http://").trim_end_matches('/');
        TcpStream::connect_timeout(&address.parse().ok()?, PATIENCE).is_ok()
    };
    is_live.then(|| address.to_owned())
}

/// A process that serves.
struct Process {
    pid: u32,
    /// Its command line and its environment, each word ended by a zero.
    command: Vec<u8>,
    environment: Vec<u8>,
}

impl Process {
    /// The servers of this user; none where there is no `/proc`.
    fn all() -> Vec<Self> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut all: Vec<Self> = pids.filter_map(Self::read).collect();
        all.sort_by_key(|process| process.pid);
        all
    }

    /// `None` if it is no server, or another user's.
    fn read(pid: u32) -> Option<Self> {
        let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).ok();
        let process = Self { pid, command: read("cmdline")?, environment: Vec::new() };
        process.is_server().then_some(())?;
        Some(Self { environment: read("environ")?, ..process })
    }

    fn is_server(&self) -> bool {
        let mut words = self.command.split(|byte| *byte == 0);
        let program = words.next().and_then(|program| Path::new(OsStr::from_bytes(program)).file_name());
        program.is_some_and(|name| name.as_bytes() == PROGRAM) && words.next() == Some(&b"serve"[..])
    }

    fn variable(&self, name: &[u8]) -> Option<&OsStr> {
        let mut words = self.environment.split(|byte| *byte == 0);
        let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix(b"="))?;
        (!value.is_empty()).then(|| OsStr::from_bytes(value))
    }

    /// What its flag or its environment names.
    fn named(&self) -> Option<String> {
        let mut words = self.command.split(|byte| *byte == 0);
        let of_flag = words.find_map(|word| word.strip_prefix(b"--admin").map(<[u8]>::to_vec));
        let of_flag = match of_flag.as_deref() {
            Some(b"") => words.next().map(<[u8]>::to_vec),
            Some([b'=', value @ ..]) => Some(value.to_vec()),
            _ => None,
        };
        let of_variable = || self.variable(ADMIN_VARIABLE).map(|value| value.as_bytes().to_vec());
        String::from_utf8(of_flag.or_else(of_variable)?).ok()
    }

    fn live_socket(&self) -> Option<String> {
        let own = self.variable(FOLDER_VARIABLE.as_bytes()).map(|folder| {
            let file = Path::new(folder).join("mcpool").join(format!("{}.sock", self.pid));
            format!("unix:{}", file.display())
        });
        own.into_iter().chain(self.named()).find_map(|address| live(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    fn process(command: &str, environment: &str) -> Process {
        let zeros = |text: &str| text.replace(' ', "\0").into_bytes();
        Process { pid: 77, command: zeros(command), environment: zeros(environment) }
    }

    #[test]
    fn a_server_is_told_from_other_programs_and_commands() {
        assert!(process("/usr/bin/mcpool serve --stdio", "").is_server());
        assert!(process("mcpool serve", "").is_server());
        for other in ["mcpool report", "grep mcpool serve", "mcpool", "", "/usr/bin/mcpool2 serve"] {
            assert!(!process(other, "").is_server(), "{other}");
        }
    }

    #[test]
    fn a_socket_is_named_by_flag_or_variable() {
        let named = |command: &str, environment: &str| process(command, environment).named();
        let of = |text: &str| Some(text.to_owned());
        assert_eq!(named("mcpool serve --admin unix:/a", "MCPOOL_ADMIN=unix:/b"), of("unix:/a"));
        assert_eq!(named("mcpool serve --admin=127.0.0.1:9 /x", ""), of("127.0.0.1:9"));
        assert_eq!(named("mcpool serve /x", "A=b MCPOOL_ADMIN=unix:/b"), of("unix:/b"));
        assert_eq!(named("mcpool serve /x", "MCPOOL_ADMIN="), None);
    }

    #[test]
    fn sockets_behind_which_nobody_listens_are_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let sockets = folder.path().join("mcpool");
        std::fs::create_dir(&sockets).expect("made");
        let variable = format!("XDG_RUNTIME_DIR={}", folder.path().display());
        let server = process("mcpool serve", &variable);
        assert_eq!(server.live_socket(), None);
        let path = sockets.join("77.sock");
        let listener = UnixListener::bind(&path).expect("bound");
        let address = format!("unix:{}", path.display());
        assert_eq!(server.live_socket(), Some(address.clone()));
        assert_eq!(live_sockets(&sockets), [address]);
        drop(listener);
        assert_eq!((server.live_socket(), live_sockets(&sockets)), (None, Vec::new()));
    }
}
