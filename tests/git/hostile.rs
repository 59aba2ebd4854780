//! Clients and repositories that want more than they may: options in the place of names, programs in a repository's own
//! configuration, and parts of it elsewhere.

use super::{Scene, git, init};
use serde_json::{Value, json};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// What a client sends, for each argument that reaches git.
#[tokio::test]
async fn no_argument_is_an_option() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.write("a.txt", "a\n");
    scene.commit_all("first");
    let outside = scene.outer.join("written");
    let output = format!("--output={}", outside.display());
    for (tool, argument, others, what) in [
        ("git_diff", "target", json!({}), "target"),
        ("git_show", "revision", json!({}), "revision"),
        ("git_checkout", "branch_name", json!({}), "branch name"),
        ("git_create_branch", "branch_name", json!({}), "branch name"),
        ("git_create_branch", "base_branch", json!({"branch_name": "new"}), "base branch"),
        ("git_branch", "contains", json!({"branch_type": "all"}), "contains value"),
        ("git_branch", "not_contains", json!({"branch_type": "all"}), "not_contains value"),
        ("git_log", "start_timestamp", json!({}), "start_timestamp"),
        ("git_log", "end_timestamp", json!({}), "end_timestamp"),
    ] {
        for value in [&output, "-p", "--", "--all", "-c", "--exec-path=/tmp", "--upload-pack=touch x"] {
            let mut arguments = others.clone();
            arguments[argument] = json!(value);
            let error = scene.error(tool, arguments).await;
            let value = value.replace(&*scene.outer.to_string_lossy(), "OUTER");
            assert_eq!(error, format!("Invalid {what}: '{value}' - cannot start with '-'"), "{tool}");
        }
    }
    // What begins otherwise stays one argument.
    for value in [
        " --output=x",
        "HEAD --output=x",
        "HEAD\n--output=x",
        "@{-1}",
        "$(touch x)",
        "`touch x`",
        "a;touch x",
    ] {
        for (tool, argument) in
            [("git_diff", "target"), ("git_show", "revision"), ("git_checkout", "branch_name")]
        {
            let mut arguments = json!({});
            arguments[argument] = json!(value);
            let error = scene.error(tool, arguments).await;
            assert_eq!(error, format!("Ref '{value}' did not resolve to an object"), "{tool}");
        }
        let branch = json!({"branch_name": value});
        let error = scene.error("git_create_branch", branch).await;
        assert!(error.contains("is not a valid branch name"), "{error}");
    }
    let files = json!({"files": ["--all", "-A", "--pathspec-from-file=/etc/passwd"]});
    assert!(scene.error("git_add", files).await.contains("did not match any files"));
    assert!(!outside.exists() && !scene.path("x").exists());
}

/// A program that a repository names, and what would start it.
struct Trap {
    name: &'static str,
    /// Settings of the repository; `TRAP` is the program.
    settings: &'static [(&'static str, &'static str)],
    attributes: &'static str,
}

const TRAPS: [Trap; 13] = [
    Trap { name: "a watcher of files", settings: &[("core.fsmonitor", "TRAP")], attributes: "" },
    Trap { name: "hooks", settings: &[("core.hooksPath", "HOOKS")], attributes: "" },
    Trap { name: "an external diff", settings: &[("diff.external", "TRAP")], attributes: "" },
    Trap { name: "a driver of diffs", settings: &[("diff.x.command", "TRAP")], attributes: "* diff=x\n" },
    Trap { name: "a text converter", settings: &[("diff.x.textconv", "TRAP")], attributes: "* diff=x\n" },
    Trap {
        name: "a pager",
        settings: &[("core.pager", "TRAP"), ("pager.log", "TRAP"), ("pager.diff", "TRAP")],
        attributes: "",
    },
    Trap {
        name: "an editor",
        settings: &[("core.editor", "TRAP"), ("sequence.editor", "TRAP")],
        attributes: "",
    },
    Trap {
        name: "a signer",
        settings: &[
            ("commit.gpgSign", "true"),
            ("gpg.program", "TRAP"),
            ("gpg.openpgp.program", "TRAP"),
            ("log.showSignature", "true"),
        ],
        attributes: "",
    },
    Trap {
        name: "signers of other kinds",
        settings: &[
            ("gpg.x509.program", "TRAP"),
            ("gpg.ssh.program", "TRAP"),
            ("gpg.ssh.defaultKeyCommand", "TRAP"),
            ("branch.sort", "signature"),
        ],
        attributes: "",
    },
    Trap {
        name: "aliases",
        settings: &[("alias.status", "!TRAP"), ("alias.diff", "!TRAP"), ("alias.log", "!TRAP")],
        attributes: "",
    },
    Trap {
        name: "a shell of the network",
        settings: &[("core.sshCommand", "TRAP"), ("core.gitProxy", "TRAP")],
        attributes: "",
    },
    Trap {
        name: "a summary of submodules",
        settings: &[("status.submoduleSummary", "true"), ("diff.submodule", "log")],
        attributes: "",
    },
    Trap {
        name: "housekeeping",
        settings: &[("gc.auto", "1"), ("maintenance.auto", "true")],
        attributes: "",
    },
];

