//! How much memory a load takes at most, added up from terms with a name, a number and a price.
//!
//! Pure but for [`ProcessFacts::of_process`]: numbers in, plan out. The prices are those that the code itself enters into the ledger or reserves
//! ([`crate::limits`]), so that plan and process agree. What the kernel keeps for the process is told apart: it is not
//! in the resident memory, but a control group counts it.

use super::ceiling::{Ceiling, LimitSource};
use super::process::{self, Process};
use crate::limits::units::bytes;
use crate::limits::{Limits, price};
use serde::Serialize;

const MIB: u64 = 1 << 20;

/// The terms that are small objects.
const SMALL_OBJECTS: [&str; 9] = [
    "idle connections",
    "sessions",
    "streams",
    "resources that streams name",
    "requests at work",
    "frames, small answers",
    "small reads in flight",
    "small writes in flight",
    "small objects",
];

/// What the kernel keeps for each connection, measured as the growth of `Slab` in `/proc/meminfo` by 3,000 ends of
/// 1,500 connections on Linux 6.18: 3,707 bytes an end over TCP; 2,079 over Unix sockets.
const KERNEL_SOCKETS: [(&str, u64); 4] = [
    ("kernel: sockets", 2_368),
    ("kernel: inodes of sockets", 832 + 32),
    ("kernel: dentries of sockets", 192),
    ("kernel: files, epoll entries", 192 + 24 + 128),
];
/// Kernel stack and descriptor of a thread.
const KERNEL_THREAD_BYTES: u64 = 24 * 1024;
/// Resident bytes for each byte of page tables: an entry of 8 bytes for 4 KiB.
const BYTES_PER_TABLE_BYTE: u64 = 512;

/// So many messages or files of that size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Transfers {
    /// How many at once.
    pub count: u64,
    /// Bytes of each.
    pub bytes: u64,
}

/// What clients do at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PlannedLoad {
    /// Open connections.
    pub connections: u64,
    /// Sessions of the legacy era.
    pub sessions: u64,
    /// Open streams and subscriptions.
    pub streams: u64,
    /// Resources that each of them names.
    pub stream_resources: u64,
    /// Small requests that wait for something.
    pub waiting: u64,
    /// Files that are read, each as one answer.
    pub reads: Transfers,
    /// Files that are written, each as one message.
    pub writes: Transfers,
}

/// What the objects of a server cost, as its ledger enters them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectPrices {
    /// An idle connection.
    pub connection_bytes: u64,
    /// A session.
    pub session_bytes: u64,
    /// A subscription, or a stream.
    pub stream_bytes: u64,
    /// A resource that a subscription names, with a URI of 256 bytes.
    pub resource_bytes: u64,
    /// A request at work: its slot, and the state of its connection.
    pub request_bytes: u64,
    /// The buffer that a small request and its answer are in.
    pub frame_bytes: u64,
    /// One buffer of each small size.
    pub small_buffers_bytes: u64,
    /// How often an answer carries its text.
    pub text_copies: u64,
}

/// The process that the plan is for, before it does anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Its resident memory.
    pub resident_bytes: u64,
    /// Pages of the program and its libraries that are not in memory yet.
    pub unread_program_bytes: u64,
    /// The threads that it will have.
    pub threads: u64,
    /// The most that a recorder of traffic holds, if there will be one.
    pub recorder_bytes: u64,
    /// The most that the graph of the memory tools takes, if they are on.
    pub graph_bytes: u64,
    /// The most that the kernel keeps of what one socket has to send.
    pub socket_send_bytes: u64,
    /// The most that the kernel keeps of what one socket received.
    pub socket_receive_bytes: u64,
}

impl ProcessFacts {
    /// This process, if it is to have so many threads.
    pub(crate) fn of_process(threads: u64) -> Self {
        let process = Process::read();
        Self {
            resident_bytes: process.rss_bytes.unwrap_or_default(),
            unread_program_bytes: process.unread_program_bytes.unwrap_or_default(),
            threads,
            recorder_bytes: 0,
            graph_bytes: 0,
            socket_send_bytes: process::socket_buffer_bytes("tcp_wmem"),
            socket_receive_bytes: process::socket_buffer_bytes("tcp_rmem"),
        }
    }
}

