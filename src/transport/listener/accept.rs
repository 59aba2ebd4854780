//! The accept loop: acquires a permit, spawns a task, and takes the next connection.
//!
//! Owns how many connections are open, and how many of one address. Must not know which protocol they speak
//! ([`Serve`] does). Invariants: the permit of a connection lives exactly as long as its task; however many
//! connections one address opens, other addresses find room ([`FairLimit`]). The permit counts for the address until
//! a request names the principal of the connection, so the future of the connection holds it. The shape
//! (permit, accept, spawn; the permit moves into the task) is that of the server of `mini-redis`. A count takes the
//! place of a semaphore, because nobody waits for a permit: a connection without one is refused at once.

use super::descriptors::Affordable;
use super::listen::Listener;
use super::stream::{Peer, Stream};
use crate::limits::Limits;
use crate::lock::lock;
use crate::memory::{Account, Entries};
use crate::server::{Drain, FairLimit, Permit, Server};
use crate::transport::admission::{PeerAddress, Principal};
#[cfg(feature = "tls")]
use crate::transport::tls::HandshakeError;
use mcpool_pools::{MemoryBudget, Reservation};
use pin_project_lite::pin_project;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep, timeout};

/// What serves the connections of a listener. A clone of it goes into each task: make it a handle.
pub(crate) trait Serve: Clone + Send + Sync + 'static {
    /// Serves one connection to its end, and ends soon after the server's drain begins. The future holds
    /// `permit` as long as it lives.
    fn serve(self, stream: Stream, peer: Peer, permit: Permit) -> impl Future<Output = ()> + Send + 'static;

    /// Notes that a connection is refused because too many are open.
    fn note_refused(&self, _peer: PeerAddress) {}

    /// Refuses a connection because too many are open. It may take about a second.
    fn refuse_busy(self, stream: Stream, _peer: Peer) -> impl Future<Output = ()> + Send + 'static {
        refuse_busy(stream)
    }
}

/// The answer to a connection when too many are open.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: text/plain\r\n\
    content-length: 21\r\n\
    retry-after: 1\r\n\
    connection: close\r\n\
    \r\n\
    too many connections\n";

/// How long a refused peer may take to read the answer. If the connection closed at once, bytes that the peer still
/// sends would cause a reset, and its system would drop the answer.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Most connections that are refused with an answer at the same time; further ones are just closed. Where file
/// descriptors are few, it is a quarter of the reserve.
const MAX_REFUSALS: usize = 64;

/// How often the tasks of other connections run before one is refused: a new connection finds its socket readable in
/// the first round, and its request tells the principal in the second.
const ROUNDS: usize = 4;

/// Shortest and longest pause after `accept` failed, which is mostly for want of descriptors: it would fail again at
/// once, and a loop without a pause takes a whole processor.
const MIN_PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Shortest time between two log lines about it. While clients come and go, success and failure alternate, and a
/// machine without descriptors may lack disk space for logs as well.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// When nobody has come for so long after connecting was stopped, the last one has: who was about to connect needs a round
/// trip for it.
const LAST_PAUSE: Duration = Duration::from_millis(50);

async fn refuse_busy(mut stream: Stream) {
    if stream.write_all(BUSY).await.is_err() || stream.shutdown().await.is_err() {
        return;
    }
    let mut ignored = [0; 512];
    while stream.read(&mut ignored).await.is_ok_and(|bytes| bytes > 0) {}
}

/// Heap of an idle connection: its task with the socket and timer in it, and the socket's entry with the runtime.
/// Counted by `network_idle_connection_is_small`.
pub(crate) const IDLE_BYTES: usize = 768;
/// Heap of the address that a connection comes from, if no other comes from there.
#[cfg(feature = "cli")]
pub(crate) const HOLDER_BYTES: usize = crate::server::HOLDER_BYTES;

/// Heap of an idle connection's encryption beyond that: keys, certificates, and the buffers that rustls keeps for records.
/// Counted by `an_encrypted_connection_is_told_as_large_as_it_is`.
const ENCRYPTION_BYTES: usize = 8_800;

impl Shared {
    /// How many are open, and their heap while they are idle.
    fn open_bytes(&self) -> (usize, usize) {
        let open = self.permits.held();
        let encrypted = (Arc::strong_count(&self.encrypted) - 1).min(open);
        (open, open * IDLE_BYTES + encrypted * ENCRYPTION_BYTES)
    }

