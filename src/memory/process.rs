//! What the kernel knows about this process. Beside `kernel` and `other_process`, the only reader of `/proc` and of control groups.
//!
//! On other systems than Linux every figure is absent. Reading and parsing are apart, so that tests need no kernel.

use super::sample::MemoryStalls;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

const KIB: u64 = 1024;
/// Largest guard below a stack of a thread.
const MAX_GUARD_BYTES: u64 = 64 * KIB;

/// The process in sums.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Process {
    pub(crate) rss_bytes: Option<u64>,
    pub(crate) pss_bytes: Option<u64>,
    pub(crate) private_bytes: Option<u64>,
    pub(crate) peak_rss_bytes: Option<u64>,
    pub(crate) huge_page_bytes: Option<u64>,
    /// Private pages of files: the program and its libraries, with their variables.
    pub(crate) program_bytes: Option<u64>,
    /// Pages that other processes use as well: mostly text of the program and its libraries. Which of them count here
    /// depends on who else runs the same files.
    pub(crate) shared_bytes: Option<u64>,
    /// Pages of the program and its libraries that are not in memory yet.
    pub(crate) unread_program_bytes: Option<u64>,
    pub(crate) stack_bytes: Option<u64>,
    /// Private pages that belong to no file and no stack: the allocator's.
    pub(crate) heap_area_bytes: Option<u64>,
    pub(crate) threads: Option<u64>,
    pub(crate) open_descriptors: Option<u64>,
    pub(crate) cpu_ms: Option<u64>,
}

impl Process {
    /// Reads everything; takes some tenths of a millisecond.
    pub(crate) fn read() -> Self {
        let mut process =
            fs::read_to_string("/proc/self/smaps").map(|text| of_smaps(&text)).unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        process.peak_rss_bytes = field_kib(&status, "VmHWM:");
        process.threads = field(&status, "Threads:");
        process.open_descriptors = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64);
        process.cpu_ms = fs::read_to_string("/proc/self/stat").ok().and_then(|text| cpu_ms(&text));
        process
    }

    /// Reads the resident bytes alone; takes a few microseconds.
    pub(crate) fn rss_bytes() -> Option<u64> {
        Self::resident_bytes().map(|(all, _)| all)
    }

    /// Reads the resident bytes, and those of them that belong to no file: as quickly.
    pub(crate) fn resident_bytes() -> Option<(u64, u64)> {
        let mut buffer = [0; SMALL_BYTES];
        let mut pages = read_small("/proc/self/statm", &mut buffer)?.split_ascii_whitespace().skip(1);
        let mut bytes = || Some(pages.next()?.parse::<u64>().ok()? * rustix::param::page_size() as u64);
        let (all, of_files) = (bytes()?, bytes()?);
        Some((all, all.saturating_sub(of_files)))
    }
}

/// The number after a name, as in `/proc/self/status`.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

pub(super) fn field_kib(text: &str, name: &str) -> Option<u64> {
    field(text, name).map(|kib| kib * KIB)
}

/// User and system time. The kernel counts them in hundredths of a second, whatever its timer frequency is.
pub(super) fn cpu_ms(stat: &str) -> Option<u64> {
    // The name of the program stands in parentheses and may contain anything.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    Some((user + system) * 10)
}

/// What the pages of a mapping are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Program,
    Stack,
    Heap,
}

/// The head line of a mapping.
struct Mapping<'t> {
    start: u64,
    end: u64,
    permissions: &'t str,
    name: &'t str,
}

fn mapping(line: &str) -> Option<Mapping<'_>> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
    let permissions = words.next()?;
    Some(Mapping { start, end, permissions, name: words.nth(3).unwrap_or_default() })
}

impl Mapping<'_> {
    /// `before` is the mapping below it.
    fn used_for(&self, before: Option<&Mapping<'_>>) -> Use {
        let touching = before.filter(|before| before.end == self.start);
        match (self.name, touching) {
            ("[stack]", _) => Use::Stack,
            (name, _) if name.starts_with('/') => Use::Program,
            // The pages of zero-initialised variables follow those of the file.
            ("", Some(before)) if before.name.starts_with('/') => Use::Program,
            ("", Some(before))
                if before.permissions.starts_with("---")
                    && before.name.is_empty()
                    && before.end - before.start <= MAX_GUARD_BYTES =>
            {
                Use::Stack
            }
            _ => Use::Heap,
        }
    }
}