/// All that a plan depends on besides the load.
#[derive(Debug, Clone, Copy)]
pub struct PlanBasis<'a> {
    /// The settings.
    pub limits: &'a Limits,
    /// What objects cost.
    pub prices: ObjectPrices,
    /// The process.
    pub process: ProcessFacts,
    /// What bounds it.
    pub ceiling: Ceiling,
}

/// Whose memory a term is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Holder {
    /// The process: it is resident memory.
    Process,
    /// The process, until memory is short: then it is given back.
    Spare,
    /// The kernel, on behalf of the process.
    Kernel,
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Term {
    /// What it is.
    pub name: &'static str,
    /// How many there are.
    pub count: u64,
    /// What each costs.
    pub bytes_each: u64,
    /// What all of them cost.
    pub bytes: u64,
    /// Whose memory it is.
    pub holder: Holder,
    /// Where the number and the price come from.
    pub origin: &'static str,
}

/// The terms, their sums, and whether they fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CeilingPlan {
    /// What was asked; `None`: whatever the settings allow.
    pub load: Option<PlannedLoad>,
    /// What bounds the process.
    pub ceiling: Ceiling,
    /// The terms.
    pub terms: Vec<Term>,
    /// Resident memory at most: the terms of the process, without what is given back where the limit leaves no room.
    pub process_bytes: u64,
    /// The same with the kernel's part, as a control group counts it.
    pub with_kernel_bytes: u64,
    /// Large messages and answers that are to be in memory at once.
    pub large_bytes: u64,
    /// Small objects that are to be in memory at once.
    pub small_bytes: u64,
    /// The smallest limit under which all of it happens at once.
    pub needed_limit_bytes: u64,
    /// Whether it all fits.
    pub fits: bool,
    /// What to change, if it does not.
    pub remedies: Vec<String>,
}

impl CeilingPlan {
    /// The plan of a load; without one, of the most that the settings allow.
    pub fn of(load: Option<PlannedLoad>, basis: &PlanBasis<'_>) -> Self {
        let mut terms = Terms::default();
        terms.add_process(basis);
        let large_bytes = match load {
            Some(load) => terms.add_load(&load, basis),
            None => terms.add_settings(basis),
        };
        let small_bytes = terms.small_bytes();
        terms.add_allocator_rest(large_bytes, small_bytes);
        let firm_bytes = terms.sum(Holder::Process);
        let spare_bytes = terms.sum(Holder::Spare);
        let room_bytes = basis.ceiling.limit_bytes.map_or(u64::MAX, |limit| limit.saturating_sub(firm_bytes));
        let process_bytes = firm_bytes.saturating_add(spare_bytes.min(room_bytes));
        terms.add(Term {
            name: "kernel: page tables",
            count: 1,
            bytes_each: process_bytes / BYTES_PER_TABLE_BYTE,
            bytes: 0,
            holder: Holder::Kernel,
            origin: "8 bytes for each 4 KiB",
        });
        let kernel_bytes = terms.sum(Holder::Kernel);
        let mut plan = Self {
            load,
            ceiling: basis.ceiling,
            terms: terms.0,
            process_bytes,
            with_kernel_bytes: process_bytes.saturating_add(kernel_bytes),
            large_bytes,
            small_bytes,
            needed_limit_bytes: 0,
            fits: true,
            remedies: Vec::new(),
        };
        plan.check(firm_bytes, kernel_bytes, basis);
        plan
    }

