//! What no check before git runs can see: names in an index, files that a configuration names, and parts of a repository
//! that are exchanged while git runs. Each is shown to work where git is not in the sandbox, as `--allow-git-programs`
//! has it, so that a test that finds nothing says something.

use super::{Scene, git, init};
use mcpool::Limits;
use mcpool::tools::git::Git;
use serde_json::json;
use std::os::unix::fs::symlink;
use std::path::Path;

const SECRET: &str = "the secret of another directory";

/// A scene whose git is in the sandbox; nothing where the kernel has none.
async fn sandboxed() -> Option<Scene> {
    if !Git::new(&[], false).is_sandboxed() {
        eprintln!("skipped: this kernel has no Landlock");
        return None;
    }
    Scene::new().await
}

async fn free() -> Option<Scene> {
    Scene::with(Limits::default(), |git| git.allow_programs(true)).await
}

/// Writes an index by hand: entries of one and the same object, under names that git would not take.
fn write_index(repository: &Path, names: &[&str]) {
    let id = git(repository, &["rev-parse", "HEAD:a.txt"]);
    let id: Vec<u8> = (0..id.len() / 2)
        .map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).expect("a digit"))
        .collect();
    let mut names = names.to_vec();
    names.sort_unstable();
    let mut index = b"DIRC".to_vec();
    index.extend(2_u32.to_be_bytes());
    index.extend((names.len() as u32).to_be_bytes());
    for name in names {
        let mut entry = Vec::new();
        // Times, device, inode, mode, owner, group and size, of which only the mode counts.
        for field in [0, 0, 0, 0, 0, 0, 0o100_644, 0, 0, 2_u32] {
            entry.extend(field.to_be_bytes());
        }
        entry.extend(&id);
        entry.extend((name.len() as u16).to_be_bytes());
        entry.extend(name.as_bytes());
        entry.resize(entry.len() + 8 - entry.len() % 8, 0);
        index.extend(entry);
    }
    // In the place of a checksum, which git does not look at unless it checks all of a repository.
    index.extend([0; 20]);
    std::fs::write(repository.join(".git/index"), index).expect("a file");
}

/// Everything that a call says.
async fn said(scene: &mut Scene, tool: &str, arguments: serde_json::Value) -> String {
    scene.call(tool, arguments).await.to_string()
}

#[tokio::test]
async fn names_in_an_index_do_not_lead_out() {
    let Some(mut scene) = sandboxed().await else { return };
    scene.write("a.txt", "a\n");
    scene.commit_all("first");
    let outside = scene.outer.join("outside.txt");
    std::fs::write(&outside, SECRET).expect("a file");
    let absolute = outside.to_string_lossy().into_owned();
    for (name, branch) in [("../../outside.txt", "one"), (&*absolute, "two")] {
        write_index(&scene.path(""), &[name, "a.txt"]);
        for (tool, arguments) in [
            ("git_diff_unstaged", json!({})),
            ("git_diff", json!({"target": "HEAD"})),
            ("git_diff_staged", json!({})),
            ("git_status", json!({})),
            ("git_add", json!({"files": ["."]})),
            ("git_commit", json!({"message": "m"})),
            ("git_show", json!({"revision": "HEAD"})),
        ] {
            let said = said(&mut scene, tool, arguments).await;
            assert!(!said.contains(SECRET), "{tool}, {name}: {said}");
        }
        let error = scene.error("git_diff_unstaged", json!({})).await;
        assert!(error.contains("hint: this server keeps git inside the allowed directories"), "{error}");
        // Nor is a file outside taken away by a tool that makes the work tree like another commit.
        scene.git(&["branch", branch, "HEAD"]);
        said(&mut scene, "git_checkout", json!({"branch_name": branch})).await;
        said(&mut scene, "git_reset", json!({})).await;
        assert_eq!(std::fs::read_to_string(&outside).expect("it is there"), SECRET);
    }
}

#[tokio::test]
async fn where_git_is_not_in_the_sandbox_such_an_index_is_refused() {
    let Some(mut scene) = free().await else { return };
    scene.write("a.txt", "a\n");
    scene.commit_all("first");
    std::fs::write(scene.outer.join("outside.txt"), SECRET).expect("a file");
    for name in ["../../outside.txt", "/etc/passwd", "b/../../../outside.txt"] {
        write_index(&scene.path(""), &[name, "a.txt"]);
        for (tool, arguments) in [
            ("git_diff_unstaged", json!({})),
            ("git_diff", json!({"target": "HEAD"})),
            ("git_status", json!({})),
            ("git_add", json!({"files": ["a.txt"]})),
            ("git_commit", json!({"message": "m"})),
            ("git_reset", json!({})),
            ("git_checkout", json!({"branch_name": "main"})),
        ] {
            let error = scene.error(tool, arguments).await;
            assert!(error.contains("has names that lead out of it"), "{tool}, {name}: {error}");
        }
    }
    write_index(&scene.path(""), &["a.txt", "..b", "c..", "d/.../e"]);
    scene.text("git_status", json!({})).await;
}

