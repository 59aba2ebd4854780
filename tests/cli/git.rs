//! The git tools as the program serves them: in the place of `mcp-server-git`, and with settings from everywhere.

use super::{Run, mcpool, run};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A repository with a directory in it, and another one beside it; nothing if there is no git.
fn repositories() -> Option<(TempDir, PathBuf)> {
    let outer = tempfile::tempdir().expect("a directory");
    let path = outer.path().canonicalize().expect("a path");
    for name in ["repo", "other"] {
        let Ok(status) = Command::new("git").args(["init", "--quiet"]).arg(path.join(name)).status() else {
            eprintln!("skipped: there is no git");
            return None;
        };
        assert!(status.success());
    }
    std::fs::create_dir(path.join("repo/sub")).expect("a directory");
    Some((outer, path))
}

/// Asks for the status of a repository.
fn status(repository: &Path, flags: &[&str], variables: &[(&str, &Path)]) -> Run {
    let mut command = mcpool(&["call", "git_status", "--server"]);
    let program = env!("CARGO_BIN_EXE_mcpool");
    let server = [&[program, "serve"], flags].concat().join(" ");
    command.arg(server).arg(format!("repo_path={}", repository.display()));
    command.envs(variables.iter().copied()).output().expect("the program runs").into()
}

/// Flags and variables.
type Way<'w> = (&'w [&'w str], &'w [(&'w str, &'w Path)]);

fn is_answered(run: &Run) -> bool {
    run.code == Some(0) && run.stdout.starts_with("Repository status:\n")
}

#[test]
fn a_repository_is_named_by_a_flag_a_variable_or_the_file() {
    let Some((_outer, path)) = repositories() else { return };
    let (repo, other) = (path.join("repo"), path.join("other"));
    let sub = repo.join("sub");
    let sub = sub.to_str().expect("a name");
    let file = path.join("settings.toml");
    std::fs::write(&file, format!("tools = \"git\"\n[git]\nrepository = {sub:?}\n")).expect("a file");
    let file = file.to_str().expect("a name");
    let by_variable: &[(&str, &Path)] = &[("MCPOOL_REPOSITORY", &repo)];
    let ways: [Way<'_>; 5] = [
        (&["--tools", "git", "--repository", sub], &[]),
        (&["--tools", "git", "-r", sub], &[]),
        (&["--tools=filesystem,git", "-r", sub, path.to_str().expect("a name")], &[]),
        (&["--tools", "git"], by_variable),
        (&["--config", file], &[]),
    ];
    for (flags, variables) in ways {
        let answered = status(&repo, flags, variables);
        assert!(is_answered(&answered), "{flags:?}: {answered:?}");
        let refused = status(&other, flags, variables);
        let want = format!(
            "Error executing tool git_status: Repository path '{}' is outside the allowed repository '{}'",
            other.display(),
            repo.display()
        );
        assert!(refused.code == Some(1) && refused.stderr.contains(&want), "{flags:?}: {refused:?}");
    }
}

#[test]
fn without_a_repository_the_directories_are_allowed() {
    let Some((_outer, path)) = repositories() else { return };
    let flags = ["--tools", "git", path.to_str().expect("a name")];
    for name in ["repo", "other"] {
        let answered = status(&path.join(name), &flags, &[]);
        assert!(is_answered(&answered), "{answered:?}");
    }
    let refused = status(&path.join("repo"), &["--tools", "git"], &[]);
    assert!(refused.stderr.contains("no directory is allowed"), "{refused:?}");
}

#[test]
fn a_repository_that_is_not_there_is_no_start() {
    let Some((_outer, path)) = repositories() else { return };
    let missing = path.join("missing");
    let ended = run(&["serve", "--tools", "git", "-r", missing.to_str().expect("a name")]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains(&format!("{} does not exist", missing.display())), "{ended:?}");
}
