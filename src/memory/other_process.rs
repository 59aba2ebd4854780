//! What the kernel knows about another process and its children, as sums: servers start workers.
//!
//! Beside `process` and `kernel`, the only reader of `/proc`. On other systems than Linux every figure is absent.

use super::process::{cpu_ms, field_kib};
use std::fs;
use std::time::Duration;

/// A process, and those that it and they started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcessFamily {
    ids: Vec<u32>,
}

impl ProcessFamily {
    /// The family as it is now; `None` when the process is gone.
    pub(crate) fn of(id: u32) -> Option<Self> {
        let mut ids = vec![id];
        let mut next = 0;
        while let Some(id) = ids.get(next).copied() {
            next += 1;
            let Ok(tasks) = fs::read_dir(format!("/proc/{id}/task")) else { continue };
            for task in tasks.flatten() {
                let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
                ids.extend(children.split_ascii_whitespace().filter_map(|child| child.parse::<u32>().ok()));
            }
        }
        fs::exists(format!("/proc/{id}/task")).unwrap_or(false).then_some(Self { ids })
    }

    /// Resident bytes.
    pub(crate) fn rss_bytes(&self) -> Option<u64> {
        self.sum(|id| {
            let statm = fs::read_to_string(format!("/proc/{id}/statm")).ok()?;
            let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
            Some(pages * rustix::param::page_size() as u64)
        })
    }

    /// The most that has been resident since each of them began.
    pub(crate) fn peak_rss_bytes(&self) -> Option<u64> {
        self.sum(|id| field_kib(&fs::read_to_string(format!("/proc/{id}/status")).ok()?, "VmHWM:"))
    }

    /// User and system time so far, in steps of 10 ms.
    pub(crate) fn cpu_time(&self) -> Option<Duration> {
        self.sum(|id| cpu_ms(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?))
            .map(Duration::from_millis)
    }

    /// The processors that the first process may run on, as `0-3,7`.
    pub(crate) fn allowed_cpus(&self) -> Option<String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.ids.first()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        Some(line.trim().to_owned())
    }

    /// Adds up what is known of each; `None` when nothing is.
    fn sum(&self, of: impl Fn(u32) -> Option<u64>) -> Option<u64> {
        self.ids.iter().filter_map(|id| of(*id)).reduce(|sum, one| sum + one)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_and_its_children_are_added_up() {
        // The shell says that its child runs, so that nobody has to wait for it.
        let script = "sleep 60 & echo; wait";
        let mut shell = Command::new("sh")
            .args(["-c", script])
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("a shell");
        let mut byte = [0];
        shell.stdout.take().expect("a pipe").read_exact(&mut byte).expect("started");
        let family = ProcessFamily::of(shell.id()).expect("alive");
        assert_eq!(family.ids.len(), 2, "{family:?}");
        let one = ProcessFamily { ids: vec![shell.id()] };
        // The child is still starting: it becomes another program, whose memory begins anew and grows.
        let adds_up = || {
            let (both, alone) = (family.rss_bytes(), one.rss_bytes());
            both > alone && alone > Some(0) && family.peak_rss_bytes() >= both
        };
        let begun = std::time::Instant::now();
        while !adds_up() {
            assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", family.peak_rss_bytes());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(family.cpu_time().is_some());
        assert!(!family.allowed_cpus().expect("known").is_empty());
        let group = rustix::process::Pid::from_child(&shell);
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).expect("ended");
        shell.wait().expect("ended");
        assert_eq!(ProcessFamily::of(shell.id()), None);
        // Nobody here waits for the child of the shell: somebody else does, at some time.
        let begun = std::time::Instant::now();
        while family.rss_bytes().is_some() {
            assert!(begun.elapsed() < Duration::from_mins(1), "its child was killed, too");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
