//! Edits as a client makes them: what is written is what was shown, and what cannot be told is not written.

use super::Scene;
use mcpool::Limits;
use mcpool::tools::filesystem::Compat;
use serde_json::{Value, json};

fn edits(old: &str, new: &str) -> Value {
    json!([{"oldText": old, "newText": new}])
}

/// A dry run says what a real one does, and leaves the file as it is.
#[tokio::test]
async fn a_dry_run_shows_what_is_then_made() {
    let mut scene = Scene::new().await;
    // (text, old, new, text afterwards)
    for (text, old, new, want) in [
        ("a\r\nb\r\n", "b", "c", "a\r\nc\r\n"),
        ("a\r\nb\nc", "b\nc", "b\nx\nc", "a\r\nb\nx\nc"),
        (
            "\tone\n\t\ttwo\n",
            "    one\n        two",
            "    one\n        2\n        3",
            "\tone\n\t\t2\n\t\t3\n",
        ),
        ("a\rb\n", "b", "c", "a\rc\n"),
        ("a\n", "a", "a", "a\n"),
    ] {
        scene.write("f", text);
        let mut arguments = json!({"path": "f", "edits": edits(old, new), "dryRun": true});
        let shown = scene.text("edit_file", arguments.clone()).await;
        assert_eq!(std::fs::read_to_string(scene.path("f")).expect("the file"), text);
        arguments["dryRun"] = json!(false);
        assert_eq!(scene.text("edit_file", arguments).await, shown);
        assert_eq!(std::fs::read_to_string(scene.path("f")).expect("the file"), want, "{text:?}");
    }
}

#[tokio::test]
async fn what_names_no_place_or_several_is_refused_and_nothing_is_written() {
    let mut scene = Scene::new().await;
    let text = "same\nother\nsame\n";
    scene.write("f", text);
    for (arguments, want) in [
        (
            json!({"path": "f", "edits": edits("same", "x")}),
            "oldText occurs 2 times, beginning in lines 1, 3: ",
        ),
        (json!({"path": "f", "edits": edits("", "x")}), "oldText is empty, which names no place"),
        (
            json!({"path": "f", "edits": edits("othr", "x")}),
            "Could not find exact match for edit:\nothr\n\nThe nearest",
        ),
        (
            json!({"path": "f", "edits": [{"oldText": "other", "newText": "o"}, {"oldText": "same", "newText": ""}]}),
            "oldText occurs 2 times",
        ),
    ] {
        let refused = scene.error("edit_file", arguments).await;
        assert!(refused.starts_with(want), "{refused}");
        assert_eq!(std::fs::read_to_string(scene.path("f")).expect("the file"), text);
    }
    scene.text("edit_file", json!({"path": "f", "edits": edits("same", "x"), "replaceAll": true})).await;
    assert_eq!(std::fs::read_to_string(scene.path("f")).expect("the file"), "x\nother\nx\n");
    let each =
        json!([{"oldText": "x", "newText": "y", "replaceAll": true}, {"oldText": "other", "newText": "o"}]);
    scene.text("edit_file", json!({"path": "f", "edits": each})).await;
    assert_eq!(std::fs::read_to_string(scene.path("f")).expect("the file"), "y\no\ny\n");
}

/// Whoever asks for the reference's behaviour gets it, with all that it does to line ends.
#[tokio::test]
async fn the_reference_is_kept_where_that_is_asked_for() {
    let mut scene = Scene::of(Limits::default(), |tools| tools.compat(Compat::Reference)).await;
    for (text, old, new, want) in [
        ("a\r\nb\r\n", "b", "c", "a\nc\n"),
        ("a b a", "a", "c", "c b a"),
        ("abc", "", "x", "xabc"),
        ("        a\n", "    a ", "    a\n    b", "        a\n    b\n"),
    ] {
        scene.write("f", text);
        scene.text("edit_file", json!({"path": "f", "edits": edits(old, new), "replaceAll": true})).await;
        assert_eq!(std::fs::read_to_string(scene.path("f")).expect("the file"), want, "{text:?}");
    }
}

#[tokio::test]
async fn edits_beyond_their_bounds_are_refused_before_anything_is_written() {
    let limits = Limits { max_frame_bytes: 64 * 1024, max_reply_bytes: 64 * 1024, ..Limits::default() };
    let limits = Limits { max_edit_scan_bytes: 1024 * 1024, ..limits };
    let mut scene = Scene::with(limits, false).await;
    let text = "line\n".repeat(600);
    scene.write("f", &text);
    let nothing = json!({"oldText": "line", "newText": "line", "replaceAll": true});
    let many = vec![nothing; 400];
    let all = |new: &str| json!({"path": "f", "edits": edits("line", new), "replaceAll": true});
    for (arguments, want) in [
        (json!({"path": "f", "edits": many}), "Too many edits for a file of this length"),
        (all(&"x".repeat(120)), "The file would have more than 65536 bytes"),
        (all(&"x".repeat(60)), "Too large for one answer"),
    ] {
        let refused = scene.error("edit_file", arguments).await;
        assert!(refused.starts_with(want), "{refused}");
        assert!(std::fs::read_to_string(scene.path("f")).expect("the file") == text, "{want}");
    }
}
