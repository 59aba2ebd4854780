//! What this build is: `mcpool --version`, and more of it with `--verbose`.

use crate::protocol::Revision;
use std::fmt;

/// Every cargo feature, and whether this build has it: cargo tells a program of single features only.
macro_rules! features {
    ($($name:literal)+) => {
        const FEATURES: &[(&str, bool)] = &[$(($name, cfg!(feature = $name))),+];
    };
}

features! {
    "cli" "client" "everything" "fetch" "filesystem" "full" "git" "load" "macros" "memory" "oauth" "otel" "report"
    "socket-activation" "thinking" "time" "tls" "tower" "validation" "webhook"
}

/// The version of the program, as the first line of both answers.
pub(super) const SHORT: &str = concat!("mcpool ", env!("CARGO_PKG_VERSION"));

/// All that is known of this build, a line for each fact.
pub(super) struct Verbose;

impl fmt::Display for Verbose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use std::env::consts::{ARCH, OS};
        writeln!(f, "{SHORT}")?;
        // Whoever builds a release sets it; a build from the registry has no repository.
        writeln!(f, "commit: {}", option_env!("MCPOOL_COMMIT").unwrap_or("unknown"))?;
        let library = match (cfg!(target_env = "gnu"), cfg!(target_env = "musl")) {
            (true, _) => "-gnu",
            (_, true) => "-musl",
            _ => "",
        };
        let linked = if cfg!(target_feature = "crt-static") { "static" } else { "dynamic" };
        writeln!(f, "target: {ARCH}-{OS}{library}, {linked}")?;
        writeln!(f, "build: {}", if cfg!(debug_assertions) { "debug" } else { "release" })?;
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for (name, is_in) in FEATURES {
            if *is_in { with.push(*name) } else { without.push(*name) }
        }
        writeln!(f, "features: {}", with.join(", "))?;
        if !without.is_empty() {
            writeln!(f, "not in this build: {}", without.join(", "))?;
        }
        let revisions: Vec<_> = Revision::ALL.iter().rev().map(|revision| revision.as_str()).collect();
        writeln!(f, "protocol: {}", revisions.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_of_the_manifest_is_named() {
        let manifest: toml::Table = include_str!("../../Cargo.toml").parse().expect("a manifest");
        let features = manifest["features"].as_table().expect("features");
        let named: Vec<_> = FEATURES.iter().map(|(name, _)| *name).collect();
        let known: Vec<_> = features.keys().map(String::as_str).filter(|name| *name != "default").collect();
        assert_eq!(named.iter().collect::<std::collections::BTreeSet<_>>(), known.iter().collect());
    }

    #[test]
    fn a_build_says_what_it_is() {
        let text = Verbose.to_string();
        for want in
            ["mcpool 0.", "\ncommit: ", "\ntarget: ", "\nfeatures: cli, client", "\nprotocol: ", "2026-07-28"]
        {
            assert!(text.contains(want), "{want}: {text}");
        }
    }
}
