//! What the kernel holds for this process beside its resident memory: page tables, sockets, and what its control group
//! is charged with.
//!
//! Beside `process`, the only reader of `/proc` and of control groups. None of it is in the resident memory; the kernel
//! counts sockets for a network namespace and the rest for a control group, so other processes may be in a line, which
//! says so ([`KernelScope`]).

use super::process::{SMALL_BYTES, parse_limit, parse_psi, read_small};
use super::report::{KernelPart, KernelScope};
use super::sample::{GroupEvents, MemoryStalls};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

const KIB: u64 = 1024;

/// The lines of `memory.stat`, and what they are called here.
const GROUP_LINES: [(&str, &str); 4] = [
    ("slab", "slab: inodes, sockets, files"),
    ("sock", "buffers of sockets"),
    ("kernel_stack", "kernel stacks"),
    ("file", "cached files"),
];

/// Reads all lines; on other systems than Linux there are none.
pub(super) fn read() -> Vec<KernelPart> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut parts = Vec::new();
    parts.extend(page_tables(&read("/proc/self/status")));
    let page_bytes = rustix::param::page_size() as u64;
    let (sockets, sockets6) = (read("/proc/self/net/sockstat"), read("/proc/self/net/sockstat6"));
    parts.extend(tcp(&sockets, &sockets6, page_bytes));
    if let Some(group) = group_folder(&read("/proc/self/cgroup"), Path::new("/sys/fs/cgroup")) {
        parts.extend(of_group(&group));
    }
    parts
}

fn part(name: &str, bytes: u64, count: Option<u64>, scope: KernelScope) -> KernelPart {
    KernelPart { name: name.to_owned(), bytes, count, scope }
}

fn page_tables(status: &str) -> Option<KernelPart> {
    let kib = status.lines().find_map(|line| line.strip_prefix("VmPTE:"))?;
    let kib: u64 = kib.split_ascii_whitespace().next()?.parse().ok()?;
    Some(part("page tables", kib * KIB, None, KernelScope::Process))
}

/// The number after `name` in the line that begins with `protocol`.
fn socket_figure(text: &str, protocol: &str, name: &str) -> Option<u64> {
    let mut words = text.lines().find_map(|line| line.strip_prefix(protocol))?.split_ascii_whitespace();
    words.find(|word| *word == name)?;
    words.next()?.parse().ok()
}

/// Buffers of TCP, with the sockets of both families. What a socket costs beside its buffers is in the group's slab.
fn tcp(text: &str, text6: &str, page_bytes: u64) -> Option<KernelPart> {
    let pages = socket_figure(text, "TCP:", "mem")?;
    let sockets = socket_figure(text, "TCP:", "inuse").unwrap_or_default()
        + socket_figure(text6, "TCP6:", "inuse").unwrap_or_default();
    Some(part("buffers of TCP", pages * page_bytes, Some(sockets), KernelScope::Network))
}

/// The folder of the process's control group with a memory controller, of either version.
fn group_folder(groups: &str, root: &Path) -> Option<PathBuf> {
    let path_of = |is_wanted: &dyn Fn(&str) -> bool| {
        groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            is_wanted(controllers).then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let v1 = path_of(&|controllers| controllers.split(',').any(|name| name == "memory"));
    let v2 = path_of(&str::is_empty);
    let folders = v1.map(|path| root.join("memory").join(path)).into_iter();
    // The root of all groups is the whole machine, and has no such file.
    let mut folders = folders.chain(v2.map(|path| root.join(path)));
    folders.find(|folder| {
        folder.join("memory.current").exists() || folder.join("memory.kmem.usage_in_bytes").exists()
    })
}

fn of_group(folder: &Path) -> Vec<KernelPart> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    let number = |name: &str| read(name).trim().parse::<u64>().ok();
    if let Some(kernel) = number("memory.kmem.usage_in_bytes") {
        let sockets = number("memory.kmem.tcp.usage_in_bytes").filter(|bytes| *bytes > 0);
        let kernel = part("slab and stacks", kernel, None, KernelScope::Group);
        let sockets = sockets.map(|bytes| part("buffers of sockets", bytes, None, KernelScope::Group));
        return [kernel]
            .into_iter()
            .chain(sockets)
            .chain(of_stat(&read("memory.stat"), &[("cache", "cached files")]))
            .collect();
    }
    of_stat(&read("memory.stat"), &GROUP_LINES)
}

