//! The paths of resources, completed while they are typed.

use super::Scene;
use super::resources::{Client, root, uri, uris};
use crate::test_client::{TestClient, assert_valid};
use mcpool::prompts::{Completer, CompletionRequest, Completions};
use mcpool::tools::filesystem::Filesystem;
use mcpool::{Limits, RequestContext, Server, ToolError};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const TEMPLATES: [&str; 2] = ["file:///{+path}{?offset,limit}", "file:///{+path}{?byteOffset,byteLimit}"];

fn server(directories: &[PathBuf]) -> Server {
    let (tools, warnings) = Filesystem::new(directories, false).expect("usable");
    assert!(warnings.is_empty(), "{warnings:?}");
    let files = tools.resources();
    let server = Server::builder("files", "1").toolset(tools).resources(files.clone()).completer(files);
    server.build().expect("a server")
}

fn completion(template: &str, name: &str, value: &str) -> Value {
    json!({"ref": {"type": "ref/resource", "uri": template}, "argument": {"name": name, "value": value}})
}

impl Client {
    /// What is proposed, how many there are, and whether there are more.
    async fn proposed(&mut self, typed: &str) -> (Vec<String>, u64, bool) {
        let answer = self.ask("completion/complete", completion(TEMPLATES[0], "path", typed)).await;
        assert_valid(self.revision(), &["CompleteResult"], &answer["result"]);
        let completion = &answer["result"]["completion"];
        let values = completion["values"].as_array().unwrap_or_else(|| panic!("{typed}: {answer}"));
        let values = values.iter().map(|value| value.as_str().expect("a text").to_owned()).collect();
        let total = completion["total"].as_u64().expect("a number");
        (values, total, completion["hasMore"].as_bool().expect("a flag"))
    }

    async fn values(&mut self, typed: &str) -> Vec<String> {
        self.proposed(typed).await.0
    }
}

/// A path as it is typed: that of a URI without its begin.
fn typed(path: &Path) -> String {
    uri(path).strip_prefix("file:///").expect("absolute").to_owned()
}

#[tokio::test]
async fn names_are_proposed_in_order_and_as_a_uri_has_them() {
    let scene = Scene::new().await;
    for name in ["beta", "alpha/x", ".hidden", "a b", "a%20b", "a?b#c", "ignored", ".git/config", "é"] {
        scene.write(name, "");
    }
    scene.write(".gitignore", "ignored\n");
    std::fs::write(root(&scene).join(OsStr::from_bytes(b"\xff")), "").expect("a file");
    let server = server(&[scene.path("")]);
    let base = typed(&root(&scene));
    for mut client in Client::both(&server).await {
        for (begin, want) in [
            (
                "",
                &[
                    ".git/",
                    ".gitignore",
                    ".hidden",
                    "a%20b",
                    "a%2520b",
                    "a%3Fb%23c",
                    "alpha/",
                    "beta",
                    "ignored",
                    "%C3%A9",
                    "%FF",
                ][..],
            ),
            ("a", &["a%20b", "a%2520b", "a%3Fb%23c", "alpha/"]),
            ("a%20", &["a%20b"]),
            ("a ", &["a%20b"]),
            ("al", &["alpha/"]),
            ("alpha", &["alpha/"]),
            ("é", &["%C3%A9"]),
            ("A", &[]),
            ("alpha/y", &[]),
            ("beta/", &[]),
        ] {
            let want: Vec<String> = want.iter().map(|name| format!("{base}/{name}")).collect();
            let found = client.proposed(&format!("{base}/{begin}")).await;
            assert_eq!(found, (want.clone(), want.len() as u64, false), "{begin:?}");
        }
        // What was typed of the way stays as it was typed.
        for way in [format!("/{base}/alpha/"), format!("{base}/alpha/../alpha/"), format!("{base}//%61lpha/")]
        {
            assert_eq!(client.values(&way).await, [format!("{way}x")]);
        }
    }
}

#[tokio::test]
async fn whatever_is_listed_is_found_name_by_name() {
    let scene = Scene::new().await;
    for name in ["a/b/c/d", "a/b/e f", "a-b", "x/y%/z", "x/.y"] {
        scene.write(name, "contents");
    }
    let server = server(&[scene.path("a"), scene.path("x"), scene.path("")]);
    for mut client in Client::both(&server).await {
        let (listed, next) = client.page(None).await;
        assert_eq!(next, None);
        let (mut found, mut ways) = (BTreeSet::new(), vec![String::new()]);
        while let Some(way) = ways.pop() {
            for value in client.values(&way).await {
                assert!(value.starts_with(&way), "{value} does not go on with {way}");
                if value.ends_with('/') {
                    ways.push(value);
                } else {
                    found.insert(format!("file:///{value}"));
                }
            }
        }
        let listed: BTreeSet<String> = uris(&listed).into_iter().map(str::to_owned).collect();
        assert_eq!(found, listed);
    }
}

