//! `read_text_file` with `offset` and `limit`: lines by their numbers, and how many are left.

use super::{Scene, text_of};
use mcpool::Limits;
use mcpool::tools::filesystem::Compat;
use serde_json::{Value, json};

#[tokio::test]
async fn lines_are_read_by_their_numbers() {
    let mut scene = Scene::new().await;
    scene.write("f", "one\ntwo\r\nthree\nfour\n");
    scene.write("ragged", "one\ntwo");
    scene.write("empty", "");
    scene.write("one", "one\n");
    let rows = [
        ("f", json!({"offset": 1}), "one\ntwo\r\nthree\nfour\n"),
        ("f", json!({"offset": 4}), "four\n"),
        ("f", json!({"limit": 4}), "one\ntwo\r\nthree\nfour\n"),
        (
            "f",
            json!({"offset": 2, "limit": 1}),
            "two\r\n\n[Lines 2 to 2 of 4; 2 are left, read on with offset 3]",
        ),
        ("f", json!({"limit": 1}), "one\n\n[Lines 1 to 1 of 4; 3 are left, read on with offset 2]"),
        (
            "f",
            json!({"offset": 2, "limit": 2}),
            "two\r\nthree\n\n[Lines 2 to 3 of 4; 1 is left, read on with offset 4]",
        ),
        ("f", json!({"offset": 5}), "[No line is shown: the file has 4 lines, and the offset is 5]"),
        ("ragged", json!({"offset": 2, "limit": 9}), "two"),
        (
            "ragged",
            json!({"offset": 1, "limit": 1}),
            "one\n\n[Lines 1 to 1 of 2; 1 is left, read on with offset 2]",
        ),
        ("one", json!({"offset": 2}), "[No line is shown: the file has 1 line, and the offset is 2]"),
        ("empty", json!({"offset": 1}), "[No line is shown: the file has 0 lines, and the offset is 1]"),
    ];
    for (path, mut arguments, want) in rows {
        arguments["path"] = json!(path);
        assert_eq!(scene.text("read_text_file", arguments.clone()).await, want, "{arguments}");
    }
    for (arguments, want) in [
        (json!({"path": "f", "offset": 0}), "offset must be a whole number from 1 to "),
        (json!({"path": "f", "limit": 1.5}), "limit must be a whole number from 1 to "),
        (json!({"path": "f", "limit": 1, "head": 1}), "Cannot specify head or tail together with offset"),
        (json!({"path": "f", "offset": 1, "tail": 1}), "Cannot specify head or tail together with offset"),
    ] {
        let text = scene.error("read_text_file", arguments).await;
        assert!(text.starts_with(want), "{text}");
    }
}

/// Whether they are written at once or sent while they are read, pages of a file join to the file.
#[tokio::test]
async fn pages_of_a_file_that_fits_no_answer_join_to_it() {
    let limits = Limits { max_reply_bytes: 400 * 1024, max_frame_bytes: 64 * 1024, ..Limits::default() };
    let mut scene = Scene::with(limits, false).await;
    let line = |number: usize| format!("{number} \u{20ac}\"{}\n", "x".repeat(number % 90));
    let whole = (1..=9_000).map(line).collect::<Vec<String>>().concat();
    scene.write("f", &whole);
    let (mut joined, mut offset, mut pages) = (String::new(), 1, 0);
    while offset <= 9_000 {
        let text = scene.text("read_text_file", json!({"path": "f", "offset": offset})).await;
        let (lines, note) = text.split_once("\n[").unwrap_or((&text, ""));
        joined.push_str(lines);
        let next = offset + lines.lines().count();
        if next <= 9_000 {
            let want = format!(
                "Lines {offset} to {} of 9000; {} are left, read on with offset {next}]",
                next - 1,
                9_001 - next
            );
            assert_eq!(note, want);
        }
        (offset, pages) = (next, pages + 1);
    }
    assert!(joined == whole && pages > 2, "{pages} pages");
    scene.write("wide", "x".repeat(1 << 20) + "\nlast");
    let text = scene.text("read_text_file", json!({"path": "wide", "offset": 1})).await;
    let (shown, note) = text.split_once('\n').expect("a note");
    assert_eq!(shown, "x".repeat(shown.len()));
    let bytes = shown.len();
    let want = format!(
        "[The first {bytes} bytes of line 1, which is too long for an answer; {} of 1048581 bytes of the file are left, the \
         next line has offset 2; more of this one takes a greater max_reply_bytes, or byteOffset={bytes} of its resource \
         (--file-resources)]",
        1_048_581 - bytes
    );
    assert_eq!(note, want);
    assert_eq!(scene.text("read_text_file", json!({"path": "wide", "offset": 2})).await, "last");
}

