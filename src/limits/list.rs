//! The list of all settings: names, units, defaults, ranges, and where each default comes from.

use super::price;
use super::units::{self, GIB, KIB, MIB, Unit};
use std::fmt;

/// Writes the struct, its default and the table from one list, so that none of them can miss a setting.
macro_rules! limits {
    (
        bounds { $( [$group:literal] $( $name:ident: $unit:ident = $default:expr, $min:expr => $max:expr, $help:literal, $origin:literal; )+ )+ }
        shares { $( [$share_group:literal] $share:ident = 1 / $parts:literal of $most:expr, $share_min:expr => $share_max:expr, $share_help:literal, $share_origin:literal; )+ }
        capacities { $( $capacity:ident = $holders:ident, $capacity_help:literal, $capacity_origin:literal; )+ }
    ) => {
        /// Every bound of the process; units are in the names.
        ///
        /// ```
        /// use mcpool::limits::Limits;
        ///
        /// let limits = Limits { max_concurrent_requests: 8, ..Limits::default() };
        /// limits.validate()?;
        /// // Pool capacities follow from the bounds unless they are set.
        /// assert_eq!(limits.arena_capacity(), 9);
        /// # Ok::<(), mcpool::limits::LimitsError>(())
        /// ```
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Limits {
            $( $(
                #[doc = $help]
                #[doc = ""]
                #[doc = concat!("Default `", stringify!($default), "`, at least `", stringify!($min), "`, at most `", stringify!($max), "`. Origin: ", $origin, ".")]
                pub $name: usize,
            )+ )+
            $(
                #[doc = $share_help]
                #[doc = ""]
                #[doc = concat!("`None`: one part in ", stringify!($parts), " of what the memory limit leaves at the start, at most `", stringify!($most), "`. Origin: ", $share_origin, ".")]
                pub $share: Option<usize>,
            )+
            $(
                #[doc = $capacity_help]
                #[doc = ""]
                #[doc = concat!("`None`: the sum of [`Self::", stringify!($holders), "`]. Origin: ", $capacity_origin, ".")]
                pub $capacity: Option<usize>,
            )+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $( $( $name: $default, )+ )+ $( $share: None, )+ $( $capacity: None, )+ }
            }
        }

        impl Limits {
            $(
                #[doc = $share_help]
                #[doc = ""]
                #[doc = "What is set, or else the most that it is by default."]
                pub fn $share(&self) -> usize {
                    self.$share.unwrap_or($most)
                }
            )+

            /// Sets the shares that are not set, in a process that may grow by `room_bytes`.
            pub(super) fn set_shares(&mut self, room_bytes: u64) {
                $( self.$share.get_or_insert(price::share_bytes(room_bytes, $parts).clamp($share_min, $most)); )+
            }

            $(
                #[doc = $capacity_help]
                #[doc = ""]
                #[doc = "What is set, or else the sum of its holders."]
                pub fn $capacity(&self) -> usize {
                    self.$capacity.unwrap_or_else(|| self.$holders().iter().map(|holder| holder.count).sum())
                }
            )+
        }

        impl LimitOption {
            /// Every setting, in the order in which help and reports show them.
            pub const ALL: &'static [LimitOption] = &[
                $( $( LimitOption {
                    name: stringify!($name), group: $group, unit: Unit::$unit, default: Some($default), min: $min, max: $max,
                    help: $help, origin: $origin,
                    store: |limits, value| limits.$name = value,
                    load: |limits| limits.$name,
                }, )+ )+
                $( LimitOption {
                    name: stringify!($share), group: $share_group, unit: Unit::Bytes, default: None, min: $share_min, max: $share_max,
                    help: $share_help, origin: $share_origin,
                    store: |limits, value| limits.$share = Some(value),
                    load: Limits::$share,
                }, )+
                $( LimitOption {
                    name: stringify!($capacity), group: "Pools", unit: Unit::Count, default: None, min: 0, max: MAX_POOL_CAPACITY,
                    help: $capacity_help, origin: $capacity_origin,
                    store: |limits, value| limits.$capacity = Some(value),
                    load: Limits::$capacity,
                }, )+
            ];
        }
    };
}

/// Most idle objects that a pool may be told to keep: the stores are built for it.
const MAX_POOL_CAPACITY: usize = 65_536;

