//! Bringing the peers to this machine: built with cargo, installed from npm and pip, or found.
//!
//! Owns where each comes from and in which version; what is pinned stands in `benches/peers`. One that cannot be had
//! is left out with the reason. Invariant: everything that is brought goes below the target folder of this program,
//! and nothing is installed twice.

use crate::peers::Peer;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What npm is to install.
const PACKAGES: &str = include_str!("../peers/package.json");
/// What pip is to install.
const REQUIREMENTS: &str = include_str!("../peers/requirements.txt");
const TYPESCRIPT_ECHO: &str = include_str!("../peers/typescript_echo.mjs");
const PYTHON_ECHO: &str = include_str!("../peers/python_echo.py");
const FILESYSTEM: &str = "node_modules/@modelcontextprotocol/server-filesystem/dist/index.js";
/// The official servers in Node.
const SERVERS: [&str; 3] = [
    "@modelcontextprotocol/server-filesystem",
    "@modelcontextprotocol/server-memory",
    "@modelcontextprotocol/server-sequential-thinking",
];
const OLDEST_NODE: u32 = 20;

/// Where the peers are, or why they are not.
#[derive(Debug, Default)]
pub struct Supply {
    places: BTreeMap<Peer, Result<PathBuf, String>>,
    python: PathBuf,
}

impl Supply {
    /// Brings the peers whose name contains `only`, saying what goes on to `say`. The program mcpool and its shim are those
    /// in the folder `dist`, where there is one, and built here otherwise.
    ///
    /// # Errors
    /// When this program does not know where it is, or `dist` has no `mcpool`.
    pub fn bring(only: &str, dist: Option<&Path>, mut say: impl FnMut(&str)) -> io::Result<Self> {
        let release = std::env::current_exe()?.parent().unwrap_or(Path::new(".")).to_owned();
        let target = release.parent().unwrap_or(Path::new(".")).to_owned();
        let peers = target.join("peers");
        let wanted: Vec<_> = Peer::ALL.into_iter().filter(|peer| peer.name().contains(only)).collect();
        let mut supply = Self::default();
        for peer in &wanted {
            let place = match (peer, dist) {
                (Peer::Mcpool, Some(dist)) => Ok(shipped(dist)?),
                (Peer::Mcpool | Peer::Library | Peer::Rmcp, _) => built(*peer, &release, &target, &mut say),
                (Peer::TypeScript, _) => {
                    node_modules(&peers, &mut say).map(|folder| folder.join("typescript_echo.mjs"))
                }
                (Peer::Filesystem, _) => node_modules(&peers, &mut say).map(|folder| folder.join(FILESYSTEM)),
                (Peer::References, _) => {
                    supply.python = peers.join("venv/bin/python");
                    let packages = node_modules(&peers, &mut say);
                    virtual_environment(&peers, &mut say).and(packages)
                }
                (Peer::Python, _) => {
                    supply.python = peers.join("venv/bin/python");
                    virtual_environment(&peers, &mut say).map(|folder| folder.join("python_echo.py"))
                }
                (Peer::Nginx | Peer::NginxAlone, _) => {
                    found("nginx").ok_or_else(|| "nginx is not here (apt-get install nginx-light)".to_owned())
                }
            };
            if let Err(reason) = &place {
                say(&format!("left out: {}: {reason}", peer.name()));
            }
            supply.places.insert(*peer, place);
        }
        Ok(supply)
    }

    /// Where a peer is, if it is there.
    pub fn place(&self, peer: Peer) -> Option<&Path> {
        self.places.get(&peer)?.as_deref().ok()
    }

    /// The interpreter that has the Python SDK.
    pub fn python(&self) -> &Path {
        &self.python
    }

    /// Why peers are left out.
    pub fn missing(&self) -> impl Iterator<Item = (Peer, &str)> {
        self.places.iter().filter_map(|(peer, place)| Some((*peer, place.as_ref().err()?.as_str())))
    }

    /// The version of each peer that is there.
    pub fn versions(&self) -> Vec<(Peer, String)> {
        let of = |peer: Peer, place: &Path| match peer {
            Peer::Mcpool => said(place, &["--version"]).replace("mcpool ", ""),
            Peer::Library => env!("CARGO_PKG_VERSION").to_owned(),
            Peer::Rmcp => locked("rmcp"),
            Peer::TypeScript => pinned("@modelcontextprotocol/server"),
            Peer::Filesystem => pinned("@modelcontextprotocol/server-filesystem"),
            Peer::Python => REQUIREMENTS.lines().next().unwrap_or_default().replace("==", " "),
            Peer::References => {
                SERVERS.map(pinned).into_iter().chain(python_servers()).collect::<Vec<_>>().join(", ")
            }
            Peer::Nginx | Peer::NginxAlone => said(place, &["-v"]).replace("nginx version: nginx/", ""),
        };
        let places = self.places.iter().filter_map(|(peer, place)| Some((*peer, place.as_ref().ok()?)));
        places.map(|(peer, place)| (peer, of(peer, place))).collect()
    }
}

/// The program of a release, whose shim lies beside it.
fn shipped(dist: &Path) -> io::Result<PathBuf> {
    let program = dist.join("mcpool").canonicalize();
    program.map_err(|error| io::Error::new(error.kind(), format!("{}/mcpool: {error}", dist.display())))
}