/// A program that leaves a trace if it runs, in a file beside it.
fn lay_trap(directory: &Path) -> String {
    let (program, trace) = (directory.join("trap"), directory.join("sprung"));
    std::fs::write(&program, format!("#!/bin/sh\necho \"$0\" >> '{}'\ncat\n", trace.display()))
        .expect("a program");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("set");
    program.to_string_lossy().into_owned()
}

fn has_sprung(directory: &Path) -> bool {
    directory.join("sprung").exists()
}

/// Every tool once, so that each kind of program would have its occasion.
const ALL_TOOLS: [&str; 12] = [
    "git_status",
    "git_diff_unstaged",
    "git_diff",
    "git_add",
    "git_diff_staged",
    "git_commit",
    "git_reset",
    "git_log",
    "git_show",
    "git_branch",
    "git_create_branch",
    "git_checkout",
];

fn arguments_of(tool: &str) -> Value {
    match tool {
        "git_diff" => json!({"target": "HEAD"}),
        "git_add" => json!({"files": ["."]}),
        "git_commit" => json!({"message": "x"}),
        "git_show" => json!({"revision": "HEAD"}),
        "git_branch" => json!({"branch_type": "all"}),
        "git_create_branch" => json!({"branch_name": "new"}),
        "git_checkout" => json!({"branch_name": "other"}),
        _ => json!({}),
    }
}

#[tokio::test]
async fn no_program_of_a_repository_runs() {
    for trap in &TRAPS {
        let Some(mut scene) = Scene::new().await else { return };
        let outer = scene.outer.clone();
        let program = lay_trap(&outer);
        scene.write("a.txt", "a\n");
        scene.commit_all("first");
        scene.git(&["branch", "other"]);
        scene.write(".gitattributes", trap.attributes);
        scene.write("a.txt", "b\n");
        let hooks = outer.join("hooks");
        for hook in [
            "pre-commit",
            "commit-msg",
            "post-commit",
            "post-checkout",
            "reference-transaction",
            "post-index-change",
            "prepare-commit-msg",
        ] {
            for directory in [&hooks, &scene.path(".git/hooks")] {
                std::fs::create_dir_all(directory).expect("a directory");
                std::fs::copy(&program, directory.join(hook)).expect("copied");
            }
        }
        scene.git(&["config", "--unset", "core.hooksPath"]);
        for (key, value) in trap.settings {
            let value = value.replace("TRAP", &program).replace("HOOKS", &hooks.to_string_lossy());
            scene.git(&["config", key, &value]);
        }
        for tool in ALL_TOOLS {
            scene.text(tool, arguments_of(tool)).await;
            assert!(!has_sprung(&outer), "{}: {tool}", trap.name);
        }
    }
}

#[tokio::test]
async fn programs_run_where_they_are_allowed() {
    let Some(mut scene) = Scene::with(mcpool::Limits::default(), |git| git.allow_programs(true)).await else {
        return;
    };
    let outer = scene.outer.clone();
    let program = lay_trap(&outer);
    scene.write("a.txt", "a\n");
    scene.git(&["config", "--unset", "core.hooksPath"]);
    std::fs::create_dir_all(scene.path(".git/hooks")).expect("a directory");
    std::fs::copy(&program, scene.path(".git/hooks/post-commit")).expect("copied");
    scene.text("git_add", json!({"files": ["."]})).await;
    assert!(!has_sprung(&outer));
    scene.text("git_commit", json!({"message": "x"})).await;
    assert!(has_sprung(&outer), "the trap works");
    scene.git(&["config", "filter.x.clean", &program]);
    scene.text("git_status", json!({})).await;
}