limits! {
    bounds {
        ["Messages"]
        max_frame_bytes: Bytes = 10 * MIB, KIB => GIB,
            "Longest message that a peer may send; a longer one is answered with an error and skipped.",
            "large enough for a file of several MiB; the specification names none, the TypeScript SDK's stdio buffer holds as much";
        max_reply_bytes: Bytes = 64 * MIB, KIB => 4 * GIB,
            "Longest answer that a tool may write; a longer one becomes an error.",
            "escaping may make text six times longer, so that a file of the largest frame still fits";
        max_concurrent_requests: Count = 100, 1 => 10_000,
            "Requests of one connection that may wait for their answer at the same time.",
            "a client that starts a hundred calls at once need not wait";
        max_batch: Count = 1_000, 1 => 100_000,
            "Messages in one batch (revision 2025-03-26 only).",
            "ten times the requests that may wait";
        max_outbox_bytes: Bytes = MIB, 4 * KIB => GIB,
            "Answers that may wait for a slow reader before reading from it pauses.",
            "a pipe enlarged to 1 MiB takes as much in one go";
        ["Pools"]
        arena_retain_bytes: Bytes = 64 * KIB, 0 => GIB,
            "Largest arena that goes back to its pool; a larger one is freed.",
            "`Bump::reset` keeps its last chunk, so that without a limit one large frame is kept for ever";
        ["Files"]
        inline_read_bytes: Bytes = 64 * KIB, 0 => 16 * MIB,
            "Largest file that is read at once; larger ones are read on a blocking thread.",
            "reading 64 KiB from the page cache costs less than waking a thread twice";
        max_edit_scan_bytes: Bytes = 4 * GIB, MIB => 1024 * GIB,
            "Bytes that the edits of one `edit_file` call may look through together: the file, once for each edit.",
            "some seconds of one thread; a thousand edits of a file of 4 MiB";
        max_line_scan_bytes: Bytes = GIB, MIB => 1024 * GIB,
            "Bytes of a file that are looked through for a line by its number, or to count lines that are not shown; never fewer than `max_reply_bytes`.",
            "half a second of one thread; more than a model reads of logs line by line";
        ["Git"]
        max_git_answer_bytes: Bytes = MIB, KIB => GIB,
            "Text of one answer of the git tools, as it is written in JSON; it says where the rest is left out.",
            "more than a model can read: some hundred thousand tokens";
        git_timeout_ms: Millis = 120_000, 100 => 86_400_000,
            "How long one call of a git tool may take; then git is stopped.",
            "a status of a work tree of a million files, on a disk that has to be asked";
        ["Files"]
        max_pattern_bytes: Bytes = MIB, KIB => 64 * MIB,
            "Memory that the patterns of one search or tree may take once their braces are expanded; more is an error.",
            "a thousand ordinary patterns, or a range of five thousand names";
        max_pattern_steps: Count = 200_000, 1_000 => 100_000_000,
            "Steps that the patterns of one call may take for one name, and for being compiled; more is an error.",
            "about a millisecond; ordinary patterns take fewer than a hundred steps for a name";
        inline_names: Count = 256, 0 => 65_536,
            "Names that a file tool looks at or makes at once; with more it goes on on a blocking thread.",
            "a few hundred names cost 0.1 ms, as much as a file of `inline_read_bytes`";
        ["Threads"]
        max_blocking_threads: Count = 4, 1 => 512,
            "Threads for work on files that would hold up other requests; from two on, one principal leaves one to the others.",
            "work on files mostly waits, so that twice the cores of a small machine are of use";
        ["Fetch"]
        fetch_max_page_bytes: Bytes = 4 * MIB, KIB => GIB,
            "Longest page that the fetch tool reads, as it is sent and as it is unfolded; what comes later is left out.",
            "the longest articles of encyclopedias have two to three MiB of HTML";
        fetch_cache_bytes: Bytes = 4 * MIB, 0 => GIB,
            "Pages that the fetch tool keeps, so that their next parts need not be fetched again; 0: none.",
            "dozens of pages as Markdown, and the longest one as it came";
        fetch_cache_ttl_ms: Millis = 300_000, 0 => 86_400_000,
            "How long the fetch tool keeps a page.",
            "minutes for a model that reads part by part";
        fetch_timeout_ms: Millis = 30_000, 100 => 3_600_000,
            "What a call of the fetch tool may take in all, redirects and robots.txt included, and a moment more for a page that is simplified; waiting for its turn has as much.",
            "the reference waits as long for each read";
        fetch_max_running: Count = 0, 0 => 512,
            "Pages that may be fetched at once, all but one of them by one principal; further calls wait. Never more than `max_blocking_threads` less one; 0: half of it and one.",
            "each holds a thread, however slow its server is, and files need some too";
        ["Messages"]
        drain_timeout_ms: Millis = 30_000, 0 => 600_000,
            "How long requests in flight may take to finish once the server is told to stop.",
            "service managers kill what has not stopped after 30 to 90 s";
        progress_interval_ms: Millis = 100, 0 => 60_000,
            "Shortest time between two progress notifications of one request.",
            "ten a second is what an eye can follow; the specification asks for a rate limit and names none";
        ["Threads"]
        worker_threads: Count = 0, 0 => 512,
            "Threads that serve connections of `--http` and `--unix`; 0: one for each processor, two to four.",
            "a connection costs a few microseconds a request, so that four threads outrun most networks";
        ["Connections"]
        max_connections: Count = 10_000, 1 => 1_000_000,
            "Connections that may be open at once, as far as the system has descriptors; further ones are answered 503 and closed.",
            "10 MiB of heap when all are idle";
        principal_share_percent: Percent = 75, 1 => 100,
            "Share of the connections (of one address), subscriptions and running tasks (of one principal) that one may hold of what others leave; 100: all.",
            "a quarter stays free whatever one client does, and no single one has a use for 7,500 connections";
        descriptor_reserve: Count = 256, 16 => 65_536,
            "File descriptors that connections leave to files and listeners where the system allows few.",
            "64 connections that are turned away, 64 of the process itself, 128 files and directories at work";
        ["HTTP"]
        max_header_bytes: Bytes = 16 * KIB, 512 => MIB,
            "Longest head of an HTTP request, all headers together; a longer one is answered 431.",
            "common servers take 8 KiB; a token of an identity provider may have as much by itself";
        max_headers: Count = 64, 8 => 128,
            "Headers that an HTTP request may have; more are answered 431.",
            "browsers send about 20, proxies add a few, each mirrored argument is one";
        header_timeout_ms: Millis = 10_000, 10 => 600_000,
            "How long the head of an HTTP request may take from its first byte to its last, or a line that is no longer than one.",
            "heads fit into one packet; who takes seconds wants to hold a connection open";
        body_timeout_ms: Millis = 60_000, 10 => 3_600_000,
            "How long the body of an HTTP request may take from its first byte to its last, or a long line.",
            "the longest frame, 10 MiB, at 1.4 Mbit/s";
        min_body_bytes_per_s: Count = KIB, 0 => 1_000_000_000,
            "Bytes of an HTTP body that a peer has to send each second on average over `header_timeout_ms`. 0: any.",
            "as many as a peer has to take; whoever sends nothing keeps no memory from others for a minute";
        ["Connections"]
        write_timeout_ms: Millis = 30_000, 10 => 3_600_000,
            "How long a peer may take nothing of what is written to it before its connection is closed.",
            "as long as a graceful shutdown waits";
        min_write_bytes_per_s: Count = KIB, 0 => 1_000_000_000,
            "Bytes that a peer has to take each second on average over `write_timeout_ms`, unless it takes all there are. 0: any.",
            "four times what Kestrel asks for, a quarter of what GPRS gave";
        idle_timeout_ms: Millis = 300_000, 10 => 86_400_000,
            "How long a connection may stay open between two requests; one with a session of its own, over a Unix socket, as long as `session_timeout_ms`.",
            "an idle connection costs a kilobyte, a new one a round trip: longer than people pause";
        ["HTTP"]
        sse_keep_alive_ms: Millis = 15_000, 10 => 600_000,
            "Silence after which a comment is sent on a stream, so that proxies keep it open.",
            "both official SDKs; proxies give up after 30 to 60 s";
        max_stream_bytes: Bytes = 256 * KIB, KIB => GIB,
            "Messages that may wait for the slow reader of one stream; what comes then is dropped or ends it.",
            "256 notifications, each in a buffer of 1 KiB";
        ["Sessions"]
        max_sessions: Count = 10_000, 1 => 1_000_000,
            "Sessions of the legacy era that are kept; one makes room of whoever has more than a fair share, unused for longest.",
            "one for each connection that may be open";
        session_timeout_ms: Millis = 3_600_000, 10 => 604_800_000,
            "How long an unused session is kept.",
            "a session costs half a kilobyte, so that it may outlast a lunch break";
        event_retention_ms: Millis = 60_000, 0 => 3_600_000,
            "How long the events of a finished stream are kept for a client that comes back.",
            "the official Rust SDK";
        max_subscriptions: Count = 1_024, 0 => 1_000_000,
            "Subscriptions to changes that may be open at once.",
            "the official TypeScript SDK";
        max_subscribed_uris: Count = 256, 1 => 65_536,
            "Resources that one subscription may name.",
            "more than a client shows at once; each is a string and a flag";
        ["Files"]
        max_file_watches: Count = 1_024, 0 => 65_536,
            "Files that clients may be subscribed to at once, with `--file-resources`.",
            "an eighth of the watches that Linux allows a user at least, one for each directory of such files";
        ["Questions to clients"]
        max_client_requests: Count = 1_000, 1 => 1_000_000,
            "Requests of this server to clients (sampling, elicitation, roots) that may wait at once.",
            "a kilobyte each";
        max_client_roots: Count = 100, 1 => 10_000,
            "Roots of a client that are used; those after them are left out.",
            "editors open a handful of folders at once; each is asked about for every path";
        client_request_timeout_ms: Millis = 600_000, 10 => 86_400_000,
            "How long a client may take to answer such a request.",
            "a person has to read and decide; the TypeScript SDK waits as long";
        max_request_state_bytes: Bytes = 16 * KIB, 256 => MIB,
            "Longest `requestState` that a call may hand to its client.",
            "it travels in the body both ways, with each round";
        request_state_ttl_ms: Millis = 600_000, 10 => 86_400_000,
            "How long a `requestState` is accepted.",
            "as long as a client may take to answer in the legacy era";
        ["Tasks"]
        max_tasks: Count = 1_000, 1 => 1_000_000,
            "Tasks that are kept at once, finished ones included: those make room for new ones, the oldest of who keeps most first. Of those that run, one client may have `principal_share_percent` of what others leave.",
            "ten for each of a hundred clients";
        task_ttl_ms: Millis = 300_000, 10 => 86_400_000,
            "How long a task is kept after it began.",
            "minutes for a client that lost its connection to come back";
        task_poll_interval_ms: Millis = 1_000, 10 => 3_600_000,
            "How often clients are told to ask for a task.",
            "what a person notices; asking costs microseconds";
        ["Lists"]
        page_entries: Count = 500, 1 => 100_000,
            "Entries on one page of a list.",
            "all tools of today's servers fit on one; a page of 500 resources has about 100 KiB";
        max_schema_bytes: Bytes = 64 * KIB, KIB => 16 * MIB,
            "Longest schema of a tool that calls are held against.",
            "schemas of the reference servers have at most 2 KiB; models have to read them too";
        ["Security"]
        requests_per_second: Count = 0, 0 => 1_000_000,
            "Requests that one principal may make each second on average; more are answered 429. 0: no limit.",
            "off, as all local clients are one principal; set it when serving others";
        request_burst: Count = 200, 1 => 1_000_000,
            "Requests that one principal may make at once before `requests_per_second` counts.",
            "an agent that starts lists everything and calls a dozen tools";
        max_auth_failures_per_minute: Count = 30, 0 => 1_000_000,
            "Tokens from one address that may be wrong each minute; further new ones are answered 429. 0: no limit.",
            "a client whose token has expired tries a few times; whoever guesses needs billions";
        ["Memory"]
        memory_limit_bytes: Bytes = 0, 0 => 1024 * GIB,
            "Memory that the process should stay below; 0: that of its control group, else half of the machine's.",
            "what the kernel would stop the process at, unless somebody wants it smaller";
        pressure_elevated_percent: Percent = 75, 10 => 99,
            "Share of the memory limit from which idle memory is freed.",
            "a quarter is left for what is on its way";
        pressure_critical_percent: Percent = 90, 10 => 100,
            "Share of the memory limit from which new connections and large frames are refused as well.",
            "what is in flight must fit into the last tenth";
        max_inflight_bytes: Bytes = 0, 0 => 1024 * GIB,
            "Large messages (above 64 KiB) and answers that may be in memory at once; more wait or are refused. 0: a third of what the memory limit leaves at the start.",
            "under a flood the allocator keeps for a second about as much as is in use, and small messages need room";
        ["Pools"]
        auto_tune: Switch = 0, 0 => 1,
            "Whether pools are resized as their reports advise; 0: they only shrink by themselves.",
            "growth is for people to decide";
        tune_interval_ms: Millis = 60_000, 0 => 86_400_000,
            "How often the sizes of pools are checked; 0: never.",
            "a minute of evidence is what advice wants at least";
        pool_decay_ms: Millis = 10_000, 0 => 86_400_000,
            "How often pools let go of half of the idle objects that nobody needed since the last time, and of all where nothing was needed; what a burst left goes in the second after it; 0: never.",
            "a person's pause between two calls; large buffers (above 64 KiB) go each second";
        ["Alerts"]
        max_message_p95_us: Count = 1_000, 0 => 1_000_000_000,
            "What 95 % of the messages may take until they are answered or wait, in microseconds; more is an alert. 0: anything.",
            "a thousand messages a second on one thread";
        max_correlation_p95_us: Count = 100, 0 => 1_000_000_000,
            "What 95 % of the searches for the request of an answer or cancellation may take, in microseconds; more is an alert. 0: anything.",
            "a tenth of what a message may take";
        max_round_trip_p95_us: Count = 5_000, 0 => 1_000_000_000,
            "What 95 % of the requests that do not wait may take from their last byte read to the last byte of their answer written, in microseconds; more is an alert. 0: anything.",
            "what a person does not notice, many times in a row";
        max_negotiation_p95_ms: Millis = 100, 0 => 3_600_000,
            "What 95 % of the handshakes may take; more is an alert. 0: anything.",
            "below what a person notices";
        ["Records"]
        record_interval_ms: Millis = 60_000, 100 => 86_400_000,
            "How often a report is written to the file of `--record`.",
            "a week of them is ten thousand lines";
        record_max_bytes: Bytes = 64 * MIB, 64 * KIB => 64 * GIB,
            "Longest record; a longer one is renamed to FILE.1, in the place of the one before.",
            "a day of reports, one a minute";
        black_box_files: Count = 16, 1 => 10_000,
            "Files of the last hour that are kept in `black_box_dir`; the oldest go.",
            "one has at most a megabyte; a dozen incidents before somebody looks";
        record_traffic_max_bytes: Bytes = 256 * MIB, 64 * KIB => 64 * GIB,
            "Longest file of `--record-traffic`; when it is full, nothing more is written to it.",
            "a million requests with short arguments";
        ["Pools"]
        target_hit_percent: Percent = 99, 1 => 100,
            "Hits among acquires that pools are sized for.",
            "beyond it bytes buy little: each further hit costs more than the one before";
    }
    shares {
        ["Pools"] pool_budget_bytes = 1 / 8 of 64 * MIB, 64 * KIB => 64 * GIB,
            "Idle memory that all pools may keep together; by default an eighth of what the memory limit leaves at the start, 64 MiB at most.",
            "an eighth of what the memory limit leaves; 64MiB is what 100 requests leave in arenas and buffers, twice over";
        ["Sessions"] event_store_bytes = 1 / 16 of 16 * MIB, 0 => 64 * GIB,
            "Events of all sessions that are kept for clients that come back with Last-Event-ID; by default a sixteenth of what the memory limit leaves at the start, 16 MiB at most.",
            "a sixteenth of what the memory limit leaves; 16MiB is what 64 streams may hold";
        ["Tasks"] max_task_bytes = 1 / 8 of 64 * MIB, KIB => 64 * GIB,
            "Results of tasks, their requests for input and the answers to them, the messages of those that run, and questions of other calls that wait until their client has answered another one, all together; by default an eighth of what the memory limit leaves at the start, 64 MiB at most.",
            "an eighth of what the memory limit leaves; 64MiB is one answer of the greatest length. Finished tasks are given up first, the oldest of who keeps most";
        ["Memory"] max_graph_bytes = 1 / 4 of 256 * MIB, KIB => 2 * GIB,
            "Memory that the graph of the memory tools may take: the bytes of its file and about 40 for each line; by default a quarter of what the memory limit leaves at the start, 256 MiB at most.",
            "a quarter of what the memory limit leaves; 256MiB is a million entities with a few words each";
    }
    capacities {
        message_capacity = message_holders,
            "Idle messages (request slots) that are kept.",
            "one for each place that holds a message";
        arena_capacity = arena_holders,
            "Idle arenas that are kept.",
            "one for each place that holds an arena";
        buffer_capacity = buffer_holders,
            "Idle buffers that are kept in each size class up to 64 KiB; set below the few that larger ones keep, it lowers those too.",
            "one for each place that holds a buffer";
        owned_message_capacity = owned_message_holders,
            "Idle owned messages that are kept.",
            "one for each place where a message outlives its frame";
    }
}

