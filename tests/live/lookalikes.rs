//! What is no handshake is never reported, however much it looks like one.

use std::io::Write as _;

use anyhow::{Result, ensure};
use wstap_tests::http::{self, Answer};

use crate::stage::Stage;

const HANDSHAKE: &str = "GET /accept HTTP/1.1\r\nHost: here.example\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nOrigin: https://app.example\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn lookalikes_are_never_reported() -> Result<()> {
    let ordinary = "GET /ordinary HTTP/1.1\r\nHost: here.example\r\n";
    let length = HANDSHAKE.len();
    let cases = [
        ("an ordinary request", vec![format!("{ordinary}\r\n")]),
        ("h2c", vec![format!(
            "{ordinary}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n"
        )]),
        ("SPDY", vec![format!("{ordinary}Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")]),
        ("TLS", vec![format!("{ordinary}Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n\r\n")]),
        ("another header's value", vec![format!(
            "{ordinary}X-Note: Upgrade: websocket Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )]),
        ("another header's name", vec![format!(
            "{ordinary}X-Upgrade: websocket\r\nUpgrade-Insecure-Requests: 1\r\n\r\n"
        )]),
        ("the target", vec![
            "GET /?Upgrade:websocket&Sec-WebSocket-Key: HTTP/1.1\r\nHost: here.example\r\n\r\n".into(),
        ]),
        ("a body in the head's segment", vec![format!(
            "POST /ordinary HTTP/1.1\r\nHost: here.example\r\nContent-Length: {length}\r\n\r\n{HANDSHAKE}"
        )]),
        ("a body in a segment of its own", vec![
            format!("POST /ordinary HTTP/1.1\r\nHost: here.example\r\nContent-Length: {length}\r\n\r\n"),
            HANDSHAKE.to_owned(),
        ]),
        ("a chunked body", vec![
            "POST /ordinary HTTP/1.1\r\nHost: here.example\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
            format!("{length:x}\r\n"),
            HANDSHAKE.to_owned(),
            "\r\n0\r\n\r\n".into(),
        ]),
    ];
    let stage = Stage::new("lookalikes", &[])?;
    for (name, segments) in cases {
        let mut stream = http::connect(stage.server())?;
        for segment in &segments {
            stream.write_all(segment.as_bytes())?;
        }
        let answer = http::answer(&mut stream)?;
        ensure!(matches!(answer, Answer::Status(_) | Answer::Closed), "{name}: {answer:?}");
        let events = stage.events_until_now()?;
        ensure!(events.is_empty(), "{name}: {events:#?}");
    }
    Ok(())
}
