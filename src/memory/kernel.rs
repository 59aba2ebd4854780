//! What the kernel holds for this process beside its resident memory: page tables, sockets, and what its control group
//! is charged with.
//!
//! Beside `process`, the only reader of `/proc` and of control groups. None of it is in the resident memory; the kernel
//! counts sockets for a network namespace and the rest for a control group, so other processes may be in a line, which
//! says so ([`KernelScope`]).

use super::report::{KernelPart, KernelScope};
use std::fs;
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
}
