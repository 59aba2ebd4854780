//! What fits of texts that are too long for an answer, and where the rest is.

use super::Scene;
use mcpool::Limits;
use serde_json::json;

/// Answers that have some 32 KB of text.
fn small() -> Limits {
    let bytes = 64 * 1024;
    Limits {
        max_reply_bytes: bytes,
        max_frame_bytes: bytes,
        inline_read_bytes: bytes / 4,
        ..Limits::default()
    }
}

fn line(number: usize) -> String {
    format!("{number} \u{20ac}\"{}\n", "x".repeat(number % 90))
}

/// The first number behind a word.
fn number_after(text: &str, word: &str) -> usize {
    let (_, rest) = text.split_once(word).unwrap_or_else(|| panic!("{word:?} in {text}"));
    rest.split(|letter: char| !letter.is_ascii_digit())
        .next()
        .and_then(|digits| digits.parse().ok())
        .expect(rest)
}

/// The last lines that fit, and those that the answer says are before them, are all that were asked for.
#[tokio::test]
async fn the_last_lines_that_do_not_fit_are_read_in_two_calls() {
    let mut scene = Scene::with(small(), false).await;
    let lines: Vec<String> = (1..=2_000).map(line).collect();
    // With a newline at the end, what is behind it counts as a line for tail, as in the reference.
    for (ends, wanted, first) in [("", 700, 1_301), ("last", 700, 1_302), ("", 9_000, 1), ("last", 9_000, 1)]
    {
        let whole = lines.concat().trim_end().to_owned() + if ends.is_empty() { "" } else { "\n" } + ends;
        scene.write("f", &whole);
        let text = scene.text("read_text_file", json!({"path": "f", "tail": wanted})).await;
        let (shown, note) = text.rsplit_once("\n[").expect("a note");
        assert!(whole.ends_with(shown) && shown.len() > 25_000, "{note}");
        let (begin, offset) = (number_after(note, "from line "), number_after(note, "with offset "));
        assert_eq!(offset, first, "{note}");
        let limit = number_after(note, "and limit ");
        assert_eq!(offset + limit, begin, "{note}");
        let before = scene
            .text(
                "read_text_file",
                json!({"path": "f", "offset": begin - 10.min(limit), "limit": 10.min(limit)}),
            )
            .await;
        let (before, _) = before.split_once("\n[").expect("a note");
        assert!(whole.ends_with(&format!("{before}{shown}")), "{note}");
    }
    // A newline at the end.
    scene.write("f", lines.concat());
    let text = scene.text("read_text_file", json!({"path": "f", "tail": 701})).await;
    let note = text.rsplit_once("\n[").expect("a note").1;
    assert_eq!(number_after(note, "with offset "), 1_301, "{note}");
}

#[tokio::test]
async fn of_a_last_line_that_does_not_fit_the_end_is_shown() {
    let mut scene = Scene::with(small(), false).await;
    for (end, newline) in [("", ""), ("\n", "\n"), ("\r\n", "\n")] {
        scene.write("f", format!("first\nsecond\n{}{end}", "\u{20ac}".repeat(40_000)));
        let text = scene.text("read_text_file", json!({"path": "f", "tail": 3})).await;
        let (shown, note) = text.rsplit_once("\n[").expect("a note");
        assert!(
            shown.len() > 30_000 && shown.trim_end().chars().all(|letter| letter == '\u{20ac}'),
            "{note}"
        );
        assert!(shown.ends_with(&format!("\u{20ac}{newline}")), "{note}");
        assert!(
            note.contains("as line 3 is too long for an answer; read what is before it with offset"),
            "{note}"
        );
        let (offset, limit) = (number_after(note, "with offset "), number_after(note, "and limit "));
        assert_eq!(offset + limit, 4, "the lines before it, and its begin: {note}");
        // Its bytes that are not shown.
        let (at, bytes) = (number_after(note, "byteOffset="), number_after(note, "&byteLimit="));
        let end_bytes = 13 + 120_000 - at - bytes;
        assert_eq!((at, end_bytes), (13, shown.trim_end().len()), "{note}");
    }
    std::fs::File::create(scene.path("sparse")).expect("a file").set_len(100 << 30).expect("a sparse file");
    let text = scene.text("read_text_file", json!({"path": "sparse", "tail": 1})).await;
    let note = text.rsplit_once("\n[").expect("a note").1;
    assert!(note.contains("of 107374182400 bytes of the file are before them"), "{note}");
}