#[tokio::test]
async fn directories_are_proposed_where_what_is_typed_lies_in_none() {
    let scene = Scene::new().await;
    for name in ["one/f", "two/f", "other/f"] {
        scene.write(name, "");
    }
    let server = server(&["one", "two"].map(|name| scene.path(name)));
    let base = typed(&root(&scene));
    let [one, two] = ["one", "two"].map(|name| format!("{base}/{name}/"));
    for mut client in Client::both(&server).await {
        assert_eq!(client.values("").await, [&*one, &*two]);
        assert_eq!(client.values("/").await, [&*one, &*two].map(|way| format!("/{way}")));
        assert_eq!(client.values(&base[..3]).await, [&*one, &*two]);
        assert_eq!(client.values(&format!("{base}/o")).await, [&*one], "not other");
        assert_eq!(client.values(one.trim_end_matches('/')).await, [&*one]);
        assert_eq!(client.values(&one).await, [format!("{one}f")]);
        for nothing in [format!("{base}/other/"), format!("{base}/other"), "nothing".to_owned()] {
            assert_eq!(client.proposed(&nothing).await, (Vec::new(), 0, false), "{nothing}");
        }
    }
}

/// What is typed to get out of a directory: `base` is its path, `above` that of the one around it.
fn hostile(base: &str, above: &str) -> Vec<String> {
    let below = [
        "/../",
        "/../s",
        "/../beside/",
        "/%2e%2e/beside/",
        "/.%2E/beside/s",
        "/sub/../../beside/",
        "/..%2Fbeside/",
        "%2F..%2Fbeside%2F",
        "/link_directory_out/",
        "/link_directory_out/s",
        "/link_out/",
        "/itself/",
        "/pipe/",
        "/\0",
        "/%00",
        "\0/",
        "/%",
        "/%zz/",
        "/?",
        "/#",
    ];
    let mut all: Vec<String> = below.iter().map(|typed| format!("{base}{typed}")).collect();
    all.extend(["/", "/beside/"].map(|typed| format!("{above}{typed}")));
    all.extend(["/etc/", "etc/pas", "proc/self/root/etc/", "/../../"].map(str::to_owned));
    all.push("a/".repeat(30_000));
    all
}

#[tokio::test]
async fn nothing_from_outside_is_proposed() {
    let scene = Scene::new().await;
    std::fs::create_dir(scene.outside("beside")).expect("a directory");
    std::fs::write(scene.outside("beside/secret"), "secret").expect("a file");
    std::fs::write(scene.outside("secret"), "secret").expect("a file");
    scene.write("sub/f", "");
    for (leads_to, link) in [
        (scene.outside("secret"), "link_out"),
        (PathBuf::from("../secret"), "link_up"),
        (scene.outside("beside"), "link_directory_out"),
        ("itself".into(), "itself"),
        ("missing".into(), "link_dangling"),
        ("sub/f".into(), "link_in"),
        ("sub".into(), "link_directory_in"),
    ] {
        symlink(leads_to, scene.path(link)).expect("a link");
    }
    rustix::fs::mkfifoat(rustix::fs::CWD, scene.path("pipe"), rustix::fs::Mode::RUSR).expect("a pipe");
    let server = server(&[scene.path("")]);
    let root = root(&scene);
    let base = typed(&root);
    let above = typed(root.parent().expect("a parent"));
    for mut client in Client::both(&server).await {
        let want = ["link_directory_in/", "link_in", "sub/"].map(|name| format!("{base}/{name}"));
        assert_eq!(client.proposed(&format!("{base}/")).await, (want.to_vec(), 3, false));
        let through = format!("{base}/link_directory_in/");
        assert_eq!(client.values(&through).await, [format!("{through}f")]);
        for hostile in &hostile(&base, &above) {
            let (values, ..) = client.proposed(hostile).await;
            // Of a directory above, the way back is all there is.
            let leads_in = |value: &String| *value == format!("{base}/");
            assert!(values.iter().all(leads_in), "{hostile:.200}: {values:?}");
        }
    }
}

#[tokio::test]
async fn of_many_names_the_first_are_proposed_and_all_are_counted() {
    const NAMES: usize = 100_000;
    let scene = Scene::new().await;
    let wide = root(&scene).join("wide");
    std::fs::create_dir(&wide).expect("a directory");
    for number in 0..NAMES {
        std::fs::File::create(wide.join(format!("n{number:05}"))).expect("a file");
    }
    let server = server(&[scene.path("")]);
    let base = typed(&wide);
    let [mut client, _] = Client::both(&server).await;
    let first: Vec<String> = (0..100).map(|number| format!("{base}/n{number:05}")).collect();
    assert_eq!(client.proposed(&format!("{base}/")).await, (first, NAMES as u64, true));
    for (begin, total) in [("n999", 100), ("n9999", 10), ("n99999", 1), ("n99", 1_000), ("m", 0)] {
        let (values, count, has_more) = client.proposed(&format!("{base}/{begin}")).await;
        assert_eq!((count, has_more), (total, total > 100), "{begin}");
        assert_eq!(values.len() as u64, total.min(100), "{begin}");
        let way = format!("{base}/{begin}");
        assert!(values.iter().all(|value| value.starts_with(&way)) && values.is_sorted(), "{values:?}");
    }
}