    /// Compares the sums with the limit, and the load with the settings.
    fn check(&mut self, firm_bytes: u64, kernel_bytes: u64, basis: &PlanBasis<'_>) {
        let ceiling = &basis.ceiling;
        let in_group = ceiling.source == Some(LimitSource::Cgroup);
        let counted_bytes = firm_bytes.saturating_add(if in_group { kernel_bytes } else { 0 });
        let fixed_bytes = ceiling.fixed_bytes;
        self.needed_limit_bytes = with_graph(counted_bytes - basis.process.graph_bytes, basis);
        if self.load.is_some() {
            let for_small = with_graph(price::limit_with_small(self.small_bytes, fixed_bytes), basis);
            self.needed_limit_bytes = self.needed_limit_bytes.max(for_small);
        }
        if self.load.is_some() && basis.limits.max_inflight_bytes == 0 {
            let for_large = with_graph(price::limit_with_large(self.large_bytes, fixed_bytes), basis);
            self.needed_limit_bytes = self.needed_limit_bytes.max(for_large);
        }
        self.needed_limit_bytes = self.needed_limit_bytes.next_multiple_of(MIB);
        if let Some(limit) = ceiling.limit_bytes.filter(|limit| counted_bytes > *limit) {
            let what = if in_group { "with what the kernel keeps, " } else { "" };
            self.remedies.push(format!(
                "{what}{} are needed and {} are allowed: raise memory_limit_bytes to {}, or lower the largest terms",
                as_setting(counted_bytes),
                as_setting(limit - limit % MIB),
                as_setting(self.needed_limit_bytes),
            ));
        }
        if let Some(large) = ceiling.large_bytes.filter(|large| self.large_bytes > *large) {
            self.remedies.push(format!(
                "{} of large messages are to be in memory at once and {} may: the reads beyond wait for their turn, and \
                 the writes beyond are refused; raise memory_limit_bytes to {}",
                bytes(self.large_bytes),
                bytes(large),
                as_setting(self.needed_limit_bytes),
            ));
        }
        if let Some(small) = ceiling.small_bytes.filter(|small| self.small_bytes > *small) {
            self.remedies.push(format!(
                "{} of small objects are to be in memory at once and {} may: what is beyond is refused; raise \
                 memory_limit_bytes to {}",
                bytes(self.small_bytes),
                bytes(small),
                as_setting(self.needed_limit_bytes),
            ));
        }
        if let Some(load) = &self.load {
            self.remedies.extend(beyond_settings(load, basis));
        }
        self.fits = self.remedies.is_empty();
    }

    /// The last line: what the process stays below, and whether the load fits. The start of a server tells the first
    /// half of it.
    pub fn summary(&self) -> String {
        let ceiling = self.ceiling;
        let verdict = match (self.fits, self.load.is_some()) {
            (true, true) => "the load fits",
            (true, false) => "all that the settings allow fits",
            (false, true) => "the load does not fit",
            (false, false) => "not all that the settings allow fits",
        };
        let sum = bytes(self.process_bytes);
        format!("{ceiling}; {verdict}: {sum}, {} with the kernel's part", bytes(self.with_kernel_bytes))
    }
}

/// Bytes as a setting takes them, rounded up. Rounded to a place behind the point, what is needed and what is allowed can
/// look the same.
fn as_setting(bytes: u64) -> String {
    format!("{}MiB", bytes.div_ceil(MIB))
}

/// A limit that has room for the graph, where `limit_bytes` are needed beside it: the graph may grow with the limit, as
/// `max_graph_bytes` does where it is not set.
fn with_graph(limit_bytes: u64, basis: &PlanBasis<'_>) -> u64 {
    let graph_bytes = basis.process.graph_bytes;
    if graph_bytes == 0 {
        return limit_bytes;
    }
    let room_bytes = limit_bytes.saturating_sub(basis.ceiling.fixed_bytes);
    let mut limits = Limits::default();
    // A quarter of all, which is a third of the rest.
    limits.divide(room_bytes.saturating_add(room_bytes.div_ceil(3)));
    limit_bytes.saturating_add(graph_bytes.max(limits.max_graph_bytes() as u64))
}

/// What of the load the settings refuse.
fn beyond_settings(load: &PlannedLoad, basis: &PlanBasis<'_>) -> Vec<String> {
    let limits = basis.limits;
    let answer_bytes = answer_bytes(load.reads.bytes, basis);
    [
        ("max_connections", load.connections, limits.max_connections),
        ("max_sessions", load.sessions, limits.max_sessions),
        ("max_subscriptions", load.streams, limits.max_subscriptions),
        ("max_frame_bytes", load.writes.bytes, limits.max_frame_bytes),
        ("max_reply_bytes", if load.reads.count == 0 { 0 } else { answer_bytes }, limits.max_reply_bytes),
    ]
    .into_iter()
    .filter(|(_, wanted, allowed)| *wanted > *allowed as u64)
    .map(|(name, wanted, allowed)| format!("{name} is {allowed}: raise it to {wanted} at least"))
    .collect()
}

