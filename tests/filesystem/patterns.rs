//! Patterns, trees and searches: what they find, what they leave alone, and what they may cost.

use super::Scene;
use mcpool::Limits;
use mcpool::tools::filesystem::Compat;
use serde_json::{Value, json};

#[tokio::test]
async fn patterns_that_cost_too_much_are_refused() {
    let mut scene = Scene::new().await;
    scene.write("a/b.ts", "");
    let many = |pattern: &str, times: usize| json!(vec![pattern; times]);
    let rows = [
        (many("{1..10000}0", 100), "max_pattern_bytes"),
        (many("{1..10000}0", 1), "max_pattern_bytes"),
        (many("{{1..999}{1..999},x}", 1), "max_pattern_bytes"),
        (many(&"{a,b}".repeat(40), 1), "max_pattern_bytes"),
        (many(&format!("{{{}1..9}}", "0".repeat(40_000)), 1), "max_pattern_bytes"),
        (many(&"!(b)".repeat(11_000), 1), "max_pattern_bytes"),
        (many(&"!(b)".repeat(70), 1), "!( )"),
        (many(&"[".repeat(46_000), 1), "max_pattern"),
        (many(&"x".repeat(65_537), 1), "pattern is too long"),
        (many(&"?(a)*".repeat(2_000), 1), "max_pattern"),
    ];
    for (patterns, want) in rows {
        for tool in ["directory_tree", "search_files"] {
            let text =
                scene.error(tool, json!({"path": ".", "pattern": "*", "excludePatterns": patterns})).await;
            assert!(text.contains(want), "{tool} {:.60}: {text}", patterns.to_string());
        }
        let pattern = &patterns[0];
        let answer = scene.call("search_files", json!({"path": ".", "pattern": pattern})).await;
        assert!(answer["content"][0]["text"].is_string(), "{answer}");
    }
    let usual = json!(["node_modules", "**/*.{js,ts,map}", "{1..50}", "!(a|b)*.[ch]", "target/**", ".git"]);
    scene.text("directory_tree", json!({"path": ".", "excludePatterns": usual})).await;
}

#[tokio::test]
async fn a_pattern_that_takes_too_many_steps_is_an_error_not_a_miss() {
    let mut scene = Scene::with(Limits { max_pattern_steps: 2_000, ..Limits::default() }, false).await;
    scene.write(&"a".repeat(200), "");
    let pattern = "+(a|b|c)x";
    let text = scene.error("search_files", json!({"path": ".", "pattern": pattern})).await;
    assert!(text.contains("max_pattern_steps") && text.contains("2000"), "{text}");
}

#[tokio::test]
async fn a_pattern_without_a_slash_matches_at_any_depth() {
    let mut scene = Scene::new().await;
    for name in ["top.ts", "src/deep/in.ts", "node_modules/x/dep.ts", "src/node_modules/y/dep.ts", "x.rs"] {
        scene.write(name, "");
    }
    let root = scene.path("").canonicalize().expect("a path").to_string_lossy().into_owned();
    let short = |text: String| text.replace(&format!("{root}/"), "");
    let found = scene.text("search_files", json!({"path": ".", "pattern": "*.ts"})).await;
    assert_eq!(short(found), "node_modules/x/dep.ts\nsrc/deep/in.ts\nsrc/node_modules/y/dep.ts\ntop.ts");
    for exclude in ["node_modules", "node_modules/", "**/node_modules/**", "{node_modules,target}"] {
        let arguments = json!({"path": ".", "pattern": "*.ts", "excludePatterns": [exclude]});
        let found = scene.text("search_files", arguments).await;
        assert_eq!(short(found), "src/deep/in.ts\ntop.ts", "{exclude}");
        let tree = scene.text("directory_tree", json!({"path": ".", "excludePatterns": [exclude]})).await;
        assert!(!tree.contains("dep.ts") && tree.contains("in.ts"), "{exclude}: {tree}");
    }
    // With a slash behind it a pattern means directories; no name is a comment.
    scene.write("src/node_modules.ts/z", "");
    scene.write("#x/a.rs", "");
    for (exclude, want) in
        [("*.ts/", "#x/a.rs\nsrc/deep/in.ts\ntop.ts\nx.rs"), ("#x", "src/deep/in.ts\ntop.ts\nx.rs")]
    {
        let arguments =
            json!({"path": ".", "pattern": "*.{ts,rs}", "excludePatterns": [exclude, "node_modules*"]});
        let found = scene.text("search_files", arguments).await;
        assert_eq!(short(found), want, "{exclude}");
    }
    let directories = json!({"path": ".", "pattern": "**", "excludePatterns": ["*/"]});
    assert_eq!(short(scene.text("search_files", directories).await), "top.ts\nx.rs");
    let only = scene.text("search_files", json!({"path": ".", "pattern": "src/*/*.ts"})).await;
    assert_eq!(short(only), "src/deep/in.ts");
}

/// What the kernel says of directories being opened.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_is_left_out_is_not_opened() {
    use rustix::fs::inotify;
    let mut scene = Scene::new().await;
    scene.write("node_modules/x/file", "");
    scene.write("src/node_modules/y/file", "");
    scene.write("src/file", "");
    let watch =
        inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).expect("a watch");
    for name in ["node_modules", "src/node_modules"] {
        inotify::add_watch(&watch, scene.path(name), inotify::WatchFlags::OPEN).expect("watched");
    }
    let opened = || {
        let mut buffer = [0; 4096];
        rustix::io::read(&watch, &mut buffer[..]).unwrap_or(0) > 0
    };
    for exclude in ["node_modules", "**/node_modules", "**/node_modules/**", "*_modules"] {
        let patterns = json!([exclude]);
        scene.text("directory_tree", json!({"path": ".", "excludePatterns": patterns})).await;
        assert!(!opened(), "directory_tree {exclude}");
        scene.text("search_files", json!({"path": ".", "pattern": "**", "excludePatterns": patterns})).await;
        assert!(!opened(), "search_files {exclude}");
    }
    scene.text("directory_tree", json!({"path": "."})).await;
    assert!(opened(), "the watch can tell");
}