fn of_stat(text: &str, lines: &[(&str, &str)]) -> Vec<KernelPart> {
    let found = |(wanted, name): &(&str, &str)| {
        let value = text.lines().find_map(|line| line.strip_prefix(wanted)?.strip_prefix(' '))?;
        Some(part(name, value.trim().parse().ok()?, None, KernelScope::Group))
    };
    lines.iter().filter_map(found).collect()
}

/// What the kernel says of who is short of memory, this machine or the control group: found once, read each second.
/// Reading allocates nothing. Finding it takes some sixty system calls, so a server does it at its first look, for which no
/// answer waits.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    machine: Stalls,
    group: Stalls,
    files: GroupFiles,
}

/// One look at it. What the kernel does not tell is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct ShortageReading {
    pub(super) machine: Option<MemoryStalls>,
    pub(super) group: Option<MemoryStalls>,
    /// What the group has.
    pub(super) group_bytes: Option<u64>,
    /// Counted since the group was made.
    pub(super) events: Option<GroupEvents>,
}

/// A file of averages, and the trigger in it, where one may be set.
#[derive(Debug, Default)]
struct Stalls {
    path: Option<PathBuf>,
    trigger: Option<File>,
}

/// Tasks that waited for 200 ms of any two seconds: a tenth, as of the averages, but noticed at once. Who may not do
/// more may set windows of whole two seconds.
const TRIGGER: &[u8] = b"some 200000 2000000\0";

/// Files of the group that bounds the process, by what they tell; those of version 1 where they have other names.
#[derive(Debug, Default)]
struct GroupFiles {
    bytes: Option<PathBuf>,
    events: Option<PathBuf>,
    /// Version 1: times that the group came to its limit, a number alone.
    failures: Option<PathBuf>,
}

impl Shortage {
    pub(super) fn of_process() -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::within(&groups, Path::new("/sys/fs/cgroup"), Path::new("/proc/pressure/memory"))
    }

    fn within(groups: &str, root: &Path, machine: &Path) -> Self {
        let machine = Stalls::of(machine.to_owned());
        let Some(own) = group_folder(groups, root) else { return Self { machine, ..Self::default() } };
        let folder = bounding(&own, root);
        let there = |name: &str| Some(folder.join(name)).filter(|path| path.exists());
        let files = GroupFiles {
            bytes: there("memory.current").or_else(|| there("memory.usage_in_bytes")),
            events: there("memory.events").or_else(|| there("memory.oom_control")),
            failures: there("memory.failcnt"),
        };
        Self { machine, group: Stalls::of(folder.join("memory.pressure")), files }
    }

    /// Takes some tens of microseconds.
    pub(super) fn read(&self) -> ShortageReading {
        let mut buffer = [0; SMALL_BYTES];
        let mut number =
            |path: &Option<PathBuf>| read_small(path.as_ref()?, &mut buffer)?.trim().parse::<u64>().ok();
        let (group_bytes, failures) = (number(&self.files.bytes), number(&self.files.failures));
        let events =
            self.files.events.as_ref().and_then(|path| read_small(path, &mut buffer)).map(parse_events);
        let max = failures.unwrap_or_default();
        ShortageReading {
            machine: self.machine.read(),
            group: self.group.read(),
            group_bytes,
            events: events.map(|events| GroupEvents { max: events.max + max, ..events }),
        }
    }
}

/// The group, or the nearest one above it, that has a limit: a group counts what happens at its own limit and at those
/// below it, and nothing of those above.
fn bounding<'f>(own: &'f Path, root: &Path) -> &'f Path {
    let has_limit = |folder: &&Path| {
        let limit = |name: &str| parse_limit(&fs::read_to_string(folder.join(name)).ok()?);
        limit("memory.max").or_else(|| limit("memory.limit_in_bytes")).is_some()
    };
    own.ancestors().take_while(|folder| folder.starts_with(root)).find(has_limit).unwrap_or(own)
}