#[tokio::test]
async fn a_repository_with_filters_of_its_own_is_refused() {
    let Some(mut scene) = Scene::new().await else { return };
    let outer = scene.outer.clone();
    let program = lay_trap(&outer);
    scene.write("a.txt", "a\n");
    scene.commit_all("first");
    scene.git(&["branch", "other"]);
    scene.write(".gitattributes", "* filter=x merge=x\n");
    scene.write("a.txt", "b\n");
    let other = scene.path(".git/more");
    for key in ["filter.x.clean", "filter.x.smudge", "filter.x.process", "merge.x.driver"] {
        // In the repository's file, in one that it includes, and in the file of the work tree.
        for place in ["own", "included", "worktree"] {
            match place {
                "own" => drop(scene.git(&["config", key, &program])),
                "included" => {
                    scene.git(&["config", "--file", &other.to_string_lossy(), key, &program]);
                    scene.git(&["config", "include.path", &other.to_string_lossy()]);
                }
                _ => {
                    scene.git(&["config", "extensions.worktreeConfig", "true"]);
                    scene.git(&["config", "--worktree", key, &program]);
                }
            }
            for tool in ALL_TOOLS {
                if ["git_log", "git_show", "git_branch", "git_create_branch"].contains(&tool) {
                    continue;
                }
                let error = scene.error(tool, arguments_of(tool)).await;
                let begin =
                    format!("The repository's own configuration sets {key}, which would run a program.");
                assert!(error.starts_with(&begin), "{place}: {tool}: {error}");
                assert!(!has_sprung(&outer), "{key} {place}: {tool}");
            }
            // Tools for which git converts nothing go on.
            scene.text("git_log", json!({})).await;
            scene.text("git_show", json!({"revision": "HEAD"})).await;
            assert!(!has_sprung(&outer));
            let unset = |arguments: &[&str]| drop(scene.git(arguments));
            match place {
                "own" => unset(&["config", "--unset", key]),
                "included" => {
                    unset(&["config", "--unset", "include.path"]);
                    std::fs::remove_file(&other).expect("removed");
                }
                _ => {
                    unset(&["config", "--worktree", "--unset", key]);
                    unset(&["config", "--unset", "extensions.worktreeConfig"]);
                }
            }
        }
    }
    scene.text("git_status", json!({})).await;
}

#[tokio::test]
async fn repositories_and_their_parts_outside_are_refused() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.write("a.txt", "a\n");
    scene.commit_all("first");
    let secret = scene.outer.join("secret");
    init(&secret);
    std::fs::write(secret.join("s"), "secret\n").expect("a file");
    git(&secret, &["add", "s"]);
    git(&secret, &["commit", "--quiet", "--message", "secret"]);
    git(&secret, &["worktree", "add", "--quiet", &scene.outer.join("root/worktree").to_string_lossy()]);
    std::fs::create_dir(scene.outer.join("root/file")).expect("a directory");
    std::fs::write(scene.outer.join("root/file/.git"), "gitdir: ../../secret/.git\n").expect("a file");
    std::fs::create_dir(scene.outer.join("root/link")).expect("a directory");
    symlink(secret.join(".git"), scene.outer.join("root/link/.git")).expect("a link");
    symlink(&secret, scene.outer.join("root/whole")).expect("a link");
    let clone = scene.outer.join("root/shared");
    git(&scene.outer, &["clone", "--quiet", "--shared", &secret.to_string_lossy(), &clone.to_string_lossy()]);
    let root = scene.outer.join("root");
    for (path, want) in [
        (secret.clone(), "Repository path 'OUTER/secret' is outside the allowed repository 'OUTER/root'"),
        (root.join("../secret"), "Repository path 'OUTER/root/../secret' is outside the allowed repository"),
        (root.join("whole"), "Repository path 'OUTER/root/whole' is outside the allowed repository"),
        (
            root.join("worktree"),
            "The repository 'OUTER/root/worktree' uses 'OUTER/secret/.git/worktrees/worktree'",
        ),
        (root.join("file"), "The repository 'OUTER/root/file' uses 'OUTER/secret/.git'"),
        (root.join("link"), "The repository 'OUTER/root/link' uses 'OUTER/secret/.git'"),
        (root.join("link/.git"), "Repository path 'OUTER/root/link/.git' is outside"),
        (clone, "The repository 'OUTER/root/shared' uses 'OUTER/secret/.git/objects'"),
        ("/".into(), "Repository path '/' is outside the allowed repository 'OUTER/root'"),
        (root.join("repo/sub"), "OUTER/root/repo/sub"),
        (root.clone(), "OUTER/root"),
    ] {
        for tool in ALL_TOOLS {
            let mut arguments = arguments_of(tool);
            arguments["repo_path"] = json!(path.to_string_lossy());
            let error = scene.error(tool, arguments).await;
            assert!(error.starts_with(want), "{tool} {}: {error}", path.display());
        }
    }
    // Another work tree of a repository inside is inside.
    scene.git(&["worktree", "add", "--quiet", &root.join("second").to_string_lossy()]);
    let status = scene.text("git_status", json!({"repo_path": root.join("second").to_string_lossy()})).await;
    assert!(status.starts_with("Repository status:\nOn branch second\n"), "{status}");
}

