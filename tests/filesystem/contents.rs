//! `search_content`: what it finds and shows, what it leaves alone, and what it may cost.

use super::{Scene, text_of};
use mcpool::Limits;
use mcpool::tools::filesystem::Compat;
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What a search finds, with paths from the root on.
async fn found(scene: &mut Scene, mut arguments: Value) -> String {
    if arguments.get("path").is_none() {
        arguments["path"] = json!(".");
    }
    let root = scene.path("").canonicalize().expect("a path").to_string_lossy().into_owned();
    scene.text("search_content", arguments).await.replace(&format!("{root}/"), "")
}

#[tokio::test]
async fn lines_are_found_below_the_paths_of_their_files() {
    let mut scene = Scene::new().await;
    scene.write("a.rs", "fn one() {}\n// two\nfn two() {}\r\n");
    scene.write("b/c.rs", "fn three() {}");
    scene.write("b/d.txt", "fn four()");
    let rows = [
        (json!({"pattern": "fn t\\w+"}), "a.rs\n3:fn two() {}\n\nb/c.rs\n1:fn three() {}"),
        (json!({"pattern": "FN T", "ignoreCase": true}), "a.rs\n3:fn two() {}\n\nb/c.rs\n1:fn three() {}"),
        (json!({"pattern": "two()", "literal": true}), "a.rs\n3:fn two() {}"),
        (json!({"pattern": "fn", "path": "b/c.rs"}), "b/c.rs\n1:fn three() {}"),
        (json!({"pattern": "fn", "path": "b"}), "b/c.rs\n1:fn three() {}\n\nb/d.txt\n1:fn four()"),
        (json!({"pattern": "fn", "includePatterns": ["*.txt"]}), "b/d.txt\n1:fn four()"),
        (json!({"pattern": "fn", "excludePatterns": ["b", "*.txt"]}), "a.rs\n1:fn one() {}\n3:fn two() {}"),
        (json!({"pattern": "^fn two\\(\\) \\{\\}$"}), "a.rs\n3:fn two() {}"),
        (json!({"pattern": "nothing"}), "No matches found"),
        (json!({"pattern": "one", "contextAfter": 1}), "a.rs\n1:fn one() {}\n2-// two"),
        (json!({"pattern": "// two", "contextBefore": 5}), "a.rs\n1-fn one() {}\n2:// two"),
    ];
    for (arguments, want) in rows {
        assert_eq!(found(&mut scene, arguments.clone()).await, want, "{arguments}");
    }
}

#[tokio::test]
async fn pages_join_and_say_how_many_are_left() {
    let mut scene = Scene::new().await;
    for file in 0..5 {
        let block = |line: u64| format!("match {file} {line}\nother\nother\nother\n");
        let lines = (0..20).map(block).collect::<Vec<String>>().concat();
        scene.write(&format!("{file}.txt"), lines);
    }
    let all = found(&mut scene, json!({"pattern": "match"})).await;
    assert_eq!(all.matches(":match").count(), 100);
    assert!(!all.contains('['), "{all}");
    let mut joined = Vec::new();
    for page in 0..4 {
        let arguments = json!({"pattern": "match", "maxMatches": 30, "offset": 30 * page});
        let text = found(&mut scene, arguments).await;
        joined.extend(text.lines().filter(|line| line.contains(":match")).map(str::to_owned));
        let want = match page {
            0 => "\n\n[1 to 30 of 100 matching lines in 5 files; 70 are left, ask for them with offset 30]",
            3 => "\n\n[91 to 100 of 100 matching lines in 5 files]",
            _ => "are left, ask for them with offset",
        };
        assert!(text.contains(want), "{text}");
    }
    let whole: Vec<&str> = all.lines().filter(|line| line.contains(":match")).collect();
    assert_eq!(joined, whole);
    let beyond = found(&mut scene, json!({"pattern": "match", "offset": 100})).await;
    assert_eq!(beyond, "[None is shown: 100 matching lines in 5 files, and the offset is 100]");
    let gaps = json!({"pattern": "match 0 [01]$", "contextAfter": 1});
    assert_eq!(found(&mut scene, gaps).await, "0.txt\n1:match 0 0\n2-other\n--\n5:match 0 1\n6-other");
    for (name, value) in [("maxMatches", json!(0)), ("maxMatches", json!(1.5)), ("contextAfter", json!(101))]
    {
        let text = scene.error("search_content", json!({"path": ".", "pattern": "x", name: value})).await;
        assert!(text.contains(name), "{text}");
    }
}

