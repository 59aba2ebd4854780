//! The servers that are compared, each started fresh: nginx, rmcp, and mcpool as a library and as a program.
//!
//! One that is not there is skipped with the reason, never replaced. All get the same number of threads and the
//! same allocator; nginx answers any request with the body that mcpool's echo has.

use crate::calls::{Call, Era, exchange};
use crate::closed_loop::Caller;
use crate::http_client::AnswerReader;
use crate::server_process::ServerProcess;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The file that mcpool is asked to read, and what is in it.
const FILE_NAME: &str = "note.txt";
const FILE_TEXT: &str = "A small file, as an agent reads hundreds of them: some lines of text.\n";
/// Where Debian puts nginx, which is not on everybody's search path.
const NGINX: &str = "/usr/sbin/nginx";

/// A server to be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    /// nginx with one worker, answering a static body.
    NginxAlone,
    /// nginx with as many workers as the others have threads.
    Nginx,
    /// The tools `echo` and `length` on rmcp.
    Rmcp,
    /// The same tools on the library mcpool.
    Echo,
    /// The program mcpool with a folder.
    Mcpool,
}

/// A contender at work.
#[derive(Debug)]
pub struct Running {
    /// Its process.
    pub server: ServerProcess,
    /// The files that it needs as long as it runs.
    folder: Option<TempDir>,
}

/// Where the programs are, and how many threads they get.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
    mcpool: Option<PathBuf>,
    threads: usize,
}

impl Contender {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::NginxAlone, Self::Nginx, Self::Rmcp, Self::Echo, Self::Mcpool];

    /// As the tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NginxAlone => "nginx, 1 worker",
            Self::Nginx => "nginx",
            Self::Rmcp => "rmcp",
            Self::Echo => "mcpool, library",
            Self::Mcpool => "mcpool, program",
        }
    }

    /// Whether it answers everything alike.
    pub fn is_static(self) -> bool {
        matches!(self, Self::NginxAlone | Self::Nginx)
    }
}

impl Programs {
    /// Finds the programs: `mcpool` where it is said to be, the others beside this one.
    ///
    /// # Errors
    /// When this program does not know where it is.
    pub fn new(mcpool: Option<PathBuf>, threads: usize) -> io::Result<Self> {
        let own = std::env::current_exe()?;
        let folder = own.parent().unwrap_or(Path::new(".")).to_owned();
        Ok(Self { folder, mcpool, threads })
    }

    /// How many threads each server gets.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Starts a server; the inner error says why it is not there.
    ///
    /// # Errors
    /// When it is there and does not start.
    pub fn start(&self, contender: Contender) -> io::Result<Result<Running, String>> {
        let threads = self.threads.to_string();
        match contender {
            Contender::NginxAlone => self.nginx(1),
            Contender::Nginx => self.nginx(self.threads),
            Contender::Rmcp => {
                let program = self.folder.join("rmcp_echo");
                if !program.exists() {
                    let build = "cargo build --release -p mcpool-benches --features peers";
                    return Ok(Err(format!("{} is not built: {build}", program.display())));
                }
                let server = ServerProcess::start(Command::new(program).arg(threads))?;
                Ok(Ok(Running { server, folder: None }))
            }
            Contender::Echo => {
                let program = self.folder.join("http_echo");
                let server = ServerProcess::start(Command::new(program).arg(threads))?;
                Ok(Ok(Running { server, folder: None }))
            }
            Contender::Mcpool => self.mcpool(&[]).map(Ok),
        }
    }

    /// Starts the program mcpool on a folder with one file, with more arguments.
    ///
    /// # Errors
    /// When it does not start.
    pub fn mcpool(&self, arguments: &[&str]) -> io::Result<Running> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join(FILE_NAME), FILE_TEXT)?;
        let program = self.mcpool.clone().unwrap_or_else(|| self.folder.join("mcpool"));
        if !program.exists() {
            let message = format!("{} is not built: cargo build --release", program.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        let mut command = Command::new(program);
        command.args(["serve", "--http", "127.0.0.1:0", "--worker-threads", &self.threads.to_string()]);
        let server = ServerProcess::start(command.args(arguments).arg(folder.path()))?;
        Ok(Running { server, folder: Some(folder) })
    }

    fn nginx(&self, workers: usize) -> io::Result<Result<Running, String>> {
        if Command::new(NGINX).arg("-v").output().is_err() {
            return Ok(Err(format!("{NGINX} is not there: apt-get install nginx-light")));
        }
        let body = match self.echo_body() {
            Ok(body) => body.replace('\\', "\\\\").replace('\'', "\\'"),
            Err(error) => return Ok(Err(format!("the body to answer with is unknown: {error}"))),
        };
        let folder = tempfile::tempdir()?;
        let address = free_address()?;
        let path = folder.path().join("nginx.conf");
        fs::write(&path, nginx_configuration(folder.path(), address, workers, &body))?;
        let mut command = Command::new(NGINX);
        let server = ServerProcess::start_at(command.arg("-c").arg(&path).arg("-e").arg("stderr"), address)?;
        Ok(Ok(Running { server, folder: Some(folder) }))
    }

    /// The body that mcpool's echo answers with.
    fn echo_body(&self) -> io::Result<String> {
        let server = ServerProcess::start(&mut Command::new(self.folder.join("http_echo")))?;
        let mut answer = AnswerReader::new(1024 * 1024);
        exchange(&mut Caller::connect(server.address())?, &Call::Echo.modern(), &mut answer)?;
        Ok(String::from_utf8_lossy(answer.body()).into_owned())
    }
}

impl Running {
    /// The call that reads the small file; for the program mcpool.
    pub fn read_file(&self) -> Call {
        let path = self.folder.as_ref().map_or_else(PathBuf::new, |folder| folder.path().join(FILE_NAME));
        Call::ReadFile { path: path.display().to_string(), content: FILE_TEXT.trim_end().to_owned() }
    }

    /// The requests that servers are compared with, each with its era.
    pub fn calls(&self, contender: Contender) -> Vec<(Call, Era)> {
        let protocol =
            [(Call::Ping, Era::Legacy), (Call::Discover, Era::Modern), (Call::ListTools, Era::Modern)];
        let echo = [(Call::Echo, Era::Modern), (Call::Echo, Era::Legacy)];
        match contender {
            Contender::NginxAlone | Contender::Nginx => vec![(Call::Echo, Era::Modern)],
            Contender::Rmcp | Contender::Echo => [&echo[..], &protocol[..]].concat(),
            Contender::Mcpool => [&[(self.read_file(), Era::Modern)][..], &protocol[..]].concat(),
        }
    }
}

/// An address that nobody listens on at the moment.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

fn nginx_configuration(folder: &Path, address: SocketAddr, workers: usize, body: &str) -> String {
    let folder = folder.display();
    format!(
        "daemon off;
worker_processes {workers};
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 12000; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    client_max_body_size 16m;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {address} reuseport backlog=4096;
        location / {{ default_type application/json; return 200 '{body}'; }}
    }}
}}
"
    )
}