/// Texts around the longest that fits are whole or cut, whichever way they are asked for.
#[tokio::test]
async fn what_nearly_fits_is_whole_or_cut_and_never_refused() {
    const MOST_BYTES: usize = (64 * 1024 - 512) / 2;
    let mut scene = Scene::with(small(), false).await;
    let lengths = (MOST_BYTES - 400..MOST_BYTES - 3).step_by(41).chain(MOST_BYTES - 3..MOST_BYTES + 8);
    for bytes in lengths {
        let text = "\u{20ac}".repeat(bytes / 3) + &"x".repeat(bytes % 3);
        scene.write("f", &text);
        for arguments in
            [json!({"path": "f"}), json!({"path": "f", "head": 1}), json!({"path": "f", "tail": 1})]
        {
            let shown = scene.text("read_text_file", arguments.clone()).await;
            assert_eq!(shown == text, bytes <= MOST_BYTES, "{bytes} bytes, {arguments}");
        }
    }
}

/// A file that does not fit is begun, and those after it are shown.
#[tokio::test]
async fn one_of_several_files_that_does_not_fit_is_begun() {
    let mut scene = Scene::with(small(), false).await;
    let lines: Vec<String> = (1..=2_000).map(line).collect();
    let all_bytes = lines.concat().len();
    scene.write("small", "small");
    scene.write("lines", lines.concat());
    scene.write("line", "\u{20ac}".repeat(40_000));
    scene.write("escaped", "\u{1}".repeat(10_000));
    scene.write("last", "last");
    let paths = ["small", "lines", "line", "missing", "escaped", "last"];
    let text = scene.text("read_multiple_files", json!({"paths": paths})).await;
    let parts: Vec<&str> = text.split("\n---\n").collect();
    assert_eq!(parts.len(), paths.len(), "{text:.2000}");
    assert_eq!((parts[0], parts[5]), ("small:\nsmall\n", "last:\nlast\n"));
    let (shown, note) = parts[1].split_once("\n[").expect("a note");
    let count = number_after(note, "Lines 1 to ");
    assert_eq!(shown, format!("lines:\n{}", lines[..count].concat()));
    assert!(count > 50, "an equal share: {note}");
    let left = all_bytes - lines[..count].concat().len();
    assert_eq!(number_after(note, "; "), left, "{note}");
    let rest = scene.text("read_text_file", json!({"path": "lines", "offset": count + 1})).await;
    assert!(rest.starts_with(&lines[count]), "{rest:.200}");
    let (shown, note) = parts[2].split_once("\n[").expect("a note");
    let bytes = number_after(note, "The first ");
    assert_eq!(shown.len(), "line:\n".len() + bytes);
    assert!(bytes > 3_000 && !shown.contains('\u{fffd}'), "{note}");
    assert_eq!(number_after(note, "; "), 120_000 - bytes, "{note}");
    assert!(parts[3].starts_with("missing: Error - ENOENT"), "{}", parts[3]);
    assert!(parts[4].starts_with("escaped:\n\u{1}") && parts[4].contains("[The first "), "{:.200}", parts[4]);
}

/// Of many files, the first are shown, and all when those that are left out are asked for again.
#[tokio::test]
async fn many_files_that_do_not_fit_are_read_in_several_calls() {
    let mut scene = Scene::with(small(), false).await;
    let name = |file: usize| format!("{file}.txt");
    let paths: Vec<String> = (0..300).map(name).collect();
    for (file, path) in paths.iter().enumerate() {
        scene.write(path, format!("text of {file} {}", "\"".repeat(400)));
    }
    let (mut next, mut calls) = (0, 0);
    while next < paths.len() {
        let text = scene.text("read_multiple_files", json!({"paths": &paths[next..]})).await;
        let (shown, left) = match text.rsplit_once("\n---\n[") {
            Some((shown, note)) => (shown, number_after(note, "for the last ")),
            None => (&*text, 0),
        };
        let parts: Vec<&str> = shown.split("\n---\n").collect();
        assert_eq!(parts.len() + left, paths.len() - next, "{text:.300}");
        let mut whole = 0;
        for (file, part) in (next..).zip(&parts) {
            whole += usize::from(
                part.starts_with(&format!("{file}.txt:\ntext of {file} \"")) && !part.contains("left"),
            );
        }
        assert!(whole > 10 && whole == parts.len(), "{whole} of {} are whole", parts.len());
        next = paths.len() - left;
        calls += 1;
    }
    assert!(calls > 4, "{calls} calls");
}
