//! The command `mcpool serve`: opens the sockets and runs the server that the settings ask for.

use super::admin;
use super::admission;
use super::alerts::{self, AlertSink};
use super::allocator::{ProgramAllocator, collect_at_purges, collect_on_worker};
use super::assemble;
use super::black_box::{BlackBoxFiles, Triggers};
use super::config::{Setting, Settings};
use super::config_file;
use super::error::CliError;
use super::exposure;
use super::log;
use super::missing;
use super::record::{self, Record};
use super::request_log::RequestLog;
use super::serving::Serving;
#[cfg(feature = "webhook")]
use super::webhook;
use crate::limits::Limits;
use crate::memory::{lasting, set_lasting_switch};
use crate::server::{Drain, Server};
use crate::traffic::{RecordedArguments, TrafficRecorder};
#[cfg(feature = "tls")]
use crate::transport::Tls;
use crate::transport::http::{HttpConfig, HttpService};
use crate::transport::listener::{Connections, Serve, SocketFile, raise_descriptors, serve_listeners};
use crate::transport::{Inherited, Listener, LocalAddress, TcpOptions, inherited, serve_stdio};
use arc_swap::ArcSwapOption;
use clap::ArgMatches;
use std::future::poll_fn;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// The options of `mcpool serve`, resolved and valid.
#[derive(Debug)]
pub(crate) struct ServeOptions {
    /// The directories of the command line, in order; may be empty.
    pub(crate) dirs: Vec<PathBuf>,
    /// Where to listen, who has access, which tools are served.
    pub(crate) settings: Settings,
    /// Every limit; `Limits::validate` has passed.
    pub(crate) limits: Limits,
    /// The sockets that a service manager passed on.
    pub(crate) inherited: Vec<Inherited>,
}

impl ServeOptions {
    /// Tells whether the process that started this one is a client.
    fn serves_stdio(&self) -> bool {
        self.settings.stdio.unwrap_or(!self.serves_sockets())
    }

    fn serves_sockets(&self) -> bool {
        !(self.settings.http.is_empty() && self.settings.unix.is_empty() && self.inherited.is_empty())
    }
}

/// Resolves the options, and prints a hint for a person who started the server by hand.
pub(super) fn options(matches: &ArgMatches) -> Result<ServeOptions, CliError> {
    let config = config_file::in_force(matches)?;
    let dirs = config_file::directories(matches, &config.settings);
    let inherited = inherited()?;
    let options = ServeOptions { dirs, settings: config.settings, limits: config.limits, inherited };
    if !options.serves_stdio() && !options.serves_sockets() {
        let remedy = "nothing to serve on: give --http ADDR:PORT or --unix PATH, or leave out --stdio=false";
        return Err(CliError::Usage(remedy.to_owned()));
    }
    let is_set = |name: &str| {
        let mut all = Setting::ALL.iter();
        all.find(|setting| setting.name == name).is_some_and(|it| it.show(&options.settings).is_some())
    };
    missing::check(is_set, options.serves_sockets()).map_err(|error| CliError::Usage(error.to_string()))?;
    // The standard library's handle has a buffer of 8 KiB, which stays.
    if options.serves_stdio() && rustix::stdio::stdin().is_terminal() {
        // Nothing depends on whether this hint can be written.
        let _ = io::stderr().write_all(HINT.as_bytes());
    }
    Ok(options)
}

const HINT: &str = "\
mcpool waits for the messages of an MCP client on stdin; normally the client starts it.
To try it by hand, leave with Ctrl-D and run for example:
  mcpool tools .
  mcpool call list_directory path=.
";

/// Serves until stdin ends or a signal asks the process to stop; the exit code is that of the process.
pub(crate) fn run(options: ServeOptions, heap_bytes: fn() -> usize) -> ExitCode {
    let served = serve(options, heap_bytes);
    // What the log has comes before the error.
    log::end_thread();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.say();
            error.exit_code()
        }
    }
}