/// One setting: what the flags, the environment, the TOML file and the documentation are made from.
///
/// ```
/// use mcpool::Limits;
/// use mcpool::limits::LimitOption;
///
/// let option = LimitOption::named("max_frame_bytes").ok_or("no such setting")?;
/// let mut limits = Limits::default();
/// option.store(&mut limits, option.parse("1MiB")?)?;
/// assert_eq!(limits.max_frame_bytes, 1 << 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct LimitOption {
    /// Name of the field, and key in the TOML file.
    pub name: &'static str,
    /// What it belongs to, as the heading that help and the configuration file show it under.
    pub group: &'static str,
    /// What the value counts.
    pub unit: Unit,
    /// Value when nothing is set; `None`: derived from the others.
    pub default: Option<usize>,
    /// Smallest value accepted.
    pub min: usize,
    /// Largest value accepted.
    pub max: usize,
    /// What it bounds, in one sentence.
    pub help: &'static str,
    /// Where the default comes from.
    pub origin: &'static str,
    store: fn(&mut Limits, usize),
    load: fn(&Limits) -> usize,
}

impl LimitOption {
    /// The setting called `name`.
    pub fn named(name: &str) -> Option<&'static LimitOption> {
        Self::ALL.iter().find(|option| option.name == name)
    }

    pub(super) fn invariant_named(name: &str) -> &'static LimitOption {
        // invariant: called by `validate` only, with names of the list (the tests run each relation).
        Self::named(name).expect("a relation names settings of the list")
    }

    /// Its long flag without dashes: `max-frame-bytes`.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// Its environment variable: `MCPOOL_MAX_FRAME_BYTES`.
    pub fn environment(&self) -> String {
        format!("MCPOOL_{}", self.name.to_ascii_uppercase())
    }

    /// Its value in `limits`, derived if need be.
    pub fn load(&self, limits: &Limits) -> usize {
        (self.load)(limits)
    }

    /// Sets it in `limits`.
    ///
    /// # Errors
    /// When `value` is outside the range of the setting; `limits` is then unchanged.
    pub fn store(&self, limits: &mut Limits, value: usize) -> Result<(), LimitsError> {
        self.check(value)?;
        (self.store)(limits, value);
        Ok(())
    }

    /// Reads a value as a person writes it: `10MiB`, `64KiB` or plain bytes for sizes, a number for the rest.
    ///
    /// ```
    /// use mcpool::limits::LimitOption;
    ///
    /// let option = LimitOption::named("max_frame_bytes").ok_or("no such setting")?;
    /// assert_eq!(option.parse("16MiB")?, 16 << 20);
    /// assert!(option.parse("16 apples").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When `text` is no such value, or out of range.
    pub fn parse(&'static self, text: &str) -> Result<usize, LimitsError> {
        let value = match self.unit {
            Unit::Bytes => units::parse_size(text),
            Unit::Count | Unit::Millis | Unit::Percent | Unit::Switch => text.trim().parse().ok(),
        };
        let Some(value) = value else {
            return Err(LimitsError::Unreadable { option: self, text: text.to_owned() });
        };
        self.check(value)?;
        Ok(value)
    }

    pub(super) fn check(&self, value: usize) -> Result<(), LimitsError> {
        if (self.min..=self.max).contains(&value) {
            return Ok(());
        }
        Err(LimitsError::OutOfRange { name: self.name, unit: self.unit, value, min: self.min, max: self.max })
    }
}

