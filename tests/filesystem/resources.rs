//! The files of the directories as resources: listed in pages, read whole and in parts, never from outside.

use super::Scene;
use crate::test_client::{MODERN, TestClient, assert_valid, meta};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mcpool::tools::filesystem::Filesystem;
use mcpool::tools::memory::KnowledgeGraph;
use mcpool::{Limits, Server};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const NOT_FOUND: [i64; 2] = [-32002, -32602];

pub(super) fn server(directories: &[PathBuf], limits: Limits) -> Server {
    let (tools, warnings) = Filesystem::new(directories, false).expect("usable");
    assert!(warnings.is_empty(), "{warnings:?}");
    let files = tools.resources();
    Server::builder("files", "1").limits(limits).toolset(tools).resources(files).build().expect("a server")
}

/// A client of one era.
pub(super) struct Client {
    connection: TestClient,
    is_modern: bool,
    requests: u64,
}

impl Client {
    /// One of each era: legacy, and modern.
    pub(super) async fn both(server: &Server) -> [Self; 2] {
        let legacy = TestClient::legacy(server, "2025-11-25").await;
        [(legacy, false), (TestClient::open(server), true)].map(|(connection, is_modern)| Self {
            connection,
            is_modern,
            requests: 0,
        })
    }

    pub(super) async fn ask(&mut self, method: &str, mut params: Value) -> Value {
        if self.is_modern {
            params["_meta"] = meta();
        }
        self.requests += 1;
        let request = json!({"jsonrpc": "2.0", "id": self.requests, "method": method, "params": params});
        let answer = self.connection.ask(&request).await;
        assert_eq!(answer["id"], self.requests, "{answer}");
        answer
    }

    pub(super) fn revision(&self) -> &'static str {
        if self.is_modern { MODERN } else { "2025-11-25" }
    }

    /// A page of resources, and the cursor of the next one.
    pub(super) async fn page(&mut self, cursor: Option<&str>) -> (Vec<Value>, Option<String>) {
        let answer =
            self.ask("resources/list", cursor.map_or(json!({}), |cursor| json!({"cursor": cursor}))).await;
        let result = &answer["result"];
        assert_valid(self.revision(), &["ListResourcesResult"], result);
        if self.is_modern {
            assert_eq!((&result["ttlMs"], &result["cacheScope"]), (&json!(0), &json!("private")), "{result}");
        }
        let entries = result["resources"].as_array().expect("a list").clone();
        (entries, result["nextCursor"].as_str().map(str::to_owned))
    }

    /// All resources, `most` on a page, with `between` called after each page.
    async fn all(&mut self, most: usize, mut between: impl FnMut(usize)) -> Vec<Value> {
        let (mut listed, mut cursor, mut pages) = (Vec::new(), None, 0);
        loop {
            let (entries, next) = self.page(cursor.as_deref()).await;
            assert!(entries.len() <= most, "{} on a page", entries.len());
            listed.extend(entries);
            pages += 1;
            between(pages);
            cursor = next;
            if cursor.is_none() {
                return listed;
            }
        }
    }

    async fn read(&mut self, uri: &str) -> Result<Value, i64> {
        let answer = self.ask("resources/read", json!({"uri": uri})).await;
        if let Some(code) = answer["error"]["code"].as_i64() {
            return Err(code);
        }
        assert_valid(self.revision(), &["ReadResourceResult"], &answer["result"]);
        assert_eq!(answer["result"].get("isError"), None, "{answer}");
        let contents = answer["result"]["contents"].as_array().expect("a list");
        assert_eq!((contents.len(), &contents[0]["uri"]), (1, &json!(uri)));
        Ok(contents[0].clone())
    }

    async fn text(&mut self, uri: &str) -> String {
        let contents = self.read(uri).await.expect("contents");
        contents["text"].as_str().unwrap_or_else(|| panic!("{contents}")).to_owned()
    }

    async fn bytes(&mut self, uri: &str) -> Vec<u8> {
        let contents = self.read(uri).await.expect("contents");
        BASE64.decode(contents["blob"].as_str().unwrap_or_else(|| panic!("{contents}"))).expect("base64")
    }
}