    /// Charges what is open now.
    fn charge(&self) {
        if let Some((_, memory)) = self.memory.get() {
            let (_, bytes) = self.open_bytes();
            lock(memory).resize(bytes + self.permits.bytes());
        }
    }

    /// Whether small objects leave no memory for an encrypted connection.
    #[cfg(feature = "tls")]
    fn has_no_room(&self) -> bool {
        self.memory.get().is_some_and(|(budget, _)| budget.has_less_than(2 * ENCRYPTION_BYTES))
    }
}

impl Account for Shared {
    fn enter(&self, entries: &mut Entries) {
        self.charge();
        let (open, bytes) = self.open_bytes();
        entries.enter("connections", bytes + self.permits.bytes(), open);
        entries.traffic.connections += open as u64;
        let on_average = bytes.checked_div(open).unwrap_or(IDLE_BYTES);
        entries.idle_connection_bytes = on_average as u64;
    }
}

/// How many connections are open, and how many may be. Cloning makes another handle to the same count.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    permits: Arc<FairLimit>,
    /// Each encrypted connection holds a clone, so that the clones are their number.
    encrypted: Arc<()>,
    /// One reservation for all that are open, made anew when one comes and each second: a reservation in each would make
    /// each larger.
    memory: OnceLock<(MemoryBudget, Mutex<Reservation>)>,
}

impl Connections {
    /// At most `max` at once, of which one address may have that part of what others leave.
    pub(crate) fn new(max: usize, share_percent: usize) -> Self {
        Self::with_refusals(max, share_percent, MAX_REFUSALS)
    }

    fn with_refusals(max: usize, share_percent: usize, max_refusals: usize) -> Self {
        let permits = FairLimit::with_lingering(max, share_percent, max_refusals);
        Self { shared: Arc::new(Shared { permits, encrypted: Arc::default(), memory: OnceLock::new() }) }
    }

    /// As many as the settings say and the system allows; logs a warning where the system allows fewer.
    pub(crate) fn within(limits: &Limits) -> Self {
        let Affordable { connections, reserve } = Affordable::of_system(limits);
        Self::with_refusals(connections, limits.principal_share_percent, MAX_REFUSALS.min(reserve / 4))
    }

    /// Enters them in the ledger of a server, charges them to its budget, and lets it see whose connections are open.
    pub(crate) fn account_to(&self, server: &Server) {
        server.see_connections(&self.shared.permits);
        // A second server is not charged for them.
        let budget = server.small_objects();
        let _ = self.shared.memory.set((budget.clone(), Mutex::new(budget.reserve(0))));
        server.memory().open_account(&self.shared);
    }

    /// How many are open.
    pub(crate) fn open(&self) -> usize {
        self.shared.permits.held()
    }

    /// A permit for one more connection of `peer`, if there is one.
    fn permit(&self, peer: PeerAddress) -> Option<Permit> {
        self.shared.permits.acquire(Principal::of_peer(peer).key())
    }

    /// A permit to refuse one more connection with an answer, if there is one.
    fn refusal(&self) -> Option<Permit> {
        self.shared.permits.acquire_lingering()
    }

    /// Waits until none is open, for at most `limit`. False when some still are.
    pub(crate) async fn closed_within(&self, limit: Duration) -> bool {
        timeout(limit, self.shared.permits.until_all_released()).await.is_ok()
    }
}

pin_project! {
    /// A future and what it holds until it is gone.
    ///
    /// An `async` block would have room for the future twice: once as its argument.
    struct Holding<F, G> {
        #[pin]
        future: F,
        // After the future: it goes last.
        _guard: G,
    }
}

impl<F: Future, G> Future for Holding<F, G> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

/// Serves what comes to any of `listeners` until `drain` begins; then closes them and waits for the open
/// connections, `drain_timeout_ms` at most.
///
/// Every permit is of `connections`, so one count holds for all listeners.
pub(crate) async fn serve_listeners<S: Serve>(
    listeners: Vec<Listener>,
    serve: S,
    limits: &Limits,
    connections: &Connections,
    drain: &Drain,
) {
    let mut loops = JoinSet::new();
    for listener in listeners {
        let accepting = Accepting {
            listener,
            serve: serve.clone(),
            connections: connections.clone(),
            handshake_timeout: limits.header_timeout(),
            drain: drain.clone(),
        };
        loops.spawn(accepting.run());
    }
    while loops.join_next().await.is_some() {}
    if !connections.closed_within(limits.drain_timeout()).await {
        tracing::warn!(open = connections.open(), "connections did not end in time and are cut off");
    }
}

