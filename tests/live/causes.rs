//! The first causes, each from real servers, with the evidence that proves it.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::Value;
use wstap_tests::nginx::Nginx;
use wstap_tests::node::Node;
use wstap_tests::{free_port, http};

use crate::stage::Stage;

/// A case: the cause, what is changed in a valid handshake, and the header that must be evidence.
type Case<'a> = (&'a str, String, &'a str);

fn upgrade(path: &str) -> String {
    http::upgrade(path, "app.example", "https://app.example")
}

/// Sends each request, and looks at the server's event.
fn ensure_causes(stage: &Stage, server: SocketAddr, cases: &[Case<'_>]) -> Result<()> {
    for (cause, request, evidence) in cases {
        let answer = http::ask(server, request.as_bytes())?;
        let event = stage.event(|event| {
            event["role"] == "server" && event["local"] == server.to_string().as_str()
        })?;
        ensure!(event["cause"] == *cause, "{cause} ({answer:?}): {event:#}");
        ensure!(has_evidence(&event, evidence), "{cause}, evidence {evidence}: {event:#}");
    }
    Ok(())
}

fn has_evidence(event: &Value, name: &str) -> bool {
    let named = |evidence: &Value| {
        evidence["name"].as_str().is_some_and(|other| other.eq_ignore_ascii_case(name))
    };
    event["evidence"].as_array().is_some_and(|all| all.iter().any(named))
}

#[test]
fn what_a_hop_or_a_client_left_out() -> Result<()> {
    let stage = Stage::new("structure", &[])?;
    let without = |field: &str| {
        let request = upgrade("/accept");
        let lines = request.split_inclusive("\r\n").filter(|line| !line.starts_with(field));
        lines.collect::<String>()
    };
    ensure_causes(
        &stage,
        stage.server(),
        &[
            (
                "upgrade-stripped",
                without("Upgrade:").replacen("Connection: Upgrade", "Connection: close", 1),
                "Upgrade",
            ),
            (
                "connection-stripped",
                upgrade("/accept").replacen("Connection: Upgrade", "Connection: close", 1),
                "Connection",
            ),
            ("key-missing", without("Sec-WebSocket-Key:"), "Sec-WebSocket-Key"),
            (
                "version-unsupported",
                upgrade("/accept").replacen("Version: 13", "Version: 7", 1),
                "Sec-WebSocket-Version",
            ),
        ],
    )
}

#[test]
fn what_the_servers_answer_tells() -> Result<()> {
    let stage = Stage::new("answers", &["--handshake-timeout", "2s"])?;
    ensure_causes(
        &stage,
        stage.server(),
        &[
            ("auth-required", upgrade("/reject/401"), "status"),
            ("route-not-found", upgrade("/reject/404"), "status"),
            ("redirected", upgrade("/redirect"), "Location"),
            ("upgrade-ignored", upgrade("/ignore"), "status"),
            ("server-error", upgrade("/reject/500"), "status"),
        ],
    )?;
    for (cause, path) in [("unanswered", "/silent"), ("timed-out", "/hang")] {
        let mut stream = http::connect(stage.server())?;
        std::io::Write::write_all(&mut stream, upgrade(path).as_bytes())?;
        let event = stage.event(|event| event["role"] == "server" && event["path"] == path)?;
        ensure!(event["cause"] == cause, "{event:#}");
    }
    Ok(())
}

/// nginx in front of the demo's chat, which compares origins and says which.
fn chat(folder: &Path, location: &str) -> Result<(Nginx, Node, SocketAddr)> {
    let chat = Node::start(folder, "xtask/demo/chat.js", &[])?;
    let front = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let block = format!(
        "server {{ listen {front}; location / {{ proxy_pass http://{}; {location} }} }}",
        chat.address()
    );
    let nginx = Nginx::start(folder, &block, &[front])?;
    Ok((nginx, chat, front))
}

const VERSION: &str = "proxy_http_version 1.1;";
const UPGRADE: &str = "proxy_set_header Upgrade $http_upgrade; \
    proxy_set_header Connection $connection_upgrade;";
const HOST: &str = "proxy_set_header Host $http_host;";
const HTTPS: &str = "proxy_set_header X-Forwarded-Proto https;";

#[test]
fn what_a_proxy_in_front_did() -> Result<()> {
    let no_origin = "proxy_set_header Origin \"\";";
    let cases = [
        ("upgrade-stripped", vec![VERSION, HOST, HTTPS], "Upgrade"),
        ("http-version", vec!["proxy_http_version 1.0;", UPGRADE, HOST, HTTPS], "version"),
        ("origin-absent", vec![VERSION, UPGRADE, HOST, HTTPS, no_origin], "Origin"),
        ("forwarded-proto-missing", vec![VERSION, UPGRADE, HOST], "X-Forwarded-Proto"),
        (
            "forwarded-proto-wrong",
            vec![VERSION, UPGRADE, HOST, "proxy_set_header X-Forwarded-Proto http;"],
            "X-Forwarded-Proto",
        ),
        (
            "forwarded-proto-wrong",
            vec![VERSION, UPGRADE, HOST, "proxy_set_header X-Forwarded-Proto wss;"],
            "X-Forwarded-Proto",
        ),
        ("host-rewritten", vec![VERSION, UPGRADE, HTTPS], "Host"),
    ];
    let mut stage = Stage::new("proxy", &[])?;
    for (cause, location, evidence) in cases {
        let (_nginx, chat, front) = chat(&stage.folder, &location.join(" "))?;
        stage.watch(chat.address());
        http::ask(front, upgrade("/chat").as_bytes())?;
        let event = stage.event(|event| {
            event["role"] == "server" && event["local"] == chat.address().to_string().as_str()
        })?;
        ensure!(event["cause"] == cause, "{cause}: {event:#}");
        ensure!(has_evidence(&event, evidence), "{cause}, evidence {evidence}: {event:#}");
    }
    Ok(())
}

#[test]
fn what_the_page_is() -> Result<()> {
    let mut stage = Stage::new("page", &[])?;
    let (_nginx, chat, front) = chat(&stage.folder, &[VERSION, UPGRADE, HOST, HTTPS].join(" "))?;
    stage.watch(chat.address());
    for (cause, origin) in
        [("origin-not-allowed", "https://foreign.example"), ("origin-null", "null")]
    {
        http::ask(front, http::upgrade("/chat", "app.example", origin).as_bytes())?;
        let event = stage.event(|event| {
            event["role"] == "server" && event["local"] == chat.address().to_string().as_str()
        })?;
        ensure!(event["cause"] == cause, "{cause}: {event:#}");
        ensure!(has_evidence(&event, "Origin"), "{event:#}");
    }
    // All is right: then nothing is reported.
    http::ask(front, upgrade("/chat").as_bytes())?;
    let event = stage.event(|event| {
        event["role"] == "server" && event["local"] == chat.address().to_string().as_str()
    })?;
    ensure!(event["outcome"] == "accepted" && event["cause"].is_null(), "{event:#}");
    Ok(())
}
