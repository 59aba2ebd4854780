//! The tools `list_directory`, `list_directory_with_sizes` and `list_allowed_directories`.

use super::answer_space::AnswerSpace;
use super::arguments::{ListWithSizes, Nothing, Path, SortBy};
use super::as_node::collate;
use super::context::Context;
use super::error::{FsError, Stop};
use super::held::HeldMemory;
use super::sandbox::access::Sandbox;
use super::sandbox::listing::{self, Entry, Kind, LIST};
use super::sandbox::target::Target;
use crate::server::CallContext;
use crate::wire::MemoryLack;
use rustix::fd::OwnedFd;
use rustix::fs::AtFlags;
use std::borrow::Cow;
use std::fmt::Write as _;

/// `list_directory`.
pub(crate) fn list_directory(
    arguments: &Path<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let space = AnswerSpace::of(call.limits(), context.copies);
    HeldMemory::with(call, |held, call| {
        let (_, _, entries) = open_sorted(context.sandbox, arguments.path, space, held)?;
        call.text_with(|text| {
            for (index, entry) in entries.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "\n" });
                text.push_str(tag(entry.kind));
                text.push_str(" ");
                text.push_lossy(&entry.name);
            }
        });
        call.structured_from_text();
        Ok(())
    })
}

fn open_sorted(
    sandbox: &Sandbox,
    request: &str,
    space: AnswerSpace,
    held: &HeldMemory,
) -> Result<(OwnedFd, Target, Vec<Entry>), FsError> {
    let (directory, target) = sandbox.open_resolved(request, LIST, "scandir")?;
    let goes_on = |entries, bytes| {
        sandbox.spend(1)?;
        space.check_names(bytes)?;
        held.hold_names(entries, bytes)
    };
    let entries = listing::sorted_while(&directory, target.path(), goes_on)?;
    Ok((directory, target, entries))
}

/// Marks directories. Links count as files, wherever they lead.
fn tag(kind: Kind) -> &'static str {
    if kind == Kind::Directory { "[DIR]" } else { "[FILE]" }
}

/// Bytes for each entry that is sorted, beside its name: itself, what is shown of it, and the references to that.
const SORTED_BYTES: usize = 272;
/// Bytes in memory for each byte of its name: itself, and seven of the key by which it is sorted.
const SORTED_NAMES: usize = 8;

/// What is shown of an entry.
struct Sized<'a> {
    name: Cow<'a, str>,
    is_directory: bool,
    bytes: u64,
}

/// `list_directory_with_sizes`.
pub(crate) fn list_with_sizes(
    arguments: &ListWithSizes<'_>,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    HeldMemory::with(call, |held, call| list_sized(arguments, context, held, call))
}

fn list_sized(
    arguments: &ListWithSizes<'_>,
    context: &Context<'_>,
    held: &HeldMemory,
    call: &mut CallContext,
) -> Result<(), Stop> {
    let space = AnswerSpace::of(call.limits(), context.copies);
    let (directory, target, entries) = open_sorted(context.sandbox, arguments.path, space, held)?;
    let held_bytes = entries.iter().map(|entry| SORTED_BYTES + SORTED_NAMES * entry.name.len()).sum();
    let _memory = call
        .reserve_memory(held_bytes)
        .map_err(|spent| FsError::OutOfMemory(MemoryLack::of(spent, held_bytes)))?;
    let mut sized: Vec<Sized<'_>> = entries
        .iter()
        .map(|entry| Sized {
            name: String::from_utf8_lossy(&entry.name),
            is_directory: entry.kind == Kind::Directory,
            bytes: size(context.sandbox, &directory, &target, entry),
        })
        .collect();
    match arguments.sort_by {
        SortBy::Name => sized.sort_by_cached_key(|entry| collate::key(&entry.name)),
        SortBy::Size => sized.sort_by_key(|entry| std::cmp::Reverse(entry.bytes)),
    }
    let (directories, files): (Vec<&Sized<'_>>, Vec<&Sized<'_>>) =
        sized.iter().partition(|entry| entry.is_directory);
    call.text_with(|text| {
        for entry in &sized {
            text.push_str(if entry.is_directory { "[DIR] " } else { "[FILE] " });
            text.push_str(&entry.name);
            // The width counts UTF-16 units, as in the reference.
            let width = entry.name.encode_utf16().count();
            text.push_str(&" ".repeat(30_usize.saturating_sub(width)));
            if entry.is_directory {
                text.push_str(" \n");
            } else {
                // Writing into an answer does not fail.
                let _ = writeln!(text, " {:>10}", format_size(entry.bytes));
            }
        }
        let total = files.iter().map(|entry| entry.bytes).sum();
        let _ = write!(
            text,
            "\nTotal: {} files, {} directories\nCombined size: {}",
            files.len(),
            directories.len(),
            format_size(total),
        );
    });
    call.structured_from_text();
    Ok(())
}

/// The size of what an entry leads to; zero for what does not exist or lies outside.
fn size(sandbox: &Sandbox, directory: &OwnedFd, target: &Target, entry: &Entry) -> u64 {
    let bytes = |stat: rustix::fs::Stat| u64::try_from(stat.st_size).unwrap_or(0);
    if entry.kind != Kind::Link {
        return rustix::fs::statat(directory, &entry.name[..], AtFlags::SYMLINK_NOFOLLOW).map_or(0, bytes);
    }
    sandbox
        .follow(target, &entry.name)
        .ok()
        .and_then(|linked| rustix::fs::fstat(&linked).ok())
        .map_or(0, bytes)
}

/// A size as the reference words it, in powers of 1,024.
fn format_size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = (bytes.ilog2() / 10).min(4);
    format!("{:.2} {}", bytes as f64 / 1024_f64.powi(power.cast_signed()), UNITS[power as usize - 1])
}

/// `list_allowed_directories`.
#[allow(clippy::trivially_copy_pass_by_ref, clippy::unnecessary_wraps, reason = "all tools have this shape")]
pub(crate) fn list_allowed(
    _arguments: &Nothing,
    context: &Context<'_>,
    call: &mut CallContext,
) -> Result<(), Stop> {
    call.text_with(|text| {
        text.push_str("Allowed directories:\n");
        let mut is_first = true;
        context.sandbox.directories().each_listed(|path| {
            text.push_str(if std::mem::take(&mut is_first) { "" } else { "\n" });
            text.push_lossy(path);
        });
    });
    call.structured_from_text();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_in_the_reference() {
        for (bytes, want) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KB"),
            (1_048_575, "1024.00 KB"),
            (1_048_576, "1.00 MB"),
            (1_234_567_890, "1.15 GB"),
            (1 << 40, "1.00 TB"),
            (1 << 50, "1024.00 TB"),
        ] {
            assert_eq!(format_size(bytes), want);
        }
    }
}