fn serve(options: ServeOptions, heap_bytes: fn() -> usize) -> Result<(), CliError> {
    raise_descriptors();
    // Before there are threads. One client alone opens no burst of sessions.
    if options.serves_sockets() {
        set_lasting_switch(mcpool_mimalloc::set_apart);
    }
    let runtime = runtime(&options)?;
    let (is_stdio, is_sockets) = (options.serves_stdio(), options.serves_sockets());
    let ServeOptions { dirs, settings, limits, inherited } = options;
    begin_log(is_sockets)?;
    // Before the server, which takes the memory of the process at its start as given.
    let recorder = traffic_recorder(&settings, &limits)?;
    let server = assemble::server(&dirs, &settings, limits)?;
    if let Some(recorder) = &recorder {
        server.record_traffic_to(recorder);
    }
    let requests = RequestLog::begin(&server, &settings)?;
    export_traces(&server)?;
    server.memory().set_allocator(ProgramAllocator::new(heap_bytes, runtime.handle()));
    let black_box = BlackBoxFiles::open(&server, settings.black_box_dir.as_deref())
        .map_err(|error| CliError::Usage(format!("the black box {error}")))?;
    let new_baseline = watch_performance(&server, &settings, &black_box)?;
    let ended = if is_sockets {
        runtime.block_on(async {
            let serving = Arc::default();
            let _background = start_background(&server, &settings, black_box, &serving)?;
            // Before the first client can connect, and before there is a file to remove, so that no signal is missed.
            let signals = ServerSignals::listen(server.limits())?;
            let encryption = Encryption::of(&settings)?;
            let listeners = listen(&settings, inherited, &encryption)?;
            let admission = admission::config(&settings)?;
            admission::check(&listeners, &admission.auth, settings.insecure)?;
            let _ = serving.set(exposure::announce(&server, &settings, &dirs, &listeners));
            let drain = Drain::default();
            let service = HttpService::new(&server, HttpConfig { admission }, &drain)?;
            let _housekeeping = service.start_housekeeping();
            let reload = Reload { service: service.clone(), encryption, requests: requests.clone() };
            let listening = Listening { listeners, service, signals, reload: Some(reload), is_stdio };
            serve_all(&server, listening, &drain).await
        })
    } else {
        runtime.block_on(async {
            let serving = Arc::new(exposure::announce(&server, &settings, &dirs, &[]).into());
            let mut background = start_background(&server, &settings, black_box, &serving)?;
            background.start(maintain(server.clone()));
            if let Some(reopening) = requests.reopening()? {
                background.start(reopening);
            }
            // A client that started the server may take what is on stderr for an error, so this is for who asks for it.
            tracing::info!("{}", server.memory().ceiling());
            server.serve_stdio().await.map_err(CliError::from)
        })
    };
    finish_files(&server, new_baseline.as_deref(), &requests, recorder.as_ref());
    // A thread that waits for a terminal or a file cannot be stopped.
    runtime.shutdown_background();
    ended
}

/// Has a server of sockets say how it goes on, from a thread that nobody waits for.
fn begin_log(is_sockets: bool) -> Result<(), CliError> {
    if is_sockets {
        log::talk();
    }
    if log::shows_requests() {
        log::begin_thread().map_err(CliError::Runtime)?;
    }
    Ok(())
}

/// Writes what belongs at the end of files.
fn finish_files(
    server: &Server,
    new_baseline: Option<&Path>,
    requests: &RequestLog,
    recorder: Option<&TrafficRecorder>,
) {
    if let Some(path) = new_baseline
        && let Err(error) = alerts::write_baseline(server, path)
    {
        tracing::error!(%error, path = %path.display(), "the baseline is lost");
    }
    requests.finish(GRACE);
    if recorder.is_some_and(|recorder| !recorder.finish(GRACE)) {
        tracing::error!("the end of the traffic is not recorded: its file takes too long");
    }
}

/// Exports spans, if the environment names a collector.
#[cfg(feature = "otel")]
fn export_traces(server: &Server) -> Result<(), CliError> {
    let unusable = |error: crate::TraceExportError| CliError::Usage(error.to_string());
    match crate::TraceExport::from_env().map_err(unusable)? {
        Some(export) => server.export_traces(&export).map_err(unusable),
        None => Ok(()),
    }
}

/// Nothing is exported without the feature.
#[cfg(not(feature = "otel"))]
#[expect(clippy::unnecessary_wraps, reason = "with the feature it may fail")]
fn export_traces(_server: &Server) -> Result<(), CliError> {
    Ok(())
}