/// Whether the missing pages of a mapping may still be read: those of the program, unless nobody may access them.
fn is_unread(mapping: &Mapping<'_>, used_for: Use) -> bool {
    used_for == Use::Program && !mapping.permissions.starts_with("---")
}

/// Adds up the mappings of `/proc/self/smaps` by what they are for.
fn of_smaps(text: &str) -> Process {
    let (mut rss, mut pss, mut huge) = (0, 0, 0);
    let (mut program, mut unread, mut stack, mut heap, mut shared) = (0_u64, 0_u64, 0, 0, 0);
    let mut current: Option<(Mapping<'_>, Use)> = None;
    for line in text.lines() {
        if let Some(next) = mapping(line) {
            let used_for = next.used_for(current.as_ref().map(|(mapping, _)| mapping));
            current = Some((next, used_for));
            continue;
        }
        let Some((mapping, used_for)) = &current else { continue };
        let Some((name, value)) = line.split_once(':') else { continue };
        let number = value.split_ascii_whitespace().next().and_then(|number| number.parse::<u64>().ok());
        let bytes = number.unwrap_or_default() * KIB;
        match name {
            "Size" if is_unread(mapping, *used_for) => unread += bytes,
            "Rss" => {
                rss += bytes;
                if is_unread(mapping, *used_for) {
                    unread = unread.saturating_sub(bytes);
                }
            }
            "Pss" => pss += bytes,
            "AnonHugePages" => huge += bytes,
            "Private_Clean" | "Private_Dirty" => match used_for {
                Use::Program => program += bytes,
                Use::Stack => stack += bytes,
                Use::Heap => heap += bytes,
            },
            "Shared_Clean" | "Shared_Dirty" => shared += bytes,
            _ => {}
        }
    }
    if rss == 0 {
        return Process::default();
    }
    Process {
        rss_bytes: Some(rss),
        pss_bytes: Some(pss),
        private_bytes: Some(program + stack + heap),
        huge_page_bytes: Some(huge),
        program_bytes: Some(program),
        shared_bytes: Some(shared),
        unread_program_bytes: Some(unread),
        stack_bytes: Some(stack),
        heap_area_bytes: Some(heap),
        ..Process::default()
    }
}

/// The lowest memory limit of the control groups that the process is in, of either version.
pub(crate) fn cgroup_limit_bytes() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let files = limit_files(&groups, Path::new("/sys/fs/cgroup"));
    files.iter().filter_map(|file| parse_limit(&fs::read_to_string(file).ok()?)).min()
}

/// The files that may hold a limit: those of the group and of all groups above it.
fn limit_files(groups: &str, root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (roots, file): (&[PathBuf], _) = if controllers.is_empty() {
            (&[root.to_owned(), root.join("unified")], "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            (&[root.join("memory")], "memory.limit_in_bytes")
        } else {
            continue;
        };
        for root in roots {
            let own = root.join(path.trim_start_matches('/'));
            files.extend(own.ancestors().take_while(|at| at.starts_with(root)).map(|at| at.join(file)));
        }
    }
    files
}

/// `max` means no limit, and so does a number beyond any memory, which version 1 has for it.
pub(super) fn parse_limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes < 1 << 60)
}

