//! One handshake: send the request, read the answer, and talk a little when it is a 101.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::{
    Connection,
    frame::{Frame, Opcode, Socket},
    request::Request,
};
use crate::{
    audit::judge::judge,
    diagnose::{Outcome, Verdict},
    handshake::{Answer, CloseBy, End},
    http::{BODY_PREFIX, ResponseHead, parse_response},
};

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 128 * 1024;
/// How long a server may take to answer a frame: it has accepted already.
const FRAME_PATIENCE: Duration = Duration::from_secs(5);
/// What a ping carries.
const PING: &[u8] = b"wstap";
/// "Hello" compressed, as RFC 7692 section 7.2.3.1 has it.
const HELLO: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
/// How large a large message is.
const LARGE: usize = 1024 * 1024;

/// What is done with an open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialogue {
    /// A ping, and the close frame that is sent then.
    Talk {
        /// The close code.
        close: u16,
    },
    /// Messages that the backend sends back: binary, large text, large binary.
    Messages,
    /// A compressed message that the backend sends back.
    Deflate,
    /// Silence, or a ping every so often, for so long.
    Idle {
        /// How long.
        most: Duration,
        /// The time between pings; `None`: none.
        pings: Option<Duration>,
    },
}

/// What came of a dialogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Talk {
    /// A pong came, and this close code (`None`: the connection ended without a close frame).
    Answered {
        /// The code.
        close: Option<u16>,
    },
    /// The server closed by itself, with this code or without a close frame.
    Closed {
        /// The code.
        code: Option<u16>,
        /// How long after the 101, or after the last frame.
        after: Duration,
    },
    /// No pong came.
    Silent,
    /// All messages came back as they were sent.
    Unchanged,
    /// What came back is not what was sent.
    Changed {
        /// Which message.
        message: &'static str,
        /// What is different.
        how: String,
    },
    /// It lived as long as it was asked to.
    Lived,
}

/// A handshake that was made.
#[derive(Clone)]
pub struct Attempt {
    /// What was sent.
    pub request: Request,
    /// What came back.
    pub answer: Answer,
    /// What the diagnosis says of the two.
    pub verdict: Option<Verdict>,
    /// What came of the open connection.
    pub talk: Option<Talk>,
}

impl Attempt {
    /// The head of the answer, if there is one.
    pub fn response(&self) -> Option<&ResponseHead> {
        match &self.answer {
            Answer::Response(head) => Some(head),
            _ => None,
        }
    }

    /// Whether a browser keeps the connection.
    pub fn accepted(&self) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| verdict.outcome == Outcome::Accepted)
    }

    /// The answer in a few words.
    pub fn answered(&self) -> String {
        match &self.answer {
            Answer::Response(head) if head.reason.is_empty() => head.status.to_string(),
            Answer::Response(head) => format!("{} {}", head.status, head.reason),
            Answer::Closed { by: CloseBy::Rst, .. } => "reset without an answer".to_owned(),
            Answer::Closed { .. } => "closed without an answer".to_owned(),
            Answer::TimedOut => "no answer".to_owned(),
            Answer::Malformed(_) => "no HTTP".to_owned(),
            Answer::Unobserved => "not seen".to_owned(),
        }
    }
}

/// Makes the handshake on this connection.
pub async fn make(
    mut connection: Connection,
    request: Request,
    dialogue: Dialogue,
    patience: Duration,
) -> Attempt {
    let asked = timeout(patience, async {
        connection.write_all(&request.bytes).await?;
        connection.flush().await
    });
    let sent = matches!(asked.await, Ok(Ok(())));
    // A server may answer and close before it has read everything.
    let (answer, ahead) = read_answer(&mut connection, patience).await;
    let answer = if sent || answer != Answer::TimedOut { answer } else { closed(CloseBy::Rst) };
    let verdict = judge(&request.bytes, answer.clone());
    let mut attempt = Attempt { request, answer, verdict, talk: None };
    if attempt.accepted() {
        let mut socket = Socket::client(connection, ahead);
        attempt.talk = Some(talk(&mut socket, dialogue, &attempt).await);
        socket.end().await;
    }
    attempt
}

