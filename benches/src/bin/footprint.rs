//! What an MCP server on standard input and output costs: start, memory, a round trip, a burst.
//!
//! ```sh
//! cargo build --release && cargo run --release -p mcpool-benches --bin footprint -- target/release/mcpool serve .
//! ```
//!
//! Measures any server of the handshake revisions from outside, over plain pipes, with blocking reads and
//! writes. The floor of a round trip is that of `cat`, measured in the same way. Linux only: memory is read
//! from `/proc`.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const HANDSHAKE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"footprint","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#;
const STARTS: usize = 50;
const ROUND_TRIPS: usize = 20_000;
/// Requests in flight at once in the throughput row.
const WINDOW: usize = 64;
const BURST_FRAMES: usize = 200;
const BURST_FRAME_BYTES: usize = 1024 * 1024;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let command: Vec<String> = std::env::args().skip(1).collect();
    if command.is_empty() {
        eprintln!("usage: footprint COMMAND [ARGUMENT...]");
        return ExitCode::from(2);
    }
    match measure(&command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("footprint: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(command: &[String]) -> Result<()> {
    println!("| what | figure |\n| --- | --- |");
    let mut starts = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        let begun = Instant::now();
        let mut server = Server::start(command)?;
        server.ask(HANDSHAKE)?;
        starts.push(begun.elapsed());
        server.end()?;
    }
    row("spawn to first answer, median", &micros(median(&mut starts)));

    let mut server = Server::start(command)?;
    server.ask(HANDSHAKE)?;
    server.say(INITIALIZED)?;
    server.ask(LIST)?;
    std::thread::sleep(Duration::from_millis(300));
    let idle = server.memory()?;
    row("idle, after the list of tools", &idle.show());

    let mut floor = Server::start(&["cat".to_owned()])?;
    let pipe = round_trip(&mut floor, PING)?;
    floor.end()?;
    let ping = round_trip(&mut server, PING)?;
    row("ping, one in flight, median", &micros(ping));
    row("the same above the pipes themselves", &micros(ping.saturating_sub(pipe)));
    row("pings a second, 64 in flight", &format!("{:.0}", pipelined(&mut server)?));

    burst(&mut server)?;
    row("right after a burst of frames of a mebibyte", &server.memory()?.show());
    std::thread::sleep(Duration::from_secs(5));
    row("5 s after the burst", &server.memory()?.show());
    server.end()
}

fn row(what: &str, figure: &str) {
    println!("| {what} | {figure} |");
}

fn micros(time: Duration) -> String {
    format!("{:.1} us", time.as_secs_f64() * 1e6)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn round_trip(server: &mut Server, line: &str) -> Result<Duration> {
    let mut times = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let begun = Instant::now();
        server.ask(line)?;
        times.push(begun.elapsed());
    }
    Ok(median(&mut times))
}

/// Pings a second while a window of them is always under way.
fn pipelined(server: &mut Server) -> Result<f64> {
    let window = format!("{PING}\n").repeat(WINDOW);
    let begun = Instant::now();
    for _ in 0..ROUND_TRIPS / WINDOW {
        server.input.write_all(window.as_bytes())?;
        for _ in 0..WINDOW {
            server.read()?;
        }
    }
    Ok((ROUND_TRIPS / WINDOW * WINDOW) as f64 / begun.elapsed().as_secs_f64())
}

/// Large frames, each half plain and half escaped, so that buffers and arenas grow.
fn burst(server: &mut Server) -> Result<()> {
    let part = "plain text, then an escape: \\n";
    let argument = part.repeat(BURST_FRAME_BYTES / part.len());
    let line = format!(
        r#"{{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{{"name":"list_allowed_directories","arguments":{{"unused":"{argument}"}}}}}}"#
    );
    for _ in 0..BURST_FRAMES {
        server.ask(&line)?;
    }
    Ok(())
}

struct Server {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    line: String,
}

impl Server {
    fn start(command: &[String]) -> Result<Self> {
        let mut process = Command::new(&command[0])
            .args(&command[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("the server has no pipes".into());
        };
        Ok(Self { process, input, output: BufReader::new(output), line: String::new() })
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        self.input.write_all(format!("{line}\n").as_bytes())
    }

    fn read(&mut self) -> Result<()> {
        self.line.clear();
        if self.output.read_line(&mut self.line)? == 0 {
            return Err("the server closed its output".into());
        }
        Ok(())
    }

    fn ask(&mut self, line: &str) -> Result<()> {
        self.say(line)?;
        self.read()
    }

    fn memory(&self) -> Result<MemoryKib> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.process.id()))?;
        let kib = |name: &str| -> u64 {
            let line = rollup.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
        };
        let private = kib("Private_Clean:") + kib("Private_Dirty:");
        Ok(MemoryKib { rss: kib("Rss:"), pss: kib("Pss:"), private })
    }

    fn end(mut self) -> Result<()> {
        drop(self.input);
        self.process.wait()?;
        Ok(())
    }
}

/// A process' memory, in KiB.
struct MemoryKib {
    rss: u64,
    pss: u64,
    private: u64,
}

impl MemoryKib {
    fn show(&self) -> String {
        let mib = |kib: u64| kib as f64 / 1024.0;
        format!("{:.1} MiB RSS, {:.1} PSS, {:.1} private", mib(self.rss), mib(self.pss), mib(self.private))
    }
}
