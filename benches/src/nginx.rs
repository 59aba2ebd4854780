//! The server nginx as the floor: bodies that never change, answered to whatever is posted.
//!
//! The bodies are as long as mcpool's answers to [`Call::Echo`], so that as many bytes go out. Small ones stand in
//! the configuration; nginx takes no word of more than 4 KiB there, so that larger ones are files, and posts are
//! led to them by the error that a file gives to a post.

use crate::calls::{Call, SMALL_BYTES, text};
use crate::server_process::ServerProcess;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

/// Lengths of the texts in the bodies.
const BODIES: [usize; 5] = [SMALL_BYTES, 10 << 10, 100 << 10, 1000 << 10, 1 << 20];

/// Starts nginx; its files are in `folder`.
///
/// # Errors
/// When it does not start.
pub(crate) fn start(program: &Path, folder: &Path, workers: usize) -> io::Result<ServerProcess> {
    for bytes in BODIES {
        fs::write(folder.join(bytes.to_string()), body(bytes))?;
    }
    // Workers run as somebody else when the master is root.
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(folder, everybody)?;
    // An address that nobody listens on at the moment.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let path = folder.join("nginx.conf");
    fs::write(&path, configuration(folder, address, workers))?;
    let mut command = Command::new(program);
    ServerProcess::start_at(command.arg("-c").arg(&path).arg("-e").arg("stderr"), address)
}

/// Where the body of a call is: that of the smallest for all that is no echo.
pub(crate) fn path(call: &Call) -> String {
    format!("/{}", if let Call::Echo(bytes) = call { *bytes } else { SMALL_BYTES })
}

fn body(bytes: usize) -> String {
    let text = text(bytes);
    format!(
        r#"{{"jsonrpc":"2.0","id":7,"result":{{"content":[{{"type":"text","text":"{text}"}}],"resultType":"complete","_meta":{{"io.modelcontextprotocol/serverInfo":{{"name":"nginx","version":"1"}}}}}}}}"#
    )
}

fn configuration(folder: &Path, address: SocketAddr, workers: usize) -> String {
    let mut locations = String::new();
    for bytes in BODIES {
        let answer = match body(bytes) {
            body if body.len() < 4000 => format!("return 200 '{body}';"),
            _ => "error_page 405 =200 $uri;".to_owned(),
        };
        let _ =
            writeln!(locations, "        location = /{bytes} {{ default_type application/json; {answer} }}");
    }
    let folder = folder.display();
    format!(
        "daemon off;
worker_processes {workers};
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 12000; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    sendfile on;
    client_max_body_size 16m;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {address} reuseport backlog=4096;
        root {folder};
{locations}    }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_body_is_an_answer_and_has_its_place() {
        let text = configuration(Path::new("/here"), SocketAddr::from(([127, 0, 0, 1], 80)), 2);
        for bytes in BODIES {
            assert!(text.contains(&format!("location = {} ", path(&Call::Echo(bytes)))), "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(&body(bytes)).is_ok());
        }
        assert!(text.contains(&format!("location = {} ", path(&Call::ListTools))), "{text}");
        assert!(!body(SMALL_BYTES).contains('\''), "it stands between such");
    }
}
