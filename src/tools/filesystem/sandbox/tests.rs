//! Paths through the whole sandbox: what they cost, and where their links lead.

use super::access::Sandbox;
use super::beneath;
use super::directories::Directories;
use super::listing::{self, LIST};
use super::resolve::MAX_STEPS;
use crate::tools::filesystem::error::FsError;
use std::os::unix::fs::symlink;
use std::path::Path;

fn directories(root: &Path) -> Directories {
    Directories::new(&[root.to_path_buf()]).0
}

/// Calls of the system that `work` makes on this thread.
fn calls(work: impl FnOnce()) -> u64 {
    let before = beneath::CALLS.get();
    work();
    beneath::CALLS.get() - before
}

/// What a hostile request of size `n` looks like, and what must be on the disk for it.
struct Row {
    what: &'static str,
    make: fn(&Path, usize),
    ask: fn(usize) -> String,
}

fn deep(root: &Path, n: usize) {
    std::fs::create_dir_all(root.join("d/".repeat(n))).expect("directories");
}

/// A link in each directory that leads to the next one.
fn linked(root: &Path, n: usize) {
    let mut here = root.to_path_buf();
    for _ in 0..n.min(60) {
        std::fs::create_dir(here.join("d")).expect("a directory");
        symlink("d", here.join("l")).expect("a link");
        here.push("d");
    }
}

/// Links whose words go down and up again.
fn winding(root: &Path, n: usize) {
    deep(root, n);
    for link in 0..50 {
        let words = format!("{}{}l{}", "d/".repeat(n), "../".repeat(n), link + 1);
        symlink(words, root.join(format!("l{link}"))).expect("a link");
    }
}

const ROWS: [Row; 9] = [
    Row { what: "missing from the start", make: |_, _| {}, ask: |n| "p/".repeat(n) },
    Row { what: "missing below what is there", make: deep, ask: |n| format!("{}x", "d/".repeat(n)) },
    Row { what: "all of it there", make: deep, ask: |n| "d/".repeat(n) },
    Row {
        what: "down and up as text",
        make: deep,
        ask: |n| format!("{}{}x", "d/".repeat(n), "../".repeat(n)),
    },
    Row { what: "an odd name below", make: deep, ask: |n| format!("{}\u{e9} x/y", "d/".repeat(n)) },
    Row { what: "links all the way", make: linked, ask: |n| "l/".repeat(n) },
    Row {
        what: "a file on the way",
        make: |root, n| {
            deep(root, n);
            std::fs::write(root.join("d/".repeat(n)).join("f"), "").expect("a file");
        },
        ask: |n| format!("{}f/x", "d/".repeat(n)),
    },
    Row { what: "links that wind", make: winding, ask: |_| "l0".to_owned() },
    Row { what: "links that wind, then nothing", make: winding, ask: |_| "l0/x/y".to_owned() },
];

#[test]
fn no_request_takes_steps_that_grow_faster_than_it() {
    for row in ROWS {
        let mut counts = Vec::new();
        for n in [25, 50, 100, 200] {
            let root = tempfile::tempdir().expect("a directory");
            (row.make)(root.path(), n);
            let directories = directories(root.path());
            let request = (row.ask)(n);
            counts.push(calls(|| {
                let sandbox = directories.enter(None, None);
                drop(sandbox.open(&request, LIST));
                drop(sandbox.resolve(&request));
                drop(sandbox.open_to_read(&request, LIST, "open"));
            }));
        }
        for (index, pair) in counts.windows(2).enumerate() {
            assert!(pair[1] <= 2 * pair[0] + 16, "{}: {counts:?} at {index}", row.what);
        }
        assert!(counts[3] <= 3 * 2 * MAX_STEPS as u64, "{}: {counts:?}", row.what);
    }
}

/// Other systems open nothing at once, and follow no link on the way.
#[cfg(target_os = "linux")]
#[test]
fn the_usual_requests_take_few_calls() {
    use rustix::fs::OFlags;

    let root = tempfile::tempdir().expect("a directory");
    // Without links, wherever temporary files are kept.
    let path = root.path().canonicalize().expect("a path");
    std::fs::create_dir_all(path.join("a/b/c")).expect("directories");
    std::fs::write(path.join("a/b/c/f"), "").expect("a file");
    symlink("c/f", path.join("a/b/link")).expect("a link");
    let directories = directories(&path);
    for (request, want, what) in [
        ("a/b/c/f", 1, "the file"),
        ("a/b/link", 3, "the file in vain, the directory that is served, and the file below it"),
    ] {
        for flags in [beneath::HANDLE, OFlags::RDONLY] {
            let opened = calls(|| {
                let file = directories.enter(None, None).open(request, flags).expect("a path");
                drop(file.expect("the file"));
            });
            assert_eq!(opened, want, "{what}");
        }
    }
    let resolved = calls(|| drop(directories.enter(None, None).resolve("a/b/c/f").expect("the file")));
    assert_eq!(resolved, 4, "that directory and where it is, the one of the file, and its name");
    let refused = calls(|| drop(directories.enter(None, None).resolve(&"p/".repeat(32_000))));
    assert_eq!(refused, 0, "what is too long is not looked for");
}

