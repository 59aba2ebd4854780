//! Reading a small text file allocates nothing once warm, by an absolute path and by a relative one, in either era.

use mcpool::Server;
use mcpool::tools::filesystem::Filesystem;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[test]
fn read_text_file_allocates_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = "sixteen bytes \"\n";
    std::fs::create_dir(folder.path().join("notes")).expect("a folder");
    std::fs::write(folder.path().join("notes/one kilobyte.txt"), line.repeat(64)).expect("a file");
    let (filesystem, warnings) = Filesystem::new(&[folder.path().to_owned()], false).expect("the tools");
    assert!(warnings.is_empty(), "{warnings:?}");
    let server = Server::builder("memtests", "1").toolset(filesystem).build().expect("a server");

    let path = folder.path().join("notes/one kilobyte.txt");
    let absolute = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"read_text_file","arguments":{{"path":"{}"}}}}}}"#,
        path.display()
    );
    let expected = r#"sixteen bytes \"\n"}}}"#;
    mcpool_memtests::assert_request_allocates_nothing(
        &server,
        &mcpool_memtests::HANDSHAKE,
        &absolute,
        expected,
    );
    let relative = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"read_text_file","arguments":{{"path":"notes/one kilobyte.txt","head":3}},{}}}}}"#,
        mcpool_memtests::META
    );
    mcpool_memtests::assert_request_allocates_nothing(
        &server,
        &[],
        &relative,
        r#""structuredContent":{"content":"#,
    );
}
