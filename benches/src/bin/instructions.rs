//! Instructions a request, counted by callgrind: figures that are the same on a busy machine.
//!
//! ```sh
//! cargo build --profile bench --workspace && cargo run --profile bench -p mcpool-benches --bin instructions
//! cargo run --profile bench -p mcpool-benches --bin instructions -- top 'in process/echo 100 B'
//! ```
//!
//! Needs `valgrind`. Each row is two runs, of `N` and of `2 N` requests, each after the same warm-up: the difference, a
//! request's part of it, is the figure. `in process` has one request in flight over streams in memory; `in process x64`
//! sends 64 lines at once, as a busy pipe does. `stdio` and `stdio x64` are the program `mcpool serve` over pipes (the
//! echoes, which it has no tool for, are served by this binary with the same code); `HTTP` is this binary on a port,
//! with one connection in a session. The kernel's part is not counted. `watched` is a second in the life of a busy
//! server: one look of the memory manager, the trace that follows it until enough was seen, and requests beyond that.
//! The program and `HTTP` look by themselves each second, which under valgrind has time for a few thousand requests:
//! nearly all of theirs are traced. `top` shows where one row's instructions are.
//!
//! What to expect of it: a change of 1 % is visible, a change of the order in which memory is touched is not. valgrind
//! 3.19 does not know `openat2`, so files are opened the longer way there, name by name: the row of `read_text_file`
//! is good for comparing two versions, not for comparing with other rows.

use mcpool::Drain;
use mcpool::transport::{HttpConfig, Listener, LocalAddress, TcpOptions, serve_http};
use mcpool_benches::callgrind::{Costs, Profile, under_callgrind};
use mcpool_benches::client::{Client, Socket};
use mcpool_benches::in_process::{self, HANDSHAKE, InProcess};
use mcpool_benches::requests::{self, NamedRequest};
use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mcpool_mimalloc::MiMalloc = mcpool_mimalloc::MiMalloc;

/// Requests of the shorter run. A pool traces 8,192 events between two looks, and a request has at least two.
const REQUESTS: usize = 5_000;
const WARM_UP: usize = 1_000;
/// Lines sent at once where many are.
const AT_ONCE: usize = 64;
const SHOWN: usize = 25;
/// Time between two looks: the memory manager does some things once a second.
const LOOK_INTERVAL: Duration = Duration::from_millis(1_050);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How a row's requests reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    InProcess,
    InProcessAtOnce,
    InProcessWatched,
    Stdio,
    StdioAtOnce,
    Http,
}

const WAYS: [Way; 6] =
    [Way::InProcess, Way::InProcessAtOnce, Way::InProcessWatched, Way::Stdio, Way::StdioAtOnce, Way::Http];

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::InProcess => "in process",
            Self::InProcessAtOnce => "in process x64",
            Self::InProcessWatched => "in process, watched",
            Self::Stdio => "stdio",
            Self::StdioAtOnce => "stdio x64",
            Self::Http => "HTTP",
        }
    }

    fn at_once(self) -> usize {
        match self {
            Self::InProcess | Self::InProcessWatched | Self::Stdio | Self::Http => 1,
            Self::InProcessAtOnce | Self::StdioAtOnce => AT_ONCE,
        }
    }
}

fn main() -> ExitCode {
    // As the program, which some of the rows run, has it.
    mcpool_mimalloc::set_purge_delay_ms(0);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [] => all_rows(),
        ["top", row] => top(row),
        ["run", directory, way, request, count] => run_in_process(directory.as_ref(), way, request, count),
        ["serve", directory] => serve(directory.as_ref()),
        ["serve-http", directory] => serve_over_http(directory.as_ref()),
        _ => Err("usage: instructions [top ROW]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn all_rows() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let requests = requests::usual(folder.path())?;
    let names: Vec<_> = WAYS.iter().map(|way| way.name()).collect();
    println!("| instructions a request | {} |\n| --- |{}", names.join(" | "), " ---: |".repeat(WAYS.len()));
    for request in &requests {
        print!("| {} |", request.name);
        for way in WAYS {
            print!(" {:.0} |", measure(folder.path(), way, request)?.total());
            io::stdout().flush()?;
        }
        println!();
    }
    Ok(())
}

/// The dearest functions and files of the row `WAY/REQUEST`.
fn top(row: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let requests = requests::usual(folder.path())?;
    let (way, request) = row.split_once('/').unwrap_or((row, ""));
    let way = WAYS.into_iter().find(|known| known.name() == way).ok_or("there is no such way")?;
    // The name of one request has a slash in it.
    let request = find(&requests, request)?;
    let costs = measure(folder.path(), way, request)?;
    println!("{row}: {:.0} instructions a request", costs.total());
    for (what, list) in [("function", costs.functions(SHOWN)), ("source file", costs.files(SHOWN))] {
        println!("\n| instructions | {what} |\n| ---: | --- |");
        for (name, cost) in list {
            println!("| {cost:.0} | `{name}` |");
        }
    }
    Ok(())
}

fn find<'r>(requests: &'r [NamedRequest], name: &str) -> Result<&'r NamedRequest> {
    requests.iter().find(|request| request.name == name).ok_or_else(|| format!("no request `{name}`").into())
}

fn measure(directory: &Path, way: Way, request: &NamedRequest) -> Result<Costs> {
    let counted = |count| match way {
        Way::Stdio | Way::StdioAtOnce => over_stdio(directory, way, request, count),
        Way::Http => over_http(directory, request, count),
        Way::InProcess | Way::InProcessAtOnce | Way::InProcessWatched => {
            in_process(directory, way, request, count)
        }
    };
    let (shorter, longer) = (counted(REQUESTS)?, counted(2 * REQUESTS)?);
    Ok(longer.per_request(&shorter, REQUESTS))
}