/// Bytes of an answer with a file of `bytes`.
fn answer_bytes(bytes: u64, basis: &PlanBasis<'_>) -> u64 {
    price::answer_bytes(bytes as usize, basis.prices.text_copies as usize) as u64
}

/// Bytes that such an answer holds until it is read: a large file is read while its answer is sent.
fn read_bytes(bytes: u64, basis: &PlanBasis<'_>) -> u64 {
    if bytes > price::LARGE_BYTES as u64 {
        price::window_bytes(price::SEGMENT_BYTES) as u64
    } else {
        price::buffer_bytes(answer_bytes(bytes, basis) as usize) as u64
    }
}

/// Bytes that a message which writes a file of `bytes` holds until it is done.
fn write_bytes(bytes: u64) -> u64 {
    price::message_bytes(bytes as usize) as u64
}

/// Whether a message or answer of so many bytes is charged as a large one.
fn is_large(bytes: u64) -> bool {
    bytes > price::SMALL_BUFFER_BYTES as u64
}

/// The terms of a plan while they are collected.
#[derive(Default)]
struct Terms(Vec<Term>);

impl Terms {
    /// Adds a term, and its product.
    fn add(&mut self, mut term: Term) {
        term.bytes = term.count.saturating_mul(term.bytes_each);
        if term.bytes > 0 {
            self.0.push(term);
        }
    }

    fn add_of_process(&mut self, name: &'static str, count: u64, bytes_each: u64, origin: &'static str) {
        self.add(Term { name, count, bytes_each, bytes: 0, holder: Holder::Process, origin });
    }

    fn add_spare(&mut self, name: &'static str, count: u64, bytes_each: u64, origin: &'static str) {
        self.add(Term { name, count, bytes_each, bytes: 0, holder: Holder::Spare, origin });
    }

    fn add_of_kernel(&mut self, name: &'static str, count: u64, bytes_each: u64, origin: &'static str) {
        self.add(Term { name, count, bytes_each, bytes: 0, holder: Holder::Kernel, origin });
    }

    fn sum(&self, holder: Holder) -> u64 {
        let terms = self.0.iter().filter(|term| term.holder == holder);
        terms.fold(0, |sum, term| sum.saturating_add(term.bytes))
    }

    /// What the process has whatever it does.
    fn add_process(&mut self, basis: &PlanBasis<'_>) {
        let process = basis.process;
        self.add_of_process(
            "process at the start",
            1,
            process.resident_bytes,
            "this program with these settings, measured now",
        );
        self.add_spare(
            "program, not read yet",
            1,
            process.unread_program_bytes,
            "its pages that are not resident, measured now",
        );
        let origin =
            "record_traffic, access_log: lines that wait to be written, requests that have not ended";
        self.add_of_process("records of requests", 1, process.recorder_bytes, origin);
        self.add_of_process("knowledge graph", 1, process.graph_bytes, "max_graph_bytes");
        self.add_of_process("stacks of threads", process.threads, price::STACK_BYTES, "touched pages");
        self.add_of_process(
            "allocator, threads",
            process.threads,
            price::THREAD_PAGES_BYTES,
            "partly used pages",
        );
        self.add_of_kernel("kernel: threads", process.threads, KERNEL_THREAD_BYTES, "stack and descriptor");
    }

    fn add_kernels_connections(&mut self, connections: u64) {
        for (name, bytes_each) in KERNEL_SOCKETS {
            self.add_of_kernel(name, connections, bytes_each, "measured on Linux 6.18");
        }
    }

