//! A server of the web on this machine, which answers as a test wants it to.

#![allow(dead_code, unreachable_pub, reason = "of a helper, each test uses a part")]

use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Listens until it is dropped.
pub struct Site {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    closing: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Site {
    /// A site at 127.0.0.1 whose connections `answer` serves: it gets the first line of the request.
    pub fn new(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), answer)
    }

    /// A site at `ip`.
    pub fn at(ip: IpAddr, answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((ip, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let (heads, closing) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let (seen, ends, answer) = (Arc::clone(&heads), Arc::clone(&closing), Arc::new(answer));
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(PATIENCE));
                    let _ = stream.set_write_timeout(Some(PATIENCE));
                    while let Some(head) = read_head(&mut stream) {
                        let first = head.lines().next().unwrap_or_default().to_owned();
                        seen.lock().unwrap_or_else(PoisonError::into_inner).push(head);
                        answer(&first, &mut stream);
                    }
                });
            }
        });
        Self { address, heads, closing, accepting: Some(accepting) }
    }

    /// A site that answers each path with what `pages` gives for it; the rest is 404.
    pub fn of(pages: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::new(move |first, stream| {
            let path = first.split(' ').nth(1).unwrap_or_default();
            let answer = pages(path).unwrap_or_else(|| response("404 Not Found", "text/plain", b"not here"));
            let _ = stream.write_all(&answer);
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The heads of all requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The paths of all requests so far.
    pub fn paths(&self) -> Vec<String> {
        let path = |head: &String| head.split(' ').nth(1).unwrap_or_default().to_owned();
        self.heads().iter().map(path).collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        // Wakes who accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// An address that answers no connection, and refuses none: its queue is full.
pub struct Deaf {
    listener: Socket,
    queue: Vec<TcpStream>,
}

impl Deaf {
    pub fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port");
        listener.listen(0).expect("it listens");
        let mut deaf = Self { listener, queue: Vec::new() };
        while let Ok(queued) = TcpStream::connect_timeout(&deaf.address(), Duration::from_millis(500)) {
            deaf.queue.push(queued);
            assert!(deaf.queue.len() < 64, "its queue has no end");
        }
        deaf
    }

    fn address(&self) -> SocketAddr {
        let address = self.listener.local_addr().expect("an address");
        address.as_socket().expect("one of IP")
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }
}

/// Sends `head`, and then a byte now and then, until the client has gone.
pub fn drip(stream: &mut TcpStream, head: &[u8]) {
    let mut sent = stream.write_all(head);
    while sent.is_ok() {
        std::thread::sleep(Duration::from_millis(5));
        sent = stream.write_all(b"x");
    }
}

/// A whole response.
pub fn response(status: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let kind =
        if content_type.is_empty() { String::new() } else { format!("content-type: {content_type}\r\n") };
    let head = format!("HTTP/1.1 {status}\r\n{kind}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A page of HTML.
pub fn html(body: &str) -> Vec<u8> {
    response("200 OK", "text/html", body.as_bytes())
}

/// A redirect.
pub fn redirect(to: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n").into_bytes()
}

/// Waits until the client closes the connection, or sends more.
pub fn wait_for_close(stream: &mut TcpStream) {
    let _ = stream.read(&mut [0]);
}

fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => return None,
        }
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}