#[test]
fn what_looks_at_many_names_is_not_done_where_others_wait() {
    let root = tempfile::tempdir().expect("a directory");
    for name in 0..300 {
        std::fs::write(root.path().join(format!("{name}")), "").expect("a file");
    }
    deep(root.path(), 300);
    let directories = directories(root.path());
    let inline = || directories.enter(Some(256), None);
    let list = |sandbox: &Sandbox, path: &str| {
        let (directory, target) = sandbox.open_resolved(path, LIST, "scandir")?;
        let named = |errno| FsError::os(errno, "scandir", target.path());
        listing::first_while(&directory, usize::MAX, |_, _| sandbox.spend(1), named).map(drop)
    };
    assert!(matches!(list(&inline(), "."), Err(FsError::TakesLong)));
    assert!(list(&inline(), "d").is_ok());
    assert!(list(&directories.enter(None, None), ".").is_ok());
    // Another spelling is looked for among all names.
    assert!(matches!(inline().resolve("caf\u{e9}"), Err(FsError::TakesLong)));
    assert!(matches!(inline().resolve_to_read("a b"), Err(FsError::TakesLong)));
    assert!(inline().resolve("a b").is_ok_and(|target| !target.exists));
    assert!(directories.enter(None, None).resolve("caf\u{e9}").is_ok_and(|target| !target.exists));
    // Nobody waits any more: a listing ends.
    let stopped = directories.enter(None, Some(crate::server::CancellationToken::after(100)));
    assert!(matches!(list(&stopped, "."), Err(FsError::Cancelled(_))));
    // A long way name by name.
    symlink("d", root.path().join("l")).expect("a link");
    let way = format!("l/{}", "d/".repeat(290));
    assert!(matches!(inline().resolve(&way), Err(FsError::TakesLong)));
    assert!(directories.enter(None, None).resolve(&way).is_ok_and(|target| target.exists));
}

/// What is asked for among the links of that test.
const WALKED: [&str; 30] = [
    "a/b/f",
    "down",
    "down/f",
    "through",
    "up",
    "up again",
    "up again/y",
    "around",
    "around/b/f",
    "around by link/f",
    "around and on",
    "absolute",
    "absolute dots",
    "absolute by link/f",
    "absolute on",
    "itself/a",
    "itself",
    "a/b/above",
    "a/b/above/down/above/x",
    "a/b/above and down",
    "around/../x/f",
    "loop",
    "loop/x",
    "out",
    "out/root",
    "nothing",
    "nothing/x",
    "a/b/f/x",
    "a/missing",
    "down/missing/x",
];

#[test]
fn links_are_walked_as_the_system_walks_them() {
    let outer = tempfile::tempdir().expect("a directory");
    let outer = outer.path().canonicalize().expect("a path");
    let root = outer.join("root");
    std::fs::create_dir_all(root.join("a/b")).expect("directories");
    std::fs::create_dir_all(root.join("x/y")).expect("directories");
    std::fs::write(root.join("a/b/f"), "").expect("a file");
    std::fs::write(root.join("x/f"), "").expect("a file");
    symlink("root", outer.join("other name")).expect("a link");
    let absolute = |path: &str| root.join(path).to_string_lossy().into_owned();
    for (name, words) in [
        ("down", "a/b".to_owned()),
        ("through", "down/f".to_owned()),
        ("up", "down/../../x/f".to_owned()),
        ("up again", "a/b/../b/../../x/".to_owned()),
        ("around", "../root/a".to_owned()),
        ("around by link", "../other name/a/b".to_owned()),
        ("around and on", "around/b/f".to_owned()),
        ("absolute", absolute("a/b/f")),
        ("absolute dots", absolute("x/../down/f")),
        ("absolute by link", outer.join("other name/x").to_string_lossy().into_owned()),
        ("absolute on", "absolute by link/y".to_owned()),
        ("itself", ".".to_owned()),
        ("a/b/above", "../..".to_owned()),
        ("a/b/above and down", "../../../root/x/./f".to_owned()),
        ("loop", "loop".to_owned()),
        ("out", "..".to_owned()),
        ("nothing", "a/none".to_owned()),
    ] {
        symlink(words, root.join(name)).expect("a link");
    }
    let directories = directories(&root);
    for path in WALKED {
        let resolved = directories.enter(None, None).resolve(path);
        let want = root.join(path).canonicalize();
        match (&resolved, want) {
            (Ok(target), Ok(want)) if want.starts_with(&root) => {
                assert_eq!(target.path(), want.as_os_str().as_encoded_bytes(), "{path}");
                assert!(target.exists && target.open(beneath::HANDLE).is_ok(), "{path}");
            }
            (Ok(target), Err(_)) => assert!(!target.exists, "{path}"),
            (Err(FsError::LinkOutside { .. }), Ok(want)) => assert!(!want.starts_with(&root), "{path}"),
            (Err(_), Err(_)) => {}
            (resolved, want) => panic!("{path}: {resolved:?}, not {want:?}"),
        }
    }
}