/// A program of this repository, built as its users build it.
fn built(peer: Peer, release: &Path, target: &Path, say: &mut impl FnMut(&str)) -> Result<PathBuf, String> {
    let (name, arguments): (_, &[&str]) = match peer {
        Peer::Mcpool => ("mcpool", &["-p", "mcpool", "--bin", "mcpool", "--bin", "mcpool-connect"]),
        Peer::Library => ("mcpool_echo", &["-p", "mcpool-benches", "--bin", "mcpool_echo"]),
        _ => ("rmcp_echo", &["-p", "mcpool-benches", "--features", "peers", "--bin", "rmcp_echo"]),
    };
    say(&format!("building {name}, some minutes for the first time"));
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--quiet"]).args(arguments);
    run(cargo.current_dir(repository()).env("CARGO_TARGET_DIR", target))?;
    Ok(release.join(name))
}

/// The folder with the npm packages, and the servers that use them.
fn node_modules(peers: &Path, say: &mut impl FnMut(&str)) -> Result<PathBuf, String> {
    let version = said("node", &["--version"]);
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    if major.is_none_or(|major: u32| major < OLDEST_NODE) {
        return Err(format!("Node {OLDEST_NODE} or newer is not here"));
    }
    let folder = peers.join("node");
    let stamp = folder.join("installed.json");
    if !holds(&stamp, PACKAGES) {
        say("installing the npm packages of benches/peers/package.json");
        write(&folder.join("package.json"), PACKAGES)?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"]);
        run(npm.current_dir(&folder))?;
        write(&stamp, PACKAGES)?;
    }
    write(&folder.join("typescript_echo.mjs"), TYPESCRIPT_ECHO)?;
    Ok(folder)
}

/// The folder with the Python packages, and the server that uses them.
fn virtual_environment(peers: &Path, say: &mut impl FnMut(&str)) -> Result<PathBuf, String> {
    let python = found("python3").ok_or("Python 3 is not here")?;
    let folder = peers.join("venv");
    let stamp = folder.join("installed.txt");
    if !holds(&stamp, REQUIREMENTS) {
        say("installing the Python packages of benches/peers/requirements.txt");
        run(Command::new(python).args(["-m", "venv", "--clear"]).arg(&folder))?;
        let list = folder.join("requirements.txt");
        write(&list, REQUIREMENTS)?;
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
        run(pip.arg(&list))?;
        write(&stamp, REQUIREMENTS)?;
    }
    write(&folder.join("python_echo.py"), PYTHON_ECHO)?;
    Ok(folder)
}

/// Where the repository is, as cargo says while it runs this, or as it was when this was built.
fn repository() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(own).join("..")
}

/// Runs a command that says on standard error what it does.
fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{name}` ended with {status}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!("`{name}` is not here")),
        Err(error) => Err(format!("`{name}`: {error}")),
    }
}

/// What a program says of itself, on one line; empty when it is not there.
pub(crate) fn said(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(arguments).output() else { return String::new() };
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned()
}

/// A program on the search path, or where the system's administrators have theirs.
fn found(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

fn holds(path: &Path, text: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|found| found == text)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    folder.and_then(|()| fs::write(path, text)).map_err(|error| format!("{}: {error}", path.display()))
}

/// The version of an npm package that is asked for.
fn pinned(package: &str) -> String {
    let packages: serde_json::Value = serde_json::from_str(PACKAGES).unwrap_or_default();
    let version = packages["dependencies"][package].as_str().unwrap_or("unknown");
    format!("{package} {version}")
}

/// The official servers in Python, with their versions.
fn python_servers() -> impl Iterator<Item = String> {
    REQUIREMENTS.lines().skip(1).map(|line| line.replace("==", " "))
}

/// The version of a crate in the lock file.
fn locked(name: &str) -> String {
    let lock = fs::read_to_string(repository().join("Cargo.lock")).unwrap_or_default();
    version_in(&lock, name).unwrap_or("unknown").to_owned()
}

fn version_in<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let (_, behind) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    behind.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_where_they_are_pinned() {
        let lock = "[[package]]\nname = \"rmcp-macros\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"rmcp\"\nversion = \"3.11.0\"\n";
        assert_eq!(version_in(lock, "rmcp"), Some("3.11.0"));
        assert_eq!(version_in(lock, "mcp"), None);
        let pinned = pinned("@modelcontextprotocol/server");
        assert!(pinned.rsplit(' ').next().is_some_and(|version| version.split('.').count() == 3), "{pinned}");
    }

    #[test]
    fn what_is_not_here_has_a_reason() {
        assert_eq!(
            run(&mut Command::new("no-such-program")),
            Err("`no-such-program` is not here".to_owned())
        );
        assert_eq!(run(&mut Command::new("true")), Ok(()));
        assert!(run(&mut Command::new("false")).is_err_and(|reason| reason.contains("ended with")));
        assert_eq!(said("no-such-program", &[]), "");
        assert!(found("sh").is_some() && found("no-such-program").is_none());
    }

    #[test]
    fn nothing_is_brought_when_nothing_is_wanted() {
        let supply = Supply::bring("no such peer", None, |_| {}).expect("a place");
        assert_eq!(supply.versions(), []);
        assert_eq!(supply.missing().count(), 0);
        assert_eq!(supply.place(Peer::Mcpool), None);
    }
}
