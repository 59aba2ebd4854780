//! Servers at `https://`, and certificates that are not to be trusted.

use super::own_server::{ANY_PORT, address, with_server_on};
use super::{assert_adds_up, counted, echo, run};
use mcpool::load::{Era, LoadPattern, LoadStep, LoadTarget, LoadTestError, LoadTestScenario, LoadTestSuite};
use mcpool::transport::{Listener, TcpOptions, Tls};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// As an address, as a name may have another one first.
const HOST: &str = "127.0.0.1";

/// The file of a certificate for `name`, which signs itself, and that of its key.
fn certificate(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let (certificate, key) = (folder.join("c.pem"), folder.join("k.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    (certificate, key)
}

/// Has `test` load an encrypted server on a port, which has the certificate of a file for `name`.
fn with_encrypted_server(name: &str, test: impl FnOnce(u16, &Path)) {
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = certificate(folder.path(), name);
    let tls = Arc::new(Tls::load(&certificate, key).expect("a pair"));
    let listen = move || {
        let tcp = Listener::tcp(ANY_PORT, TcpOptions::default()).expect("a port").with_tls(tls);
        let port = address(&tcp).port();
        (vec![tcp], port)
    };
    with_server_on(listen, |port| test(port, &certificate));
}

fn target(text: &str) -> LoadTarget {
    LoadTarget::parse(text).expect("a target")
}

#[test]
fn an_encrypted_server_is_loaded_in_either_era_and_either_loop() {
    with_encrypted_server(HOST, |port, certificate| {
        let target = target(&format!("https://{HOST}:{port}"));
        for era in [Era::Modern, Era::Legacy] {
            for pattern in [LoadPattern::Closed, LoadPattern::Constant { rate: 500.0 }] {
                let scenario = counted(target.clone(), era, 100).connections(3).step(echo());
                let report = run(&scenario.pattern(pattern).ca_file(certificate));
                assert_adds_up(&report);
                assert!(report.is_flawless(), "{era:?} {pattern:?} {report:?}");
                assert_eq!((report.requests.answered, report.scenario.transport.as_str()), (100, "HTTPS"));
            }
        }
        let asked = LoadTestScenario::new("what it speaks", target.clone()).count(5);
        let report = run(&asked.warm_up(Duration::ZERO).ca_file(certificate));
        assert_eq!((report.scenario.revision.as_str(), report.requests.answered), ("2026-07-28", 5));
    });
}

#[test]
fn what_is_larger_than_a_record_passes_and_each_connection_has_its_own_handshake() {
    with_encrypted_server(HOST, |port, certificate| {
        let target = target(&format!("https://{HOST}:{port}"));
        let text = json!({"text": "{{text 600000}}"});
        let large = LoadStep::call("echo", text.as_object().cloned().expect("an object"));
        let report =
            run(&counted(target.clone(), Era::Modern, 8).connections(2).step(large).ca_file(certificate));
        assert!(report.is_flawless(), "{report:?}");
        let leaving = counted(target.clone(), Era::Modern, 20).connections(2).churn(true).step(echo());
        let report = run(&leaving.ca_file(certificate));
        assert!(report.is_flawless() && report.requests.answered == 20, "{report:?}");
        assert_eq!(report.requests.broken_connections, 0, "they were left, not lost");
    });
}

/// What the test says that could not begin.
fn refused(scenario: &LoadTestScenario) -> LoadTestError {
    LoadTestSuite::new().run(scenario, |_| ()).expect_err("nobody is loaded")
}

#[test]
fn a_certificate_that_is_not_trusted_is_told_before_anything_is_loaded() {
    with_encrypted_server(HOST, |port, certificate| {
        let target = target(&format!("https://{HOST}:{port}"));
        for era in [None, Some(Era::Modern), Some(Era::Legacy)] {
            let scenario = LoadTestScenario::new("test", target.clone()).count(5).step(echo());
            let scenario = era.map_or(scenario.clone(), |era| scenario.era(era));
            let text = refused(&scenario).to_string();
            assert!(text.contains(&format!("https://{HOST}:{port}/mcp")), "{text}");
            assert!(text.contains("nobody who is trusted") && text.contains("--ca-file"), "{text}");
        }
        let nothing = certificate.with_file_name("k.pem");
        for (file, want) in
            [(nothing.as_path(), "BEGIN CERTIFICATE"), (Path::new("/nonexistent"), "No such file")]
        {
            let error = refused(&LoadTestScenario::new("test", target.clone()).ca_file(file));
            assert!(matches!(error, LoadTestError::Encryption { .. }), "{error}");
            assert!(error.to_string().contains(want), "{error}");
        }
    });
    with_encrypted_server("example.com", |port, certificate| {
        let elsewhere = LoadTestScenario::new("test", target(&format!("https://{HOST}:{port}")));
        let text = refused(&elsewhere.ca_file(certificate)).to_string();
        assert!(text.contains("not valid for name") && text.contains("example.com"), "{text}");
    });
}

#[test]
fn a_server_that_does_not_encrypt_is_told_from_one_with_a_wrong_certificate() {
    let listen = || {
        let tcp = Listener::tcp(ANY_PORT, TcpOptions::default()).expect("a port");
        let port = address(&tcp).port();
        (vec![tcp], port)
    };
    with_server_on(listen, |port| {
        let text =
            refused(&LoadTestScenario::new("test", target(&format!("https://{HOST}:{port}")))).to_string();
        assert!(text.contains("does not encrypt") && text.contains("http://"), "{text}");
    });
    let plain = LoadTestScenario::new("test", target("http://localhost:1")).ca_file("c.pem");
    assert!(refused(&plain).to_string().contains("https://"));
}

#[cfg(feature = "cli")]
#[test]
fn a_person_names_the_certificate_in_a_flag_or_a_scenario() {
    with_encrypted_server(HOST, |port, certificate| {
        let load = |arguments: &[&str]| {
            let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_mcpool"));
            program.arg("load").args(arguments).output().expect("the program runs")
        };
        let (url, file) = (format!("https://{HOST}:{port}"), certificate.display().to_string());
        let scenario = certificate.with_file_name("scenario.toml");
        let text =
            format!("[[scenario]]\nname = \"a\"\ntarget = \"{url}\"\nca_file = \"c.pem\"\ncount = 5\n");
        std::fs::write(&scenario, text).expect("written");
        let scenario = scenario.display().to_string();
        for (arguments, code, want) in [
            (&["--count", "5", "--ca-file", &file, &url][..], 0, "5 answered"),
            (&["--scenario", &scenario], 0, "5 answered"),
            (&["--count", "5", &url], 3, "--ca-file"),
            (&["--count", "5", "--ca-file", "/nonexistent", &url], 2, "No such file"),
            (&["--count", "5", "--ca-file", &file, "http://localhost:1"], 2, "https://"),
        ] {
            let output = load(arguments);
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
            assert!(said.contains(want), "{arguments:?}: {said}");
        }
    });
}
