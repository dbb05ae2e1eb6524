//! Every way in which a handshake may come over the wire is seen, once for each role.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use wstap_tests::http::{self, Answer, KEY};
use wstap_tests::nginx::{Nginx, UPGRADE};
use wstap_tests::node;
use wstap_tests::{free_port, process::Process, workspace};

use crate::namespace::{self, Namespace};
use crate::stage::{Stage, of_role};

const ORIGIN: &str = "https://app.example";

fn upgrade(name: &str) -> String {
    http::upgrade(&format!("/accept/{name}"), "here.example", ORIGIN)
}

/// The one event of each role; an error that shows them all when there are others.
fn one_of_each_role(events: &[Value]) -> Result<(&Value, &Value)> {
    let (server, client) = (of_role(events, "server"), of_role(events, "client"));
    ensure!(events.len() == 2 && server.len() == 1 && client.len() == 1, "{events:#?}");
    Ok((server[0], client[0]))
}

/// Runs one exchange that ends in a 101, and looks at the two events.
fn seen_once(
    stage: &Stage,
    name: &str,
    exchange: impl FnOnce(SocketAddr) -> Result<Answer>,
) -> Result<()> {
    let answer = exchange(stage.server())?;
    ensure!(answer == Answer::Status(101), "{name}: the server answered {answer:?}");
    let events = stage.events_until_now()?;
    let (server, client) = one_of_each_role(&events)?;
    for event in [server, client] {
        ensure!(event["outcome"] == "accepted", "{name}: {event:#}");
        ensure!(event["status"] == 101, "{name}: {event:#}");
        ensure!(event["origin"] == ORIGIN, "{name}: {event:#}");
        ensure!(event["path"] == format!("/accept/{name}").as_str(), "{name}: {event:#}");
    }
    ensure!(server["local"] == client["peer"] && server["peer"] == client["local"], "{events:#?}");
    Ok(())
}

#[test]
fn every_form_of_the_request_is_seen_once_for_each_role() -> Result<()> {
    let stage = Stage::new("forms", &[])?;
    seen_once(&stage, "plain", |server| http::ask(server, upgrade("plain").as_bytes()))?;
    seen_once(&stage, "ipv6", |server| {
        let server = SocketAddr::new("::1".parse()?, server.port());
        http::ask(server, upgrade("ipv6").as_bytes())
    })?;
    seen_once(&stage, "lower-case", |server| {
        let (line, fields) = {
            let request = upgrade("lower-case");
            let (line, fields) = request.split_once("\r\n").unwrap_or_default();
            (line.to_owned(), fields.to_owned())
        };
        let fields: String = fields
            .split_inclusive("\r\n")
            .map(|field| match field.split_once(':') {
                Some((name, value)) => format!("{}:{value}", name.to_lowercase()),
                None => field.to_owned(),
            })
            .collect();
        http::ask(server, format!("{line}\r\n{fields}").as_bytes())
    })?;
    seen_once(&stage, "empty-line-first", |server| {
        http::ask(server, format!("\r\n{}", upgrade("empty-line-first")).as_bytes())
    })?;
    seen_once(&stage, "absolute-form", |server| {
        let request = upgrade("absolute-form").replacen(" /", " http://here.example/", 1);
        http::ask(server, request.as_bytes())
    })?;
    seen_once(&stage, "http-1.0", |server| {
        http::ask(server, upgrade("http-1.0").replacen("HTTP/1.1", "HTTP/1.0", 1).as_bytes())
    })?;
    Ok(())
}