/// A listener, and what serves its connections.
struct Accepting<S> {
    listener: Listener,
    serve: S,
    connections: Connections,
    /// How long a client may take to agree on how to encrypt.
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "nothing is encrypted"))]
    handshake_timeout: Duration,
    drain: Drain,
}

impl<S: Serve> Accepting<S> {
    async fn run(mut self) {
        let drain = self.drain.clone();
        let mut draining = pin!(drain.wait());
        let mut rest = MIN_PAUSE;
        let mut said_at: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut draining => return self.accept_last().await,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    rest = MIN_PAUSE;
                    self.admit(stream, peer).await;
                }
                Err(error) if is_of_one_connection(&error) => {
                    tracing::debug!(%error, "a connection was gone before it was accepted");
                }
                Err(error) => {
                    if said_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
                        said_at = Some(Instant::now());
                        let (open, address) = (self.connections.open(), self.listener.local_addr());
                        tracing::error!(%error, open, %address, "cannot accept connections, and will keep trying");
                    }
                    tokio::select! {
                        () = &mut draining => return self.accept_last().await,
                        () = sleep(rest) => rest = (rest * 2).min(MAX_PAUSE),
                    }
                }
            }
        }
    }

    /// Accepts whoever has connected before the drain began: the system holds them ready, with what they have sent, and
    /// would reset them with the listener.
    async fn accept_last(&mut self) {
        if !self.listener.stop_connecting() {
            return;
        }
        let last = async {
            while let Ok(accepted) = timeout(LAST_PAUSE, self.listener.accept()).await {
                match accepted {
                    Ok((stream, peer)) => self.admit(stream, peer).await,
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => return tracing::debug!(%error, "the last connections cannot be accepted"),
                }
            }
        };
        // Where connecting cannot be stopped, there might be no last one.
        let _ = timeout(Drain::GRACE, last).await;
    }

    async fn admit(&self, stream: Stream, peer: Peer) {
        let Some(permit) = self.permit(peer.address()).await else {
            self.refuse(stream, peer);
            return;
        };
        self.connections.shared.charge();
        let serve = self.serve.clone();
        #[cfg(feature = "tls")]
        let stream = match (stream, &self.listener.tls) {
            // What a handshake takes is not small, and who waits for it can read no answer.
            (_, Some(_)) if self.connections.shared.has_no_room() => return,
            (Stream::Tcp(stream), Some(tls)) => {
                let encrypted = Arc::clone(&self.connections.shared.encrypted);
                let handshake = tls.accept(stream, self.handshake_timeout);
                // In a box: a handshake is large, and short beside the life of its connection.
                let drain = self.drain.clone();
                let handshake = Box::pin(async move {
                    tokio::select! {
                        agreed = handshake => (agreed, permit),
                        () = until_too_late(&drain) => (Err(HandshakeError::Ending), permit),
                    }
                });
                tokio::spawn(async move {
                    match handshake.await {
                        (Ok(stream), permit) => {
                            serve.serve(Stream::Tls(Box::new(stream)), peer, permit).await;
                            drop(encrypted);
                        }
                        (Err(error), _) => tracing::debug!(?peer, %error, "no encrypted connection"),
                    }
                });
                return;
            }
            (stream, _) => stream,
        };
        tokio::spawn(serve.serve(stream, peer, permit));
    }

    /// A permit for one more connection of `peer`. Before it says that there is none, it lets connections run that
    /// were accepted just now, as they may belong to other principals.
    async fn permit(&self, peer: PeerAddress) -> Option<Permit> {
        for _ in 0..ROUNDS {
            let permit = self.connections.permit(peer);
            if permit.is_some() {
                return permit;
            }
            yield_now().await;
        }
        self.connections.permit(peer)
    }

    fn refuse(&self, stream: Stream, peer: Peer) {
        let max = self.connections.shared.permits.max();
        tracing::warn!(
            peer = %peer.address(),
            max,
            open = self.connections.open(),
            "refused: a connection too many, or too many of one peer (max_connections, principal_share_percent)"
        );
        self.serve.note_refused(peer.address());
        // A client that waits for a handshake cannot read an answer.
        #[cfg(feature = "tls")]
        if self.listener.tls.is_some() {
            return;
        }
        if let Some(refusal) = self.connections.refusal() {
            let future = timeout(REFUSAL_TIMEOUT, self.serve.clone().refuse_busy(stream, peer));
            tokio::spawn(Holding { future, _guard: refusal });
        }
    }
}

