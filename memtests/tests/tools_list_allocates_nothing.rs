//! The list of tools allocates nothing once warm, in either era.

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[test]
fn tools_list_allocates_nothing() {
    let server =
        mcpool::Server::builder("memtests", "1").tool(mcpool_memtests::Echo).build().expect("a server");
    let legacy = r#"{"jsonrpc":"2.0","id":"a","method":"tools/list"}"#;
    mcpool_memtests::assert_request_allocates_nothing(
        &server,
        &mcpool_memtests::HANDSHAKE,
        legacy,
        r#""id":"a","result":{"tools":[{"name":"echo""#,
    );
    let modern = format!(
        r#"{{"jsonrpc":"2.0","id":"a","method":"tools/list","params":{{{}}}}}"#,
        mcpool_memtests::META
    );
    mcpool_memtests::assert_request_allocates_nothing(&server, &[], &modern, r#""ttlMs":"#);
}
