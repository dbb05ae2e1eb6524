//! `--backend ADDR`: a WebSocket server of our own behind the chain. It keeps what arrived, compares `Origin` with
//! the one that is allowed, as servers do, and sends back what it is sent.

use std::{fmt::Write as _, io, net::SocketAddr, time::Duration};

use base64::Engine as _;
use sha1::{Digest as _, Sha1};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{Arrivals, Arrived};
use crate::audit::{
    client::{
        frame::{Frame, Opcode, Socket},
        request::DEFLATE,
    },
    mark::FIELD,
};

/// What RFC 6455 section 1.3 appends to the key.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The largest head that is read: larger than any that is sent.
const MAX_HEAD: usize = 64 * 1024;
/// The most fields of a head.
const MAX_FIELDS: usize = 200;
/// How long a head may take.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);

/// Listens; from then on what arrives is kept until the runtime ends. `allowed`: the origins that are let in.
pub async fn listen(
    address: SocketAddr,
    allowed: Vec<String>,
    arrivals: Arrivals,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (allowed, arrivals) = (allowed.clone(), arrivals.clone());
            tokio::spawn(async move {
                // A connection that breaks is the chain's affair: the client's end tells of it.
                let _ = serve(stream, &allowed, &arrivals).await;
            });
        }
    });
    Ok(bound)
}

/// Requests of one connection, until one is upgraded.
async fn serve(mut stream: TcpStream, allowed: &[String], arrivals: &Arrivals) -> io::Result<()> {
    let _ = stream.set_nodelay(true);
    let mut ahead = Vec::new();
    loop {
        let Ok(head) = timeout(HEAD_PATIENCE, read_head(&mut stream, &mut ahead)).await else {
            return Ok(());
        };
        let Some(arrived) = parse(&head?) else {
            return stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                .await;
        };
        let names = [FIELD, "Sec-WebSocket-Key"].into_iter();
        let names = names.filter_map(|name| arrived.all(name).next().map(str::to_owned));
        arrivals.put(names, &arrived).await;
        match accept(&arrived, allowed) {
            Ok(answer) => {
                stream.write_all(answer.as_bytes()).await?;
                return echo(Socket::server(Box::new(stream), ahead)).await;
            }
            Err((status, body)) => {
                let length = body.len();
                let version = if status.starts_with("426") {
                    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                } else {
                    ""
                };
                let answer = format!(
                    "HTTP/1.1 {status}\r\n{version}Content-Type: text/plain\r\n\
                     Content-Length: {length}\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).await?;
            }
        }
    }
}

async fn read_head(stream: &mut TcpStream, ahead: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut chunk = [0; 8192];
    loop {
        if let Some(end) = ahead.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = ahead.split_off(end + 4);
            return Ok(std::mem::replace(ahead, rest));
        }
        let count = stream.read(&mut chunk).await?;
        if count == 0 || ahead.len() > MAX_HEAD {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        ahead.extend(chunk.iter().take(count));
    }
}

fn parse(head: &[u8]) -> Option<Arrived> {
    let mut room = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut room);
    request.parse(head).ok().filter(httparse::Status::is_complete)?;
    let fields = request.headers.iter();
    Some(Arrived {
        target: request.path?.to_owned(),
        method: request.method?.to_owned(),
        http11: request.version == Some(1),
        fields: fields
            .map(|field| (field.name.to_owned(), String::from_utf8_lossy(field.value).into_owned()))
            .collect(),
        complete: true,
        at: String::new(),
    })
}

type Refusal = (&'static str, &'static str);

/// The 101, or why not.
fn accept(request: &Arrived, allowed: &[String]) -> Result<String, Refusal> {
    let is_handshake = request.fields.iter().any(|(name, _)| {
        name.eq_ignore_ascii_case(FIELD) || name.to_ascii_lowercase().starts_with("sec-websocket-")
    });
    if !is_handshake {
        // A health check of the chain.
        return Err(("200 OK", "wstap audit\n"));
    }
    if request.method != "GET" || !request.http11 {
        return Err(("400 Bad Request", "WebSockets are opened with GET and HTTP/1.1\n"));
    }
    if !request.has_token("Upgrade", "websocket") || !request.has_token("Connection", "upgrade") {
        return Err(("426 Upgrade Required", "Upgrade or Connection did not arrive\n"));
    }
    if request.all("Sec-WebSocket-Version").next() != Some("13") {
        return Err(("426 Upgrade Required", "Sec-WebSocket-Version is not 13\n"));
    }
    let Some(key) = request.all("Sec-WebSocket-Key").next() else {
        return Err(("400 Bad Request", "Sec-WebSocket-Key did not arrive\n"));
    };
    // Without Origin it is no browser, or a hop took it: the comparison tells.
    if request.all("Origin").any(|origin| !allowed.iter().any(|own| own == origin)) {
        return Err(("403 Forbidden", "this origin is not allowed\n"));
    }
    let digest = Sha1::digest(format!("{key}{GUID}"));
    let accept = base64::engine::general_purpose::STANDARD.encode(digest);
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n"
    );
    if let Some(first) = request.list("Sec-WebSocket-Protocol").next() {
        let _ = write!(answer, "Sec-WebSocket-Protocol: {first}\r\n");
    }
    let deflate = |extension: &str| extension.starts_with("permessage-deflate");
    if request.list("Sec-WebSocket-Extensions").any(deflate) {
        let _ = write!(answer, "Sec-WebSocket-Extensions: {DEFLATE}\r\n");
    }
    Ok(answer + "\r\n")
}

/// Sends every message back as it came, answers pings and closes with the client's own code.
async fn echo(mut socket: Socket) -> io::Result<()> {
    loop {
        let frame = socket.receive().await?;
        match frame.opcode {
            Opcode::CLOSE => {
                socket.send(&frame).await?;
                socket.end().await;
                return Ok(());
            }
            Opcode::PING => {
                socket.send(&Frame::new(Opcode::PONG, frame.payload)).await?;
            }
            Opcode::PONG => {}
            _ => socket.send(&frame).await?,
        }
    }
}
