//! This project's server over each transport that it listens on, in both eras.

use super::{assert_adds_up, counted, echo, run};
use mcpool::load::{Era, LoadPattern, LoadStep, LoadTarget};
use mcpool::transport::{HttpConfig, Listener, LocalAddress, TcpOptions, serve_http};
use mcpool::{CallContext, Drain, Server, Tool, ToolDefinition, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Map;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::mpsc::sync_channel;
use std::thread;

#[derive(Deserialize, JsonSchema)]
struct Text<'a> {
    text: &'a str,
}

struct Echo;

impl Tool for Echo {
    type Arguments<'a> = Text<'a>;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("echo", "Says a text back.").arguments::<Text<'_>>()
    }

    async fn call<'a>(&'a self, arguments: Text<'a>, call: &mut CallContext) -> Result<(), ToolError> {
        call.text(arguments.text);
        Ok(())
    }
}

/// Has `test` load a server at these targets.
pub(super) fn with_server(test: impl Fn(&LoadTarget)) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("own.sock");
    let at = path.clone();
    let listen = move || {
        let unix = Listener::unix(&at).expect("a path");
        let tcp = Listener::tcp(ANY_PORT, TcpOptions::default()).expect("a port");
        let address = address(&tcp);
        (vec![tcp, unix], address)
    };
    with_server_on(listen, |address| {
        let path = path.display();
        for text in [format!("http://{address}"), format!("unix:{path}"), format!("unix-lines:{path}")] {
            test(&LoadTarget::parse(&text).expect("a target"));
        }
    });
}

pub(super) const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(super) fn address(tcp: &Listener) -> SocketAddr {
    let LocalAddress::Tcp { address, .. } = *tcp.local_addr() else { panic!("a TCP address") };
    address
}

/// Has `test` load a server where `listen` says, which is told what that gives besides.
pub(super) fn with_server_on<T: Send + 'static>(
    listen: impl FnOnce() -> (Vec<Listener>, T) + Send + 'static,
    test: impl FnOnce(T),
) {
    let drain = Drain::default();
    let (started, told) = sync_channel(1);
    let ends = drain.clone();
    let server = thread::spawn(move || {
        let server = Server::builder("loaded", "1").tool(Echo).build().expect("a server");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let (listeners, tells) = listen();
            started.send(tells).expect("somebody waits");
            serve_http(&server, listeners, HttpConfig::default(), &ends).await.expect("served");
        });
    });
    test(told.recv().expect("the server listens"));
    drain.begin();
    server.join().expect("the server ends");
}

#[test]
fn each_transport_and_era_is_loaded_without_a_fault() {
    with_server(|target| {
        for era in [Era::Modern, Era::Legacy] {
            let list = LoadStep::method("tools/list", Map::new()).weight(3);
            let scenario =
                counted(target.clone(), era, 300).connections(4).in_flight(2).step(echo()).step(list);
            let report = run(&scenario);
            assert_adds_up(&report);
            assert!(report.is_flawless(), "{target} {era:?} {report:?}");
            assert_eq!(report.requests.answered, 300);
            let list = report.operations[1].answered;
            assert!((150..290).contains(&list), "three of four: {list}");
            let revision = if era == Era::Modern { "2026-07-28" } else { "2025-11-25" };
            assert_eq!(report.scenario.revision, revision, "{target}");
        }
    });
}

#[test]
fn a_server_is_asked_what_it_speaks_and_for_what_costs_least() {
    with_server(|target| {
        let scenario = mcpool::load::LoadTestScenario::new("least", target.clone());
        let scenario = scenario.count(20).warm_up(std::time::Duration::ZERO);
        let report = run(&scenario.pattern(LoadPattern::Constant { rate: 200.0 }));
        assert!(report.is_flawless(), "{target} {report:?}");
        assert_eq!(report.operations[0].method, "server/discover", "{target}");
    });
}

#[test]
fn clients_that_leave_without_a_word_are_connections_each() {
    with_server(|target| {
        for era in [Era::Modern, Era::Legacy] {
            let scenario = counted(target.clone(), era, 60).connections(3).churn(true).step(echo());
            let report = run(&scenario);
            assert_adds_up(&report);
            assert!(report.is_flawless(), "{target} {era:?} {report:?}");
            assert_eq!(report.requests.broken_connections, 0, "they were left, not lost");
        }
    });
}