#[tokio::test]
async fn an_answer_that_is_full_ends_with_what_is_left() {
    let limits = Limits {
        max_reply_bytes: 16 * 1024,
        max_frame_bytes: 16 * 1024,
        inline_read_bytes: 8 * 1024,
        ..Limits::default()
    };
    let mut scene = Scene::with(limits, false).await;
    let line = format!("match \"{}\"\n", "\u{1}".repeat(100));
    scene.write("f", line.repeat(50));
    let mut seen = 0;
    let mut pages = 0;
    while seen < 50 {
        let arguments = json!({"pattern": "match", "offset": seen});
        let text = found(&mut scene, arguments).await;
        let shown = text.matches(":match").count();
        assert!(shown > 0, "{text}");
        seen += shown;
        pages += 1;
        if seen < 50 {
            let want = match 50 - seen {
                1 => format!("1 is left, ask for it with offset {seen}]"),
                left => format!("{left} are left, ask for them with offset {seen}]"),
            };
            assert!(text.contains(&want), "{want}: {text}");
        }
    }
    assert!(seen == 50 && pages > 2, "{seen} in {pages}");
}

#[tokio::test]
async fn ignore_files_are_respected_unless_told_otherwise() {
    let mut scene = Scene::new().await;
    scene.write(".gitignore", "*.log\n/target/\n!kept.log\nsub/deep/only\n");
    scene.write(".ignore", "notes.txt\n");
    scene.write("sub/.gitignore", "!b.log\n");
    let names = [
        "a.txt",
        "a.log",
        "kept.log",
        "notes.txt",
        "target/x.txt",
        "sub/b.log",
        "sub/c.log",
        "sub/target/y.txt",
        "sub/deep/only",
        "sub/deep/other",
        ".git/config",
        ".hidden",
    ];
    for name in names {
        scene.write(name, "needle");
    }
    let files = |text: &str| -> Vec<String> {
        text.split("\n\n").map(|part| part.lines().next().unwrap_or_default().to_owned()).collect()
    };
    let text = found(&mut scene, json!({"pattern": "needle"})).await;
    let want = [".hidden", "a.txt", "kept.log", "sub/b.log", "sub/deep/other", "sub/target/y.txt"];
    assert_eq!(files(&text), want);
    let text = found(&mut scene, json!({"pattern": "needle", "includeIgnored": true})).await;
    assert_eq!(files(&text).len(), names.len(), "{text}");
    // Files above the directory count, too.
    let text = found(&mut scene, json!({"pattern": "needle", "path": "sub/deep"})).await;
    assert_eq!(files(&text), ["sub/deep/other"]);
    // What is asked for by its name is searched.
    let text = found(&mut scene, json!({"pattern": "needle", "path": "a.log"})).await;
    assert_eq!(files(&text), ["a.log"]);
    scene.write("sub/.gitignore", "x\n".repeat(40_000));
    let text = found(&mut scene, json!({"pattern": "needle", "path": "sub"})).await;
    assert!(text.ends_with("[Not respected: 1 ignore files that are too long]"), "{text}");
}

/// Lines end with a newline, with or without a carriage return before it, and not with one that stands alone.
#[tokio::test]
async fn anchors_are_at_the_ends_of_lines() {
    let mut scene = Scene::new().await;
    scene.write("f", "one\r\ntwo\rthree\n\r\nfour\n");
    let rows = [
        ("one$", "1:one"),
        ("^two", "2:two\rthree"),
        ("two$", "No matches found"),
        ("^three", "No matches found"),
        ("three$", "2:two\rthree"),
        ("^$", "3:"),
        ("two.three", "2:two\rthree"),
        ("(?m)four$", "4:four"),
    ];
    for (pattern, want) in rows {
        let text = found(&mut scene, json!({"pattern": pattern})).await;
        assert_eq!(text.strip_prefix("f\n").unwrap_or(&text), want, "{pattern}");
    }
}

