//! A ping of the legacy era allocates nothing once warm.

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[test]
fn ping_allocates_nothing() {
    let server =
        mcpool::Server::builder("memtests", "1").tool(mcpool_memtests::Echo).build().expect("a server");
    mcpool_memtests::assert_request_allocates_nothing(
        &server,
        &mcpool_memtests::HANDSHAKE,
        r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#,
        r#""id":7,"result":{}"#,
    );
}
