//! A warm call of the time and thinking tools allocates nothing: not for zones that were asked for before, not for
//! branches that are there. What the zones hold is what the ledger says, or a little less.

use mcpool::Server;
use mcpool::tools::thinking::Thinking;
use mcpool::tools::time::{MAX_ZONES, Time};
use mcpool_memtests::network::{Client, Host, Way};
use mcpool_memtests::{HANDSHAKE, Watch, assert_no_allocations};

/// Zones with long histories and with short ones, as many as are kept.
const ZONES: [&str; MAX_ZONES] = [
    "Europe/London",
    "Europe/Dublin",
    "Africa/Casablanca",
    "America/New_York",
    "America/Chicago",
    "Europe/Lisbon",
    "Asia/Tokyo",
    "Asia/Kathmandu",
    "Australia/Sydney",
    "Pacific/Apia",
    "Etc/GMT+5",
    "Asia/Gaza",
    "America/Sao_Paulo",
    "Europe/Berlin",
    "Europe/Paris",
    "Asia/Hebron",
];

fn call(tool: &str, arguments: &str) -> String {
    let params = format!(r#"{{"name":"{tool}","arguments":{arguments}}}"#);
    let message = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
    message + "\n"
}

/// A client that is past its handshake.
fn connect(host: &Host, buffer: &mut [u8]) -> Client {
    let mut client = host.connect(Way::Lines);
    client.exchange(format!("{}\n{}\n", HANDSHAKE[0], HANDSHAKE[1]).as_bytes(), buffer);
    client
}

fn ask(client: &mut Client, request: &str, buffer: &mut [u8]) {
    let answered = client.exchange(request.as_bytes(), buffer);
    assert!(!String::from_utf8_lossy(&buffer[..answered]).contains("isError"), "{request}");
}

pub(crate) fn toolset_calls_allocate_nothing() {
    let thinking = Thinking::new().log_thoughts(false);
    let time = Time::new(Some("UTC")).expect("a zone");
    let server = Server::builder("tools", "1").toolset(time).toolset(thinking).build().expect("a server");
    let host = Host::start(&server);
    let mut buffer = vec![0; 64 * 1024];
    let mut client = connect(&host, &mut buffer);
    let tokyo = r#"{"source_timezone":"Asia/Tokyo","time":"9:05","target_timezone":"America/New_York"}"#;
    let thought = r#"{"thought":"a","nextThoughtNeeded":true,"thoughtNumber":1,"totalThoughts":1}"#;
    let branch = r#"{"thought":"\"b\"","nextThoughtNeeded":"true","thoughtNumber":"2","totalThoughts":1,"branchFromThought":1,"branchId":"b"}"#;
    let requests = [
        call("get_current_time", r#"{"timezone":"Europe/Berlin"}"#),
        call("convert_time", tokyo),
        call("sequentialthinking", thought),
        call("sequentialthinking", branch),
    ];
    let mut ask_all = |times| {
        for request in requests.iter().cycle().take(times * requests.len()) {
            ask(&mut client, request, &mut buffer);
        }
    };
    ask_all(200);
    server.maintain();
    ask_all(200);
    assert_no_allocations(|| ask_all(250));
    zones_hold_what_the_ledger_says();
}

fn zones_hold_what_the_ledger_says() {
    let time = Time::new(Some("UTC")).expect("a zone");
    let server = Server::builder("time", "1").toolset(time).build().expect("a server");
    let host = Host::start(&server);
    let mut buffer = vec![0; 64 * 1024];
    let mut client = connect(&host, &mut buffer);
    let requests = ZONES.map(|zone| call("get_current_time", &format!(r#"{{"timezone":"{zone}"}}"#)));
    let told = || server.memory().report().part("time tools").expect("a line").bytes as usize;
    // Whatever the first calls need is there before the zones are.
    let warm = call("get_current_time", r#"{"timezone":"UTC"}"#);
    for _ in 0..200 {
        ask(&mut client, &warm, &mut buffer);
    }
    let told_before = told();
    let watch = Watch::begin();
    let before = watch.stats().curr_bytes;
    for request in &requests {
        ask(&mut client, request, &mut buffer);
    }
    let held = watch.stats().curr_bytes - before;
    let told = told() - told_before;
    println!("{MAX_ZONES} zones hold {held} B, and the ledger says {told} B");
    assert!(held <= told && told <= 2 * held + 4_096, "{held} {told}");
}
