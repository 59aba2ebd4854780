//! Lines that never end, and clients that lack their room, in time that stands still while anything can move.

use crate::limits::Limits;
use crate::server::{Drain, Server};
use crate::transport::admission::PeerAddress;
use crate::transport::hang_up::Undetected;
use crate::transport::lines::{LineConnection, LineShared, ServeError};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const ROOM_BYTES: usize = 8 * MIB;
/// From then on a line is slow.
const SLOW: Duration = Duration::from_secs(1);
/// No line waits longer for room.
const WAIT: Duration = Duration::from_secs(5);

const ATTACKER: Option<PeerAddress> = Some(PeerAddress::Unix { uid: 7 });
const OTHERS: [Option<PeerAddress>; 3] = [
    Some(PeerAddress::Unix { uid: 8 }),
    Some(PeerAddress::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST))),
    // The owner, over standard input and output.
    None,
];

fn serve(limits: Limits) -> (Server, Arc<LineShared>) {
    let server = Server::builder("test", "1").limits(limits).build().expect("a server");
    let shared = Arc::new(LineShared::new(&server, &Drain::default()));
    (server, shared)
}

fn with_room() -> (Server, Arc<LineShared>) {
    serve(Limits { max_inflight_bytes: ROOM_BYTES, ..Limits::default() })
}

struct Client {
    stream: BufReader<DuplexStream>,
    serving: JoinHandle<Result<(), ServeError>>,
}

impl Client {
    fn connect(shared: &Arc<LineShared>, peer: Option<PeerAddress>) -> Self {
        let (client, stream) = duplex(64 * KIB);
        let connection = LineConnection::<_, Undetected>::new(Arc::clone(shared), peer, stream);
        Self { stream: BufReader::new(client), serving: tokio::spawn(connection) }
    }

    async fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).await.expect("the connection lives");
    }

    async fn answer(&mut self) -> String {
        let mut line = String::new();
        let read = timeout(Duration::from_mins(1), self.stream.read_line(&mut line)).await;
        read.expect("in time").expect("a line");
        line
    }

    /// Whether a line of so many bytes is answered.
    async fn asks(&mut self, bytes: usize) -> bool {
        self.send(&begun(bytes)).await;
        self.ends().await
    }

    /// Whether a line that has begun is answered when it ends.
    async fn ends(&mut self) -> bool {
        self.send("}\n").await;
        !self.answer().await.contains("no memory")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A request that lacks its last brace. Nothing is made of it while it is served, so that it needs no more room than its
/// own.
fn begun(bytes: usize) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call"{}"#, " ".repeat(bytes))
}

/// Lines of one client that never end, all that they are to have having been read or skipped.
async fn fill(shared: &Arc<LineShared>, bytes: usize, count: usize) -> Vec<Client> {
    let halves = (0..count).map(|_| {
        let mut client = Client::connect(shared, ATTACKER);
        tokio::spawn(async move {
            client.send(&begun(bytes)).await;
            client
        })
    });
    let halves: Vec<_> = halves.collect();
    let mut clients = Vec::new();
    for half in halves {
        clients.push(half.await.expect("no panic"));
    }
    clients
}

/// Sends a line whole, and gives the answer.
async fn answer_to(shared: &Arc<LineShared>, peer: Option<PeerAddress>, line: &str) -> String {
    let mut client = Client::connect(shared, peer);
    client.send(line).await;
    client.send("\n").await;
    client.answer().await
}

/// Whether nothing is in the tables of messages on their way in.
fn is_clear(server: &Server) -> bool {
    let memory = server.memory();
    [true, false].iter().all(|is_large| {
        let table = memory.incoming(*is_large);
        !table.anyone_waits() && table.displaceable_bytes(9) == 0
    })
}

#[tokio::test(start_paused = true)]
async fn lines_that_never_end_keep_no_line_of_another_client_out() {
    for (bytes, count) in [(2_500_000, 3), (900_000, 12), (300_000, 40), (65_000, 140)] {
        for peer in OTHERS {
            let (server, shared) = with_room();
            let mut halves = fill(&shared, bytes, count).await;
            sleep(2 * SLOW).await;
            for asked in [100, 100 * KIB, MIB, 3 * MIB] {
                let mut client = Client::connect(&shared, peer);
                assert!(client.asks(asked).await, "{bytes} by {count}: {peer:?} lacks {asked}");
            }
            let mut answered = 0;
            for half in &mut halves {
                answered += usize::from(half.ends().await);
                assert!(half.asks(100).await, "the connection goes on after a line that was skipped");
            }
            assert!(answered > 0 && answered < count, "{bytes}: {answered} of {count} are left");
            drop(halves);
            sleep(SLOW).await;
            assert!(is_clear(&server));
        }
    }
}

/// Where a body would wait, a line does: for those that have just begun, until they are slow.
#[tokio::test(start_paused = true)]
async fn a_line_that_lacks_room_waits_for_it() {
    let (server, shared) = with_room();
    let halves = fill(&shared, 2_500_000, 3).await;
    let began = Instant::now();
    assert!(Client::connect(&shared, OTHERS[0]).asks(2 * MIB).await);
    let took = began.elapsed();
    assert!(took >= SLOW / 2 && took < WAIT, "{took:?}");
    drop(halves);
    sleep(SLOW).await;
    assert!(is_clear(&server));
}