    /// Adds what a load takes, and returns the bytes of its large messages.
    fn add_load(&mut self, load: &PlannedLoad, basis: &PlanBasis<'_>) -> u64 {
        let (limits, prices, process) = (basis.limits, basis.prices, basis.process);
        let transfers = load.reads.count + load.writes.count;
        let served = load.waiting + transfers;
        self.add_of_process(
            "idle connections",
            load.connections,
            prices.connection_bytes,
            "ledger: connections",
        );
        self.add_kernels_connections(load.connections);
        self.add_of_process("sessions", load.sessions, prices.session_bytes, "ledger: sessions");
        self.add_of_process("streams", load.streams, prices.stream_bytes, "ledger: subscriptions");
        self.add_of_process(
            "resources that streams name",
            load.streams.saturating_mul(load.stream_resources),
            prices.resource_bytes,
            "with URIs of 256 bytes",
        );
        let requests = served + load.streams;
        self.add_of_process("requests at work", requests, prices.request_bytes, "sizes of slot and exchange");
        self.add_of_process("frames, small answers", requests, prices.frame_bytes, "a small buffer each");
        let kept = |capacity: usize| served.min(capacity as u64);
        self.add_spare(
            "arenas, idle",
            kept(limits.message_capacity()),
            limits.arena_retain_bytes as u64,
            "arena_retain_bytes, one a request",
        );
        self.add_spare(
            "small buffers, idle",
            kept(limits.buffer_capacity()),
            prices.small_buffers_bytes,
            "one of each size up to 64 KiB a request",
        );
        self.add_spare(
            "event stores",
            1,
            (limits.event_store_bytes() as u64)
                .min(load.streams.saturating_mul(limits.max_stream_bytes as u64)),
            "event_store_bytes, or max_stream_bytes a stream",
        );
        let (read, write) = (read_bytes(load.reads.bytes, basis), write_bytes(load.writes.bytes));
        let answer = answer_bytes(load.reads.bytes, basis);
        let (has_large_reads, has_large_writes) = (is_large(answer), is_large(load.writes.bytes));
        let name = if has_large_reads { "reads in flight" } else { "small reads in flight" };
        self.add_of_process(name, load.reads.count, read, "what an answer reserves");
        let name = if has_large_writes { "writes in flight" } else { "small writes in flight" };
        self.add_of_process(name, load.writes.count, write, "what a message reserves");
        let sent = answer.min(process.socket_send_bytes);
        let received = load.writes.bytes.min(process.socket_receive_bytes);
        self.add_of_kernel("kernel: answers in sockets", load.reads.count, sent, "tcp_wmem at most");
        self.add_of_kernel("kernel: messages in sockets", load.writes.count, received, "tcp_rmem at most");
        let of =
            |is_large: bool, each: u64, count: u64| if is_large { each.saturating_mul(count) } else { 0 };
        let reads = of(has_large_reads, read, load.reads.count);
        reads.saturating_add(of(has_large_writes, write, load.writes.count))
    }

    /// Adds the most that the settings allow, and returns the bytes of large messages.
    fn add_settings(&mut self, basis: &PlanBasis<'_>) -> u64 {
        let (limits, prices) = (basis.limits, basis.prices);
        self.add_kernels_connections(limits.max_connections as u64);
        if let Some(bytes) = basis.ceiling.small_bytes {
            self.add_of_process("small objects", 1, bytes, "their part of the limit");
        } else {
            let of = |count: usize, each: u64| (count as u64).saturating_mul(each);
            let bytes = of(limits.max_connections, prices.connection_bytes + prices.request_bytes)
                .saturating_add(of(limits.max_sessions, prices.session_bytes))
                .saturating_add(of(limits.max_subscriptions, prices.stream_bytes));
            let origin = "max_connections, max_sessions, max_subscriptions";
            self.add_of_process("small objects", 1, bytes, origin);
        }
        let large_bytes = basis.ceiling.large_bytes.unwrap_or_default();
        self.add_of_process("large messages and answers", 1, large_bytes, "max_inflight_bytes");
        large_bytes
    }

    /// What the allocator keeps beyond the blocks that are in use.
    fn add_allocator_rest(&mut self, large_bytes: u64, small_bytes: u64) {
        let rounded_bytes = price::rounded_bytes(small_bytes);
        self.add_of_process("allocator, rounding", 1, rounded_bytes, "an eighth of all small objects");
        let kept_bytes = price::kept_bytes(large_bytes);
        self.add_of_process("allocator, freed buffers", 1, kept_bytes, "as much as is in use");
    }

    /// Bytes of the terms that are small objects.
    fn small_bytes(&self) -> u64 {
        let terms = self.0.iter().filter(|term| SMALL_OBJECTS.contains(&term.name));
        terms.fold(0, |sum, term| sum.saturating_add(term.bytes))
    }
}

#[cfg(test)]
mod tests;