/// What writes down the requests, if the settings ask for it.
fn traffic_recorder(settings: &Settings, limits: &Limits) -> Result<Option<TrafficRecorder>, CliError> {
    let Some(path) = &settings.record_traffic else { return Ok(None) };
    let arguments =
        if settings.record_arguments { RecordedArguments::Whole } else { RecordedArguments::Redacted };
    match TrafficRecorder::create(path, limits.record_traffic_max_bytes as u64, arguments) {
        Ok(recorder) => Ok(Some(recorder)),
        // A client may start several servers with the same settings: all are to serve.
        Err(error) if error.is_busy() => {
            tracing::error!(%error, "the traffic of this server is not recorded");
            Ok(None)
        }
        Err(error) => Err(CliError::Usage(error.to_string())),
    }
}

/// Sets what latencies are compared with, and what is run for alerts. Returns where a new baseline is to be written.
fn watch_performance(
    server: &Server,
    settings: &Settings,
    black_box: &Arc<BlackBoxFiles>,
) -> Result<Option<PathBuf>, CliError> {
    let mut sinks: Vec<AlertSink> = Vec::new();
    if let Some(command) = &settings.alert_command {
        sinks.push(alerts::command_sink(command)?);
    }
    sinks.extend(webhook(server, settings)?);
    let black_box = Arc::clone(black_box);
    sinks.push(Box::new(move |alert| black_box.note_alert(alert)));
    server.report_alerts_to(move |alert| sinks.iter().for_each(|sink| sink(alert)));
    match &settings.baseline {
        Some(path) if !alerts::read_baseline(server, path)? => Ok(Some(path.clone())),
        _ => Ok(None),
    }
}

/// What sends alerts to a webhook, if the settings ask for it.
#[cfg(feature = "webhook")]
fn webhook(server: &Server, settings: &Settings) -> Result<Option<AlertSink>, CliError> {
    match (&settings.alert_webhook_url, &settings.alert_webhook_secret_file) {
        (Some(url), Some(secret)) => webhook::sink(url, secret, server.memory().facts().clone()).map(Some),
        _ => Ok(None),
    }
}

#[cfg(not(feature = "webhook"))]
fn webhook(_: &Server, settings: &Settings) -> Result<Option<AlertSink>, CliError> {
    if settings.alert_webhook_url.is_some() {
        // `missing::check` has said how to get it.
        let remedy = "this program was built without the feature `webhook`";
        return Err(CliError::Usage(remedy.to_owned()));
    }
    Ok(None)
}

/// Tasks that serve no client. They end when this is dropped.
#[derive(Default)]
struct BackgroundTasks {
    tasks: Vec<AbortHandle>,
    /// The file of the admin socket: an aborted task may not be dropped before the process ends.
    files: Vec<SocketFile>,
}

impl BackgroundTasks {
    /// What such a task makes lies with what lasts: it is there as long as the server.
    fn start(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        let started = lasting(|| {
            let mut task = Box::pin(task);
            tokio::spawn(poll_fn(move |cx| lasting(|| task.as_mut().poll(cx))))
        });
        self.tasks.push(started.abort_handle());
    }
}