/// How long a client that connected may still take to agree on how to encrypt, when the drain begins: a few round trips.
#[cfg(feature = "tls")]
const HANDSHAKE_GRACE: Duration = Duration::from_secs(1);

/// Until nobody waits for a handshake any more.
#[cfg(feature = "tls")]
async fn until_too_late(drain: &Drain) {
    drain.wait().await;
    sleep(HANDSHAKE_GRACE).await;
}

/// Whether accepting failed for one connection alone (`accept(2)`: errors of the network are those of the
/// connection in question), so that the next may succeed at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::NotConnected
            | Kind::Interrupted
            | Kind::NetworkDown
            | Kind::NetworkUnreachable
            | Kind::HostUnreachable
            | Kind::TimedOut
            | Kind::BrokenPipe
    )
}

#[cfg(test)]
mod tests {
    use super::super::listen::{LocalAddress, TcpOptions};
    use super::*;
    use std::net::SocketAddr;
    use std::path::Path;
    use tokio::net::{TcpStream, UnixStream};

    /// Says hello, and echoes what it reads until the client closes its side; panics when told to.
    #[derive(Clone)]
    struct Echo;

    impl Serve for Echo {
        async fn serve(self, mut stream: Stream, _peer: Peer, _permit: Permit) {
            let mut byte = [b'h'];
            while stream.write_all(&byte).await.is_ok() {
                stream.readable().await.expect("readable");
                if !stream.read(&mut byte).await.is_ok_and(|bytes| bytes > 0) {
                    return;
                }
                assert_ne!(byte, [b'!'], "told to panic");
            }
        }
    }

    struct Running {
        address: SocketAddr,
        connections: Connections,
        drain: Drain,
        serving: tokio::task::JoinHandle<()>,
    }

    fn start(limits: Limits, unix: Option<&Path>) -> Running {
        let listener = Listener::tcp("127.0.0.1:0".parse().expect("an address"), TcpOptions::default());
        let listener = listener.expect("listens");
        let LocalAddress::Tcp { address, .. } = *listener.local_addr() else { panic!("not TCP") };
        let mut listeners = vec![listener];
        listeners.extend(unix.map(|path| Listener::unix(path).expect("listens")));
        let (connections, drain) = (Connections::within(&limits), Drain::default());
        let (counted, told) = (connections.clone(), drain.clone());
        let serving = tokio::spawn(async move {
            serve_listeners(listeners, Echo, &limits, &counted, &told).await;
        });
        Running { address, connections, drain, serving }
    }

    async fn served(address: SocketAddr) -> TcpStream {
        let mut client = TcpStream::connect(address).await.expect("connects");
        assert_eq!(client.read_u8().await.expect("a greeting"), b'h');
        client
    }