/// Memory of the machine.
pub(crate) fn physical_bytes() -> Option<u64> {
    field_kib(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

/// The most that the kernel keeps for one TCP socket in that direction, `tcp_wmem` or `tcp_rmem`; 4 MiB where it does
/// not tell.
pub(crate) fn socket_buffer_bytes(name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap_or_default();
    text.split_ascii_whitespace().nth(2).and_then(|most| most.parse().ok()).unwrap_or(4 * KIB * KIB)
}

/// Processor time that this process has used, in milliseconds: as quickly as a clock is read.
pub(super) fn cpu_time_ms() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000 + time.tv_nsec as u64 / 1_000_000
}

/// Longest of the files that are read each second, into a buffer on the stack.
pub(super) const SMALL_BYTES: usize = 256;

pub(super) fn read_small(path: impl AsRef<Path>, buffer: &mut [u8; SMALL_BYTES]) -> Option<&str> {
    let bytes = fs::File::open(path).ok()?.read(buffer).ok()?;
    std::str::from_utf8(buffer.get(..bytes)?).ok()
}

/// The machine as a whole has no line `full` with old kernels.
pub(super) fn parse_psi(text: &str) -> Option<MemoryStalls> {
    let share = |kind: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(kind))?;
        line.split_ascii_whitespace().find_map(|word| word.strip_prefix("avg10="))?.parse().ok()
    };
    Some(MemoryStalls {
        some_avg10: share("some ")?,
        full_avg10: share("full ").unwrap_or_default(),
        has_stalled: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
55d0c0000000-55d0c0001000 rw-p 00001000 08:01 99 /usr/bin/mcpool
Size:                 20 kB
Rss:                   8 kB
Pss:                   6 kB
Shared_Clean:          3 kB
Shared_Dirty:          1 kB
Private_Clean:         1 kB
Private_Dirty:         3 kB
55d0c0001000-55d0c0002000 rw-p 00000000 00:00 0
Rss:                   4 kB
Private_Dirty:         4 kB
7f0000000000-7f0000001000 ---p 00000000 00:00 0
Rss:                   0 kB
7f0000001000-7f0000201000 rw-p 00000000 00:00 0
Rss:                  16 kB
Private_Dirty:        16 kB
7f1000000000-7f1000400000 rw-p 00000000 00:00 0
Rss:                 100 kB
Pss:                 100 kB
AnonHugePages:        64 kB
Private_Dirty:       100 kB
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0 [stack]
Rss:                  12 kB
Private_Dirty:        12 kB
";

    #[test]
    fn pages_are_added_up_by_their_use() {
        let process = of_smaps(SMAPS);
        let kib = |bytes: Option<u64>| bytes.map(|bytes| bytes / KIB);
        assert_eq!(kib(process.program_bytes), Some(8), "the file and the zeros behind it");
        assert_eq!(kib(process.unread_program_bytes), Some(8), "of 20 KiB of the file 12 are there");
        assert_eq!(kib(process.stack_bytes), Some(28), "above a guard, and the first thread's");
        assert_eq!(kib(process.heap_area_bytes), Some(100));
        assert_eq!((kib(process.private_bytes), kib(process.shared_bytes)), (Some(136), Some(4)));
        assert_eq!((kib(process.rss_bytes), kib(process.pss_bytes)), (Some(140), Some(106)));
        assert_eq!(kib(process.huge_page_bytes), Some(64));
        assert_eq!(of_smaps("not what it was"), Process::default());
    }

    #[test]
    fn limits_of_all_groups_above_count() {
        let root = Path::new("/c");
        let v1 = limit_files("4:memory:/a/b\n1:cpu:/a\n", root);
        let want = ["/c/memory/a/b", "/c/memory/a", "/c/memory"];
        assert_eq!(v1, want.map(|at| Path::new(at).join("memory.limit_in_bytes")));
        let v2 = limit_files("0::/x\n", root);
        let want = ["/c/x", "/c", "/c/unified/x", "/c/unified"];
        assert_eq!(v2, want.map(|at| Path::new(at).join("memory.max")));
        for (text, want) in [("max\n", None), ("67108864\n", Some(64 << 20)), ("9223372036854771712\n", None)]
        {
            assert_eq!(parse_limit(text), want);
        }
    }

    #[test]
    fn small_texts_are_read() {
        let psi =
            "some avg10=1.25 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.50 avg60=0 avg300=0 total=0\n";
        assert_eq!(
            parse_psi(psi),
            Some(MemoryStalls { some_avg10: 1.25, full_avg10: 0.5, has_stalled: None })
        );
        let old = "some avg10=2.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(
            parse_psi(old),
            Some(MemoryStalls { some_avg10: 2.0, full_avg10: 0.0, has_stalled: None })
        );
        assert_eq!(parse_psi("full avg10=1 total=0\n"), None);
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1 0 9";
        assert_eq!(cpu_ms(stat), Some(2_000));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_seen() {
        let block = std::hint::black_box(vec![1_u8; 32 << 20]);
        let process = Process::read();
        drop(block);
        let heap = process.heap_area_bytes.expect("seen");
        assert!(heap >= 32 << 20, "{heap}");
        let (private, rss) = (process.private_bytes.expect("seen"), process.rss_bytes.expect("seen"));
        assert!(heap < private && private <= rss, "{heap} {private} {rss}");
        assert!(process.stack_bytes.expect("seen") > 0 && process.program_bytes.expect("seen") > 0);
        assert_eq!(private + process.shared_bytes.expect("seen"), rss, "each page is one or the other");
        assert!(process.threads.expect("seen") >= 2 && process.open_descriptors.expect("seen") >= 3);
        let now = Process::rss_bytes().expect("seen");
        assert!(now > 1 << 20 && physical_bytes().expect("seen") > now);
    }
}