impl Stalls {
    fn of(path: PathBuf) -> Self {
        if !path.exists() {
            return Self::default();
        }
        Self { trigger: set_trigger(&path), path: Some(path) }
    }

    fn read(&self) -> Option<MemoryStalls> {
        let stalls = parse_psi(read_small(self.path.as_ref()?, &mut [0; SMALL_BYTES])?)?;
        Some(MemoryStalls { has_stalled: self.trigger.as_ref().and_then(has_fired), ..stalls })
    }
}

/// The trigger lasts as long as its file is open.
fn set_trigger(path: &Path) -> Option<File> {
    let mut file = OpenOptions::new().read(true).write(true).open(path).ok()?;
    // Whoever may not set one is answered with an error. A plain file, as tests have it, would take any text.
    let is_special = file.metadata().is_ok_and(|facts| facts.len() == 0);
    (is_special && file.write(TRIGGER).is_ok()).then_some(file)
}

/// Whether the trigger fired since the last look; nothing once its group is gone.
fn has_fired(trigger: &File) -> Option<bool> {
    let mut looked = [PollFd::new(trigger, PollFlags::PRI)];
    poll(&mut looked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).ok()?;
    let found = looked[0].revents();
    (!found.contains(PollFlags::ERR)).then(|| found.contains(PollFlags::PRI))
}

