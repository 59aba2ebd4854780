//! What each tool answers, on an ordinary repository. `tests/interop/drop_in_git.py` compares many more with the reference
//! server.

use super::Scene;
use mcpool::tools::git::Git;
use serde_json::json;

#[tokio::test]
async fn a_change_goes_from_the_work_tree_to_a_commit() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.write("a.txt", "one\n");
    let status = scene.text("git_status", json!({})).await;
    assert!(status.starts_with("Repository status:\nOn branch main\n\nNo commits yet\n"), "{status}");
    assert!(status.contains("\ta.txt") && !status.ends_with('\n'), "{status}");
    let empty = scene.error("git_commit", json!({"message": "none"})).await;
    assert!(empty.starts_with("No changes staged for commit. Use git_add to stage"), "{empty}");
    let files = json!({"files": ["a.txt"]});
    assert_eq!(scene.text("git_add", files.clone()).await, "Files staged successfully");
    let nothing = scene.text("git_add", files).await;
    assert!(
        nothing.starts_with("No changes were staged: the given paths had nothing new to stage."),
        "{nothing}"
    );
    let message = "--amend\n\n# kept\n  indented\n\n";
    let committed = scene.text("git_commit", json!({"message": message})).await;
    let head = scene.git(&["rev-parse", "HEAD"]);
    assert_eq!(committed, format!("Changes committed successfully with hash {head}"));
    assert_eq!(scene.git(&["log", "-1", "--format=%an <%ae> %cn"]), "Ann <ann@example.org> Ann");
    let date = scene.git(&["log", "-1", "--format=%ai"]).replacen(" +", "+", 1);
    let date = format!("{}:{}", &date[..date.len() - 2], &date[date.len() - 2..]);
    let log = scene.text("git_log", json!({})).await;
    assert_eq!(
        log,
        format!("Commit history:\nCommit: {head}\nAuthor: Ann\nDate: {date}\nMessage: {message}\n")
    );
}

#[tokio::test]
async fn diffs_are_of_the_index_the_work_tree_and_a_target() {
    let Some(mut scene) = Scene::new().await else { return };
    let lines: Vec<String> = (0..20).map(|line| format!("line {line}\n")).collect();
    scene.write("a.txt", lines.concat());
    scene.commit_all("first");
    scene.write("a.txt", lines.concat().replace("line 10\n", "line ten\n"));
    let change = "-line 10\n+line ten\n";
    let unstaged = scene.text("git_diff_unstaged", json!({})).await;
    assert!(unstaged.starts_with("Unstaged changes:\ndiff --git a/a.txt b/a.txt\n"), "{unstaged}");
    assert!(unstaged.ends_with(&format!(" line 9\n{change} line 11\n line 12\n line 13")), "{unstaged}");
    let narrow = scene.text("git_diff_unstaged", json!({"context_lines": "0"})).await;
    assert!(narrow.ends_with("@@ -11 +11 @@ line 9\n-line 10\n+line ten"), "{narrow}");
    assert_eq!(scene.text("git_diff_staged", json!({})).await, "Staged changes:\n");
    scene.git(&["add", "a.txt"]);
    let staged = scene.text("git_diff_staged", json!({"context_lines": 1})).await;
    assert!(staged.starts_with("Staged changes:\ndiff") && staged.contains(change), "{staged}");
    assert_eq!(scene.text("git_diff_unstaged", json!({})).await, "Unstaged changes:\n");
    let target = scene.text("git_diff", json!({"target": "main"})).await;
    assert!(target.starts_with("Diff with main:\ndiff") && target.contains(change), "{target}");
    assert_eq!(scene.text("git_reset", json!({})).await, "All staged changes reset");
    assert_eq!(scene.text("git_diff_staged", json!({})).await, "Staged changes:\n");
    for target in ["missing", "", "HEAD..main", "HEAD\nHEAD"] {
        let error = scene.error("git_diff", json!({"target": target})).await;
        assert_eq!(error, format!("Ref '{target}' did not resolve to an object"));
    }
}

#[tokio::test]
async fn a_diff_with_bytes_that_are_no_text_is_answered() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.write("latin1.txt", b"caf\xe9\n");
    scene.commit_all("first");
    scene.write("latin1.txt", b"na\xefve\n");
    let diff = scene.text("git_diff_unstaged", json!({})).await;
    assert!(diff.ends_with("-caf\u{fffd}\n+na\u{fffd}ve"), "{diff}");
    assert_eq!(scene.text("git_show", json!({"revision": "HEAD:latin1.txt"})).await, "caf\u{fffd}\n");
}

