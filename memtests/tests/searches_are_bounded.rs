//! What `search_content` holds does not grow with the files that it goes through: of a hundred thousand, it holds the names
//! of one directory at a time. A warm search of a few files allocates a stated number of bytes, and leaves none.

use mcpool::tools::filesystem::Filesystem;
use mcpool::{Limits, Server};
use mcpool_memtests::network::{Client, Host, Way};
use mcpool_memtests::{HANDSHAKE, Watch, assert_no_leaks, patient};
use std::path::Path;

const KIB: usize = 1024;
const ENTRIES: usize = 100_000;
/// Names of one file, of which no file system allows for as many as are searched.
const NAMES: usize = 20_000;
/// The buffers of a search and what the first one of a process begins with, with the names of a thousand entries.
const SEARCH_BYTES: usize = 512 * KIB;
/// What an entry of a directory takes that is being gone through, its name of ten bytes included.
const ENTRY_BYTES: usize = 80;
/// What a warm search of a few files allocates, all of it together.
const WARM_BYTES: usize = 128 * KIB;

/// Fills directories with names of small files, all together [`ENTRIES`].
fn fill(root: &Path, directories: usize) {
    let mut names = 0;
    for directory in 0..directories {
        let path = root.join(directory.to_string());
        std::fs::create_dir_all(&path).expect("a directory");
        for entry in 0..ENTRIES / directories {
            let file = root.join(format!("file {}", names / NAMES));
            if names % NAMES == 0 {
                std::fs::write(&file, "hay\n").expect("a file");
            }
            std::fs::hard_link(file, path.join(format!("name {entry:05}"))).expect("a name");
            names += 1;
        }
    }
}

fn search(path: &Path, pattern: &str) -> String {
    let arguments = format!(r#"{{"path":"{}","pattern":"{pattern}"}}"#, path.display());
    let params = format!(r#"{{"name":"search_content","arguments":{arguments}}}"#);
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#) + "\n"
}

fn ask(client: &mut Client, request: &str, want: &str, buffer: &mut [u8]) {
    let answered = client.exchange(request.as_bytes(), buffer);
    let answer = String::from_utf8_lossy(&buffer[..answered]);
    assert!(answer.contains(want), "{answer}");
}

pub(crate) fn searches_are_bounded() {
    let folder = tempfile::tempdir().expect("a directory");
    let root = folder.path().canonicalize().expect("a path");
    let (tree, flat, few) = (root.join("tree"), root.join("flat"), root.join("few"));
    fill(&tree, 100);
    fill(&flat, 1);
    std::fs::create_dir(&few).expect("a directory");
    for file in 0..10 {
        std::fs::write(few.join(file.to_string()), "hay\nneedle\n").expect("a file");
    }
    let (filesystem, _) = Filesystem::new(&[root], false).expect("a directory");
    let limits = patient(Limits::default());
    let server = Server::builder("files", "1").toolset(filesystem).limits(limits).build().expect("a server");
    let host = Host::start(&server);
    let mut buffer = vec![0; 64 * KIB];
    let mut client = host.connect(Way::Lines);
    client.exchange(format!("{}\n{}\n", HANDSHAKE[0], HANDSHAKE[1]).as_bytes(), &mut buffer);
    let warm = search(&few, "n[e]+dle");
    for _ in 0..50 {
        ask(&mut client, &warm, "needle", &mut buffer);
    }
    for (path, most_bytes) in [(&tree, SEARCH_BYTES), (&flat, SEARCH_BYTES + ENTRIES * ENTRY_BYTES)] {
        let request = search(path, "n[e]+dle");
        // A hundred thousand entries are as many back-traces.
        let watch = Watch::with_frames(1);
        ask(&mut client, &request, "No matches found", &mut buffer);
        let peak = watch.stats().max_bytes;
        println!("{ENTRIES} entries in {}: at most {peak} B", path.display());
        assert!(peak <= most_bytes, "{}: {peak} B, and {most_bytes} are stated", path.display());
    }
    warm_searches_leave_nothing(&mut client, &warm, &mut buffer);
}

fn warm_searches_leave_nothing(client: &mut Client, request: &str, buffer: &mut [u8]) {
    const CALLS: usize = 20;
    let watch = Watch::begin();
    for _ in 0..CALLS {
        ask(client, request, "needle", buffer);
    }
    let bytes = watch.stats().total_bytes as usize / CALLS;
    drop(watch);
    println!("a warm search allocates {bytes} B");
    assert!(bytes <= WARM_BYTES, "{bytes} B for a warm search, and {WARM_BYTES} are stated");
    assert_no_leaks(|| ask(client, request, "needle", buffer));
}