/// `memory.events`, or `memory.oom_control` of version 1.
fn parse_events(text: &str) -> GroupEvents {
    let count = |name: &str| {
        let mut fields = text.lines().filter_map(|line| line.split_once(' '));
        fields
            .find(|(found, _)| *found == name)
            .and_then(|(_, count)| count.trim().parse().ok())
            .unwrap_or_default()
    };
    GroupEvents { high: count("high"), max: count("max"), oom: count("oom"), oom_kill: count("oom_kill") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(parts: &[KernelPart]) -> Vec<(&str, u64, Option<u64>)> {
        parts.iter().map(|part| (part.name.as_str(), part.bytes, part.count)).collect()
    }

    #[test]
    fn figures_of_the_kernel_are_read() {
        let tables = page_tables("VmHWM:\t 9 kB\nVmPTE:\t     120 kB\n").expect("a line");
        assert_eq!((tables.bytes, tables.scope), (120 * KIB, KernelScope::Process));
        let text = "sockets: used 46\nTCP: inuse 6 orphan 0 tw 29 alloc 6 mem 157\nUDP: inuse 0 mem 3\n";
        let buffers = tcp(text, "TCP6: inuse 2\n", 4 * KIB).expect("a line");
        assert_eq!((buffers.bytes, buffers.count), (157 * 4 * KIB, Some(8)));
        assert_eq!(tcp("UDP: inuse 0 mem 3\n", "", 4 * KIB), None);
        let stat = "anon 7\nfile 5\nkernel 60\nkernel_stack 16\nslab_reclaimable 1\nslab 40\nsock 8\n";
        let parts = of_stat(stat, &GROUP_LINES);
        let want = [
            ("slab: inodes, sockets, files", 40, None),
            ("buffers of sockets", 8, None),
            ("kernel stacks", 16, None),
            ("cached files", 5, None),
        ];
        assert_eq!(figures(&parts), want);
    }

    #[test]
    fn the_group_of_either_version_is_found_and_the_machine_is_none() {
        let root = tempfile::tempdir().expect("a folder");
        let make = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        };
        let folder = |groups: &str| group_folder(groups, root.path());
        assert_eq!(folder("0::/\n"), None);
        assert_eq!(folder("no groups"), None);
        make("a/memory.current", "1");
        make("a/memory.stat", "slab 3\n");
        assert_eq!(folder("0::/a\n"), Some(root.path().join("a")));
        assert_eq!(figures(&of_group(&root.path().join("a"))), [("slab: inodes, sockets, files", 3, None)]);
        make("memory/b/memory.kmem.usage_in_bytes", "9\n");
        make("memory/b/memory.stat", "cache 2\n");
        let found = folder("4:cpu,memory:/b\n0::/\n").expect("a folder");
        assert_eq!(figures(&of_group(&found)), [("slab and stacks", 9, None), ("cached files", 2, None)]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_page_tables_and_no_line_comes_twice() {
        let parts = read();
        assert!(parts.iter().any(|part| part.name == "page tables" && part.bytes >= KIB), "{parts:?}");
        let names: std::collections::HashSet<_> = parts.iter().map(|part| (&part.name, part.scope)).collect();
        assert_eq!(names.len(), parts.len(), "{parts:?}");
    }

    /// A folder with the files of a kernel, as they were recorded.
    fn recorded(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        root
    }

    fn reading(groups: &str, root: &tempfile::TempDir) -> ShortageReading {
        Shortage::within(groups, root.path(), &root.path().join("machine")).read()
    }

    const PSI: &str = "some avg10=12.34 avg60=3.00 avg300=1.00 total=123456789\n\
                       full avg10=5.00 avg60=1.00 avg300=0.20 total=23456789\n";
    const EVENTS: &str = "low 0\nhigh 41\nmax 7\noom 2\noom_kill 1\noom_group_kill 0\n";

    #[test]
    fn the_group_that_bounds_the_process_tells_what_came_to_its_limit() {
        let root = recorded(&[
            ("machine", PSI),
            ("pod/memory.max", "67108864\n"),
            ("pod/memory.current", "60000000\n"),
            ("pod/memory.events", EVENTS),
            ("pod/memory.pressure", PSI),
            ("pod/server/memory.max", "max\n"),
            ("pod/server/memory.current", "50000000\n"),
            ("pod/server/memory.events", "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n"),
        ]);
        let stalls = Some(MemoryStalls { some_avg10: 12.34, full_avg10: 5.0, has_stalled: None });
        let want = ShortageReading {
            machine: stalls,
            group: stalls,
            group_bytes: Some(60_000_000),
            events: Some(GroupEvents { high: 41, max: 7, oom: 2, oom_kill: 1 }),
        };
        assert_eq!(reading("0::/pod/server\n", &root), want);
        fs::write(root.path().join("pod/server/memory.max"), "1000\n").expect("written");
        let own = reading("0::/pod/server\n", &root);
        assert_eq!((own.group_bytes, own.events), (Some(50_000_000), Some(GroupEvents::default())));
        assert_eq!(own.group, None, "it has no such file");
    }

    #[test]
    fn version_1_tells_failures_and_kills() {
        let root = recorded(&[
            ("memory/b/memory.kmem.usage_in_bytes", "1\n"),
            ("memory/b/memory.limit_in_bytes", "67108864\n"),
            ("memory/b/memory.usage_in_bytes", "5000\n"),
            ("memory/b/memory.failcnt", "17\n"),
            ("memory/b/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"),
        ]);
        let want = ShortageReading {
            group_bytes: Some(5_000),
            events: Some(GroupEvents { high: 0, max: 17, oom: 0, oom_kill: 3 }),
            ..ShortageReading::default()
        };
        assert_eq!(reading("4:memory:/b\n", &root), want);
    }

    #[test]
    fn what_is_not_there_is_absent() {
        let root = recorded(&[]);
        assert_eq!(reading("", &root), ShortageReading::default());
        assert_eq!(reading("0::/\n", &root), ShortageReading::default());
        let gone = recorded(&[("a/memory.current", "1\n"), ("a/memory.events", "")]);
        let shortage = Shortage::within("0::/a\n", gone.path(), &gone.path().join("machine"));
        assert_eq!(shortage.read().events, Some(GroupEvents::default()));
        fs::remove_dir_all(gone.path().join("a")).expect("removed");
        assert_eq!(shortage.read(), ShortageReading::default());
    }

    /// Where a trigger may be set, an idle look says that nothing, or that something, stalled; never an error.
    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_is_read_as_far_as_it_tells() {
        let shortage = Shortage::of_process();
        let (first, second) = (shortage.read(), shortage.read());
        assert_eq!(first.machine.is_some(), second.machine.is_some());
        if shortage.machine.trigger.is_some() {
            assert!(second.machine.is_some_and(|stalls| stalls.has_stalled.is_some()), "{second:?}");
        }
    }
}
