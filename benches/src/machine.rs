//! What figures were taken on: processor, kernel, tools, and when.

use crate::supply::said;
use std::fs;

/// Names and values, in the order in which they are told.
pub fn facts() -> Vec<(&'static str, String)> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let processor = field(&read("/proc/cpuinfo"), "model name").unwrap_or("unknown").to_owned();
    let memory =
        field(&read("/proc/meminfo"), "MemTotal").and_then(|text| text.split(' ').next()?.parse().ok());
    let gibibytes = memory.map_or(0.0, |kib: f64| kib / 1024.0 / 1024.0);
    vec![
        ("date", said("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
        ("processor", format!("{processor}, {cores} cores")),
        ("memory", format!("{gibibytes:.0} GiB")),
        ("kernel", format!("Linux {}", read("/proc/sys/kernel/osrelease").trim())),
        ("load before", read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()),
        ("rustc", said("rustc", &["--version"]).replace("rustc ", "")),
        ("node", said("node", &["--version"])),
        ("python", said("python3", &["--version"]).replace("Python ", "")),
    ]
}

/// The value of the first line of that name in a file of `/proc`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_name() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: Other\n";
        assert_eq!(field(text, "model name"), Some("Some CPU @ 2 GHz"));
        assert_eq!(field(text, "cache"), None);
    }

    #[test]
    fn the_machine_is_told() {
        let facts = facts();
        let value = |name| facts.iter().find(|fact| fact.0 == name).map(|fact| fact.1.as_str());
        assert!(value("kernel").is_some_and(|kernel| kernel.len() > "Linux ".len()), "{facts:?}");
        assert!(value("memory").is_some_and(|memory| memory != "0 GiB"), "{facts:?}");
    }
}