impl Drop for BackgroundTasks {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Starts the tasks that observe the server: the black box, the admin socket and the record.
fn start_background(
    server: &Server,
    settings: &Settings,
    black_box: Arc<BlackBoxFiles>,
    serving: &Arc<OnceLock<Serving>>,
) -> Result<BackgroundTasks, CliError> {
    let mut background = BackgroundTasks::default();
    background.start(Triggers::listen(Arc::clone(&black_box)).map_err(CliError::Runtime)?.run());
    let listeners = admin::listen(settings.admin.as_deref())?;
    for listener in &listeners {
        tracing::info!(address = %listener.local_addr(), "admin");
        background.files.extend(listener.file_guard());
    }
    if !listeners.is_empty() {
        background.start(admin::serve(server.clone(), black_box, Arc::clone(serving), listeners));
    }
    if let Some(path) = &settings.record {
        background.start(record::run(server.clone(), Record::open(path, server.limits())?));
    }
    Ok(background)
}

/// How often a server of one client does its maintenance.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(1);

async fn maintain(server: Server) {
    let mut ticks = tokio::time::interval(MAINTENANCE_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        server.maintain();
    }
}

/// How long an idle blocking thread lives. When it ends, its stack and its part of the allocator are freed.
const THREAD_KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Loaded by each thread at its start: what `arc_swap` keeps for a thread is made with its first load.
static FIRST_LOAD: ArcSwapOption<()> = ArcSwapOption::const_empty();

/// Makes a runtime of one thread for a server of one client, or of several threads for sockets.
fn runtime(options: &ServeOptions) -> Result<Runtime, CliError> {
    let mut builder = if options.serves_sockets() {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(options.limits.serving_threads());
        builder
    } else {
        Builder::new_current_thread()
    };
    builder
        .enable_all()
        .max_blocking_threads(options.limits.blocking_threads())
        .thread_keep_alive(THREAD_KEEP_ALIVE)
        .on_thread_start(|| lasting(|| drop(FIRST_LOAD.load())))
        .on_thread_park(collect_on_worker)
        .build()
        .map_err(CliError::Runtime)
}

/// Opens every socket that the settings name; fails if one cannot be opened.
fn listen(
    settings: &Settings,
    inherited: Vec<Inherited>,
    encryption: &Encryption,
) -> Result<Vec<Listener>, CliError> {
    let options = TcpOptions { reuse_port: settings.reuse_port, ..TcpOptions::default() };
    let mut listeners = Vec::new();
    for socket in inherited {
        listeners.push(socket.listen()?);
    }
    for address in &settings.http {
        listeners.push(Listener::tcp(*address, options)?);
    }
    for path in &settings.unix {
        listeners.push(Listener::unix(path)?);
    }
    Ok(listeners.into_iter().map(|listener| encryption.encrypt(listener)).collect())
}

/// Adds TLS to listeners, if the settings ask for it.
#[derive(Clone)]
struct Encryption {
    #[cfg(feature = "tls")]
    tls: Option<Arc<Tls>>,
}

#[cfg(feature = "tls")]
impl Encryption {
    fn of(settings: &Settings) -> Result<Self, CliError> {
        let tls = match (&settings.tls_cert, &settings.tls_key) {
            (Some(certificate), Some(key)) => Some(Arc::new(Tls::load(certificate, key)?)),
            _ => None,
        };
        Ok(Self { tls })
    }

    fn encrypt(&self, listener: Listener) -> Listener {
        match &self.tls {
            Some(tls) => listener.with_tls(Arc::clone(tls)),
            None => listener,
        }
    }

    fn reload(&self) {
        if let Some(tls) = &self.tls {
            tls.reload();
        }
    }
}

#[cfg(not(feature = "tls"))]
impl Encryption {
    fn of(settings: &Settings) -> Result<Self, CliError> {
        if settings.tls_cert.is_some() {
            // `missing::check` has said how to get it.
            let remedy = "this program was built without the feature `tls`";
            return Err(CliError::Usage(remedy.to_owned()));
        }
        Ok(Self {})
    }

    #[expect(clippy::unused_self, reason = "with the feature it is used")]
    fn encrypt(&self, listener: Listener) -> Listener {
        listener
    }