/// Settings of a repository that name a file outside, and what shows that the file was read.
#[tokio::test]
async fn files_that_a_repository_names_are_not_read_outside() {
    for is_free in [true, false] {
        let scene = if is_free { free().await } else { sandboxed().await };
        let Some(mut scene) = scene else { return };
        scene.write("a.txt", "a\n");
        scene.commit_all("first");
        scene.write("a.txt", "b\n");
        scene.write("found.txt", "x\n");
        let outside = scene.outer.join("outside");
        let named = outside.to_string_lossy().into_owned();

        std::fs::write(&outside, "*.txt -diff\n").expect("a file");
        scene.git(&["config", "core.attributesFile", &named]);
        let diff = said(&mut scene, "git_diff_unstaged", json!({})).await;
        assert_eq!(diff.contains("Binary files"), is_free, "attributes: {diff}");
        scene.git(&["config", "core.attributesFile", "/dev/null"]);

        std::fs::write(&outside, "found.txt\n").expect("a file");
        scene.git(&["config", "core.excludesFile", &named]);
        let status = said(&mut scene, "git_status", json!({})).await;
        assert_eq!(
            !status.contains("found.txt") && !status.contains("isError"),
            is_free,
            "excludes: {status}"
        );
        scene.git(&["config", "core.excludesFile", "/dev/null"]);

        std::fs::write(&outside, "[user]\n\tname = Read Outside\n").expect("a file");
        scene.git(&["config", "include.path", &named]);
        scene.git(&["add", "a.txt"]);
        said(&mut scene, "git_commit", json!({"message": "m"})).await;
        let log = said(&mut scene, "git_log", json!({})).await;
        assert_eq!(log.contains("Read Outside"), is_free, "include: {log}");
    }
}

#[tokio::test]
async fn what_is_exchanged_while_git_runs_is_not_read() {
    let Some(mut scene) = sandboxed().await else { return };
    scene.write("a.txt", "a\n");
    scene.write("dir/b.txt", "b\n");
    scene.commit_all("first");
    let other = scene.outer.join("other");
    init(&other);
    std::fs::write(other.join("a.txt"), SECRET).expect("a file");
    std::fs::write(other.join("b.txt"), SECRET).expect("a file");
    git(&other, &["add", "--all"]);
    git(&other, &["commit", "--quiet", "--message", SECRET]);
    // Each is exchanged for a link that stands beside it.
    let links = [(".git", other.join(".git")), ("dir", other.clone())];
    for (name, target) in &links {
        symlink(target, scene.outer.join("root").join(format!("link{name}"))).expect("a link");
    }
    let pairs: Vec<_> = links
        .iter()
        .map(|(name, _)| (scene.path(name), scene.outer.join("root").join(format!("link{name}"))))
        .collect();
    let is_over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let exchanging = {
        let is_over = std::sync::Arc::clone(&is_over);
        std::thread::spawn(move || {
            let mut exchanged = 0_u32;
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                for (one, another) in &pairs {
                    exchange(one, another);
                }
                exchanged += 1;
                std::thread::sleep(std::time::Duration::from_micros(u64::from(exchanged % 7) * 300));
            }
        })
    };
    let mut leaks = 0;
    for _ in 0..25 {
        for (tool, arguments) in [
            ("git_log", json!({})),
            ("git_diff_unstaged", json!({})),
            ("git_show", json!({"revision": "HEAD"})),
        ] {
            leaks += u32::from(said(&mut scene, tool, arguments).await.contains(SECRET));
        }
    }
    is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    exchanging.join().expect("it ended");
    assert_eq!(leaks, 0);
}

/// Exchanges two names in one step.
fn exchange(one: &Path, another: &Path) {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let exchanged = renameat_with(CWD, one, CWD, another, RenameFlags::EXCHANGE);
    assert!(exchanged.is_ok(), "{exchanged:?}");
}

#[tokio::test]
async fn tools_that_only_read_write_nothing_and_the_others_do() {
    let Some(mut scene) = sandboxed().await else { return };
    scene.write("a.txt", "a\n");
    scene.text("git_add", json!({"files": ["a.txt"]})).await;
    scene.text("git_commit", json!({"message": "first"})).await;
    scene.text("git_create_branch", json!({"branch_name": "other"})).await;
    scene.write("a.txt", "b\n");
    scene.text("git_add", json!({"files": ["a.txt"]})).await;
    scene.text("git_reset", json!({})).await;
    scene.git(&["checkout", "--", "a.txt"]);
    assert!(scene.text("git_checkout", json!({"branch_name": "other"})).await.contains("other"));
    let reflog = std::fs::read_to_string(scene.path(".git/logs/HEAD")).expect("a file");
    assert!(reflog.lines().all(|line| line.contains("Ann <ann@example.org>")), "{reflog}");
}