fn closed(by: CloseBy) -> Answer {
    Answer::Closed { by, initiator: End::Peer }
}

/// The final response, and the bytes behind it.
async fn read_answer(connection: &mut Connection, patience: Duration) -> (Answer, Vec<u8>) {
    let end = Instant::now() + patience;
    let mut bytes = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let (count, broken) = match timeout(left, connection.read(&mut chunk)).await {
            Ok(Ok(count)) => (count, false),
            Ok(Err(_)) => (0, true),
            Err(_) => return (whole(&bytes).unwrap_or(Answer::TimedOut), Vec::new()),
        };
        bytes.extend(chunk.iter().take(count));
        while let Ok(response) = parse_response(&bytes, false) {
            let crate::http::Extent::Ends(length) = response.extent else { break };
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if response.interim {
                bytes = bytes.split_off(length.min(bytes.len()));
                continue;
            }
            if response.head.status == 101 {
                let ahead = bytes.split_off(length.min(bytes.len()));
                return (Answer::Response(response.head), ahead);
            }
            if response.body_complete {
                return (Answer::Response(response.head), Vec::new());
            }
            break;
        }
        if count == 0 || bytes.len() >= MAX_ANSWER {
            let by = if broken { CloseBy::Rst } else { CloseBy::Fin };
            return (whole(&bytes).unwrap_or_else(|| closed(by)), Vec::new());
        }
    }
}

/// What the bytes are when no more come; `None` when there are none.
fn whole(bytes: &[u8]) -> Option<Answer> {
    if bytes.is_empty() {
        return None;
    }
    let response = parse_response(bytes, false).ok().filter(|response| !response.interim);
    Some(response.map_or_else(
        || Answer::Malformed(bytes.iter().take(BODY_PREFIX).copied().collect()),
        |response| Answer::Response(response.head),
    ))
}

async fn talk(socket: &mut Socket, dialogue: Dialogue, attempt: &Attempt) -> Talk {
    match dialogue {
        Dialogue::Talk { close } => ping_and_close(socket, close).await,
        Dialogue::Messages => {
            let text = "wstap \u{fffd} \u{1f980} ".bytes().cycle().take(LARGE / 13 * 13);
            let binary = (0..LARGE).map(|at| at as u8 ^ (at >> 8) as u8);
            let short = Frame::new(Opcode::BINARY, (0..=255).collect::<Vec<u8>>());
            let messages = [
                ("a binary message of 256 bytes", short),
                ("a text of 1 MiB", Frame::new(Opcode::TEXT, whole_characters(text.collect()))),
                (
                    "a binary message of 1 MiB",
                    Frame::new(Opcode::BINARY, binary.collect::<Vec<_>>()),
                ),
            ];
            for (message, frame) in messages {
                if let Err(changed) = echo(socket, message, &frame).await {
                    return changed;
                }
            }
            let _ = ping_and_close(socket, 1000).await;
            Talk::Unchanged
        }
        Dialogue::Deflate => {
            let accepts = |head: &ResponseHead| {
                head.headers
                    .list("sec-websocket-extensions")
                    .any(|e| e.starts_with("permessage-deflate"))
            };
            if attempt.response().is_some_and(accepts) {
                let frame = Frame { rsv1: true, ..Frame::new(Opcode::TEXT, HELLO) };
                if let Err(changed) = echo(socket, "a compressed message", &frame).await {
                    return changed;
                }
            }
            let _ = ping_and_close(socket, 1000).await;
            Talk::Unchanged
        }
        Dialogue::Idle { most, pings } => idle(socket, most, pings).await,
    }
}

/// A text whose last character is whole.
fn whole_characters(mut text: Vec<u8>) -> Vec<u8> {
    while std::str::from_utf8(&text).is_err() && text.pop().is_some() {}
    text
}