/// The parts that the notes lead to are the file, byte for byte, whatever its line ends are, and whether its lines are cut.
#[tokio::test]
async fn parts_join_to_the_file_with_all_its_line_ends() {
    let limits = Limits {
        max_reply_bytes: 16 * 1024,
        max_frame_bytes: 16 * 1024,
        inline_read_bytes: 4 * 1024,
        ..Limits::default()
    };
    let mut scene = Scene::with(limits, false).await;
    let long = |text: &str, end: &str| (text.repeat(20_000 / text.len()) + end).repeat(3);
    // One of them fits, and the next is cut before its line end.
    let edge = |bytes: usize| "x".repeat(bytes) + "\n";
    for (name, whole) in [
        ("lf", "line\n".repeat(6_000)),
        ("crlf", "line\r\n".repeat(5_000)),
        ("blank", "\n".repeat(9_000)),
        ("returns", "\r\r\n".repeat(5_000)),
        ("ragged", "line\n".repeat(6_000) + "last"),
        ("return", "line\r\n".repeat(5_000) + "last\r"),
        ("long lf", long("x", "\n")),
        ("long crlf", long("x", "\r\n")),
        ("long blank", long("x", "\n\n\n") + "\n"),
        ("long returns", long("\r", "\n") + "last"),
        ("long wide", long("\u{20ac}\u{1f600}\u{e9}", "\r\n\n")),
        ("long escapes", long("\"\u{1}\\", "\n")),
        ("long ragged", "line\r\n".repeat(10) + &long("x", "\n") + &"x".repeat(9_000)),
        ("long edge", (7_480..7_496).map(edge).collect()),
    ] {
        scene.write(name, &whole);
        for first in
            [json!({}), json!({"head": 9_000}), json!({"offset": 1}), json!({"offset": 1, "limit": 777})]
        {
            let (joined, parts) = scene.joined(name, &whole, first).await;
            assert!(joined == whole && parts > 2, "{name}: {parts} parts, {} bytes", joined.len());
        }
    }
}

impl Scene {
    /// The parts of a file that the notes lead to, the rest of a line that is cut from `whole`, and how many there are.
    async fn joined(&mut self, name: &str, whole: &str, mut arguments: Value) -> (String, u64) {
        let (mut joined, mut parts) = (String::new(), 0);
        arguments["path"] = json!(name);
        loop {
            let text = self.text("read_text_file", arguments.clone()).await;
            let (part, note) = text.rsplit_once("\n[").unwrap_or((&text, ""));
            joined.push_str(part);
            parts += 1;
            if note.contains("too long for an answer") {
                assert!(
                    note.contains(&format!("byteOffset={} of its resource", joined.len())),
                    "{name}: {note}"
                );
                let rest = &whole[joined.len()..];
                joined.push_str(rest.split_inclusive('\n').next().unwrap_or_default());
                assert_eq!(note.contains(" has offset "), joined.len() < whole.len(), "{name}: {note}");
            }
            let Some((_, offset)) = note.split_once(" offset ") else { return (joined, parts) };
            let digits = offset.split(|letter: char| !letter.is_ascii_digit()).next();
            let offset: u64 = digits.and_then(|digits| digits.parse().ok()).expect("a number");
            assert!(parts <= offset, "{name}: {note}");
            arguments["offset"] = json!(offset);
            // It is for the first part only.
            arguments.as_object_mut().expect("an object").remove("head");
        }
    }
}