impl fmt::Debug for LimitOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitOption")
            .field("name", &self.name)
            .field("unit", &self.unit)
            .finish_non_exhaustive()
    }
}

/// Why settings cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LimitsError {
    /// The text is not a value of this setting's unit.
    #[error("{} = {text:?} is not {}", option.name, match option.unit {
        Unit::Bytes => "a size: write 10MiB, 64KiB or plain bytes",
        Unit::Count => "a whole number",
        Unit::Millis => "a whole number of milliseconds",
        Unit::Percent => "a whole number of percent",
        Unit::Switch => "0 or 1",
    })]
    Unreadable {
        /// The setting.
        option: &'static LimitOption,
        /// What was given.
        text: String,
    },
    /// The value is outside the range of the setting.
    #[error("{name} = {} is out of range: choose {} to {}", unit.show(*value), unit.show(*min), unit.show(*max))]
    OutOfRange {
        /// The setting.
        name: &'static str,
        /// What it counts.
        unit: Unit,
        /// What was given.
        value: usize,
        /// Smallest value accepted.
        min: usize,
        /// Largest value accepted.
        max: usize,
    },
    /// Two settings contradict each other.
    #[error(
        "{} = {} must not exceed {} = {}: {why}",
        low.name, low.unit.show(*low_value), high.name, high.unit.show(*high_value)
    )]
    Contradiction {
        /// The setting that must be the smaller.
        low: &'static LimitOption,
        /// Its value.
        low_value: usize,
        /// The setting that must be the larger.
        high: &'static LimitOption,
        /// Its value.
        high_value: usize,
        /// What would go wrong.
        why: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_lie_in_their_ranges() {
        Limits::default().validate().expect("defaults agree");
        for option in LimitOption::ALL {
            if let Some(default) = option.default {
                assert_eq!(option.load(&Limits::default()), default, "{}", option.name);
            }
        }
    }

    #[test]
    fn names_are_unique_and_carry_their_unit() {
        for (index, option) in LimitOption::ALL.iter().enumerate() {
            let unit = option.name.rsplit('_').next().unwrap_or_default();
            match option.unit {
                Unit::Bytes => assert_eq!(unit, "bytes", "{}", option.name),
                Unit::Millis => assert_eq!(unit, "ms", "{}", option.name),
                Unit::Percent => assert_eq!(unit, "percent", "{}", option.name),
                Unit::Count | Unit::Switch => {
                    assert!(!["bytes", "ms", "percent"].contains(&unit), "{}", option.name);
                }
            }
            assert!(LimitOption::ALL[index + 1..].iter().all(|other| other.name != option.name));
            assert!(option.help.ends_with('.') && !option.origin.ends_with('.'), "{}", option.name);
        }
    }

    #[test]
    fn what_is_stored_is_loaded_and_nothing_else_changes() {
        for option in LimitOption::ALL {
            let mut limits = Limits::default();
            option.store(&mut limits, option.min.max(7).min(option.max)).expect("in range");
            assert_eq!(option.load(&limits), option.min.max(7).min(option.max));
            for other in LimitOption::ALL.iter().filter(|o| o.name != option.name && o.default.is_some()) {
                assert_eq!(other.load(&limits), other.load(&Limits::default()), "{}", other.name);
            }
        }
    }

    #[test]
    fn values_are_read_as_people_write_them() {
        let frame = LimitOption::named("max_frame_bytes").expect("a setting");
        for (text, want) in [
            ("4096", Some(4096)),
            ("4096B", Some(4096)),
            ("64KiB", Some(65_536)),
            ("10MiB", Some(10_485_760)),
            (" 10 mib ", Some(10_485_760)),
            ("1GiB", Some(1 << 30)),
            ("", None),
            ("MiB", None),
            ("10MB", None),
            ("10M", None),
            ("-1", None),
            ("1.5MiB", None),
            ("99999999999999999999", None),
            ("18446744073709551615KiB", None),
        ] {
            assert_eq!(frame.parse(text).ok(), want, "{text:?}");
        }
        let timeout = LimitOption::named("drain_timeout_ms").expect("a setting");
        assert_eq!(timeout.parse("250").ok(), Some(250));
        assert!(timeout.parse("1KiB").is_err());
    }

    #[test]
    fn errors_name_the_setting_the_value_and_the_remedy() {
        let frame = LimitOption::named("max_frame_bytes").expect("a setting");
        for (text, want) in [
            ("10MB", r#"max_frame_bytes = "10MB" is not a size: write 10MiB, 64KiB or plain bytes"#),
            ("12", "max_frame_bytes = 12 bytes is out of range: choose 1KiB to 1GiB"),
        ] {
            assert_eq!(frame.parse(text).expect_err("refused").to_string(), want);
        }
    }
}
