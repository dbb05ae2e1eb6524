//! Raw HTTP/1.1 over TCP: what is sent is exactly what the test wrote.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result};

use crate::PATIENCE;

/// The key of RFC 6455 section 1.3.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The answer that accepts a handshake with [`KEY`] (RFC 6455 section 1.3).
pub const ACCEPTED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A valid opening handshake (RFC 6455 section 4.1) from an origin.
pub fn upgrade(path: &str, host: &str, origin: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Origin: {origin}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A head.
    Status(u16),
    /// The connection ended before a byte (FIN or RST).
    Closed,
    /// No byte in the connection's read timeout.
    Silent,
}

/// Opens a connection.
pub fn connect(to: SocketAddr) -> Result<TcpStream> {
    let stream =
        TcpStream::connect_timeout(&to, PATIENCE).with_context(|| format!("connecting to {to}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a request on a connection of its own and reads the head of the answer.
pub fn ask(to: SocketAddr, request: &[u8]) -> Result<Answer> {
    let mut stream = connect(to)?;
    stream.write_all(request)?;
    answer(&mut stream)
}

/// Reads the head of an answer; nothing behind it is taken.
pub fn answer(stream: &mut TcpStream) -> Result<Answer> {
    let head = match head(stream) {
        Ok(head) if head.is_empty() => return Ok(Answer::Closed),
        Ok(head) => head,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(Answer::Closed),
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Answer::Silent),
        Err(error) => return Err(error.into()),
    };
    let status = head.split(' ').nth(1).and_then(|status| status.get(..3));
    let status = status.with_context(|| format!("no status line: {head:?}"))?;
    Ok(Answer::Status(status.parse()?))
}

/// Reads one head, byte by byte, so that nothing behind it is taken; what there is of it when the
/// connection ends.
pub fn head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? > 0 {
        head.extend(byte);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// GETs a page and returns its status and body.
pub fn get(from: SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut stream = connect(from)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {from}\r\nConnection: close\r\n\r\n")?;
    let mut page = Vec::new();
    stream.read_to_end(&mut page)?;
    let page = String::from_utf8_lossy(&page);
    let (head, body) = page.split_once("\r\n\r\n").context("no end of head")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Ok((status, if chunked { unchunk(body) } else { body.to_owned() }))
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let Some((chunk, rest)) = rest.split_at_checked(size).filter(|_| size > 0) else { break };
        whole.push_str(chunk);
        body = rest.trim_start_matches("\r\n");
    }
    whole
}