/// Long names end the proposals before there are a hundred.
#[tokio::test]
async fn proposals_are_bounded_in_bytes() {
    let scene = Scene::new().await;
    for number in 0..120 {
        scene.write(&format!("{number:03}{}", "\u{1}".repeat(240)), "");
    }
    let server = server(&[scene.path("")]);
    let [mut client, _] = Client::both(&server).await;
    let (values, total, has_more) = client.proposed(&format!("{}/", typed(&root(&scene)))).await;
    assert_eq!((total, has_more), (120, true));
    let bytes: usize = values.iter().map(String::len).sum();
    assert!((60_000..70_000).contains(&bytes) && values.len() < 100, "{} with {bytes}", values.len());
}

/// Knows the argument of one prompt.
struct Colours;

impl Completer for Colours {
    async fn complete(
        &self,
        request: &CompletionRequest,
        _: &mut RequestContext,
    ) -> Result<Completions, ToolError> {
        if request.argument != "colour" {
            return Err(ToolError::NotFound);
        }
        Ok(Completions { values: vec!["red".to_owned()], total: None })
    }
}

/// Whatever of it is long: the text, the name of its argument, what it is of, or what else is known.
#[tokio::test]
async fn what_is_typed_has_a_bound() {
    let scene = Scene::new().await;
    let server = server(&[scene.path("")]);
    let long = "a".repeat(65_536);
    let many: serde_json::Map<String, Value> = (0..7_000).map(|n| (n.to_string(), json!("a"))).collect();
    let mut with_context = completion(TEMPLATES[0], "path", "");
    with_context["context"] = json!({"arguments": many});
    let mut of_prompt = completion(TEMPLATES[0], "path", "");
    of_prompt["ref"] = json!({"type": "ref/prompt", "name": long});
    for mut client in Client::both(&server).await {
        for wanted in [
            completion(TEMPLATES[0], "path", &long),
            completion(TEMPLATES[0], &long, ""),
            completion(&long, "path", ""),
            of_prompt.clone(),
            with_context.clone(),
        ] {
            let answer = client.ask("completion/complete", wanted).await;
            assert_eq!(answer["error"]["code"], -32602, "{answer}");
            let why = answer["error"]["message"].as_str().expect("a text");
            assert!(why.contains("65536 bytes") && why.len() < 200, "{why}");
        }
        assert_eq!(client.proposed(&long[..60_000]).await, (Vec::new(), 0, false), "no path is so long");
    }
}

#[tokio::test]
async fn who_knows_what_is_asked_for_answers() {
    let scene = Scene::new().await;
    scene.write("f", "");
    let (tools, _) = Filesystem::new(&[scene.path("")], false).expect("usable");
    let (one, other) = (tools.resources(), tools.resources());
    let builder = || Server::builder("files", "1").limits(Limits::default());
    let before =
        builder().completer(Colours).resources(one.clone()).completer(one).build().expect("a server");
    let behind =
        builder().resources(other.clone()).completer(other).completer(Colours).build().expect("a server");
    let base = typed(&root(&scene));
    for server in [before, behind] {
        for mut client in Client::both(&server).await {
            assert_eq!(client.values(&format!("{base}/")).await, [format!("{base}/f")]);
            let wanted = json!({
                "ref": {"type": "ref/prompt", "name": "paint"}, "argument": {"name": "colour", "value": ""}
            });
            let answer = client.ask("completion/complete", wanted).await;
            assert_eq!(answer["result"]["completion"]["values"], json!(["red"]), "{answer}");
            for template in TEMPLATES {
                let answer = client.ask("completion/complete", completion(template, "path", &base)).await;
                assert_eq!(answer["result"]["completion"]["total"], 1, "{answer}");
                let answer = client.ask("completion/complete", completion(template, "limit", "1")).await;
                assert_eq!(answer["result"]["completion"]["values"], json!([]), "{answer}");
            }
            for template in ["file:///{+path}", "file:///{path}", "", "demo://{path}"] {
                let answer = client.ask("completion/complete", completion(template, "path", &base)).await;
                assert_eq!(answer["error"]["code"], -32602, "{template}: {answer}");
            }
        }
    }
    // Who has no completer has no such method.
    let server = builder().toolset(tools).build().expect("a server");
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    let request = json!({
        "jsonrpc": "2.0", "id": 1, "method": "completion/complete", "params": completion(TEMPLATES[0], "path", "")
    });
    assert_eq!(client.ask(&request).await["error"]["code"], -32601);
}