/// A search that would go through hundreds of gigabytes gives its thread back when it is cancelled.
#[tokio::test]
async fn a_search_of_many_files_ends_when_it_is_cancelled() {
    const BYTES: usize = 8 << 20;
    let limits = Limits { max_blocking_threads: 1, ..Limits::default() };
    let mut scene = Scene::with(limits, false).await;
    for directory in 0..100 {
        let path = scene.path(&format!("many/{directory}"));
        std::fs::create_dir_all(&path).expect("a directory");
        // No file system gives one file names without end.
        let text = format!("many/text {}", directory / 20);
        if directory % 20 == 0 {
            scene.write(&text, "hay\n".repeat(BYTES / 4));
        }
        for entry in 0..1_000 {
            std::fs::hard_link(scene.path(&text), path.join(entry.to_string())).expect("a name");
        }
    }
    scene.write("few/f", "needle");
    let search = |id: u64, path: &str| {
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
            "name": "search_content", "arguments": {"path": path, "pattern": "needle"},
            "_meta": {"progressToken": "p"},
        }})
    };
    scene.client.send(&search(1, "many")).await;
    // It has the only thread.
    assert_eq!(scene.client.receive().await["method"], "notifications/progress");
    scene.client.send(&search(2, "few")).await;
    let cancelled =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    scene.client.send(&cancelled).await;
    let answer = async {
        loop {
            let message = scene.client.receive().await;
            if message.get("id").is_some() {
                break message;
            }
        }
    };
    let answer = tokio::time::timeout(Duration::from_mins(1), answer).await.expect("the thread becomes free");
    assert_eq!(answer["id"], 2, "{answer}");
    assert!(text_of(&answer["result"]).ends_with("few/f\n1:needle"), "{answer}");
}

#[tokio::test]
async fn what_is_no_text_is_left_out_and_said() {
    let mut scene = Scene::new().await;
    scene.write("binary", b"needle\n\0");
    let late = [b"needle\n", &b"x\n".repeat(50_000)[..], b"\0needle\n"].concat();
    scene.write("late", late);
    scene.write("latin", b"needle \xe9\n");
    let utf16: Vec<u8> =
        std::iter::once(0xFEFF).chain("needle \u{e9}\n".encode_utf16()).flat_map(u16::to_le_bytes).collect();
    scene.write("utf16", utf16);
    scene.write("wide", format!("{}needle{}", "x".repeat(5_000), "y".repeat(100_000)));
    scene.write("widest", format!("needle\n{}\nneedle", "z".repeat(3 << 20)));
    let made = std::process::Command::new("mkfifo").arg(scene.path("pipe")).status().expect("mkfifo runs");
    assert!(made.success());
    let text = found(&mut scene, json!({"pattern": "needle"})).await;
    let want = format!(
        "late\n1:needle\n\nlatin\n1:needle \u{fffd}\n\nutf16\n1:needle \u{e9}\n\nwide\n1:[4800 bytes left out] {}needle{} \
         [99206 bytes left out]\n\nwidest\n1:needle\n\n[Not searched: 1 binary file (binary), \
         1 file (late) from the first zero byte on, 1 file (widest) from the first line of more than 262144 bytes on]",
        "x".repeat(200),
        "y".repeat(794),
    );
    assert_eq!(text, want);
}

#[tokio::test]
async fn links_are_not_followed_and_lead_nowhere() {
    let mut scene = Scene::new().await;
    scene.write("own", "needle");
    std::fs::create_dir(scene.outside("secrets")).expect("a directory");
    std::fs::write(scene.outside("secrets/file"), "needle secret").expect("a file");
    std::fs::write(scene.outside("secrets/.gitignore"), "own").expect("a file");
    symlink(scene.outside("secrets"), scene.path("dir")).expect("a link");
    symlink(scene.outside("secrets/file"), scene.path("file")).expect("a link");
    symlink(scene.outside("secrets/.gitignore"), scene.path(".gitignore")).expect("a link");
    symlink("..", scene.path("up")).expect("a link");
    symlink(".", scene.path("loop")).expect("a link");
    assert_eq!(found(&mut scene, json!({"pattern": "needle"})).await, "own\n1:needle");
    for path in ["dir", "file", "up", "../secrets"] {
        let text = scene.error("search_content", json!({"path": path, "pattern": "needle"})).await;
        assert!(text.contains("outside") && !text.contains("secret\n"), "{text}");
    }
    assert_eq!(found(&mut scene, json!({"pattern": "needle", "path": "loop"})).await, "own\n1:needle");
}

/// Names that are exchanged for links to the outside while they are searched.
#[tokio::test]
async fn links_that_are_swapped_in_show_nothing_outside() {
    let mut scene = Scene::new().await;
    std::fs::create_dir(scene.outside("secrets")).expect("a directory");
    std::fs::write(scene.outside("secrets/file"), "needle secret").expect("a file");
    scene.write("dir/file", "needle inside");
    let (dir, aside, secrets) = (scene.path("dir"), scene.path("aside"), scene.outside("secrets"));
    let (stop, swaps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&swaps));
    let swapping = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            std::fs::rename(&dir, &aside).expect("moved");
            symlink(&secrets, &dir).expect("a link");
            std::fs::remove_file(&dir).expect("removed");
            std::fs::rename(&aside, &dir).expect("moved back");
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let mut calls = 0;
    while calls < 300 || swaps.load(Ordering::Relaxed) == 0 {
        let answer = scene.call("search_content", json!({"path": ".", "pattern": "needle"})).await;
        assert!(!text_of(&answer).contains("needle secret"), "{answer}");
        calls += 1;
    }
    stop.store(true, Ordering::Relaxed);
    swapping.join().expect("the swaps end");
}

