//! The tools `list_directory`, `list_directory_with_sizes` and `list_allowed_directories`.

use super::answer_space::AnswerSpace;
use super::arguments::{ListWithSizes, Nothing, Path, SortBy};
use super::as_node::collate;
use super::compat::Compat;
use super::context::Context;
use super::cut::Cut;
use super::error::{FsError, Stop};
use super::held::HeldMemory;
use super::numbers::counted;
use super::sandbox::access::Sandbox;
use super::sandbox::listing::{self, Entry, Kind, LIST};
use super::sandbox::target::Target;
use crate::server::{CallContext, TextBlock};
use crate::wire::{MemoryLack, escaped_bytes};
use rustix::fd::OwnedFd;
use rustix::fs::AtFlags;
use rustix::io::Errno;
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
        let (entries, left) = open_and_read(context, arguments.path, space, held)?;
        let mut cut = Cut::new(space, context.compat);
        for (index, entry) in entries.iter().enumerate() {
            let bytes = tag(entry.kind).len() + 1 + escaped_bytes(&entry.name) + escaped_bytes(b"\n");
            cut.takes(index, bytes, 0);
        }
        let (shown, left) = shown_and_left(cut, entries.len(), left);
        call.text_with(|text| {
            for (index, entry) in entries.iter().take(shown).enumerate() {
                text.push_str(if index == 0 { "" } else { "\n" });
                text.push_str(tag(entry.kind));
                text.push_str(" ");
                text.push_lossy(&entry.name);
            }
            text.push_str(&note(left, space));
        });
        call.structured_from_text();
        Ok(())
    })
}

/// An open directory, and its entries.
struct Opened {
    directory: OwnedFd,
    target: Target,
    entries: Vec<Entry>,
    /// How many more there are, behind these in byte order.
    left: u64,
}

/// Opens a directory as the request names it, which takes half of the system calls, and reads its entries and how many are
/// left. Where it cannot be opened so, the long way says why, or finds it.
fn open_and_read(
    context: &Context<'_>,
    request: &str,
    space: AnswerSpace,
    held: &HeldMemory,
) -> Result<(Vec<Entry>, u64), FsError> {
    let sandbox = context.sandbox;
    let Ok(directory) = sandbox.open(request, LIST)? else {
        return open_sorted(context, request, space, held)
            .map(|Opened { entries, left, .. }| (entries, left));
    };
    let named = |errno| match sandbox.resolve(request) {
        Ok(target) => FsError::os(errno, "scandir", target.path()),
        Err(error) => error,
    };
    read_sorted(context, &directory, (space, held), named)
}

fn open_sorted(
    context: &Context<'_>,
    request: &str,
    space: AnswerSpace,
    held: &HeldMemory,
) -> Result<Opened, FsError> {
    let (directory, target) = context.sandbox.open_resolved(request, LIST, "scandir")?;
    let named = |errno| FsError::os(errno, "scandir", target.path());
    let (entries, left) = read_sorted(context, &directory, (space, held), named)?;
    Ok(Opened { directory, target, entries, left })
}

/// The entries of a directory that may be shown, and how many are left.
fn read_sorted(
    context: &Context<'_>,
    directory: &OwnedFd,
    (space, held): (AnswerSpace, &HeldMemory),
    named: impl FnOnce(Errno) -> FsError,
) -> Result<(Vec<Entry>, u64), FsError> {
    // More names than fit into the answer need not be held, where it may be cut.
    let is_part = context.compat == Compat::Default;
    let most_bytes = if is_part { space.text_bytes() } else { usize::MAX };
    let goes_on = |entries, bytes| {
        context.sandbox.spend(1)?;
        if !is_part {
            space.check_names(bytes)?;
        }
        held.hold_names(entries, bytes)
    };
    listing::first_while(directory, most_bytes, goes_on, named)
}

/// How many of the entries are shown, and how many are left with those that were never held.
fn shown_and_left(mut cut: Cut<usize>, entries: usize, left: u64) -> (usize, u64) {
    cut.with_note(left > 0);
    cut.at().map_or((entries, left), |(shown, behind)| (shown, left + behind))
}

/// What is said of entries that are left. A search of the directory holds no more of its names than that.
fn note(left: u64, space: AnswerSpace) -> String {
    if left == 0 {
        return String::new();
    }
    format!(
        "\n\n[{} left, as an answer may have no more bytes (max_reply_bytes): all of them take a \
         greater one; search_files in this directory shows those that match a pattern, of the first names in byte order \
         that have {} bytes together]",
        counted(left, "more entry is", "more entries are"),
        space.names_bytes()
    )
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

impl Sized<'_> {
    fn line(&self) -> String {
        // The width counts UTF-16 units, as in the reference.
        let width = self.name.encode_utf16().count();
        let blanks = " ".repeat(30_usize.saturating_sub(width));
        if self.is_directory {
            format!("[DIR] {}{blanks} \n", self.name)
        } else {
            format!("[FILE] {}{blanks} {:>10}\n", self.name, format_size(self.bytes))
        }
    }
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
    let Opened { directory, target, entries, left: unheld } =
        open_sorted(context, arguments.path, space, held)?;
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
    let mut cut = Cut::new(space, context.compat);
    cut.add(TOTAL_BYTES);
    for (index, entry) in sized.iter().enumerate() {
        cut.takes(index, escaped_bytes(entry.line().as_bytes()), 0);
    }
    let (shown, left) = shown_and_left(cut, sized.len(), unheld);
    call.text_with(|text| {
        sized.iter().take(shown).for_each(|entry| text.push_str(&entry.line()));
        push_total(text, &sized);
        text.push_str(&note(left, space));
        if unheld > 0 {
            // Writing into an answer does not fail.
            let _ = write!(text, "\n[Sorted and added up are the first {} names in byte order]", sized.len());
        }
    });
    call.structured_from_text();
    Ok(())
}

/// Bytes of what [`push_total`] writes, at most.
const TOTAL_BYTES: usize = 160;

fn push_total(text: &mut TextBlock<'_>, sized: &[Sized<'_>]) {
    let files = || sized.iter().filter(|entry| !entry.is_directory);
    // Writing into an answer does not fail.
    let _ = write!(
        text,
        "\nTotal: {} files, {} directories\nCombined size: {}",
        files().count(),
        sized.len() - files().count(),
        format_size(files().map(|entry| entry.bytes).sum()),
    );
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