#[test]
fn a_request_behind_ipv6_extension_headers_is_seen_once_for_each_role() -> Result<()> {
    let stage = Stage::new("extensions", &[])?;
    seen_once(&stage, "extensions", |server| {
        let mut client = Command::new(workspace().join("target/servers/bin/python"))
            .arg(workspace().join("tests/live/servers/extensions.py"))
            .arg(server.port().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        client.stdin.take().context("no input")?.write_all(upgrade("extensions").as_bytes())?;
        let said = client.wait_with_output()?;
        let status = String::from_utf8(said.stdout)?;
        Ok(Answer::Status(status.trim().parse().context("the client got no answer")?))
    })
}

#[test]
fn a_head_in_many_segments_is_seen_once_for_each_role() -> Result<()> {
    let stage = Stage::new("segments", &[])?;
    seen_once(&stage, "one-byte-a-write", |server| {
        let mut stream = http::connect(server)?;
        for byte in upgrade("one-byte-a-write").as_bytes() {
            stream.write_all(&[*byte])?;
        }
        http::answer(&mut stream)
    })?;
    for (name, size) in [("4k", 4 << 10), ("16k", 16 << 10), ("63k", 63 << 10)] {
        // In front of the fields that make it a handshake, so that none of them is near the start.
        let cookie = format!("\r\nCookie: c={}\r\nUpgrade:", "x".repeat(size));
        let request = upgrade(name).replacen("\r\nUpgrade:", &cookie, 1);
        seen_once(&stage, name, |server| http::ask(server, request.as_bytes()))?;
    }
    Ok(())
}

#[test]
fn an_upgrade_after_ordinary_requests_is_seen_and_they_are_not() -> Result<()> {
    let stage = Stage::new("keep-alive", &[])?;
    let ordinary = "GET /ordinary HTTP/1.1\r\nHost: here.example\r\n\r\n";
    seen_once(&stage, "reused", |server| {
        let mut stream = http::connect(server)?;
        for _ in 0..3 {
            stream.write_all(ordinary.as_bytes())?;
            ensure!(http::answer(&mut stream)? == Answer::Status(200));
            read_body(&mut stream)?;
        }
        stream.write_all(upgrade("reused").as_bytes())?;
        http::answer(&mut stream)
    })?;
    seen_once(&stage, "one-segment", |server| {
        let mut stream = http::connect(server)?;
        stream.write_all(format!("{ordinary}{}", upgrade("one-segment")).as_bytes())?;
        ensure!(http::answer(&mut stream)? == Answer::Status(200));
        read_body(&mut stream)?;
        http::answer(&mut stream)
    })
}

/// Node sends its small pages in one chunk.
fn read_body(stream: &mut TcpStream) -> Result<()> {
    use std::io::Read as _;
    let mut body = Vec::new();
    let mut byte = [0];
    while !body.ends_with(b"0\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        body.extend(byte);
    }
    Ok(())
}

#[test]
fn a_first_frame_glued_to_the_request_is_no_part_of_it() -> Result<()> {
    let stage = Stage::new("glued", &[])?;
    // A masked text frame (RFC 6455 section 5.7).
    let frame = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    seen_once(&stage, "frame-with-request", |server| {
        let mut bytes = upgrade("frame-with-request").into_bytes();
        bytes.extend(frame);
        http::ask(server, &bytes)
    })
}

#[test]
fn a_proxy_protocol_preamble_is_skipped() -> Result<()> {
    let mut stage = Stage::new("proxy-protocol", &[])?;
    let front = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let block = format!(
        "server {{ listen {front} proxy_protocol; location / {{ {UPGRADE} proxy_pass http://{}; }} }}",
        stage.server()
    );
    let _nginx = Nginx::start(&stage.folder, &block, &[front])?;
    stage.watch(front);
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01".to_vec();
    v2.extend([0x12, 0x34, 0x00, 0x50]);
    let v1 = b"PROXY TCP4 127.0.0.1 127.0.0.1 4660 80\r\n".to_vec();
    for (name, preamble) in [("v1", v1), ("v2", v2)] {
        let mut bytes = preamble;
        bytes.extend(upgrade(name).as_bytes());
        ensure!(http::ask(front, &bytes)? == Answer::Status(101), "{name}");
        let events = stage.events_until_now()?;
        // The client's leg and nginx's own leg to Node, each with its two roles.
        ensure!(events.len() == 4, "{name}: {events:#?}");
        let fronts = events.iter().filter(|event| event["local"] == front.to_string().as_str());
        let fronts: Vec<_> = fronts.collect();
        ensure!(fronts.len() == 1 && fronts[0]["outcome"] == "accepted", "{name}: {events:#?}");
        ensure!(fronts[0]["path"] == format!("/accept/{name}").as_str(), "{name}: {events:#?}");
    }
    Ok(())
}

#[test]
fn processes_that_are_older_than_the_agent_and_other_network_namespaces_are_seen() -> Result<()> {
    let mut stage = Stage::new("netns", &[])?;
    let space = Namespace::new("wstap-live")?;
    let mut command = Command::new("ip");
    command.args(["netns", "exec", space.0]).arg("node");
    command.args(node::command("tests/live/servers/ws.js").get_args()).arg("::");
    for (name, value) in node::command("").get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let (server, lines) = Process::start_with_lines("ns-node", &mut command, &stage.folder)?;
    let port: u16 = lines.next()?.trim_start_matches("listening ").parse()?;
    let address = SocketAddr::from((namespace::THERE, port));
    stage.watch(address);
    ensure!(http::ask(address, upgrade("over-veth").as_bytes())? == Answer::Status(101));
    let events = stage.events_until_now()?;
    let (server_event, client_event) = one_of_each_role(&events)?;
    ensure!(server_event["local"] == address.to_string().as_str(), "{events:#?}");
    ensure!(client_event["peer"] == address.to_string().as_str(), "{events:#?}");
    ensure!(server_event["process"]["pid"] == server.id(), "{events:#?}");
    Ok(())
}

#[test]
fn the_process_that_listens_is_named() -> Result<()> {
    let stage = Stage::new("process", &[])?;
    http::ask(stage.server(), upgrade("named").as_bytes())?;
    let events = stage.events_until_now()?;
    let (server, _) = one_of_each_role(&events)?;
    ensure!(server["process"]["pid"] == stage.node.process().id(), "{server:#}");
    ensure!(server["process"]["name"] == "node", "{server:#}");
    Ok(())
}

#[test]
fn the_key_and_other_secrets_reach_no_event() -> Result<()> {
    let stage = Stage::new("secrets", &[])?;
    let request = upgrade("403?token=SECRET-QUERY").replacen(
        "\r\nUpgrade:",
        "\r\nCookie: a=SECRET-COOKIE\r\nAuthorization: Bearer SECRET-BEARER\r\n\
         Sec-WebSocket-Protocol: chat, SECRET.eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.token\r\nUpgrade:",
        1,
    );
    http::ask(stage.server(), request.replacen("/accept/", "/reject/", 1).as_bytes())?;
    let events = stage.events_until_now()?;
    ensure!(of_role(&events, "server").len() == 1, "{events:#?}");
    let text = serde_json::to_string(&events)?;
    ensure!(!text.contains("SECRET") && !text.contains(KEY), "{events:#?}");
    Ok(())
}