#[tokio::test]
async fn patterns_that_cost_too_much_are_refused_and_others_take_linear_time() {
    let mut scene = Scene::new().await;
    scene.write("a", format!("{}\n", "a".repeat(50_000)));
    let nested = format!("{}a{}", "(".repeat(300), ")".repeat(300));
    let rows = [
        ("(((a{100}){100}){100}){100}", "max_pattern_bytes"),
        ("\\w{1000}\\W{1000}\\w{1000}", "max_pattern_bytes"),
        (&nested, "nest"),
        (&"[a-z]".repeat(2_000), "4096"),
        ("(", "unclosed"),
        ("a\\nb", "line end"),
        ("", "empty"),
        ("(a)\\1", "backreferences"),
    ];
    for (pattern, want) in rows {
        let text = scene.error("search_content", json!({"path": ".", "pattern": pattern})).await;
        assert!(text.contains(want), "{pattern:.40}: {text}");
    }
    for pattern in ["(a*)*b", "(a|a)*b", "a*a*a*a*a*a*b", "\\b(\\w+\\s*)+b$"] {
        assert_eq!(found(&mut scene, json!({"pattern": pattern})).await, "No matches found", "{pattern}");
    }
    let globs = json!({"path": ".", "pattern": "a", "includePatterns": ["{1..10000}0{1..10000}"]});
    let text = scene.error("search_content", globs).await;
    assert!(text.contains("max_pattern_bytes"), "{text}");
}

#[tokio::test]
async fn many_files_and_deep_trees_are_searched() {
    let mut scene = Scene::new().await;
    for directory in 0..20 {
        let path = scene.path(&directory.to_string());
        std::fs::create_dir(&path).expect("a directory");
        for file in 0..500 {
            std::fs::write(path.join(file.to_string()), "hay\n").expect("a file");
        }
    }
    let deep = "d/".repeat(500);
    scene.write(&format!("{deep}f"), "needle");
    let text = found(&mut scene, json!({"pattern": "needle"})).await;
    assert_eq!(text, format!("{deep}f\n1:needle"));
    let text = found(&mut scene, json!({"pattern": "hay", "maxMatches": 1})).await;
    assert!(
        text.ends_with(
            "[1 to 1 of 10000 matching lines in 10000 files; 9999 are left, ask for them with offset 1]"
        ),
        "{text}"
    );
}

#[tokio::test]
async fn the_reference_has_no_such_tool() {
    let mut scene = Scene::of(Limits::default(), |tools| tools.compat(Compat::Reference)).await;
    let list = scene.client.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})).await;
    assert_eq!(list["result"]["tools"].as_array().expect("a list").len(), 14);
    let params = json!({"name": "search_content", "arguments": {"path": ".", "pattern": "x"}});
    let answer =
        scene.client.ask(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params})).await;
    assert!(answer["error"]["code"].is_i64(), "{answer}");
    let mut scene = Scene::with(Limits::default(), true).await;
    scene.write("f", "x");
    assert!(found(&mut scene, json!({"pattern": "x"})).await.ends_with("1:x"));
}

/// A directory with more names than an answer has bytes is searched as far as names are held, and the rest is counted.
#[tokio::test]
async fn of_too_many_names_the_first_are_searched() {
    let limits = Limits { max_reply_bytes: 16 << 10, max_frame_bytes: 16 << 10, ..Limits::default() };
    let limits = Limits { inline_read_bytes: 4 << 10, ..limits };
    let mut scene = Scene::with(limits, false).await;
    for number in 0..400 {
        scene.write(&format!("{number:0>99}"), "needle\n");
    }
    let held = (16 << 10) / 100;
    let text =
        scene.text("search_content", json!({"path": ".", "pattern": "needle", "maxMatches": 10_000})).await;
    let shown = text.matches("1:needle").count();
    assert!(shown > 30 && shown < held, "{shown}");
    let count = format!("[1 to {shown} of {held} matching lines in {held} files; {} are left", held - shown);
    let left = format!("[Not searched: {} entries and what is below them, as their directories", 400 - held);
    assert!(text.contains(&count) && text.contains(&left), "{}", &text[text.len() - 400..]);
    let listed = scene.text("list_directory", json!({"path": "."})).await;
    assert!(
        listed.contains("of the first names in byte order that have 16384 bytes together]"),
        "{listed:.300}"
    );
}