    #[expect(clippy::unused_self, reason = "with the feature it is used")]
    fn reload(&self) {}
}

/// Reads tokens, keys and certificates again on SIGHUP, and opens the access log anew. They are also read again when they change.
#[derive(Clone)]
struct Reload {
    service: HttpService,
    encryption: Encryption,
    requests: RequestLog,
}

impl Reload {
    /// Reads them on a blocking thread, as files may be slow. A file that cannot be used is logged and changes nothing.
    async fn run(&self) {
        self.requests.reopen();
        let reload = self.clone();
        let reloading = tokio::task::spawn_blocking(move || {
            reload.service.reload();
            reload.encryption.reload();
        });
        // It fails only by a panic, which is reported already.
        let _ = reloading.await;
        tracing::info!("tokens, keys and certificates were read again");
    }
}

/// What a server serves on, and what serves it there.
struct Listening<S> {
    listeners: Vec<Listener>,
    service: S,
    signals: ServerSignals,
    /// What SIGHUP reads again, if anything.
    reload: Option<Reload>,
    /// Whether the server also serves the client on stdin and stdout.
    is_stdio: bool,
}

/// What a server of sockets hears from outside.
struct ServerSignals {
    stop: StopSignals,
    hang_up: Signal,
}

impl ServerSignals {
    fn listen(limits: &Limits) -> Result<Self, CliError> {
        let stop = StopSignals::listen(limits.drain_timeout() + GRACE)?;
        Ok(Self { stop, hang_up: signal(SignalKind::hangup()).map_err(CliError::Runtime)? })
    }
}

/// Serves until a signal asks the server to stop.
///
/// A server that a client started on stdin belongs to that client: it ends when stdin ends.
async fn serve_all(server: &Server, listening: Listening<impl Serve>, drain: &Drain) -> Result<(), CliError> {
    let Listening { listeners, service, signals, reload, is_stdio } = listening;
    let ServerSignals { mut stop, mut hang_up } = signals;
    let limits = server.limits();
    let connections = Connections::within(limits);
    connections.account_to(server);
    log::write(format!("mcpool: {}\n", server.memory().ceiling()).as_bytes());
    for listener in &listeners {
        log::write(announcement(listener.local_addr()).as_bytes());
    }
    // At the latest when this ends, however it ends.
    let _files: Vec<_> = listeners.iter().filter_map(Listener::file_guard).collect();
    let sockets = serve_listeners(listeners, service, limits, &connections, drain);
    let sockets = server.with_tasks(drain, sockets);
    let stdio = async {
        if !is_stdio {
            return Ok(());
        }
        let ended = serve_stdio(server, drain).await;
        drain.begin();
        ended
    };
    let requested = async {
        stop.requested().await;
        tracing::info!(
            connections = connections.open(),
            patience_ms = limits.drain_timeout_ms,
            "stopping, {} requests in flight",
            server.metrics().requests_in_flight.now()
        );
        drain.begin();
        // A second signal ends the process without waiting for requests in flight.
        stop.requested().await;
        tracing::warn!(
            "stopping at once: {} requests in flight have no answer",
            server.metrics().requests_in_flight.now()
        );
    };
    // A terminal sends SIGHUP when it closes, and operators send it to have files read again.
    let reloading = async {
        while hang_up.recv().await.is_some() {
            if let Some(reload) = &reload {
                reload.run().await;
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ((), ended) = async { tokio::join!(sockets, stdio) } => {
            tracing::info!("stopped");
            Ok(ended?)
        }
        () = requested => Ok(()),
        () = reloading => Ok(()),
        () = collect_at_purges() => Ok(()),
    }
}

/// Where clients find the server, for people and scripts. This is no log: it is always printed.
fn announcement(address: &LocalAddress) -> String {
    format!("mcpool: listening on {}\n", exposure::shown(address))
}

/// Receives SIGTERM and SIGINT on a separate thread: requests may block all threads of the runtime.
struct StopSignals {
    requested: mpsc::Receiver<()>,
}

/// How long after the drain timeout the process ends without waiting any longer.
const GRACE: Duration = Duration::from_secs(5);

impl StopSignals {
    /// If the server does not stop within `patience` after a signal, this acts as if there were a second one.
    fn listen(patience: Duration) -> Result<Self, CliError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(CliError::Runtime)?;
        let mut signals = {
            let _inside = runtime.enter();
            let listen = |kind| signal(kind).map_err(CliError::Runtime);
            Signals {
                terminate: listen(SignalKind::terminate())?,
                interrupt: listen(SignalKind::interrupt())?,
            }
        };
        let (tell, requested) = mpsc::channel(1);
        let listening = async move {
            if signals.next(&tell).await.is_ok() {
                // Waits where the first request has not been taken: the second one must not be lost to a slow thread.
                if timeout(patience, signals.next(&tell)).await.is_err() && tell.send(()).await.is_err() {
                    tracing::debug!("the server has stopped already");
                }
                while signals.next(&tell).await.is_ok() {}
            }
        };
        let listener = move || runtime.block_on(listening);
        std::thread::Builder::new().name("signals".to_owned()).spawn(listener).map_err(CliError::Runtime)?;
        Ok(Self { requested })
    }

    async fn requested(&mut self) {
        if self.requested.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Passes on the next signal; an error when nobody receives any more.
    async fn next(&mut self, tell: &mpsc::Sender<()>) -> Result<(), mpsc::error::SendError<()>> {
        tokio::select! {
            () = tell.closed() => Err(mpsc::error::SendError(())),
            _ = self.terminate.recv() => tell.send(()).await,
            _ = self.interrupt.recv() => tell.send(()).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Permit;
    use crate::transport::listener::{Peer, Stream};
    use rustix::process::{Signal as Kind, getpid, kill_process};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Never finishes serving a client.
    #[derive(Clone, Default)]
    struct Endless {
        begun: Arc<AtomicUsize>,
    }

    impl Serve for Endless {
        async fn serve(self, _stream: Stream, _peer: Peer, _place: Permit) {
            self.begun.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>().await;
        }
    }

    /// Signals reach the whole process, so one test at a time sends them.
    static SIGNALLING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    /// Neither a signal nor its timeout needs a thread of the runtime that serves.
    #[test]
    fn signals_are_received_while_every_serving_thread_is_blocked() {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let (release, held) = std::sync::mpsc::sync_channel::<()>(1);
        let (tell, is_held) = std::sync::mpsc::sync_channel::<()>(1);
        runtime.spawn(async move {
            tell.send(()).expect("somebody waits");
            held.recv().expect_err("held up to the end");
        });
        is_held.recv().expect("the only worker is held up");
        runtime.block_on(async {
            let _alone = SIGNALLING.lock().await;
            let mut stop = StopSignals::listen(Duration::from_millis(1)).expect("listens");
            kill_process(getpid(), Kind::TERM).expect("sent");
            stop.requested().await;
            // Nobody asks twice; patience ends all the same.
            stop.requested().await;
        });
        drop(release);
    }

    /// The first signal lets requests in flight finish, the second one does not.
    #[tokio::test]
    async fn a_second_signal_does_not_wait() {
        let _alone = SIGNALLING.lock().await;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m.sock");
        let server = Server::builder("test", "1").build().expect("a server");
        let listeners = vec![Listener::unix(&path).expect("listens")];
        let (service, drain) = (Endless::default(), Drain::default());
        let begun = Arc::clone(&service.begun);
        let signals = ServerSignals::listen(server.limits()).expect("listens");
        let listening = Listening { listeners, service, signals, reload: None, is_stdio: false };
        let mut serving = std::pin::pin!(serve_all(&server, listening, &drain));
        let steps = async {
            let _client = tokio::net::UnixStream::connect(&path).await.expect("connects");
            while begun.load(Ordering::Relaxed) == 0 {
                tokio::task::yield_now().await;
            }
            kill_process(getpid(), Kind::TERM).expect("sent");
            drain.wait().await;
            while path.exists() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            ended = &mut serving => panic!("{ended:?} though a connection is open"),
            () = steps => {}
        }
        kill_process(getpid(), Kind::TERM).expect("sent");
        serving.await.expect("ended");
    }

    fn options(stdio: Option<bool>, http: &[&str], unix: &[&str]) -> ServeOptions {
        let http = http.iter().map(|text| text.parse().expect("an address")).collect();
        let unix = unix.iter().map(PathBuf::from).collect();
        let settings = Settings { http, unix, stdio, ..Settings::default() };
        ServeOptions { dirs: Vec::new(), settings, limits: Limits::default(), inherited: Vec::new() }
    }

    #[test]
    fn stdio_is_served_where_nothing_else_is_and_where_it_is_asked_for() {
        for (options, is_stdio, is_sockets) in [
            (options(None, &[], &[]), true, false),
            (options(None, &["[::1]:0"], &[]), false, true),
            (options(None, &[], &["s"]), false, true),
            (options(Some(true), &[], &["s"]), true, true),
            (options(Some(false), &[], &[]), false, false),
        ] {
            assert_eq!((options.serves_stdio(), options.serves_sockets()), (is_stdio, is_sockets));
        }
    }

    /// A server of one client has one thread; a shared one has a few, or as many as are set.
    #[test]
    fn only_sockets_start_worker_threads() {
        use tokio::runtime::RuntimeFlavor::{CurrentThread, MultiThread};
        let mut asked = options(None, &[], &["s"]);
        asked.limits.worker_threads = 3;
        let some = Limits::default().serving_threads();
        assert!(some >= 2, "one that is held up does not hold up all");
        for (options, want) in [
            (options(None, &[], &[]), (CurrentThread, 1)),
            (options(None, &["[::1]:0"], &[]), (MultiThread, some)),
            (asked, (MultiThread, 3)),
        ] {
            let runtime = runtime(&options).expect("a runtime");
            let found = (runtime.handle().runtime_flavor(), runtime.metrics().num_workers());
            assert_eq!(found, want);
        }
    }

    #[test]
    fn addresses_are_announced_as_clients_write_them() {
        let address = "[::1]:8000".parse().expect("an address");
        let encrypted = announcement(&LocalAddress::Tcp { address, is_tls: true });
        assert_eq!(encrypted, "mcpool: listening on https://[::1]:8000/mcp\n");
        let unix = announcement(&LocalAddress::Unix("/run/m.sock".into()));
        assert_eq!(unix, "mcpool: listening on unix:/run/m.sock\n");
    }
}