/// Behind the only line nothing is said to be, and what is said to reach the rest of it does.
#[tokio::test]
async fn no_line_is_said_to_be_behind_the_last() {
    let limits = Limits { max_reply_bytes: 16 * 1024, max_frame_bytes: 16 * 1024, ..Limits::default() };
    let limits = Limits { inline_read_bytes: 4 * 1024, ..limits };
    let mut scene = Scene::with(limits, false).await;
    for (end, arguments) in [
        ("", json!({"path": "one"})),
        ("\n", json!({"path": "one"})),
        ("", json!({"path": "one", "offset": 1})),
        ("\n", json!({"path": "one", "limit": 1})),
        ("", json!({"path": "one", "head": 1})),
    ] {
        scene.write("one", "x".repeat(30_000) + end);
        let text = scene.text("read_text_file", arguments).await;
        let (shown, note) = text.split_once('\n').expect("a note");
        let (bytes, left) = (shown.len(), 30_000 + end.len() - shown.len());
        let want = format!(
            "[The first {bytes} bytes of line 1, which is too long for an answer; {left} of {} bytes of the file are left; \
             more of the line takes a greater max_reply_bytes, or byteOffset={bytes} of its resource (--file-resources)]",
            30_000 + end.len()
        );
        assert_eq!(note, want);
    }
}

/// Of a file of any length no more than the bound is looked through.
#[tokio::test]
async fn a_line_is_not_looked_for_without_end() {
    let limits = Limits { max_line_scan_bytes: 1 << 20, max_reply_bytes: 1 << 16, ..Limits::default() };
    let limits = Limits { max_frame_bytes: 1 << 16, ..limits };
    let mut scene = Scene::with(limits, false).await;
    let file = std::fs::File::create(scene.path("sparse")).expect("a file");
    std::io::Write::write_all(&mut &file, b"first\n").expect("written");
    file.set_len(1 << 40).expect("a sparse file");
    let refused = scene.error("read_text_file", json!({"path": "sparse", "offset": 3})).await;
    let want = "Line 3 does not begin in the first 1048576 bytes of the file, and no lines are looked for behind those \
                (setting max_line_scan_bytes); read_text_file with tail shows the last lines";
    assert_eq!(refused, want);
    let text = scene.text("read_text_file", json!({"path": "sparse", "limit": 1})).await;
    let left = (1_u64 << 40) - 6;
    let note =
        format!("[Lines 1 to 1; {left} of 1099511627776 bytes of the file are left, read on with offset 2]");
    assert_eq!(text, format!("first\n\n{note}"));
    let text = scene.text("read_text_file", json!({"path": "sparse", "offset": 2})).await;
    assert!(text.contains(" bytes of line 2, which is too long for an answer; "), "{text:.60}");
    let text = scene.text("read_text_file", json!({"path": "sparse", "tail": 1})).await;
    let end = "that begin in the first 1048576 of those (max_line_scan_bytes), and byteOffset=1048576 of its resource \
               (--file-resources) what follows]";
    assert!(text.ends_with(end), "{text:.60}");
}

#[tokio::test]
async fn the_reference_does_not_know_them() {
    let mut scene = Scene::of(Limits::default(), |tools| tools.compat(Compat::Reference)).await;
    scene.write("f", "one\ntwo\n");
    let answer = scene.call("read_text_file", json!({"path": "f", "offset": 2, "limit": 1})).await;
    assert_eq!(text_of(&answer), "one\ntwo\n");
    let list = scene.client.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})).await;
    assert!(!list.to_string().contains("\"offset\""));
}