#[tokio::test]
async fn a_directory_that_cannot_be_listed_does_not_fail_a_tree() {
    let mut scene = Scene::new().await;
    scene.write("first/file", "");
    scene.write("last", "");
    // Deeper than a path may be: its innermost directories cannot be opened by anybody.
    let mut at = rustix::fs::open(scene.path("first"), rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())
        .expect("a directory");
    let name = "d".repeat(200);
    for _ in 0..24 {
        rustix::fs::mkdirat(&at, name.as_str(), rustix::fs::Mode::RWXU).expect("a directory");
        at = rustix::fs::openat(&at, name.as_str(), rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())
            .expect("a directory");
    }
    let tree: Value =
        serde_json::from_str(&scene.text("directory_tree", json!({"path": "."})).await).expect("JSON");
    assert_eq!(tree[1], json!({"name": "last", "type": "file"}), "the tree goes on");
    let mut node = &tree[0];
    while let Some(child) = node["children"].get(0) {
        node = child;
    }
    assert_eq!(node["children"], json!([]));
    assert!(node["error"].as_str().expect("a reason").starts_with("ENAMETOOLONG"), "{}", node["error"]);
    let found = scene.text("search_files", json!({"path": ".", "pattern": "last"})).await;
    assert!(found.ends_with("/last\n\n[Not searched: 1 directory that cannot be listed]"), "{found}");
}

/// Answers of 64 KiB.
fn small() -> Limits {
    let bytes = 64 * 1024;
    Limits {
        max_reply_bytes: bytes,
        max_frame_bytes: bytes,
        inline_read_bytes: bytes / 4,
        ..Limits::default()
    }
}

/// As the reference does it: one file that is too large is an error beside the others.
#[tokio::test]
async fn one_file_that_is_too_large_fails_alone_where_the_reference_is_asked_for() {
    let mut scene = Scene::of(small(), |tools| tools.compat(Compat::Reference)).await;
    scene.write("small", "small");
    scene.write("half", "h".repeat(20_000));
    scene.write("large", "l".repeat(40_000));
    scene.write("escaped", "\u{1}".repeat(10_000));
    scene.write("last", "last");
    let paths = ["small", "large", "half", "escaped", "missing", "half", "last"];
    let text = scene.text("read_multiple_files", json!({"paths": paths})).await;
    let parts: Vec<&str> = text.split("\n---\n").collect();
    assert_eq!(parts.len(), paths.len(), "{text:.2000}");
    assert_eq!(parts[0], "small:\nsmall\n");
    assert!(
        parts[1].starts_with("large: Error - Too large for one answer: large has 40000 bytes"),
        "{}",
        parts[1]
    );
    assert!(parts[1].contains("head or tail") && parts[1].contains("twice"), "{}", parts[1]);
    assert!(parts[2].starts_with("half:\nhhh") && parts[2].len() > 20_000);
    assert!(parts[3].starts_with("escaped: Error - Too large"), "{:.200}", parts[3]);
    assert!(parts[4].starts_with("missing: Error - ENOENT"), "{}", parts[4]);
    assert!(parts[5].contains("read it by itself"), "{:.300}", parts[5]);
    assert_eq!(parts[6], "last:\nlast\n");
}

#[tokio::test]
async fn what_is_too_large_is_told_with_what_helps() {
    let limits = small();
    let mut scene = Scene::with(limits, false).await;
    scene.write("picture.png", "x".repeat(60_000));
    std::fs::File::create(scene.path("sparse")).expect("a file").set_len(100 << 30).expect("a sparse file");
    // (tool, arguments, said, not said)
    let rows = [
        ("read_media_file", json!({"path": "picture.png"}), "max_reply_bytes to 162", "head"),
        ("read_media_file", json!({"path": "sparse"}), "no setting allows", "head"),
    ];
    for (tool, arguments, said, not_said) in rows {
        let text = scene.error(tool, arguments.clone()).await;
        assert!(text.starts_with("Too large for one answer"), "{arguments}: {text}");
        assert!(text.contains(said) && !text.contains(not_said), "{arguments}: {text}");
    }
    let mut reference = Scene::of(small(), |tools| tools.compat(Compat::Reference)).await;
    reference.write("line", "x".repeat(100_000));
    reference.write("lines", "x\n".repeat(50_000));
    for (arguments, said, not_said) in [
        (json!({"path": "lines", "tail": 40_000}), "fewer lines", "head or tail"),
        (json!({"path": "line", "tail": 1}), "a single line", "ask for fewer lines"),
    ] {
        let text = reference.error("read_text_file", arguments.clone()).await;
        assert!(text.contains(said) && !text.contains(not_said), "{arguments}: {text}");
    }
    // What the words say fits, fits.
    let text = reference.error("read_text_file", json!({"path": "line", "tail": 1})).await;
    let fits: usize = text
        .split("room for ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .and_then(|word| word.parse().ok())
        .expect("a number");
    scene.write("fits", "x".repeat(fits - 512));
    assert_eq!(scene.text("read_text_file", json!({"path": "fits"})).await.len(), fits - 512);
}
