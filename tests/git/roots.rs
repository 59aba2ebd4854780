//! The directories that a client offers are those of its git tools.

use super::{Scene, init, text_of};
use crate::test_client::TestClient;
use mcpool::Server;
use mcpool::tools::git::{ClientRoots, Git};
use serde_json::{Value, json};
use std::path::Path;

/// The answer to a status of a repository, or the error.
async fn status(client: &mut TestClient, id: u64, repository: &Path) -> String {
    text_of(&client.call(id, "git_status", json!({"repo_path": repository.to_string_lossy()})).await)
}

/// A client that has these roots, and was asked for them.
async fn client_with(server: &Server, roots: &[&Path]) -> TestClient {
    let mut client = TestClient::legacy_with(server, "2025-06-18", json!({"roots": {}})).await;
    let asked = client.receive().await;
    assert_eq!(asked["method"], "roots/list", "{asked}");
    let roots: Vec<Value> =
        roots.iter().map(|root| json!({"uri": format!("file://{}", root.display())})).collect();
    client.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"roots": roots}})).await;
    client
}

fn server_of(git: Git) -> Server {
    Server::builder("git", "1").toolset(git).build().expect("a server")
}

#[tokio::test]
async fn roots_replace_the_directories_or_narrow_them_or_change_nothing() {
    let Some(scene) = Scene::new().await else { return };
    let (root, repo) = (scene.outer.join("root"), scene.path(""));
    let (inner, other) = (root.join("inner"), scene.outer.join("other"));
    init(&inner);
    init(&other);
    let is_status = |text: &str| text.starts_with("Repository status:");
    // Which of the repositories may be used: `repo` and `inner`, in the server's directory, and `other`, outside.
    for (policy, roots, allowed) in [
        (None, vec![], [true, true, false]),
        (None, vec![&*other], [false, false, true]),
        (Some(ClientRoots::Replace), vec![&*other, &*inner], [false, true, true]),
        (Some(ClientRoots::Narrow), vec![&*inner], [false, true, false]),
        (Some(ClientRoots::Narrow), vec![&*inner, &*other], [false, true, false]),
        (Some(ClientRoots::Narrow), vec![&*other], [true, true, false]),
        (None, vec![Path::new("/missing/directory")], [true, true, false]),
    ] {
        let git = Git::new(std::slice::from_ref(&root), false);
        let server = server_of(match policy {
            Some(policy) => git.client_roots(policy),
            None => git,
        });
        let mut client = client_with(&server, &roots).await;
        for (repository, is_allowed) in [&repo, &inner, &other].into_iter().zip(allowed) {
            let text = status(&mut client, 1, repository).await;
            assert_eq!(is_status(&text), is_allowed, "{policy:?} {roots:?} {}: {text}", repository.display());
            assert!(is_allowed || text.contains("outside the allowed"), "{text}");
        }
    }
    // Nobody is asked where roots change nothing.
    for git in [
        Git::new(&[root], false).client_roots(ClientRoots::Ignore),
        Git::of_repository(&repo, false).expect("a repository"),
    ] {
        let server = server_of(git);
        let mut client = TestClient::legacy_with(&server, "2025-06-18", json!({"roots": {}})).await;
        assert!(is_status(&status(&mut client, 1, &repo).await));
        assert!(!is_status(&status(&mut client, 2, &other).await));
    }
}

#[tokio::test]
async fn a_root_that_becomes_a_link_leads_nowhere() {
    let Some(scene) = Scene::new().await else { return };
    let (root, other) = (scene.outer.join("root"), scene.outer.join("other"));
    init(&root.join("inner"));
    init(&other);
    let git = Git::new(std::slice::from_ref(&root), false).client_roots(ClientRoots::Narrow);
    let server = server_of(git);
    let mut client = client_with(&server, &[&root.join("inner")]).await;
    assert!(status(&mut client, 1, &root.join("inner")).await.starts_with("Repository status:"));
    std::fs::rename(root.join("inner"), root.join("was")).expect("moved");
    std::os::unix::fs::symlink(&other, root.join("inner")).expect("a link");
    for path in [root.join("inner"), other] {
        let text = status(&mut client, 2, &path).await;
        assert!(text.contains("outside the allowed"), "{text}");
    }
}