/// The URI of a file; what is no letter, digit or one of a few other characters is encoded.
pub(super) fn uri(path: &Path) -> String {
    let encoded = path.as_os_str().as_bytes().iter().map(|byte| match byte {
        b'/' | b'.' | b'-' | b'_' => char::from(*byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    format!("file://{}", encoded.collect::<String>())
}

pub(super) fn uris(listed: &[Value]) -> Vec<&str> {
    listed.iter().map(|entry| entry["uri"].as_str().expect("a URI")).collect()
}

pub(super) fn root(scene: &Scene) -> PathBuf {
    scene.path("").canonicalize().expect("a path")
}

#[tokio::test]
async fn each_file_is_on_one_page_whatever_its_name() {
    let scene = Scene::new().await;
    let odd: [&[u8]; 8] =
        [b"a b", b"a\nb", b"\xff\xfe", "é\u{301}".as_bytes(), b"a%20b", b"a?b#c", b"~", b".hidden"];
    let mut want = BTreeMap::new();
    let mut add = |name: &OsStr, bytes: usize| {
        let path = root(&scene).join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(&path, vec![b'x'; bytes]).expect("a file");
        want.insert(uri(&path), bytes);
    };
    for (at, name) in odd.iter().enumerate() {
        add(OsStr::from_bytes(name), at);
        add(OsStr::from_bytes(&[b"sub/", *name, b"/deep/", *name].concat()), at);
    }
    // By bytes, `a-b` and `a.b` lie between the directory `a` and what is in it.
    for name in ["a/x", "a-b", "a.b", "a/x0", "a/y/z", "ab", "image.png"] {
        add(OsStr::new(name), 3);
    }
    add(OsStr::new(".gitignore"), 0);
    scene.write(".gitignore", "ignored\n");
    want.insert(uri(&root(&scene).join(".gitignore")), 8);
    for name in ["ignored/x", "a/ignored", ".git/config"] {
        scene.write(name, "");
    }
    symlink("a/x", scene.path("link")).expect("a link");
    symlink("a", scene.path("link_to_directory")).expect("a link");
    std::fs::create_dir(scene.path("empty")).expect("a directory");
    rustix::fs::mkfifoat(rustix::fs::CWD, scene.path("pipe"), rustix::fs::Mode::RUSR).expect("a pipe");
    for page_entries in [1, 7, 500] {
        let server = server(&[scene.path("")], Limits { page_entries, ..Limits::default() });
        for mut client in Client::both(&server).await {
            let listed = client.all(page_entries, |_| {}).await;
            let found: BTreeMap<String, usize> = listed
                .iter()
                .map(|entry| (entry["uri"].as_str().expect("a URI").to_owned(), entry["size"].as_u64()))
                .map(|(uri, size)| (uri, size.expect("a size") as usize))
                .collect();
            assert_eq!((listed.len(), &found), (want.len(), &want));
            for (uri, bytes) in &want {
                let read = client.read(uri).await.unwrap_or_else(|code| panic!("{uri}: {code}"));
                assert_eq!(read["text"].as_str().map(str::len), Some(*bytes), "{uri}");
            }
            let image = listed.iter().find(|entry| entry["name"] == "image.png").expect("it is listed");
            assert_eq!(image["mimeType"], "image/png");
            let deep = listed.iter().find(|entry| entry["name"] == "a/y/z").expect("by its path");
            assert_eq!(deep.get("mimeType"), None);
        }
    }
}

#[tokio::test]
async fn files_that_stay_are_listed_once_while_others_come_and_go() {
    let scene = Scene::new().await;
    let stays: Vec<String> = (0..100).map(|number| format!("d{}/{number:03}/f", number % 7)).collect();
    for name in &stays {
        scene.write(name, "");
    }
    let goes: Vec<String> = (0..100).map(|number| format!("d{}/{number:03}/e", number % 7)).collect();
    let server = server(&[scene.path("")], Limits { page_entries: 7, ..Limits::default() });
    for mut client in Client::both(&server).await {
        for name in &goes {
            scene.write(name, "");
        }
        let listed = client
            .all(7, |page| {
                let (gone, come) = (&goes[page * 5 % 100], format!("d{}/{page:03}/new", page % 7));
                let _ = std::fs::remove_file(scene.path(gone));
                scene.write(&come, "");
                // A directory that goes with all that is in it, and the page that ended there.
                scene.write(&format!("x{page}/a/b"), "");
                if page > 1 {
                    std::fs::remove_dir_all(scene.path(&format!("x{}", page - 1))).expect("removed");
                }
            })
            .await;
        let all = uris(&listed);
        let once: BTreeSet<&str> = all.iter().copied().collect();
        assert_eq!(once.len(), all.len(), "nothing is listed twice");
        for name in &stays {
            assert!(once.contains(&*uri(&root(&scene).join(name))), "{name}");
        }
    }
}

#[tokio::test]
async fn a_name_behind_a_directory_that_is_gone_is_not_taken_for_done() {
    let scene = Scene::new().await;
    for name in ["a/x", "a/y", "x", "y/z"] {
        scene.write(name, "");
    }
    let server = server(&[scene.path("")], Limits { page_entries: 1, ..Limits::default() });
    let [mut client, _] = Client::both(&server).await;
    let (first, cursor) = client.page(None).await;
    assert_eq!(first[0]["name"], "a/x");
    std::fs::remove_file(scene.path("a/x")).expect("removed");
    std::fs::remove_file(scene.path("a/y")).expect("removed");
    let (second, _) = client.page(cursor.as_deref()).await;
    assert_eq!(second[0]["name"], "x", "of the outer directory");
}

#[tokio::test]
async fn a_directory_with_more_names_than_a_page_holds_is_read_again() {
    let scene = Scene::new().await;
    for number in 0..800 {
        scene.write(&format!("many/{number:04}{}", "n".repeat(100)), "");
        scene.write(&format!("ignored_{number:04}"), "");
    }
    scene.write(".gitignore", "ignored_*\n");
    let server = server(&[scene.path("")], Limits::default());
    for mut client in Client::both(&server).await {
        let listed = client.all(500, |_| {}).await;
        let all = uris(&listed);
        assert_eq!(all.len(), 801);
        assert!(all.is_sorted(), "these names need no encoding, so that their URIs have the same order");
    }
}

#[tokio::test]
async fn directories_in_others_and_resources_of_others_are_listed_once() {
    let scene = Scene::new().await;
    for name in ["a/b/f", "a/g", "c/h", "d/i"] {
        scene.write(name, "");
    }
    symlink(scene.path("a/b"), scene.path("to_b")).expect("a link");
    let directories = ["c", "a/b", "a", "to_b"].map(|name| scene.path(name));
    let (tools, _) = Filesystem::new(&directories, false).expect("usable");
    let graph = KnowledgeGraph::new(scene.outside("graph.jsonl"));
    let server = Server::builder("files", "1")
        .limits(Limits { page_entries: 2, ..Limits::default() })
        .resources(tools.resources())
        .resources(graph)
        .toolset(tools)
        .build()
        .expect("a server");
    let want: Vec<String> =
        ["a/b/f", "a/g", "c/h"].iter().map(|name| uri(&root(&scene).join(name))).collect();
    let mut client = TestClient::legacy(&server, "2025-11-25").await;
    let (mut listed, mut params) = (Vec::new(), json!({}));
    loop {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": "resources/list", "params": params});
        let answer = client.ask(&request).await;
        listed.extend(answer["result"]["resources"].as_array().expect("a list").clone());
        let Some(cursor) = answer["result"]["nextCursor"].as_str() else { break };
        params = json!({"cursor": cursor});
    }
    let mut all = vec!["memory://knowledge-graph"];
    all.extend(want.iter().map(String::as_str));
    assert_eq!(uris(&listed), all);
}

#[tokio::test]
async fn a_cursor_that_was_not_given_out_is_refused_or_shows_nothing_from_outside() {
    let scene = Scene::new().await;
    scene.write("f", "");
    std::fs::write(scene.outside("secret"), "").expect("a file");
    let server = server(&[scene.path("")], Limits::default());
    let code = |text: &[u8]| format!("0.{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text));
    let outside = [scene.outside("").as_os_str().as_bytes(), b"\0"].concat();
    for mut client in Client::both(&server).await {
        let forged = [&b"/no/zero"[..], b"../\0../.."].map(code);
        for cursor in
            ["", "x", "0", ".", "1.", "9.AAAA", "0.!", "-1.", &"0.".repeat(20_000), &forged[0], &forged[1]]
        {
            let answer = client.ask("resources/list", json!({"cursor": cursor})).await;
            assert_eq!(answer["error"]["code"], -32602, "{cursor}: {answer}");
        }
        for forged in [&outside[..], b"/\0", b"/etc\0passwd", b"\0", b"\0\0\0"] {
            let (listed, _) = client.page(Some(&code(forged))).await;
            assert!(listed.iter().all(|entry| entry["name"] == "f"), "{forged:?}: {listed:?}");
        }
    }
}

#[tokio::test]
async fn contents_are_text_or_bytes_whole_and_in_parts() {
    let scene = Scene::new().await;
    let lines = "one\ntwo \"2\"\r\n\u{1}drei \u{20ac}\n\nlast";
    scene.write("lines", lines);
    scene.write("bytes", b"ab\n\xff\xfe\ncd\0".as_slice());
    scene.write("empty", "");
    scene.write("a.svg", "<svg/>");
    scene.write("a.png", b"\x89PNG".as_slice());
    // Longer than what is written at once, with characters across the pieces that are read.
    let long =
        (0..40_000).fold(String::new(), |text, number: u32| text + &number.to_string() + " \u{20ac}\n");
    scene.write("long", &long);
    scene.write("long_bytes", [long.as_bytes(), b"\xff"].concat());
    let server = server(&[scene.path("")], Limits::default());
    let at = |name: &str| format!("{}{name}", uri(&root(&scene)) + "/");
    for mut client in Client::both(&server).await {
        assert_eq!(client.text(&at("lines")).await, lines);
        assert_eq!(client.text(&at("empty")).await, "");
        assert_eq!(client.text(&at("long")).await, long);
        assert_eq!(client.bytes(&at("bytes")).await, b"ab\n\xff\xfe\ncd\0");
        assert_eq!(client.bytes(&at("long_bytes")).await, [long.as_bytes(), b"\xff"].concat());
        for (name, want) in [
            ("lines", "text/plain"),
            ("bytes", "application/octet-stream"),
            ("a.svg", "image/svg+xml"),
            ("a.png", "image/png"),
        ] {
            assert_eq!(client.read(&at(name)).await.expect("contents")["mimeType"], want, "{name}");
        }
        for (query, want) in [
            ("offset=1&limit=1", "one\n"),
            ("offset=2&limit=2", "two \"2\"\r\n\u{1}drei \u{20ac}\n"),
            ("limit=4", "one\ntwo \"2\"\r\n\u{1}drei \u{20ac}\n\n"),
            ("offset=5", "last"),
            ("offset=5&limit=99", "last"),
            ("offset=6", ""),
        ] {
            assert_eq!(client.text(&at(&format!("lines?{query}"))).await, want, "{query}");
        }
        assert_eq!(client.text(&at("bytes?offset=3")).await, "cd\0", "these lines are text");
        let mut parts = String::new();
        for first in (1..=40_000).step_by(16_000) {
            parts += &client.text(&at(&format!("long?offset={first}&limit=16000"))).await;
        }
        assert!(parts == long, "lines add up to the file");
        let whole = lines.as_bytes();
        for (query, want) in [
            ("byteOffset=0", whole),
            ("byteOffset=1&byteLimit=4", &whole[1..5]),
            ("byteLimit=3", &whole[..3]),
            ("byteOffset=1000", b""),
            ("byteOffset=18446744073709551615&byteLimit=18446744073709551615", b""),
        ] {
            assert_eq!(client.bytes(&at(&format!("lines?{query}"))).await, want, "{query}");
        }
        let part = client.bytes(&at("long?byteOffset=100001&byteLimit=200000")).await;
        assert!(part == long.as_bytes()[100_001..300_001], "a long part of bytes");
        assert_eq!(client.read(&at("lines?line=1")).await, Err(-32602));
    }
}

/// Of lines in a batch nothing is streamed, and the answer is the same.
#[tokio::test]
async fn a_batch_has_long_contents_too() {
    let scene = Scene::new().await;
    let long = "line\n".repeat(50_000);
    scene.write("long", &long);
    let server = server(&[scene.path("")], Limits::default());
    let mut client = TestClient::legacy(&server, "2025-03-26").await;
    let params = json!({"uri": uri(&root(&scene).join("long"))});
    let batch = json!([{"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": params}]);
    let answer = client.ask(&batch).await;
    assert!(answer[0]["result"]["contents"][0]["text"] == long);
}

#[tokio::test]
async fn what_lies_outside_does_not_exist() {
    let scene = Scene::new().await;
    std::fs::write(scene.outside("secret"), "secret").expect("a file");
    std::fs::create_dir(scene.outside("beside")).expect("a directory");
    std::fs::write(scene.outside("beside/secret"), "secret").expect("a file");
    std::fs::create_dir(scene.outside("second")).expect("a directory");
    std::fs::write(scene.outside("second/f"), "second").expect("a file");
    scene.write("sub/f", "inside");
    for (leads_to, link) in [
        (scene.outside("secret"), "leads_out"),
        (PathBuf::from("../secret"), "leads_up"),
        (scene.outside("beside"), "directory_out"),
        (PathBuf::from("sub/f"), "leads_in"),
        (scene.path("sub"), "directory_in"),
        (scene.outside("second/f"), "leads_to_second"),
        (PathBuf::from("itself"), "itself"),
        ("missing".into(), "dangling"),
    ] {
        symlink(leads_to, scene.path(link)).expect("a link");
    }
    rustix::fs::mkfifoat(rustix::fs::CWD, scene.path("pipe"), rustix::fs::Mode::RUSR).expect("a pipe");
    let server = server(&[scene.path(""), scene.outside("second")], Limits::default());
    let base = uri(&root(&scene));
    let (_, above) = base.rsplit_once('/').map(|(above, name)| (name, above)).expect("a parent");
    for mut client in Client::both(&server).await {
        for path in ["sub/f", "leads_in", "directory_in/f", "sub/../sub/f", "sub//f", "./sub/%66"] {
            assert_eq!(client.text(&format!("{base}/{path}")).await, "inside", "{path}");
        }
        assert_eq!(client.text(&format!("{base}/leads_to_second")).await, "second");
        assert_eq!(client.text(&format!("{above}/second/f")).await, "second");
        for path in [
            "leads_out",
            "leads_up",
            "directory_out/secret",
            "itself",
            "dangling",
            "missing",
            "sub/f/",
            "sub/f/x",
            "sub",
            "",
            "pipe",
            "../secret",
            "../beside/secret",
            "%2e%2e/secret",
            "sub/../../secret",
            "sub%2F..%2F..%2Fsecret",
            "sub/f%00",
            "sub%2Ff",
        ] {
            let code = NOT_FOUND[usize::from(client.is_modern)];
            assert_eq!(client.read(&format!("{base}/{path}")).await, Err(code), "{path}");
        }
        for uri in
            ["file:///etc/passwd", "file://elsewhere/etc/passwd", "file:///proc/self/environ", "x:///etc"]
        {
            assert_eq!(client.read(uri).await, Err(NOT_FOUND[usize::from(client.is_modern)]), "{uri}");
        }
    }
}

#[tokio::test]
async fn what_does_not_fit_into_an_answer_is_refused_with_a_remedy() {
    let scene = Scene::new().await;
    scene.write("text", "\n".repeat(40_000));
    scene.write("bytes", vec![0xff; 52_000]);
    let limits = Limits { max_frame_bytes: 60_000, max_reply_bytes: 66_000, ..Limits::default() };
    let server = server(&[scene.path("")], limits);
    let base = uri(&root(&scene));
    for mut client in Client::both(&server).await {
        for name in ["text", "bytes", "text?offset=5", "bytes?byteOffset=1"] {
            let answer = client.ask("resources/read", json!({"uri": format!("{base}/{name}")})).await;
            let text = answer["error"]["message"].as_str().expect("an error");
            assert!(text.contains("?offset=1&limit=100") && text.contains("max_reply_bytes"), "{text}");
        }
        assert_eq!(client.text(&format!("{base}/text?offset=5&limit=10")).await, "\n".repeat(10));
        assert_eq!(client.bytes(&format!("{base}/bytes?byteLimit=48000")).await, vec![0xff; 48_000]);
    }
}

/// The roots of a client are what it lists and reads.
#[tokio::test]
async fn a_client_with_roots_has_only_their_files() {
    let scene = Scene::new().await;
    for name in ["a/f", "b/f"] {
        scene.write(name, name);
    }
    let (tools, _) = Filesystem::new(&[scene.path("")], false).expect("usable");
    let files = tools.resources();
    let server = Server::builder("files", "1").toolset(tools).resources(files).build().expect("a server");
    let capabilities = json!({"roots": {}});
    let mut client = TestClient::legacy_with(&server, "2025-11-25", capabilities).await;
    let asked = client.receive().await;
    assert_eq!(asked["method"], "roots/list");
    let roots = json!({"roots": [{"uri": uri(&root(&scene).join("a"))}]});
    client.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": roots})).await;
    let mut client = Client { connection: client, is_modern: false, requests: 0 };
    let listed = client.all(500, |_| {}).await;
    assert_eq!(uris(&listed), [uri(&root(&scene).join("a/f"))]);
    assert_eq!(client.text(&uri(&root(&scene).join("a/f"))).await, "a/f");
    assert_eq!(client.read(&uri(&root(&scene).join("b/f"))).await, Err(-32002));
}

#[tokio::test]
async fn resources_are_declared_only_where_they_are_offered() {
    let mut scene = Scene::new().await;
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "resources/list"});
    assert_eq!(scene.client.ask(&request).await["error"]["code"], -32601, "nobody asked for them");
    let server = server(&[scene.path("")], Limits::default());
    let [mut legacy, mut modern] = Client::both(&server).await;
    let discovered = modern.ask("server/discover", json!({})).await;
    let declared = &discovered["result"]["capabilities"]["resources"];
    assert!(declared.is_object() && declared.get("listChanged").is_none(), "{declared}");
    let templates = legacy.ask("resources/templates/list", json!({})).await;
    let templates: Vec<&str> = templates["result"]["resourceTemplates"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|template| template["uriTemplate"].as_str())
        .collect();
    assert_eq!(templates, ["file:///{+path}{?offset,limit}", "file:///{+path}{?byteOffset,byteLimit}"]);
}

/// A file that becomes shorter while it is sent: what came of it does not look whole.
#[tokio::test]
async fn contents_that_change_on_the_way_say_so() {
    let scene = Scene::new().await;
    let long = "line \"x\"\n".repeat(200_000);
    for (name, bytes) in [("text", long.clone().into_bytes()), ("bytes", [long.as_bytes(), b"\xff"].concat())]
    {
        scene.write(name, &bytes);
        let server = server(&[scene.path("")], Limits::default());
        let mut client = TestClient::open_with(&server, 4_096);
        let mut params = json!({"uri": uri(&root(&scene).join(name))});
        params["_meta"] = meta();
        client.send(&json!({"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": params})).await;
        // All of the answer is on its way but what is in the pipe and in two segments.
        let begin = client.receive_some().await;
        scene.write(name, "short");
        let rest = client.receive_line().await;
        let line = format!("{}{rest}", String::from_utf8(begin).expect("text"));
        let answer: Value = serde_json::from_str(&line).expect("valid JSON");
        assert_valid(MODERN, &["ReadResourceResult"], &answer["result"]);
        assert_eq!(answer["result"]["isError"], true);
        let contents = answer["result"]["contents"].as_array().expect("a list");
        assert_eq!((contents.len(), &contents[1]["uri"]), (2, &contents[0]["uri"]), "{}", contents[1]);
        let told = contents[1]["text"].as_str().expect("a word of it");
        assert!(told.contains("read it again") || told.contains("ask for it again"), "{told}");
    }
}