#[tokio::test]
async fn commits_files_and_directories_are_shown() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.write("dir/b \"q\" \u{e4}.txt", "b\n");
    scene.write("a.txt", "a\n");
    scene.write("bin", b"\0\x01");
    scene.git(&["add", "--all"]);
    scene.git(&["commit", "--quiet", "--cleanup=verbatim", "--message", "first\n\nbody\n\n"]);
    let show = scene.text("git_show", json!({"revision": "HEAD"})).await;
    let head = scene.git(&["rev-parse", "HEAD"]);
    let date = scene.git(&["log", "-1", "--format=%ai"]);
    let want = format!(
        "commit {head}\nAuthor: Ann <ann@example.org>\nDate:   {date}\n\n    first\n    \n    body\n\n--- /dev/null\n+++ \
         b/a.txt\n@@ -0,0 +1 @@\n+a\n\n--- /dev/null\n+++ b/bin\nBinary files /dev/null and b/bin differ\n\n--- /dev/null\n\
         +++ b/dir/b \"q\" \u{e4}.txt\n@@ -0,0 +1 @@\n+b\n"
    );
    assert_eq!(show, want);
    assert_eq!(scene.text("git_show", json!({"revision": "HEAD:a.txt"})).await, "a\n");
    assert_eq!(scene.text("git_show", json!({"revision": "HEAD:"})).await, "a.txt\nbin\ndir/");
    assert_eq!(scene.text("git_show", json!({"revision": "HEAD:dir"})).await, "b \"q\" \u{e4}.txt");
    scene.git(&["mv", "a.txt", "moved.txt"]);
    scene.git(&["rm", "--quiet", "bin"]);
    scene.commit_all("");
    let shown = scene.text("git_show", json!({"revision": "main"})).await;
    assert!(shown.contains("\n--- a/a.txt\n+++ b/moved.txt\n"), "{shown}");
    assert!(
        shown.contains("\n--- a/bin\n+++ /dev/null\nBinary files a/bin and /dev/null differ\n"),
        "{shown}"
    );
    scene.git(&["tag", "--annotate", "--message", "a tag", "v1", "HEAD~1"]);
    let tagged = scene.text("git_show", json!({"revision": "v1"})).await;
    assert_eq!(tagged, want);
    let error = scene.error("git_show", json!({"revision": "HEAD:missing"})).await;
    assert_eq!(error, "Ref 'HEAD:missing' did not resolve to an object");
}

#[tokio::test]
async fn branches_are_listed_made_and_switched_to() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.commit_all("first");
    scene.git(&["tag", "v1"]);
    scene.commit_all("second");
    scene.git(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
    let create = |name: &str, base: Option<&str>| json!({"branch_name": name, "base_branch": base});
    assert_eq!(scene.text("git_create_branch", create("a", None)).await, "Created branch 'a' from 'main'");
    assert_eq!(
        scene.text("git_create_branch", create("b", Some("v1"))).await,
        "Created branch 'b' from 'v1'"
    );
    let made = scene.text("git_create_branch", create("dir/c", Some("origin/main"))).await;
    assert_eq!(made, "Created branch 'dir/c' from 'origin/main'");
    assert_eq!(scene.git(&["rev-parse", "b"]), scene.git(&["rev-parse", "main~1"]));
    let exists = scene.error("git_create_branch", create("a", None)).await;
    assert_eq!(exists, "Cannot create branch 'a': refs/heads/a already exists");
    for base in ["HEAD~1", "main^{}", "missing", "main@{0}", ":/first"] {
        let error = scene.error("git_create_branch", create("new", Some(base))).await;
        assert_eq!(error, format!("No item found with id {base}"));
    }
    let list = |kind: &str| json!({"branch_type": kind});
    assert_eq!(scene.text("git_branch", list("local")).await, "  a\n  b\n  dir/c\n* main");
    assert_eq!(scene.text("git_branch", list("remote")).await, "  origin/main");
    assert!(scene.text("git_branch", list("all")).await.ends_with("* main\n  remotes/origin/main"));
    let contains = json!({"branch_type": "local", "not_contains": "main"});
    assert_eq!(scene.text("git_branch", contains).await, "  b");
    let contains = json!({"branch_type": "local", "contains": "a", "not_contains": null});
    assert_eq!(scene.text("git_branch", contains).await, "  a\n  dir/c\n* main");
    assert_eq!(scene.error("git_branch", list("own")).await, "Invalid branch type: own");
    let failed = scene.error("git_branch", json!({"branch_type": "all", "contains": "missing"})).await;
    let want = "Cmd('git') failed due to: exit code(129)\n  cmdline: git branch -a --contains missing\n  stderr: 'error: ";
    assert!(failed.starts_with(want), "{failed}");
    let checkout = |name: &str| json!({"branch_name": name});
    assert_eq!(scene.text("git_checkout", checkout("b")).await, "Switched to branch 'b'");
    let id = scene.git(&["rev-parse", "v1"]);
    let detached = format!("HEAD is now detached at {}", &id[..7]);
    assert_eq!(scene.text("git_checkout", checkout("v1")).await, detached);
    let error = scene.error("git_create_branch", create("new", None)).await;
    assert_eq!(error, "HEAD is detached, so there is no current branch to branch from; pass base_branch");
    assert_eq!(scene.error("git_checkout", checkout("x")).await, "Ref 'x' did not resolve to an object");
}

