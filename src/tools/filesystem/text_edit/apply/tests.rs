//! Edits, one by one and at random.

use super::*;
use crate::server::CancellationToken;
use proptest::prelude::*;

const PLENTY: usize = 1 << 30;

/// Somebody who waits as long as it takes.
fn patient() -> CancellationToken {
    CancellationToken::after(u64::MAX)
}

fn edit<'a>(old_text: &'a str, new_text: &'a str) -> Edit<'a> {
    Edit { old_text, new_text, replace_all: None }
}

fn try_edit(text: &str, edits: &[Edit<'_>], replace_all: bool) -> Result<String, FsError> {
    apply(text, edits, replace_all, &mut EditBudget::new(PLENTY, PLENTY, &patient()))
}

fn edited(text: &str, old_text: &str, new_text: &str) -> String {
    try_edit(text, &[edit(old_text, new_text)], false).unwrap_or_else(|error| error.to_string())
}

fn check(rows: &[(&str, &str, &str, &str)]) {
    for (text, old, new, want) in rows {
        assert_eq!(edited(text, old, new), *want, "{text:?}: {old:?} -> {new:?}");
    }
}

#[test]
fn exact_edits_keep_every_line_end() {
    // (text, old, new, result)
    check(&[
        ("a b c", "a", "$&c", "$&c b c"),
        ("a\r\nb\r\nc\r\n", "b", "x", "a\r\nx\r\nc\r\n"),
        ("a\r\nb\r\nc\r\n", "a\nb\n", "a\nx\ny\n", "a\r\nx\r\ny\r\nc\r\n"),
        ("a\r\nb\r\nc\r\n", "a\r\nb", "x\r\nb", "x\r\nb\r\nc\r\n"),
        ("a\nb\nc\n", "a\r\nb", "x\r\nb\r\nd", "x\nb\nd\nc\n"),
        // Mixed: each line keeps its own, inserted ones take that of the line before.
        ("a\r\nb\nc\r\nd\n", "b\nc", "b\nx\nc", "a\r\nb\nx\nc\r\nd\n"),
        ("a\r\nb\nc\r\nd\n", "a\nb\nc", "1\n2\n3", "1\r\n2\n3\r\nd\n"),
        ("a\r\nb\nc\r\nd\n", "a\nb", "a\nx\nb", "a\r\nx\r\nb\nc\r\nd\n"),
        // At the end of a file without a last newline, and in a file without any.
        ("a\r\nb", "b", "b\nc", "a\r\nb\r\nc"),
        ("a\r\nb", "b", "b\nc\n", "a\r\nb\r\nc\r\n"),
        ("ab", "a", "x\ny", "x\nyb"),
        ("ab", "a", "x\r\ny", "x\r\nyb"),
        // A line that is split takes its own end, not that of the line before.
        ("a\nbc\r\nd", "bc", "b\nc", "a\nb\r\nc\r\nd"),
        // Newlines alone.
        ("a\r\n\r\n\r\nb", "\n\n\n", "\n", "a\r\nb"),
        ("a\r\nb\r\n", "a\nb\n", "", ""),
        ("a\r\nb", "\n", " ", "a b"),
        // A return without a newline is a character.
        ("a\rb\r\nc", "b\nc", "b\nx\nc", "a\rb\r\nx\r\nc"),
        ("a\r\r\nb\n", "a\r\nb", "a\nb", "a\r\nb\n"),
        ("\u{feff}é\r\nb", "é", "è", "\u{feff}è\r\nb"),
    ]);
}

#[test]
fn blocks_move_as_a_whole() {
    check(&[
        // More new lines than old.
        ("        foo();\n", "    foo(); ", "    foo();\n    bar();\n", "        foo();\n        bar();\n\n"),
        ("    a\n        b\n", "a \n    b", "a\n    x\n    b\nc", "    a\n        x\n        b\n    c\n"),
        // Tabs stay tabs: two depths tell how many spaces stand for one.
        (
            "\tif x {\n\t\ty\n\t}\n",
            "  if x {\n    y\n  }",
            "  if z {\n    y\n    if w {\n      v\n    }\n  }",
            "\tif z {\n\t\ty\n\t\tif w {\n\t\t\tv\n\t\t}\n\t}\n",
        ),
        // One depth: as many tabs as spaces show, or the least step of the new lines.
        ("\tfoo()\n", "    foo() ", "    if x {\n        foo()\n    }", "\tif x {\n\t\tfoo()\n\t}\n"),
        ("\tfoo()\n", "foo()  ", "if x {\n    foo()\n}", "\tif x {\n\t\tfoo()\n\t}\n"),
        // The other way round.
        ("x\n    foo()\n", "\tfoo() ", "\tif x {\n\t\tfoo()\n\t}", "x\n    if x {\n        foo()\n    }\n"),
        // Steps of another width.
        (
            "a:\n    b:\n        c\n",
            "a:\n  b:\n    c ",
            "a:\n  b:\n    c\n  d",
            "a:\n    b:\n        c\n    d\n",
        ),
        // The first line from its first word on.
        (
            "    a(\n        b)\n",
            "a(\n        b) ",
            "a(\n        c,\n        b)",
            "    a(\n        c,\n        b)\n",
        ),
        // As many lines as before, each where the old one is.
        ("  if x {\n    y\n  }\n", "if x {\ny\n}", "if z {\nw\n}", "  if z {\n    w\n  }\n"),
        // Mixed indentation moves by what lines have in common.
        (
            "\t\t/*\n\t\t * a\n\t\t */\n",
            "\t/*\n\t * a \n\t */",
            "\t/*\n\t * b\n\t * c\n\t */",
            "\t\t/*\n\t\t * b\n\t\t * c\n\t\t */\n",
        ),
        // Shallower than the block.
        ("a {\n        b\n", "    b ", "    b\n  c", "a {\n        b\n      c\n"),
        ("a\nb\n", "  b  ", "x", "a\nx\n"),
        // Only what trails differs.
        ("  a  \n  b\n", "  a\n  b ", "  a\n    c\n  b", "  a\n    c\n  b\n"),
        // The last line's end is given.
        ("  a\n  b\n", "a \n", "x\ny\n", "  x\n  y\n  b\n"),
        ("\r\n  a\r\n", "a \n", "x\n\ny\n", "\r\n  x\r\n\r\n  y\r\n"),
        ("\u{feff}a", "a ", "b", "\u{feff}b"),
    ]);
}

#[test]
fn what_cannot_be_told_is_refused() {
    for (text, old, new, want) in [
        // Lines of one depth that the file has at two.
        (
            "  if x {\n    y\n  }\n",
            "if x {\ny\n}",
            "if z {\n  w\n  v\n}",
            "from line 1 on differs in blanks only",
        ),
        // A step that is not a whole number of tabs.
        ("\tfoo()\n", "    foo() ", "    foo(a,\n       b)", "cannot be told"),
        ("\ta\n", "a ", "a\n b", "cannot be told"),
        // Shallower than there is room for.
        ("  a\n", "    a", "    a\nb", "cannot be told"),
        ("a\nb\n", "b\na", "x", "\n\nThe nearest text, from line 2 on:\nb"),
        (
            "x\nlet total = 1;\n",
            "let totals = 1;",
            "x",
            "\n\nThe nearest text, from line 2 on:\nlet total = 1;",
        ),
        ("a", "a\nb\nc", "x", "Could not find exact match for edit:\na\nb\nc"),
        ("a\n \nb", "\t\n", "x", "Could not find exact match for edit:\n\t\n\n\nIt has nothing but blanks"),
        ("", "x", "", "Could not find exact match for edit:\nx"),
        ("a", "", "x", "oldText is empty"),
        ("", "", "x", "oldText is empty"),
        ("a b a", "a", "c", "oldText occurs 2 times, beginning in lines 1, 1:"),
        ("x\r\na\r\nb\r\na\r\n", "a\n", "c\n", "oldText occurs 2 times, beginning in lines 2, 4:"),
        ("aaa", "aa", "b", "oldText occurs 2 times"),
        ("  a\n\ta\n", "a ", "b", "oldText occurs 2 times, beginning in lines 1, 2:"),
        (
            &"a\n".repeat(30),
            "a",
            "b",
            "occurs 30 times, beginning in lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …:",
        ),
    ] {
        let said = edited(text, old, new);
        assert!(said.contains(want), "{text:?}: {old:?} -> {new:?}: {said}");
    }
    let long = edited("a", &"b\n".repeat(100_000), "");
    assert!(long.len() < 4 * QUOTED_BYTES, "{}", long.len());
}

#[test]
fn all_places_are_replaced_where_that_is_asked_for() {
    let all = |text: &str, old: &str, new: &str| {
        let edits = [Edit { replace_all: Some(true), ..edit(old, new) }];
        let by_edit = try_edit(text, &edits, false).expect("found");
        let by_call = try_edit(text, &[edit(old, new)], true).expect("found");
        assert_eq!(by_edit, by_call);
        by_edit
    };
    assert_eq!(all("a b a", "a", "cc"), "cc b cc");
    assert_eq!(all("aaa", "aa", "b"), "ba");
    assert_eq!(all("a\r\nb\na\r\n", "a", "x\ny"), "x\r\ny\r\nb\nx\r\ny\r\n");
    assert_eq!(all("  a\n\ta\n", "a ", "b\nc"), "  b\n  c\n\tb\n\tc\n");
    let once = [Edit { replace_all: Some(false), ..edit("a", "b") }];
    assert!(try_edit("aa", &once, true).is_err(), "an edit's own word counts");
}

#[test]
fn later_edits_see_earlier_ones_and_a_failure_spoils_all() {
    let (first, second) = (edit("a", "b"), edit("b", "c"));
    assert_eq!(try_edit("a", &[first, second], false).expect("both match"), "c");
    assert!(try_edit("a", &[first, edit("a", "")], false).is_err());
}

#[test]
fn work_and_length_are_bounded_and_cancelled() {
    let text = "x".repeat(1_000) + "a";
    let edits = [edit("a", "b"), edit("b", "a")];
    let limited = |limit, longest, cancelled: bool| {
        apply(
            &text,
            &edits,
            false,
            &mut EditBudget::new(
                limit,
                longest,
                &CancellationToken::after(if cancelled { 0 } else { u64::MAX }),
            ),
        )
    };
    assert!(limited(2_100, PLENTY, false).is_ok());
    assert!(matches!(limited(2_000, PLENTY, false), Err(FsError::EditsTooLong { .. })));
    assert!(matches!(limited(PLENTY, 1_000, false), Err(FsError::EditedTooLong { .. })));
    assert!(matches!(limited(PLENTY, PLENTY, true), Err(FsError::Cancelled(_))));
    // A text of two million places, each to be replaced by a mebibyte.
    let many = [Edit { replace_all: Some(true), ..edit("x", &text) }];
    let grown = apply(&"x".repeat(1 << 21), &many, false, &mut EditBudget::new(PLENTY, 1 << 26, &patient()));
    assert!(matches!(grown, Err(FsError::EditedTooLong { .. })));
}

/// An edit of 1.2 MB against a file of a million lines took more than 40 s: each line was compared with each.
#[test]
fn a_long_old_text_costs_no_more_than_a_short_one() {
    let text = "a\n".repeat(1_000_000);
    let old = "a \n".repeat(400_000) + "b";
    let refused = try_edit(&text, &[edit(&old, "")], false);
    assert!(matches!(refused, Err(FsError::NoMatch { .. })));
}

/// The line ends of a text, one after the other.
fn ends(text: &str) -> Vec<bool> {
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .map(|line| line.ends_with("\r\n"))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// What is before and after the place stays byte for byte, and the place holds the new text but for line ends.
    #[test]
    fn nothing_outside_of_the_place_changes(
        before in "([ab \r\n]{0,11}[ab\n])?",
        old in "[xy]([xy\n]{0,4}[xy])?",
        new in "[xyzé\n]{0,8}",
        behind in "[ab \r\n]{0,12}",
        pairs in proptest::collection::vec(any::<bool>(), 6),
    ) {
        let mut there = String::new();
        let mut pairs = pairs.into_iter();
        for line in old.split_inclusive('\n') {
            there.push_str(line.trim_end_matches('\n'));
            if line.ends_with('\n') {
                there.push_str(if pairs.next().unwrap_or(false) { "\r\n" } else { "\n" });
            }
        }
        let text = format!("{before}{there}{behind}");
        match try_edit(&text, &[edit(&old, &new)], false) {
            Ok(edited) => {
                prop_assert!(edited.starts_with(&before) && edited.ends_with(&behind), "{:?}", edited);
                let place = &edited[before.len()..edited.len() - behind.len()];
                prop_assert_eq!(flat(place).into_owned(), new.clone());
                // Line ends that were there come first, in their order.
                let (were, are) = (ends(&there), ends(place));
                if old.matches('\n').count() == new.matches('\n').count() {
                    prop_assert_eq!(were, are);
                }
            }
            Err(error) => prop_assert!(matches!(error, FsError::Ambiguous { .. }), "{:?}: {}", text, error),
        }
    }

    /// But for line ends an exact edit does what a plain replacement does.
    #[test]
    fn an_exact_edit_is_a_replacement(text in "[ab\r\n]{0,16}", old in "[ab\n]{1,4}", new in "[abc\n]{0,4}") {
        let flat_text = flat(&text).into_owned();
        let count = flat_text.matches(&old).count();
        if count > 0 {
            let all = try_edit(&text, &[edit(&old, &new)], true).expect("found");
            // A return that was alone may meet a newline that is put after it.
            if !text.replace("\r\n", "").contains('\r') {
                prop_assert_eq!(flat(&all).into_owned(), flat_text.replace(&old, &new));
            }
            if let Ok(once) = try_edit(&text, &[edit(&old, &new)], false) {
                prop_assert_eq!(once, all);
                prop_assert_eq!(count, 1);
            }
        }
    }

    /// A block that is indented otherwise as a whole comes out as an exact edit of it would.
    #[test]
    fn a_moved_block_comes_out_as_the_exact_edit_does(
        old in proptest::collection::vec((0_usize..3, "[a-c]{1,3}"), 1..4),
        new in proptest::collection::vec((0_usize..3, "[a-d]{0,3}"), 1..6),
        depth in 0_usize..3,
        unit in prop_oneof![Just("\t"), Just("  "), Just("    ")],
    ) {
        let block = |lines: &[(usize, String)], depth: usize, unit: &str| {
            let line = |(own, word): &(usize, String)| {
                if word.is_empty() { String::new() } else { unit.repeat(depth + own) + word }
            };
            lines.iter().map(line).collect::<Vec<_>>().join("\n")
        };
        let text = format!("begin\n{}\nend\n", block(&old, depth + 1, unit));
        // Written a level shallower, in the file's own characters.
        let moved = try_edit(&text, &[edit(&(block(&old, depth, unit) + " "), &block(&new, depth, unit))], false);
        let exact = text.replacen(&block(&old, depth + 1, unit), &block(&new, depth + 1, unit), 1);
        match moved {
            Ok(moved) => prop_assert_eq!(moved, exact),
            Err(error) => prop_assert!(matches!(error, FsError::Ambiguous { .. }), "{:?}: {}", text, error),
        }
    }

    /// The two ways to write an indentation agree where both depths are given.
    #[test]
    fn spaces_for_tabs_come_out_as_tabs(
        new in proptest::collection::vec((0_usize..4, "[a-d]{1,3}"), 1..6),
        unit in 2_usize..5,
        depth in 0_usize..3,
    ) {
        let indent = |character: &str, levels: usize| character.repeat(levels);
        let spaces = |levels: usize| " ".repeat(unit * levels);
        let text = format!("{}one\n{}two\n", indent("\t", depth + 1), indent("\t", depth + 2));
        let old = format!("{}one\n{}two", spaces(depth), spaces(depth + 1));
        let lines = |blanks: &dyn Fn(usize) -> String, base: usize| {
            new.iter().map(|(own, word)| blanks(base + own) + word).collect::<Vec<_>>().join("\n")
        };
        let moved = try_edit(&text, &[edit(&old, &lines(&spaces, depth))], false);
        let want = lines(&|levels| indent("\t", levels), depth + 1) + "\n";
        prop_assert_eq!(moved.expect("told"), want);
    }

    /// No text is too strange: an error, or a text.
    #[test]
    fn nothing_panics(text in "[ \ta\r\né\u{feff}\u{85}]{0,24}", old in "[ \ta\r\né\u{feff}]{0,10}", new in "[ \ta\r\né\u{a0}]{0,12}", all: bool) {
        let _ = try_edit(&text, &[edit(&old, &new)], all).map_err(|error| error.to_string());
    }
}
