//! A profile that dhat wrote, and its worst sites in words.
//!
//! The format is that of DHAT's viewer, version 2: a table of frames and, for each site that allocated, its
//! counts and the indices of its frames, the innermost first.

use serde::Deserialize;
use std::fmt::Write as _;
use std::path::Path;

/// Sites that the text shows; the file has all.
const SHOWN_SITES: usize = 6;
/// Frames of each that the text shows.
const SHOWN_FRAMES: usize = 14;
/// How frames begin that say how a block was asked for, not by whom; and where such code stands.
const LIBRARY: [&str; 9] =
    ["core::", "<core::", "<&", "alloc::", "<alloc::", "std::", "<std::", "__rustc::", "<dhat::"];
const LIBRARY_FILES: [&str; 4] = [" (alloc/src/", " (core/src/", " (std/src/", " (dhat-"];
/// Longer names, those of generic types, are cut in their middle.
const SHOWN_CHARACTERS: usize = 140;

/// What makes a site worse than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// What was allocated there, whether or not it was freed.
    Allocated,
    /// What lives at the end.
    Live,
    /// What lived when most bytes did.
    Peak,
}

/// A profile of the heap.
#[derive(Debug, Deserialize)]
pub struct Profile {
    #[serde(rename = "ftbl")]
    frames: Vec<String>,
    #[serde(rename = "pps")]
    sites: Vec<Site>,
}

/// A site that allocates, with the way to it.
#[derive(Debug, Deserialize)]
struct Site {
    #[serde(rename = "tbk")]
    allocated_blocks: u64,
    #[serde(rename = "tb")]
    allocated_bytes: u64,
    #[serde(rename = "ebk")]
    live_blocks: u64,
    #[serde(rename = "eb")]
    live_bytes: u64,
    #[serde(rename = "gbk")]
    peak_blocks: u64,
    #[serde(rename = "gb")]
    peak_bytes: u64,
    #[serde(rename = "fs")]
    frames: Vec<usize>,
}

impl Site {
    /// Bytes and blocks.
    fn figure(&self, figure: Figure) -> (u64, u64) {
        match figure {
            Figure::Allocated => (self.allocated_bytes, self.allocated_blocks),
            Figure::Live => (self.live_bytes, self.live_blocks),
            Figure::Peak => (self.peak_bytes, self.peak_blocks),
        }
    }
}

impl Profile {
    /// Reads what dhat wrote.
    ///
    /// # Errors
    /// When there is no file, or it is no profile.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The worst sites by `figure`, in words: how much, and the way from the allocator outwards.
    pub fn worst(&self, figure: Figure) -> String {
        let mut sites: Vec<&Site> = self.sites.iter().filter(|site| site.figure(figure) != (0, 0)).collect();
        sites.sort_by_key(|site| std::cmp::Reverse(site.figure(figure)));
        let mut text = String::new();
        for site in sites.iter().take(SHOWN_SITES) {
            let (bytes, blocks) = site.figure(figure);
            let _ = writeln!(text, "{blocks} blocks, {bytes} B:");
            for frame in self.shown_frames(site) {
                let _ = writeln!(text, "    {frame}");
            }
        }
        match sites.len().saturating_sub(SHOWN_SITES) {
            0 if sites.is_empty() => text.push_str("No site is left to be shown.\n"),
            0 => {}
            more => {
                let _ = writeln!(text, "and {more} sites more");
            }
        }
        text
    }

    /// The frames of a site without their addresses. Those of the standard library are left out, unless there
    /// are no others.
    fn shown_frames(&self, site: &Site) -> Vec<String> {
        let frames = site.frames.iter().filter_map(|index| self.frames.get(*index));
        let named: Vec<&str> =
            frames.map(|frame| frame.split_once(": ").map_or(frame.as_str(), |(_, name)| name)).collect();
        let ours: Vec<&str> = named.iter().copied().filter(|frame| !is_library(frame)).collect();
        let shown = if ours.is_empty() { named } else { ours };
        shown.into_iter().take(SHOWN_FRAMES).map(shortened).collect()
    }
}

fn is_library(frame: &str) -> bool {
    LIBRARY.iter().any(|start| frame.starts_with(start))
        || LIBRARY_FILES.iter().any(|file| frame.contains(file))
}

fn shortened(frame: &str) -> String {
    let characters: Vec<char> = frame.chars().collect();
    if characters.len() <= SHOWN_CHARACTERS {
        return frame.to_owned();
    }
    let half = SHOWN_CHARACTERS / 2;
    let (start, end) = (&characters[..half], &characters[characters.len() - half..]);
    start.iter().chain(&['.'; 3]).chain(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Profile {
        let text = r#"{"dhatFileVersion":2,"ftbl":["[root]","0x1: alloc::vec::grow (a.rs:1:2)","0x2: mine::work (b.rs:3:4)","0x3: std::rt (c.rs:5:6)"],
            "pps":[{"tb":8,"tbk":1,"tl":0,"mb":8,"mbk":1,"gb":0,"gbk":0,"eb":0,"ebk":0,"fs":[1,3]},
                   {"tb":64,"tbk":2,"tl":0,"mb":64,"mbk":2,"gb":64,"gbk":2,"eb":32,"ebk":1,"fs":[1,2,3]}]}"#;
        serde_json::from_str(text).expect("a profile")
    }

    #[test]
    fn the_worst_place_comes_first_with_who_asked() {
        let text = sample().worst(Figure::Allocated);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "2 blocks, 64 B:");
        assert_eq!(lines[1], "    mine::work (b.rs:3:4)");
        assert_eq!(lines[2], "1 blocks, 8 B:");
        assert_eq!(lines[3], "    alloc::vec::grow (a.rs:1:2)", "a site with library frames only keeps them");
    }

    #[test]
    fn what_was_freed_is_not_shown_as_live() {
        let text = sample().worst(Figure::Live);
        assert!(text.starts_with("1 blocks, 32 B:") && !text.contains("8 B"), "{text}");
    }

    #[test]
    fn a_long_name_is_cut_in_its_middle() {
        let long = format!("mine::work<{}> (b.rs:3:4)", "Chain<".repeat(90));
        let cut = shortened(&long);
        assert_eq!(cut.chars().count(), SHOWN_CHARACTERS + 3);
        assert!(cut.starts_with("mine::work<Chain<") && cut.ends_with("> (b.rs:3:4)"), "{cut}");
    }

    #[test]
    fn what_is_no_profile_is_said_to_be_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("dhat-heap.json");
        assert!(Profile::read(&path).expect_err("no file").contains("dhat-heap.json"));
        std::fs::write(&path, "{}").expect("a file");
        assert!(Profile::read(&path).expect_err("no profile").contains("ftbl"));
    }
}