fn profile_path(directory: &Path) -> PathBuf {
    directory.join("callgrind.out")
}

fn in_process(directory: &Path, way: Way, request: &NamedRequest, count: usize) -> Result<Profile> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("run").arg(directory).args([way.name(), &request.name, &count.to_string()]);
    let path = profile_path(directory);
    let status = under_callgrind(&command, &path).status()?;
    if !status.success() {
        return Err(format!("{}/{}: {status}", way.name(), request.name).into());
    }
    Ok(Profile::read(&path)?)
}

/// What valgrind runs: requests one after the other.
fn run_in_process(directory: &Path, way: &str, request: &str, count: &str) -> Result<()> {
    let way = WAYS.into_iter().find(|known| known.name() == way).ok_or("there is no such way")?;
    let requests = requests::usual(directory)?;
    let request = find(&requests, request)?;
    let count: usize = count.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _inside = runtime.enter();
    let server = in_process::server(directory)?;
    let mut connection = InProcess::connect(&server);
    let answer_bytes = request.check(&mut connection);
    let lines = request.repeated(way.at_once());
    let mut send = |requests: usize| {
        for _ in 0..requests.div_ceil(way.at_once()) {
            assert_eq!(connection.exchange(&lines), answer_bytes * way.at_once(), "all answers, all alike");
        }
    };
    let is_watched = way == Way::InProcessWatched;
    if is_watched {
        server.maintain();
    }
    send(WARM_UP);
    for _ in 0..count.div_ceil(REQUESTS) {
        if is_watched {
            std::thread::sleep(LOOK_INTERVAL);
            server.maintain();
        }
        send(REQUESTS);
    }
    Ok(())
}

/// A server of the tools of the benches on standard input and output.
fn serve(directory: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let server = in_process::server(directory)?;
    Ok(runtime.block_on(server.serve_stdio())?)
}

/// The same over HTTP, on a port of the system's choice that is told on standard output; until standard input ends.
fn serve_over_http(directory: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let server = in_process::server(directory)?;
    let drain = Drain::default();
    let ends = drain.clone();
    let waiting = std::thread::spawn(move || {
        let ended = io::copy(&mut io::stdin(), &mut io::sink());
        ends.begin();
        ended
    });
    runtime.block_on(async {
        let listener = Listener::tcp(SocketAddr::from(([127, 0, 0, 1], 0)), TcpOptions::default())?;
        if let LocalAddress::Tcp { address, .. } = listener.local_addr() {
            println!("{address}");
        }
        serve_http(&server, vec![listener], HttpConfig::default(), &drain).await?;
        Ok::<(), Box<dyn Error>>(())
    })?;
    waiting.join().map_err(|_| "the thread that waits panicked")??;
    Ok(())
}

fn over_http(directory: &Path, request: &NamedRequest, count: usize) -> Result<Profile> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("serve-http").arg(directory);
    let path = profile_path(directory);
    let mut child = under_callgrind(&command, &path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let talked = talk_http(&mut child, request, count);
    drop(child.stdin.take());
    let status = child.wait()?;
    talked?;
    if !status.success() {
        return Err(format!("HTTP/{}: {status}", request.name).into());
    }
    Ok(Profile::read(&path)?)
}

/// Opens a session, then has `count` requests answered, one in flight.
fn talk_http(child: &mut Child, request: &NamedRequest, count: usize) -> Result<()> {
    let mut address = String::new();
    BufReader::new(child.stdout.as_mut().ok_or("no pipe")?).read_line(&mut address)?;
    let socket = TcpStream::connect(address.trim())?;
    socket.set_nodelay(true)?;
    let mut client = Client::shake_hands(Socket::Tcp(socket))?;
    let (prepared, mut answer) = (client.prepare(request, 1)?, Vec::new());
    for _ in 0..WARM_UP + count {
        client.exchange(&prepared, &mut answer)?;
    }
    Ok(())
}

fn over_stdio(directory: &Path, way: Way, request: &NamedRequest, count: usize) -> Result<Profile> {
    let this = std::env::current_exe()?;
    let mut command = Command::new(this.with_file_name("mcpool"));
    if request.name.starts_with("echo") {
        command = Command::new(this);
    }
    command.arg("serve").arg(directory);
    let path = profile_path(directory);
    let mut under = under_callgrind(&command, &path);
    let mut child = under.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let talked = talk(&mut child, way, request, count);
    let status = child.wait()?;
    talked?;
    if !status.success() {
        return Err(format!("{}: {status}: is it built?", command.get_program().display()).into());
    }
    Ok(Profile::read(&path)?)
}

/// Shakes hands, then has `count` requests answered, as many in flight as the way says.
fn talk(child: &mut Child, way: Way, request: &NamedRequest, count: usize) -> Result<()> {
    let (mut requests, answers) =
        (child.stdin.take().ok_or("no pipe")?, child.stdout.take().ok_or("no pipe")?);
    let mut answers = BufReader::with_capacity(1 << 20, answers);
    requests.write_all(HANDSHAKE.as_bytes())?;
    answers.read_line(&mut String::new())?;
    requests.write_all(&request.line)?;
    let mut answer = String::new();
    answers.read_line(&mut answer)?;
    if !answer.contains(&request.expected) {
        return Err(format!("{}: {answer}", request.name).into());
    }
    let lines = request.repeated(way.at_once());
    let mut batch = vec![0; answer.len() * way.at_once()];
    for _ in 0..(WARM_UP + count).div_ceil(way.at_once()) {
        requests.write_all(&lines)?;
        answers.read_exact(&mut batch)?;
    }
    drop(requests);
    answers.read_to_end(&mut batch)?;
    Ok(())
}
