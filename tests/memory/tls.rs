//! Encrypted connections are told as large as they are.

use crate::load::{Program, head, message};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const CONNECTIONS: u64 = 150;

/// A connection that had an answer and is idle.
trait Idle {}
impl<T> Idle for T {}

fn ask(mut stream: impl Read + Write + 'static) -> Box<dyn Idle> {
    let body = message("tools/list", r#""n":1"#);
    let fields = "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/list\r\n";
    stream.write_all(format!("{}{body}", head(body.len(), fields)).as_bytes()).expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let mut some = [0; 4 * 1024];
        let bytes = stream.read(&mut some).expect("an answer");
        assert!(bytes > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&some[..bytes]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    Box::new(stream)
}

/// Heap, and bytes of the line of connections, that one more connection adds.
fn growth(program: &Program, connect: impl Fn(TcpStream) -> Box<dyn Idle>) -> (u64, u64) {
    let open = || connect(TcpStream::connect(("127.0.0.1", program.port())).expect("connects"));
    let sizes = || {
        let report = program.report();
        (report.usage.heap_bytes.expect("told"), report.part("connections").expect("a line").bytes)
    };
    // What the first ones leave stays: pooled objects, tables that grow.
    let first: Vec<_> = (0..CONNECTIONS).map(|_| open()).collect();
    let before = sizes();
    let more: Vec<_> = (0..CONNECTIONS).map(|_| open()).collect();
    let after = sizes();
    drop((first, more));
    ((after.0.saturating_sub(before.0)) / CONNECTIONS, (after.1 - before.1) / CONNECTIONS)
}

#[test]
fn an_encrypted_connection_is_told_as_large_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let [certificate, key] = [&certificate, &key].map(|path| path.to_str().expect("text"));
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().to_vec().into()).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);

    let plain = growth(&Program::serve(&[]), |stream| ask(stream));
    let encrypted = growth(&Program::serve(&["--tls-cert", certificate, "--tls-key", key]), |stream| {
        let name = "localhost".try_into().expect("a name");
        let session = ClientConnection::new(Arc::clone(&config), name).expect("a session");
        ask(StreamOwned::new(session, stream))
    });
    // The task of a connection is larger in a debug build, so what is compared is what encryption adds.
    let (heap, told) = (encrypted.0 - plain.0, encrypted.1 - plain.1);
    println!("encryption adds {heap} B of heap and is told as {told} B; plain: {plain:?}");
    assert!(told.abs_diff(heap) * 10 <= heap, "heap {heap}, told {told}");
}
