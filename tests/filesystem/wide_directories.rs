//! Resources in directories of more names than are looked at for one page, and pages that do not go on.

use super::Scene;
use super::resources::{Client, server};
use mcpool::resources::{ReadContext, Resource, ResourcePage, Resources};
use mcpool::{Limits, Server, ToolError};
use serde_json::json;
use std::collections::BTreeSet;

/// Lists all resources, and counts the pages. Each goes on behind the one before it.
async fn names(client: &mut Client, most_pages: usize) -> Vec<String> {
    let (mut names, mut cursor, mut cursors) = (Vec::new(), None, BTreeSet::new());
    loop {
        let (entries, next) = client.page(cursor.as_deref()).await;
        names.extend(entries.iter().map(|entry| entry["name"].as_str().expect("a name").to_owned()));
        let Some(next) = next else { return names };
        assert!(cursors.insert(next.clone()), "{next} comes twice, after {} names", names.len());
        assert!(cursors.len() < most_pages, "{most_pages} pages for {} names", names.len());
        cursor = Some(next);
    }
}

#[tokio::test]
async fn directories_of_very_many_names_are_listed_whole() {
    let scene = Scene::new().await;
    let mut want: Vec<String> = ["a", "b-", "e"].map(str::to_owned).into();
    want.extend((0..20_500).map(|number| format!("b/{number:05}")));
    // A directory of directories, of which few hold anything.
    for number in 0..3_000 {
        std::fs::create_dir_all(scene.path(&format!("d/{number:05}"))).expect("a directory");
    }
    want.extend((0..3_000).step_by(250).map(|number| format!("d/{number:05}/f")));
    for name in &want {
        scene.write(name, "");
    }
    // In the order of the walk, a directory is where its name is.
    want.sort_by(|one, other| one.split('/').cmp(other.split('/')));
    let server = server(&[scene.path("")], Limits { page_entries: 2_000, ..Limits::default() });
    let [_, mut client] = Client::both(&server).await;
    let names = names(&mut client, 100).await;
    assert_eq!(names.len(), want.len());
    assert!(names == want);
}

#[tokio::test]
async fn directories_of_which_nothing_is_listed_are_left_behind() {
    let scene = Scene::new().await;
    scene.write(".gitignore", "x*\n");
    for number in 0..10_500 {
        scene.write(&format!("many/x{number:05}"), "");
    }
    scene.write("many/y", "");
    scene.write("z", "");
    let server = server(&[scene.path("")], Limits::default());
    for mut client in Client::both(&server).await {
        assert_eq!(names(&mut client, 100).await, [".gitignore", "many/y", "z"]);
    }
}

/// Its pages end where they began.
struct Stuck;

impl Resources for Stuck {
    fn list(&self) -> Vec<Resource> {
        Vec::new()
    }

    fn has_pages(&self) -> bool {
        true
    }

    fn list_page(&self, page: &mut ResourcePage<'_>) -> Result<(), ToolError> {
        page.end_behind(page.position());
        Ok(())
    }

    async fn read(&self, _uri: &str, _read: &mut ReadContext) -> Result<(), ToolError> {
        Err(ToolError::NotFound)
    }
}

#[tokio::test]
async fn a_page_that_ends_where_it_began_is_an_error() {
    let server = Server::builder("stuck", "1").resources(Stuck).build().expect("a server");
    for mut client in Client::both(&server).await {
        for params in [json!({}), json!({"cursor": "0.AAAA"})] {
            let answer = client.ask("resources/list", params).await;
            assert_eq!(answer["error"]["code"], -32603, "{answer}");
        }
    }
}