/// The server does not read meanwhile: that is not the time of the client.
#[tokio::test(start_paused = true)]
async fn a_line_that_waits_for_room_has_its_time_all_the_same() {
    const ALLOWED: Duration = Duration::from_millis(50);
    let limits = Limits {
        max_inflight_bytes: ROOM_BYTES,
        header_timeout_ms: ALLOWED.as_millis() as usize,
        body_timeout_ms: ALLOWED.as_millis() as usize,
        ..Limits::default()
    };
    let (_server, shared) = serve(limits);
    // Of the owner, who has no time-out.
    let mut halves = Vec::new();
    for _ in 0..3 {
        let mut half = Client::connect(&shared, None);
        half.send(&begun(2_500_000)).await;
        halves.push(half);
    }
    let began = Instant::now();
    let mut client = Client::connect(&shared, OTHERS[0]);
    client.send(&format!("{}}}\n", begun(2 * MIB))).await;
    let answer = client.answer().await;
    assert!(answer.contains(r#""id":1"#) && !answer.contains("memory"), "{answer}");
    assert!(began.elapsed() > ALLOWED, "it need not wait");
    // And no longer than that.
    client.send(&begun(100)).await;
    let told = client.answer().await;
    assert!(told.contains("header_timeout_ms"), "{told}");
    drop(halves);
}

/// Who leaves while it waits, or after others ended for it, leaves nothing behind, and no one waits longer than it may.
#[tokio::test(start_paused = true)]
async fn who_leaves_while_it_waits_leaves_nothing_behind() {
    for left_ms in [10, 500, 1_500, 3_000] {
        let (server, shared) = with_room();
        let halves = fill(&shared, 2_500_000, 3).await;
        for peer in OTHERS {
            let mut client = Client::connect(&shared, peer);
            let asked = timeout(Duration::from_millis(left_ms), client.send(&begun(9 * MIB))).await;
            drop((asked, client));
        }
        drop(halves);
        sleep(SLOW).await;
        assert!(is_clear(&server), "{left_ms} ms");
        assert!(Client::connect(&shared, ATTACKER).asks(6 * MIB).await, "all of the room is free");
    }
}

/// Nobody makes way for its own lines beyond the first: the others wait, and then are skipped.
#[tokio::test(start_paused = true)]
async fn a_line_that_finds_no_room_in_time_is_refused_and_its_connection_goes_on() {
    let (_server, shared) = with_room();
    let halves = fill(&shared, 2_500_000, 3).await;
    let mut client = Client::connect(&shared, ATTACKER);
    let began = Instant::now();
    assert!(!client.asks(5 * MIB).await, "its client has the room");
    assert!(began.elapsed() >= WAIT && began.elapsed() < 2 * WAIT, "{:?}", began.elapsed());
    assert!(client.asks(100).await);
    drop(halves);
}

/// Later would not be better, whoever has the room meanwhile.
#[tokio::test(start_paused = true)]
async fn a_line_that_never_fits_is_told_so() {
    for beside in [0, 3] {
        let (server, shared) = with_room();
        let halves = fill(&shared, 2_500_000, beside).await;
        for peer in OTHERS.into_iter().chain([ATTACKER]) {
            for bytes in [ROOM_BYTES, ROOM_BYTES + MIB] {
                let answer = answer_to(&shared, peer, &format!("{}}}", begun(bytes))).await;
                assert!(
                    answer.contains("max_inflight_bytes") && answer.contains("memory_limit_bytes"),
                    "{answer}"
                );
                assert!(answer.contains(r#""id":1"#) && !answer.contains("later"), "{answer}");
            }
        }
        drop(halves);
        sleep(SLOW).await;
        assert!(is_clear(&server));
        // What fits alone is served.
        for bytes in [6 * MIB, ROOM_BYTES - 200 * KIB] {
            assert!(Client::connect(&shared, ATTACKER).asks(bytes).await, "{bytes}");
        }
        // As it comes, a line needs more than it has in the end.
        let answer = answer_to(&shared, ATTACKER, &format!("{}}}", begun(ROOM_BYTES - 30 * KIB))).await;
        assert!(answer.contains("memory_limit_bytes"), "{answer}");
    }
}

/// What comes whole in one read costs nothing there; half of it is entered while its connection sleeps.
#[tokio::test(start_paused = true)]
async fn what_comes_whole_in_one_read_is_in_no_table() {
    let (server, shared) = with_room();
    let entered = || [true, false].map(|is_large| server.memory().incoming(is_large).entered());
    for peer in OTHERS {
        let before = entered();
        let mut client = Client::connect(&shared, peer);
        for (bytes, lines) in [(0, 1), (0, 20), (3_000, 1), (1_000, 3)] {
            client.send(&format!("{}}}\n", begun(bytes)).repeat(lines)).await;
            for _ in 0..lines {
                client.answer().await;
            }
            sleep(Duration::from_millis(1)).await;
            assert_eq!(entered(), before, "{peer:?} {bytes} {lines}");
        }
        client.send(&begun(100)).await;
        sleep(Duration::from_millis(1)).await;
        assert!(client.ends().await);
        assert_eq!(entered(), [before[0], before[1] + 1], "{peer:?}");
    }
}
