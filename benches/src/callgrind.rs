//! Instructions, as callgrind (valgrind) counts them: by function and by source file.
//!
//! A count is the same from run to run where the program does the same, so two runs of different length give what one
//! more request costs: all else is subtracted. The kernel's instructions are not seen, and valgrind has no AVX-512:
//! code that picks its path at run time picks the one for AVX2. It would count `rep movsb` once for each byte, so the C
//! library is asked to copy without it.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::process::Command;

/// Where instructions were spent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// The function that the linker knows; what was inlined into it counts as it.
    pub function: String,
    /// The source file, which inlining does not hide.
    pub file: String,
}

/// Instructions by location.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    locations: HashMap<Location, i64>,
}

impl Profile {
    /// Reads what callgrind wrote.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(Self::parse(&std::fs::read_to_string(path)?))
    }

    /// Reads callgrind's format: the cost of a call is a line of its own behind `calls=`, and counts where it was
    /// spent, not where it was called from.
    fn parse(text: &str) -> Self {
        let mut names = [HashMap::new(), HashMap::new()];
        let mut location = Location { function: String::new(), file: String::new() };
        let mut locations = HashMap::new();
        let mut is_of_call = false;
        for line in text.lines() {
            if let Some((key, value)) = line.split_once('=') {
                match key {
                    "fl" | "fi" | "fe" => location.file = name(&mut names[0], value),
                    "fn" => location.function = name(&mut names[1], value),
                    "cfi" | "cfl" => drop(name(&mut names[0], value)),
                    "cfn" => drop(name(&mut names[1], value)),
                    "calls" => is_of_call = true,
                    _ => {}
                }
            } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first))
                && !std::mem::take(&mut is_of_call)
                && let Some(cost) =
                    line.split_ascii_whitespace().nth(1).and_then(|cost| cost.parse::<i64>().ok())
            {
                *locations.entry(location.clone()).or_default() += cost;
            }
        }
        Self { locations }
    }

    /// What `self` has more than `shorter`, a `requests`-th of it.
    #[must_use]
    pub fn per_request(&self, shorter: &Self, requests: usize) -> Costs {
        let mut costs: HashMap<Location, f64> = HashMap::new();
        for (profile, sign) in [(self, 1.0), (shorter, -1.0)] {
            for (location, instructions) in &profile.locations {
                *costs.entry(location.clone()).or_default() += sign * *instructions as f64 / requests as f64;
            }
        }
        Costs { costs }
    }
}

/// The name behind `(number) name`; the number alone stands for the name it had first.
fn name(names: &mut HashMap<String, String>, value: &str) -> String {
    match value.split_once(") ") {
        Some((number, name)) => names.entry(number.to_owned()).or_insert_with(|| name.to_owned()).clone(),
        None => names.get(value.trim_end_matches(')')).cloned().unwrap_or_else(|| value.to_owned()),
    }
}

/// Instructions a request, by location.
#[derive(Debug, Clone, Default)]
pub struct Costs {
    costs: HashMap<Location, f64>,
}

impl Costs {
    /// All of them.
    pub fn total(&self) -> f64 {
        self.costs.values().sum()
    }

    /// The dearest functions.
    pub fn functions(&self, most: usize) -> Vec<(String, f64)> {
        self.by(most, |location| location.function.clone())
    }

    /// The dearest source files.
    pub fn files(&self, most: usize) -> Vec<(String, f64)> {
        self.by(most, |location| short(&location.file).to_owned())
    }

    fn by(&self, most: usize, key: impl Fn(&Location) -> String) -> Vec<(String, f64)> {
        let mut sums: HashMap<String, f64> = HashMap::new();
        for (location, cost) in &self.costs {
            *sums.entry(key(location)).or_default() += cost;
        }
        let mut sums: Vec<_> = sums.into_iter().filter(|(_, cost)| *cost >= 0.5).collect();
        sums.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        sums.truncate(most);
        sums
    }
}

/// A path without what lies above the package that it is in.
fn short(path: &str) -> &str {
    let package = path.rfind("/src/").map_or(0, |at| path[..at].rfind('/').map_or(0, |slash| slash + 1));
    &path[package..]
}

/// `command` as callgrind runs it, writing to `out`.
pub fn under_callgrind(command: &Command, out: &Path) -> Command {
    let mut valgrind = Command::new("valgrind");
    // It would say each time that it does not know a system call.
    valgrind.args(["--tool=callgrind", "--quiet", "--log-file=/dev/null", "--dump-instr=no"]);
    valgrind.arg(format!("--callgrind-out-file={}", out.display()));
    valgrind.env("GLIBC_TUNABLES", "glibc.cpu.x86_rep_movsb_threshold=1073741824");
    valgrind.arg(command.get_program()).args(command.get_args());
    valgrind
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "\
version: 1
creator: callgrind-3.19.0
events: Ir
fl=(1) /home/a/mcpool/src/server/serve.rs
fn=(1) serve
10 300
fi=(2) /home/a/registry/bumpalo-3.20.0/src/lib.rs
+2 40
fe=(1)
-1 5
cfi=(3) /home/a/mcpool/src/wire/encode.rs
cfn=(2) write
calls=7 20
* 1000
* 2

fl=(3)
fn=(2)
20 1000
summary: 1347
";

    #[test]
    fn each_instruction_counts_once_and_where_it_was_spent() {
        let costs = Profile::parse(PROFILE).per_request(&Profile::default(), 1);
        assert_eq!(costs.total().to_bits(), 1347.0_f64.to_bits());
        assert_eq!(costs.functions(9), [("write".to_owned(), 1000.0), ("serve".to_owned(), 347.0)]);
        let files = [
            ("mcpool/src/wire/encode.rs".to_owned(), 1000.0),
            ("mcpool/src/server/serve.rs".to_owned(), 307.0),
            ("bumpalo-3.20.0/src/lib.rs".to_owned(), 40.0),
        ];
        assert_eq!(costs.files(9), files);
    }

    #[test]
    fn what_both_runs_have_is_no_cost_of_a_request() {
        let longer = Profile::parse(&PROFILE.replace("20 1000", "20 1500"));
        let costs = longer.per_request(&Profile::parse(PROFILE), 10);
        assert_eq!(costs.functions(9), [("write".to_owned(), 50.0)]);
    }
}