async fn ping_and_close(socket: &mut Socket, code: u16) -> Talk {
    let start = Instant::now();
    let closed = |code| Talk::Closed { code, after: start.elapsed() };
    if socket.send(&Frame::new(Opcode::PING, PING)).await.is_err() {
        return closed(None);
    }
    loop {
        match timeout(FRAME_PATIENCE, socket.receive()).await {
            Err(_) => return Talk::Silent,
            Ok(Err(_)) => return closed(None),
            Ok(Ok(frame)) if frame.opcode == Opcode::PONG && frame.payload == PING => break,
            Ok(Ok(frame)) if frame.opcode == Opcode::CLOSE => return closed(frame.close_code()),
            // What the server says by itself.
            Ok(Ok(_)) => {}
        }
    }
    if socket.send(&Frame::close(code)).await.is_err() {
        return Talk::Answered { close: None };
    }
    loop {
        match timeout(FRAME_PATIENCE, socket.receive()).await {
            Ok(Ok(frame)) if frame.opcode == Opcode::CLOSE => {
                return Talk::Answered { close: frame.close_code() };
            }
            Ok(Ok(_)) => {}
            Err(_) | Ok(Err(_)) => return Talk::Answered { close: None },
        }
    }
}

/// Sends a message and waits for the same back, joined again if a hop split it.
async fn echo(socket: &mut Socket, message: &'static str, sent: &Frame) -> Result<(), Talk> {
    let changed = |how: String| Talk::Changed { message, how };
    socket.send(sent).await.map_err(|_| changed("the connection ended".to_owned()))?;
    let mut came: Option<Frame> = None;
    loop {
        let frame = match timeout(FRAME_PATIENCE, socket.receive()).await {
            Ok(Ok(frame)) => frame,
            Ok(Err(_)) => return Err(changed("the connection ended".to_owned())),
            Err(_) => return Err(changed("nothing came back".to_owned())),
        };
        if let Some(code) = frame.close_code() {
            return Err(changed(format!("the connection was closed with {code}")));
        }
        let whole = match (&mut came, frame.opcode) {
            (_, Opcode::PING | Opcode::PONG) => continue,
            (Some(begun), Opcode::CONTINUATION) => {
                begun.payload.extend(&frame.payload);
                begun.fin = frame.fin;
                begun
            }
            (came, _) => came.insert(frame),
        };
        if whole.fin {
            return if whole == sent {
                Ok(())
            } else if whole.payload.len() == sent.payload.len() {
                Err(changed("other bytes came back".to_owned()))
            } else {
                Err(changed(format!(
                    "{} bytes were sent and {} came back",
                    sent.payload.len(),
                    whole.payload.len()
                )))
            };
        }
    }
}

/// Says nothing, or pings, and waits for the end.
async fn idle(socket: &mut Socket, most: Duration, pings: Option<Duration>) -> Talk {
    let start = Instant::now();
    let mut heard = start;
    loop {
        let left = most.saturating_sub(start.elapsed());
        if left.is_zero() {
            // The frames that waited are read before the goodbye.
            let _ = socket.send(&Frame::close(1000)).await;
            return Talk::Lived;
        }
        let wait = pings.map_or(left, |every| left.min(every));
        match timeout(wait, socket.receive()).await {
            Err(_) if pings.is_some() => {
                if socket.send(&Frame::new(Opcode::PING, PING)).await.is_err() {
                    return Talk::Closed { code: None, after: heard.elapsed() };
                }
                heard = Instant::now();
            }
            Err(_) => {}
            Ok(Ok(frame)) => match frame.close_code() {
                Some(code) => return Talk::Closed { code: Some(code), after: heard.elapsed() },
                None => heard = Instant::now(),
            },
            Ok(Err(_)) => return Talk::Closed { code: None, after: heard.elapsed() },
        }
    }
}