#[tokio::test]
async fn a_log_is_bounded_by_number_and_time() {
    let Some(mut scene) = Scene::new().await else { return };
    let none = scene.error("git_log", json!({})).await;
    assert_eq!(none, "Reference at 'refs/heads/main' does not exist");
    for number in 0..12 {
        scene.commit_all(&format!("number {number}"));
    }
    let count = |log: &str| log.matches("\nCommit: ").count();
    assert_eq!(count(&scene.text("git_log", json!({})).await), 10);
    assert_eq!(count(&scene.text("git_log", json!({"max_count": "3"})).await), 3);
    assert_eq!(count(&scene.text("git_log", json!({"max_count": -1})).await), 12);
    assert_eq!(scene.text("git_log", json!({"max_count": 0})).await, "Commit history:\n");
    let past = json!({"end_timestamp": "2001-01-01", "start_timestamp": null});
    assert_eq!(scene.text("git_log", past).await, "Commit history:\n");
    let since = json!({"start_timestamp": "2 weeks ago", "max_count": 2});
    let log = scene.text("git_log", since).await;
    assert!(
        log.contains("Message: number 11\n\n\nCommit: ") && log.ends_with("Message: number 10\n\n"),
        "{log}"
    );
}

#[tokio::test]
async fn a_merge_is_concluded_with_both_parents() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.write("a.txt", "base\n");
    scene.commit_all("base");
    scene.git(&["branch", "theirs"]);
    scene.write("a.txt", "ours\n");
    scene.commit_all("ours");
    scene.git(&["checkout", "--quiet", "theirs"]);
    scene.write("a.txt", "theirs\n");
    scene.commit_all("theirs");
    scene.git(&["checkout", "--quiet", "main"]);
    scene.git(&["merge", "--quiet", "--strategy=ours", "--no-commit", "theirs"]);
    scene.text("git_commit", json!({"message": "merged"})).await;
    assert_eq!(scene.git(&["log", "-1", "--format=%s %p"]).split(' ').count(), 3);
    assert!(!scene.path(".git/MERGE_HEAD").exists());
}

#[tokio::test]
async fn names_globs_and_deleted_files_are_staged() {
    let Some(mut scene) = Scene::new().await else { return };
    for name in ["gone", "-p", "a.rs", "b.rs", "d/c.rs", "other"] {
        scene.write(name, "x\n");
    }
    scene.git(&["add", "gone"]);
    scene.git(&["commit", "--quiet", "--message", "first"]);
    std::fs::remove_file(scene.path("gone")).expect("removed");
    let bad = scene.error("git_add", json!({"files": ["a.rs", "missing"]})).await;
    assert!(bad.contains("cmdline: git add -- a.rs missing\n"), "{bad}");
    assert_eq!(scene.git(&["diff", "--cached", "--name-only", "--no-renames"]), "");
    for (files, staged) in [
        (json!(["-p"]), "-p"),
        (json!(["gone"]), "-p\ngone"),
        (json!(["*.rs"]), "-p\na.rs\nb.rs\nd/c.rs\ngone"),
        (json!(["."]), "-p\na.rs\nb.rs\nd/c.rs\ngone\nother"),
    ] {
        assert_eq!(scene.text("git_add", json!({"files": files})).await, "Files staged successfully");
        assert_eq!(scene.git(&["diff", "--cached", "--name-only", "--no-renames"]), staged);
    }
}

#[tokio::test]
async fn read_only_tools_change_nothing() {
    let Some(scene) = Scene::new().await else { return };
    let names: Vec<String> = {
        use mcpool::toolsets::Toolset;
        let git = Git::new(&[scene.path("")], true);
        git.definitions().iter().map(|tool| tool.name().to_owned()).collect()
    };
    let want = [
        "git_status",
        "git_diff_unstaged",
        "git_diff_staged",
        "git_diff",
        "git_log",
        "git_show",
        "git_branch",
    ];
    assert_eq!(names, want);
}