    async fn until_open(connections: &Connections, want: usize) {
        while connections.open() != want {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn one_too_many_is_told_to_come_back_and_then_finds_room() {
        let running = start(Limits { max_connections: 2, ..Limits::default() }, None);
        let (first, _second) = (served(running.address).await, served(running.address).await);
        let mut third = TcpStream::connect(running.address).await.expect("connects");
        // What it sends meanwhile must not cost it the answer.
        third.write_all(b"POST /mcp HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
        let mut answer = Vec::new();
        third.read_to_end(&mut answer).await.expect("an answer, and the end");
        assert_eq!(answer, BUSY);
        let text = String::from_utf8_lossy(BUSY);
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("\r\nretry-after: 1\r\n"), "{head}");
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{head}");
        assert_eq!(running.connections.open(), 2);
        drop(first);
        until_open(&running.connections, 1).await;
        served(running.address).await;
    }

    #[tokio::test]
    async fn a_flood_of_one_address_is_refused_while_another_gets_in() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m.sock");
        let running = start(Limits { max_connections: 8, ..Limits::default() }, Some(&path));
        let mut flood = Vec::new();
        for _ in 0..6 {
            flood.push(served(running.address).await);
        }
        for _ in 0..20 {
            let mut one_more = TcpStream::connect(running.address).await.expect("connects");
            let mut answer = Vec::new();
            one_more.read_to_end(&mut answer).await.expect("an answer, and the end");
            assert_eq!(answer, BUSY);
        }
        let mut other = UnixStream::connect(&path).await.expect("connects");
        assert_eq!(other.read_u8().await.expect("a greeting"), b'h');
        let mut another = UnixStream::connect(&path).await.expect("connects");
        let mut answer = Vec::new();
        another.read_to_end(&mut answer).await.expect("an answer, and the end");
        assert_eq!(answer, BUSY, "the last place is for who holds none");
        assert_eq!(running.connections.open(), 7);
        flood.pop();
        until_open(&running.connections, 6).await;
        let mut another = UnixStream::connect(&path).await.expect("connects");
        assert_eq!(another.read_u8().await.expect("a greeting"), b'h');
    }

    #[tokio::test]
    async fn a_handler_that_panics_gives_its_permit_back() {
        let running = start(Limits { max_connections: 1, ..Limits::default() }, None);
        let mut client = served(running.address).await;
        client.write_all(b"!").await.expect("sent");
        assert_eq!(client.read(&mut [0]).await.expect("closed"), 0);
        until_open(&running.connections, 0).await;
        served(running.address).await;
    }

    #[tokio::test]
    async fn a_drain_closes_the_listeners_and_waits_for_the_connections() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m.sock");
        let mut running = start(Limits::default(), Some(&path));
        let tcp = served(running.address).await;
        let mut unix = UnixStream::connect(&path).await.expect("connects");
        assert_eq!(unix.read_u8().await.expect("a greeting"), b'h');
        running.drain.begin();
        while path.exists() || TcpStream::connect(running.address).await.is_ok() {
            yield_now().await;
        }
        // Both are served on, and either keeps the server.
        unix.write_all(b"x").await.expect("sent");
        assert_eq!(unix.read_u8().await.expect("echoed"), b'x');
        drop(tcp);
        until_open(&running.connections, 1).await;
        assert!(!running.serving.is_finished());
        drop(unix);
        (&mut running.serving).await.expect("ended");
        assert_eq!(running.connections.open(), 0);
    }

    /// The accept loop has not run when the drain begins: all are in the queue of the system, and sent something.
    #[tokio::test]
    async fn whoever_connected_before_the_drain_is_served() {
        for count in [1, 7, 200] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("m.sock");
            let running = start(Limits::default(), Some(&path));
            let mut clients: Vec<Box<dyn Talk>> = Vec::new();
            for _ in 0..count {
                clients.push(Box::new(std::net::TcpStream::connect(running.address).expect("connects")));
                clients.push(Box::new(std::os::unix::net::UnixStream::connect(&path).expect("connects")));
            }
            for client in &mut clients {
                client.write_all(b"x").expect("sent");
            }
            running.drain.begin();
            let talked = tokio::task::spawn_blocking(move || {
                for client in &mut clients {
                    let mut answer = [0; 2];
                    client.read_exact(&mut answer).expect("served");
                    assert_eq!(&answer, b"hx");
                }
            });
            talked.await.expect("all were served");
            running.serving.await.expect("ended");
            assert!(!path.exists() && std::net::TcpStream::connect(running.address).is_err());
        }
    }

    trait Talk: io::Read + io::Write + Send {}
    impl<T: io::Read + io::Write + Send> Talk for T {}

    #[tokio::test]
    async fn a_drain_does_not_wait_for_ever() {
        let running = start(Limits { drain_timeout_ms: 1, ..Limits::default() }, None);
        let _client = served(running.address).await;
        running.drain.begin();
        running.serving.await.expect("ended");
        assert_eq!(running.connections.open(), 1);
    }

    #[tokio::test]
    async fn rejecting_is_bounded() {
        let connections = Connections::new(0, 75);
        assert!(connections.permit(PeerAddress::Unix { uid: 0 }).is_none());
        let mut refusals: Vec<_> = (0..MAX_REFUSALS).map(|_| connections.refusal().expect("one")).collect();
        assert!(connections.refusal().is_none());
        refusals.pop();
        assert!(connections.refusal().is_some());
    }

    #[test]
    fn want_of_descriptors_makes_the_loop_rest_and_a_lost_client_does_not() {
        use rustix::io::Errno;
        for (errno, want) in [
            (Errno::MFILE, false),
            (Errno::NFILE, false),
            (Errno::NOBUFS, false),
            (Errno::NOMEM, false),
            (Errno::INVAL, false),
            (Errno::CONNABORTED, true),
            (Errno::INTR, true),
            (Errno::NETDOWN, true),
            (Errno::HOSTUNREACH, true),
        ] {
            assert_eq!(is_of_one_connection(&errno.into()), want, "{errno}");
        }
    }
}
