//! What became of a handshake, told as it was.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use socket2::SockRef;
use wstap_tests::http::{self, Answer};

use crate::script;
use crate::stage::Stage;

fn upgrade(path: &str) -> String {
    http::upgrade(path, "here.example", "https://app.example")
}

/// The events of the handshake on this path, one of each role.
fn events(stage: &Stage, path: &str) -> Result<[Value; 2]> {
    let first = stage.event(|event| event["path"] == path)?;
    let second = stage.event(|event| event["path"] == path && event["role"] != first["role"])?;
    Ok([first, second])
}

fn ensure_outcome(event: &Value, outcome: &str, status: Value) -> Result<()> {
    ensure!(event["outcome"] == outcome && event["status"] == status, "{event:#}");
    ensure!(event["origin"] == "https://app.example", "{event:#}");
    Ok(())
}

#[test]
fn an_answer_that_is_no_101_is_rejected_with_its_status() -> Result<()> {
    let stage = Stage::new("rejected", &[])?;
    let paths = [
        ("/reject/401", 401),
        ("/reject/403", 403),
        ("/reject/404", 404),
        ("/reject/500", 500),
        ("/reject/503", 503),
        ("/redirect", 302),
        ("/ignore", 200),
        ("/by-ws-itself", 401),
    ];
    for (path, status) in paths {
        let answer = http::ask(stage.server(), upgrade(path).as_bytes())?;
        ensure!(answer == Answer::Status(status), "{path}: {answer:?}");
        for event in events(&stage, path)? {
            ensure_outcome(&event, "rejected", json!(status))?;
        }
    }
    Ok(())
}

#[test]
fn an_end_without_a_byte_is_unanswered() -> Result<()> {
    let mut stage = Stage::new("unanswered", &[])?;
    ensure!(http::ask(stage.server(), upgrade("/silent").as_bytes())? == Answer::Closed);
    for event in events(&stage, "/silent")? {
        ensure_outcome(&event, "unanswered", Value::Null)?;
    }

    let resetting = script::serve(|stream| {
        // Closing then sends RST instead of FIN.
        Ok(SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO))?)
    })?;
    stage.watch(resetting);
    ensure!(http::ask(resetting, upgrade("/reset").as_bytes())? == Answer::Closed);
    for event in events(&stage, "/reset")? {
        ensure_outcome(&event, "unanswered", Value::Null)?;
    }

    // The client goes first.
    let mut stream = http::connect(stage.server())?;
    stream.write_all(upgrade("/hang").as_bytes())?;
    drop(stream);
    for event in events(&stage, "/hang")? {
        ensure_outcome(&event, "unanswered", Value::Null)?;
    }
    Ok(())
}

#[test]
fn no_answer_in_time_is_timed_out() -> Result<()> {
    let stage = Stage::new("timed-out", &["--handshake-timeout", "500ms"])?;
    let mut stream = http::connect(stage.server())?;
    stream.write_all(upgrade("/hang").as_bytes())?;
    for event in events(&stage, "/hang")? {
        ensure_outcome(&event, "timed-out", Value::Null)?;
        ensure!(event["cause"] == "timed-out", "{event:#}");
    }
    Ok(())
}

#[test]
fn a_first_frame_glued_to_the_101_is_no_part_of_it() -> Result<()> {
    let mut stage = Stage::new("glued-answer", &[])?;
    let server = script::serve(|mut stream| {
        let mut answer = http::ACCEPTED.to_vec();
        answer.extend(b"\x81\x05Hello");
        Ok(stream.write_all(&answer)?)
    })?;
    stage.watch(server);
    ensure!(http::ask(server, upgrade("/glued").as_bytes())? == Answer::Status(101));
    for event in events(&stage, "/glued")? {
        ensure_outcome(&event, "accepted", json!(101))?;
    }
    Ok(())
}

#[test]
fn an_answer_after_others_in_between_is_the_final_one() -> Result<()> {
    let mut stage = Stage::new("interim", &[])?;
    let server = script::serve(|mut stream| {
        stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n")?;
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")?;
        Ok(())
    })?;
    stage.watch(server);
    http::ask(server, upgrade("/interim").as_bytes())?;
    for event in events(&stage, "/interim")? {
        ensure_outcome(&event, "rejected", json!(403))?;
    }
    Ok(())
}

#[test]
fn a_request_whose_upgrade_a_proxy_has_stripped_is_seen() -> Result<()> {
    let stage = Stage::new("stripped", &[])?;
    let request = upgrade("/stripped").replacen("Upgrade: websocket\r\n", "", 1).replacen(
        "Connection: Upgrade",
        "Connection: close",
        1,
    );
    ensure!(http::ask(stage.server(), request.as_bytes())? == Answer::Status(200));
    for event in events(&stage, "/stripped")? {
        ensure_outcome(&event, "rejected", json!(200))?;
        ensure!(event["cause"] == "upgrade-stripped", "{event:#}");
        // A server that serves it as an ordinary request does not say that it looked for Upgrade.
        ensure!(event["confidence"] == "likely", "{event:#}");
    }
    Ok(())
}

#[test]
fn each_side_of_a_proxy_is_a_handshake_of_its_own() -> Result<()> {
    use wstap_tests::nginx::{Nginx, UPGRADE};
    let mut stage = Stage::new("two-legs", &[])?;
    let front = SocketAddr::from(([127, 0, 0, 1], wstap_tests::free_port()?));
    let block = format!(
        "server {{ listen {front}; location / {{ {UPGRADE} proxy_pass http://{}; }} }}",
        stage.server()
    );
    let nginx = Nginx::start(&stage.folder, &block, &[front])?;
    stage.watch(front);
    // Node hangs up without a word; nginx answers in its place.
    ensure!(http::ask(front, upgrade("/silent").as_bytes())? == Answer::Status(502));
    let mut seen = Vec::new();
    for _ in 0..4 {
        let event = stage.event(|event| event["path"] == "/silent")?;
        let at_front = [&event["local"], &event["peer"]].contains(&&json!(front.to_string()));
        // A client's socket is closed by the time that somebody could look whose it was.
        let process = Some(&event["process"]["name"]).filter(|_| event["role"] == "server");
        seen.push(json!([at_front, event["role"], event["outcome"], process]));
    }
    seen.sort_by_key(Value::to_string);
    let expected = json!([
        [false, "client", "unanswered", null],
        [false, "server", "unanswered", "node"],
        [true, "client", "rejected", null],
        [true, "server", "rejected", "nginx"],
    ]);
    ensure!(json!(seen) == expected, "{seen:#?}");
    drop(nginx);
    Ok(())
}
