//! Frames (RFC 6455 section 5.2), for both ends. Written here because the audit sends and compares exact frames:
//! a library would answer pings, join fragments and refuse compression by itself.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Connection;

/// The longest payload that is read: a little more than the largest that is sent.
const MAX_PAYLOAD: u64 = 2 * 1024 * 1024;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opcode(pub u8);

impl Opcode {
    /// Goes on with a message.
    pub const CONTINUATION: Self = Self(0x0);
    /// Text.
    pub const TEXT: Self = Self(0x1);
    /// Bytes.
    pub const BINARY: Self = Self(0x2);
    /// The end.
    pub const CLOSE: Self = Self(0x8);
    /// A question.
    pub const PING: Self = Self(0x9);
    /// Its answer.
    pub const PONG: Self = Self(0xa);
}

/// A frame, unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The last of its message.
    pub fin: bool,
    /// Compressed (RFC 7692).
    pub rsv1: bool,
    /// What it is.
    pub opcode: Opcode,
    /// What it carries.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A whole message, or a control frame.
    pub fn new(opcode: Opcode, payload: impl Into<Vec<u8>>) -> Self {
        Self { fin: true, rsv1: false, opcode, payload: payload.into() }
    }

    /// A close frame with a code.
    pub fn close(code: u16) -> Self {
        Self::new(Opcode::CLOSE, code.to_be_bytes())
    }

    /// The code of a close frame; 1005 when it has none (RFC 6455 section 7.1.5).
    pub fn close_code(&self) -> Option<u16> {
        if self.opcode != Opcode::CLOSE {
            return None;
        }
        Some(match self.payload.as_slice() {
            [high, low, ..] => u16::from_be_bytes([*high, *low]),
            _ => 1005,
        })
    }
}

/// An open WebSocket: the connection, what was read ahead, and which end this is.
pub struct Socket {
    connection: Connection,
    ahead: Vec<u8>,
    masks: bool,
}

impl Socket {
    /// The client's end; `ahead` was read behind the 101's head.
    pub fn client(connection: Connection, ahead: Vec<u8>) -> Self {
        Self { connection, ahead, masks: true }
    }

    /// The server's end.
    pub fn server(connection: Connection, ahead: Vec<u8>) -> Self {
        Self { connection, ahead, masks: false }
    }

    /// Sends a frame. A client masks (RFC 6455 section 5.3), with a mask that need not be secret here.
    pub async fn send(&mut self, frame: &Frame) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(frame.payload.len() + 14);
        bytes.push(u8::from(frame.fin) << 7 | u8::from(frame.rsv1) << 6 | frame.opcode.0);
        let mask_bit = u8::from(self.masks) << 7;
        let length = frame.payload.len();
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ ..126), _) => bytes.push(mask_bit | short),
            (_, Ok(medium)) => {
                bytes.push(mask_bit | 0x7e);
                bytes.extend(medium.to_be_bytes());
            }
            _ => {
                bytes.push(mask_bit | 0x7f);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        if self.masks {
            let mask = [0x37, 0xfa, 0x21, 0x3d];
            bytes.extend(mask);
            bytes.extend(frame.payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
        } else {
            bytes.extend(&frame.payload);
        }
        self.connection.write_all(&bytes).await?;
        self.connection.flush().await
    }

    /// The next frame; an error when the connection ends or the bytes are none.
    pub async fn receive(&mut self) -> io::Result<Frame> {
        let [first, second] = self.take().await?;
        let mut length = u64::from(second & 0x7f);
        if length == 126 {
            length = u64::from(u16::from_be_bytes(self.take().await?));
        } else if length == 127 {
            length = u64::from_be_bytes(self.take().await?);
        }
        if length > MAX_PAYLOAD || first & 0x30 != 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no frame that was asked for"));
        }
        let mask = if second & 0x80 == 0 { [0; 4] } else { self.take().await? };
        let mut payload = vec![0; usize::try_from(length).unwrap_or_default()];
        self.fill(&mut payload).await?;
        for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        let opcode = Opcode(first & 0x0f);
        Ok(Frame { fin: first & 0x80 != 0, rsv1: first & 0x40 != 0, opcode, payload })
    }

    /// Half-closes and drops: what the other end has not read yet still reaches it.
    pub async fn end(mut self) {
        // The other end may have gone first.
        let _ = self.connection.shutdown().await;
    }

    async fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes).await?;
        Ok(bytes)
    }

    async fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let ready = bytes.len().min(self.ahead.len());
        let (first, rest) = bytes.split_at_mut(ready);
        for (to, from) in first.iter_mut().zip(self.ahead.drain(..ready)) {
            *to = from;
        }
        self.connection.read_exact(rest).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_of_every_length_come_back_as_they_were() {
        let (one, other) = tokio::io::duplex(4 * 1024 * 1024);
        let mut client = Socket::client(Box::new(one), Vec::new());
        let mut server = Socket::server(Box::new(other), Vec::new());
        for length in [0, 1, 125, 126, 65535, 65536, 1 << 20] {
            let frame = Frame::new(Opcode::BINARY, vec![0xa5; length]);
            client.send(&frame).await.unwrap();
            assert_eq!(server.receive().await.unwrap(), frame);
            server.send(&frame).await.unwrap();
            assert_eq!(client.receive().await.unwrap(), frame);
        }
        assert_eq!(Frame::close(4000).close_code(), Some(4000));
        assert_eq!(Frame::new(Opcode::CLOSE, []).close_code(), Some(1005));
        client.end().await;
        assert!(server.receive().await.is_err());
    }

    #[tokio::test]
    async fn a_length_that_nobody_sent_is_no_reason_to_take_memory() {
        let (one, mut other) = tokio::io::duplex(64);
        other.write_all(&[0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0]).await.unwrap();
        let mut client = Socket::client(Box::new(one), Vec::new());
        assert_eq!(client.receive().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
