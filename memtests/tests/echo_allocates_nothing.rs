//! A call of a tool allocates nothing once warm, its argument plain or escaped, in either era.

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[test]
fn echo_allocates_nothing() {
    let server =
        mcpool::Server::builder("memtests", "1").tool(mcpool_memtests::Echo).build().expect("a server");
    let legacy = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"plain"}}}"#;
    mcpool_memtests::assert_request_allocates_nothing(
        &server,
        &mcpool_memtests::HANDSHAKE,
        legacy,
        r#""text":"plain""#,
    );
    let modern = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"tab\tand \u00e9"}},{}}}}}"#,
        mcpool_memtests::META
    );
    mcpool_memtests::assert_request_allocates_nothing(&server, &[], &modern, r#""text":"tab\tand é""#);
}
