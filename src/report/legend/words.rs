//! The list of words. An entry says what a figure counts, in which unit, since when, and what to think of it.

use super::entry::LegendEntry;

const fn entry(
    words: &'static [&'static str],
    fields: &'static [&'static str],
    meaning: &'static str,
) -> LegendEntry {
    LegendEntry { words, fields, meaning }
}

/// Every word of a report.
pub(super) const LEGEND: &[LegendEntry] = &[
    // The server, and what it costs.
    entry(
        &["server", "pid", "version"],
        &["server", "name", "version", "pid", "os", "schema", "taken_unix_ms", "uptime_ms"],
        "Who made the report, on which system, when, and how long the process had been running by then.",
    ),
    entry(
        &["At a glance", "Costs"],
        &["usage", "cpu_ms"],
        "What the process takes from the machine: memory now, and processor time since its start, user and system.",
    ),
    entry(
        &["resident", "memory", "rss"],
        &["rss_bytes", "timeline", "at_ms"],
        "Memory that is in RAM for this process now, what it shares with others included: the figure that `ps` and `top` \
         call RSS.",
    ),
    entry(
        &["resident at most", "at the most"],
        &["peak_rss_bytes"],
        "The most that was resident at once since the start.",
    ),
    entry(
        &["private"],
        &["private_bytes"],
        "Resident memory that no other process shares: what would be free if the server ended.",
    ),
    entry(
        &["shared"],
        &["shared_bytes", "pss_bytes"],
        "Resident memory that other processes use as well, such as the program's text when it runs twice; `pss_bytes` \
         counts it in equal parts.",
    ),
    entry(
        &["Serves", "requests a second", "a second"],
        &["acquires_per_second"],
        "Requests that came in each second, on average over the last minute, or over the shortest longer window in which \
         one came. In the JSON report the field is that of a pool: how often an object is asked for.",
    ),
    entry(
        &["p50", "half of them"],
        &["p50_ns", "p50"],
        "The median: half were at most this. Of a latency it is time; of a pool's demand it is objects in use. The sentence \
         about what is served has the time until an answer is written, tables of clients and tools until it is made.",
    ),
    entry(&["p95"], &["p95_ns", "p90"], "95 % were at most this (p90: 90 %)."),
    entry(
        &["p99", "10s p99", "5m p99", "1h p99"],
        &["p99_ns", "p99", "p999"],
        "99 % were at most this, one in a hundred was more; the time before it is the window. Of a pool it is objects in \
         use. p999 is 99.9 %.",
    ),
    entry(&["max"], &["max", "max_ns", "high_water_mark"], "The most that was seen, however seldom."),
    entry(
        &["Pressure", "normal", "elevated", "critical", "entered elevated"],
        &["pressure", "level", "entered"],
        "How near memory is to its limit. Normal: nothing is done. Elevated: idle memory is given back. Critical: large \
         new work is refused as well. Each level is counted when it is entered.",
    ),
    entry(
        &["limit", "configured", "cgroup", "physical", "the cgroup's own limit is"],
        &["limit_bytes", "limit_source", "cgroup_limit_bytes", "room_bytes"],
        "The memory that the server keeps within, and where that comes from: its setting (configured), the control group \
         that the kernel enforces (cgroup), or half of the machine (physical).",
    ),
    entry(
        &["work refused", "refused"],
        &["refused"],
        "Connections and messages that were turned away because memory was short. Anything above zero was noticed by a \
         client.",
    ),
    entry(
        &["tasks waited for memory"],
        &["psi_some_avg10"],
        "The share of the last ten seconds in which some program of the machine waited for memory, as the kernel tells it \
         (PSI).",
    ),
    entry(
        &["Most of the memory", "Wrong", "Wrong (critical)", "Hint", "Do", "Setting"],
        &["settings", "setting"],
        "What `mcpool doctor` finds, worst first, with what to do and the line of the configuration file that does it. \
         Critical: work is refused, or the kernel may kill the process. A hint costs little to ignore.",
    ),
    // Who uses it.
    entry(
        &["Clients by name", "client"],
        &["clients", "client"],
        "Programs that use the server, by the name that each gives itself when it connects. Several people with the same \
         program are one line. Where a limit counts, a client is instead whoever shares a token, a user or an address.",
    ),
    entry(&["requests"], &["requests"], "Messages that want an answer and have ended, however that went."),
    entry(
        &["errors", "protocol errors", "tool errors"],
        &["errors", "error", "protocol_errors", "tool_errors"],
        "Requests that were answered with an error of the protocol, or with a result that says that the tool failed \
         (`isError`).",
    ),
    entry(
        &["took"],
        &["busy_ms", "sum_s"],
        "The time that all of these requests took, added up. It includes waiting, so it may exceed the time of the clock.",
    ),
    entry(
        &["answers", "replies", "max reply"],
        &["answer_bytes", "reply_bytes", "max_reply_bytes"],
        "Bytes of the answers, all together; max reply is the longest of them.",
    ),
    entry(
        &["sessions", "Largest sessions"],
        &["sessions", "sessions_opened", "sessions_expired", "session_durations"],
        "Conversations that clients of the older protocol revisions opened and that the server keeps until they end or \
         are unused for long. Newer clients have none.",
    ),
    entry(
        &["holds"],
        &["session_bytes"],
        "Bytes that are kept for the open sessions of these clients, their unread events included.",
    ),
    entry(
        &["Calls by tool", "calls", "tool", "Tools"],
        &["calls", "tools", "operations", "method", "counts"],
        "Calls of each tool since the start. `operations` has all methods, by how they ended, in buckets of time.",
    ),
    entry(
        &["in the last"],
        &["window_s", "window_ms", "covered_ms", "windows"],
        "The window that figures before it are of: a minute, five minutes or an hour, up to now.",
    ),
    // Alerts.
    entry(
        &["Alerts", "alert", "state", "since", "times", "warning", "over"],
        &[
            "alerts",
            "subject",
            "severity",
            "since_unix_ms",
            "resolved_unix_ms",
            "times",
            "what",
            "against",
            "cause",
            "command",
        ],
        "Something that lasts or was over not long ago: what, how urgent, since when, how often it came, what it was \
         compared with, and which command shows more.",
    ),
    entry(
        &["kind", "regression", "requirement"],
        &["kind"],
        "Of an alert: regression is slower than this server usually is, requirement is slower than its settings ask for.",
    ),
    // The ledger.
    entry(
        &["Ledger", "part", "bytes"],
        &["parts", "bytes"],
        "Where the memory is: each byte is in one part, so the parts add up to the resident memory, as far as they are \
         known.",
    ),
    entry(&["share"], &[], "Bytes of the part among those of all parts."),
    entry(&["peak"], &["peak_bytes", "peak_allocated_bytes"], "The most that it was since the start."),
    entry(&["count"], &["count"], "How many objects hold the bytes, where they can be counted."),
    entry(
        &["on", "heap", "pages"],
        &["is_heap", "heap_bytes", "total_allocated_bytes"],
        "Heap: blocks that the program has asked its allocator for and not given back. Pages: memory that is no block, \
         such as the program itself and the stacks of its threads.",
    ),
    entry(
        &["explained"],
        &["explained_bytes", "explained_ratio", "error_bytes", "error_ratio"],
        "What the parts add up to. The percentage beside it says how far that is from the resident memory: within 5 % the \
         ledger can be relied on.",
    ),
    entry(
        &["by holders"],
        &["held_ratio"],
        "The share of the resident memory that some component of the server has named as its own.",
    ),
    entry(
        &["of it not written to"],
        &["unwritten_bytes"],
        "Blocks that are reserved and whose pages take no RAM yet, as nobody has written to them.",
    ),
    entry(
        &["committed"],
        &["committed_bytes", "peak_committed_bytes"],
        "Memory that the allocator has taken from the system, in use or not.",
    ),
    entry(&["stacks"], &["stack_bytes"], "Resident memory of the stacks of the threads."),
    entry(
        &["huge pages"],
        &["huge_page_bytes"],
        "Memory that the kernel hands out 2 MiB at a time: quick, and wasteful for a small program.",
    ),
    entry(&["threads"], &["threads"], "Threads of the process."),
    entry(&["descriptors"], &["open_descriptors"], "Files, sockets and pipes that are open."),
    entry(&["of CPU time", "CPU time"], &[], "Processor time since the start, of all threads together."),
    entry(
        &["program", "program, shared"],
        &[],
        "The program and its libraries, as far as they are in RAM; shared with other processes that run the same.",
    ),
    entry(&["rest"], &[], "Blocks of the heap that no component has named: the runtime, libraries, texts."),
    entry(
        &["allocator, free", "allocator, rounding"],
        &[],
        "Memory of the allocator that nobody uses: pages that it keeps for a while and gaps between blocks (free), and \
         what blocks are larger than was asked for (rounding). `mcpool report --reclaim` gives back what can be.",
    ),
    entry(
        &["connections", "Largest connections", "peer"],
        &["connections", "connection_bytes", "peer"],
        "Sockets and pipes that are open to clients, what is held for them while they are idle, and the address at the \
         other end.",
    ),
    entry(
        &["buffers, leased", "buffers, idle", "buffers, announced", "buffers/*"],
        &["message_buffer_bytes"],
        "Memory for messages on their way in and out. Leased ones are in use, idle ones wait in a pool to be used again, \
         announced ones belong to messages that have not come whole. The number is their size.",
    ),
    entry(
        &["messages, leased", "messages, idle", "owned messages"],
        &["owned"],
        "Requests that are being served: each takes one such object. Owned ones were copied to outlive the bytes that they \
         came in.",
    ),
    entry(
        &["arenas", "arenas, leased", "arenas, idle", "large arenas", "idle arenas"],
        &[],
        "Scratch memory of a request, for what its arguments are decoded into. Those that grew large are kept apart.",
    ),
    entry(
        &["line exchanges", "exchanges"],
        &[],
        "What a connection needs while it is at work and gives back when it is idle, over pipes and Unix sockets (line \
         exchanges) or HTTP (exchanges).",
    ),
    entry(
        &["event stores", "delivered events"],
        &["unread_answers", "unread_bytes", "returns", "latest_return_ms"],
        "Messages that are kept for clients that may come back to a stream that broke off: unread answers, how many \
         clients did come back, and how late the latest was.",
    ),
    entry(
        &["subscriptions", "pending requests"],
        &["subscriptions", "correlation_bytes"],
        "Clients that want to hear of changes, and questions that wait for an answer of a client.",
    ),
    entry(&["tasks"], &["tasks"], "Calls that go on in the background, and their results."),
    entry(&["catalog"], &[], "The lists of tools, resources and prompts, as they are sent."),
    entry(
        &["monitor", "black box", "traffic record", "spans", "logs", "names of clients"],
        &[],
        "What the server keeps to observe itself: latencies, the last hour second by second, recorded requests, traces \
         that wait to be sent, lines of logs that wait to be written, and what each client did.",
    ),
    entry(
        &[
            "tool state",
            "filesystem tools",
            "git tools",
            "fetch tool",
            "knowledge graph",
            "thinking tools",
            "time tools",
            "everything tools",
            "dynamic tools",
        ],
        &[],
        "What tools keep between calls, by toolset.",
    ),
    // The kernel.
    entry(
        &["Kernel", "of", "this process", "network namespace", "control group"],
        &["kernel", "scope"],
        "Memory that the kernel holds because of this process, beside its own: for the process alone, for all that share \
         its network, or for all of its control group.",
    ),
    entry(
        &[
            "buffers of TCP",
            "buffers of sockets",
            "page tables",
            "kernel stacks",
            "slab and stacks",
            "slab: inodes, sockets, files",
            "cached files",
        ],
        &[],
        "What the kernel keeps: bytes that wait in sockets, the maps of memory, threads, open files, and contents of files \
         that it can drop at any time.",
    ),
    // Traffic.
    entry(
        &["frames", "Traffic", "Process"],
        &["traffic", "frames", "one_pass"],
        "Messages that came in, requests or not; `one_pass` are calls that were read in one go.",
    ),
    entry(
        &["in flight"],
        &["in_flight", "parked"],
        "Requests that are being served now; `parked` had to wait for something, since the start.",
    ),
    entry(
        &["decoded in two passes", "two-pass"],
        &["two_pass"],
        "Calls whose arguments were read twice, as their client writes them before the tool's name: slower, not wrong.",
    ),
    entry(&["cancelled"], &["cancelled"], "Requests that their client gave up."),
    entry(
        &["notifications dropped"],
        &["dropped_notifications"],
        "Messages about progress and changes that were left out, as their client reads too slowly.",
    ),
    // Pools.
    entry(
        &["Pools", "pool", "budget", "Unused"],
        &["pools", "budget", "used_bytes"],
        "Stores of objects that are used again instead of made anew. The budget bounds the bytes of all that are idle.",
    ),
    entry(&["in use"], &["in_use"], "Objects that are lent out now."),
    entry(
        &["idle"],
        &["idle", "idle_bytes"],
        "Objects that wait to be used again: they cost memory and save time.",
    ),
    entry(
        &["capacity"],
        &["capacity", "maximum"],
        "How many objects of a pool may be idle. An arrow leads to the advised number.",
    ),
    entry(
        &["hit %", "1m", "1h", "hits"],
        &["hits", "hit_ratio", "hit_ratio_now", "hit_ratio_1m", "hit_ratio_1h"],
        "How many of a hundred objects that were asked for were reused and not made: since the last look, in the last \
         minute, in the last hour.",
    ),
    entry(
        &["misses", "acquires"],
        &["misses", "acquires", "traced", "evidence"],
        "An acquire asks a pool for an object, a miss makes one as none is idle. Old ones count less in the evidence.",
    ),
    entry(
        &["dropped"],
        &["discarded", "owned_bytes", "bytes_per_object", "saved_ns_per_hit"],
        "Objects that were not kept, by reason; the bytes of all objects of the pool, of one on average, and the time that \
         reusing one saves.",
    ),
    entry(
        &["Advice", "advised", "now", "as advised"],
        &["advice", "confidence", "reason"],
        "A capacity that would save memory or misses, computed from what was asked for; the share of the history that it \
         is based on is its confidence. Only what is worth it and can be set is shown.",
    ),
    entry(
        &["Miss curve", "idle bytes at most", "acquires by objects in use", "objects, log scale"],
        &["curve", "demand", "buckets", "connection_buckets"],
        "How hits and memory would change with the capacity, and how often how many objects were in use at once.",
    ),
    // Steps that free memory.
    entry(
        &["given back by", "runs", "idle objects of pools", "pages of the allocator", "Since the start"],
        &["reclaimed", "step", "runs"],
        "What was freed as memory was short: which step, how often, and how many bytes in all.",
    ),
    entry(
        &["Applied by the last optimisation"],
        &["applied", "before", "after"],
        "Capacities that the server changed by itself, from what to what, and why.",
    ),
    // Those that hold most.
    entry(
        &["number"],
        &["number", "hotspots"],
        "A number of its own in this process, to tell one from another in the log.",
    ),
    entry(
        &["queued", "stalled"],
        &["queued_bytes", "stalled_ms"],
        "Bytes that wait for this client to read them, and for how long it has read nothing.",
    ),
    entry(&["unused for"], &["idle_ms"], "How long nothing came for it."),
    entry(
        &["Tools by their largest arena", "max arena", "oversized"],
        &["max_arena_bytes", "oversized_arenas"],
        "The most scratch memory that a call of the tool needed, and how many calls needed more than is kept.",
    ),
    // Latencies.
    entry(
        &["Latencies", "latency", "1m calls"],
        &["latencies"],
        "How long things take, by method and tool, over windows that end now.",
    ),
    entry(
        &["messages", "round trips", "correlation", "negotiation"],
        &[],
        "Messages: from the bytes of one to its answer, or to where it waits. Round trips: until the answer is written. \
         Correlation: finding the request that an answer belongs to. Negotiation: the greeting of a client. As a pool, messages are the objects of requests that are being served.",
    ),
    // A moment of the last hour (`report --at`).
    entry(
        &["What it held", "What it did", "before", "then", "change"],
        &[],
        "A sample of the black box, of one second or of ten, beside the one a minute before it: memory, and what was done \
         meanwhile.",
    ),
    entry(
        &["live heap"],
        &[],
        "Bytes that the allocator has handed out, of which `heap` of the ledger names the holders.",
    ),
    entry(
        &["requests in flight", "messages a second"],
        &[],
        "Requests that were being served at the end of the sample, and messages of clients that were answered in each of \
         its seconds.",
    ),
    entry(
        &["refused, memory was short"],
        &[],
        "Requests that were refused in the sample because there was no memory for them.",
    ),
    entry(
        &["p50 of messages", "p99 of messages"],
        &[],
        "Half of the messages of the sample, and 99 % of them, took at most this.",
    ),
    entry(&["processor"], &[], "The processor time of the sample; 100 % are one processor, all the time."),
    entry(
        &["machine waits for memory", "group waits for memory"],
        &[],
        "In which share of the last 10 s some task of the machine, or of the server's control group, could not go on for \
         lack of memory (`some avg10` of the kernel's pressure files).",
    ),
    entry(
        &["group above memory.high", "group at memory.max", "killed in the group"],
        &[],
        "How often, in the sample, the control group was slowed down above `memory.high`, was at its limit `memory.max`, \
         and had a process killed for lack of memory.",
    ),
    // A plan, and a capacity.
    entry(
        &["term", "Resident memory", "sum"],
        &[],
        "One addend of `mcpool plan`: the memory that a load takes at most is their sum.",
    ),
    entry(
        &["each", "price", "Prices"],
        &[],
        "Bytes of one of them, and where that figure comes from: a setting, a measurement, a size of the program.",
    ),
    entry(
        &["Kernel memory", "kernel: *"],
        &[],
        "Memory that the kernel takes for the process, as buffers of sockets: it is not resident in the process, but its \
         control group is charged with it.",
    ),
    entry(&["What does not fit"], &[], "What to raise or to lower so that the load fits."),
    entry(
        &["process at the start", "program, not read yet", "records of requests"],
        &[],
        "The process before its first client; pages of its program that may be read later; lines of logs and records that \
         wait to be written.",
    ),
    entry(
        &["small objects", "large messages and answers"],
        &[],
        "The two budgets of what clients can cause: connections, sessions and small buffers; messages and answers beyond 16 \
         KiB.",
    ),
    entry(
        &[
            "idle connections",
            "streams",
            "resources that streams name",
            "requests at work",
            "frames, small answers",
        ],
        &[],
        "What the load of a plan keeps for its clients: open connections and streams, and a small buffer and a place for each \
         request at work.",
    ),
    entry(
        &["reads in flight", "small reads in flight", "writes in flight", "small writes in flight"],
        &[],
        "What the answers and messages of the load take while they are sent and received.",
    ),
    entry(
        &["small buffers, idle", "allocator, freed buffers", "allocator, threads", "stacks of threads"],
        &[],
        "What pools keep for the next request, what the allocator keeps of freed memory and for each thread, and the \
         stacks.",
    ),
    entry(
        &["factor", "clients", "needs"],
        &[],
        "So many times the clients that `mcpool capacity` was asked about, how many these are, and the memory that they \
         need.",
    ),
    entry(
        &["beyond", "fits"],
        &[],
        "The bounds that so many clients go beyond; where there is none, they fit.",
    ),
    // The page.
    entry(
        &["Memory over time", "How many hold how much", "Settings", "value", "What the words mean"],
        &[],
        "Charts and tables of the page: memory by part, connections by size, and the settings in force.",
    ),
];
