//! WebSocket frames (RFC 6455 section 5.2) over TCP, for clients that do exactly what the test says.

use std::io::{Read, Result, Write};
use std::net::TcpStream;

/// A frame from a client, masked with zeros.
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=65_535 => {
            frame.push(0x80 + 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 + 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Reads a frame from a server: its opcode and payload.
pub fn read(stream: &mut TcpStream) -> Result<(u8, Vec<u8>)> {
    let mut payload = Vec::new();
    let opcode = read_into(stream, &mut payload)?;
    Ok((opcode, payload))
}

/// As [`read`], into a buffer that is used again.
pub fn read_into(stream: &mut TcpStream, payload: &mut Vec<u8>) -> Result<u8> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let [first, short] = head;
    let len = match short {
        126 => {
            let mut len = [0; 2];
            stream.read_exact(&mut len)?;
            u64::from(u16::from_be_bytes(len))
        }
        127 => {
            let mut len = [0; 8];
            stream.read_exact(&mut len)?;
            u64::from_be_bytes(len)
        }
        len => u64::from(len),
    };
    payload.resize(usize::try_from(len).unwrap_or(0), 0);
    stream.read_exact(payload)?;
    Ok(first & 0x0f)
}

/// Sends a close frame with this code, and reads until the server has ended the connection.
pub fn close(stream: &mut TcpStream, code: u16) -> Result<()> {
    stream.write_all(&frame(8, &code.to_be_bytes()))?;
    stream.read_to_end(&mut Vec::new()).map(drop)
}