#[tokio::test]
async fn a_work_tree_elsewhere_is_not_gone_to() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.write("a.txt", "a\n");
    scene.commit_all("first");
    let elsewhere = scene.outer.join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a directory");
    std::fs::write(elsewhere.join("secret"), "secret\n").expect("a file");
    scene.git(&["config", "core.worktree", &elsewhere.to_string_lossy()]);
    let status = scene.text("git_status", json!({})).await;
    assert!(status.ends_with("nothing to commit, working tree clean"), "{status}");
    let error = scene.error("git_add", json!({"files": ["secret"]})).await;
    assert!(error.contains("did not match any files"), "{error}");
}

#[tokio::test]
async fn files_outside_are_not_staged() {
    let Some(mut scene) = Scene::new().await else { return };
    std::fs::write(scene.outer.join("secret"), "secret\n").expect("a file");
    symlink(&scene.outer, scene.path("up")).expect("a link");
    symlink("circle", scene.path("circle")).expect("a link");
    let top = "OUTER/root/repo";
    for file in ["../../secret", "/etc/passwd", "up", "up/secret", "a/../../../secret", "../repo2/x", ".."] {
        let error = scene.error("git_add", json!({"files": [file]})).await;
        assert_eq!(error, format!("Path '{file}' is outside the repository '{top}'"));
    }
    assert_eq!(scene.error("git_add", json!({"files": ["circle/x"]})).await, "Invalid path: 'circle/x'");
    assert_eq!(scene.error("git_add", json!({"files": ["a\0b"]})).await, "embedded null byte");
    assert_eq!(scene.git(&["ls-files"]), "");
}

/// Somebody changes what a repository is while it is used: each answer is one or the other, or an error.
#[tokio::test]
async fn a_repository_that_changes_meanwhile_never_shows_what_is_outside() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.write("a.txt", "a\n");
    scene.commit_all("first");
    let hidden = scene.outer.join("root/hidden");
    for turn in 0..20 {
        let (from, to) = (scene.path(".git"), hidden.clone());
        let (from, to) = if turn % 2 == 0 { (from, to) } else { (to, from) };
        let moved = std::thread::spawn(move || std::fs::rename(from, to).expect("moved"));
        let result = scene.call("git_log", json!({})).await;
        let text = super::text_of(&result);
        assert!(text.starts_with("Commit history:\n") || result["isError"] == true, "{result}");
        moved.join().expect("moved");
    }
}

/// Git and the check read one repository, and never a work tree elsewhere.
#[tokio::test]
async fn a_repository_that_git_reads_otherwise_is_refused() {
    let Some(mut scene) = Scene::new().await else { return };
    let root = scene.outer.join("root");
    let outside = scene.outer.join("outside");
    std::fs::create_dir(&outside).expect("a directory");
    std::fs::write(outside.join("plain.txt"), "outside\n").expect("a file");
    let data = root.join("data");
    git(&root, &["init", "--quiet", "--bare", "data"]);
    let repo_path = json!({"repo_path": data.to_string_lossy()});
    scene.text("git_branch", json!({"repo_path": data, "branch_type": "all"})).await;
    git(&data, &["config", "core.bare", "false"]);
    git(&data, &["config", "core.worktree", &outside.to_string_lossy()]);
    for tool in ["git_status", "git_reset", "git_log"] {
        let error = scene.error(tool, repo_path.clone()).await;
        assert!(error.contains("its configuration sets core.worktree"), "{tool}: {error}");
    }
    // What looks like a repository to the check and not to git.
    let decoy = root.join("decoy");
    git(&root, &["init", "--quiet", "--bare", "decoy"]);
    for name in ["objects", "refs"] {
        std::fs::create_dir_all(decoy.join(".git").join(name)).expect("directories");
    }
    std::fs::write(decoy.join(".git/HEAD"), "nothing\n").expect("a file");
    let error = scene.error("git_log", json!({"repo_path": decoy})).await;
    assert!(error.contains("is not the one that git finds there"), "{error}");
}

/// A repository that is as it was is not asked about anew. One that names a program since then is refused all the same.
#[tokio::test]
async fn a_program_that_is_named_later_is_refused_too() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.write("a.txt", "a\n");
    scene.commit_all("first");
    // Longer than a repository has to be at rest before anything is known of it.
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    for _ in 0..3 {
        assert!(scene.text("git_status", json!({})).await.contains("nothing to commit"));
    }
    scene.git(&["config", "filter.x.clean", "cat"]);
    for _ in 0..2 {
        let error = scene.error("git_status", json!({})).await;
        assert!(error.contains("filter.x.clean"), "{error}");
    }
    scene.git(&["config", "--unset", "filter.x.clean"]);
    assert!(scene.text("git_status", json!({})).await.contains("nothing to commit"));
    scene.write(".git/more", "[filter \"y\"]\n\tprocess = cat\n");
    scene.git(&["config", "include.path", "more"]);
    let error = scene.error("git_status", json!({})).await;
    assert!(error.contains("filter.y.process"), "{error}");
}
